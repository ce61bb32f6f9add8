use serde_json::json;

use super::{ALICE, AS_ALICE, BOB, Chain, failure};
use crate::support::{document, refusal, stderr};

#[test]
fn tao_goes_from_one_account_to_another_exactly() {
    let chain = Chain::start();
    let (alice, bob) = (chain.free(ALICE), chain.free("//Bob"));

    let dry = document(&chain.tao(&["transfer", BOB, "1.000000001", "--dry-run"], &AS_ALICE));
    assert_eq!(
        (&dry["dry_run"], &dry["valid"], &dry["amount_rao"]),
        (&json!(true), &json!(true), &json!(1_000_000_001))
    );
    assert!(dry["fee_rao"].as_u64().unwrap() > 0, "{dry}");
    assert_eq!(chain.free(BOB), bob);

    let sent = chain.alice(&["transfer", BOB, "1.000000001", "--yes"]);
    assert_eq!((&sent["from"], &sent["to"]), (&json!(ALICE), &json!(BOB)));
    assert_eq!(chain.free(BOB), bob + 1_000_000_001);
    // //Alice is also the block author and receives the fee.
    assert!(sent["fee_rao"].as_u64().unwrap() > 0, "{sent}");
    assert_eq!(chain.free(ALICE), alice - 1_000_000_001);
    // The state before that block is still available.
    let before = (sent["block"]["number"].as_u64().unwrap() - 1).to_string();
    let earlier = chain.ask(&["balance", BOB, "--block", &before]);
    assert_eq!(earlier["accounts"][0]["free_rao"], bob);
    // A later block is finalized.
    let sent = chain.alice(&["transfer", "//Bob", "0.5", "--yes", "--finalized"]);
    assert_eq!(sent["outcome"], "finalized");
}

#[test]
fn people_read_what_happened() {
    let chain = Chain::start();
    let output = chain.tao(&["transfer", BOB, "2", "--yes", "--key-uri", "//Alice"], &[]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        text.starts_with(&format!("Transfer 2 TAO from {ALICE} to {BOB}: ")) && text.contains("in block"),
        "{text}"
    );
    let balance = chain.tao(&["balance", "//Alice", "//Bob"], &[]);
    let text = String::from_utf8(balance.stdout).unwrap();
    assert!(text.contains("free TAO") && text.contains(BOB), "{text}");
}

#[test]
fn what_cannot_be_paid_is_refused() {
    let chain = Chain::start();
    // The call is included and fails.
    let (code, told) = failure(&chain.tao(&["transfer", BOB, "10000000", "--yes"], &AS_ALICE));
    assert_eq!((code, &told["success"]), (1, &json!(false)), "{told}");
    // An account without funds cannot pay the fee.
    let poor = ["transfer", BOB, "1", "--yes", "--key-uri", "//Nobody", "--json"];
    let (code, told) = failure(&chain.tao(&poor, &[]));
    assert_eq!((code, &told["error"]["name"]), (1, &json!("Payment")), "{told}");
    // There is no terminal to confirm at.
    let error = refusal(&chain.tao(&["transfer", BOB, "1"], &AS_ALICE), 2);
    assert!(error.contains("pass --yes"), "{error}");
    for amount in ["-1", "1e3", "1.0000000001", "18446744074", "1,5"] {
        refusal(&chain.tao(&["transfer", BOB, amount, "--yes"], &AS_ALICE), 2);
    }
}

#[test]
fn a_wallet_gets_tao_and_spends_it() {
    let chain = Chain::start();
    let (coldkey, _) = chain.wallet();
    assert_eq!(chain.free(&coldkey), 5_000_000_000_000);
    let told = chain.ask(&["transfer", BOB, "--all", "--yes"]);
    assert_eq!(told["success"], true, "{told}");
    assert_eq!(chain.free(&coldkey), 0);
}

#[test]
fn stake_is_bought_and_sold() {
    let chain = Chain::start();
    let (coldkey, hotkey) = chain.wallet();
    // No epoch pays emission in between.
    chain.alice(&["sudo", "set", "tempo", "30000", "--netuid", "59"]);
    chain.ask(&["register", "--netuid", "59", "--yes"]);
    let added = chain.ask(&["stake", "add", "100", "--netuid", "59", "--yes"]);
    assert_eq!((&added["success"], &added["hotkey"]), (&json!(true), &json!(hotkey)));
    let staked = || {
        let list = chain.ask(&["stake", "list", &coldkey]);
        let stake = list["stakes"].as_array().unwrap().iter().find(|stake| stake["netuid"] == 59).cloned();
        stake.map_or(0, |stake| stake["stake_rao"].as_u64().unwrap())
    };
    let alpha = staked();
    assert!(alpha > 0);
    let removed = chain.ask(&["stake", "remove", "1.5", "--netuid", "59", "--yes"]);
    assert_eq!((&removed["success"], &removed["amount_rao"]), (&json!(true), &json!(1_500_000_000)));
    assert!(staked() < alpha);
    let removed = chain.ask(&["stake", "remove", "--all", "--netuid", "59", "--yes"]);
    assert_eq!(removed["success"], true);
    assert_eq!(staked(), 0);
    // A limit below the current price.
    let (code, told) =
        failure(&chain.tao(&["stake", "add", "1", "--netuid", "59", "--limit", "0.000000001", "--yes", "--json"], &[]));
    assert_eq!(code, 1, "{told}");
}
