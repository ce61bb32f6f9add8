//! `tao nineteen`: scores and weights from files, a miner's routes.

use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Daemon, document, refusal, tao};

/// Runs a `tao nineteen` command on a document.
fn nineteen(command: &str, further: &[&str], document: &Value) -> Output {
    let folder = TempDir::new().unwrap();
    let file: PathBuf = folder.path().join("document.json");
    std::fs::write(&file, document.to_string()).unwrap();
    tao().args(["nineteen", command]).args(further).arg(&file).output().unwrap()
}

fn periods() -> Value {
    let period = |limited: u32, failed: u32| {
        json!({
            "total_requests": 40, "capacity": 120_000, "consumed_capacity": 12_000,
            "requests_429": limited, "requests_500": failed,
        })
    };
    json!([period(0, 0), period(10, 0), period(0, 10), {
        "total_requests": 0, "capacity": 1, "consumed_capacity": 0, "requests_429": 0, "requests_500": 0
    }])
}

#[test]
fn periods_are_scored_under_each_profile() {
    for (profile, scores) in [
        ("reference", json!([1.0, 0.58125, 0.58125, null])),
        ("later", json!([1.0, 0.58125, 0.450_468_75, null])),
        ("seed", json!([1.0, 0.775, 0.600_625, null])),
    ] {
        let found = document(&nineteen("period-score", &["--profile", profile], &periods()));
        for (found, expected) in found.as_array().unwrap().iter().zip(scores.as_array().unwrap()) {
            let close = |found: f64, expected: f64| (found - expected).abs() < 1e-12;
            let equal = found.as_f64().zip(expected.as_f64()).map_or(found == expected, |(a, b)| close(a, b));
            assert!(equal, "{profile}: {found}, expected {expected}");
        }
    }
    assert_eq!(document(&nineteen("period-score", &[], &json!([]))), json!([]));
    let text = refusal(&nineteen("period-score", &[], &json!([{"capacity": 1}])), 1);
    assert!(text.contains("[0]: missing field `total_requests`"), "{text}");
}

#[test]
fn weights_follow_from_tables() {
    let reward =
        |hotkey: &str, metric: f64| json!({"task": "X", "hotkey": hotkey, "quality_score": 1, "metric": metric});
    let period = |hotkey: &str| json!({"task": "X", "hotkey": hotkey, "period_score": 1, "consumed_capacity": 1_000.0});
    let tables = json!({
        "tasks": [{"task": "X", "weight": 0.6, "enabled": true}],
        "contenders": [
            {"hotkey": "slow", "uid": 9, "task": "X", "capacity": 100},
            {"hotkey": "fast", "uid": 2, "task": "X", "capacity": 100},
        ],
        "rewards": [reward("slow", 1.0), reward("fast", 2.0)],
        "period_scores": [period("slow"), period("fast")],
    });
    let weights = document(&nineteen("weights", &[], &json!([tables])));
    assert_eq!(weights[0]["uids"], json!([9, 2]));
    let (slow, fast) = (0.375_f64.powi(3), 0.625_f64.powi(3));
    let found = weights[0]["weights"][0].as_f64().unwrap();
    assert!((found - slow / (slow + fast)).abs() < 1e-12, "{found}");
}

#[test]
fn a_miner_serves_its_key_and_refuses_what_is_unsigned() {
    let mut miner = tao();
    miner.env("BITTENSOR_SUBTENSOR_ENDPOINT", "local").args(["nineteen", "miner", "--key-uri", "//Bob"]);
    miner.args(["--no-metagraph", "--backend-url", "http://127.0.0.1:9/v1", "--task", "chat@600=model"]);
    let daemon = Daemon::start(&mut miner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (key, ready, unsigned) = runtime.block_on(async {
        let client = reqwest::Client::new();
        let get = async |path: &str| client.get(format!("{}{path}", daemon.url())).send().await.unwrap();
        let key = get("/public-encryption-key").await;
        assert!(key.headers().contains_key("x-taonet-key-signature"));
        let key = key.json::<Value>().await.unwrap();
        let ready = get("/readyz").await.status().as_u16();
        let unsigned = client.post(format!("{}/capacity", daemon.url())).send().await.unwrap().status().as_u16();
        (key, ready, unsigned)
    });
    assert!(key["public_key"].as_str().unwrap().starts_with("-----BEGIN PUBLIC KEY-----\n"), "{key}");
    assert_eq!((ready, unsigned), (200, 422));
    assert!(daemon.terminate().success());
}
