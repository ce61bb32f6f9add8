//! Every serving command: how to start it, and which requests it reads.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use taonet_database::testing::{Nats, Postgres};
use taonet_nineteen_transport::FiberScheme;
use taonet_proof_api::ApiKeys;
use taonet_wallet::Keypair;
use taonet_wire::{BabelbitScheme, BtauthScheme, Peer, Scheme, Signer};

use super::attack::{BodyRoute, HeaderBuilder, Listener};
use crate::axon::BOB;
use crate::support::{
    Daemon, document, free_address, local_bb, repository, require_sentence_model, tao,
};

/// A name, the options for its listen addresses, and how to start it.
pub(crate) type DaemonCase = (&'static str, &'static [&'static str], fn(&Path) -> StartedDaemon);

const LISTEN_AND_METRICS: &[&str] = &["--listen", "--metrics"];
const METRICS: &[&str] = &["--metrics"];

/// Every serving command.
pub(crate) const DAEMONS: [DaemonCase; 21] = [
    ("tao axon serve", LISTEN_AND_METRICS, axon),
    ("tao dashboard", LISTEN_AND_METRICS, dashboard),
    ("tao localnet start", LISTEN_AND_METRICS, localnet),
    ("tao babelbit arena-gateway", LISTEN_AND_METRICS, arena_gateway),
    ("tao babelbit engine", LISTEN_AND_METRICS, engine),
    ("tao babelbit miner", LISTEN_AND_METRICS, miner),
    ("tao babelbit runner", METRICS, runner),
    ("tao babelbit scorer", METRICS, scorer),
    ("tao babelbit scoring-api", LISTEN_AND_METRICS, scoring_api),
    ("tao babelbit signer", LISTEN_AND_METRICS, signer),
    ("tao babelbit subtensor-gateway", LISTEN_AND_METRICS, subtensor_gateway),
    ("tao babelbit validate", METRICS, validate),
    ("tao nineteen entry", LISTEN_AND_METRICS, nineteen_entry),
    ("tao nineteen miner", LISTEN_AND_METRICS, nineteen_miner),
    ("tao nineteen model", LISTEN_AND_METRICS, nineteen_model),
    ("tao nineteen query", METRICS, nineteen_query),
    ("tao nineteen validator", LISTEN_AND_METRICS, nineteen_validator),
    ("tao prompting miner", LISTEN_AND_METRICS, prompting_miner),
    ("tao prompting validator", METRICS, prompting_validator),
    ("tao proof miner", &["--listen", "--metrics", "--quic-port"], proof_miner),
    ("tao proof validator", &["--api", "--metrics"], proof_validator),
];

const JSON_CONTENT_TYPE: &str = "content-type: application/json\r\n";

/// A running command, and its listen addresses.
pub(crate) struct StartedDaemon {
    pub(crate) listeners: Vec<Listener>,
    /// Address of QUIC.
    pub(crate) quic: Option<SocketAddr>,
    running: Vec<BackgroundProcess>,
}

impl StartedDaemon {
    /// Returns a command whose services are not installed.
    fn unavailable() -> Self {
        Self { listeners: Vec::new(), quic: None, running: Vec::new() }
    }
}

#[expect(dead_code, reason = "ends when it is dropped")]
enum BackgroundProcess {
    Daemon(Daemon),
    Process(Process),
    Servers(Postgres, Nats),
}

/// A process without its own address, killed on drop.
struct Process(std::process::Child);

impl Process {
    /// Starts a command with a metrics address, and waits until it responds there.
    fn start(command: &mut Command, metrics: &str) -> Self {
        command.args(["--metrics", metrics]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Self(command.spawn().unwrap());
        while std::net::TcpStream::connect(metrics).is_err() {
            assert!(process.0.try_wait().unwrap().is_none(), "{command:?} ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn address(daemon: &Daemon) -> SocketAddr {
    daemon.url().split_once("://").unwrap().1.parse().unwrap()
}

/// Returns a metrics listener. It reads no bodies.
fn metrics_at(metrics: &str) -> Listener {
    Listener {
        address: metrics.parse().unwrap(),
        page: ("/metrics", 200),
        body_route: None,
        tls: None,
    }
}

/// Starts a daemon with a separate metrics listener.
fn start(
    command: &mut Command,
    page: (&'static str, u16),
    body_route: impl FnOnce(&Daemon) -> BodyRoute,
) -> StartedDaemon {
    let metrics = free_address();
    let daemon = Daemon::start(command.args(["--metrics", &metrics]));
    let main_listener = Listener {
        address: address(&daemon),
        page,
        body_route: Some(body_route(&daemon)),
        tls: None,
    };
    StartedDaemon {
        listeners: vec![main_listener, metrics_at(&metrics)],
        quic: None,
        running: vec![BackgroundProcess::Daemon(daemon)],
    }
}

/// Starts a daemon that serves only metrics.
fn start_process(command: &mut Command) -> StartedDaemon {
    let metrics = free_address();
    let process = Process::start(command, &metrics);
    StartedDaemon {
        listeners: vec![metrics_at(&metrics)],
        quic: None,
        running: vec![BackgroundProcess::Process(process)],
    }
}

/// Returns a route that reads anyone's body.
fn open_route(path: &'static str, complete_body: (&'static str, u16)) -> BodyRoute {
    BodyRoute { path, headers: Arc::new(|_, _| JSON_CONTENT_TYPE.to_owned()), complete_body }
}

fn development_key(caller: u16) -> Keypair {
    Keypair::from_uri(&format!("//Caller{caller}")).unwrap()
}

/// Signed headers for a request to //Bob.
fn signed_headers<S: Scheme + Copy>(
    daemon: &Daemon,
    path: &'static str,
    name: &'static str,
    scheme: S,
) -> HeaderBuilder {
    let (to, hotkey) = (address(daemon), Keypair::from_uri("//Bob").unwrap().hotkey());
    let peer = Peer::new(hotkey, to.ip().to_string(), to.port()).unwrap();
    let signers: Vec<_> =
        (0..=8).map(|caller| Signer::new(development_key(caller), "127.0.0.1", scheme)).collect();
    Arc::new(move |body, caller| {
        let signer = &signers[usize::from(caller)];
        let headers = signer
            .headers(&peer, &Method::POST, path, name, Duration::from_secs(10), body)
            .unwrap();
        let lines =
            headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
        lines.chain([JSON_CONTENT_TYPE.to_owned()]).collect()
    })
}

fn axon(_: &Path) -> StartedDaemon {
    start(&mut axon_serve(), ("/healthz", 200), |daemon| BodyRoute {
        path: "/echo",
        headers: signed_headers(daemon, "/echo", "", BtauthScheme::default()),
        complete_body: ("{}", 200),
    })
}

fn axon_serve() -> Command {
    let mut axon = tao();
    axon.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").args(["axon", "serve", "--key-uri", "//Bob"]);
    axon.args(["--scheme", "btauth"]);
    axon
}

/// Starts an axon, and its streaming route.
pub(crate) fn streaming_axon() -> (Daemon, Listener, BodyRoute) {
    let axon = Daemon::start(&mut axon_serve());
    let streams = BodyRoute {
        path: "/stream",
        headers: signed_headers(&axon, "/stream", "", BtauthScheme::default()),
        complete_body: ("", 200),
    };
    let listener =
        Listener { address: address(&axon), page: ("/healthz", 200), body_route: None, tls: None };
    (axon, listener, streams)
}

/// The dashboard reads bodies of visitors who speak to a miner; requests must come from its own
/// pages.
fn dashboard(folder: &Path) -> StartedDaemon {
    let miners = folder.join("miners.json");
    let listed =
        json!([{ "uid": 1, "hotkey": development_key(1).hotkey(), "address": free_address() }]);
    std::fs::write(&miners, listed.to_string()).unwrap();
    let mut dashboard = tao();
    dashboard.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").env("BB_DEV_MODE", "1");
    dashboard
        .args(["dashboard", "--key-uri", "//Alice", "--state"])
        .arg(folder)
        .arg("--miners")
        .arg(miners);
    start(&mut dashboard, ("/healthz", 200), |daemon| {
        let headers = format!("origin: http://{}\r\n{JSON_CONTENT_TYPE}", address(daemon));
        BodyRoute {
            path: "/try/visits",
            headers: Arc::new(move |_, _| headers.clone()),
            complete_body: ("{}", 400),
        }
    })
}

fn localnet(_: &Path) -> StartedDaemon {
    const COMPLETE_REQUEST: &str =
        r#"{"jsonrpc": "2.0", "id": 1, "method": "system_name", "params": []}"#;
    let mut localnet = tao();
    localnet.args(["localnet", "start", "--memory", "--block-time", "manual"]);
    start(&mut localnet, ("/", 405), |_| open_route("/", (COMPLETE_REQUEST, 200)))
}

fn arena_gateway(folder: &Path) -> StartedDaemon {
    let mut gateway = local_bb();
    gateway.args(["arena-gateway", "--key-uri", "//gateway", "--state"]).arg(folder.join("arena"));
    start(&mut gateway, ("/healthz", 200), |_| open_route("/runsync", ("{}", 422)))
}

/// The engine reads bodies only with a token, except on the route that issues tokens, which has a
/// rate limit.
fn engine(_: &Path) -> StartedDaemon {
    let mut engine = local_bb();
    engine.arg("engine").arg(repository("tests/e2e/data/ferry.json"));
    start(&mut engine, ("/healthz", 200), |daemon| {
        let tokens: Vec<_> =
            (0..=8).map(|caller| token(daemon, &development_key(caller))).collect();
        BodyRoute {
            path: "/solo/next",
            headers: Arc::new(move |_, caller| {
                format!(
                    "authorization: Bearer {}\r\n{JSON_CONTENT_TYPE}",
                    tokens[usize::from(caller)]
                )
            }),
            complete_body: (r#"{"session_id": "none"}"#, 404),
        }
    })
}

/// Returns a token of the engine.
fn token(engine: &Daemon, key: &Keypair) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::new();
        let post = async |path: &str, body: &Value| {
            let response = client
                .post(format!("{}{path}", engine.url()))
                .body(body.to_string())
                .send()
                .await
                .unwrap();
            response.json::<Value>().await.unwrap()
        };
        let challenge = post("/auth", &json!({})).await;
        let text = challenge["challenge"].as_str().unwrap();
        let verification = json!({
            "hotkey": key.hotkey(), "message": text, "timestamp": challenge["timestamp"],
            "signature": key.sign(text.as_bytes()).to_bare_hex(),
        });
        let token = post("/auth/verify", &verification).await;
        token["access_token"].as_str().unwrap_or_else(|| panic!("{token}")).to_owned()
    })
}

fn miner(_: &Path) -> StartedDaemon {
    start(
        local_bb().args(["miner", "--profile", "parrot", "--key-uri", "//Bob"]),
        ("/healthz", 200),
        predict_route,
    )
}

/// Returns the route of Babelbit's miner.
fn predict_route(miner: &Daemon) -> BodyRoute {
    let headers = signed_headers(miner, "/v1/predict", "", BabelbitScheme::axon());
    BodyRoute { path: "/v1/predict", headers, complete_body: ("{}", 422) }
}

fn scoring_api(folder: &Path) -> StartedDaemon {
    let mut scoring = local_bb();
    scoring.args(["scoring-api", "--state"]).arg(folder.join("scoring"));
    let mut started =
        start(&mut scoring, ("/healthz", 200), |_| open_route("/v1/submit", ("{}", 400)));
    // Submissions with a file have separate request slots.
    let headers = |_: &[u8], _: u16| "content-type: multipart/form-data; boundary=x\r\n".to_owned();
    let forms = BodyRoute {
        path: "/v1/submit-artifact",
        headers: Arc::new(headers),
        complete_body: ("--x--\r\n", 400),
    };
    let address = started.listeners[0].address;
    started.listeners.push(Listener {
        address,
        page: ("/healthz", 200),
        body_route: Some(forms),
        tls: None,
    });
    started
}

fn scorer(_: &Path) -> StartedDaemon {
    let unused_address = free_address();
    let mut scorer = local_bb();
    scorer
        .arg("scorer")
        .env("NATS_URL", format!("nats://{unused_address}"))
        .env("S3_BUCKET_NAME", "replies");
    scorer.env("DATABASE_URL", format!("postgres://scorer@{unused_address}/scorer"));
    start_process(scorer.env("S3_ENDPOINT_URL", format!("http://{unused_address}")))
}

fn subtensor_gateway(folder: &Path) -> StartedDaemon {
    let unreachable_url = format!("ws://{}", free_address());
    let mut gateway = local_bb();
    gateway.args([
        "subtensor-gateway",
        "--key-uri",
        "//Alice",
        "--network",
        &unreachable_url,
        "--state",
    ]);
    gateway.arg(folder.join("gateway"));
    start(&mut gateway, ("/healthz", 200), |_| {
        open_route("/v1/weights/set_and_confirm", ("{}", 400))
    })
}

fn signer(folder: &Path) -> StartedDaemon {
    let mut signer = local_bb();
    signer.args(["signer", "--key-uri", "//Alice", "--audit-log"]).arg(folder.join("audit"));
    signer.env("SUBTENSOR_GATEWAY_URL", format!("http://{}", free_address()));
    start(&mut signer, ("/healthz", 200), |_| open_route("/sign", ("{}", 400)))
}

fn runner(folder: &Path) -> StartedDaemon {
    start_process(without_peers("runner", folder).arg("--keep").arg(folder.join("runner")))
}

fn validate(folder: &Path) -> StartedDaemon {
    start_process(
        without_peers("validate", folder).arg("--state").arg(folder.join("validator.json")),
    )
}

/// Returns a command whose services are unreachable.
fn without_peers(command: &str, folder: &Path) -> Command {
    require_sentence_model();
    let unused_url = format!("http://{}", free_address());
    let mut bb = local_bb();
    bb.args([command, "--key-uri", "//Alice"])
        .env("SUBTENSOR_GATEWAY_URL", &unused_url)
        .env("SIGNER_URL", &unused_url);
    bb.env("BB_UTTERANCE_ENGINE_URL", &unused_url).env("BB_SUBMIT_API_URL", &unused_url);
    bb.env("BT_CHAIN_ENDPOINT", unused_url.replace("http", "ws"))
        .env("BABELBIT_CACHE_DIR", folder.join("cache"));
    bb
}

fn nineteen_miner(_: &Path) -> StartedDaemon {
    // A call is named by the ID of its symmetric key.
    const KEY_ID: &str = "0000000000000000000000000000000000000000000000000000000000000000";
    let mut miner = tao();
    miner.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").args([
        "nineteen",
        "miner",
        "--key-uri",
        "//Bob",
    ]);
    miner.args([
        "--no-metagraph",
        "--backend-url",
        "http://127.0.0.1:9/v1",
        "--task",
        "chat@600=model",
    ]);
    start(&mut miner, ("/healthz", 200), |daemon| BodyRoute {
        path: "/exchange-symmetric-key",
        headers: signed_headers(daemon, "/exchange-symmetric-key", KEY_ID, FiberScheme::default()),
        complete_body: ("{}", 422),
    })
}

fn nineteen_model(_: &Path) -> StartedDaemon {
    let mut model = tao();
    model.args(["nineteen", "model", "--layers", "1"]);
    start(&mut model, ("/healthz", 200), |_| open_route("/v1/completions", ("{}", 400)))
}

/// Entry processes and query workers do not start without their services. `None` if one is not
/// installed.
fn nineteen_servers() -> Option<(Postgres, Nats)> {
    Some((Postgres::start()?, Nats::start()?))
}

fn nineteen_entry(_: &Path) -> StartedDaemon {
    let Some((postgres, nats)) = nineteen_servers() else { return StartedDaemon::unavailable() };
    let mut entry = tao();
    entry
        .env("DATABASE_URL", postgres.url())
        .env("NATS_URL", nats.url())
        .args(["nineteen", "entry"]);
    entry.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local");
    let mut started = start(&mut entry, ("/healthz", 200), |_| {
        let mut keys = tao();
        keys.env("DATABASE_URL", postgres.url()).args(["nineteen", "keys", "--json"]);
        paid_route(&mut keys)
    });
    started.running.push(BackgroundProcess::Servers(postgres, nats));
    started
}

fn nineteen_query(_: &Path) -> StartedDaemon {
    let Some((postgres, nats)) = nineteen_servers() else { return StartedDaemon::unavailable() };
    let mut query = tao();
    query.env("DATABASE_URL", postgres.url()).env("NATS_URL", nats.url());
    query.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").args([
        "nineteen",
        "query",
        "--key-uri",
        "//Alice",
    ]);
    let mut started = start_process(&mut query);
    started.running.push(BackgroundProcess::Servers(postgres, nats));
    started
}

