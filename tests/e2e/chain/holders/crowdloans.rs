//! Crowdloans: a payment, a call, a lease of a subnet.

use serde_json::json;

use super::super::{ALICE, AS_ALICE, BABELBIT, BOB, Chain};
use super::{call_as, mine, refusal_of};
use crate::support::{document, refusal};

#[test]
fn crowdloan_is_paid_out_or_refunded() {
    let chain = Chain::start();
    assert_eq!(chain.run_json(&["crowdloan", "list"])["crowdloans"], json!([]));
    let create = [
        "crowdloan",
        "create",
        "--deposit",
        "10",
        "--min-contribution",
        "0.1",
        "--duration",
        "10000",
    ];
    let create = [&create[..], &["--target", "//Dave", "--yes", "--cap"]].concat();
    let created = chain.alice(&[&create[..], &["20"]].concat());
    assert_eq!(created["id"], 0, "{created}");
    call_as(&chain, "//Bob", &["crowdloan", "contribute", "0", "4"]);
    let shown = chain.run_json(&["crowdloan", "show", "0"]);
    assert_eq!(
        (
            &shown["crowdloan"]["state"],
            &shown["crowdloan"]["raised_rao"],
            &shown["contributions"][1]
        ),
        (
            &json!("open"),
            &json!(14_000_000_000_u64),
            &json!({ "account": BOB, "amount_rao": 4_000_000_000_u64 })
        ),
        "{shown}"
    );
    let shares = chain.run_json(&["crowdloan", "contributors", "0"]);
    assert_eq!(
        (&shares["contributors"][1]["account"], &shares["raised_rao"]),
        (&json!(BOB), &json!(14_000_000_000_u64))
    );
    let percent = shares["contributors"][1]["percent"].as_f64().unwrap();
    assert!((percent - 100.0 * 4.0 / 14.0).abs() < 1e-9, "{shares}");
    assert_eq!(
        refusal_of(&chain, "//Alice", &["crowdloan", "finalize", "0"]),
        "Crowdloan.CapNotRaised"
    );
    // The chain accepts at most the remaining amount.
    let remaining = call_as(&chain, "//Bob", &["crowdloan", "contribute", "0", "100"]);
    assert_eq!(
        (&remaining["left_rao"], &remaining["accepted_rao"]),
        (&json!(6_000_000_000_u64), &json!(6_000_000_000_u64))
    );
    assert_eq!(chain.run_json(&["crowd", "list"])["crowdloans"][0]["state"], "raised");
    let text = String::from_utf8(chain.tao(&["crowdloan", "show", "0"], &[]).stdout).unwrap();
    assert!(text.contains("20 of 20 TAO") && text.contains(BOB), "{text}");
    let dave = chain.free("//Dave");
    call_as(&chain, "//Alice", &["crowdloan", "finalize", "0"]);
    assert_eq!(chain.free("//Dave"), dave + 20_000_000_000);

    let created = chain.alice(&[&create[..], &["30"]].concat());
    assert_eq!(created["id"], 1);
    call_as(&chain, "//Alice", &["crowdloan", "update", "1", "--cap", "40"]);
    call_as(&chain, "//Alice", &["crowdloan", "update", "1", "--min-contribution", "0.5"]);
    let end = (created["end"].as_u64().unwrap() + 100).to_string();
    call_as(&chain, "//Alice", &["crowdloan", "update", "1", "--end", &end]);
    let terms = chain.run_json(&["crowdloan", "show", "1"])["crowdloan"].clone();
    assert_eq!(
        (&terms["cap_rao"], &terms["min_contribution_rao"], terms["end"].to_string()),
        (&json!(40_000_000_000_u64), &json!(500_000_000), end)
    );
    call_as(&chain, "//Bob", &["crowdloan", "contribute", "1", "5"]);
    let bob = chain.free(BOB);
    call_as(&chain, "//Bob", &["crowdloan", "withdraw", "1"]);
    assert!(chain.free(BOB) > bob + 4_900_000_000);
    call_as(&chain, "//Charlie", &["crowdloan", "contribute", "1", "5"]);
    assert_eq!(
        refusal_of(&chain, "//Alice", &["crowdloan", "dissolve", "1"]),
        "Crowdloan.NotReadyToDissolve"
    );
    call_as(&chain, "//Alice", &["crowdloan", "refund", "1"]);
    call_as(&chain, "//Alice", &["crowdloan", "dissolve", "1"]);
    let error = refusal(&chain.tao(&["crowdloan", "show", "1"], &[]), 1);
    assert!(error.contains("tao crowdloan list"), "{error}");
}

