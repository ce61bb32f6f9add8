use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use taonet_database::testing::Postgres;
use taonet_lm::server::router;
use taonet_lm::{EngineSettings, LanguageModel};
use taonet_nineteen_checker::LocalReference;
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_query::{Market, Querier, QueryDeadlines};
use taonet_nineteen_store::{PeriodId, Sample, Store};
use taonet_nineteen_transport::{FiberClient, FiberRules, MinerHandshake, RsaKey, Trust, routes, signed_requests};
use taonet_primitives::Uid;
use taonet_service::{Shutdown, monotonic_clock, system_clock};
use taonet_wallet::Keypair;
use taonet_wire::{ClientConfig, SystemClock};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;

const TASKS: &str = r#"
period_profile = "seed"
period = 3

[[tasks]]
task = "chat-a"
task_type = "text"
max_capacity = 900000
volume_to_requests_conversion = 10
weight = 1.0
timeout = 5
is_stream = true
endpoint = "/chat/completions"
synthetic_generation_config = { func = "generate_chat_synthetic", kwargs = { max_tokens = 8, max_words = 8 } }

[tasks.orchestrator_server_config]
server_needed = "llm_server"
checking_function = "check_text_result"
load_model_config = { model = "m" }
"#;

struct Listed(Vec<FoundNode>);

#[async_trait]
impl NodeSource for Listed {
    async fn nodes(&self) -> Result<Vec<FoundNode>, NodesError> {
        Ok(self.0.clone())
    }
}

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A miner that offers its full capacity and answers with a model.
async fn miner(uri: &str, uid: u16, model: &Arc<LanguageModel>, handshakes: &Arc<AtomicU32>) -> FoundNode {
    let backend = serve(router(Arc::clone(model), EngineSettings::default()).unwrap()).await;
    let chat = move |Json(mut payload): Json<Value>| async move {
        payload.as_object_mut().unwrap().shift_remove("nonce");
        let url = format!("http://{backend}/v1/chat/completions");
        axum::body::Body::from_stream(post_json(&url, &payload).await)
    };
    let capacity = || async { Json(json!({"miner_type": "text", "chat-a": 1e9})) };
    let sealed = Router::new().route("/chat/completions", post(chat)).route("/capacity", post(capacity));
    let keypair = key(uri);
    let signed = signed_requests(keypair.hotkey(), FiberRules::Strict).build();
    let handshake = MinerHandshake::new(keypair.clone(), RsaKey::generate().unwrap(), FiberRules::Strict);
    let count = Arc::clone(handshakes);
    let counted = axum::middleware::from_fn(move |request: axum::extract::Request, next: axum::middleware::Next| {
        if request.uri().path() == "/exchange-symmetric-key" {
            count.fetch_add(1, Ordering::SeqCst);
        }
        next.run(request)
    });
    let address = serve(routes(handshake, signed, sealed).layer(counted)).await;
    FoundNode { uid: Uid(uid), hotkey: keypair.hotkey(), address }
}

/// Reads the body of an answer without an HTTP client: one request, read to its end.
async fn post_json(url: &str, payload: &Value) -> impl futures::Stream<Item = std::io::Result<Vec<u8>>> + use<> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    let path = url.strip_prefix("http://").unwrap().strip_prefix(&address).unwrap().to_owned();
    let body = payload.to_string();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.0\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let start = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    futures::stream::iter([Ok(answer.split_off(start))])
}

/// A process of the validator.
struct Process {
    controller: Arc<Controller>,
    scorer: Scorer,
    market: MarketFile,
    samples: Option<mpsc::Receiver<Sample>>,
}

fn process(store: &Store, nodes: &[FoundNode], model: &Arc<LanguageModel>) -> Process {
    let validator = key("//Alice");
    let client =
        FiberClient::new(validator.clone(), Trust::Signed, ClientConfig::default(), Arc::new(SystemClock)).unwrap();
    let (sender, samples) = mpsc::channel(64);
    let floor = Market::default();
    let clocks = (system_clock(), monotonic_clock());
    let querier = Querier::new(client.clone(), floor.clone(), QueryDeadlines::default(), 8, clocks, sender);
    let market = MarketFile::fixed(MarketConfig::from_toml(TASKS).unwrap());
    let settings = ControlSettings {
        addresses: AddressRules { allow_private: true, ..AddressRules::default() },
        seed: Some(4),
        ..ControlSettings::default()
    };
    let references = References::for_all(Arc::new(LocalReference::new(Arc::clone(model))));
    let controller = Controller::new(
        validator.hotkey(),
        store.clone(),
        querier,
        client,
        Box::new(Listed(nodes.to_vec())),
        market.clone(),
        settings,
        system_clock(),
    );
    let scorer = Scorer::new(store.clone(), market.clone(), floor, references, system_clock());
    Process { controller: Arc::new(controller), scorer, market, samples: Some(samples) }
}

