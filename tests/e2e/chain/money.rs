use serde_json::{Value, json};

use super::{ALICE, AS_ALICE, BABELBIT, BOB, Chain, failure};
use crate::support::{document, refusal, stderr};

#[test]
fn transferred_amounts_are_exact() {
    let chain = Chain::start();
    let (alice, bob) = (chain.free(ALICE), chain.free("//Bob"));

    let dry_run = document(&chain.tao(&["transfer", BOB, "1.000000001", "--dry-run"], &AS_ALICE));
    assert_eq!(
        (&dry_run["dry_run"], &dry_run["valid"], &dry_run["amount_rao"]),
        (&json!(true), &json!(true), &json!(1_000_000_001))
    );
    assert!(dry_run["fee_rao"].as_u64().unwrap() > 0, "{dry_run}");
    assert_eq!(chain.free(BOB), bob);

    let submission = chain.alice(&["transfer", BOB, "1.000000001", "--yes"]);
    assert_eq!((&submission["from"], &submission["to"]), (&json!(ALICE), &json!(BOB)));
    assert_eq!(chain.free(BOB), bob + 1_000_000_001);
    // The block author, //One, receives the fee.
    let fee = submission["fee_rao"].as_u64().unwrap();
    assert!(fee > 0, "{submission}");
    assert_eq!(chain.free(ALICE), alice - 1_000_000_001 - fee);
    // The state before that block is still available.
    let before = (submission["block"]["number"].as_u64().unwrap() - 1).to_string();
    let earlier = chain.run_json(&["balance", BOB, "--block", &before]);
    assert_eq!(earlier["accounts"][0]["free_rao"], bob);
    // A later block is finalized.
    let submission = chain.alice(&["transfer", "//Bob", "0.5", "--yes", "--wait", "finalized"]);
    assert_eq!(submission["outcome"], "finalized");
}

#[test]
fn transfer_and_balance_print_text() {
    let chain = Chain::start();
    let output = chain.tao(&["transfer", BOB, "2", "--yes", "--key-uri", "//Alice"], &[]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        text.starts_with(&format!("Transfer 2 TAO from {ALICE} to {BOB}: "))
            && text.contains("in block"),
        "{text}"
    );
    let balance = chain.tao(&["balance", "//Alice", "//Bob"], &[]);
    let text = String::from_utf8(balance.stdout).unwrap();
    assert!(text.contains("free TAO") && text.contains(BOB), "{text}");
}

