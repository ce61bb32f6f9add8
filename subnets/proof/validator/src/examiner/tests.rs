use taonet_http::{ServeLimits, serve};
use taonet_proof_circuits::{CircuitDirectory, ShippedModel};
use taonet_proof_core::scoring::Fault;
use taonet_proof_miner::{Conduct, Miner, MinerSettings, router, signed_requests};
use taonet_service::system_clock;
use taonet_wallet::Keypair;
use taonet_wire::{BtauthScheme, ClientConfig, Peer, Signer};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::*;

/// One model with both backends, a validator, and miners on loopback.
struct Market {
    place: TempDir,
    catalogue: Catalogue,
    stop: Shutdown,
}

impl Drop for Market {
    fn drop(&mut self) {
        self.stop.request();
    }
}

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

impl Market {
    fn new(backends: &[&str]) -> Self {
        let place = tempfile::tempdir().unwrap();
        for backend in backends {
            let compiled = ShippedModel::DiabetesRegression.compile(backend).unwrap();
            CircuitDirectory::create(&place.path().join("circuits").join(backend), &compiled).unwrap();
        }
        let catalogue = Catalogue::open(&place.path().join("circuits")).unwrap();
        Self { place, catalogue, stop: Shutdown::new() }
    }

    async fn examiner(&self, timeout: Duration) -> (Arc<Examiner>, Arc<Book>) {
        let book = Arc::new(Book::open(&self.place.path().join("scores")).await.unwrap());
        let signer = Signer::new(key("//Alice"), "127.0.0.1", BtauthScheme::new());
        let client = SignedClient::new(signer, ClientConfig::default()).unwrap();
        let settings = ExaminerSettings {
            timeout,
            interval: Duration::from_millis(1),
            bundles: Some(self.place.path().to_owned()),
            ..ExaminerSettings::default()
        };
        let examiner = Examiner::load(&self.catalogue, client, Arc::clone(&book), settings, system_clock()).unwrap();
        (Arc::new(examiner), book)
    }

    async fn miner(&self, uri: &str, conduct: Conduct) -> (MinerEntry, Miner) {
        let hotkey = key(uri).hotkey();
        let settings = MinerSettings { conduct, concurrency: 4, ..MinerSettings::new(hotkey) };
        let timeout = settings.timeout;
        let miner = Miner::load(&self.catalogue, settings).unwrap();
        let routes = router(miner.clone(), signed_requests(hotkey, timeout).build());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = self.stop.clone();
        self.stop.spawn("miner", async move { serve(listener, routes, &stop, ServeLimits::default()).await });
        (MinerEntry { uid: None, peer: Peer::new(hotkey, "127.0.0.1", port).unwrap() }, miner)
    }
}

fn failed(fault: Fault) -> Option<Outcome> {
    Some(Outcome::Failed(fault))
}