/// Returns the route for chats of a gateway whose keys this command manages.
fn paid_route(keys: &mut Command) -> BodyRoute {
    let created_key =
        document(&keys.args(["create", "--name", "caller", "--rate", "1000000"]).output().unwrap());
    let headers = format!(
        "authorization: Bearer {}\r\n{JSON_CONTENT_TYPE}",
        created_key["key"].as_str().unwrap()
    );
    BodyRoute {
        path: "/v1/chat/completions",
        headers: Arc::new(move |_, _| headers.clone()),
        complete_body: ("{}", 400),
    }
}

fn nineteen_validator(folder: &Path) -> StartedDaemon {
    let state = folder.join("market");
    let chain = Daemon::start(tao().args(["localnet", "start", "--memory"]));
    let mut market = tao();
    market.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local");
    market.args([
        "nineteen",
        "validator",
        "--key-uri",
        "//Alice",
        "--network",
        &chain.url().replace("http", "ws"),
    ]);
    let mut started = start(market.arg("--state").arg(&state), ("/healthz", 200), |_| {
        let mut keys = tao();
        paid_route(keys.args(["nineteen", "keys", "--json", "--state"]).arg(&state))
    });
    started.running.push(BackgroundProcess::Daemon(chain));
    started
}

/// Starts a miner on a chain where it is registered. It refuses callers without a permit before it
/// reads their bodies.
fn prompting_miner(folder: &Path) -> StartedDaemon {
    let chain = Daemon::start(tao().args(["localnet", "start", "--memory"]));
    let network = chain.url().replace("http", "ws");
    let mut register = tao();
    register.args([
        "register",
        "--netuid",
        "59",
        "--key-uri",
        "//Alice",
        "--hotkey-ss58",
        BOB,
        "--yes",
    ]);
    let registered = register.args(["--network", &network]).output().unwrap();
    assert!(registered.status.success(), "{registered:?}");
    let answers = folder.join("answers.jsonl");
    std::fs::write(&answers, "{\"question\": \"Who?\", \"answer\": \"Nobody.\"}").unwrap();
    let metrics = free_address();
    let mut miner = tao();
    miner.args(["prompting", "miner", "--netuid", "59", "--key-uri", "//Bob"]);
    miner.args(["--network", &network, "--metrics", &metrics, "--canned"]).arg(answers);
    let daemon = Daemon::start(&mut miner);
    // Requests without a signature get status 500, as from the SDK.
    let main_listener = Listener {
        address: address(&daemon),
        page: ("/Synapse", 500),
        body_route: None,
        tls: None,
    };
    StartedDaemon {
        listeners: vec![main_listener, metrics_at(&metrics)],
        quic: None,
        running: vec![BackgroundProcess::Daemon(daemon), BackgroundProcess::Daemon(chain)],
    }
}

