//! The commands in the process of the test, on a development chain in memory. `tao watch` handles
//! signals, so its test runs its own process: tests/e2e/chain/watch.rs.

use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use taonet_cli_base::testing::{CommandOutput, run_command};
use taonet_localnet::{Clock, History, Node, NodeConfig, NodeHandle};
use taonet_localnet_runtime::genesis::genesis;
use tokio::runtime::Runtime;

use super::*;

const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
const BOB: &str = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";
/// Netuid of Babelbit, the only subnet that the genesis block has started. Its tempo is ten blocks.
const BABELBIT: &str = "59";
const TRANSFER: &str = "Balances.transfer_keep_alive";
/// Signs as //Alice, who has most of the TAO.
const AS_ALICE: [&str; 2] = ["--key-uri", "//Alice"];

/// The commands of this crate, except `tao batch` and `tao watch`.
#[derive(Debug, Parser)]
#[command(name = "tao")]
enum Tao {
    Block(block::BlockArgs),
    Call(Box<any_call::CallArgs>),
    Events(events::EventsArgs),
    Query(chain_query::QueryArgs),
    #[command(subcommand)]
    Tx(tx::Command),
}

/// A development chain with a block every 50 ms.
struct TestChain {
    node: NodeHandle,
    /// Runs the node; the commands have their own runtimes.
    _runtime: Runtime,
}

impl TestChain {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let mut config = NodeConfig::new(genesis(&[]).unwrap());
        config.clock = Some(Clock::Every(Duration::from_millis(50)));
        // Tests look at all of their blocks, of which the default history would keep those of two
        // minutes.
        config.history = History::Archive;
        let node = runtime.block_on(Node::start(config)).unwrap();
        Self { node, _runtime: runtime }
    }

    fn run(&self, arguments: &[&str], json: bool) -> CommandOutput {
        let url = self.node.url();
        let arguments = [&["tao"][..], arguments, &["--network", &url]].concat();
        run_command(&arguments, json, |command: Tao, context| match command {
            Tao::Block(args) => block::run(&args, context),
            Tao::Call(args) => any_call::run(&args, context),
            Tao::Events(args) => events::run(&args, context),
            Tao::Query(args) => chain_query::run(&args, context),
            Tao::Tx(command) => tx::run(&command, context),
        })
    }

    /// JSON document of a successful command.
    #[track_caller]
    fn run_json(&self, arguments: &[&str]) -> Value {
        self.run(arguments, true).document()
    }

    /// Text of a successful command.
    #[track_caller]
    fn text(&self, arguments: &[&str]) -> String {
        self.run(arguments, false).text()
    }
}

#[test]
fn blocks_and_their_events_are_shown() {
    let chain = TestChain::start();
    let to_bob = format!("dest={BOB}");
    let transfer = ["call", TRANSFER, &to_bob, "value=1tao", "--yes"];
    let sent = chain.run_json(&[&transfer[..], &AS_ALICE].concat());
    assert_eq!(sent["success"], true, "{sent}");
    let number = sent["block"]["number"].to_string();
    let block = chain.run_json(&["block", &number]);
    assert_eq!((&block["block"], &block["is_final"]), (&sent["block"], &json!(true)));
    let by_hash = chain.run_json(&["block", sent["block"]["hash"].as_str().unwrap()]);
    assert_eq!(by_hash["block"], sent["block"]);
    let transfers = ["events", "--block", &number, "--pallet", "Balances", "--name", "Transfer"];
    let events = chain.run_json(&transfers);
    let events = events["events"].as_array().unwrap();
    assert_eq!((events.len(), &events[0]["fields"]["to"]), (1, &json!(BOB)));
    let text = chain.text(&transfers);
    assert!(text.contains("Balances.Transfer"), "{text}");
}

