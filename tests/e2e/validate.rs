//! Validator, signer and subtensor gateway as processes, with a development chain.

mod kills;
mod python;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use taonet_wire::sorted_json;

use crate::chain::{BABELBIT, Chain};
use crate::support::{
    Daemon, KillOnDrop, assert_metrics_described, document, free_address, local_bb, refusal,
    repository, status, tao, wait_until_ready,
};
use crate::text_contest::{small_talk, text_engine};

/// A chain with a validator's wallet and one miner, an engine, a scoring API, and a file with a
/// token.
struct Network {
    chain: Chain,
    hotkey: String,
    uid: u64,
    miner_uid: u64,
    engine: Daemon,
    scoring: Scoring,
}

impl Network {
    fn start() -> Self {
        let chain = Chain::start();
        let (_, hotkey) = chain.wallet();
        let uid =
            chain.run_json(&["register", "--netuid", BABELBIT, "--yes"])["uid"].as_u64().unwrap();
        chain.run_json(&["stake", "add", "1000", "--netuid", BABELBIT, "--no-limit", "--yes"]);
        let miner = crate::chain::BOB;
        let registered =
            chain.alice(&["register", "--netuid", BABELBIT, "--yes", "--hotkey-ss58", miner]);
        let miner_uid = registered["uid"].as_u64().unwrap();
        chain.mine_to_epoch(BABELBIT);
        std::fs::write(chain.path("token"), "0123456789abcdef0123456789abcdef\n").unwrap();
        let engine =
            Daemon::start(local_bb().arg("engine").arg(repository("tests/e2e/data/ferry.json")));
        let scoring = Scoring::start(
            json!({ "scores": [{ "miner_hotkey": miner, "challenge_mean_score": 0.5 }] }),
        );
        Self { chain, hotkey, uid, miner_uid, engine, scoring }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.chain.path(name)
    }

    /// Returns a command with this network's settings: wallet and token file.
    fn bb(&self, command: &str) -> Command {
        let mut bb = local_bb();
        bb.arg(command)
            .env("BITTENSOR_WALLET_PATH", self.path("wallets"))
            .env("BB_API_TOKEN_FILE", self.path("token"));
        bb.env("BABELBIT_CACHE_DIR", self.path("cache"));
        bb
    }

    fn gateway(&self, listen: &str) -> Daemon {
        let mut gateway = self.bb("subtensor-gateway");
        gateway.args(["--network", self.chain.url(), "--state"]).arg(self.path("gateway"));
        Daemon::start_at(&mut gateway, listen)
    }

    fn signer(&self, listen: &str, gateway: &str) -> Daemon {
        let mut signer = self.bb("signer");
        signer
            .env("SUBTENSOR_GATEWAY_URL", gateway)
            .arg("--audit-log")
            .arg(self.path("audit.jsonl"));
        Daemon::start_at(&mut signer, listen)
    }

    /// Returns the command of a validator with an epoch every ten blocks, the subnet's tempo.
    fn validator(&self, signer: &str, gateway: &str) -> Command {
        let mut validator = self.bb("validate");
        validator
            .args(["--json", "--tempo", "10", "--arena-percent", "0", "--state"])
            .arg(self.path("validator.json"));
        validator.env("SIGNER_URL", signer).env("SUBTENSOR_GATEWAY_URL", gateway);
        validator
            .env("BB_SUBMIT_API_URL", &self.scoring.url)
            .env("BB_UTTERANCE_ENGINE_URL", self.engine.url());
        validator
    }

    /// Returns the validator's weights on the chain.
    fn weights(&self) -> Value {
        let result = self.chain.run_json(&[
            "weights",
            "show",
            "--netuid",
            BABELBIT,
            "--uid",
            &self.uid.to_string(),
        ]);
        result["rows"][0]["weights"].clone()
    }
}

