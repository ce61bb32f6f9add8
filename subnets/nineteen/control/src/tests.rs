use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use taonet_chain::testing::{self, MockChain};
use taonet_chain::{Axon, Metagraph};
use taonet_http::testing::listen;
use taonet_lm::server::router;
use taonet_lm::{EngineSettings, LanguageModel};
use taonet_neuron::{AddressPolicy, Neuron};
use taonet_nineteen_checker::{CheckingServer, LocalReference};
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_core::task::{Endpoint, TaskType};
use taonet_nineteen_query::{Market, Querier, QueryDeadlines};
use taonet_nineteen_store::{PeriodId, Sample, Store};
use taonet_nineteen_transport::{
    CONCURRENCY, FiberClient, FiberRules, MinerHandshake, RsaKey, Trust, routes, signed_requests,
};
use taonet_primitives::{BlockNumber, NetUid, Uid};
use taonet_service::{Shutdown, monotonic_clock, system_clock};
use taonet_testing::CapturedLog;
use taonet_wallet::Keypair;
use taonet_wire::{ClientConfig, Peer, SystemClock};
use tokio::sync::mpsc;

use super::*;

mod handshake_log;
mod late_miners;
mod registered;
mod resume;

const TASKS: &str = r#"
period_profile = "seed"
period = 6

[[tasks]]
task = "chat-a"
task_type = "text"
max_capacity = 900000
volume_to_requests_conversion = 10
weight = 1.0
timeout = 60
is_stream = true
endpoint = "/chat/completions"
synthetic_generation_config = { func = "generate_chat_synthetic", kwargs = { max_tokens = 8, max_words = 8 } }

[tasks.orchestrator_server_config]
server_needed = "llm_server"
checking_function = "check_text_result"
load_model_config = { model = "m" }
"#;

/// Netuid of the subnet.
const NETUID: NetUid = NetUid(19);

/// Returns the metagraph of the subnet with these neurons.
fn subnet(neurons: &[Neuron]) -> Metagraph {
    let owner = key("//owner");
    let axon = |address| Axon { address, protocol: 4, version: 1, block: BlockNumber::new(0) };
    let neuron = |neuron: &Neuron| taonet_chain::Neuron {
        axon: neuron.address.map(axon),
        ..testing::neuron(neuron.uid, neuron.hotkey, owner.public().coldkey())
    };
    let neurons = neurons.iter().map(neuron).collect();
    Metagraph { neurons, ..testing::metagraph(NETUID, &owner) }
}

/// Returns a chain whose subnet has these neurons.
fn chain(neurons: &[Neuron]) -> MockChain {
    let chain = MockChain::default();
    chain.set_metagraph(subnet(neurons));
    chain
}

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

fn neuron(uid: u16, keypair: &Keypair, address: SocketAddr) -> Neuron {
    Neuron::new(Uid(uid), keypair.hotkey(), Some(address))
}

/// Starts a miner that offers the maximum capacity and answers with a model.
async fn miner(
    uri: &str,
    uid: u16,
    model: &Arc<LanguageModel>,
    handshakes: &Arc<AtomicU32>,
) -> Neuron {
    gated_miner(uri, uid, model, handshakes, Arc::new(AtomicBool::new(true))).await
}

