//! SDK 10 on a chain with the genesis block of the reference's local network.

use serde_json::{Value, json};

use super::results::ToolReport;
use crate::peers::Peer;
use crate::support::{Daemon, tao};

#[test]
fn reference_genesis_matches_expectations_of_sdk_suite() {
    let Some(sdk10) = Peer::find("sdk10") else { return };
    let chain = Daemon::start(tao().args([
        "localnet",
        "--memory",
        "--genesis",
        "reference",
        "--block-time",
        "250ms",
    ]));
    let reports = ToolReport::all(
        &sdk10.query(&mut sdk10.script("localnet_reference.py"), &json!({ "url": chain.url() })),
    );
    let [report] = reports.as_slice() else { panic!("one tool") };
    assert_eq!(report.value("subnets"), &json!([0, 1]));
    assert_eq!(report.value("owner of Alice's hotkey"), false);
    assert_eq!(report.value("register two subnets"), &json!([2, 3]));
    assert_eq!(report.value("balance of the sudo key"), &json!([true, 0]));
    assert_eq!(
        report.value("duplicate proxy"),
        &json!([true, "Duplicate", ["Account is already a proxy."]])
    );
    assert_eq!(report.value("storage set by sudo"), &json!([true, 33]));
    assert_eq!(report.value("code set by sudo"), false);
}

#[test]
fn refused_calls_have_errors_expected_by_sdk_suite() {
    let Some(sdk10) = Peer::find("sdk10") else { return };
    let chain = Daemon::start(tao().args([
        "localnet",
        "--memory",
        "--genesis",
        "reference",
        "--block-time",
        "instant",
    ]));
    let reports = ToolReport::all(
        &sdk10.query(&mut sdk10.script("localnet_refusals.py"), &json!({ "url": chain.url() })),
    );
    let [report] = reports.as_slice() else { panic!("one tool") };
    for (calls, errors) in expected_errors() {
        assert_eq!(report.value(calls), &errors, "{calls}");
    }
}

/// Returns the groups of calls in tests/e2e/peers/localnet_refusals.py, and each call's error; null
/// after a success.
fn expected_errors() -> [(&'static str, Value); 10] {
    [
        (
            "takes",
            json!([
                "HotKeyAccountNotExists",
                "NonAssociatedColdKey",
                "DelegateTakeTooHigh",
                null,
                "DelegateTxRateLimitExceeded",
                null
            ]),
        ),
        ("subnets", json!(["NotSubnetOwner", null])),
        ("commitments", json!(["AccountNotAllowedCommit", null, "SpaceLimitExceeded"])),
        (
            "children",
            json!([
                "RegistrationNotPermittedOnRootSubnet",
                "SubnetNotExists",
                "InvalidChild",
                "DuplicateChild",
                "ProportionOverflow",
                null,
                "TxRateLimitExceeded",
                "NotEnoughStakeToSetChildkeys"
            ]),
        ),
        (
            "alpha values",
            json!([
                "LiquidAlphaDisabled",
                null,
                "AlphaHighTooLow",
                "AlphaLowOutOfRange",
                "AlphaLowOutOfRange"
            ]),
        ),
        ("weights", json!(["WeightVecNotEqualSize", "TxRateLimitExceeded"])),
        (
            "proxies",
            json!([
                null,
                "Duplicate",
                null,
                "NotFound",
                "NoSelfProxy",
                null,
                "Unannounced",
                "Unannounced",
                "Unannounced",
                null
            ]),
        ),
        ("pure proxies", json!([null, null, "NotProxy"])),
        (
            "crowdloans",
            json!([
                "DepositTooLow",
                "CapTooLow",
                "CannotEndInPast",
                "BlockDurationTooShort",
                "BlockDurationTooLong",
                null,
                "InvalidOrigin",
                "ContributionTooLow",
                null,
                "CapRaised",
                null,
                "AlreadyFinalized",
                "CapRaised",
                "AlreadyFinalized"
            ]),
        ),
        (
            "coldkey swaps",
            json!([
                "No coldkey swap announcement found",
                "New coldkey hash does not match announcement",
                "Swap too early",
                "ColdkeySwapReannouncedTooEarly",
                "Custom error: 0",
                null,
                "Custom error: 21"
            ]),
        ),
    ]
}