/// A mock scoring API with fixed rows that records requests.
struct Scoring {
    url: String,
    questions: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Scoring {
    fn start(response: Value) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let questions: Arc<Mutex<Vec<String>>> = Arc::default();
        let handler_questions = Arc::clone(&questions);
        let router = axum::Router::new().fallback(move |uri: axum::http::Uri| {
            handler_questions.lock().unwrap().push(uri.to_string());
            let response = axum::Json(response.clone());
            async move { response }
        });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, questions, _runtime: runtime }
    }
}

#[test]
fn scores_of_the_text_contest_become_weights() {
    let mut network = Network::start();
    let folder = tempfile::tempdir().unwrap();
    network.engine = text_engine(&small_talk(folder.path()));
    let gateway = network.gateway("127.0.0.1:0");
    gateway.wait_until_ready();
    let signer = network.signer("127.0.0.1:0", gateway.url());
    let mut validator = network.validator(signer.url(), gateway.url());
    let report = document(&validator.args(["--contest", "text", "--once"]).output().unwrap());
    assert_eq!(
        (&report["decision"], &report["success"]),
        (&json!("scored"), &json!(true)),
        "{report}"
    );
    assert_eq!(network.weights(), json!([[network.miner_uid, 65_535]]));
    let questions = network.scoring.questions.lock().unwrap().clone();
    assert!(
        !questions.is_empty() && questions.iter().all(|question| question.contains("small-talk")),
        "{questions:?}"
    );
}

