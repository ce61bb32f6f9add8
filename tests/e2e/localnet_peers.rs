//! The real Python tools on our development chain. With `TAONET_UPDATE_DOCS=1` the table in docs/localnet.md is written
//! anew from what they did.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::peers::Peer;
use crate::support::{repository, tao};

/// //Alice, who has most of the TAO, and her hotkey of the tests.
const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
/// Babelbit's number on the development chain as on the real one.
const BABELBIT: u16 = 59;
/// Its tempo on the development chain.
const TEMPO: u64 = 10;

/// A development chain in memory, which ends when it is dropped.
struct Localnet {
    child: Child,
    url: String,
}

impl Localnet {
    fn start(block_time: &str) -> Self {
        let mut command = tao();
        command.args(["localnet", "--memory", "--port", "0", "--json", "--block-time", block_time]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in: {line}"));
        let url = ready["url"].as_str().unwrap().to_owned();
        Self { child, url }
    }
}

impl Drop for Localnet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value of an operation that must have succeeded.
#[track_caller]
fn value<'a>(answers: &'a Value, operation: &str) -> &'a Value {
    let answer = &answers[operation];
    assert_eq!(answer["ok"], true, "{operation}: {answer}");
    &answer["value"]
}

/// One line of the table for each operation.
#[allow(clippy::format_collect, reason = "a table, written once")]
fn rows(tool: &str, answers: &Value) -> String {
    let operations = answers.as_object().unwrap();
    operations
        .iter()
        .map(|(operation, answer)| {
            format!("| {tool} | {operation} | {} |\n", if answer["ok"] == true { "works" } else { "fails" })
        })
        .collect()
}

/// Compares the table of docs/localnet.md with what the tools did, or writes it.
fn check_table(table: &str) {
    const BEGIN: &str = "<!-- what the tools did -->\n";
    const END: &str = "<!-- end -->\n";
    let path = repository("docs/localnet.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = document.split_once(BEGIN).expect("docs/localnet.md has a place for the table");
    let (written, tail) = rest.split_once(END).expect("the table ends");
    if std::env::var_os("TAONET_UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{table}{END}{tail}")).unwrap();
    } else {
        assert_eq!(written, table, "run again with TAONET_UPDATE_DOCS=1");
    }
}

#[test]
fn the_sdks_use_the_chain() {
    let (Some(sdk10), Some(sdk11)) = (Peer::find("sdk10"), Peer::find("sdk11")) else { return };
    let chain = Localnet::start("250ms");
    let question = json!({ "url": chain.url, "netuid": BABELBIT, "tempo": TEMPO, "block_seconds": 0.25 });
    let did = sdk10.ask(&mut sdk10.script("localnet_sdk10.py"), &question);

    assert_eq!(value(&did, "transfer"), 1_500_000_000_u64);
    assert_eq!(value(&did, "existential deposit"), 500);
    assert_eq!(value(&did, "subnets list"), &json!([0, 1, BABELBIT]));
    assert_eq!(value(&did, "subnet")["name"], "Babelbit");
    assert_eq!(value(&did, "hyper-parameters"), &json!({ "tempo": TEMPO, "kappa": 32_767, "commit_reveal": false }));
    assert_eq!(value(&did, "serve axon"), "203.0.113.7:8099");
    let uids = value(&did, "register").as_array().unwrap().clone();
    assert_eq!(uids.len(), 2);
    let staked = value(&did, "stake add").as_u64().unwrap();
    let removed = value(&did, "stake remove").as_array().unwrap().clone();
    assert!(staked > 0 && removed[0].as_u64() > removed[1].as_u64(), "{staked} {removed:?}");
    assert_eq!(value(&did, "stake list"), &json!([BABELBIT]));
    assert_eq!(value(&did, "commitment set and get"), &json!(["speech at 16 kHz", "speech at 16 kHz"]));
    assert_eq!(value(&did, "set weights"), &json!([[uids[1], 65_535]]));
    let graph = value(&did, "metagraph");
    assert_eq!((graph["incentive"].as_f64(), graph["axon"].as_str()), (Some(1.0), Some("203.0.113.7")));
    assert!(graph["stake"].as_f64() > Some(0.0), "{graph}");
    assert_eq!(value(&did, "sudo"), true);
    assert_eq!(value(&did, "timelocked commit").as_array().map(Vec::len), Some(1));
    assert_eq!(value(&did, "create subnet"), 1);
    let below = value(&did, "events and storage maps");
    assert_eq!(below["tempo"], TEMPO);
    let events = below["events"].as_array().unwrap();
    assert!(events.contains(&json!("System.ExtrinsicSuccess")), "{events:?}");
    for operation in did.as_object().unwrap().keys() {
        value(&did, operation);
    }

    let hotkey = taonet_wallet::Keypair::from_uri("//BobHotkey").unwrap().hotkey().to_string();
    let question = json!({ "url": chain.url, "netuid": BABELBIT, "coldkey": ALICE, "hotkey": hotkey });
    let read = sdk11.ask(&mut sdk11.script("localnet_sdk11.py"), &question);
    assert_eq!(value(&read, "subnets list").as_array().map(Vec::len), Some(4));
    assert_eq!(value(&read, "hyper-parameters"), TEMPO);
    assert_eq!(value(&read, "uid"), &uids[1]);
    assert_eq!(value(&read, "commitments"), 1);
    for operation in read.as_object().unwrap().keys() {
        value(&read, operation);
    }

    let mut table = String::from("| Tool | Operation | Result |\n|---|---|---|\n");
    table += &rows("bittensor 10.5.0", &did);
    table += &rows("bittensor 11.3.0", &read);
    check_table(&table);
}

#[test]
fn fifty_epochs_equal_the_oracle() {
    let Some(sdk10) = Peer::find("sdk10") else { return };
    let chain = Localnet::start("manual");
    let question = json!({
        "url": chain.url,
        "netuid": BABELBIT,
        "epochs": 50,
        "seed": 59,
        "oracle": repository("vectors/yuma/oracle.py"),
    });
    let result = sdk10.ask(&mut sdk10.script("localnet_epochs.py"), &question);
    assert_eq!(result["compared"], 50, "{result}");
    // Otherwise fifty empty epochs would do.
    assert!(result["with_incentive"].as_u64() > Some(40), "{result}");
    assert!(result["weights_set"].as_u64() > Some(60), "{result}");
}
