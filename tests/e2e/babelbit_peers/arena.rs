//! The Python runner with our arena gateway.

use serde_json::{Value, json};

use super::{engine, peer, query_peer};
use crate::kill::address;
use crate::support::{Daemon, document, local_bb};

#[test]
fn python_client_plays_through_arena_gateway() {
    let Some(peer) = peer() else { return };
    let engine = engine();
    let miners = ["parrot", "patient"].map(|profile| {
        let key = format!("//miner//{profile}");
        (Daemon::start(local_bb().args(["miner", "--profile", profile, "--key-uri", &key])), key)
    });
    for (direct, list) in [(None, "miners"), (Some("--direct"), "containers")] {
        let folder = tempfile::tempdir().unwrap();
        let mut gateway = local_bb();
        gateway
            .args(["arena-gateway", "--key-uri", "//Eve", "--state"])
            .arg(folder.path())
            .args(direct);
        let gateway = Daemon::start(&mut gateway);
        for (uid, (miner, key)) in (3..).zip(&miners) {
            let mut submit = local_bb();
            submit.args([
                "arena-submit",
                &address(miner.url()),
                "--uid",
                &uid.to_string(),
                "--gateway",
                gateway.url(),
            ]);
            let submission = document(&submit.args(["--key-uri", key, "--json"]).output().unwrap());
            assert_eq!(submission["listed"], true, "{submission}");
        }
        let question =
            json!({ "against": "arena-gateway", "engine": engine.url(), "url": gateway.url() });
        let actual = query_peer(&peer, &question);
        assert_eq!((&actual["named"], &actual["scope"]), (&json!(200), &json!(200)));
        let running_sessions = &actual["lists"]["running"];
        assert_eq!(
            (running_sessions[list].as_array().unwrap().len(), &running_sessions["count"]),
            (2, &json!(2)),
            "{running_sessions}"
        );
        let played: Vec<&Value> =
            ["3", "4"].into_iter().map(|uid| &actual["played"][uid]).collect();
        for played in played {
            assert_eq!(
                (&played["ended"], &played["heard"]),
                (&json!(true), &played["frames"]),
                "{played}"
            );
            assert!(played["seconds"].as_f64() > Some(1.0), "{played}");
        }
        assert_eq!(
            actual["refused"],
            json!({
                "signature": 401, "altered": 401, "old": 401, "no_token": 401, "list_token": 401, "token": 401,
                "miner": 404,
            })
        );
    }
}