impl Process {
    fn spawn(&mut self, shutdown: &Shutdown) {
        let (controller, stop) = (Arc::clone(&self.controller), shutdown.clone());
        shutdown.spawn("counters", async move { controller.keep_counters(&stop).await });
        let (controller, stop) = (Arc::clone(&self.controller), shutdown.clone());
        let samples = self.samples.take().unwrap();
        shutdown.spawn("samples", async move { controller.keep_samples(samples, &stop).await });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_validator_resumes_its_period() {
    let folder = tempfile::tempdir().unwrap();
    resumes_its_period(Store::open(folder.path()).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_validator_resumes_its_period_on_postgres() {
    let Some(server) = Postgres::start() else { return };
    resumes_its_period(Store::connect(&server.url()).await.unwrap()).await;
}

async fn resumes_its_period(store: Store) {
    let model = Arc::new(LanguageModel::random("m", 2, 1).unwrap());
    let handshakes = Arc::new(AtomicU32::new(0));
    let nodes = [
        miner("//Bob", 1, &model, &handshakes).await,
        miner("//Charlie", 2, &model, &handshakes).await,
        // The validator itself, and an unreachable miner.
        FoundNode { uid: Uid(0), hotkey: key("//Alice").hotkey(), address: "127.0.0.1:9".parse().unwrap() },
        FoundNode { uid: Uid(3), hotkey: key("//Dave").hotkey(), address: "127.0.0.1:9".parse().unwrap() },
    ];
    let total = async |store: &Store, period| -> f64 {
        store.contenders(PeriodId(period)).await.unwrap().iter().map(|row| row.counts.total_requests).sum()
    };
    let mut first = process(&store, &nodes, &model);
    let shutdown = Shutdown::new();
    first.spawn(&shutdown);
    // Killed in the middle of its first period.
    let counted = async {
        while total(&store, 1).await < 2.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        ended = first.controller.period() => panic!("the period is over: {ended:?}"),
        () = counted => {}
    }
    shutdown.request();
    let before = total(&store, 1).await;
    assert!(before > 0.0);
    drop(first);
    // Another process resumes it with the same keys.
    let mut second = process(&store, &nodes, &model);
    let shutdown = Shutdown::new();
    second.spawn(&shutdown);
    assert!(second.controller.period().await.unwrap());
    assert_eq!(store.newest_period().await.unwrap().unwrap().id, PeriodId(1));
    assert!(total(&store, 1).await >= before);
    let planned = store.budgets(PeriodId(1)).await.unwrap()[0].planned as f64;
    assert!(total(&store, 1).await <= planned, "no request is planned twice");
    assert!(second.controller.period().await.unwrap());
    assert_eq!(handshakes.load(Ordering::SeqCst), 2, "keys are kept from period to period");
    second.controller.close().await.unwrap();
    let history = store.history_since(0).await.unwrap();
    assert_eq!(history.len(), 4, "two miners, two periods, once each");
    assert!(history.iter().all(|row| row.score.is_some_and(|score| score > 0.99)), "{history:?}");
    // The answers are checked, and result in weights.
    while second.scorer.check_next().await.unwrap() {}
    let report = market_report(&store, &second.market.current(), i64::MAX).await.unwrap();
    assert!(report.miners.is_empty(), "all of it is too old by then");
    // Answers are checked after their period has closed.
    let now = store.newest_period().await.unwrap().unwrap().closed_ms.unwrap() + 60_000;
    let report = market_report(&store, &second.market.current(), now).await.unwrap();
    assert_eq!(report.miners.iter().map(|miner| miner.uid.0).collect::<Vec<_>>(), [1, 2]);
    assert!((report.miners.iter().map(|miner| miner.weight).sum::<f64>() - 1.0).abs() < 1e-9);
    for miner in &report.miners {
        assert!(miner.tasks[0].average_quality > 0.99, "{miner:?}");
    }
    shutdown.request();
}
