//! Commands for owners of subnets.

use serde_json::json;

use super::{BABELBIT, Chain, failure};
use crate::support::refusal;

/// A subnet that is not started.
const UNSTARTED_SUBNET: &str = "1";

#[test]
fn owner_sets_subnet_identity_and_symbol() {
    let chain = Chain::start();
    let set = ["subnets", "set-identity", BABELBIT, "--yes"];
    chain.alice(
        &[&set[..], &["--description", "Speech, live", "--subnet-url", "https://example.org"]]
            .concat(),
    );
    // The other fields are kept.
    chain.alice(&[&set[..], &["--discord", "speech"]].concat());
    let identity = chain.run_json(&["subnets", "get-identity", BABELBIT])["identity"].clone();
    assert_eq!(
        (&identity["description"], &identity["subnet_url"], &identity["discord"]),
        (&json!("Speech, live"), &json!("https://example.org"), &json!("speech")),
        "{identity}"
    );
    let text =
        String::from_utf8(chain.tao(&["subnets", "get-identity", BABELBIT], &[]).stdout).unwrap();
    assert!(text.contains("Speech, live"), "{text}");
    let error = refusal(
        &chain.tao(&[&set[..], &["--discord", "speech"]].concat(), &["--key-uri", "//Alice"]),
        2,
    );
    assert!(error.contains("would not change"), "{error}");
    let stranger = ["--discord", "other", "--key-uri", "//Bob", "--json"];
    let (code, result) = failure(&chain.tao(&set, &stranger));
    assert_eq!(
        (code, &result["error"]["name"]),
        (5, &json!("SubtensorModule.NotSubnetOwner")),
        "{result}"
    );

    let changed = chain.alice(&["subnets", "set-symbol", BABELBIT, "ᚢ", "--yes"]);
    assert_eq!(
        (&changed["symbol"], &changed["as_root"]),
        (&json!("ᚢ"), &json!(false)),
        "{changed}"
    );
    assert_eq!(chain.run_json(&["subnets", "show", BABELBIT])["subnet"]["symbol"], "ᚢ");
    chain.alice(&["subnets", "set-symbol", UNSTARTED_SUBNET, "ᚦ", "--sudo", "--yes"]);
    assert_eq!(chain.run_json(&["subnets", "show", UNSTARTED_SUBNET])["subnet"]["symbol"], "ᚦ");
    let existing_symbol = [
        "subnets",
        "set-symbol",
        UNSTARTED_SUBNET,
        "ᚢ",
        "--sudo",
        "--yes",
        "--key-uri",
        "//Alice",
        "--json",
    ];
    let (code, result) = failure(&chain.tao(&existing_symbol, &[]));
    assert_eq!(
        (code, &result["error"]["name"]),
        (5, &json!("SubtensorModule.SymbolAlreadyInUse")),
        "{result}"
    );
}

#[test]
fn subnets_commands_show_price_burn_cost_and_start() {
    let chain = Chain::start();
    let prices =
        chain.run_json(&["subnets", "price", BABELBIT, UNSTARTED_SUBNET])["prices"].clone();
    let netuids: Vec<_> = prices.as_array().unwrap().iter().map(|price| &price["netuid"]).collect();
    assert_eq!(netuids, [&json!(1), &json!(59)]);
    let subnet = chain.run_json(&["subnets", "show", BABELBIT]);
    assert_eq!(prices[1]["name"], subnet["subnet"]["name"]);
    assert!(prices[1]["price_rao"].as_u64().unwrap() > 0, "{prices}");
    assert_eq!(chain.run_json(&["subnets", "price"])["prices"].as_array().unwrap().len(), 60);
    refusal(&chain.tao(&["subnets", "price", "77"], &[]), 1);

    assert_eq!(chain.run_json(&["subnets", "burn-cost"])["cost_rao"], 1_000_000_000_000_u64);
    let started = |netuid| chain.run_json(&["subnets", "check-start", netuid]);
    let (babelbit, unstarted) = (started(BABELBIT), started(UNSTARTED_SUBNET));
    assert_eq!(
        (&babelbit["started"], &babelbit["blocks_left"]),
        (&json!(true), &json!(0)),
        "{babelbit}"
    );
    assert_eq!(
        (&unstarted["started"], &unstarted["first_emission_block"]),
        (&json!(false), &json!(null)),
        "{unstarted}"
    );
    let text = |arguments: &[&str]| String::from_utf8(chain.tao(arguments, &[]).stdout).unwrap();
    assert_eq!(text(&["subnets", "burn-cost"]).trim(), "1000 TAO");
    assert!(text(&["subnets", "price", BABELBIT]).contains("spot price"));
    assert!(text(&["subnets", "check-start", BABELBIT]).contains("has been started"));
    assert!(text(&["subnets", "check-start", UNSTARTED_SUBNET]).contains("subnet 1"));
}

