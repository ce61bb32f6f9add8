//! The chapter on Nineteen: the rehearsal, the ten commands and the way back, with a database of
//! the reference's schema. Docker is replaced by a script, which answers like the reference's
//! stack.

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::nineteen::{LONG_TIMEOUT, Walkthrough};
use super::{BOB, Programs, commands};
use crate::nineteen::migration::{KEY, Reference};
use crate::support::{document, shell, stderr, tao};

/// Services of the reference's stack that the guide stops.
const SERVICES: &str = "control_node weight_setter query_node entry_node";

/// Returns the HTTP status of a purchase with a key.
fn status_with(walkthrough: &Walkthrough, key: &str) -> u16 {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let body = json!({
        "model": "chat-llama-3-2-3b", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}],
    });
    let url = format!("{}/v1/chat/completions", walkthrough.gateway());
    let request = reqwest::Client::new().post(url).bearer_auth(key).json(&body);
    runtime.block_on(async { request.send().await.unwrap().status().as_u16() })
}

/// Runs the guide's purchase with a buyer's key of the reference, until it succeeds.
fn buy(walkthrough: &Walkthrough, line: &str) {
    let line = walkthrough.with_actual_names(line).replace("Bearer KEY", &format!("Bearer {KEY}"));
    let is_bought = |output: &Output| match output.status.code() {
        // curl is not installed.
        Some(127) => status_with(walkthrough, KEY) == 200,
        _ => serde_json::from_slice(&output.stdout)
            .is_ok_and(|response: Value| response["object"] == "chat.completion"),
    };
    let start = Instant::now();
    loop {
        let output = walkthrough.prepare(&mut shell(&line)).output().unwrap();
        if is_bought(&output) {
            return;
        }
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(start.elapsed() < LONG_TIMEOUT, "{text} {}", stderr(&output));
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// JSON output of a command on the market of a state directory.
fn run_json(walkthrough: &Walkthrough, words: &[&str], state: &str) -> Value {
    let mut command = tao();
    command.arg("nineteen").args(words).args(["--json", "--state", state]);
    document(&walkthrough.prepare(&mut command).output().unwrap())
}

/// Checks that the buyer has paid from the balance at the reference, and that the books balance.
fn assert_buyer_has_paid(walkthrough: &Walkthrough, state: &str) {
    let keys = run_json(walkthrough, &["keys", "list"], state);
    let shop = keys.as_array().unwrap().iter().find(|key| key["name"] == "shop").unwrap();
    assert!(shop["balance"].as_u64() < Some(100_000_000), "{shop}");
    let usage = run_json(walkthrough, &["keys", "usage"], state);
    assert_eq!(usage["balanced"], true, "{usage}");
    assert_eq!(usage["usage"][0]["key_id"], shop["id"], "{usage}");
}

/// Checks that the weights of the running market follow from the reference's periods and rewards.
fn assert_scores_continue(walkthrough: &Walkthrough, state: &str) {
    let report = run_json(walkthrough, &["explain"], state);
    let miners = report["miners"].as_array().unwrap();
    let miner =
        miners.iter().find(|miner| miner["hotkey"] == BOB).unwrap_or_else(|| panic!("{report:#}"));
    let task = &miner["tasks"][0];
    // The open period is another one, which is not scored yet.
    assert_eq!(report["period"], 10, "{report:#}");
    assert!(task["rewards"].as_u64() >= Some(60), "{task:#}");
    let score =
        ["periods", "period_mean", "probation_factor", "period_score"].map(|name| &task[name]);
    assert_eq!(score, [&json!(9), &json!(1.0), &json!(1.0), &json!(1.0)], "{task:#}");
    assert_eq!(miner["weight"], 1.0, "{miner:#}");
}

/// Runs the rehearsal: a market that continues the reference's database on a local chain.
fn run_rehearsal(walkthrough: &mut Walkthrough) -> String {
    let mut lines = commands("Rehearse Nineteen");
    let (purchase, _) = lines.pop().unwrap();
    for (line, is_service) in lines {
        walkthrough.follow(&line, is_service);
    }
    walkthrough.wait_for_market();
    buy(walkthrough, &purchase);
    assert_buyer_has_paid(walkthrough, "rehearsal");
    assert_scores_continue(walkthrough, "rehearsal");
    // The validator of the ten commands has the same hotkey.
    assert!(walkthrough.stop_last());
    purchase
}

#[test]
fn nineteen_guide_continues_keys_and_scores_of_the_reference() {
    let Some(reference) = Reference::start() else { return };
    let mut walkthrough = Walkthrough::new("taonet");
    let stack = walkthrough.folder().join("nineteen");
    std::fs::create_dir(&stack).unwrap();
    Reference::write_variables(&stack.join(".vali.env"));
    let answers = format!(
        "case \"$1 $2\" in 'inspect --format') echo {} ;; 'compose ps') echo 4f1c02d7 ;; esac",
        reference.host()
    );
    let programs = Programs::create(walkthrough.folder(), &[("docker", &answers)]);
    walkthrough.add_programs(programs.directory());
    let before = reference.digest();

    let lines = commands("Nineteen in ten commands");
    assert!((5..=10).contains(&lines.len()), "{lines:#?}");
    let exports = lines.iter().rposition(|(line, _)| line.starts_with("export ")).unwrap();
    let (preparation, migration) = lines.split_at(exports + 1);
    for (line, is_service) in preparation {
        walkthrough.follow(line, *is_service);
    }
    let purchase = run_rehearsal(&mut walkthrough);
    for (line, is_service) in migration {
        match line.as_str() {
            line if *is_service => {
                // The chain and the keys of the rehearsal.
                let model = walkthrough.model_url();
                walkthrough.replace("http://127.0.0.1:8001/v1", &model);
                let options =
                    ["--key-uri", "//Alice", "--allow-private", "--checker-model", "random"];
                walkthrough.serve(line, &options);
            }
            // It finds neither a wallet nor a time server here.
            line if line.starts_with("tao doctor ") => {
                let mut doctor = shell(&format!("{line} --ntp-server 127.0.0.1:9"));
                let output = walkthrough.prepare(&mut doctor).output().unwrap();
                assert!(!output.stdout.is_empty(), "{line}: {}", stderr(&output));
            }
            line if line.ends_with(" --check") => {
                let report = walkthrough.run(line);
                let summary = "would be imported: 2 API keys with 100000000 credits, 60 rewards, 9 scores of 9 periods";
                assert!(report.trim_end().ends_with(summary), "{report}");
                assert!(!walkthrough.directory().join("market").exists(), "{line}");
            }
            line if line.starts_with("tao nineteen keys list") => {
                assert!(walkthrough.run(line).contains("shop"), "{line}");
            }
            line => drop(walkthrough.run(line)),
        }
    }
    walkthrough.wait_for_market();
    buy(&walkthrough, &purchase);
    assert_buyer_has_paid(&walkthrough, "market");
    assert_scores_continue(&walkthrough, "market");
    assert_eq!(status_with(&walkthrough, "2b7f4c52-6c0e-4d29-9d0e-6a3b8f6b1c13"), 401);
    while walkthrough.stop_last() {}

    for (line, _) in commands("Nineteen's way back") {
        walkthrough.run(&line);
    }
    assert_eq!(reference.digest(), before, "the reference's database is never written");
    let calls = programs.calls();
    let expected = [
        "nineteen: docker compose ps --quiet postgresql".to_owned(),
        "taonet: docker inspect --format {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}} 4f1c02d7".to_owned(),
        format!("nineteen: docker compose stop {SERVICES}"),
        format!("nineteen: docker compose start {SERVICES}"),
    ];
    assert_eq!(calls, expected);
}
