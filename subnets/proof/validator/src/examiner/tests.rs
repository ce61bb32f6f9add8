mod delivery;
mod published;

use std::sync::Mutex;
use std::time::Instant;

use taonet_http::{ServeLimits, serve};
use taonet_proof_backends::Capabilities;
use taonet_proof_backends::external::External;
use taonet_proof_circuits::{Backends, CircuitDirectory, CompileOptions, ShippedModel, compile};
use taonet_proof_core::scoring::Fault;
use taonet_proof_miner::{
    Behaviour, Miner, MinerSettings, QuicServer, QuicSettings, router, signed_requests,
};
use taonet_service::{Shutdown, system_clock};
use taonet_wallet::Keypair;
use taonet_wire::{BtauthScheme, ClientConfig, Peer, SignedClient, Signer};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use super::*;
use crate::{Progress, QuicClient, Wire};

/// One model with both backends, a validator, and miners on loopback.
struct TestMarket {
    temp_dir: TempDir,
    catalogue: Catalogue,
    stop: Shutdown,
}

impl Drop for TestMarket {
    fn drop(&mut self) {
        self.stop.request();
    }
}

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

impl TestMarket {
    fn new(backends: &[&str]) -> Self {
        let temp_dir = tempfile::tempdir().unwrap();
        for backend in backends {
            let compiled = ShippedModel::DiabetesRegression.compile(backend).unwrap();
            CircuitDirectory::create(&temp_dir.path().join("circuits").join(backend), &compiled)
                .unwrap();
        }
        let catalogue = Catalogue::open(&temp_dir.path().join("circuits")).unwrap();
        Self { temp_dir, catalogue, stop: Shutdown::new() }
    }

    /// Creates a market with the LeNet in three slices.
    fn sliced() -> Self {
        let temp_dir = tempfile::tempdir().unwrap();
        let compiled = ShippedModel::DigitsLenet.compile_slices("stark", 3).unwrap();
        compiled.write(&temp_dir.path().join("circuits/lenet")).unwrap();
        let catalogue = Catalogue::open(&temp_dir.path().join("circuits")).unwrap();
        Self { temp_dir, catalogue, stop: Shutdown::new() }
    }

    /// Creates a market with a circuit of an external program.
    fn external() -> Self {
        let temp_dir = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../backends/examples/rerun.py");
        let external =
            External::new(&program.canonicalize().unwrap(), LONG_TIMEOUT, Capabilities::UNKNOWN)
                .unwrap();
        let (model, backends) =
            (ShippedModel::DiabetesRegression, Backends::with_external(external));
        let options = CompileOptions {
            name: model.name().to_owned(),
            backend: "external".to_owned(),
            backends: backends.clone(),
            quantise: model.quantise_options(),
            max_error: None,
            contributor: "anonymous".to_owned(),
        };
        let compiled = compile(model.onnx(), &model.sample().unwrap(), &options).unwrap();
        CircuitDirectory::create(&temp_dir.path().join("circuits/external"), &compiled).unwrap();
        let catalogue = Catalogue::open_with(&temp_dir.path().join("circuits"), &backends).unwrap();
        Self { temp_dir, catalogue, stop: Shutdown::new() }
    }

    async fn examiner(&self, timeout: Duration) -> (Arc<Examiner>, Arc<ScoreStore>) {
        let (interval, bundles) = (Duration::from_millis(1), Some(self.temp_dir.path().to_owned()));
        // On a busy machine, honest answers take long: none is overdue, which would bring in
        // another miner.
        let overdue_after = timeout;
        let settings = ExaminerSettings {
            interval,
            timeout,
            overdue_after,
            bundles,
            ..ExaminerSettings::default()
        };
        self.examiner_with(settings).await
    }