fn prompting_validator(folder: &Path) -> StartedDaemon {
    let chain = Daemon::start(tao().args(["localnet", "start", "--memory"]));
    let questions = folder.join("questions.jsonl");
    std::fs::write(&questions, "{\"question\": \"Who?\"}").unwrap();
    let mut validator = tao();
    validator.args([
        "prompting",
        "validator",
        "--netuid",
        "59",
        "--key-uri",
        "//Alice",
        "--embedder",
        "words",
    ]);
    validator
        .args(["--network", &chain.url().replace("http", "ws"), "--state"])
        .arg(folder.join("prompting"));
    let mut started = start_process(validator.arg("--questions").arg(questions));
    started.running.push(BackgroundProcess::Daemon(chain));
    started
}

fn proof_miner(folder: &Path) -> StartedDaemon {
    let circuit = crate::proof::compile(folder, "diabetes-regression", "stark");
    let quic: SocketAddr = free_address().parse().unwrap();
    let mut miner = crate::proof::miner("//Bob", &circuit);
    miner.args(["--quic-port", &quic.port().to_string()]);
    let mut started = start(&mut miner, ("/healthz", 200), |daemon| BodyRoute {
        path: "/query-zk-proof",
        headers: signed_headers(daemon, "/query-zk-proof", "", BtauthScheme::default()),
        complete_body: ("{}", 422),
    });
    started.quic = Some(quic);
    started
}