const LONG: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn honest_proofs_verify_and_are_kept_as_bundles() {
    let market = Market::new(&["stark", "groth16"]);
    let (examiner, book) = market.examiner(LONG).await;
    let (honest, _) = market.miner("//Bob", Conduct::Honest).await;
    for _ in 0..6 {
        assert!(matches!(examiner.examine(&honest).await, Some(Outcome::Verified { .. })));
    }
    assert_eq!(book.read(|board| board.tallies()[honest.hotkey()].verified), 6);
    let bundle = std::fs::read(market.place.path().join(format!("{}.json", honest.hotkey()))).unwrap();
    let bundle = Bundle::from_json(&bundle).unwrap();
    bundle.verify().unwrap();
    assert_eq!(bundle.miner, *honest.hotkey());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lie_has_its_name() {
    let market = Market::new(&["stark"]);
    let (examiner, _) = market.examiner(LONG).await;
    let (honest, miner) = market.miner("//Bob", Conduct::Honest).await;
    let (wrong, _) = market.miner("//Charlie", Conduct::WrongOutput).await;
    let (replay, _) = market.miner("//Dave", Conduct::Replay).await;
    let (copy, _) = market.miner("//Eve", Conduct::Copy(miner)).await;
    let all = [&honest, &wrong, &replay, &copy].map(|miner| *miner.hotkey()).to_vec();
    *examiner.miners.lock().unwrap() = Arc::new(all);
    assert_eq!(examiner.examine(&wrong).await, failed(Fault::WrongOutput));
    assert!(matches!(examiner.examine(&replay).await, Some(Outcome::Verified { .. })));
    assert_eq!(examiner.examine(&replay).await, failed(Fault::ReplayedProof));
    assert_eq!(examiner.examine(&copy).await, failed(Fault::CopiedProof));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_circuits_proof_is_known() {
    for backends in [["stark", "groth16"], ["groth16", "stark"]] {
        let market = Market::new(&backends);
        let (examiner, _) = market.examiner(LONG).await;
        let (liar, _) = market.miner("//Ferdie", Conduct::OtherCircuit).await;
        for _ in 0..4 {
            assert_eq!(examiner.examine(&liar).await, failed(Fault::OtherCircuit));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_refusals_count_and_a_full_miner_does_not() {
    let market = Market::new(&["stark"]);
    let (examiner, book) = market.examiner(Duration::from_millis(300)).await;
    let (slow, _) = market.miner("//Bob", Conduct::Slow(Duration::from_secs(5))).await;
    assert_eq!(examiner.examine(&slow).await, failed(Fault::Timeout));
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let peer = Peer::new(key("//Charlie").hotkey(), "127.0.0.1", nobody).unwrap();
    assert_eq!(examiner.examine(&MinerEntry { uid: None, peer }).await, failed(Fault::Unreachable));
    // Bob refuses what is signed for Dave.
    let peer = Peer::new(key("//Dave").hotkey(), slow.peer.host(), slow.peer.port()).unwrap();
    assert_eq!(examiner.examine(&MinerEntry { uid: None, peer }).await, failed(Fault::Refused));
    let full = axum_answer(&market, 429, "{}").await;
    assert_eq!(examiner.examine(&full).await, None);
    let garbage = axum_answer(&market, 200, r#"{"query_output":"zz","computed_outputs":[0.3]}"#).await;
    assert_eq!(examiner.examine(&garbage).await, failed(Fault::Malformed));
    let short = axum_answer(&market, 200, r#"{"query_output":"00ff","computed_outputs":[1]}"#).await;
    assert_eq!(examiner.examine(&short).await, failed(Fault::Malformed));
    assert_eq!(book.events(), 5);
}

/// A miner that answers everything alike.
async fn axum_answer(market: &Market, status: u16, body: &'static str) -> MinerEntry {
    let status = axum::http::StatusCode::from_u16(status).unwrap();
    let routes = axum::Router::new().fallback(move || async move { (status, body) });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = market.stop.clone();
    market.stop.spawn("miner", async move { serve(listener, routes, &stop, ServeLimits::default()).await });
    let uri = format!("//{port}");
    MinerEntry { uid: None, peer: Peer::new(key(&uri).hotkey(), "127.0.0.1", port).unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_follow_the_list_of_miners() {
    let market = Market::new(&["stark"]);
    let (examiner, book) = market.examiner(LONG).await;
    let (bob, _) = market.miner("//Bob", Conduct::Honest).await;
    let (charlie, _) = market.miner("//Charlie", Conduct::Honest).await;
    let (list, listed) = watch::channel(vec![bob.clone()]);
    let stop = Shutdown::new();
    let (running, end) = (Arc::clone(&examiner), stop.clone());
    let run = tokio::spawn(async move { running.run(listed, &end).await });
    let verified =
        |miner: &MinerEntry| book.read(|board| board.tallies().get(miner.hotkey()).map_or(0, |tally| tally.verified));
    while verified(&bob) < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(verified(&charlie), 0);
    list.send_replace(vec![charlie.clone()]);
    while verified(&charlie) < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = verified(&bob);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(verified(&bob) <= before + 1, "Bob is asked no more");
    stop.request();
    run.await.unwrap();
}