    async fn examiner_with(&self, settings: ExaminerSettings) -> (Arc<Examiner>, Arc<ScoreStore>) {
        let score_store =
            Arc::new(ScoreStore::open(&self.temp_dir.path().join("scores")).await.unwrap());
        let signer = Signer::new(key("//Alice"), "127.0.0.1", BtauthScheme::new());
        let config = ClientConfig { max_response_bytes: 40 << 20, ..ClientConfig::default() };
        let http = SignedClient::new(signer, config).unwrap();
        let clients = Clients { http, quic: Some(QuicClient::bind(&key("//Alice")).unwrap()) };
        let examiner = Examiner::load(
            &self.catalogue,
            clients,
            Arc::clone(&score_store),
            settings,
            system_clock(),
        )
        .unwrap();
        (Arc::new(examiner), score_store)
    }

    async fn miner(&self, uri: &str, behaviour: Behaviour) -> (ProofMiner, Miner) {
        self.miner_until(uri, behaviour, &self.stop).await
    }

    fn load(&self, uri: &str, behaviour: Behaviour) -> Miner {
        let settings =
            MinerSettings { behaviour, concurrency: 4, ..MinerSettings::new(key(uri).hotkey()) };
        Miner::load(&self.catalogue, settings).unwrap()
    }

    async fn miner_until(
        &self,
        uri: &str,
        behaviour: Behaviour,
        stop: &Shutdown,
    ) -> (ProofMiner, Miner) {
        let miner = self.load(uri, behaviour);
        let routes =
            router(miner.clone(), signed_requests(key(uri).hotkey(), LONG_TIMEOUT).build());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop_signal = stop.clone();
        let limits = ServeLimits { drain: Duration::ZERO, ..ServeLimits::default() };
        stop.spawn("miner", async move { serve(listener, routes, &stop_signal, limits).await });
        (miner_entry(uri, port), miner)
    }
}

/// Returns the entry of a miner on loopback.
fn miner_entry(uri: &str, port: u16) -> ProofMiner {
    let peer = Peer::new(key(uri).hotkey(), "127.0.0.1", port).unwrap();
    ProofMiner { peer, wire: Wire::Http }
}

fn failed_outcome(fault: Fault) -> Outcome {
    Outcome::Failed(fault)
}

