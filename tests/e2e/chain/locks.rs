//! Locks of stake, and the conviction that they give to hotkeys.

use serde_json::json;

use super::{BABELBIT, BOB, Chain, failure};
use crate::support::refusal;

#[test]
fn stake_is_locked_and_lock_is_moved() {
    let chain = Chain::start();
    let (_, hotkey) = chain.wallet();
    let lock = || chain.run_json(&["lock", "show", "--netuid", BABELBIT])["lock"].clone();
    assert_eq!((&chain.run_json(&["lock", "list"])["locks"], lock()), (&json!([]), json!(null)));
    chain.run_json(&["register", "--netuid", BABELBIT, "--yes"]);
    chain.alice(&["register", "--netuid", BABELBIT, "--hotkey-ss58", BOB, "--yes"]);
    chain.run_json(&["stake", "add", "100", "--netuid", BABELBIT, "--no-limit", "--yes"]);
    for arguments in [&["lock", "mode", "perpetual"][..], &["lock", "move", BOB]] {
        let error = refusal(&chain.tao(arguments, &["--netuid", BABELBIT, "--yes"]), 1);
        assert!(error.contains("tao lock list"), "{error}");
    }

    let add = |amount: &str, options: &[&str]| {
        let arguments = ["lock", "add", amount, "--netuid", BABELBIT, "--yes", "--json"];
        chain.tao(&arguments, options)
    };
    let (code, result) = failure(&add("1000000", &[]));
    assert_eq!((code, &result["outcome"], lock()), (5, &json!("unsent"), json!(null)), "{result}");
    assert_eq!(result["error"]["name"], "SubtensorModule.InsufficientStakeForLock", "{result}");
    assert!(add("5", &["--mode", "perpetual"]).status.success());
    assert!(add("1", &[]).status.success());
    let (code, result) = failure(&add("1", &["--hotkey-ss58", BOB]));
    assert_eq!((code, &result["outcome"]), (5, &json!("unsent")), "{result}");
    assert_eq!(result["error"]["name"], "SubtensorModule.LockHotkeyMismatch", "{result}");
    let locks = chain.run_json(&["lock", "list"])["locks"].clone();
    assert_eq!(
        (
            locks.as_array().unwrap().len(),
            &locks[0]["hotkey"],
            &locks[0]["locked_rao"],
            &locks[0]["mode"]
        ),
        (1, &json!(hotkey), &json!(6_000_000_000_u64), &json!("perpetual")),
        "{locks}"
    );
    // Locked stake cannot be sold.
    let remove_all =
        ["stake", "remove", "--all", "--netuid", BABELBIT, "--no-limit", "--yes", "--json"];
    let (code, result) = failure(&chain.tao(&remove_all, &[]));
    assert_eq!((code, &result["success"]), (5, &json!(false)), "{result}");
    let convictions = chain.run_json(&["subnets", "conviction", BABELBIT])["convictions"].clone();
    assert_eq!(
        (&convictions[0]["hotkey"], &convictions[0]["is_owner"]),
        (&json!(hotkey), &json!(false))
    );
    assert!(convictions[0]["conviction_rao"].as_u64().unwrap() > 0, "{convictions}");

    chain.run_json(&["lock", "mode", "decaying", "--netuid", BABELBIT, "--yes"]);
    chain.mine_to_epoch(BABELBIT);
    assert_eq!(lock()["mode"], "decaying");
    assert!(lock()["locked_rao"].as_u64().unwrap() < 6_000_000_000);
    let moved = chain.run_json(&["lock", "move", BOB, "--netuid", BABELBIT, "--yes"]);
    assert_eq!((&moved["hotkey"], &moved["to_hotkey"]), (&json!(hotkey), &json!(BOB)), "{moved}");
    assert_eq!(lock()["hotkey"], BOB);
    let text = |arguments: &[&str]| String::from_utf8(chain.tao(arguments, &[]).stdout).unwrap();
    for arguments in [&["lock", "list"][..], &["lock", "show", "--netuid", BABELBIT]] {
        assert!(text(arguments).contains("decaying"), "{arguments:?}");
    }
    assert!(text(&["subnets", "conviction", BABELBIT]).contains("conviction"));
}