#[test]
fn scores_reach_the_chain_through_validator_signer_and_gateway() {
    let network = Network::start();
    let gateway = network.gateway("127.0.0.1:0");
    gateway.wait_until_ready();
    let signer = network.signer("127.0.0.1:0", gateway.url());
    let report =
        document(&network.validator(signer.url(), gateway.url()).arg("--once").output().unwrap());
    assert_eq!(
        (&report["decision"], &report["success"]),
        (&json!("scored"), &json!(true)),
        "{report}"
    );
    assert_eq!(report["weights"], json!({ "uids": [network.miner_uid], "weights": [1.0] }));
    assert_eq!(report["details"]["confirmation"], "weights_set");
    assert_eq!(network.weights(), json!([[network.miner_uid, 65_535]]));
    let questions = network.scoring.questions.lock().unwrap().clone();
    assert!(
        questions.iter().all(|question| question.starts_with("/v1/get_scores?hotkey=")),
        "{questions:?}"
    );
    assert_eq!(questions.len(), 2);

    // Without a signer the gateway is used; without the token, requests are rejected.
    let unused_url = format!("http://{}", free_address());
    document(&network.validator(&unused_url, gateway.url()).arg("--once").output().unwrap());
    let mut stranger = network.validator(signer.url(), gateway.url());
    let error =
        refusal(&stranger.arg("--once").env_remove("BB_API_TOKEN_FILE").output().unwrap(), 4);
    assert!(error.contains("status=401") && error.contains("set BB_API_TOKEN_FILE"), "{error}");

    // The ledger is locked by its gateway.
    let mut second_gateway = network.bb("subtensor-gateway");
    second_gateway
        .args(["--network", network.chain.url(), "--listen", "127.0.0.1:0", "--state"])
        .arg(network.path("gateway"));
    let error = refusal(&second_gateway.output().unwrap(), 1);
    assert!(error.contains("another process is using the weight ledger"), "{error}");
    assert_eq!(signer.terminate().code(), Some(0));
    assert_eq!(gateway.terminate().code(), Some(0));
    let audit = std::fs::read_to_string(network.path("audit.jsonl")).unwrap();
    assert!(audit.contains(r#""action":"set_weights""#), "{audit}");
}

#[test]
fn doctor_reports_refused_token_and_stopped_services_of_validator() {
    let network = Network::start();
    let gateway = network.gateway("127.0.0.1:0");
    gateway.wait_until_ready();
    let signer = network.signer("127.0.0.1:0", gateway.url());
    let other = network.path("other-token");
    std::fs::write(&other, "fedcba9876543210fedcba9876543210\n").unwrap();
    let stopped = format!("http://{}", free_address());
    let ok = "responds, and accepts the token";
    for (token, signer_url, status, seen, code) in [
        (network.path("token"), signer.url(), "ok", ok, None),
        (network.path("token"), &*stopped, "warning", "not running", None),
        (other, signer.url(), "ok", "responds", Some(4)),
    ] {
        std::fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
        let mut doctor = tao();
        doctor.args(["doctor", "--json", "--ntp-server", "127.0.0.1:9", "--role", "validator"]);
        doctor.args(["--network", network.chain.url()]).env("HOME", network.path(""));
        doctor
            .current_dir(network.path(""))
            .env("BITTENSOR_WALLET_PATH", network.path("wallets"))
            .env("BB_API_TOKEN_FILE", &token)
            .env("SIGNER_URL", signer_url)
            .env("SUBTENSOR_GATEWAY_URL", gateway.url());
        let report: Value = serde_json::from_slice(&doctor.output().unwrap().stdout).unwrap();
        let findings = report["findings"].as_array().unwrap();
        let services: Vec<_> =
            findings.iter().filter(|finding| finding["check"] == "services").collect();
        assert_eq!(services.len(), 2, "{report:#}");
        assert_eq!((&services[0]["status"], &services[0]["seen"]), (&json!(status), &json!(seen)));
        let refused: Vec<_> = findings
            .iter()
            .filter(|finding| finding["seen"] == "the service refuses the token")
            .map(|finding| finding["exit_code"].as_i64())
            .collect();
        // Signer and gateway refuse it.
        assert_eq!(refused, code.map_or(vec![], |code| vec![Some(code); 2]), "{report:#}");
    }
}

#[test]
fn running_validator_serves_its_metrics() {
    let network = Network::start();
    let gateway = network.gateway("127.0.0.1:0");
    gateway.wait_until_ready();
    let signer = network.signer("127.0.0.1:0", gateway.url());
    let metrics = free_address();
    let mut validator = network.validator(signer.url(), gateway.url());
    validator.args(["--metrics", &metrics]).stdout(Stdio::null()).stderr(Stdio::null());
    let _validator = KillOnDrop(validator.spawn().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let metrics_page = || {
        let response = runtime.block_on(async {
            reqwest::get(format!("http://{metrics}/metrics")).await?.text().await
        });
        response.unwrap_or_default()
    };
    let start = Instant::now();
    let mut figures = metrics_page();
    while !figures.contains("\nlastset ") {
        assert!(start.elapsed() < Duration::from_mins(3), "{figures}");
        std::thread::sleep(Duration::from_millis(50));
        figures = metrics_page();
    }
    assert_metrics_described(&figures, "validate");
    let uid = network.miner_uid;
    for figure in [
        format!("scores_by_uid{{uid=\"{uid}\"}} 0.5"),
        format!("current_winner_uid {uid}"),
        "cache_files 0".to_owned(),
    ] {
        assert!(figures.lines().any(|line| line == figure), "{figure}: {figures}");
    }
}

/// Daemons that wait for the chain are alive but not ready.
#[test]
fn gateway_and_validator_are_ready_once_chain_is_reachable() {
    let network = Network::start();
    let mut lost_gateway = network.bb("subtensor-gateway");
    lost_gateway.args(["--network", "ws://127.0.0.1:9", "--state"]).arg(network.path("lost"));
    let lost_gateway = Daemon::start(&mut lost_gateway);
    let gateway = network.gateway("127.0.0.1:0");
    gateway.wait_until_ready();
    let signer = network.signer("127.0.0.1:0", gateway.url());
    let validator = |gateway: &str| {
        let metrics = free_address();
        let mut validator = network.validator(signer.url(), gateway);
        validator.args(["--metrics", &metrics]).stdout(Stdio::null()).stderr(Stdio::null());
        (KillOnDrop(validator.spawn().unwrap()), metrics)
    };
    let (_lost, lost_validator_metrics) = validator(lost_gateway.url());
    let start = Instant::now();
    while status(&format!("http://{lost_validator_metrics}/readyz")) == 0 {
        assert!(start.elapsed() < Duration::from_mins(1), "it does not serve its metrics");
        std::thread::sleep(Duration::from_millis(50));
    }
    let (_validator, validator_state) = validator(gateway.url());
    wait_until_ready(&format!("http://{validator_state}"));
    assert_eq!(status(&format!("http://{lost_validator_metrics}/readyz")), 503);
    assert_eq!(
        [
            status(&format!("{}/healthz", lost_gateway.url())),
            status(&format!("{}/readyz", lost_gateway.url()))
        ],
        [200, 503]
    );
    assert_eq!(lost_gateway.terminate().code(), Some(0));
}

#[test]
fn non_loopback_listeners_require_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
    std::fs::write(&good, "0123456789abcdef0123456789abcdef").unwrap();
    std::fs::write(&bad, "secret").unwrap();
    for (command, option) in [("signer", "--audit-log"), ("subtensor-gateway", "--state")] {
        let bb = || {
            let mut bb = local_bb();
            bb.args([command, "--key-uri", "//Alice", option]).arg(folder.path().join(command));
            bb.args(
                (command == "subtensor-gateway")
                    .then_some(["--network", "ws://127.0.0.1:9"])
                    .into_iter()
                    .flatten(),
            );
            bb
        };
        let error = refusal(&bb().args(["--listen", "0.0.0.0:0"]).output().unwrap(), 2);
        assert!(error.contains("--token-file") && error.contains("--insecure"), "{error}");
        let error = refusal(
            &bb().args(["--listen", "0.0.0.0:0", "--token-file"]).arg(&bad).output().unwrap(),
            2,
        );
        assert!(error.contains("openssl rand") && !error.contains("secret\n"), "{error}");
        drop(Daemon::start_at(bb().arg("--token-file").arg(&good), "0.0.0.0:0"));
        drop(Daemon::start_at(bb().arg("--insecure"), "0.0.0.0:0"));
        drop(Daemon::start(&mut bb()));
    }
}

/// Resident memory of a process, in kB.
#[cfg(target_os = "linux")]
fn resident(id: u32) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// As in the reference's tests: growth below 5 MB for 500 signatures and below 1 MB for 50
/// submissions of weights.
#[cfg(target_os = "linux")]
#[test]
fn signer_memory_does_not_grow() {
    let network = Network::start();
    let gateway = network.gateway("127.0.0.1:0");
    gateway.wait_until_ready();
    let signer = network.signer("127.0.0.1:0", gateway.url());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = reqwest::Client::new();
    let post = |path: &str, body: &Value| {
        let request = client.post(format!("{}{path}", signer.url())).json(body);
        let request = request.bearer_auth("0123456789abcdef0123456789abcdef");
        let (status, text) = runtime.block_on(async {
            let response = request.send().await.unwrap();
            (response.status(), response.text().await.unwrap())
        });
        assert_eq!(status, 200, "{text}");
    };
    let text = sorted_json(&json!({
        "challenge_id": "c", "data": { "content": "x".repeat(1000) }, "miner_hotkey": "", "miner_uid": 0,
        "timestamp": 1, "vali_hotkey": network.hotkey,
    }));
    let sign = || post("/sign", &json!({ "payloads": [text, text] }));
    let set_weights =
        || post("/set_weights", &json!({ "uids": [network.miner_uid], "weights": [1.0] }));
    // Warm-up requests.
    (0..100).for_each(|_| sign());
    (0..10).for_each(|_| set_weights());
    let before = resident(signer.id());
    (0..600).for_each(|_| sign());
    let signed = resident(signer.id());
    // The allocator takes memory in steps of 2 MiB, at any time; a leak grows in each series.
    let growth = (0..3).map(|_| {
        let before = resident(signer.id());
        (0..60).for_each(|_| set_weights());
        resident(signer.id()) - before
    });
    let growth: Vec<_> = growth.collect();
    println!(
        "{before} kB, after 600 more signatures {signed} kB, then {growth:?} kB for 60 settings of weights each"
    );
    assert!(signed - before < 5_000, "{before} kB, then {signed} kB");
    assert!(
        growth.iter().any(|growth| *growth < 1_000),
        "{growth:?} kB for 60 settings of weights each"
    );
}
