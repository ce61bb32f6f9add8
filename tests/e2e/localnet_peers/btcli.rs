//! btcli on the development chain.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::results::{ToolReport, check_table};
use super::{ALICE, BABELBIT, TEMPO, address, chain, chain_at_noon};
use crate::peers::Peer;
use crate::support::{document, tao};

/// btcli, with its version.
pub(super) const BTCLI: &str = "bittensor-cli 9.23.2";

/// Percentage of btcli's commands that must work.
const WORKING_PERCENT: usize = 93;

/// Operations for which btcli and tao choose different calls.
const DIFFERENT_CALLS: &[&str] = &["swap a hotkey on one subnet", "swap a hotkey"];

#[test]
fn btcli_is_compatible_with_the_chain() {
    let Some(btcli) = Peer::find("btcli") else { return };
    // The script produces a block for each transaction; others have time for their 8 blocks on a
    // busy machine too.
    let chain = chain("2s");
    // Owners may change settings at any time, whenever the next epoch is.
    let window = [
        "localnet",
        "set-storage",
        "SubtensorModule.AdminFreezeWindow",
        "0",
        "--network",
        chain.url(),
    ];
    document(&tao().args(window).arg("--json").output().unwrap());
    let balance = document(
        &tao().args(["balance", ALICE, "--json", "--network", chain.url()]).output().unwrap(),
    );
    let question = json!({ "url": chain.url(), "netuid": BABELBIT });
    let reports = ToolReport::all(&btcli.query(&mut btcli.script("localnet_btcli.py"), &question));
    let [report] = reports.as_slice() else { panic!("one tool") };
    check_table("what btcli did", &[report]);
    assert_eq!(report.tool, BTCLI);
    check_btcli_commands(report);
    check_btcli_reads(report, &balance);
    check_btcli_subnets(report);
    check_btcli_stake(report);
    check_btcli_accounts(report);
}

/// Checks how many of btcli's commands work. The script takes the commands from btcli's own command
/// tree.
fn check_btcli_commands(report: &ToolReport) {
    let commands = report.value("leaf commands").as_array().unwrap();
    let failed: BTreeSet<&str> = report.failures().map(|(operation, _)| operation).collect();
    let working =
        commands.iter().filter(|command| !failed.contains(command.as_str().unwrap())).count();
    assert!(
        commands.len() >= 100 && working * 100 >= commands.len() * WORKING_PERCENT,
        "{working} of {} commands work, and these operations fail: {failed:?}",
        commands.len()
    );
}

fn check_btcli_reads(report: &ToolReport, expected_balance: &Value) {
    assert_eq!(report.value("the program itself"), &address("//Bob"));
    assert_eq!(report.value("subnets list"), 60);
    assert!(report.value("subnets show").as_str().unwrap().ends_with("Babelbit"));
    let balance = report.value("wallet balance");
    assert_eq!(balance["coldkey"], ALICE, "{balance}");
    // The first command, before any transaction. The value of the stake grows with each epoch.
    let amount = |field: &str| balance[field].as_f64().unwrap();
    let tao_of =
        |field: &str| expected_balance["accounts"][0][field].as_u64().unwrap() as f64 / 1e9;
    assert_eq!(
        (balance["free"].as_f64(), tao_of("free_rao")),
        (Some(tao_of("free_rao")), 1_000_000.0),
        "{balance} {expected_balance}"
    );
    assert!(amount("staked") + 1e-6 >= tao_of("stake_rao"), "{balance} {expected_balance}");
    assert!((amount("total") - amount("free") - amount("staked")).abs() < 1e-6, "{balance}");
    let parameters = report.value("sudo get").as_array().unwrap();
    let tempo = parameters.iter().find(|row| row["hyperparameter"] == "tempo").unwrap();
    assert_eq!(tempo["value"], TEMPO, "{tempo}");
    assert_eq!(report.value("subnets hyperparameters"), TEMPO);
    assert_eq!(report.value("subnets burn-cost")["burn_cost"]["rao"], 1_000_000_000_000_u64);
    assert_eq!(report.value("subnets conviction"), BABELBIT);
    assert_eq!(report.value("subnets price"), &json!([true, true]));
    assert_eq!(report.value("wallet inspect"), true);
    assert_eq!(report.value("wallet list"), &json!(["default", "second", "third"]));
}