#[test]
fn calls_that_would_fail_are_not_sent() {
    let chain = Chain::start();
    // Calls above the balance are not sent, so that they cost no fee.
    let before = chain.free(ALICE);
    let hotkey = ["--netuid", BABELBIT, "--hotkey-ss58", BOB];
    for arguments in [
        &["transfer", BOB, "10000000"][..],
        &[&["stake", "add", "10000000"][..], &hotkey].concat(),
        &[&["sudo", "stake-burn", "10000000"][..], &hotkey].concat(),
        &["call", "Balances.transfer_keep_alive", "dest=//Bob", "value=10000000tao"],
        &[
            "batch",
            "Balances.transfer_keep_alive dest=//Bob value=9999999tao",
            "Balances.burn value=1tao keep_alive=true",
        ],
        &[
            &[
                "crowdloan",
                "create",
                "--deposit",
                "10000000",
                "--min-contribution",
                "1",
                "--cap",
                "20000000",
            ][..],
            &["--duration", "50400", "--target", BOB],
        ]
        .concat(),
    ] {
        let (code, result) = failure(&chain.tao(&[arguments, &["--yes"][..]].concat(), &AS_ALICE));
        assert_eq!((code, &result["outcome"]), (5, &json!("unsent")), "{arguments:?}: {result}");
        let (code, dry_run) =
            failure(&chain.tao(&[arguments, &["--dry-run"][..]].concat(), &AS_ALICE));
        assert_eq!((code, &dry_run["valid"]), (5, &json!(false)), "{arguments:?}: {dry_run}");
        for document in [result, dry_run] {
            assert_eq!(document["error"]["name"], "InsufficientBalance", "{document}");
            let message = document["error"]["message"].as_str().unwrap();
            assert!(message.contains("takes 10000000 TAO, the fee is 0."), "{message}");
        }
    }
    let register = ["register", "--netuid", BABELBIT, "--hotkey-ss58", BOB, "--yes"];
    document(&chain.tao(&register, &AS_ALICE));
    let balance_after = chain.free(ALICE);
    for extra_args in [&[][..], &["--dry-run"]] {
        let (code, result) = failure(&chain.tao(&[&register[..], extra_args].concat(), &AS_ALICE));
        let name = &json!("SubtensorModule.HotKeyAlreadyRegisteredInSubNet");
        assert_eq!((code, &result["error"]["name"]), (5, name), "{result}");
        let message = result["error"]["message"].as_str().unwrap();
        assert!(message.contains("already registered on subnet 59, with uid"), "{message}");
    }
    let named_call =
        |arguments: &str| format!("SubtensorModule.{arguments} netuid=59 hotkey={BOB}");
    let (again, batched) =
        (named_call("burned_register"), named_call("register_limit limit_price=1000tao"));
    let (sale, cheap) =
        (named_call("remove_stake amount_unstaked=1"), named_call("register_limit limit_price=1"));
    let cheap = cheap.replace(BOB, "//Nobody");
    for (arguments, name) in [
        (["call", &again], "HotKeyAlreadyRegisteredInSubNet"),
        (["batch", &batched], "HotKeyAlreadyRegisteredInSubNet"),
        (["call", &again.replace("netuid=59", "netuid=77")], "SubnetNotExists"),
        (["call", &cheap], "RegistrationPriceLimitExceeded"),
        (["call", &sale], "NotEnoughStakeToWithdraw"),
    ] {
        let [command, call] = arguments;
        let words = if command == "call" { call.split(' ').collect() } else { vec![call] };
        for extra_args in ["--yes", "--dry-run"] {
            let (code, result) =
                failure(&chain.tao(&[&[command][..], &words, &[extra_args]].concat(), &AS_ALICE));
            let expected = json!(format!("SubtensorModule.{name}"));
            assert_eq!(
                (code, &result["error"]["name"]),
                (5, &expected),
                "{call} {extra_args}: {result}"
            );
            assert!(
                result["outcome"] == "unsent" || result["valid"] == false,
                "{call} {extra_args}: {result}"
            );
        }
    }
    let to_root = ["--to-netuid", "0"];
    for (arguments, extra_args) in [
        (&["stake", "remove", "1"][..], &[][..]),
        (&["stake", "remove", "--all"], &[]),
        (&["stake", "swap", "1"], &to_root),
        (&["stake", "move", "1", "--to-hotkey", ALICE], &[]),
        (&["stake", "transfer", BOB, "1"], &[]),
    ] {
        let all = [arguments, &["--yes"], &hotkey, extra_args].concat();
        let (code, result) = failure(&chain.tao(&all, &AS_ALICE));
        let name = &json!("SubtensorModule.NotEnoughStakeToWithdraw");
        assert_eq!(
            (code, &result["outcome"], &result["error"]["name"]),
            (5, &json!("unsent"), name),
            "{result}"
        );
        assert!(
            result["error"]["message"].as_str().unwrap().contains("has no stake on"),
            "{result}"
        );
    }
    assert!(balance_after < before && chain.free(ALICE) == balance_after, "no further fees");
    let poor = ["transfer", BOB, "1", "--yes", "--key-uri", "//Nobody", "--json"];
    let (code, result) = failure(&chain.tao(&poor, &[]));
    assert_eq!((code, &result["error"]["name"]), (5, &json!("InsufficientBalance")), "{result}");
    let error = refusal(&chain.tao(&["transfer", BOB, "1", "--network", "lokal"], &[]), 2);
    assert!(error.contains("unknown network lokal"), "before the missing wallet: {error}");
    // There is no terminal to confirm at.
    let error = refusal(&chain.tao(&["transfer", BOB, "1"], &AS_ALICE), 2);
    assert!(error.contains("pass --yes"), "{error}");
    for amount in ["-1", "1e3", "1.0000000001", "18446744074", "1,5"] {
        refusal(&chain.tao(&["transfer", BOB, amount, "--yes"], &AS_ALICE), 2);
    }
}

