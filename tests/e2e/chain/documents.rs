//! Compares the JSON documents of the chain commands with the tables of docs/chain.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{ALICE, AS_ALICE, BABELBIT, BOB, Chain};
use crate::support::{document, repository, tao};

type Keys = BTreeSet<String>;

/// Words in backticks.
fn words(cell: &str) -> Keys {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Rows of the table in a section of docs/chain.md: cells by command, without the command.
fn table(section: &str) -> BTreeMap<String, Vec<Keys>> {
    let guide = std::fs::read_to_string(repository("docs/chain.md")).unwrap();
    let (_, remaining) = guide.split_once(&format!("\n## {section}\n")).unwrap();
    let section = remaining.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `tao "));
    rows.map(|row| {
        let (command, cells) = row.split_once('`').unwrap();
        (command.to_owned(), cells.split('|').skip(1).map(words).collect())
    })
    .collect()
}

fn keys(value: &Value) -> Keys {
    value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

/// Differences between a table and the documents, by command.
fn differences(table: &BTreeMap<String, Vec<Keys>>, actual: &BTreeMap<&str, Vec<Keys>>) -> String {
    let mut differences = String::new();
    for (command, documented) in table {
        let actual = actual.get(command.as_str());
        // The last cell is empty if the keys of the values are data, such as addresses.
        let matches = actual.is_some_and(|actual| {
            actual.iter().zip(documented).enumerate().all(|(cell, (actual, documented))| {
                actual == documented || (cell > 0 && documented.is_empty())
            })
        });
        if !matches {
            let _ = writeln!(
                differences,
                "tao {command}:\n  documented {documented:?}\n  found {actual:?}"
            );
        }
    }
    for command in actual.keys().filter(|command| !table.contains_key(**command)) {
        let _ = writeln!(differences, "tao {command} is not documented: {:?}", actual[command]);
    }
    differences
}

/// A multisig account of which //Alice is a signatory.
const SIGNATORIES: [&str; 4] = ["--signatories", "//Alice,//Bob", "--threshold", "2"];

/// Creates one of everything that the commands list.
fn populate(chain: &Chain) -> (String, String) {
    let (coldkey, hotkey) = chain.wallet();
    chain.alice(&["sudo", "set", "commit_reveal_weights_enabled", "false", "--netuid", BABELBIT]);
    chain.alice(&["sudo", "set", "weights_set_rate_limit", "0", "--netuid", BABELBIT]);
    let uid = chain.run_json(&["register", "--netuid", BABELBIT, "--yes"])["uid"].to_string();
    chain.run_json(&["stake", "add", "2000", "--netuid", BABELBIT, "--no-limit", "--yes"]);
    chain.mine_to_epoch(BABELBIT);
    chain.run_json(&["weights", "set", "--netuid", BABELBIT, "0:0.5", &format!("{uid}:1")]);
    // By default, scheduled children take effect after 15 blocks, which may pass before they are
    // read.
    let cooldown = "SubtensorModule.PendingChildKeyCooldown";
    chain.run_json(&["localnet", "set-storage", cooldown, "1000", "--network", chain.url()]);
    chain.run_json(&["stake", "child", "set", "//Bob:25", "--netuid", BABELBIT, "--yes"]);
    chain.run_json(&["stake", "auto", "set", "--netuid", BABELBIT, "--yes"]);
    chain.run_json(&["take", "9", "--yes"]);
    chain.run_json(&["commitment", "set", "model", "--netuid", BABELBIT, "--yes"]);
    chain.run_json(&["wallet", "set-identity", "--id-name", "Example", "--yes"]);
    chain.run_json(&["proxy", "add", BOB, "--type", "any", "--delay", "600", "--yes"]);
    let call = [
        "call",
        "Balances.transfer_keep_alive",
        "dest=//Bob",
        "value=1tao",
        "--proxy-for",
        &coldkey,
    ];
    document(&chain.tao(&call, &["--announce", "--yes", "--key-uri", "//Bob", "--json"]));
    let crowdloan =
        ["crowdloan", "create", "--deposit", "10", "--min-contribution", "1", "--cap", "11"];
    chain.run_json(&[&crowdloan[..], &["--duration", "1000", "--target", BOB, "--yes"]].concat());
    chain.run_json(&["lock", "add", "1", "--netuid", BABELBIT, "--yes"]);
    chain.run_json(&["wallet", "swap-coldkey", "announce", ALICE, "--yes"]);
    (coldkey, hotkey)
}

#[test]
fn output_keys_of_read_commands_are_documented() {
    let chain = Chain::start();
    let (coldkey, _) = populate(&chain);
    let proposal = chain.alice(
        &[&["multisig", "call", "System.remark", "remark=x", "--yes"][..], &SIGNATORIES].concat(),
    );
    let multisig = proposal["account"].as_str().unwrap();
    let address = [&["multisig", "address"][..], &SIGNATORIES].concat();
    // Command, key of its list of entries in the output (empty without a list), arguments.
    let reads: [(&str, &str, &[&str]); 45] = [
        ("balance", "accounts", &["balance", ALICE]),
        ("stake list", "stakes", &["stake", "list"]),
        ("stake child get", "scheduled", &["stake", "child", "get", "--netuid", BABELBIT]),
        ("stake child take", "", &["stake", "child", "take", "--netuid", BABELBIT]),
        ("stake auto get", "auto_stakes", &["stake", "auto", "get"]),
        ("subnets list", "subnets", &["subnets", "list"]),
        ("subnets show", "subnet", &["subnets", "show", BABELBIT]),
        ("subnets hyperparameters", "hyperparameters", &["subnets", "hyperparameters", BABELBIT]),
        ("metagraph", "neurons", &["metagraph", BABELBIT]),
        ("metagraph --diff", "changed", &["metagraph", BABELBIT, "--diff", "1"]),
        ("weights show", "rows", &["weights", "show", "--netuid", BABELBIT]),
        ("delegates", "delegates", &["delegates"]),
        ("take", "", &["take"]),
        ("proxy list", "proxies", &["proxy", "list", &coldkey]),
        ("proxy announcements", "announcements", &["proxy", "announcements", BOB]),
        ("crowdloan list", "crowdloans", &["crowdloan", "list"]),
        ("crowdloan show", "contributions", &["crowdloan", "show", "0"]),
        ("wallet get-identity", "identity", &["wallet", "get-identity"]),
        ("wallet swap-coldkey status", "swap", &["wallet", "swap-coldkey", "status"]),
        ("sudo get", "", &["sudo", "get", "tempo", "--netuid", BABELBIT]),
        ("subnets price", "prices", &["subnets", "price", BABELBIT]),
        ("subnets conviction", "convictions", &["subnets", "conviction", BABELBIT]),
        ("subnets burn-cost", "", &["subnets", "burn-cost"]),
        ("subnets check-start", "", &["subnets", "check-start", BABELBIT]),
        ("subnets check", "checks", &["subnets", "check", BABELBIT]),
        ("subnets get-identity", "identity", &["subnets", "get-identity", BABELBIT]),
        ("subnets mechanisms count", "", &["subnets", "mechanisms", "count", BABELBIT]),
        (
            "subnets mechanisms emissions",
            "mechanisms",
            &["subnets", "mechanisms", "emissions", BABELBIT],
        ),
        ("crowdloan contributors", "contributors", &["crowdloan", "contributors", "0"]),
        ("multisig list", "calls", &["multisig", "list", multisig]),
        ("multisig address", "", &address),
        ("query", "entries", &["query", "SubtensorModule.Tempo"]),
        ("lock list", "locks", &["lock", "list"]),
        ("lock show", "lock", &["lock", "show", "--netuid", BABELBIT]),
        ("commitment get", "commitments", &["commitment", "get", "--netuid", BABELBIT]),
        ("block", "finalized", &["block"]),
        ("events", "events", &["events"]),
        ("watch", "events", &["watch", "--blocks", "1"]),
        ("call", "calls", &["call", "Balances"]),
        ("tx list", "extrinsics", &["tx", "list"]),
        ("tx inspect", "call", &["tx", "inspect", "0x00000411"]),
        ("wallet overview", "neurons", &["wallet", "overview"]),
        ("wallet list", "wallets", &["wallet", "list"]),
        ("wallet inspect", "keys", &["wallet", "inspect"]),
        ("localnet status", "pool", &["localnet", "status", "--network", chain.url()]),
    ];
    let actual = reads.map(|(command, list, arguments)| {
        let result = chain.run_json(arguments);
        let mut outer = keys(&result);
        outer.remove("block");
        let entries = &result[list];
        let entry = entries.as_array().map_or(entries, |entries| {
            entries.first().unwrap_or_else(|| panic!("{command} has no {list}: {result}"))
        });
        (command, vec![outer, keys(entry)])
    });
    let differences = differences(&table("JSON output of read commands"), &actual.into());
    assert!(differences.is_empty(), "docs/chain.md differs:\n{differences}");
}

const CROWDLOAN: [&str; 10] = [
    "crowdloan",
    "create",
    "--deposit",
    "10",
    "--min-contribution",
    "1",
    "--cap",
    "11",
    "--duration",
    "1000",
];

/// Creates what the calls need; returns the coldkey, the hotkey, and the hash of a call that was
/// proposed in the multisig account of the coldkey and //Bob.
fn prepare(chain: &Chain) -> (String, String, String) {
    let (coldkey, hotkey) = chain.wallet();
    chain.run_json(&["register", "--netuid", BABELBIT, "--yes"]);
    chain.run_json(&["stake", "add", "10", "--netuid", BABELBIT, "--yes"]);
    chain.run_json(&["stake", "add", "100", "--netuid", "0", "--yes"]);
    chain.run_json(&["register", "--netuid", "0", "--yes"]);
    // Root dividends to claim.
    let stake_into_basket = [
        "call",
        "SubtensorModule.stake_into_basket",
        &format!("hotkey={hotkey}"),
        "amount_staked=10tao",
    ];
    chain.run_json(&[&stake_into_basket[..], &["--yes"]].concat());
    chain.run_json(&["proxy", "add", BOB, "--type", "any", "--yes"]);
    let call = ["call", "System.remark", "remark=x", "--proxy-for", &coldkey];
    document(&chain.tao(&call, &["--announce", "--yes", "--key-uri", "//Bob", "--json"]));
    chain.run_json(&["lock", "add", "0.5", "--netuid", BABELBIT, "--yes"]);
    chain.run_json(&[&CROWDLOAN[..], &["--target", BOB, "--yes"]].concat());
    let signatories = format!("{coldkey},{BOB}");
    let propose = [
        "multisig",
        "call",
        "System.remark",
        "remark=x",
        "--signatories",
        &signatories,
        "--threshold",
        "2",
        "--yes",
    ];
    let call_hash = chain.run_json(&propose)["call_hash"].as_str().unwrap().to_owned();
    let announcement = chain.run_json(&["wallet", "swap-coldkey", "announce", ALICE, "--yes"]);
    let blocks = announcement["delay_blocks"].to_string();
    document(
        &tao()
            .args(["localnet", "mine", &blocks, "--network", chain.url(), "--json"])
            .output()
            .unwrap(),
    );
    (coldkey, hotkey, call_hash)
}

#[test]
fn output_keys_of_calls_are_documented() {
    let chain = Chain::start();
    let (coldkey, hotkey, call_hash) = prepare(&chain);
    let secret = json!({
        "netuid": 59,
        "mech": 0,
        "hotkey": hotkey,
        "uids": [0],
        "values": [65_535],
        "salt": [1],
        "version_key": 0,
    });
    let (commit, reveal) =
        (chain.path("commit").display().to_string(), chain.path("reveal").display().to_string());
    std::fs::write(&reveal, secret.to_string()).unwrap();
    let hash = "05".repeat(32);
    let create = [&CROWDLOAN[..], &["--target", BOB]].concat();
    let serve = ["serve-axon", "--netuid", BABELBIT, "--external-ip", "8.8.4.4", "--port", "8091"];
    let signatories = format!("{coldkey},{BOB}");
    let approve = [
        "multisig",
        "call",
        "System.remark",
        "remark=y",
        "--signatories",
        &signatories,
        "--threshold",
        "2",
    ];
    let cancel =
        ["multisig", "cancel", &call_hash, "--signatories", &signatories, "--threshold", "2"];
    let execute = ["proxy", "execute", &coldkey, "System.remark", "remark=x", "--delegate", BOB];
    let commands = [
        ("transfer", &["transfer", BOB, "1"][..]),
        ("register", &["register", "--netuid", BABELBIT, "--hotkey-ss58", BOB]),
        ("stake add", &["stake", "add", "1", "--netuid", BABELBIT]),
        ("stake remove", &["stake", "remove", "1", "--netuid", BABELBIT]),
        ("stake unstake-all", &["stake", "unstake-all"]),
        ("stake move", &["stake", "move", "1", "--netuid", BABELBIT, "--to-hotkey", BOB]),
        ("stake swap", &["stake", "swap", "1", "--netuid", BABELBIT, "--to-netuid", "0"]),
        ("stake transfer", &["stake", "transfer", BOB, "1", "--netuid", BABELBIT]),
        ("stake auto set", &["stake", "auto", "set", "--netuid", BABELBIT]),
        ("stake child set", &["stake", "child", "set", "//Bob:25", "--netuid", BABELBIT]),
        ("commitment set", &["commitment", "set", "model", "--netuid", BABELBIT]),
        ("proxy add", &["proxy", "add", BOB, "--type", "any"]),
        ("subnets create", &["subnets", "create"]),
        ("sudo set", &["sudo", "set", "tempo", "20", "--netuid", BABELBIT]),
        ("call", &["call", "System.remark", "remark=x"]),
        ("batch", &["batch", "System.remark remark=x"]),
        ("take", &["take", "9"]),
        ("stake child take", &["stake", "child", "take", "9", "--netuid", BABELBIT]),
        ("stake child revoke", &["stake", "child", "revoke", "--netuid", BABELBIT]),
        ("stake claim", &["stake", "claim"]),
        ("serve-axon", &serve),
        ("weights set", &["weights", "set", "--netuid", BABELBIT, "0:1"]),
        ("weights commit", &["weights", "commit", "--netuid", BABELBIT, "0:1", "--save", &commit]),
        ("weights reveal", &["weights", "reveal", &reveal]),
        ("subnets start", &["subnets", "start", BABELBIT]),
        ("wallet faucet", &["wallet", "faucet"]),
        ("wallet set-identity", &["wallet", "set-identity", "--id-name", "Example"]),
        ("wallet swap-hotkey", &["wallet", "swap-hotkey", BOB]),
        ("wallet associate-hotkey", &["wallet", "associate-hotkey"]),
        ("wallet swap-coldkey announce", &["wallet", "swap-coldkey", "announce", ALICE]),
        ("wallet swap-coldkey execute", &["wallet", "swap-coldkey", "execute", ALICE]),
        ("wallet swap-coldkey dispute", &["wallet", "swap-coldkey", "dispute"]),
        ("wallet swap-coldkey clear", &["wallet", "swap-coldkey", "clear"]),
        ("proxy remove", &["proxy", "remove", BOB]),
        ("proxy create-pure", &["proxy", "create-pure", "--type", "any"]),
        ("proxy kill-pure", &["proxy", "kill-pure", BOB, "--created", "1-1", "--type", "any"]),
        ("proxy reject", &["proxy", "reject", BOB, &hash]),
        ("proxy withdraw", &["proxy", "withdraw", BOB, &hash]),
        ("proxy execute", &execute),
        ("multisig call", &approve),
        ("multisig cancel", &cancel),
        ("lock add", &["lock", "add", "0.5", "--netuid", BABELBIT]),
        ("lock mode", &["lock", "mode", "perpetual", "--netuid", BABELBIT]),
        ("lock move", &["lock", "move", BOB, "--netuid", BABELBIT]),
        ("subnets set-identity", &["subnets", "set-identity", BABELBIT, "--subnet-name", "Other"]),
        ("subnets set-symbol", &["subnets", "set-symbol", BABELBIT, "ᚢ"]),
        ("subnets mechanisms set", &["subnets", "mechanisms", "set", BABELBIT, "2"]),
        ("subnets mechanisms split", &["subnets", "mechanisms", "split", BABELBIT, "1"]),
        ("sudo trim", &["sudo", "trim", "128", "--netuid", BABELBIT]),
        ("sudo trigger-epoch", &["sudo", "trigger-epoch", "--netuid", BABELBIT]),
        ("sudo stake-burn", &["sudo", "stake-burn", "1", "--netuid", BABELBIT]),
        ("axon reset", &["axon", "reset", "--netuid", BABELBIT]),
        ("crowdloan create", &create),
        ("crowdloan contribute", &["crowdloan", "contribute", "0", "1"]),
        ("crowdloan withdraw", &["crowdloan", "withdraw", "0"]),
        ("crowdloan finalize", &["crowdloan", "finalize", "0"]),
        ("crowdloan refund", &["crowdloan", "refund", "0"]),
        ("crowdloan dissolve", &["crowdloan", "dissolve", "0"]),
        ("crowdloan update", &["crowdloan", "update", "0", "--cap", "12"]),
    ];
    let common_keys =
        ["dry_run", "valid", "error", "fee_rao", "decoded_call", "simulated", "events"];
    let mut actual = BTreeMap::new();
    for (command, arguments) in commands {
        let options: &[&str] =
            if ["sudo set", "sudo trim"].contains(&command) { &AS_ALICE } else { &["--json"] };
        let output = chain.tao(&[arguments, &["--dry-run"]].concat(), options);
        // Some of the calls would fail.
        let result: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{command}: {error}: {}", crate::support::stderr(&output))
        });
        let mut command_keys = keys(&result);
        for key in common_keys {
            assert!(command_keys.remove(key), "{command} has no {key}: {result}");
        }
        actual.insert(command, vec![command_keys]);
    }
    let differences = differences(&table("Outcome of a call"), &actual);
    assert!(differences.is_empty(), "docs/chain.md differs:\n{differences}");
}