fn check_btcli_subnets(report: &ToolReport) {
    assert_eq!(report.value("subnets create"), 60);
    assert_eq!(report.value("subnets get-identity"), "Journey");
    assert_eq!(report.value("subnets set-identity"), "other");
    assert_eq!(report.value("subnets set-symbol"), "ᚢ");
    let set = report.value("sudo set");
    assert_eq!(set[0], 90_000_000_000_u64, "{set}");
    // In TAO, as btcli shows it, or in rao.
    assert!(set[1].to_string().contains("90"), "{set}");
    let refusal = report.value("error of a rejected sudo set").as_str().unwrap();
    assert!(refusal.contains("ValueNotInBounds"), "{refusal}");
    assert_eq!(report.value("sudo trim"), 128);
    assert_eq!(
        (report.value("subnets mechanisms count"), report.value("subnets mechanisms set")),
        (&json!(1), &json!(2))
    );
    // 75 and 25 of 100, of 65 535.
    assert_eq!(report.value("subnets mechanisms split-emissions"), &json!([49_151, 16_384]));
    assert_eq!(report.value("subnets register"), 1);
    assert_eq!(report.value("subnets register with a second wallet"), 2);
    assert_eq!(report.value("subnets register on root"), 0);
    // btcli serves port 1 of address 0.0.0.0 in place of no endpoint.
    assert_eq!((report.value("axon set"), report.value("axon reset")), (&json!(8099), &json!(1)));
}

fn check_btcli_stake(report: &ToolReport) {
    let listed = report.value("stake list");
    assert!(listed[address("//AliceHotkey")].is_array(), "{listed}");
    assert_eq!(report.value("stake auto"), "custom");
    assert_eq!(report.value("stake child set"), true);
    // 12 % of 65 535.
    assert_eq!(report.value("stake child take"), 7_864);
    assert_eq!(report.value("stake child revoke"), &json!([]));
    assert_eq!(report.value("sudo set-take"), 5_898);
    assert_eq!(report.value("sudo get-take"), 0.09);
    // The amount, and the fee of the extrinsic.
    let paid_rao = report.value("sudo stake-burn").as_u64().unwrap();
    assert!((5_000_000_001..5_010_000_000).contains(&paid_rao), "{paid_rao}");
    assert_eq!(report.value("stake remove all alpha"), &json!([0]));
}

fn check_btcli_accounts(report: &ToolReport) {
    assert_eq!(report.value("wallet transfer"), 1_500_000_000_u64);
    assert_eq!(report.value("wallet get-identity"), "Alice");
    assert_eq!(report.value("wallet associate-hotkey"), true);
    assert_eq!(report.value("wallet swap-hotkey"), true);
    assert_eq!(report.value("wallet swap-check"), "disputed");
    assert_eq!(report.value("proxy create"), &json!([true, 0]));
    assert_eq!(
        (report.value("proxy kill"), report.value("proxy remove")),
        (&json!([]), &json!([]))
    );
    assert_eq!(
        (report.value("proxy add"), report.value("proxy execute")),
        (&json!(1_000_000_000), &json!(2_000_000_000))
    );
    assert_eq!(report.value("crowd create"), &json!([30.0, 2]));
    assert_eq!(report.value("crowd contribute"), 20_000_000_000_u64);
    assert_eq!(report.value("crowd update"), 2_000_000_000);
    assert!(report.value("crowd withdraw").is_null());
    assert_eq!(
        (report.value("crowd list"), report.value("crowd info")),
        (&json!(2), &json!("Funded"))
    );
    assert_eq!(report.value("crowd finalize"), 30_000_000_000_u64);
    assert_eq!(report.value("crowd refund"), 3_000_000_000_u64);
    assert!(report.value("crowd dissolve").is_null());
    assert_eq!(report.value("weights reveal"), &json!([true, 0]));
    assert_eq!(report.value("view dashboard"), true);
}

/// The same operations through btcli and through tao, on two chains with the same genesis block.
#[test]
fn btcli_and_tao_have_the_same_effects() {
    let Some(btcli) = Peer::find("btcli") else { return };
    let (btcli_chain, tao_chain) = (chain_at_noon(), chain_at_noon());
    let program = tao().get_program().to_str().unwrap().to_owned();
    let (url, tao_url) = (btcli_chain.url(), tao_chain.url());
    let question = json!({ "url": url, "tao_url": tao_url, "tao": program, "netuid": BABELBIT });
    let reports =
        ToolReport::all(&btcli.query(&mut btcli.script("localnet_journey.py"), &question));
    let [report] = reports.as_slice() else { panic!("one tool") };
    let failures: Vec<_> = report.failures().collect();
    assert!(failures.is_empty(), "{failures:?}");
    let journey = report.value("journey");
    assert!(journey["calls"].as_u64() >= Some(60), "{journey}");
    assert_eq!(journey["heights"][0], journey["heights"][1]);
    // The script states the reasons.
    let differences: Vec<_> = journey["differences"].as_object().unwrap().keys().collect();
    assert_eq!(differences, DIFFERENT_CALLS, "{journey}");
    // The complete state is equal, except for balances: the fee has one rao for each byte of a
    // transaction, and the tools choose different periods of validity.
    assert_eq!(journey["other"], json!([]));
    assert!(journey["items"].as_u64() > Some(1_000), "{journey}");
    let paid_amounts = journey["more_paid"].as_object().unwrap();
    assert!(paid_amounts.values().all(|rao| rao.as_i64().unwrap().abs() < 1_000), "{journey}");
}