/// Starts a miner that refuses all requests until `is_open` is set.
async fn gated_miner(
    uri: &str,
    uid: u16,
    model: &Arc<LanguageModel>,
    handshakes: &Arc<AtomicU32>,
    is_open: Arc<AtomicBool>,
) -> Neuron {
    let backend = listen(router(Arc::clone(model), EngineSettings::default()).unwrap()).await;
    let chat = move |Json(mut payload): Json<Value>| async move {
        payload.as_object_mut().unwrap().shift_remove("nonce");
        let url = format!("http://{backend}/v1/chat/completions");
        axum::body::Body::from_stream(post_json(&url, &payload).await)
    };
    let capacity =
        || async { ([(CONCURRENCY, "7")], Json(json!({"miner_type": "text", "chat-a": 1e9}))) };
    let sealed =
        Router::new().route("/chat/completions", post(chat)).route("/capacity", post(capacity));
    let keypair = key(uri);
    let signed = signed_requests(keypair.hotkey(), FiberRules::Strict).build();
    let handshake =
        MinerHandshake::new(keypair.clone(), RsaKey::generate().unwrap(), FiberRules::Strict);
    let count = Arc::clone(handshakes);
    let gate_and_count = axum::middleware::from_fn(
        move |request: axum::extract::Request, next: axum::middleware::Next| {
            let is_open = is_open.load(Ordering::SeqCst);
            if is_open && request.uri().path() == "/exchange-symmetric-key" {
                count.fetch_add(1, Ordering::SeqCst);
            }
            async move {
                if is_open {
                    return next.run(request).await;
                }
                axum::response::IntoResponse::into_response(
                    axum::http::StatusCode::SERVICE_UNAVAILABLE,
                )
            }
        },
    );
    let address = listen(routes(handshake, signed, sealed).layer(gate_and_count)).await;
    neuron(uid, &keypair, address)
}

