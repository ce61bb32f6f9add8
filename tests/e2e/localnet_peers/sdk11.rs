//! SDK 11 and its command line on the development chain.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::results::{ToolReport, check_table};
use super::{ALICE, BABELBIT, TEMPO, address, chain};
use crate::peers::Peer;
use crate::support::{document, tao};

/// Operations of the SDK in the recording client_traces.json, each with the operation of
/// localnet_sdk11_operations.py that runs it.
const RECORDED_OPERATIONS: &[(&str, &str)] = &[
    ("connect_block_number", "connect, block number"),
    ("balance", "balance"),
    ("metagraph", "neurons, metagraph"),
    ("neurons_all", "neurons, metagraph"),
    ("subnets_all", "subnets, hyperparameters"),
    ("hyperparameters", "subnets, hyperparameters"),
    ("burned_register", "burned register, with the MEV shield"),
    ("root_register", "root register"),
    ("serve_axon", "serve axon"),
    ("set_weights", "weights"),
    ("set_weights(commit_reveal)", "weights with commit-reveal"),
    ("commitment_set", "commitment set, get, all"),
    ("commitment_get", "commitment set, get, all"),
    ("commitments_all", "commitment set, get, all"),
    ("add_stake", "stake add, remove"),
    ("remove_stake", "stake add, remove"),
    ("move_stake", "stake move"),
    ("transfer", "transfer"),
    ("register_subnet", "subnet registration"),
    ("delegate_take", "delegate take"),
    ("stake_value_for_coldkey", "stake value of a coldkey"),
];

/// Commands of the SDK in the same recording.
const RECORDED_COMMANDS: &[(&str, &str)] = &[
    ("wallet_balance", "wallet balance, overview, inspect"),
    ("wallet_overview", "wallet balance, overview, inspect"),
    ("wallet_inspect", "wallet balance, overview, inspect"),
    ("wallet_registrations", "wallet registrations"),
    ("wallet_transfer", "wallet transfer"),
    ("subnets_list", "subnets list, show"),
    ("subnets_show", "subnets list, show"),
    ("subnets_hyperparams", "subnets hyperparameters, sudo get"),
    ("subnets_register", "subnets register"),
    ("sudo_get", "subnets hyperparameters, sudo get"),
    ("sudo_set_tempo", "sudo set"),
    ("query_metagraph", "query metagraph, delegates, block-time"),
    ("query_block_time", "query metagraph, delegates, block-time"),
    ("delegates", "query metagraph, delegates, block-time"),
    ("root_list", "root list"),
    ("axon_set", "axon set"),
    ("stake_add", "stake add, list, remove"),
    ("stake_remove", "stake add, list, remove"),
    ("stake_list", "stake add, list, remove"),
    ("weights_set", "weights set"),
];

#[test]
fn sdk11_and_its_command_line_are_compatible_with_the_chain() {
    let Some(sdk11) = Peer::find("sdk11") else { return };
    let chain = chain("12s");
    let question = json!({ "url": chain.url(), "netuid": BABELBIT });
    let reports =
        ToolReport::all(&sdk11.query(&mut sdk11.script("localnet_sdk11_operations.py"), &question));
    check_table("what SDK 11 and its command line did", &reports.iter().collect::<Vec<_>>());
    let [sdk, command_line] = reports.as_slice() else { panic!("two tools") };
    for (report, recorded) in [(sdk, RECORDED_OPERATIONS), (command_line, RECORDED_COMMANDS)] {
        for (_, operation) in recorded {
            report.value(operation);
        }
    }
}

/// Names of a client's recorded operations.
fn recorded_operations<'a>(traces: &'a Value, client: &str) -> BTreeSet<&'a str> {
    traces["clients"][client].as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn every_recorded_operation_of_sdk11_is_run() {
    let Some(traces) = taonet_chain_vectors::json("client_traces.json") else { return };
    let run = |table: &[(&'static str, &str)]| {
        table.iter().map(|(name, _)| *name).collect::<BTreeSet<&str>>()
    };
    let mut operations = recorded_operations(&traces, "bittensor 11.3.0 SDK");
    operations.extend(
        recorded_operations(&traces, "extra")
            .into_iter()
            .filter_map(|name| name.strip_prefix("sdk11.")),
    );
    assert_eq!(operations, run(RECORDED_OPERATIONS));
    assert_eq!(recorded_operations(&traces, "btcli of bittensor 11.3.0"), run(RECORDED_COMMANDS));
}

pub(super) fn check(report: &ToolReport, sdk10: &ToolReport, url: &str) {
    assert_eq!(report.value("connect"), taonet_localnet_runtime::VERSION.spec_version);
    assert!(report.value("block").as_u64() > sdk10.value("block").as_u64());
    let balance =
        document(&tao().args(["balance", ALICE, "--json", "--network", url]).output().unwrap());
    assert_eq!(report.value("balance"), &balance["accounts"][0]["free_rao"], "{balance}");
    assert_eq!(report.value("existential deposit"), 500);
    assert_eq!(report.value("subnets list"), &json!((0..61).collect::<Vec<_>>()));
    assert_eq!(report.value("hyperparameters"), TEMPO);
    assert_eq!(report.value("metagraph"), &json!([2]));
    assert_eq!(report.value("neurons"), &json!([2]));
    assert_eq!(report.value("uid"), 2);
    assert_eq!(report.value("commitments"), 1);
    assert_eq!(report.value("stake list"), &json!([BABELBIT]));
    assert_eq!(report.value("delegates"), &json!({ address("//AliceHotkey"): [ALICE, 0.09] }));
    let price = report.value("prices").as_f64().unwrap();
    assert!((0.05..0.2).contains(&price), "{price}");
    // For 1 TAO: the fee is taken first, and the trade moves the price by less than half a percent.
    let quote = report.value("quote");
    assert_eq!(quote["tao_fee"], 1_000_000_000_u64 * 33 / 65_535);
    let bought = quote["alpha"].as_f64().unwrap() * price / 1e9;
    assert!((0.995..1.0).contains(&bought), "{quote} {price}");
    let epoch = report.value("epochs");
    let number = |key: &str| epoch[key].as_u64().unwrap();
    assert_eq!(
        (number("tempo"), number("next_epoch_start_block")),
        (TEMPO, number("last_epoch_block") + TEMPO)
    );
    assert_eq!(number("blocks_remaining"), number("next_epoch_start_block") - number("block"));
    // By the block time that the chain states.
    assert_eq!(
        epoch["seconds_remaining"].as_f64(),
        Some(number("blocks_remaining") as f64 * 0.25),
        "{epoch}"
    );
}