#[test]
fn owner_changes_mechanisms_neurons_and_epochs() {
    let chain = Chain::start();
    // The owner's settings are frozen before each epoch: with this tempo, the next one is 25
    // minutes away.
    chain.alice(&["sudo", "set", "tempo", "30000", "--netuid", BABELBIT]);
    chain.alice(&["sudo", "set", "commit_reveal_weights_enabled", "false", "--netuid", BABELBIT]);
    let trimmed = chain.alice(&["sudo", "trim", "128", "--netuid", BABELBIT, "--owner", "--yes"]);
    assert_eq!(trimmed["as_owner"], true);
    assert_eq!(chain.run_json(&["subnets", "show", BABELBIT])["max_neurons"], 128);

    let count = || chain.run_json(&["subnets", "mechanisms", "count", BABELBIT])["count"].clone();
    assert_eq!(count(), 1);
    let set = chain.alice(&["subnets", "mechanisms", "set", BABELBIT, "2", "--yes"]);
    assert_eq!((&set["count_before"], &set["count"], count()), (&json!(1), &json!(2), json!(2)));
    let parts = || {
        let result = chain.run_json(&["subnets", "mechanisms", "emissions", BABELBIT]);
        let parts: Vec<_> = result["mechanisms"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["parts"].clone())
            .collect();
        (result["is_set"].clone(), parts)
    };
    assert_eq!(parts(), (json!(false), vec![json!(32_767), json!(32_767)]));
    let split = ["subnets", "mechanisms", "split", BABELBIT, "--yes"];
    let error =
        refusal(&chain.tao(&[&split[..], &["50,25,25"]].concat(), &["--key-uri", "//Alice"]), 2);
    assert!(error.contains("expected 2 shares"), "{error}");
    chain.alice(&[&split[..], &["75,25"]].concat());
    assert_eq!(parts(), (json!(true), vec![json!(49_151), json!(16_384)]));
    chain.alice(&[&split[..], &["--equal", "--sudo"]].concat());
    assert_eq!(parts().0, false);

    let triggered = chain.alice(&["sudo", "trigger-epoch", "--netuid", BABELBIT]);
    assert!(triggered["fires_at"].as_u64() > triggered["block"]["number"].as_u64(), "{triggered}");
    let stranger = ["sudo", "trigger-epoch", "--netuid", BABELBIT, "--key-uri", "//Bob", "--json"];
    let (code, result) = failure(&chain.tao(&stranger, &[]));
    assert_eq!((code, &result["error"]["name"]), (5, &json!("BadOrigin")), "{result}");
}

#[test]
fn alpha_is_bought_and_burned() {
    let chain = Chain::start();
    let (coldkey, _) = chain.wallet();
    chain.run_json(&["register", "--netuid", BABELBIT, "--yes"]);
    let free = chain.free(&coldkey);
    let burn = ["sudo", "stake-burn", "1", "--netuid", BABELBIT, "--yes"];
    let burned = chain.run_json(&[&burn[..], &["--no-limit"]].concat());
    assert_eq!(
        (&burned["success"], &burned["limit_price"]),
        (&json!(true), &json!(null)),
        "{burned}"
    );
    assert!(burned["burned_alpha_rao"].as_u64().unwrap() > 0, "{burned}");
    assert!(chain.free(&coldkey) <= free - 1_000_000_000);
    let stakes = chain.run_json(&["stake", "list"])["stakes"].clone();
    assert!(stakes.as_array().unwrap().iter().all(|stake| stake["stake_rao"] == 0), "{stakes}");
    let error = refusal(&chain.tao(&[&burn[..], &["--partial"]].concat(), &[]), 2);
    assert!(error.contains("all or nothing"), "{error}");
}

#[test]
fn hyperparameter_is_read_by_name() {
    let chain = Chain::start();
    chain.alice(&["sudo", "set", "tempo", "20", "--netuid", BABELBIT]);
    assert_eq!(chain.run_json(&["sudo", "get", "tempo", "--netuid", BABELBIT])["value"], 20);
    let text =
        chain.tao(&["sudo", "get", "commit-reveal-weights-enabled", "--netuid", BABELBIT], &[]);
    assert!(["true\n", "false\n"].contains(&&*String::from_utf8(text.stdout).unwrap()));
    let error = refusal(&chain.tao(&["sudo", "get", "colour", "--netuid", BABELBIT], &[]), 1);
    assert!(error.contains("weights_rate_limit"), "{error}");
}
