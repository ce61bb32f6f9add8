//! Arena rounds through a Python gateway.

use serde_json::{Value, json};
use taonet_wallet::Keypair;

use super::{Network, PROFILES, RoundLoop};
use crate::babelbit_peers::{Service, peer};
use crate::chain::BABELBIT;
use crate::kill::address;
use crate::support::RunFiles;

/// Plays one arena round; returns its report and the gateway's log.
fn play(network: &Network, name: &str, gateway: Service) -> (Value, Value) {
    let engine = network.engine();
    let directory = network.path(name);
    let mut runner = network.loop_command(engine.url(), &directory);
    runner.env("BB_ENABLE_ARENA_CHALLENGE", "1").env("BB_ARENA_RUN_ON_STARTUP", "1");
    runner.env("BB_ARENA_GATEWAY_URL", gateway.url()).env("BB_ARENA_ROUTE_READY_POLL_SEC", "1");
    runner.env("BB_ARENA_GATEWAY_RETRY_BASE_DELAY_SEC", "0.1");
    let mut round_loop = RoundLoop::start(runner);
    let report = round_loop.next_report_of("arena");
    assert_eq!(round_loop.terminate().0.code(), Some(0));
    let files = RunFiles::read(&directory);
    let status = files.json("challenge_status/ferry__arena.json");
    assert_eq!(status["metadata"]["route_source"], "list_arena_miners", "{status}");
    let logs: Vec<_> = files
        .names()
        .into_iter()
        .filter(|name| name.contains("/arena/") && name.ends_with("run.json"))
        .collect();
    assert_eq!(logs.len(), PROFILES.len(), "{logs:?}");
    for log in logs {
        let log = files.json(log);
        assert_eq!(
            (&log["challenge_type"], &log["completed"]),
            (&json!("arena"), &json!(true)),
            "{log}"
        );
    }
    (report, gateway.report())
}

#[test]
fn arena_rounds_run_through_python_gateway() {
    let Some(peer) = peer() else { return };
    let network = Network::start();
    let metagraph = network.chain.run_json(&["metagraph", BABELBIT]);
    let neurons = metagraph["neurons"].as_array().unwrap();
    let miners = |providers: [&str; 3]| -> Vec<Value> {
        let entry = |(profile, (provider, manner))| {
            let uri = format!("//miner//{profile}");
            let hotkey = Keypair::from_uri(&uri).unwrap().hotkey().to_string();
            let neuron = neurons.iter().find(|neuron| neuron["hotkey"] == hotkey).unwrap();
            json!({ "uri": uri, "uid": neuron["uid"], "provider": provider, "manner": manner })
        };
        PROFILES
            .into_iter()
            .zip(providers.into_iter().zip(["echo", "drains", "patient"]))
            .map(entry)
            .collect()
    };
    let assert_sessions_ended = |gateway_report: &Value| {
        for (uid, sessions) in gateway_report["sessions"].as_object().unwrap() {
            let sessions = sessions.as_array().unwrap();
            assert_eq!(sessions.len(), 4, "miner {uid}: {gateway_report}");
            assert!(
                sessions.iter().all(|session| session["ended"] == true),
                "miner {uid}: {gateway_report}"
            );
        }
    };

    // Routes by hotkey and uid; the pod is cold at first, and tokens are revoked midway.
    let behind = miners(["gateway"; 3]);
    let settings = json!({ "miners": behind, "shape": "miners", "cold": 2, "revoke": 200 });
    let (report, gateway_report) =
        play(&network, "behind", Service::start(&peer, "arena-gateway", &settings));
    assert_eq!((&report["outcome"], &report["miners"]), (&json!("played"), &json!(3)), "{report}");
    assert_sessions_ended(&gateway_report);
    let auths = gateway_report["auths"].as_array().unwrap();
    assert_eq!(auths[0], json!(["discovery", 0]));
    for miner in &behind {
        let hotkey =
            Keypair::from_uri(miner["uri"].as_str().unwrap()).unwrap().hotkey().to_string();
        let miner_auths =
            auths.iter().filter(|auth| **auth == json!([hotkey, miner["uid"]])).count();
        assert_eq!(miner_auths, 2, "{gateway_report}");
    }

    // Containers of both kinds; only the second way to authenticate works.
    let host = address("127.0.0.1");
    let mixed = miners(["gateway", "managed_container", "managed_container"]);
    let settings = json!({ "miners": mixed, "shape": "containers", "scope": true, "host": host });
    let (report, gateway_report) =
        play(&network, "mixed", Service::start(&peer, "arena-gateway", &settings));
    assert_eq!((&report["outcome"], &report["miners"]), (&json!("played"), &json!(3)), "{report}");
    assert_sessions_ended(&gateway_report);
    assert!(
        gateway_report["auths"].as_array().unwrap().contains(&json!("scope")),
        "{gateway_report}"
    );
}
