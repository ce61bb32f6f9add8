//! SDK 10 and the substrate client below it, on the development chain.

use serde_json::json;

use super::results::{ToolReport, check_table};
use super::{ALICE, BABELBIT, TEMPO, address, chain};
use crate::peers::Peer;

/// Methods of each class of SDK 10 that fail on the main network too.
const UNSUPPORTED_METHODS: usize = 2;
/// Methods of each class that SDK 10 rejects on every chain, without a request to it: the main
/// network has removed user liquidity.
const REJECTED_BY_SDK: [&str; 4] =
    ["add_liquidity", "modify_liquidity", "remove_liquidity", "toggle_user_liquidity"];
/// Percentage of all methods that must work, that is return a result other than a failed response.
const WORKING_PERCENT: usize = 97;

#[test]
fn every_supported_method_of_sdk10_works() {
    let Some(sdk10) = Peer::find("sdk10") else { return };
    let query_class = |class: &str| {
        let chain = chain("manual");
        let question = json!({ "class": class, "url": chain.url(), "netuid": BABELBIT, "block_seconds": 0.25 });
        let reports = ToolReport::all(
            &sdk10.query(&mut sdk10.script("localnet_sdk10_methods.py"), &question),
        );
        reports.into_iter().next().expect("one tool")
    };
    let (query_class, classes) = (&query_class, ["Subtensor", "AsyncSubtensor"]);
    let reports: Vec<ToolReport> = std::thread::scope(|scope| {
        let threads = classes.map(|class| scope.spawn(move || query_class(class)));
        threads.into_iter().map(|class| class.join().unwrap()).collect()
    });
    check_table("what the methods of SDK 10 did", &reports.iter().collect::<Vec<_>>());
    for report in reports {
        let methods = report.value("public methods");
        let count = |kind: &str| methods[kind].as_array().unwrap().len();
        assert_eq!(methods["rejected by the SDK"], json!(REJECTED_BY_SDK));
        assert_eq!(
            (count("without success"), count("unsupported")),
            (0, UNSUPPORTED_METHODS),
            "{methods}"
        );
        let working = count("working");
        let method_count = working + UNSUPPORTED_METHODS + REJECTED_BY_SDK.len();
        assert!(working > 200 && working * 100 >= method_count * WORKING_PERCENT, "{methods}");
    }
}

pub(super) fn check(report: &ToolReport, url: &str) {
    assert_eq!(report.value("connect"), url);
    assert!(report.value("block").as_u64() > Some(0));
    assert_eq!(report.value("balance"), 1_000_000_000_000_000_u64);
    assert_eq!(report.value("existential deposit"), 500);
    assert_eq!(report.value("transfer"), 1_500_000_000_u64);
    assert_eq!(report.value("subnets list"), &json!((0..60).collect::<Vec<_>>()));
    let subnet = report.value("subnet");
    assert_eq!((&subnet["name"], &subnet["tempo"]), (&json!("Babelbit"), &json!(TEMPO)));
    // The price starts at 0.1 and rises with the purchases of each block.
    assert!((0.1..0.15).contains(&subnet["price"].as_f64().unwrap()), "{subnet}");
    assert_eq!(
        report.value("hyperparameters"),
        &json!({ "tempo": TEMPO, "kappa": 32_767, "commit_reveal": false })
    );
    assert_eq!(report.value("subnet creation cost"), 1_000_000_000_000_u64);
    // The owner's neuron has the first uid.
    assert_eq!(report.value("register"), &json!([1, 2]));
    assert_eq!(report.value("serve axon"), "203.0.113.7:8099");
    assert!(report.value("stake add").as_u64() > Some(0));
    let removed = report.value("stake remove");
    let events = removed["events"].as_array().unwrap();
    // The event's alpha is without the fee.
    let sold_tao = events[0][3].as_u64().unwrap() + events[0][5].as_u64().unwrap();
    assert_eq!((events.len(), Some(sold_tao)), (1, removed["requested"].as_u64()), "{removed}");
    assert!(
        removed["requested"].as_u64() > Some(0)
            && removed["after"].as_u64() < removed["before"].as_u64(),
        "{removed}"
    );
    let added = report.value("stake add multiple").as_array().unwrap();
    assert!(
        added.len() == 2 && added.iter().all(|alpha| alpha.as_u64() > Some(20_000_000_000)),
        "{added:?}"
    );
    assert_eq!(report.value("stake list"), &json!([BABELBIT]));
    assert_eq!(report.value("take"), 0.09);
    let delegate = report.value("delegates");
    let expected = json!({
        "owner": ALICE, "take": 0.09, "registrations": [BABELBIT],
        "nominators": { ALICE: delegate["stake"] }, "stake": delegate["stake"],
    });
    assert_eq!(delegate, &expected);
    assert!(delegate["stake"].as_u64() >= removed["after"].as_u64(), "{delegate} {removed}");
    assert_eq!(
        report.value("commitment set and get"),
        &json!(["speech at 16 kHz", "speech at 16 kHz", 0])
    );
    assert_eq!(report.value("set weights"), &json!([[2, 65_535]]));
    let graph = report.value("metagraph");
    assert_eq!((graph["n"].as_u64(), graph["incentive"].as_f64()), (Some(3), Some(1.0)));
    assert_eq!(graph["axon"], "203.0.113.7");
    assert!(graph["stake"].as_f64() > Some(0.0), "{graph}");
    // Each epoch adds a tenth of the difference to a full bond.
    let bonds = report.value("bonds").as_array().unwrap();
    let [bond] = bonds.as_slice() else { panic!("{bonds:?}") };
    let expected_bond = |epochs: i32| 65_535.0 * (1.0 - 0.9_f64.powi(epochs));
    let is_expected =
        |epochs| (bond[1].as_f64().unwrap() - expected_bond(epochs)).abs() <= f64::from(epochs);
    assert!(bond[0] == 2 && (1..30).any(is_expected), "{bonds:?}");
    assert_eq!(report.value("sudo"), true);
    let commit = report.value("timelocked commit");
    assert_eq!(commit["stored"], commit["sent"]);
    let [sent] = commit["sent"].as_array().unwrap().as_slice() else { panic!("{commit}") };
    assert_eq!(sent[0], address("//AliceHotkey"));
    assert!(sent[2].as_str().unwrap().len() > 2 * 96, "shorter than a ciphertext: {commit}");
    assert_eq!(report.value("create subnet"), &json!([60]));
}

pub(super) fn check_substrate_client(substrate: &ToolReport, sdk10: &ToolReport) {
    assert_eq!(substrate.value("connect"), "Bittensor");
    assert_eq!(substrate.value("constant"), 250);
    assert_eq!(substrate.value("storage value"), TEMPO);
    let tempos = substrate.value("storage map").as_array().unwrap();
    for tempo in [[0, 100], [1, 100], [18, 360], [u64::from(BABELBIT), TEMPO]] {
        assert!(tempos.contains(&json!(tempo)), "{tempos:?}");
    }
    assert_eq!(tempos.len(), 61);
    // Coldkey, hotkey, TAO, alpha, subnet, fee: 33 parts of 65 535.
    let events = substrate.value("events of a block").as_array().unwrap();
    let [events] = events.as_slice() else { panic!("{events:?}") };
    let fee = 100_000_000_000_u64 * 33 / 65_535;
    let expected = json!([
        ALICE,
        address("//AliceHotkey"),
        100_000_000_000_u64,
        sdk10.value("stake add"),
        BABELBIT,
        fee
    ]);
    assert_eq!(events, &expected);
}