#[test]
fn commands_of_account_without_balance_are_not_sent() {
    let chain = Chain::start();
    let (coldkey, _) = chain.wallet();
    chain.run_json(&["transfer", BOB, "--all", "--yes"]);
    let words = chain.path("second.words").display().to_string();
    chain.run_json(&["wallet", "new-hotkey", "--hotkey", "second", "--mnemonic-file", &words]);
    let crowdloan =
        ["crowdloan", "create", "--deposit", "10", "--min-contribution", "1", "--cap", "100"];
    chain.alice(&[&crowdloan[..], &["--duration", "1000", "--target", BOB, "--yes"]].concat());
    let signatories = format!("{coldkey},//Bob,//Charlie");
    let approve = [
        "multisig",
        "call",
        "Balances.transfer_keep_alive",
        "dest=//Dave",
        "value=3tao",
        "--threshold",
        "2",
    ];
    let approve = [&approve[..], &["--signatories", &signatories]].concat();
    for arguments in [
        &["register", "--netuid", BABELBIT][..],
        &["subnets", "create"],
        &["wallet", "swap-hotkey", "second"],
        &["wallet", "swap-coldkey", "announce", ALICE],
        &["crowdloan", "contribute", "0", "5"],
        &["proxy", "add", BOB, "--type", "any"],
        &["proxy", "create-pure", "--type", "any"],
        &approve,
    ] {
        for extra_args in [&["--yes"][..], &["--dry-run"]] {
            let all = [arguments, extra_args].concat();
            let (code, result) = failure(&chain.tao(&all, &["--json"]));
            assert_eq!(
                (code, &result["error"]["name"]),
                (5, &json!("InsufficientBalance")),
                "{all:?}: {result}"
            );
            let outcome =
                if extra_args == ["--yes"] { &result["outcome"] } else { &result["valid"] };
            assert!(*outcome == json!("unsent") || *outcome == json!(false), "{all:?}: {result}");
        }
    }
}

#[test]
fn transfer_of_all_tao_empties_account() {
    let chain = Chain::start();
    let (coldkey, _) = chain.wallet();
    assert_eq!(chain.free(&coldkey), 5_000_000_000_000);
    let result = chain.run_json(&["transfer", BOB, "--all", "--yes"]);
    assert_eq!(result["success"], true, "{result}");
    assert_eq!(chain.free(&coldkey), 0);
}

#[test]
fn stake_is_bought_and_sold() {
    let chain = Chain::start();
    let (coldkey, hotkey) = chain.wallet();
    // No epoch pays emission in between.
    chain.alice(&["sudo", "set", "tempo", "30000", "--netuid", "59"]);
    chain.run_json(&["register", "--netuid", "59", "--yes"]);
    let added = chain.run_json(&["stake", "add", "100", "--netuid", "59", "--no-limit", "--yes"]);
    assert_eq!((&added["success"], &added["hotkey"]), (&json!(true), &json!(hotkey)));
    let staked = || {
        let list = chain.run_json(&["stake", "list", &coldkey]);
        let stake =
            list["stakes"].as_array().unwrap().iter().find(|stake| stake["netuid"] == 59).cloned();
        stake.map_or(0, |stake| stake["stake_rao"].as_u64().unwrap())
    };
    let alpha = staked();
    assert!(alpha > 0);
    // More than the stake is not sent, so that it costs no fee.
    let (free, excessive) = (chain.free(&coldkey), ["1000000", "--netuid", "59", "--json"]);
    for (arguments, extra_args) in [
        (&["stake", "remove"][..], &[][..]),
        (&["stake", "swap"], &["--to-netuid", "0"]),
        (&["stake", "move"], &["--to-hotkey", BOB]),
        (&["stake", "transfer", BOB], &[]),
    ] {
        for (option, field, value) in
            [("--yes", "outcome", json!("unsent")), ("--dry-run", "valid", json!(false))]
        {
            let (code, result) =
                failure(&chain.tao(&[arguments, &excessive, extra_args].concat(), &[option]));
            assert_eq!((code, &result[field]), (5, &value), "{arguments:?}: {result}");
            assert_eq!(result["amount_rao"], json!(1_000_000_000_000_000_u64), "{result}");
            assert_eq!(
                result["error"]["name"], "SubtensorModule.NotEnoughStakeToWithdraw",
                "{result}"
            );
            assert!(
                result["error"]["message"].as_str().unwrap().contains("less than 1000000"),
                "{result}"
            );
        }
    }
    assert_eq!((staked(), chain.free(&coldkey)), (alpha, free));
    let removed = chain.run_json(&["stake", "remove", "1.5", "--netuid", "59", "--yes"]);
    assert_eq!(
        (&removed["success"], &removed["amount_rao"]),
        (&json!(true), &json!(1_500_000_000))
    );
    assert!(staked() < alpha);
    let removed =
        chain.run_json(&["stake", "remove", "--all", "--netuid", "59", "--no-limit", "--yes"]);
    assert_eq!(removed["success"], true);
    assert_eq!(staked(), 0);
    // The chain sells the whole stake at the time of the call.
    chain.run_json(&["stake", "add", "1", "--netuid", "59", "--yes"]);
    let remove = ["stake", "remove", "--all", "--netuid", "59"];
    for (limit, is_limited) in [(&["--no-limit"][..], false), (&["--tolerance", "1%"], true)] {
        let dry_run = chain.run_json(&[&remove[..], limit, &["--dry-run"]].concat());
        assert_eq!(dry_run["decoded_call"]["name"], "remove_stake_full_limit", "{dry_run}");
        assert_eq!(
            dry_run["decoded_call"]["args"]["limit_price"], dry_run["limit_price"],
            "{dry_run}"
        );
        assert_eq!(dry_run["limit_price"].is_u64(), is_limited, "{dry_run}");
    }
    // A limit below the current price.
    let (code, result) = failure(&chain.tao(
        &["stake", "add", "1", "--netuid", "59", "--limit", "0.000000001", "--yes", "--json"],
        &[],
    ));
    assert_eq!(code, 5, "{result}");
}