#[test]
fn storage_item_is_read_by_name() {
    let chain = TestChain::start();
    let value =
        |arguments: &[&str]| chain.run_json(&[&["query"][..], arguments].concat())["value"].clone();
    assert_eq!(value(&["SubtensorModule.Tempo", BABELBIT]), 10);
    assert_eq!(value(&["SubtensorModule.Tempo", BABELBIT, "--block", "0"]), 10);
    assert_eq!(value(&["SubtensorModule.Uids", BABELBIT, "//Dave"]), json!(null));
    assert_eq!(
        value(&["System.Account", "//Alice", "--block", "0"])["data"]["free"],
        1_000_000_000_000_000_u64
    );
    assert!(value(&["Timestamp.Now"]).as_u64() > Some(0));
    assert_eq!(value(&["Balances.ExistentialDeposit"]), 500);
    assert_eq!(value(&["AccountNonceApi.account_nonce", ALICE]), 0);
    assert!(value(&["SwapRuntimeApi.current_alpha_price", BABELBIT]).as_u64() > Some(0));

    let first = chain.run_json(&["query", "SubtensorModule.Tempo", "--limit", "7"]);
    let entries = first["entries"].as_array().unwrap();
    assert_eq!(
        (entries.len(), &first["more"], &first["keys"]),
        (7, &json!(true), &json!([])),
        "{first}"
    );
    assert_eq!(entries[0], json!({ "keys": [0], "value": 100 }));
    let all = chain.run_json(&["query", "SubtensorModule.Tempo"]);
    assert_eq!((all["entries"].as_array().unwrap().len(), &all["more"]), (60, &json!(false)));
    let subnet_keys = chain.run_json(&["query", "SubtensorModule.Keys", BABELBIT]);
    assert_eq!(
        (subnet_keys["entries"].as_array().unwrap().len(), &subnet_keys["keys"]),
        (1, &json!([59])),
        "{subnet_keys}"
    );

    let items = chain.run_json(&["query"])["items"].as_array().unwrap().clone();
    assert!(items.len() > 300, "{}", items.len());
    let tempo = items
        .iter()
        .find(|item| item["pallet"] == "SubtensorModule" && item["name"] == "Tempo")
        .unwrap();
    assert_eq!(tempo["keys"], 1);
    assert_eq!(chain.text(&["query", "SubtensorModule.Tempo", BABELBIT]), "10\n");
    assert!(chain.text(&["query", "SubtensorModule.Tempo"]).contains("59: 10\n"));
    let listed = chain.text(&["query", "SubtensorModule"]);
    assert!(
        listed.contains("SubtensorModule.Uids (2 keys)") && !listed.contains("System."),
        "{listed}"
    );
}

#[test]
fn errors_in_a_query_are_reported() {
    let chain = TestChain::start();
    for (arguments, code, words) in [
        (&["SubtensorModul"][..], 1, "no pallet SubtensorModul with storage"),
        (
            &["SubtensorModule.Tempos"],
            1,
            "no storage item, constant or method SubtensorModule.Tempos",
        ),
        (&["Balances.ExistentialDeposit", "1"], 1, "no storage item, constant or method"),
        (&["SubtensorModule.Tempo", "59", "1"], 2, "has 1 key, not 2"),
        (&["SubtensorModule.Tempo", "much"], 1, "key: found"),
        (&["SubtensorModule", "59"], 2, "expected an item such as SubtensorModule.Tempo"),
        (&["SubtensorModule.Tempo", "--limit", "0"], 2, "0 is not in"),
    ] {
        let error = chain.run(&[&["query"][..], arguments].concat(), false).refusal(code);
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
}

#[test]
fn call_output_shows_decoded_arguments() {
    let chain = TestChain::start();
    let transfer = ["call", TRANSFER, "dest=//Bob", "value=1tao", "--dry-run"];
    let transfer = [&transfer[..], &AS_ALICE].concat();
    let dry_run = chain.text(&transfer);
    assert!(dry_run.contains(BOB) && dry_run.contains("simulated successfully, fee"), "{dry_run}");
    assert!(
        dry_run.contains(&format!("call: {TRANSFER}")) && dry_run.contains("Balances.Transfer"),
        "{dry_run}"
    );
    let document = chain.run_json(&transfer);
    let text = chain.text(&["tx", "inspect", document["decoded_call"]["data"].as_str().unwrap()]);
    assert!(text.contains("Balances.transfer_keep_alive") && text.contains("1000000000"), "{text}");
    assert!(chain.text(&["tx", "list"]).contains("Timestamp.set"));
    let calls = chain.text(&["call", "Balances"]);
    assert!(
        calls.contains("Balances.transfer_all") && !calls.contains("SubtensorModule"),
        "{calls}"
    );
    let all = chain.run_json(&["call"]);
    assert!(all["calls"].as_array().unwrap().len() > 200);
}

#[test]
fn errors_in_a_call_are_reported() {
    let chain = TestChain::start();
    for (arguments, code, words) in [
        (&["call", "Balance.transfer_all"][..], 1, "no pallet Balance with calls"),
        (&["call", "Balances.transfer_some"], 1, "list the calls with `tao call Balances`"),
        (&["call", TRANSFER, "value=1"], 1, "missing field dest"),
        (&["call", TRANSFER, "dest=//Bob", "value=1", "tip=1"], 1, "unknown name tip"),
        (&["call", TRANSFER, "dest=//Bob", "value=much"], 1, "value: found"),
        (&["call", TRANSFER, "dest=//Bob", "dest=//Bob"], 2, "duplicate argument dest"),
        (&["call", TRANSFER, "dest=//Bob", "--args", "{}"], 2, "cannot be used with"),
        (&["call", TRANSFER, "--args", "[]"], 2, "expected a JSON object"),
        (&["call", "Balances", "--dry-run"], 2, "expected PALLET.NAME"),
        (&["call", TRANSFER, "--announce"], 2, "--proxy-for"),
        (&["tx", "inspect", "0xff00ff"], 1, "not an extrinsic"),
        (&["tx", "inspect", "0xf"], 2, "hexadecimal digits"),
    ] {
        let signer_args: &[&str] = if arguments[0] == "call" { &AS_ALICE } else { &[] };
        let error = chain.run(&[arguments, signer_args].concat(), false).refusal(code);
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
}
