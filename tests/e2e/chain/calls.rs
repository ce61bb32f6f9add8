use serde_json::{Value, json};

use super::{ALICE, AS_ALICE, BOB, Chain, failure};
use crate::support::{document, refusal};

const TRANSFER: &str = "Balances.transfer_keep_alive";

#[test]
fn any_call_is_submitted_by_its_name() {
    let chain = Chain::start();
    let bob = chain.free(BOB);
    let transfer = ["call", TRANSFER, "dest=//Bob", "value=1.5tao"];
    let arguments = json!({ "dest": BOB, "value": 1_500_000_000 });

    let dry_run = document(&chain.tao(&[&transfer[..], &["--dry-run"]].concat(), &AS_ALICE));
    let call = &dry_run["decoded_call"];
    assert_eq!(
        (&call["pallet"], &call["name"], &call["args"]),
        (&json!("Balances"), &json!("transfer_keep_alive"), &arguments),
        "{dry_run}"
    );
    assert!(dry_run["fee_rao"].as_u64().unwrap() > 0, "{dry_run}");
    assert_eq!(chain.free(BOB), bob);
    let inspected = chain.run_json(&["tx", "inspect", call["data"].as_str().unwrap()]);
    assert_eq!((&inspected["kind"], &inspected["call"]["args"]), (&json!("call"), &arguments));

    let submission = chain.alice(&[&transfer[..], &["--yes"]].concat());
    assert_eq!((&submission["call"], &submission["arguments"]), (&json!(TRANSFER), &arguments));
    assert_eq!(chain.free(BOB), bob + 1_500_000_000);
    let extrinsics =
        chain.run_json(&["tx", "list", "--block", &submission["block"]["number"].to_string()]);
    let extrinsics = extrinsics["extrinsics"].as_array().unwrap();
    let matching: Vec<&Value> = extrinsics
        .iter()
        .filter(|extrinsic| extrinsic["extrinsic"] == submission["extrinsic"])
        .collect();
    assert_eq!(matching.len(), 1, "{extrinsics:?}");
    assert_eq!(
        (&matching[0]["signer"], &matching[0]["args"], &matching[0]["success"]),
        (&json!(ALICE), &arguments, &json!(true))
    );

    let as_root = [
        "call",
        "AdminUtils.sudo_set_tempo",
        "--sudo",
        "--yes",
        "--args",
        r#"{"netuid": 59, "tempo": 20}"#,
    ];
    chain.alice(&as_root);
    assert_eq!(
        chain.run_json(&["subnets", "hyperparameters", "59"])["hyperparameters"]["tempo"],
        20
    );
    // The call within Sudo.sudo fails.
    let (code, report) = failure(&chain.tao(
        &["call", "AdminUtils.sudo_set_tempo", "netuid=77", "tempo=1", "--sudo", "--yes"],
        &AS_ALICE,
    ));
    assert_eq!((code, &report["success"]), (5, &json!(false)), "{report}");
}

