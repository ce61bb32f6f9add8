//! Polkadot-JS on the development chain.

use serde_json::{Value, json};

use super::results::{ToolReport, check_table};
use super::{ALICE, BABELBIT, TEMPO, address, chain};
use crate::peers::Peer;

#[test]
fn polkadot_js_is_compatible_with_the_chain() {
    let Some(polkadot) = Peer::find("polkadot") else { return };
    let chain = chain("250ms");
    let question = json!({ "url": chain.url(), "netuid": BABELBIT });
    let reports = ToolReport::all(
        &polkadot.query(&mut polkadot.node_script("localnet_polkadot.mjs"), &question),
    );
    let [report] = reports.as_slice() else { panic!("one tool") };
    check_table("what Polkadot-JS did", &[report]);
    check_polkadot_reads(report);
    check_polkadot_transactions(report);
}

fn check_polkadot_reads(report: &ToolReport) {
    let spec = taonet_localnet_runtime::VERSION.spec_version;
    let chain = json!({ "chain": "Bittensor", "name": "taonet localnet", "spec": spec, "symbol": "TAO", "decimals": 9 });
    assert_eq!(report.value("connect"), &chain);
    assert_eq!(report.value("connect over HTTP"), true);
    assert_eq!(report.value("constants"), &json!([500, 250, "node-subtensor"]));
    assert_eq!(report.value("storage value"), TEMPO);
    let tempos = report.value("storage map");
    assert_eq!((tempos.as_object().unwrap().len(), &tempos["18"]), (60, &json!(360)), "{tempos}");
    assert_eq!(report.value("storage keys in pages"), &json!([40, 20]));
    assert_eq!(report.value("several storage items"), &json!([TEMPO, "1000000000000000"]));
    let runtime = report.value("runtime API");
    assert_eq!((&runtime["nonce"], &runtime["name"]), (&json!(0), &json!("Babelbit")));
    assert!((0.1..0.3).contains(&runtime["price"].as_f64().unwrap()), "{runtime}");
    let heads: Vec<u64> =
        serde_json::from_value(report.value("subscription to new heads").clone()).unwrap();
    assert_eq!(heads, [heads[0], heads[0] + 1, heads[0] + 2]);
    assert_eq!(report.value("subscription to finalized heads"), &json!([2, true]));
    assert_eq!(report.value("subscription to storage"), &json!(["0", "1000000000"]));
    assert_eq!(report.value("subscription to events"), true);
    assert_eq!(report.value("storage at an earlier block"), "1000000000000000");
}

fn check_polkadot_transactions(report: &ToolReport) {
    let has = |events: &Value, name: &str| events.as_array().unwrap().contains(&json!(name));
    let transfer = report.value("transfer");
    assert_eq!(transfer["received"], "1000000000");
    assert!(has(&transfer["statuses"], "Finalized"), "{transfer}");
    for event in
        ["balances.Transfer", "transactionPayment.TransactionFeePaid", "system.ExtrinsicSuccess"]
    {
        assert!(has(&transfer["events"], event), "{transfer}");
    }
    // As estimated.
    let [estimate, paid] = report.value("fee").as_array().unwrap().as_slice() else {
        panic!("two fees")
    };
    assert_eq!(estimate, paid);
    assert_eq!(report.value("mortal transaction with a tip"), 1_000);
    let batch = report.value("batch");
    assert_eq!(batch["received"], "3000000000");
    assert!(
        has(&batch["events"], "utility.ItemCompleted")
            && has(&batch["events"], "utility.BatchCompleted"),
        "{batch}"
    );
    assert_eq!(report.value("error of a call"), r#"{"arithmetic":"Underflow"}"#);
    assert_eq!(
        report.value("refused transaction"),
        "1010: Invalid Transaction: Transaction is outdated"
    );
    let proxy = report.value("proxy");
    assert_eq!(proxy["held"], json!([[address("//Bob"), "Transfer"]]));
    // The second call is not a transfer.
    assert_eq!(
        (&proxy["received"], &proxy["results"]),
        (&json!("1000000000"), &json!([true, false]))
    );
    assert_eq!(proxy["left"], 0);
    let multisig = report.value("multisig");
    assert_eq!(multisig["received"], "3000000000");
    assert_eq!(
        multisig["events"],
        json!([["multisig.NewMultisig"], ["multisig.MultisigExecuted"]])
    );
    let staked = report.value("register and stake");
    assert_eq!(
        staked,
        &json!({ "uid": 1, "coldkey": ALICE, "hotkey": address("//PolkadotHotkey") })
    );
    assert_eq!(report.value("sudo"), &json!([true, 30_000]));
    let block = report.value("block and events");
    assert_eq!(
        (&block["call"], &block["first"]),
        (&json!("system.remarkWithEvent"), &json!("timestamp"))
    );
    assert!(has(&block["events"], "system.Remarked"), "{block}");
}