#[test]
fn crowdloan_takes_call_instead_of_target() {
    let chain = Chain::start();
    let terms = [
        "crowdloan",
        "create",
        "--deposit",
        "10",
        "--min-contribution",
        "1",
        "--cap",
        "11",
        "--duration",
        "100",
    ];
    let call = r#"{"Balances": {"transfer_keep_alive": {"dest": "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty", "value": 1}}}"#;
    let dry_run =
        document(&chain.tao(&[&terms[..], &["--call", call, "--dry-run"]].concat(), &AS_ALICE));
    assert_eq!(dry_run["valid"], true, "{dry_run}");
    let nested = &dry_run["decoded_call"]["args"]["call"]["Balances"]["transfer_keep_alive"];
    assert_eq!(nested, &json!({ "dest": BOB, "value": 1 }), "{dry_run}");
    let error = refusal(&chain.tao(&terms, &["--key-uri", "//Alice"]), 2);
    assert!(error.contains("--target"), "{error}");
}

#[test]
fn crowdloan_leases_subnet() {
    // The lease ends at block 1000, after 250 s: long enough for the commands before its end, on a
    // busy machine too.
    let chain = Chain::with(&["--block-time", "250ms"]);
    let create =
        ["crowdloan", "create", "--deposit", "100", "--min-contribution", "1", "--cap", "1500"];
    let create = [&create[..], &["--duration", "1000", "--subnet-lease", "--yes"]].concat();
    let error = refusal(&chain.tao(&create, &AS_ALICE), 2);
    assert!(error.contains("--emissions-share"), "{error}");
    let error =
        refusal(&chain.tao(&[&create[..], &["--emissions-share", "101"]].concat(), &AS_ALICE), 2);
    assert!(error.contains("0..=100"), "{error}");
    let terms = ["--emissions-share", "30", "--lease-end-block", "1000"];
    let created = chain.alice(&[&create[..], &terms].concat());
    assert_eq!(
        (&created["emissions_share"], &created["lease_end_block"]),
        (&json!(30), &json!(1_000)),
        "{created}"
    );
    call_as(&chain, "//Bob", &["crowdloan", "contribute", "0", "1400"]);
    let before = chain.free(BOB);
    let finalized = call_as(&chain, "//Alice", &["crowdloan", "finalize", "0"]);
    assert_eq!(
        (&finalized["lease_id"], &finalized["netuid"]),
        (&json!(0), &json!(60)),
        "{finalized}"
    );
    // Bob contributed 14 of 15 parts; the subnet costs 1 000 TAO, and the proxy of the lease a
    // deposit.
    let refund = chain.free(BOB) - before;
    assert!((466_000_000_000..466_666_666_667).contains(&refund), "{refund}");
    let account = finalized["lease_account"].as_str().unwrap();
    assert_eq!(chain.run_json(&["subnets", "show", "60"])["subnet"]["owner_coldkey"], account);
    let start =
        ["call", "SubtensorModule.start_call", "netuid=60", "--proxy-for", account, "--yes"];
    chain.alice(&start);
    let parameters = chain.run_json(&["subnets", "hyperparameters", "60"]);
    assert_eq!(parameters["hyperparameters"]["subnet_is_active"], true);

    let shown = chain.run_json(&["subnets", "show", BABELBIT]);
    let hotkey = format!("hotkey={}", shown["subnet"]["owner_hotkey"].as_str().unwrap());
    let end = ["call", "SubtensorModule.terminate_lease", "lease_id=0", &hotkey];
    assert_eq!(refusal_of(&chain, "//Alice", &end), "SubtensorModule.LeaseHasNotEnded");
    mine(&chain, 1_000);
    call_as(&chain, "//Alice", &end);
    assert_eq!(chain.run_json(&["subnets", "show", "60"])["subnet"]["owner_coldkey"], ALICE);
}