#[test]
fn dry_run_reports_failing_call() {
    let chain = Chain::start();
    let bob = chain.free(BOB);
    let dry_run = document(&chain.tao(&["transfer", BOB, "1", "--dry-run"], &AS_ALICE));
    assert_eq!(
        (&dry_run["valid"], &dry_run["simulated"], &dry_run["error"]),
        (&json!(true), &json!(true), &json!(null)),
        "{dry_run}"
    );
    let events = dry_run["events"].as_array().unwrap();
    assert!(
        events.iter().any(|event| event["pallet"] == "Balances" && event["name"] == "Transfer"),
        "{dry_run}"
    );
    // The transaction pool accepts both calls. Alice has a million TAO.
    for (arguments, name, expected) in [
        (&["transfer", BOB, "2000000"][..], "InsufficientBalance", "the call was not sent"),
        (
            &["stake", "add", "1", "--netuid", "1", "--hotkey-ss58", BOB],
            "SubtensorModule.SubtokenDisabled",
            "the call would fail",
        ),
    ] {
        let (code, dry_run) = failure(&chain.tao(&[arguments, &["--dry-run"]].concat(), &AS_ALICE));
        assert_eq!(
            (code, &dry_run["valid"], &dry_run["error"]["name"]),
            (5, &json!(false), &json!(name)),
            "{dry_run}"
        );
        let error = refusal(&chain.tao(arguments, &["--key-uri", "//Alice"]), 5);
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(chain.free(BOB), bob);
}

#[test]
fn batch_is_atomic() {
    let chain = Chain::start();
    let transfer = |to: &str, value: &str| format!("{TRANSFER} dest={to} value={value}");
    let (first, second) = (transfer("//Dave", "1tao"), transfer("//Ferdie", "2tao"));
    let free = || (chain.free("//Dave"), chain.free("//Ferdie"));
    let (dave, ferdie) = free();
    let dry_run = document(&chain.tao(&["batch", &first, &second, "--dry-run"], &AS_ALICE));
    assert_eq!(
        (&dry_run["valid"], &dry_run["decoded_call"]["name"]),
        (&json!(true), &json!("batch_all")),
        "{dry_run}"
    );
    assert_eq!(free(), (dave, ferdie));
    let submission = chain.alice(&["batch", &first, &second, "--yes"]);
    assert_eq!(
        (
            &submission["calls"][1]["call"],
            &submission["calls"][1]["arguments"]["value"],
            &submission["signer"]
        ),
        (&json!(TRANSFER), &json!(2_000_000_000), &json!(ALICE)),
        "{submission}"
    );
    assert_eq!(free(), (dave + 1_000_000_000, ferdie + 2_000_000_000));

    // The second call fails, or exceeds the balance.
    let file = chain.path("calls");
    let missing = format!("AdminUtils.sudo_set_tempo {}", json!({ "netuid": 77, "tempo": 1 }));
    let too_much =
        format!("{TRANSFER} {}", json!({ "dest": BOB, "value": 9_000_000_000_000_000_000_u64 }));
    for (second, is_unsent) in [(missing, false), (too_much, true)] {
        std::fs::write(&file, format!("# Dave and Bob\n{first}\n\n{second}\n")).unwrap();
        let from_file = ["batch", "--file", file.to_str().unwrap(), "--yes"];
        let (code, report) = failure(&chain.tao(&from_file, &AS_ALICE));
        assert_eq!(
            (code, &report["success"], report["outcome"] == "unsent"),
            (5, &json!(false), is_unsent),
            "{report}"
        );
        assert_eq!(free(), (dave + 1_000_000_000, ferdie + 2_000_000_000));
    }

    chain.alice(&["proxy", "add", "//Bob", "--type", "any", "--yes"]);
    let before = chain.free(BOB);
    let proxied_batch = ["batch", &first, &second, "--yes", "--proxy-for", ALICE];
    let submission = document(&chain.tao(&proxied_batch, &["--key-uri", "//Bob", "--json"]));
    assert_eq!(
        (&submission["success"], &submission["proxy_for"]),
        (&json!(true), &json!(ALICE)),
        "{submission}"
    );
    assert_eq!(free(), (dave + 2_000_000_000, ferdie + 4_000_000_000));
    assert!(chain.free(BOB) > before - 1_000_000_000, "the transfers are Alice's");

    std::fs::write(&file, "\n# nothing\n").unwrap();
    for (arguments, code, words) in [
        (&["batch"][..], 2, "CALL"),
        (&["batch", "Balances"], 2, "expected PALLET.NAME"),
        (&["batch", "System.remark remark"], 2, "expected NAME=VALUE"),
        (&["batch", "System.remark remark=a remark=b"], 2, "duplicate argument remark"),
        (&["batch", "System.remark", "--file", "calls"], 2, "cannot be used with"),
        (&["batch", "--file", file.to_str().unwrap()], 2, "contains no calls"),
        (
            &["batch", "System.remark remark=a", "System.nothing"],
            1,
            "list the calls with `tao call System`",
        ),
    ] {
        let error = refusal(&chain.tao(arguments, &["--key-uri", "//Alice"]), code);
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
}