/// Posts JSON over a plain TCP connection; returns the response body.
async fn post_json(
    url: &str,
    payload: &Value,
) -> impl futures::Stream<Item = std::io::Result<Vec<u8>>> + use<> {
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

/// Components of one validator process.
struct Process {
    controller: Arc<Controller>,
    scorer: Scorer,
    market: MarketFile,
    live_market: Market,
    samples: Option<mpsc::Receiver<Sample>>,
}

fn process(store: &Store, nodes: &[Neuron], model: &Arc<LanguageModel>) -> Process {
    process_on(store, chain(nodes), model)
}

fn process_on(store: &Store, chain: MockChain, model: &Arc<LanguageModel>) -> Process {
    let validator = key("//Alice");
    let client = FiberClient::new(
        validator.clone(),
        Trust::Signed,
        ClientConfig::default(),
        Arc::new(SystemClock),
    )
    .unwrap();
    let (sender, samples) = mpsc::channel(64);
    let live_market = Market::default();
    let clocks = (system_clock(), monotonic_clock());
    let querier = Querier::new(
        client.clone(),
        live_market.clone(),
        QueryDeadlines::default(),
        8,
        clocks,
        sender,
    );
    let market = MarketFile::from_config(MarketConfig::from_toml(TASKS).unwrap());
    let settings = ControlSettings {
        addresses: AddressPolicy::private(),
        capacity_retry_interval: Duration::from_millis(100),
        retry_delay: Duration::from_millis(20),
        seed: Some(4),
        ..ControlSettings::default()
    };
    let references = References::for_all(Arc::new(LocalReference::new(Arc::clone(model))));
    let controller = Controller::new(
        validator.hotkey(),
        store.clone(),
        querier,
        client,
        Arc::new(chain),
        NETUID,
        market.clone(),
        settings,
        system_clock(),
    );
    let scorer =
        Scorer::new(store.clone(), market.clone(), live_market.clone(), references, system_clock());
    Process {
        controller: Arc::new(controller),
        scorer,
        market,
        live_market,
        samples: Some(samples),
    }
}

impl Process {
    fn spawn(&mut self, shutdown: &Shutdown) {
        let (controller, stop) = (Arc::clone(&self.controller), shutdown.clone());
        shutdown.spawn("counters", async move { controller.recorder().sync_counters(&stop).await });
        let (controller, stop) = (Arc::clone(&self.controller), shutdown.clone());
        let samples = self.samples.take().unwrap();
        shutdown.spawn("samples", async move {
            controller.recorder().store_samples(samples, &stop).await;
        });
    }
}

/// Returns a stored answer of the miner Bob.
fn sample(task: &str, request: &Value, answer: &Value) -> Sample {
    Sample {
        job_id: format!("{task} {request}"),
        period: PeriodId(1),
        task: task.parse().unwrap(),
        hotkey: key("//Bob").hotkey(),
        uid: Uid(1),
        synthetic: true,
        request: request.to_string(),
        answer: answer.to_string(),
        work: 1.0,
        response_time: None,
        created_ms: 0,
    }
}

async fn checking_server(router: Router, path: &str) -> CheckingServer {
    let url = format!("http://{}{path}", listen(router).await).parse().unwrap();
    CheckingServer::new(&url, None, Duration::from_mins(1)).unwrap()
}

/// Each check uses the current configuration, so a task that a reload adds is checked immediately.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_added_by_a_reload_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.toml");
    std::fs::write(&path, TASKS).unwrap();
    let market = MarketFile::open(&path).unwrap();
    let model = Arc::new(LanguageModel::random("m", 2, 1).unwrap());
    let server = checking_server(router(model, EngineSettings::default()).unwrap(), "/v1").await;
    let references = References::default().with_text_server(server, None);
    let store = Store::open(folder.path()).await.unwrap();
    let scorer =
        Scorer::new(store.clone(), market.clone(), Market::default(), references, system_clock());
    let request = json!({"messages": [{"role": "user", "content": "a"}], "max_tokens": 8});
    let chunk = json!({"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [{"logprob": -1.0}]}}]});
    store.put_sample(&sample("chat-b", &request, &json!([chunk])), 1.0).await.unwrap();
    assert!(!scorer.check_next().await.unwrap(), "the task is unknown");
    let (_, task) = TASKS.split_once("[[tasks]]").unwrap();
    std::fs::write(&path, format!("{TASKS}\n[[tasks]]{}", task.replace("chat-a", "chat-b")))
        .unwrap();
    market.reload();
    assert!(scorer.check_next().await.unwrap());
    let rewards = store.rewards_since(0).await.unwrap();
    assert!(
        rewards[0].task.as_str() == "chat-b" && rewards[0].reward.quality.is_some(),
        "{rewards:?}"
    );
}

/// A hotkey that has signed an encryption key must sign every later one, even if the validator also
/// accepts miners that sign nothing.
#[tokio::test]
async fn removed_key_signature_is_rejected() {
    let (lines, _guard) = CapturedLog::start();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let clock = Arc::new(SystemClock);
    let client =
        FiberClient::new(key("//Alice"), Trust::Any, ClientConfig::default(), clock).unwrap();
    let config = MarketConfig::from_toml(TASKS).unwrap();
    // A man in the middle removes the signatures while this is above 0.
    let removes_signatures = Arc::new(AtomicU32::new(0));
    let mut nodes = Vec::new();
    for (uri, uid) in [("//Bob", 1), ("//Charlie", 2)] {
        let keypair = key(uri);
        let signed = signed_requests(keypair.hotkey(), FiberRules::Strict).build();
        let handshake =
            MinerHandshake::new(keypair.clone(), RsaKey::generate().unwrap(), FiberRules::Strict);
        let capacity =
            || async { ([(CONCURRENCY, "7")], Json(json!({"miner_type": "text", "chat-a": 1e9}))) };
        let removes_signatures = Arc::clone(&removes_signatures);
        let remove_signatures = axum::middleware::from_fn(
            move |request: axum::extract::Request, next: axum::middleware::Next| {
                let removes_signatures = Arc::clone(&removes_signatures);
                async move {
                    let mut response = next.run(request).await;
                    // Charlie never signs, as with fiber.
                    if uid == 2 || removes_signatures.load(Ordering::SeqCst) > 0 {
                        response.headers_mut().remove("x-taonet-key-signature");
                        response.headers_mut().remove("x-taonet-exchange-signature");
                    }
                    response
                }
            },
        );
        let sealed = Router::new().route("/capacity", post(capacity));
        let address = listen(routes(handshake, signed, sealed).layer(remove_signatures)).await;
        nodes.push((
            Uid(uid),
            Peer::new(keypair.hotkey(), address.ip().to_string(), address.port()).unwrap(),
        ));
    }
    let log = onboarding::HandshakeLog::default();
    // Each call performs new handshakes, because no key is valid until `u64::MAX`.
    let offering_uids = async || -> Vec<u16> {
        store.replace_nodes(&nodes, &[], 1).await.unwrap();
        let stored_nodes = store.nodes().await.unwrap();
        let offers = onboarding::query_offers(
            &client,
            &log,
            &store,
            stored_nodes,
            &config,
            u64::MAX,
            || 0.5,
        )
        .await
        .unwrap();
        assert!(offers.iter().all(|offer| offer.contenders[0].concurrency == Some(7)));
        offers.iter().map(|offer| offer.contenders[0].uid.0).collect()
    };
    assert_eq!(offering_uids().await, [1, 2]);
    removes_signatures.store(1, Ordering::SeqCst);
    lines.take();
    assert_eq!(offering_uids().await, [2], "Bob's hotkey has signed before");
    let text = lines.take();
    assert!(
        text.contains(" WARN ")
            && text.contains("has signed its encryption keys before, but not this one"),
        "{text}"
    );
    removes_signatures.store(0, Ordering::SeqCst);
    assert_eq!(offering_uids().await, [1, 2]);
}

/// Objects that hide the nesting of their JSON are refused in a miner's capacity.
#[tokio::test]
async fn capacity_with_a_raw_value_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let clock = Arc::new(SystemClock);
    let client =
        FiberClient::new(key("//Alice"), Trust::Any, ClientConfig::default(), clock).unwrap();
    let config = MarketConfig::from_toml(TASKS).unwrap();
    let raw_value_field = r#","note":{"$serde_json::private::RawValue":"[1]"}"#;
    for (extra_json, offers) in [("", 1), (raw_value_field, 0)] {
        let keypair = key("//Bob");
        let signed = signed_requests(keypair.hotkey(), FiberRules::Strict).build();
        let handshake =
            MinerHandshake::new(keypair.clone(), RsaKey::generate().unwrap(), FiberRules::Strict);
        let body = format!(r#"{{"miner_type":"text","chat-a":1e9{extra_json}}}"#);
        let sealed = Router::new().route("/capacity", post(move || async move { body }));
        let address = listen(routes(handshake, signed, sealed)).await;
        let peer = Peer::new(keypair.hotkey(), address.ip().to_string(), address.port()).unwrap();
        store.replace_nodes(&[(Uid(1), peer)], &[], 1).await.unwrap();
        let (log, nodes) = (onboarding::HandshakeLog::default(), store.nodes().await.unwrap());
        let offered =
            onboarding::query_offers(&client, &log, &store, nodes, &config, u64::MAX, || 0.5);
        assert_eq!(offered.await.unwrap().len(), offers, "{extra_json}");
    }
}

/// The model that checks the answers writes the synthetic texts.
#[tokio::test(flavor = "multi_thread")]
async fn checking_model_writes_synthetic_texts() {
    let market = MarketFile::from_config(MarketConfig::from_toml(TASKS).unwrap());
    let requests = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&requests);
    let write = |Json(request): Json<Value>| async move {
        assert_eq!((&request["model"], &request["temperature"]), (&json!("m"), &json!(1.0)));
        let text = format!("\"text {}\"", count.fetch_add(1, Ordering::SeqCst));
        Json(json!({"choices": [{"message": {"role": "assistant", "content": text}}]}))
    };
    let server = checking_server(Router::new().route("/chat/completions", post(write)), "").await;
    let references = References::default().with_text_server(server, None);
    let (drafts, shutdown) = (synthetic::Drafts::default(), Shutdown::new());
    let (spawned_drafts, stop) = (drafts.clone(), shutdown.clone());
    shutdown.spawn("drafts", async move {
        spawned_drafts.refill_until_shutdown(&market, &references, &stop).await;
    });
    let mut texts = std::collections::HashSet::new();
    for _ in 0..20 {
        let draft = loop {
            match drafts.take() {
                Some(draft) => break draft,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        assert_eq!(draft.last().unwrap()["role"], "user");
        for message in &draft {
            assert!(
                texts.insert(message["content"].as_str().unwrap().to_owned()),
                "{message} came twice"
            );
        }
    }
    assert!(texts.contains("text 0"), "without the quotation marks: {texts:?}");
    shutdown.request();
    // A local reference model cannot generate text.
    let model = Arc::new(LanguageModel::random("m", 1, 1).unwrap());
    let references = References::for_all(Arc::new(LocalReference::new(model)));
    let market = MarketFile::from_config(MarketConfig::from_toml(TASKS).unwrap());
    let drafts = synthetic::Drafts::default();
    drafts.refill_until_shutdown(&market, &references, &Shutdown::new()).await;
    assert_eq!(drafts.take(), None);
}

/// Image and embedding miners earn quality where the validator has servers to check them.
#[tokio::test(flavor = "multi_thread")]
async fn images_and_embeddings_are_checked() {
    let mut config = MarketConfig::default();
    config
        .tasks
        .retain(|task| task.task.as_str() == "avatar" || task.task.as_str() == "chat-llama-3-2-3b");
    let embed = &mut config.tasks[0];
    (embed.task, embed.endpoint, embed.task_type) =
        ("embed".parse().unwrap(), Endpoint::Embeddings, TaskType::Embedding);
    let hashes = json!({"average_hash": "0f", "perceptual_hash": "0f", "difference_hash": "0f", "color_hash": "0f"});
    let picture = json!({"image_b64": "aQ==", "is_nsfw": false, "clip_embeddings": [1.0], "image_hashes": hashes});
    let painted = picture.clone();
    let images =
        Router::new().route("/avatar", post(move || std::future::ready(Json(painted.clone()))));
    let model = Arc::new(LanguageModel::random("m", 2, 1).unwrap());
    let vector = model.embed("a").unwrap().0;
    let references = References::default()
        .with_image_server(checking_server(images, "").await)
        .with_embedding_server(
            checking_server(router(model, EngineSettings::default()).unwrap(), "/v1").await,
        );
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let market = MarketFile::from_config(config);
    market.set_references(references.clone());
    assert!(market.current().tasks.iter().all(|task| task.checked));
    let scorer = Scorer::new(store.clone(), market, Market::default(), references, system_clock());
    let vectors = json!([{"data": [{"index": 0, "embedding": vector}]}]);
    for sample in [
        sample("embed", &json!({"input": ["a"], "model": "embed"}), &vectors),
        sample("avatar", &json!({"prompt": "a", "steps": 8}), &json!([picture])),
    ] {
        store.put_sample(&sample, 1.0).await.unwrap();
    }
    while scorer.check_next().await.unwrap() {}
    let rewards = store.rewards_since(0).await.unwrap();
    let qualities: Vec<_> = rewards.iter().map(|row| row.reward.quality).collect();
    assert_eq!(qualities, [Some(1.0); 2], "{rewards:?}");
}

/// The loops of a validator continue when the chain, the miners or the checked answers fail.
#[tokio::test(flavor = "multi_thread")]
async fn validator_loops_survive_failures() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let model = Arc::new(LanguageModel::random("m", 2, 1).unwrap());
    let handshakes = Arc::new(AtomicU32::new(0));
    // One miner answers, one is unreachable.
    let nodes = vec![
        miner("//Bob", 1, &model, &handshakes).await,
        neuron(3, &key("//Dave"), "127.0.0.1:9".parse().unwrap()),
    ];
    let chain = chain(&nodes);
    chain.lose_requests(3);
    let mut validator = process_on(&store, chain, &model);
    let shutdown = Shutdown::new();
    validator.spawn(&shutdown);
    let Process { controller, scorer, .. } = validator;
    let stop = shutdown.clone();
    let scoring = tokio::spawn(async move { scorer.run(&stop).await });
    let stop = shutdown.clone();
    let periods = tokio::spawn(async move { controller.run(&stop).await });
    // A sample without a valid answer, which no checker can check.
    let malformed_sample = Sample {
        request: "{".to_owned(),
        answer: "[".to_owned(),
        ..sample("chat-a", &json!({}), &json!([]))
    };
    store.put_sample(&malformed_sample, 1.0).await.unwrap();
    let start = std::time::Instant::now();
    let has_market_report = async || {
        let config = MarketConfig::from_toml(TASKS).unwrap();
        let Some(closed) = store.newest_period().await.unwrap().filter(|period| period.id.0 >= 2)
        else {
            return false;
        };
        let report = market_report(&store, &config, closed.started_ms + 60_000).await.unwrap();
        report.miners.len() == 1
    };
    while !has_market_report().await {
        assert!(start.elapsed() < Duration::from_mins(3), "a loop has stopped");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!scoring.is_finished() && !periods.is_finished());
    shutdown.request();
    scoring.await.unwrap();
    periods.await.unwrap();
}
