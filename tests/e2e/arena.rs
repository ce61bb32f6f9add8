//! The arena gateway and miners, as separate processes.

mod kills;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use taonet_babelbit_arena::ArenaSettings;
use taonet_babelbit_arena::client::{Arena, ArenaConfig};
use taonet_babelbit_core::protocol::InitRequest;
use taonet_babelbit_runner::{AddressPolicy, Miner, MinerEntry, PredictCall};
use taonet_primitives::Uid;
use taonet_wallet::Keypair;
use tempfile::TempDir;

use crate::support::{Daemon, document, local_bb, refusal};

fn key(uid: u16) -> Keypair {
    Keypair::from_uri(&format!("//miner//{uid}")).unwrap()
}

/// Returns the command of an arena gateway with a state directory.
fn gateway(state: &Path) -> Command {
    let mut gateway = local_bb();
    gateway.args(["arena-gateway", "--key-uri", "//gateway", "--state"]).arg(state);
    gateway
}

/// Returns the JSON output of `bb arena-submit`.
fn submit(gateway: &str, uid: u16, url: &str) -> Value {
    let (key, uid) = (format!("//miner//{uid}"), uid.to_string());
    let mut submit = local_bb();
    submit
        .args(["arena-submit", url, "--uid", &uid, "--key-uri", &key, "--json"])
        .env("BB_ARENA_GATEWAY_URL", gateway);
    document(&submit.output().unwrap())
}

/// Lists the arena's miners with the runner's client.
async fn miners(gateway: &str, uids: &[u16]) -> Vec<Miner> {
    let policy = AddressPolicy::private();
    let entry = |uid: &u16| MinerEntry {
        uid: Uid(*uid),
        hotkey: key(*uid).hotkey(),
        address: policy.resolve("127.0.0.1:9").unwrap(),
        name: None,
    };
    let registered: Vec<_> = uids.iter().map(entry).collect();
    let config = ArenaConfig {
        settings: ArenaSettings { ready_timeout: Duration::ZERO, ..ArenaSettings::default() },
        gateway: gateway.parse().unwrap(),
        keypair: Arc::new(Keypair::from_uri("//validator").unwrap()),
        external_ip: "203.0.113.7".to_owned(),
        policy,
        predict_path: "v1/predict".to_owned(),
        max_response_bytes: 1 << 20,
    };
    Arena::new(config).unwrap().miners(&registered).await.unwrap()
}

/// Opens a session and sends one frame, which the miner echoes.
async fn play_utterance(miner: &Miner) {
    let limit = Duration::from_secs(20);
    let request = InitRequest::new("c", "c:0", None, 1);
    let session_id = miner.connection.init(request, limit).await.unwrap().session_id;
    let call = PredictCall {
        session_id: session_id.into(),
        audio_b64: "AACAPg==".into(),
        in_eos: true,
        max_response_bytes: 1_000,
    };
    let response = miner.connection.predict(call, limit).await.unwrap();
    assert_eq!((response.audio_b64.as_str(), response.out_eos), ("AACAPg==", true));
}

#[test]
fn arena_miners_are_played_directly_and_through_the_gateway() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let parrots: Vec<_> = (1..=2)
        .map(|uid| {
            let key = format!("//miner//{uid}");
            Daemon::start(local_bb().args(["miner", "--profile", "parrot", "--key-uri", &key]))
        })
        .collect();
    for options in [&[][..], &["--direct"]] {
        let folder = tempfile::tempdir().unwrap();
        let gateway = Daemon::start(gateway(folder.path()).args(options));
        for (uid, parrot) in (1..).zip(&parrots) {
            let response = submit(gateway.url(), uid, parrot.url());
            assert_eq!(
                (&response["listed"], &response["wins"]),
                (&json!(true), &json!(0)),
                "{response}"
            );
            assert_eq!(response["hotkey"], key(uid).hotkey().to_string());
        }
        runtime.block_on(async {
            let actual = miners(gateway.url(), &[1, 2, 3]).await;
            assert_eq!(actual.len(), 2);
            for miner in &actual {
                play_utterance(miner).await;
            }
        });
        assert_eq!(gateway.terminate().code(), Some(0));
    }
}

#[test]
fn arena_gateway_usage_errors_are_reported() {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let open = gateway(folder.path()).args(["--listen", "0.0.0.0:0"]).output().unwrap();
    assert!(refusal(&open, 2).contains("--allow"));
    let mut public_gateway = gateway(folder.path());
    public_gateway.args(["--listen", "0.0.0.0:0", "--allow", &key(1).hotkey().to_string()]);
    assert!(refusal(&public_gateway.output().unwrap(), 2).contains("--registered"));
    let running_gateway = Daemon::start(&mut gateway(folder.path()));
    let second_output = gateway(folder.path()).args(["--listen", "127.0.0.1:0"]).output().unwrap();
    assert!(refusal(&second_output, 1).contains("another arena gateway is using"));
    let submit = |gateway: &str, url: &str| {
        let mut submit = local_bb();
        submit.args([
            "arena-submit",
            url,
            "--uid",
            "1",
            "--key-uri",
            "//miner//1",
            "--gateway",
            gateway,
        ]);
        submit.output().unwrap()
    };
    assert!(refusal(&submit("http://127.0.0.1:1", "127.0.0.1:9"), 3).contains("GET /healthz"));
    assert!(
        refusal(&submit(running_gateway.url(), "ftp://127.0.0.1:9"), 1)
            .contains("not an http or https URL")
    );
    let response = submit(running_gateway.url(), "127.0.0.1:9");
    assert!(
        String::from_utf8_lossy(&response.stdout).contains("is in the arena; wins: 0"),
        "{response:?}"
    );
}
