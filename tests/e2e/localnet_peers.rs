//! The Python tools and Polkadot-JS on the development chain. `TAONET_UPDATE_DOCS=1` regenerates the tables in
//! docs/localnet.md.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::peers::Peer;
use crate::support::{document, repository, tao};

/// //Alice, who has most of the TAO, and her hotkey in the tests.
const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
/// Babelbit's netuid, the same as on the main network.
const BABELBIT: u16 = 59;
/// Babelbit's tempo on the development chain.
const TEMPO: u64 = 10;

/// An in-memory development chain, stopped on drop.
struct Localnet {
    child: Child,
    url: String,
}

impl Localnet {
    fn start(block_time: &str) -> Self {
        let mut command = tao();
        command.args(["localnet", "--memory", "--port", "0", "--json", "--block-time", block_time]);
        Self::run(command)
    }

    /// Starts a chain with blocks on demand. All such chains have the same genesis block and the same clock.
    fn start_at_noon() -> Self {
        let mut command = tao();
        command.args(["localnet", "--memory", "--port", "0", "--json", "--block-time", "manual"]);
        command.args(["--at", "2026-01-31T12:00:00Z"]);
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
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

/// btcli, with its version.
const BTCLI: &str = "bittensor-cli 9.23.2";

/// Known failures: tool, operation, and start of the error.
const KNOWN_FAILURES: &[(&str, &str, &str)] = &[
    (BTCLI, "sudo senate", "Unsupported: the real chain has no senate"),
    (BTCLI, "sudo proposals", "Unsupported: the real chain has no senate"),
    (BTCLI, "sudo senate-vote", "Unsupported: the real chain has no senate"),
    (BTCLI, "stake set-claim", "Unsupported: the real chain has baskets"),
    (BTCLI, "stake process-claim", "Unsupported: the real chain has baskets"),
];

/// Operations for which btcli and tao choose different calls.
const DIFFERENT_CALLS: &[&str] = &["swap a hotkey on one subnet", "swap a hotkey"];

/// Results of one tool.
struct Did {
    /// Name and version of the tool.
    tool: String,
    operations: serde_json::Map<String, Value>,
}

impl Did {
    /// Parses a script's report on its tools.
    fn all(answer: &Value) -> Vec<Self> {
        let tool = |one: &Value| Self {
            tool: format!("{} {}", one["tool"].as_str().unwrap(), one["version"].as_str().unwrap()),
            operations: one["did"].as_object().unwrap().clone(),
        };
        answer.as_array().unwrap().iter().map(tool).collect()
    }

    /// Result of an operation.
    #[track_caller]
    fn value(&self, operation: &str) -> &Value {
        let answer = self.operations.get(operation).unwrap_or_else(|| panic!("{} did not do {operation}", self.tool));
        assert_eq!(answer["ok"], true, "{} {operation}: {answer}", self.tool);
        &answer["value"]
    }

    /// Errors of failed operations, one line each.
    fn failures(&self) -> impl Iterator<Item = (&str, String)> {
        let failed = self.operations.iter().filter(|(_, answer)| answer["ok"] != true);
        failed.map(|(operation, answer)| {
            let why = answer["value"].as_str().unwrap_or_default().lines().next().unwrap_or_default();
            (operation.as_str(), why.replace('|', "\\|"))
        })
    }

    /// Table rows, one per operation.
    fn rows(&self) -> String {
        let failures: BTreeMap<_, _> = self.failures().collect();
        let result =
            |operation: &str| failures.get(operation).map_or_else(|| "works".to_owned(), |why| format!("fails: {why}"));
        let row = |operation: &String| format!("| {} | {operation} | {} |\n", self.tool, result(operation));
        self.operations.keys().map(row).collect::<Vec<_>>().concat()
    }

    /// Fails for unexpected failures, and for known failures that now succeed.
    fn check_failures(&self) {
        let failed: BTreeMap<_, _> = self.failures().collect();
        let known = KNOWN_FAILURES.iter().filter(|(tool, ..)| *tool == self.tool);
        let known: BTreeMap<_, _> = known.map(|(_, operation, why)| (*operation, *why)).collect();
        for (operation, why) in &failed {
            let expected = known.get(operation).is_some_and(|beginning| why.starts_with(beginning));
            assert!(expected, "{}: {operation} fails: {why}", self.tool);
        }
        for operation in known.keys() {
            assert!(failed.contains_key(operation), "{}: {operation} works now", self.tool);
        }
    }
}

/// Compares the table after a comment of docs/localnet.md with the results, or writes it.
fn check_table(comment: &str, tools: &[&Did]) {
    const END: &str = "<!-- end -->\n";
    let begin = format!("<!-- {comment} -->\n");
    let rows: String = tools.iter().map(|did| did.rows()).collect();
    let table = format!("| Tool | Operation | Result |\n|---|---|---|\n{rows}");
    let path = repository("docs/localnet.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = document.split_once(&begin).expect("docs/localnet.md has a place for the table");
    let (written, tail) = rest.split_once(END).expect("the table ends");
    if std::env::var_os("TAONET_UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{begin}{table}{END}{tail}")).unwrap();
    }
    for did in tools {
        did.check_failures();
    }
    if std::env::var_os("TAONET_UPDATE_DOCS").is_none() {
        assert_eq!(written, table, "run again with TAONET_UPDATE_DOCS=1");
    }
}

/// Returns the address of a development key.
fn address(uri: &str) -> String {
    taonet_wallet::Keypair::from_uri(uri).unwrap().hotkey().to_string()
}

#[test]
fn the_sdks_use_the_chain() {
    let (Some(sdk10), Some(sdk11)) = (Peer::find("sdk10"), Peer::find("sdk11")) else { return };
    let chain = Localnet::start("250ms");
    let question = json!({ "url": chain.url, "netuid": BABELBIT, "tempo": TEMPO, "block_seconds": 0.25 });
    let did = Did::all(&sdk10.ask(&mut sdk10.script("localnet_sdk10.py"), &question));
    let [ten, below] = did.as_slice() else { panic!("two tools") };
    let hotkey = address("//BobHotkey");
    let question = json!({ "url": chain.url, "netuid": BABELBIT, "coldkey": ALICE, "hotkey": hotkey });
    let did = Did::all(&sdk11.ask(&mut sdk11.script("localnet_sdk11.py"), &question));
    let [eleven] = did.as_slice() else { panic!("one tool") };
    check_table("what the SDKs did", &[ten, below, eleven]);
    check_sdk10(ten, &chain.url);
    check_layer_below(below, ten);
    check_sdk11(eleven, ten, &chain.url);
}

fn check_sdk10(did: &Did, url: &str) {
    assert_eq!(did.value("connect"), url);
    assert!(did.value("block").as_u64() > Some(0));
    assert_eq!(did.value("balance"), 1_000_000_000_000_000_u64);
    assert_eq!(did.value("existential deposit"), 500);
    assert_eq!(did.value("transfer"), 1_500_000_000_u64);
    assert_eq!(did.value("subnets list"), &json!((0..60).collect::<Vec<_>>()));
    let subnet = did.value("subnet");
    assert_eq!((&subnet["name"], &subnet["tempo"]), (&json!("Babelbit"), &json!(TEMPO)));
    // The price starts at 0.1 and rises with the purchases of each block.
    assert!((0.1..0.15).contains(&subnet["price"].as_f64().unwrap()), "{subnet}");
    assert_eq!(did.value("hyperparameters"), &json!({ "tempo": TEMPO, "kappa": 32_767, "commit_reveal": false }));
    assert_eq!(did.value("subnet creation cost"), 1_000_000_000_000_u64);
    // The owner's neuron has the first uid.
    assert_eq!(did.value("register"), &json!([1, 2]));
    assert_eq!(did.value("serve axon"), "203.0.113.7:8099");
    assert!(did.value("stake add").as_u64() > Some(0));
    let removed = did.value("stake remove");
    let told = removed["told"].as_array().unwrap();
    // The event's alpha is without the fee.
    let sold = told[0][3].as_u64().unwrap() + told[0][5].as_u64().unwrap();
    assert_eq!((told.len(), Some(sold)), (1, removed["asked"].as_u64()), "{removed}");
    assert!(removed["asked"].as_u64() > Some(0) && removed["after"].as_u64() < removed["before"].as_u64(), "{removed}");
    let added = did.value("stake add multiple").as_array().unwrap();
    assert!(added.len() == 2 && added.iter().all(|alpha| alpha.as_u64() > Some(20_000_000_000)), "{added:?}");
    assert_eq!(did.value("stake list"), &json!([BABELBIT]));
    assert_eq!(did.value("take"), 0.09);
    let delegate = did.value("delegates");
    let expected = json!({
        "owner": ALICE, "take": 0.09, "registrations": [BABELBIT],
        "nominators": { ALICE: delegate["stake"] }, "stake": delegate["stake"],
    });
    assert_eq!(delegate, &expected);
    assert!(delegate["stake"].as_u64() >= removed["after"].as_u64(), "{delegate} {removed}");
    assert_eq!(did.value("commitment set and get"), &json!(["speech at 16 kHz", "speech at 16 kHz", 0]));
    assert_eq!(did.value("set weights"), &json!([[2, 65_535]]));
    let graph = did.value("metagraph");
    assert_eq!((graph["n"].as_u64(), graph["incentive"].as_f64()), (Some(3), Some(1.0)));
    assert_eq!(graph["axon"], "203.0.113.7");
    assert!(graph["stake"].as_f64() > Some(0.0), "{graph}");
    // Each epoch adds a tenth of the difference to a full bond.
    let bonds = did.value("bonds").as_array().unwrap();
    let [bond] = bonds.as_slice() else { panic!("{bonds:?}") };
    let grown = |epochs: i32| 65_535.0 * (1.0 - 0.9_f64.powi(epochs));
    let fits = |epochs| (bond[1].as_f64().unwrap() - grown(epochs)).abs() <= f64::from(epochs);
    assert!(bond[0] == 2 && (1..30).any(fits), "{bonds:?}");
    assert_eq!(did.value("sudo"), true);
    let commit = did.value("timelocked commit");
    assert_eq!(commit["stored"], commit["sent"]);
    let [sent] = commit["sent"].as_array().unwrap().as_slice() else { panic!("{commit}") };
    assert_eq!(sent[0], address("//AliceHotkey"));
    assert!(sent[2].as_str().unwrap().len() > 2 * 96, "shorter than a ciphertext: {commit}");
    assert_eq!(did.value("create subnet"), &json!([60]));
}

fn check_layer_below(below: &Did, ten: &Did) {
    assert_eq!(below.value("connect"), "Bittensor");
    assert_eq!(below.value("constant"), 250);
    assert_eq!(below.value("storage value"), TEMPO);
    let tempos = below.value("storage map").as_array().unwrap();
    for tempo in [[0, 100], [1, 100], [18, 360], [u64::from(BABELBIT), TEMPO]] {
        assert!(tempos.contains(&json!(tempo)), "{tempos:?}");
    }
    assert_eq!(tempos.len(), 61);
    // Coldkey, hotkey, TAO, alpha, subnet, fee: 33 parts of 65 535.
    let told = below.value("events of a block").as_array().unwrap();
    let [told] = told.as_slice() else { panic!("{told:?}") };
    let fee = 100_000_000_000_u64 * 33 / 65_535;
    let expected = json!([ALICE, address("//AliceHotkey"), 100_000_000_000_u64, ten.value("stake add"), BABELBIT, fee]);
    assert_eq!(told, &expected);
}

fn check_sdk11(did: &Did, ten: &Did, url: &str) {
    assert_eq!(did.value("connect"), taonet_localnet_runtime::VERSION.spec_version);
    assert!(did.value("block").as_u64() > ten.value("block").as_u64());
    let balance = document(&tao().args(["balance", ALICE, "--json", "--network", url]).output().unwrap());
    assert_eq!(did.value("balance"), &balance["accounts"][0]["free_rao"], "{balance}");
    assert_eq!(did.value("existential deposit"), 500);
    assert_eq!(did.value("subnets list"), &json!((0..61).collect::<Vec<_>>()));
    assert_eq!(did.value("hyperparameters"), TEMPO);
    assert_eq!(did.value("metagraph"), &json!([2]));
    assert_eq!(did.value("neurons"), &json!([2]));
    assert_eq!(did.value("uid"), 2);
    assert_eq!(did.value("commitments"), 1);
    assert_eq!(did.value("stake list"), &json!([BABELBIT]));
    assert_eq!(did.value("delegates"), &json!({ address("//AliceHotkey"): [ALICE, 0.09] }));
    let price = did.value("prices").as_f64().unwrap();
    assert!((0.05..0.2).contains(&price), "{price}");
    // For 1 TAO: the fee is taken first, and the trade moves the price by less than half a percent.
    let quote = did.value("quote");
    assert_eq!(quote["tao_fee"], 1_000_000_000_u64 * 33 / 65_535);
    let bought = quote["alpha"].as_f64().unwrap() * price / 1e9;
    assert!((0.995..1.0).contains(&bought), "{quote} {price}");
    let epoch = did.value("epochs");
    let number = |key: &str| epoch[key].as_u64().unwrap();
    assert_eq!((number("tempo"), number("next_epoch_start_block")), (TEMPO, number("last_epoch_block") + TEMPO));
    assert_eq!(number("blocks_remaining"), number("next_epoch_start_block") - number("block"));
    // By the block time that the chain states.
    assert_eq!(epoch["seconds_remaining"].as_f64(), Some(number("blocks_remaining") as f64 * 0.25), "{epoch}");
}

/// Methods of each class of SDK 10 that fail on the main network too.
const UNSUPPORTED_METHODS: usize = 4;

#[test]
fn every_method_of_sdk10_works() {
    let Some(sdk10) = Peer::find("sdk10") else { return };
    let ask = |class: &str| {
        let chain = Localnet::start("250ms");
        let question = json!({ "class": class, "url": chain.url, "netuid": BABELBIT, "block_seconds": 0.25 });
        let did = Did::all(&sdk10.ask(&mut sdk10.script("localnet_sdk10_methods.py"), &question));
        did.into_iter().next().expect("one tool")
    };
    let (ask, classes) = (&ask, ["Subtensor", "AsyncSubtensor"]);
    let did: Vec<Did> = std::thread::scope(|scope| {
        let running = classes.map(|class| scope.spawn(move || ask(class)));
        running.into_iter().map(|class| class.join().unwrap()).collect()
    });
    check_table("what the methods of SDK 10 did", &did.iter().collect::<Vec<_>>());
    for did in did {
        let methods = did.value("public methods");
        let count = |kind: &str| methods[kind].as_array().unwrap().len();
        assert_eq!((count("not called"), count("unsupported")), (0, UNSUPPORTED_METHODS), "{methods}");
        assert!(count("called") * 100 >= (count("called") + UNSUPPORTED_METHODS) * 97, "{methods}");
    }
}

#[test]
fn sdk11_and_its_command_line_use_the_chain() {
    let Some(sdk11) = Peer::find("sdk11") else { return };
    let chain = Localnet::start("12s");
    let question = json!({ "url": chain.url, "netuid": BABELBIT });
    let did = Did::all(&sdk11.ask(&mut sdk11.script("localnet_sdk11_operations.py"), &question));
    check_table("what SDK 11 and its command line did", &did.iter().collect::<Vec<_>>());
}

#[test]
fn btcli_uses_the_chain() {
    let Some(btcli) = Peer::find("btcli") else { return };
    let chain = Localnet::start("250ms");
    let held = document(&tao().args(["balance", ALICE, "--json", "--network", &chain.url]).output().unwrap());
    let question = json!({ "url": chain.url, "netuid": BABELBIT });
    let did = Did::all(&btcli.ask(&mut btcli.script("localnet_btcli.py"), &question));
    let [did] = did.as_slice() else { panic!("one tool") };
    check_table("what btcli did", &[did]);
    assert_eq!(did.tool, BTCLI);
    check_btcli_reads(did, &held);
    check_btcli_subnets(did);
    check_btcli_stake(did);
    check_btcli_accounts(did);
}

fn check_btcli_reads(did: &Did, held: &Value) {
    assert_eq!(did.value("the program itself"), &address("//Bob"));
    assert_eq!(did.value("subnets list"), 60);
    assert!(did.value("subnets show").as_str().unwrap().ends_with("Babelbit"));
    let balance = did.value("wallet balance");
    assert_eq!(balance["coldkey"], ALICE, "{balance}");
    // The first command, before any transaction. The value of the stake grows with each epoch.
    let amount = |field: &str| balance[field].as_f64().unwrap();
    let tao_of = |field: &str| held["accounts"][0][field].as_u64().unwrap() as f64 / 1e9;
    assert_eq!(
        (balance["free"].as_f64(), tao_of("free_rao")),
        (Some(tao_of("free_rao")), 1_000_000.0),
        "{balance} {held}"
    );
    assert!(amount("staked") + 1e-6 >= tao_of("stake_rao"), "{balance} {held}");
    assert!((amount("total") - amount("free") - amount("staked")).abs() < 1e-6, "{balance}");
    let parameters = did.value("sudo get").as_array().unwrap();
    let tempo = parameters.iter().find(|row| row["hyperparameter"] == "tempo").unwrap();
    assert_eq!(tempo["value"], TEMPO, "{tempo}");
    assert_eq!(did.value("subnets hyperparameters"), TEMPO);
    assert_eq!(did.value("subnets burn-cost")["burn_cost"]["rao"], 1_000_000_000_000_u64);
    assert_eq!(did.value("subnets conviction"), BABELBIT);
    assert_eq!(did.value("subnets price"), &json!([true, true]));
    assert_eq!(did.value("wallet list"), &json!(["default", "second", "third"]));
}

fn check_btcli_subnets(did: &Did) {
    assert_eq!(did.value("subnets create"), 60);
    assert_eq!(did.value("subnets get-identity"), "Journey");
    assert_eq!(did.value("subnets set-identity"), "other");
    assert_eq!(did.value("subnets set-symbol"), "ᚢ");
    let set = did.value("sudo set");
    assert_eq!(set[0], 90_000_000_000_u64, "{set}");
    // In TAO, as btcli shows it, or in rao.
    assert!(set[1].to_string().contains("90"), "{set}");
    let refusal = did.value("error of a rejected sudo set").as_str().unwrap();
    assert!(refusal.contains("ValueNotInBounds"), "{refusal}");
    assert_eq!(did.value("sudo trim"), 128);
    assert_eq!((did.value("subnets mechanisms count"), did.value("subnets mechanisms set")), (&json!(1), &json!(2)));
    // 75 and 25 of 100, of 65 535.
    assert_eq!(did.value("subnets mechanisms split-emissions"), &json!([49_151, 16_384]));
    assert_eq!(did.value("subnets register"), 1);
    assert_eq!(did.value("subnets register with a second wallet"), 2);
    assert_eq!(did.value("subnets register on root"), 0);
    // btcli serves port 1 of address 0.0.0.0 in place of no endpoint.
    assert_eq!((did.value("axon set"), did.value("axon reset")), (&json!(8099), &json!(1)));
}

fn check_btcli_stake(did: &Did) {
    let listed = did.value("stake list");
    assert!(listed[address("//AliceHotkey")].is_array(), "{listed}");
    assert_eq!(did.value("stake auto"), "custom");
    assert_eq!(did.value("stake child set"), true);
    // 12 % of 65 535.
    assert_eq!(did.value("stake child take"), 7_864);
    assert_eq!(did.value("stake child revoke"), &json!([]));
    assert_eq!(did.value("sudo set-take"), 5_898);
    assert_eq!(did.value("sudo get-take"), 0.09);
    // Alice is the author of the block, and gets the fees: 33 parts of 65 535 of the trade.
    let tao = 5_000_000_000_u64;
    assert_eq!(did.value("sudo stake-burn"), tao - tao * 33 / 65_535);
    assert_eq!(did.value("stake remove all alpha"), &json!([0]));
}

fn check_btcli_accounts(did: &Did) {
    assert_eq!(did.value("wallet transfer"), 1_500_000_000_u64);
    assert_eq!(did.value("wallet get-identity"), "Alice");
    assert_eq!(did.value("wallet associate-hotkey"), true);
    assert_eq!(did.value("wallet swap-hotkey"), true);
    assert_eq!(did.value("wallet swap-check"), "disputed");
    assert_eq!(did.value("proxy create"), &json!([true, 0]));
    assert_eq!((did.value("proxy kill"), did.value("proxy remove")), (&json!([]), &json!([])));
    assert_eq!((did.value("proxy add"), did.value("proxy execute")), (&json!(1_000_000_000), &json!(2_000_000_000)));
    assert_eq!(did.value("crowd create"), &json!([30.0, 2]));
    assert_eq!(did.value("crowd contribute"), 20_000_000_000_u64);
    assert_eq!(did.value("crowd update"), 2_000_000_000);
    assert!(did.value("crowd withdraw").is_null());
    assert_eq!((did.value("crowd list"), did.value("crowd info")), (&json!(2), &json!("Funded")));
    assert_eq!(did.value("crowd finalize"), 30_000_000_000_u64);
    assert_eq!(did.value("crowd refund"), 3_000_000_000_u64);
    assert!(did.value("crowd dissolve").is_null());
    assert_eq!(did.value("view dashboard"), true);
}

/// The same operations through btcli and through tao, on two chains with the same genesis block.
#[test]
fn btcli_and_tao_make_the_same_chain() {
    let Some(btcli) = Peer::find("btcli") else { return };
    let (theirs, ours) = (Localnet::start_at_noon(), Localnet::start_at_noon());
    let program = tao().get_program().to_str().unwrap().to_owned();
    let question = json!({ "url": theirs.url, "tao_url": ours.url, "tao": program, "netuid": BABELBIT });
    let did = Did::all(&btcli.ask(&mut btcli.script("localnet_journey.py"), &question));
    let [did] = did.as_slice() else { panic!("one tool") };
    let failures: Vec<_> = did.failures().collect();
    assert!(failures.is_empty(), "{failures:?}");
    let journey = did.value("journey");
    assert!(journey["calls"].as_u64() >= Some(60), "{journey}");
    assert_eq!(journey["heights"][0], journey["heights"][1]);
    // The script states the reasons.
    let differences: Vec<_> = journey["differences"].as_object().unwrap().keys().collect();
    assert_eq!(differences, DIFFERENT_CALLS, "{journey}");
    // The complete state is equal, except for balances: the fee has one rao for each byte of a transaction, and the
    // tools choose different periods of validity.
    assert_eq!(journey["other"], json!([]));
    assert!(journey["items"].as_u64() > Some(1_000), "{journey}");
    let paid = journey["more_paid"].as_object().unwrap();
    assert!(paid.values().all(|rao| rao.as_i64().unwrap().abs() < 100), "{journey}");
}

#[test]
fn polkadot_js_uses_the_chain() {
    let Some(polkadot) = Peer::find("polkadot") else { return };
    let chain = Localnet::start("250ms");
    let question = json!({ "url": chain.url, "netuid": BABELBIT });
    let did = Did::all(&polkadot.ask(&mut polkadot.node_script("localnet_polkadot.mjs"), &question));
    let [did] = did.as_slice() else { panic!("one tool") };
    check_table("what Polkadot-JS did", &[did]);
    check_polkadot_reads(did);
    check_polkadot_transactions(did);
}

fn check_polkadot_reads(did: &Did) {
    let spec = taonet_localnet_runtime::VERSION.spec_version;
    let chain =
        json!({ "chain": "Bittensor", "name": "taonet localnet", "spec": spec, "symbol": "TAO", "decimals": 9 });
    assert_eq!(did.value("connect"), &chain);
    assert_eq!(did.value("connect over HTTP"), true);
    assert_eq!(did.value("constants"), &json!([500, 250, "node-subtensor"]));
    assert_eq!(did.value("storage value"), TEMPO);
    let tempos = did.value("storage map");
    assert_eq!((tempos.as_object().unwrap().len(), &tempos["18"]), (60, &json!(360)), "{tempos}");
    assert_eq!(did.value("storage keys in pages"), &json!([40, 20]));
    assert_eq!(did.value("several storage items"), &json!([TEMPO, "1000000000000000"]));
    let runtime = did.value("runtime API");
    assert_eq!((&runtime["nonce"], &runtime["name"]), (&json!(0), &json!("Babelbit")));
    assert!((0.1..0.3).contains(&runtime["price"].as_f64().unwrap()), "{runtime}");
    let heads: Vec<u64> = serde_json::from_value(did.value("subscription to new heads").clone()).unwrap();
    assert_eq!(heads, [heads[0], heads[0] + 1, heads[0] + 2]);
    assert_eq!(did.value("subscription to finalized heads"), &json!([2, true]));
    assert_eq!(did.value("subscription to storage"), &json!(["0", "1000000000"]));
    assert_eq!(did.value("subscription to events"), true);
    assert_eq!(did.value("storage at an earlier block"), "1000000000000000");
}

fn check_polkadot_transactions(did: &Did) {
    let has = |events: &Value, name: &str| events.as_array().unwrap().contains(&json!(name));
    let transfer = did.value("transfer");
    assert_eq!(transfer["received"], "1000000000");
    assert!(has(&transfer["statuses"], "Finalized"), "{transfer}");
    for event in ["balances.Transfer", "transactionPayment.TransactionFeePaid", "system.ExtrinsicSuccess"] {
        assert!(has(&transfer["events"], event), "{transfer}");
    }
    // As estimated.
    let [estimate, paid] = did.value("fee").as_array().unwrap().as_slice() else { panic!("two fees") };
    assert_eq!(estimate, paid);
    assert_eq!(did.value("mortal transaction with a tip"), 1_000);
    let batch = did.value("batch");
    assert_eq!(batch["received"], "3000000000");
    assert!(
        has(&batch["events"], "utility.ItemCompleted") && has(&batch["events"], "utility.BatchCompleted"),
        "{batch}"
    );
    assert_eq!(did.value("error of a call"), r#"{"arithmetic":"Underflow"}"#);
    assert_eq!(did.value("refused transaction"), "1010: Invalid Transaction: Transaction is outdated");
    let proxy = did.value("proxy");
    assert_eq!(proxy["held"], json!([[address("//Bob"), "Transfer"]]));
    // The second call is no transfer.
    assert_eq!((&proxy["received"], &proxy["results"]), (&json!("1000000000"), &json!([true, false])));
    assert_eq!(proxy["left"], 0);
    let multisig = did.value("multisig");
    assert_eq!(multisig["received"], "3000000000");
    assert_eq!(multisig["events"], json!([["multisig.NewMultisig"], ["multisig.MultisigExecuted"]]));
    let staked = did.value("register and stake");
    assert_eq!(staked, &json!({ "uid": 1, "coldkey": ALICE, "hotkey": address("//PolkadotHotkey") }));
    assert_eq!(did.value("sudo"), &json!([true, 30_000]));
    let block = did.value("block and events");
    assert_eq!((&block["call"], &block["first"]), (&json!("system.remarkWithEvent"), &json!("timestamp")));
    assert!(has(&block["events"], "system.Remarked"), "{block}");
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

#[test]
fn the_numbers_of_sixteen_neurons_agree() {
    let Some(sdk10) = Peer::find("sdk10") else { return };
    let chain = Localnet::start("manual");
    let question = json!({
        "url": chain.url,
        "netuid": BABELBIT,
        "epochs": 20,
        "seed": 59,
        "oracle": repository("vectors/yuma/oracle.py"),
        "tao": tao().get_program().to_str().unwrap(),
    });
    let result = sdk10.ask(&mut sdk10.script("localnet_numbers.py"), &question);
    // In every epoch there were children, takes and root dividends.
    let seen = json!({
        "compared": 20, "neurons": 16, "with_incentive": 20, "with_root_dividends": 20, "silent_earned": 20,
    });
    assert_eq!(result, seen);
}
