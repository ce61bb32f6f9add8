//! Identities of coldkeys, and swaps of keys.

use serde_json::{Value, json};

use super::super::{ALICE, BABELBIT, BOB, Chain, failure};
use super::{call_as, mine, refusal_of};
use crate::support::refusal;

#[test]
fn coldkey_identity_is_set_and_read() {
    let chain = Chain::start();
    let (coldkey, _) = chain.wallet();
    let set =
        ["wallet", "set-identity", "--id-name", "Example", "--url", "https://example.com", "--yes"];
    let (_, error) = failure(&chain.tao(&set, &["--json"]));
    assert_eq!(error["error"]["name"], "SubtensorModule.HotKeyNotRegisteredInNetwork", "{error}");
    assert_eq!(chain.run_json(&["wallet", "get-identity"])["identity"], Value::Null);
    chain.run_json(&["register", "--netuid", BABELBIT, "--yes"]);
    assert_eq!(chain.run_json(&set)["success"], true);
    // Other fields remain.
    chain.run_json(&["wallet", "set-identity", "--description", "Speech, live", "--yes"]);
    let identity = chain.run_json(&["wallet", "get-identity", &coldkey])["identity"].clone();
    assert_eq!(
        (&identity["name"], &identity["url"], &identity["description"]),
        (&json!("Example"), &json!("https://example.com"), &json!("Speech, live"))
    );
    let text = String::from_utf8(chain.tao(&["wallet", "get-identity"], &[]).stdout).unwrap();
    assert!(text.contains("Speech, live") && !text.contains("discord"), "{text}");
    let error = refusal(&chain.tao(&["wallet", "set-identity", "--id-name", "Example"], &[]), 2);
    assert!(error.contains("would not change"), "{error}");
    let long = "x".repeat(257);
    let error = refusal(&chain.tao(&["wallet", "set-identity", "--id-name", &long], &[]), 2);
    assert!(error.contains("at most 256 bytes"), "{error}");
}

#[test]
fn hotkey_is_swapped() {
    let chain = Chain::start();
    let (_, hotkey) = chain.wallet();
    let uid = chain.run_json(&["register", "--netuid", BABELBIT, "--yes"])["uid"].clone();
    let words = chain.path("second.words").display().to_string();
    let created =
        chain.run_json(&["wallet", "new-hotkey", "--hotkey", "second", "--mnemonic-file", &words]);
    let second_hotkey =
        created["hotkey"]["address"].as_str().unwrap_or_else(|| panic!("{created}"));
    let swapped =
        chain.run_json(&["wallet", "swap-hotkey", "second", "--netuid", BABELBIT, "--yes"]);
    assert_eq!(
        (&swapped["success"], &swapped["hotkey"], &swapped["new_hotkey"], &swapped["cost_rao"]),
        (&json!(true), &json!(hotkey), &json!(second_hotkey), &json!(1_000_000)),
        "{swapped}"
    );
    let metagraph = chain.run_json(&["metagraph", BABELBIT]);
    let neuron = metagraph["neurons"]
        .as_array()
        .unwrap()
        .iter()
        .find(|neuron| neuron["hotkey"] == second_hotkey);
    assert_eq!(neuron.unwrap()["uid"], uid);
    let error = refusal(&chain.tao(&["wallet", "swap-hotkey", "default"], &[]), 2);
    assert!(error.contains("is the old one"), "{error}");
    let associate = ["wallet", "associate-hotkey", "--hotkey-ss58", BOB, "--yes"];
    assert_eq!(chain.run_json(&associate)["success"], true);
}

#[test]
fn coldkey_is_swapped_after_announcement_delay() {
    let chain = Chain::start();
    let (coldkey, _) = chain.wallet();
    let new = "5DAAnrj7VHTznn2AWBemMuyBwZWs6FNFjdyVXUeYum3PTXFy";
    let free = chain.free(new);
    let error = refusal(&chain.tao(&["wallet", "swap-coldkey", "execute", new], &[]), 1);
    assert!(error.contains("swap-coldkey announce"), "{error}");
    assert_eq!(chain.run_json(&["wallet", "swap-coldkey", "status"])["swap"], Value::Null);

    let announcement = chain.run_json(&["wallet", "swap-coldkey", "announce", new, "--yes"]);
    assert_eq!(
        (&announcement["success"], &announcement["delay_blocks"], &announcement["cost_rao"]),
        (&json!(true), &json!(50), &json!(100_000_000)),
        "{announcement}"
    );
    let swap = chain.run_json(&["wallet", "swap-coldkey", "status", &coldkey])["swap"].clone();
    let due_block = announcement["block"]["number"].as_u64().unwrap() + 50;
    assert_eq!((&swap["due"], &swap["disputed"]), (&json!(due_block), &Value::Null), "{swap}");
    // Nothing else is allowed until then.
    let (code, error) = failure(&chain.tao(&["transfer", BOB, "1", "--yes", "--json"], &[]));
    assert_eq!((code, &error["success"]), (5, &json!(false)), "{error}");
    mine(&chain, 50);
    assert_eq!(
        chain.run_json(&["wallet", "swap-coldkey", "execute", new, "--yes"])["success"],
        true
    );
    assert_eq!(chain.free(&coldkey), 0);
    assert!(chain.free(new) > free + 4_999_000_000_000, "{}", chain.free(new));

    call_as(&chain, "//Charlie", &["wallet", "swap-coldkey", "announce", "//New"]);
    mine(&chain, 61);
    call_as(&chain, "//Charlie", &["wallet", "swap-coldkey", "clear"]);
    assert_eq!(
        chain.run_json(&["wallet", "swap-coldkey", "status", "//Charlie"])["swap"],
        Value::Null
    );

    // Long enough for the commands below, on a busy machine too.
    chain.alice(&["sudo", "set", "coldkey_swap_announcement_delay", "10000"]);
    call_as(&chain, "//Bob", &["wallet", "swap-coldkey", "announce", "//New"]);
    let error = refusal(
        &chain.tao(&["wallet", "swap-coldkey", "execute", "//New"], &["--key-uri", "//Bob"]),
        1,
    );
    assert!(error.contains("can be executed from block"), "{error}");
    let name = refusal_of(&chain, "//Bob", &["wallet", "swap-coldkey", "clear"]);
    assert_eq!(name, "SubtensorModule.ColdkeySwapClearTooEarly");
    call_as(&chain, "//Bob", &["wallet", "swap-coldkey", "dispute"]);
    assert!(
        chain.run_json(&["wallet", "swap-coldkey", "status", BOB])["swap"]["disputed"].is_u64()
    );
    refusal_of(&chain, "//Bob", &["transfer", ALICE, "1"]);
}