#[test]
fn shielded_call_shares_block_with_its_ciphertext() {
    // The eras have eight blocks.
    let chain = Chain::with(&["--block-time", "500ms"]);
    chain.wallet();
    let before = chain.free(BOB);
    let transfer = ["transfer", BOB, "1", "--mev-shield"];
    let dry_run = chain.run_json(&[&transfer[..], &["--dry-run"]].concat());
    assert_eq!(dry_run["decoded_call"]["name"], "transfer_keep_alive", "{dry_run}");
    assert!(dry_run["mev_shield"]["fee_rao"].as_u64() > dry_run["fee_rao"].as_u64(), "{dry_run}");
    let error = refusal(&chain.tao(&transfer, &[]), 2);
    assert!(error.contains("TAO for the MEV shield") && error.contains("--yes"), "{error}");
    let submission = chain.run_json(&[&transfer[..], &["--yes", "--finalized"]].concat());
    assert_eq!(
        (&submission["success"], &submission["outcome"]),
        (&json!(true), &json!("finalized")),
        "{submission}"
    );
    assert_eq!(
        submission["mev_shield"]["fee_rao"], dry_run["mev_shield"]["fee_rao"],
        "{submission}"
    );
    assert_eq!(chain.free(BOB), before + 1_000_000_000);
    let listed =
        chain.run_json(&["tx", "list", "--block", &submission["block"]["number"].to_string()]);
    let names: Vec<_> = listed["extrinsics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|extrinsic| &extrinsic["name"])
        .collect();
    assert!(
        names.ends_with(&[&json!("submit_encrypted"), &json!("transfer_keep_alive")]),
        "{listed}"
    );
    let extrinsics = listed["extrinsics"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|extrinsic| &extrinsic["extrinsic"]);
    assert_eq!(
        extrinsics.take(2).collect::<Vec<_>>(),
        [&submission["extrinsic"], &submission["mev_shield"]["extrinsic"]]
    );

    let shielded = ["--mev-shield", "--yes", "--json"];
    let (code, result) = failure(
        &chain.tao(&["stake", "add", "1", "--netuid", "1", "--hotkey-ss58", BOB], &shielded),
    );
    assert_eq!(
        (code, &result["error"]["name"]),
        (5, &json!("SubtensorModule.SubtokenDisabled")),
        "{result}"
    );
    assert!(
        result["block"]["number"].is_u64() && result["mev_shield"]["fee_rao"].is_u64(),
        "{result}"
    );
    // No block can include a call that the runtime refuses.
    let decrease_take = ["call", "SubtensorModule.decrease_take", "hotkey=//Bob", "take=1"];
    let (code, result) = failure(&chain.tao(&decrease_take, &shielded));
    assert_eq!(
        (code, &result["outcome"], &result["block"]),
        (6, &json!("expired"), &json!(null)),
        "{result}"
    );
    assert_eq!(chain.run_json(&[&transfer[..], &["--yes"]].concat())["success"], true);
}

/// Asserts that two prices are close: each block changes the price a little.
#[track_caller]
fn assert_near(price: &Value, expected: u64) {
    let price = price.as_u64().unwrap();
    assert!(price.abs_diff(expected) <= expected / 500, "{price} {expected}");
}

#[test]
fn trade_respects_price_limit() {
    let chain = Chain::start();
    let (coldkey, hotkey) = chain.wallet();
    chain.alice(&["sudo", "set", "tempo", "30000", "--netuid", "59"]);
    // Purchases with the subnet's emission would move the price in each block.
    let stop = [
        "call",
        "AdminUtils.sudo_set_subnet_emission_enabled",
        "netuid=59",
        "enabled=false",
        "--sudo",
        "--yes",
    ];
    chain.alice(&stop);
    chain.run_json(&["register", "--netuid", "59", "--yes"]);
    chain.alice(&["register", "--netuid", "59", "--hotkey-ss58", BOB, "--yes"]);
    // A simulated call may fail.
    let dry_run = |arguments: &[&str], extra_args: &[&str]| -> Value {
        let output = chain.tao(arguments, &[extra_args, &["--dry-run", "--json"]].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)))
    };
    let price = || chain.run_json(&["subnets", "show", "59"])["price_rao"].as_u64().unwrap();
    let before = price();
    // 100 TAO would move the price by 20 %.
    let add = ["stake", "add", "100", "--netuid", "59", "--yes"];
    let (code, result) = failure(&chain.tao(&add, &["--json"]));
    assert_eq!(
        (code, &result["error"]["name"]),
        (5, &json!("SubtensorModule.SlippageTooHigh")),
        "{result}"
    );
    assert_near(&result["limit_price"], before + before / 20);
    assert_near(&json!(price()), before);
    let added = chain.run_json(&[&add[..], &["--tolerance", "2", "--partial"]].concat());
    let (limit, after) = (before + before / 50, price());
    assert_near(&added["limit_price"], limit);
    assert_near(&json!(after), limit);

    // A sale of everything would move the price back, by 2 %.
    let remove = ["stake", "remove", "--all", "--netuid", "59", "--yes"];
    let (code, result) = failure(&chain.tao(&remove, &["--tolerance", "0.5", "--json"]));
    assert_eq!(
        (code, &result["error"]["name"]),
        (5, &json!("SubtensorModule.SlippageTooHigh")),
        "{result}"
    );
    assert_near(&result["limit_price"], after - after / 200);
    // The root network has a fixed price.
    let swap = ["stake", "swap", "5", "--netuid", "59", "--to-netuid", "0"];
    let result = dry_run(&swap, &[]);
    let now = price();
    assert_near(&result["limit_price"], now - now / 20);
    assert_eq!(result["decoded_call"]["name"], "swap_stake_limit", "{result}");
    let result = dry_run(&swap, &["--no-limit"]);
    assert_eq!(
        (&result["limit_price"], &result["decoded_call"]["name"]),
        (&json!(null), &json!("swap_stake")),
        "{result}"
    );
    let moved = ["stake", "move", "5", "--netuid", "59", "--to-hotkey", BOB];
    for (to, call) in [("59", "move_stake"), ("0", "move_stake_limit")] {
        let result = dry_run(&moved, &["--to-netuid", to]);
        assert_eq!(
            (result["limit_price"].is_null(), &result["decoded_call"]["name"]),
            (to == "59", &json!(call)),
            "{result}"
        );
    }
    let root = dry_run(&["stake", "add", "1", "--netuid", "0"], &[]);
    assert_eq!(
        (&root["limit_price"], &root["decoded_call"]["name"]),
        (&json!(null), &json!("add_stake")),
        "{root}"
    );

    // Calls without a limit on the chain.
    let transfer = ["stake", "transfer", ALICE, "1", "--netuid", "59", "--to-netuid", "0"];
    let error = refusal(&chain.tao(&transfer, &[]), 2);
    assert!(error.contains("pass --no-limit"), "{error}");
    let result = dry_run(&transfer, &["--no-limit"]);
    assert_eq!(result["decoded_call"]["name"], "transfer_stake", "{result}");
    let error = refusal(&chain.tao(&["stake", "remove", "--all", "--partial", "--yes"], &[]), 2);
    assert!(error.contains("requires --netuid"), "{error}");
    let all = dry_run(&["stake", "unstake-all"], &[]);
    let (stake_value, expected) =
        (all["value_rao"].as_u64().unwrap(), all["expected_tao_rao"].as_u64().unwrap());
    assert!(expected > 0 && expected < stake_value, "{all}");
    assert_eq!((&all["coldkey"], &all["hotkey"]), (&json!(coldkey), &json!(hotkey)));

    for arguments in [
        &["--limit", "1", "--tolerance", "5"][..],
        &["--limit", "1", "--no-limit"],
        &["--partial", "--no-limit"],
        &["--tolerance", "101"],
    ] {
        refusal(&chain.tao(&["stake", "add", "1", "--netuid", "59"], arguments), 2);
    }
}
