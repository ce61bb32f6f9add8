//! Stake: transfers, children, claims of dividends, and where emission is staked.

use serde_json::{Value, json};

use super::super::{ALICE, BABELBIT, BOB, Chain, failure};
use super::mine;
use crate::support::{document, refusal, stderr};

/// Stake of a coldkey on a hotkey on a subnet, in rao.
fn stake_of(chain: &Chain, coldkey: &str, hotkey: &str, netuid: u16) -> u64 {
    let list = chain.run_json(&["stake", "list", coldkey]);
    let stakes = list["stakes"].as_array().unwrap().iter();
    let mut actual = stakes.filter(|stake| stake["netuid"] == netuid && stake["hotkey"] == hotkey);
    actual.next().map_or(0, |stake| stake["stake_rao"].as_u64().unwrap())
}

/// Asserts that two stakes are close: the shares of a pool are rounded.
#[track_caller]
fn assert_close(amount: u64, expected: u64) {
    assert!(amount.abs_diff(expected) < 100, "{amount} {expected}");
}

#[test]
fn stake_moves_to_other_hotkeys_subnets_and_coldkeys() {
    let chain = Chain::start();
    let (coldkey, hotkey) = chain.wallet();
    // No epoch pays emission in between.
    chain.alice(&["sudo", "set", "tempo", "30000", "--netuid", BABELBIT]);
    chain.run_json(&["register", "--netuid", BABELBIT, "--yes"]);
    chain.alice(&["register", "--netuid", BABELBIT, "--hotkey-ss58", BOB, "--yes"]);
    chain.run_json(&["stake", "add", "100", "--netuid", BABELBIT, "--no-limit", "--yes"]);
    let before = stake_of(&chain, &coldkey, &hotkey, 59);

    let moved =
        chain.run_json(&["stake", "move", "10", "--netuid", BABELBIT, "--to-hotkey", BOB, "--yes"]);
    assert_eq!(
        (&moved["success"], &moved["to_hotkey"], &moved["expected_alpha_rao"]),
        (&json!(true), &json!(BOB), &json!(10_000_000_000_u64)),
        "{moved}"
    );
    assert_close(stake_of(&chain, &coldkey, BOB, 59), 10_000_000_000);
    assert_close(stake_of(&chain, &coldkey, &hotkey, 59), before - 10_000_000_000);

    let transferred =
        chain.run_json(&["stake", "transfer", ALICE, "5", "--netuid", BABELBIT, "--yes"]);
    assert_eq!(
        (&transferred["success"], &transferred["to"]),
        (&json!(true), &json!(ALICE)),
        "{transferred}"
    );
    assert_close(stake_of(&chain, ALICE, &hotkey, 59), 5_000_000_000);

    let swap = ["stake", "swap", "5", "--netuid", BABELBIT, "--to-netuid", "0", "--yes"];
    let swapped = chain.run_json(&swap);
    let expected = swapped["expected_alpha_rao"].as_u64().unwrap();
    let root = stake_of(&chain, &coldkey, &hotkey, 0);
    assert!(root.abs_diff(expected) < expected / 100 && root > 0, "{root} {expected}");
    // A limit above the current ratio.
    let (code, error) = failure(&chain.tao(&swap, &["--limit", "1000", "--json"]));
    assert_eq!((code, &error["success"]), (5, &json!(false)), "{error}");

    let sale = chain.run_json(&["stake", "unstake-all", "--to-root", "--yes"]);
    assert_eq!((&sale["success"], &sale["netuids"]), (&json!(true), &json!([59])), "{sale}");
    assert_eq!(stake_of(&chain, &coldkey, &hotkey, 59), 0);
    assert!(stake_of(&chain, &coldkey, &hotkey, 0) > root);
    let sale = chain.run_json(&["stake", "unstake-all", "--yes"]);
    assert_eq!((&sale["success"], &sale["netuids"]), (&json!(true), &json!([0])), "{sale}");
    assert_eq!(stake_of(&chain, &coldkey, &hotkey, 0), 0);

    for (arguments, code, words) in [
        (&["stake", "unstake-all"][..], 5, "has no stake to sell"),
        (
            &["stake", "move", "--all", "--netuid", BABELBIT, "--to-hotkey", ALICE],
            5,
            "tao stake list",
        ),
        (
            &["stake", "move", "1", "--netuid", BABELBIT, "--to-hotkey", &hotkey],
            2,
            "tao stake swap",
        ),
        (
            &["stake", "move", "1", "--netuid", BABELBIT, "--to-hotkey", BOB, "--limit", "1"],
            2,
            "pass --to-netuid",
        ),
        (
            &["stake", "move", "1", "--netuid", BABELBIT, "--to-hotkey", BOB, "--partial"],
            2,
            "pass --to-netuid",
        ),
        (&["stake", "swap", "1", "--netuid", BABELBIT, "--to-netuid", BABELBIT], 2, "--to-netuid"),
        (&["stake", "transfer", ALICE, "--netuid", BABELBIT], 2, "required"),
    ] {
        let error = refusal(&chain.tao(arguments, &[]), code);
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
}

#[test]
fn hotkey_delegates_stake_to_its_children() {
    // The rate limit of 150 blocks between two changes lasts 75 s: long enough for the second, on a
    // busy machine too.
    let chain = Chain::with(&["--block-time", "500ms"]);
    let (_, hotkey) = chain.wallet();
    // Children stay scheduled until they have been read, on a busy machine too.
    chain.alice(&[
        "call",
        "SubtensorModule.set_pending_childkey_cooldown",
        "cooldown=300",
        "--sudo",
        "--yes",
    ]);
    chain.run_json(&["register", "--netuid", BABELBIT, "--yes"]);
    chain.run_json(&["stake", "add", "2000", "--netuid", BABELBIT, "--no-limit", "--yes"]);
    let get =
        |account: &str| chain.run_json(&["stake", "child", "get", account, "--netuid", BABELBIT]);
    assert_eq!((&get(&hotkey)["children"], &get(&hotkey)["scheduled"]), (&json!([]), &Value::Null));

    let set = chain.run_json(&["stake", "child", "set", "//Bob:25", "--netuid", BABELBIT, "--yes"]);
    assert_eq!(set["success"], true, "{set}");
    let revoke = ["stake", "child", "revoke", "--netuid", BABELBIT, "--yes", "--json"];
    let output = chain.tao(&revoke, &[]);
    assert!(stderr(&output).contains("150 blocks between changes"), "{}", stderr(&output));
    let (_, error) = failure(&output);
    assert_eq!(error["error"]["name"], "SubtensorModule.TxRateLimitExceeded", "{error}");
    assert_eq!(error["outcome"], "unsent", "{error}");
    assert!(stderr(&output).contains("\"hint\":\"wait "), "{}", stderr(&output));
    let scheduled = get(&hotkey)["scheduled"].clone();
    assert_eq!(
        (
            &scheduled["children"][0]["hotkey"],
            &scheduled["children"][0]["percent"],
            &scheduled["from_block"]
        ),
        (&json!(BOB), &json!("25"), &set["from_block"]),
        "{scheduled}"
    );
    let text =
        String::from_utf8(chain.tao(&["stake", "child", "get", "--netuid", BABELBIT], &[]).stdout)
            .unwrap();
    assert!(text.contains("scheduled child") && text.contains("25 %"), "{text}");
    mine(&chain, 300);
    chain.mine_to_epoch(BABELBIT);
    let now = get(&hotkey);
    assert_eq!(
        (&now["children"][0]["hotkey"], &now["scheduled"]),
        (&json!(BOB), &Value::Null),
        "{now}"
    );
    assert_eq!(get(BOB)["parents"][0]["hotkey"], json!(hotkey));

    assert_eq!(document(&chain.tao(&revoke, &[]))["success"], true);
    mine(&chain, 300);
    chain.mine_to_epoch(BABELBIT);
    assert_eq!(get(&hotkey)["children"], json!([]));

    let take = ["stake", "child", "take", "--netuid", BABELBIT];
    assert_eq!(chain.run_json(&take)["take_parts"], 0);
    let raised = chain.run_json(&[&take[..], &["9", "--yes"]].concat());
    assert_eq!(
        (&raised["success"], &raised["take_parts"]),
        (&json!(true), &json!(5898)),
        "{raised}"
    );
    assert_eq!(chain.run_json(&take)["take_parts"], 5898);
    for (children, words) in
        [(&["//Bob:60", "//Charlie:41"][..], "exceed 100 %"), (&["//Bob"], "percentage")]
    {
        let error =
            refusal(&chain.tao(&["stake", "child", "set", "--netuid", BABELBIT], children), 2);
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn root_dividends_are_claimed() {
    let chain = Chain::start();
    let (coldkey, hotkey) = chain.wallet();
    let error = refusal(&chain.tao(&["stake", "claim", "--yes"], &[]), 1);
    assert!(error.contains("no dividends to claim"), "{error}");
    chain.run_json(&["register", "--netuid", BABELBIT, "--yes"]);
    chain.run_json(&["stake", "add", "100", "--netuid", "0", "--yes"]);
    chain.run_json(&["register", "--netuid", "0", "--yes"]);
    // Shares of the basket in which the chain collects a validator's dividends.
    let share = [
        "call",
        "SubtensorModule.stake_into_basket",
        &format!("hotkey={hotkey}"),
        "amount_staked=10tao",
    ];
    let before = stake_of(&chain, &coldkey, &hotkey, 0);
    for claim in [&["stake", "claim", "--yes"][..], &["stake", "claim", &hotkey, "--yes"]] {
        assert_eq!(chain.run_json(&[&share[..], &["--yes"]].concat())["success"], true);
        let claimed = chain.run_json(claim);
        let rao = claimed["claimed_rao"].as_u64().unwrap();
        assert!(
            rao > 9_900_000_000 && claimed["expected_rao"].as_u64() > Some(9_900_000_000),
            "{claimed}"
        );
    }
    assert!(stake_of(&chain, &coldkey, &hotkey, 0) > before + 19_000_000_000);
}

#[test]
fn auto_stake_hotkey_is_set_and_read() {
    let chain = Chain::start();
    let (coldkey, _) = chain.wallet();
    assert_eq!(chain.run_json(&["stake", "auto", "get"])["auto_stakes"], json!([]));
    chain.alice(&["register", "--netuid", BABELBIT, "--hotkey-ss58", BOB, "--yes"]);
    let set = chain.run_json(&[
        "stake",
        "auto",
        "set",
        "--netuid",
        BABELBIT,
        "--hotkey-ss58",
        BOB,
        "--yes",
    ]);
    assert_eq!(set["success"], true, "{set}");
    let auto_stake = chain.run_json(&["stake", "auto", "get", &coldkey]);
    assert_eq!(auto_stake["auto_stakes"], json!([{ "netuid": 59, "hotkey": BOB }]));
}
