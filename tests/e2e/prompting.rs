//! `tao prompting` and `tao prompt`: the demonstration, and a question to a real miner.

use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::axon::BOB;
use crate::support::{Daemon, document, refusal, stderr, tao};

const QUESTION: &str = "What is the capital of Texas?";

fn number(miner: &Value, field: &str) -> f64 {
    miner[field].as_f64().unwrap_or_else(|| panic!("{field}: {miner}"))
}

#[test]
fn good_miner_earns_most_and_parrot_and_silent_miner_nothing() {
    let demo = document(&tao().args(["prompting", "demo", "--once", "--json"]).output().unwrap());
    assert_eq!(demo["schema"], "taonet.prompting-demo/1");
    assert_eq!(demo["steps"], 5);
    assert_eq!(demo["weights_recomputed"], true, "{demo}");
    let miner = |name: &str| demo["miners"].as_array().unwrap().iter().find(|miner| miner["name"] == name).unwrap();
    let earned = |name: &str| ["weight", "incentive", "emission"].map(|field| number(miner(name), field));
    for name in ["short", "slow"] {
        for (most, less) in earned("good").into_iter().zip(earned(name)) {
            assert!(most > less && less > 0.0, "{name}: {demo}");
        }
        assert!(number(miner("good"), "gate") > number(miner(name), "gate"), "{name}: {demo}");
    }
    for name in ["parrot", "silent"] {
        assert!(earned(name).iter().all(|earned| *earned < f64::MIN_POSITIVE), "{name}: {demo}");
    }
    assert_eq!(miner("parrot")["completion"], demo["question"]);
    assert!(miner("silent")["error"].as_str().unwrap().contains("timeout"), "{demo}");
}

/// Asks a miner in a file.
fn prompt(folder: &TempDir, address: &str, further: &[&str]) -> Output {
    let miners = folder.path().join("miners.txt");
    std::fs::write(&miners, format!("# The only one\n{BOB}@{address}\n")).unwrap();
    let mut command = tao();
    command.args(["prompt", QUESTION, "--embedder", "words", "--key-uri", "//Alice", "--miners"]).arg(miners);
    command.args(further).output().unwrap()
}

#[test]
fn question_is_answered_by_a_miner_of_the_chain() {
    let folder = TempDir::new().unwrap();
    let chain = Daemon::start(tao().args(["localnet", "start", "--memory"]));
    let network = chain.url().replace("http", "ws");
    let alice = ["--netuid", "59", "--key-uri", "//Alice", "--network", &network, "--yes"];
    for command in [
        &["register", "--hotkey-ss58", BOB][..],
        &["register", "--hotkey-ss58", "//Alice"],
        &["stake", "add", "1000", "--hotkey-ss58", "//Alice", "--no-limit"],
    ] {
        let output = tao().args(command).args(alice).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    }
    let mined = tao().args(["localnet", "to-epoch", "59", "--network", &network]).output().unwrap();
    assert!(mined.status.success(), "{}", stderr(&mined));
    let answers = folder.path().join("answers.jsonl");
    let lines = "{\"question\": \"What is the capital of Texas?\", \"answer\": \"The capital of Texas is Austin.\"}\n";
    std::fs::write(&answers, lines).unwrap();
    let mut miner = tao();
    miner.args(["prompting", "miner", "--netuid", "59", "--key-uri", "//Bob", "--network", &network]);
    let miner = Daemon::start(miner.arg("--canned").arg(&answers));
    let address = miner.url().split_once("://").unwrap().1.to_owned();

    let network = ["--network", &network];
    let answered = document(&prompt(&folder, &address, &[&network[..], &["--json"]].concat()));
    assert_eq!(answered["completion"], "The capital of Texas is Austin.");
    assert_eq!(answered["hotkey"], BOB);
    let row = &answered["miners"][0];
    assert!(number(row, "reward") > 0.5 && number(&row["parts"], "relevance") > 0.5, "{answered}");

    let printed = prompt(&folder, &address, &network);
    assert_eq!(String::from_utf8(printed.stdout.clone()).unwrap(), "The capital of Texas is Austin.\n");
    assert!(stderr(&printed).contains(BOB) && stderr(&printed).contains("relevance"), "{}", stderr(&printed));

    let error = refusal(&prompt(&folder, "127.0.0.1:9", &network), 1);
    assert!(error.contains("none of 1 miners answered"), "{error}");
}