const LONG_TIMEOUT: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn honest_proofs_verify_and_are_kept_as_bundles() {
    let market = TestMarket::new(&["stark", "groth16"]);
    let (examiner, score_store) = market.examiner(LONG_TIMEOUT).await;
    let (honest, _) = market.miner("//Bob", Behaviour::Honest).await;
    for _ in 0..6 {
        assert!(matches!(examiner.examine(&honest).await, Some(Outcome::Verified { .. })));
    }
    assert_eq!(score_store.read(|board| board.tallies()[honest.hotkey()].verified), 6);
    let path = market.temp_dir.path().join(format!("{}.json", honest.hotkey()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // A bundle contains its input, which can be a user's.
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let bundle = Bundle::from_json(&std::fs::read(path).unwrap()).unwrap();
    bundle.verify().unwrap();
    assert_eq!(bundle.miner, *honest.hotkey());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_invalid_answer_has_its_fault() {
    let market = TestMarket::new(&["stark"]);
    let (examiner, _) = market.examiner(LONG_TIMEOUT).await;
    let (honest, miner) = market.miner("//Bob", Behaviour::Honest).await;
    let (wrong_output_miner, _) = market.miner("//Charlie", Behaviour::WrongOutput).await;
    let (replaying_miner, _) = market.miner("//Dave", Behaviour::Replay).await;
    let (copying_miner, _) = market.miner("//Eve", Behaviour::Copy(miner)).await;
    let all_miners =
        [&honest, &wrong_output_miner, &replaying_miner, &copying_miner].map(ProofMiner::clone);
    examiner.follow_miners(&all_miners).await;
    assert_eq!(
        examiner.examine(&wrong_output_miner).await,
        Some(failed_outcome(Fault::WrongOutput))
    );
    assert!(matches!(examiner.examine(&replaying_miner).await, Some(Outcome::Verified { .. })));
    assert_eq!(
        examiner.examine(&replaying_miner).await,
        Some(failed_outcome(Fault::ReplayedProof))
    );
    assert_eq!(examiner.examine(&copying_miner).await, Some(failed_outcome(Fault::CopiedProof)));
}

#[tokio::test(flavor = "multi_thread")]
async fn external_programs_prove_and_verify() {
    let market = TestMarket::external();
    let (examiner, _) = market.examiner(LONG_TIMEOUT).await;
    let (honest, _) = market.miner("//Bob", Behaviour::Honest).await;
    let (wrong_output_miner, _) = market.miner("//Charlie", Behaviour::WrongOutput).await;
    assert!(matches!(examiner.examine(&honest).await, Some(Outcome::Verified { .. })));
    assert_eq!(
        examiner.examine(&wrong_output_miner).await,
        Some(failed_outcome(Fault::WrongOutput))
    );
}

/// Runs an examiner with these miners until `enough`, and stops it.
async fn run_until(examiner: Arc<Examiner>, miners: Vec<ProofMiner>, enough: impl Fn() -> bool) {
    let (_list, receiver) = watch::channel(miners);
    let stop = Shutdown::new();
    let stop_signal = stop.clone();
    let run = tokio::spawn(async move { examiner.run(receiver, &stop_signal).await });
    while !enough() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.request();
    run.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn measured_performance_survives_restarts_and_corruption() {
    let market = TestMarket::new(&["stark"]);
    let path = market.temp_dir.path().join("performance.json");
    let settings = ExaminerSettings {
        interval: Duration::from_millis(1),
        performance: Some(path.clone()),
        ..ExaminerSettings::default()
    };
    let (bob, _) = market.miner("//Bob", Behaviour::Honest).await;
    let saved =
        || serde_json::from_slice::<serde_json::Value>(&std::fs::read(&path).unwrap()).unwrap();
    let (examiner, score_store) = market.examiner_with(settings.clone()).await;
    run_until(examiner, vec![bob.clone()], || score_store.events() >= 10).await;
    let (before, events) = (saved(), score_store.events());
    let circuit = market.catalogue.circuits().next().unwrap().id().to_string();
    let times =
        before["miners"][bob.hotkey().to_string()]["times"][&circuit].as_array().unwrap().len();
    assert_eq!(u64::try_from(times).unwrap(), events);
    drop(score_store);

    // Without benchmarks, nothing new is measured.
    let (examiner, score_store) =
        market.examiner_with(ExaminerSettings { benchmarks: false, ..settings.clone() }).await;
    let start = Instant::now();
    run_until(examiner, vec![bob.clone()], || start.elapsed() > Duration::from_millis(300)).await;
    let after = saved();
    assert_eq!((&before["miners"], &before["market"]), (&after["miners"], &after["market"]));
    assert_eq!(score_store.events(), events);
    drop(score_store);

    std::fs::write(&path, "{").unwrap();
    let (examiner, score_store) = market.examiner_with(settings).await;
    run_until(examiner, vec![bob], || score_store.events() > events).await;
    assert!(saved()["miners"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn proof_of_another_circuit_is_recognised() {
    for backends in [["stark", "groth16"], ["groth16", "stark"]] {
        let market = TestMarket::new(&backends);
        let (examiner, _) = market.examiner(LONG_TIMEOUT).await;
        let (cheating, _) = market.miner("//Ferdie", Behaviour::OtherCircuit).await;
        for _ in 0..4 {
            assert_eq!(
                examiner.examine(&cheating).await,
                Some(failed_outcome(Fault::OtherCircuit))
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn timeouts_and_refusals_count_as_failures_and_busy_does_not() {
    let market = TestMarket::new(&["stark"]);
    let (examiner, score_store) = market.examiner(Duration::from_secs(2)).await;
    let (slow_miner, _) = market.miner("//Bob", Behaviour::Slow(Duration::from_secs(5))).await;
    assert_eq!(examiner.examine(&slow_miner).await, Some(failed_outcome(Fault::Timeout)));
    // Nobody else gets the port of a socket that does not listen.
    let silent = TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let silent_miner = miner_entry("//Charlie", silent.local_addr().unwrap().port());
    assert_eq!(examiner.examine(&silent_miner).await, Some(failed_outcome(Fault::Unreachable)));
    // Bob refuses requests signed for Dave.
    assert_eq!(
        examiner.examine(&miner_entry("//Dave", slow_miner.peer.port())).await,
        Some(failed_outcome(Fault::Refused))
    );
    let full_miner = start_miner_with_response(&market, 429, "{}").await;
    assert_eq!(examiner.examine(&full_miner).await, None);
    let malformed_miner = start_miner_with_response(
        &market,
        200,
        r#"{"query_output":"zz","computed_outputs":[0.3]}"#,
    )
    .await;
    assert_eq!(examiner.examine(&malformed_miner).await, Some(failed_outcome(Fault::Malformed)));
    let short_proof_miner = start_miner_with_response(
        &market,
        200,
        r#"{"query_output":"00ff","computed_outputs":[1]}"#,
    )
    .await;
    assert_eq!(examiner.examine(&short_proof_miner).await, Some(failed_outcome(Fault::Malformed)));
    assert_eq!(score_store.events(), 5);
}

/// Starts a miner that sends the same response to every request.
async fn start_miner_with_response(
    market: &TestMarket,
    status: u16,
    body: &'static str,
) -> ProofMiner {
    let status = axum::http::StatusCode::from_u16(status).unwrap();
    let routes = axum::Router::new().fallback(move || async move { (status, body) });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = market.stop.clone();
    market.stop.spawn("miner", async move {
        serve(listener, routes, &stop, ServeLimits::default()).await;
    });
    let uri = format!("//{port}");
    miner_entry(&uri, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn examined_miners_follow_the_current_list() {
    let market = TestMarket::new(&["stark"]);
    let (examiner, score_store) = market.examiner(LONG_TIMEOUT).await;
    let (bob, _) = market.miner("//Bob", Behaviour::Honest).await;
    let (charlie, _) = market.miner("//Charlie", Behaviour::Honest).await;
    let (list, receiver) = watch::channel(vec![bob.clone()]);
    let stop = Shutdown::new();
    let (running, stop_signal) = (Arc::clone(&examiner), stop.clone());
    let run = tokio::spawn(async move { running.run(receiver, &stop_signal).await });
    let verified = |miner: &ProofMiner| {
        score_store
            .read(|board| board.tallies().get(miner.hotkey()).map_or(0, |tally| tally.verified))
    };
    while verified(&bob) < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(verified(&charlie), 0);
    list.send_replace(vec![charlie.clone()]);
    while verified(&charlie) < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Recordings that began before Bob left the list may still come.
    let (start, mut before) = (Instant::now(), u64::MAX);
    while verified(&bob) != before {
        assert!(start.elapsed() < LONG_TIMEOUT, "Bob receives more requests");
        before = verified(&bob);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    stop.request();
    run.await.unwrap();
}

/// Starts a server that accepts connections and never answers.
async fn silent_miner(market: &TestMarket, uri: &str) -> ProofMiner {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    market.stop.spawn("silent", async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.push(connection);
        }
    });
    miner_entry(uri, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_miners_never_stop_honest_ones() {
    let market = TestMarket::new(&["stark"]);
    let settings = ExaminerSettings {
        interval: Duration::from_millis(10),
        overdue_after: Duration::from_millis(300),
        requests: 8,
        ..ExaminerSettings::default()
    };
    assert_eq!(
        settings.timeout,
        Duration::from_mins(3),
        "no silent request times out during this test"
    );
    let (examiner, score_store) = market.examiner_with(settings).await;
    let mut miners = Vec::new();
    for number in 0..43 {
        miners.push(silent_miner(&market, &format!("//silent/{number}")).await);
    }
    let honest = [
        market.miner("//Bob", Behaviour::Honest).await.0,
        market.miner("//Charlie", Behaviour::Honest).await.0,
    ];
    // The silent miners come first, and hold every permit until their requests are overdue.
    miners.extend(honest.iter().cloned());
    let (_list, receiver) = watch::channel(miners);
    let stop = Shutdown::new();
    let (running, stop_signal) = (Arc::clone(&examiner), stop.clone());
    let run = tokio::spawn(async move { running.run(receiver, &stop_signal).await });
    let verified = |miner: &ProofMiner| {
        score_store
            .read(|board| board.tallies().get(miner.hotkey()).map_or(0, |tally| tally.verified))
    };
    let all_deliver = async {
        while honest.iter().any(|miner| verified(miner) < 20) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG_TIMEOUT, all_deliver).await.expect("the honest miners deliver");
    assert!(examiner.dispatcher.in_flight() >= 43);
    // The honest miners deliver meanwhile.
    let delivered = || honest.iter().map(verified).sum::<u64>();
    let (before, events, after) = (delivered(), score_store.events(), delivered());
    assert!(
        (before..=after).contains(&events),
        "every silent request is still in flight: {events} of {after}"
    );

    // A user's request goes to miners that deliver.
    let circuit = market.catalogue.circuits().next().unwrap().id();
    let inputs = ShippedModel::DiabetesRegression.sample().unwrap().inputs[0].clone();
    let (observed, report) = record_progress();
    tokio::time::timeout(LONG_TIMEOUT, examiner.deliver(&circuit, &inputs, report))
        .await
        .unwrap()
        .unwrap();
    for step in &*observed.lock().unwrap() {
        let Progress::Asked { miner, .. } = step else { continue };
        assert!(honest.iter().any(|honest| honest.hotkey() == miner), "{step:?}");
    }
    stop.request();
    run.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_in_flight_at_shutdown_are_recorded() {
    let market = TestMarket::new(&["stark"]);
    let (examiner, score_store) = market.examiner(LONG_TIMEOUT).await;
    let slow_miner = market.miner("//Bob", Behaviour::Slow(Duration::from_secs(1))).await.0;
    let (_list, receiver) = watch::channel(vec![slow_miner.clone()]);
    let stop = Shutdown::new();
    let (running, stop_signal) = (Arc::clone(&examiner), stop.clone());
    let run = tokio::spawn(async move { running.run(receiver, &stop_signal).await });
    while examiner.dispatcher.in_flight() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.request();
    run.await.unwrap();
    assert_eq!(score_store.read(|board| board.tallies()[slow_miner.hotkey()].verified), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn miners_are_queried_over_quic() {
    let market = TestMarket::new(&["stark"]);
    let (examiner, score_store) = market.examiner(Duration::from_secs(20)).await;
    let mut miners = Vec::new();
    for (uri, behaviour) in [("//Bob", Behaviour::Honest), ("//Charlie", Behaviour::WrongOutput)] {
        let settings = QuicSettings { listen: "127.0.0.1:0".parse().unwrap(), permits: None };
        let server =
            QuicServer::bind(&market.load(uri, behaviour), &key(uri), LONG_TIMEOUT, settings)
                .unwrap();
        let port = server.address().unwrap().port();
        let stop = market.stop.clone();
        market.stop.spawn("miner", async move { server.serve_until(stop.requested()).await });
        miners.push(ProofMiner { wire: Wire::Quic, ..miner_entry(uri, port) });
    }
    examiner.follow_miners(&miners).await;
    for _ in 0..3 {
        assert!(matches!(examiner.examine(&miners[0]).await, Some(Outcome::Verified { .. })));
    }
    assert_eq!(examiner.examine(&miners[1]).await, Some(failed_outcome(Fault::WrongOutput)));
    // Two unreachable miners: another hotkey at Bob's address, and an address without a server.
    let stranger = ProofMiner { wire: Wire::Quic, ..miner_entry("//Dave", miners[0].peer.port()) };
    assert_eq!(examiner.examine(&stranger).await, Some(failed_outcome(Fault::Refused)));
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let unreachable = ProofMiner {
        wire: Wire::Quic,
        ..miner_entry("//Eve", silent.local_addr().unwrap().port())
    };
    assert_eq!(examiner.examine(&unreachable).await, Some(failed_outcome(Fault::Unreachable)));
    assert_eq!(score_store.events(), 6);
}

/// Returns a list of progress events and the callback that fills it.
fn record_progress() -> (Arc<Mutex<Vec<Progress>>>, crate::ProgressCallback) {
    let steps = Arc::<Mutex<Vec<Progress>>>::default();
    let sink = Arc::clone(&steps);
    (steps, Arc::new(move |step| sink.lock().unwrap().push(step)))
}