/// Starts a validator with its user API.
fn proof_validator(folder: &Path) -> StartedDaemon {
    /// Number of users. Each may send 600 requests per minute.
    const USERS: usize = 200;
    let circuit = crate::proof::compile(folder, "diabetes-regression", "stark");
    let (state, path, api) = (folder.join("proof"), folder.join("keys.json"), free_address());
    let mut keys = ApiKeys::open(&path).unwrap();
    let tokens: Vec<_> =
        (0..USERS).map(|user| keys.add(&format!("user {user}"), &path).unwrap()).collect();
    let mut validator = crate::proof::validator("//Alice", &circuit, &state);
    validator
        .args(["--peer", &format!("{BOB}@{}", free_address()), "--api", &api, "--api-keys"])
        .arg(&path);
    let mut started = start_process(&mut validator);
    let start = Instant::now();
    while std::net::TcpStream::connect(&api).is_err() {
        assert!(start.elapsed() < Duration::from_mins(1), "the API does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let next = AtomicUsize::new(0);
    let headers = move |_: &[u8], _: u16| {
        let token = &tokens[next.fetch_add(1, Ordering::Relaxed) % USERS];
        format!("authorization: Bearer {token}\r\n{JSON_CONTENT_TYPE}")
    };
    let body_route =
        BodyRoute { path: "/v1/proofs", headers: Arc::new(headers), complete_body: ("{}", 422) };
    let tls = Some(client_config(&state.join("api-certificate.pem")));
    let address = api.parse().unwrap();
    started.listeners.push(Listener {
        address,
        page: ("/healthz", 200),
        body_route: Some(body_route),
        tls,
    });
    started
}

/// Configuration of a TLS client that trusts this certificate.
fn client_config(certificate: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}
