//! What holders of TAO do with stake, keys, proxies and crowdloans.

use serde_json::{Value, json};

use super::{ALICE, AS_ALICE, BABELBIT, BOB, Chain, failure};
use crate::support::{document, refusal, stderr, tao};

/// JSON document of a successful call signed by a development key.
#[track_caller]
fn signed(chain: &Chain, key: &str, arguments: &[&str]) -> Value {
    let result = document(&chain.tao(arguments, &["--key-uri", key, "--yes", "--json"]));
    assert_eq!(result["success"], true, "{result}");
    result
}

/// Name of the error of a call signed by a development key.
#[track_caller]
fn refused(chain: &Chain, key: &str, arguments: &[&str]) -> String {
    let (code, result) = failure(&chain.tao(arguments, &["--key-uri", key, "--yes", "--json"]));
    assert_eq!((code, &result["success"]), (5, &json!(false)), "{result}");
    result["error"]["name"].as_str().unwrap().to_owned()
}

fn mine(chain: &Chain, blocks: u32) {
    document(
        &tao()
            .args(["localnet", "mine", &blocks.to_string(), "--network", chain.url(), "--json"])
            .output()
            .unwrap(),
    );
}

/// Stake of a coldkey on a hotkey on a subnet, in rao.
fn staked(chain: &Chain, coldkey: &str, hotkey: &str, netuid: u16) -> u64 {
    let list = chain.ask(&["stake", "list", coldkey]);
    let stakes = list["stakes"].as_array().unwrap().iter();
    let mut actual = stakes.filter(|stake| stake["netuid"] == netuid && stake["hotkey"] == hotkey);
    actual.next().map_or(0, |stake| stake["stake_rao"].as_u64().unwrap())
}

/// Shares of a pool are rounded.
#[track_caller]
fn assert_close(amount: u64, expected: u64) {
    assert!(amount.abs_diff(expected) < 100, "{amount} {expected}");
}

#[test]
fn stake_goes_to_other_hotkeys_subnets_and_coldkeys() {
    let chain = Chain::start();
    let (coldkey, hotkey) = chain.wallet();
    // No epoch pays emission in between.
    chain.alice(&["sudo", "set", "tempo", "30000", "--netuid", BABELBIT]);
    chain.ask(&["register", "--netuid", BABELBIT, "--yes"]);
    chain.alice(&["register", "--netuid", BABELBIT, "--hotkey-ss58", BOB, "--yes"]);
    chain.ask(&["stake", "add", "100", "--netuid", BABELBIT, "--no-limit", "--yes"]);
    let before = staked(&chain, &coldkey, &hotkey, 59);

    let moved =
        chain.ask(&["stake", "move", "10", "--netuid", BABELBIT, "--to-hotkey", BOB, "--yes"]);
    assert_eq!(
        (&moved["success"], &moved["to_hotkey"], &moved["expected_alpha_rao"]),
        (&json!(true), &json!(BOB), &json!(10_000_000_000_u64)),
        "{moved}"
    );
    assert_close(staked(&chain, &coldkey, BOB, 59), 10_000_000_000);
    assert_close(staked(&chain, &coldkey, &hotkey, 59), before - 10_000_000_000);

    let given = chain.ask(&["stake", "transfer", ALICE, "5", "--netuid", BABELBIT, "--yes"]);
    assert_eq!((&given["success"], &given["to"]), (&json!(true), &json!(ALICE)), "{given}");
    assert_close(staked(&chain, ALICE, &hotkey, 59), 5_000_000_000);

    let swap = ["stake", "swap", "5", "--netuid", BABELBIT, "--to-netuid", "0", "--yes"];
    let swapped = chain.ask(&swap);
    let expected = swapped["expected_alpha_rao"].as_u64().unwrap();
    let root = staked(&chain, &coldkey, &hotkey, 0);
    assert!(root.abs_diff(expected) < expected / 100 && root > 0, "{root} {expected}");
    // A limit above the current ratio.
    let (code, result) = failure(&chain.tao(&swap, &["--limit", "1000", "--json"]));
    assert_eq!((code, &result["success"]), (5, &json!(false)), "{result}");

    let sold = chain.ask(&["stake", "unstake-all", "--to-root", "--yes"]);
    assert_eq!((&sold["success"], &sold["netuids"]), (&json!(true), &json!([59])), "{sold}");
    assert_eq!(staked(&chain, &coldkey, &hotkey, 59), 0);
    assert!(staked(&chain, &coldkey, &hotkey, 0) > root);
    let sold = chain.ask(&["stake", "unstake-all", "--yes"]);
    assert_eq!((&sold["success"], &sold["netuids"]), (&json!(true), &json!([0])), "{sold}");
    assert_eq!(staked(&chain, &coldkey, &hotkey, 0), 0);

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
fn a_hotkey_lends_stake_to_its_children() {
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
    chain.ask(&["register", "--netuid", BABELBIT, "--yes"]);
    chain.ask(&["stake", "add", "2000", "--netuid", BABELBIT, "--no-limit", "--yes"]);
    let get = |account: &str| chain.ask(&["stake", "child", "get", account, "--netuid", BABELBIT]);
    assert_eq!((&get(&hotkey)["children"], &get(&hotkey)["scheduled"]), (&json!([]), &Value::Null));

    let set = chain.ask(&["stake", "child", "set", "//Bob:25", "--netuid", BABELBIT, "--yes"]);
    assert_eq!(set["success"], true, "{set}");
    let revoke = ["stake", "child", "revoke", "--netuid", BABELBIT, "--yes", "--json"];
    let output = chain.tao(&revoke, &[]);
    assert!(stderr(&output).contains("150 blocks between changes"), "{}", stderr(&output));
    let (_, result) = failure(&output);
    assert_eq!(result["error"]["name"], "SubtensorModule.TxRateLimitExceeded", "{result}");
    assert_eq!(result["outcome"], "unsent", "{result}");
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
    chain.epoch(BABELBIT);
    let now = get(&hotkey);
    assert_eq!(
        (&now["children"][0]["hotkey"], &now["scheduled"]),
        (&json!(BOB), &Value::Null),
        "{now}"
    );
    assert_eq!(get(BOB)["parents"][0]["hotkey"], json!(hotkey));

    assert_eq!(document(&chain.tao(&revoke, &[]))["success"], true);
    mine(&chain, 300);
    chain.epoch(BABELBIT);
    assert_eq!(get(&hotkey)["children"], json!([]));

    let take = ["stake", "child", "take", "--netuid", BABELBIT];
    assert_eq!(chain.ask(&take)["take_parts"], 0);
    let raised = chain.ask(&[&take[..], &["9", "--yes"]].concat());
    assert_eq!(
        (&raised["success"], &raised["take_parts"]),
        (&json!(true), &json!(5898)),
        "{raised}"
    );
    assert_eq!(chain.ask(&take)["take_parts"], 5898);
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
    chain.ask(&["register", "--netuid", BABELBIT, "--yes"]);
    chain.ask(&["stake", "add", "100", "--netuid", "0", "--yes"]);
    chain.ask(&["register", "--netuid", "0", "--yes"]);
    // Shares of the basket in which the chain collects a validator's dividends.
    let share = [
        "call",
        "SubtensorModule.stake_into_basket",
        &format!("hotkey={hotkey}"),
        "amount_staked=10tao",
    ];
    let before = staked(&chain, &coldkey, &hotkey, 0);
    for claim in [&["stake", "claim", "--yes"][..], &["stake", "claim", &hotkey, "--yes"]] {
        assert_eq!(chain.ask(&[&share[..], &["--yes"]].concat())["success"], true);
        let claimed = chain.ask(claim);
        let rao = claimed["claimed_rao"].as_u64().unwrap();
        assert!(
            rao > 9_900_000_000 && claimed["expected_rao"].as_u64() > Some(9_900_000_000),
            "{claimed}"
        );
    }
    assert!(staked(&chain, &coldkey, &hotkey, 0) > before + 19_000_000_000);
}

#[test]
fn emission_is_staked_where_its_owner_chooses() {
    let chain = Chain::start();
    let (coldkey, _) = chain.wallet();
    assert_eq!(chain.ask(&["stake", "auto", "get"])["auto_stakes"], json!([]));
    chain.alice(&["register", "--netuid", BABELBIT, "--hotkey-ss58", BOB, "--yes"]);
    let set =
        chain.ask(&["stake", "auto", "set", "--netuid", BABELBIT, "--hotkey-ss58", BOB, "--yes"]);
    assert_eq!(set["success"], true, "{set}");
    let chosen = chain.ask(&["stake", "auto", "get", &coldkey]);
    assert_eq!(chosen["auto_stakes"], json!([{ "netuid": 59, "hotkey": BOB }]));
}

#[test]
fn coldkey_identity_is_set_and_read() {
    let chain = Chain::start();
    let (coldkey, _) = chain.wallet();
    let set =
        ["wallet", "set-identity", "--id-name", "Example", "--url", "https://example.com", "--yes"];
    let (_, result) = failure(&chain.tao(&set, &["--json"]));
    assert_eq!(result["error"]["name"], "SubtensorModule.HotKeyNotRegisteredInNetwork", "{result}");
    assert_eq!(chain.ask(&["wallet", "get-identity"])["identity"], Value::Null);
    chain.ask(&["register", "--netuid", BABELBIT, "--yes"]);
    assert_eq!(chain.ask(&set)["success"], true);
    // Other fields remain.
    chain.ask(&["wallet", "set-identity", "--description", "Speech, live", "--yes"]);
    let identity = chain.ask(&["wallet", "get-identity", &coldkey])["identity"].clone();
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
fn a_hotkey_takes_the_place_of_another() {
    let chain = Chain::start();
    let (_, hotkey) = chain.wallet();
    let uid = chain.ask(&["register", "--netuid", BABELBIT, "--yes"])["uid"].clone();
    let words = chain.path("second.words").display().to_string();
    let made =
        chain.ask(&["wallet", "new-hotkey", "--hotkey", "second", "--mnemonic-file", &words]);
    let second = made["hotkey"]["address"].as_str().unwrap_or_else(|| panic!("{made}"));
    let swapped = chain.ask(&["wallet", "swap-hotkey", "second", "--netuid", BABELBIT, "--yes"]);
    assert_eq!(
        (&swapped["success"], &swapped["hotkey"], &swapped["new_hotkey"], &swapped["cost_rao"]),
        (&json!(true), &json!(hotkey), &json!(second), &json!(1_000_000)),
        "{swapped}"
    );
    let metagraph = chain.ask(&["metagraph", BABELBIT]);
    let neuron =
        metagraph["neurons"].as_array().unwrap().iter().find(|neuron| neuron["hotkey"] == second);
    assert_eq!(neuron.unwrap()["uid"], uid);
    let error = refusal(&chain.tao(&["wallet", "swap-hotkey", "default"], &[]), 2);
    assert!(error.contains("is the old one"), "{error}");
    let third = ["wallet", "associate-hotkey", "--hotkey-ss58", BOB, "--yes"];
    assert_eq!(chain.ask(&third)["success"], true);
}

#[test]
fn a_coldkey_takes_the_place_of_another() {
    let chain = Chain::start();
    let (coldkey, _) = chain.wallet();
    let new = "5DAAnrj7VHTznn2AWBemMuyBwZWs6FNFjdyVXUeYum3PTXFy";
    let free = chain.free(new);
    let error = refusal(&chain.tao(&["wallet", "swap-coldkey", "execute", new], &[]), 1);
    assert!(error.contains("swap-coldkey announce"), "{error}");
    assert_eq!(chain.ask(&["wallet", "swap-coldkey", "status"])["swap"], Value::Null);

    let announced = chain.ask(&["wallet", "swap-coldkey", "announce", new, "--yes"]);
    assert_eq!(
        (&announced["success"], &announced["delay_blocks"], &announced["cost_rao"]),
        (&json!(true), &json!(50), &json!(100_000_000)),
        "{announced}"
    );
    let swap = chain.ask(&["wallet", "swap-coldkey", "status", &coldkey])["swap"].clone();
    let due_block = announced["block"]["number"].as_u64().unwrap() + 50;
    assert_eq!((&swap["due"], &swap["disputed"]), (&json!(due_block), &Value::Null), "{swap}");
    // Nothing else is allowed until then.
    let (code, result) = failure(&chain.tao(&["transfer", BOB, "1", "--yes", "--json"], &[]));
    assert_eq!((code, &result["success"]), (5, &json!(false)), "{result}");
    mine(&chain, 50);
    assert_eq!(chain.ask(&["wallet", "swap-coldkey", "execute", new, "--yes"])["success"], true);
    assert_eq!(chain.free(&coldkey), 0);
    assert!(chain.free(new) > free + 4_999_000_000_000, "{}", chain.free(new));

    signed(&chain, "//Charlie", &["wallet", "swap-coldkey", "announce", "//New"]);
    mine(&chain, 61);
    signed(&chain, "//Charlie", &["wallet", "swap-coldkey", "clear"]);
    assert_eq!(chain.ask(&["wallet", "swap-coldkey", "status", "//Charlie"])["swap"], Value::Null);

    // Long enough for the commands below, on a busy machine too.
    chain.alice(&["sudo", "set", "coldkey_swap_announcement_delay", "10000"]);
    signed(&chain, "//Bob", &["wallet", "swap-coldkey", "announce", "//New"]);
    let error = refusal(
        &chain.tao(&["wallet", "swap-coldkey", "execute", "//New"], &["--key-uri", "//Bob"]),
        1,
    );
    assert!(error.contains("can be executed from block"), "{error}");
    let name = refused(&chain, "//Bob", &["wallet", "swap-coldkey", "clear"]);
    assert_eq!(name, "SubtensorModule.ColdkeySwapClearTooEarly");
    signed(&chain, "//Bob", &["wallet", "swap-coldkey", "dispute"]);
    assert!(chain.ask(&["wallet", "swap-coldkey", "status", BOB])["swap"]["disputed"].is_u64());
    refused(&chain, "//Bob", &["transfer", ALICE, "1"]);
}

#[test]
fn proxies_make_calls_for_an_account() {
    let chain = Chain::start();
    let transfer =
        ["call", "Balances.transfer_keep_alive", "dest=//Dave", "value=1tao", "--proxy-for", ALICE];
    assert_eq!(refused(&chain, "//Bob", &transfer), "Proxy.NotProxy");
    chain.alice(&["proxy", "add", "//Bob", "--type", "transfer", "--yes"]);
    let listed = chain.ask(&["proxy", "list", ALICE]);
    assert_eq!(
        listed["proxies"],
        json!([{ "delegate": BOB, "proxy_type": "Transfer", "delay": 0 }])
    );
    assert!(listed["deposit_rao"].as_u64().unwrap() > 0);
    let dave = chain.free("//Dave");
    signed(&chain, "//Bob", &transfer);
    assert_eq!(chain.free("//Dave"), dave + 1_000_000_000);
    // Every command that submits a call has the option, also under btcli's name.
    let direct = ["transfer", "//Dave", "2", "--proxy", ALICE];
    let sent = signed(&chain, "//Bob", &direct);
    assert_eq!(
        (&sent["from"], &sent["proxy_for"], &sent["signer"]),
        (&json!(ALICE), &json!(ALICE), &json!(BOB)),
        "{sent}"
    );
    assert_eq!(chain.free("//Dave"), dave + 3_000_000_000);
    let dry = chain.tao(&direct, &["--dry-run", "--key-uri", "//Bob", "--json"]);
    assert_eq!(document(&dry)["decoded_call"]["name"], "proxy");
    // A call that the type does not allow fails within the call of the proxy.
    let remark = ["call", "System.remark", "remark=hello", "--proxy-for", ALICE];
    refused(&chain, "//Bob", &remark);
    chain.alice(&["proxy", "remove", "//Bob", "--yes"]);
    assert_eq!(chain.ask(&["proxy", "list", ALICE])["proxies"], json!([]));
    let error = refusal(&chain.tao(&["proxy", "remove", "//Bob", "--key-uri", "//Alice"], &[]), 1);
    assert!(error.contains("tao proxy list"), "{error}");
    let error = refusal(
        &chain.tao(&["proxy", "add", "//Bob", "--type", "all"], &["--key-uri", "//Alice"]),
        2,
    );
    assert!(error.contains("NonTransfer"), "{error}");
}

#[test]
fn a_proxy_with_a_delay_announces_its_calls() {
    let chain = Chain::start();
    chain.alice(&["proxy", "add", "//Bob", "--type", "any", "--delay", "600", "--yes"]);
    let transfer =
        ["call", "Balances.transfer_keep_alive", "dest=//Dave", "value=1tao", "--proxy-for", ALICE];
    let with = |option: &'static str| [&transfer[..], &[option]].concat();
    assert_eq!(refused(&chain, "//Bob", &transfer), "Proxy.Unannounced");
    signed(&chain, "//Bob", &with("--announce"));
    let announcements = || chain.ask(&["proxy", "announcements", BOB])["announcements"].clone();
    assert_eq!(
        (announcements().as_array().unwrap().len(), &announcements()[0]["real"]),
        (1, &json!(ALICE))
    );
    assert_eq!(refused(&chain, "//Bob", &with("--announced")), "Proxy.Unannounced");
    mine(&chain, 600);
    let dave = chain.free("//Dave");
    signed(&chain, "//Bob", &with("--announced"));
    assert_eq!(chain.free("//Dave"), dave + 1_000_000_000);
    assert_eq!(announcements(), json!([]));

    let transfer = ["transfer", "//Dave", "1", "--proxy-for", ALICE];
    let announced = signed(&chain, "//Bob", &[&transfer[..], &["--announce"]].concat());
    assert_eq!(
        (&announced["proxy_for"], &announcements()[0]["real"]),
        (&json!(ALICE), &json!(ALICE))
    );
    mine(&chain, 600);
    signed(&chain, "//Bob", &[&transfer[..], &["--announced"]].concat());
    assert_eq!(chain.free("//Dave"), dave + 2_000_000_000);

    // Any account can make the announced call.
    signed(&chain, "//Bob", &with("--announce"));
    let execute =
        ["proxy", "execute", ALICE, "Balances.transfer_keep_alive", "dest=//Dave", "value=1tao"];
    let by_charlie = [&execute[..], &["--delegate", BOB]].concat();
    assert_eq!(refused(&chain, "//Charlie", &by_charlie), "Proxy.Unannounced");
    mine(&chain, 600);
    let executed = signed(&chain, "//Charlie", &by_charlie);
    assert_eq!(
        (&executed["real"], &executed["delegate"]),
        (&json!(ALICE), &json!(BOB)),
        "{executed}"
    );
    assert_eq!(chain.free("//Dave"), dave + 3_000_000_000);
    let dry = document(&chain.tao(&["transfer", "//Dave", "1", "--dry-run"], &AS_ALICE));
    let data = dry["decoded_call"]["data"].as_str().unwrap();
    let error = refusal(
        &chain.tao(&["proxy", "execute", ALICE, data], &["--key-uri", "//Bob", "--yes"]),
        1,
    );
    assert!(error.contains("has not announced the call"), "{error}");

    for (key, verb, account) in [("//Alice", "reject", BOB), ("//Bob", "withdraw", ALICE)] {
        signed(&chain, "//Bob", &with("--announce"));
        let hash = announcements()[0]["call_hash"].as_str().unwrap().to_owned();
        signed(&chain, key, &["proxy", verb, account, &hash]);
        assert_eq!(announcements(), json!([]), "{verb}");
    }
}

#[test]
fn an_account_without_a_key_is_created_and_removed() {
    let chain = Chain::start();
    let created = chain.alice(&["proxy", "create-pure", "--type", "any", "--yes"]);
    let (pure, created_at) =
        (created["pure"].as_str().unwrap(), created["created"].as_str().unwrap());
    assert_eq!(chain.ask(&["proxy", "list", pure])["proxies"][0]["delegate"], json!(ALICE));
    chain.alice(&["transfer", pure, "3", "--yes"]);
    let back = [
        "call",
        "Balances.transfer_all",
        &format!("dest={ALICE}"),
        "keep_alive=false",
        "--proxy-for",
        pure,
    ];
    chain.alice(&[&back[..], &["--yes"]].concat());
    assert_eq!(chain.free(pure), 0);
    let kill = ["proxy", "kill-pure", pure, "--type", "any", "--yes", "--created"];
    let (code, result) = failure(&chain.tao(&[&kill[..], &["1-0"]].concat(), &AS_ALICE));
    assert_eq!((code, &result["error"]["name"]), (5, &json!("Proxy.NoPermission")), "{result}");
    chain.alice(&[&kill[..], &[created_at]].concat());
    assert_eq!(chain.ask(&["proxy", "list", pure])["proxies"], json!([]));
}

#[test]
fn a_crowdloan_is_raised_and_paid_out() {
    let chain = Chain::start();
    assert_eq!(chain.ask(&["crowdloan", "list"])["crowdloans"], json!([]));
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
    signed(&chain, "//Bob", &["crowdloan", "contribute", "0", "4"]);
    let crowdloan = chain.ask(&["crowdloan", "show", "0"]);
    assert_eq!(
        (
            &crowdloan["crowdloan"]["state"],
            &crowdloan["crowdloan"]["raised_rao"],
            &crowdloan["contributions"][1]
        ),
        (
            &json!("open"),
            &json!(14_000_000_000_u64),
            &json!({ "account": BOB, "amount_rao": 4_000_000_000_u64 })
        ),
        "{crowdloan}"
    );
    let shares = chain.ask(&["crowdloan", "contributors", "0"]);
    assert_eq!(
        (&shares["contributors"][1]["account"], &shares["raised_rao"]),
        (&json!(BOB), &json!(14_000_000_000_u64))
    );
    let percent = shares["contributors"][1]["percent"].as_f64().unwrap();
    assert!((percent - 100.0 * 4.0 / 14.0).abs() < 1e-9, "{shares}");
    assert_eq!(
        refused(&chain, "//Alice", &["crowdloan", "finalize", "0"]),
        "Crowdloan.CapNotRaised"
    );
    // The chain takes at most what is left.
    let remaining = signed(&chain, "//Bob", &["crowdloan", "contribute", "0", "100"]);
    assert_eq!(
        (&remaining["left_rao"], &remaining["accepted_rao"]),
        (&json!(6_000_000_000_u64), &json!(6_000_000_000_u64))
    );
    assert_eq!(chain.ask(&["crowd", "list"])["crowdloans"][0]["state"], "raised");
    let text = String::from_utf8(chain.tao(&["crowdloan", "show", "0"], &[]).stdout).unwrap();
    assert!(text.contains("20 of 20 TAO") && text.contains(BOB), "{text}");
    let dave = chain.free("//Dave");
    signed(&chain, "//Alice", &["crowdloan", "finalize", "0"]);
    assert_eq!(chain.free("//Dave"), dave + 20_000_000_000);

    let created = chain.alice(&[&create[..], &["30"]].concat());
    assert_eq!(created["id"], 1);
    signed(&chain, "//Alice", &["crowdloan", "update", "1", "--cap", "40"]);
    signed(&chain, "//Alice", &["crowdloan", "update", "1", "--min-contribution", "0.5"]);
    let end = (created["end"].as_u64().unwrap() + 100).to_string();
    signed(&chain, "//Alice", &["crowdloan", "update", "1", "--end", &end]);
    let terms = chain.ask(&["crowdloan", "show", "1"])["crowdloan"].clone();
    assert_eq!(
        (&terms["cap_rao"], &terms["min_contribution_rao"], terms["end"].to_string()),
        (&json!(40_000_000_000_u64), &json!(500_000_000), end)
    );
    signed(&chain, "//Bob", &["crowdloan", "contribute", "1", "5"]);
    let bob = chain.free(BOB);
    signed(&chain, "//Bob", &["crowdloan", "withdraw", "1"]);
    assert!(chain.free(BOB) > bob + 4_900_000_000);
    signed(&chain, "//Charlie", &["crowdloan", "contribute", "1", "5"]);
    assert_eq!(
        refused(&chain, "//Alice", &["crowdloan", "dissolve", "1"]),
        "Crowdloan.NotReadyToDissolve"
    );
    signed(&chain, "//Alice", &["crowdloan", "refund", "1"]);
    signed(&chain, "//Alice", &["crowdloan", "dissolve", "1"]);
    let error = refusal(&chain.tao(&["crowdloan", "show", "1"], &[]), 1);
    assert!(error.contains("tao crowdloan list"), "{error}");
}

#[test]
fn a_crowdloan_can_make_a_call() {
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
    let dry =
        document(&chain.tao(&[&terms[..], &["--call", call, "--dry-run"]].concat(), &AS_ALICE));
    assert_eq!(dry["valid"], true, "{dry}");
    let nested = &dry["decoded_call"]["args"]["call"]["Balances"]["transfer_keep_alive"];
    assert_eq!(nested, &json!({ "dest": BOB, "value": 1 }), "{dry}");
    let error = refusal(&chain.tao(&terms, &["--key-uri", "//Alice"]), 2);
    assert!(error.contains("--target"), "{error}");
}

#[test]
fn a_crowdloan_leases_a_subnet() {
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
    signed(&chain, "//Bob", &["crowdloan", "contribute", "0", "1400"]);
    let before = chain.free(BOB);
    let finalized = signed(&chain, "//Alice", &["crowdloan", "finalize", "0"]);
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
    assert_eq!(chain.ask(&["subnets", "show", "60"])["subnet"]["owner_coldkey"], account);
    let start =
        ["call", "SubtensorModule.start_call", "netuid=60", "--proxy-for", account, "--yes"];
    chain.alice(&start);
    assert_eq!(
        chain.ask(&["subnets", "hyperparameters", "60"])["hyperparameters"]["subnet_is_active"],
        true
    );

    let subnet = chain.ask(&["subnets", "show", BABELBIT]);
    let hotkey = format!("hotkey={}", subnet["subnet"]["owner_hotkey"].as_str().unwrap());
    let end = ["call", "SubtensorModule.terminate_lease", "lease_id=0", &hotkey];
    assert_eq!(refused(&chain, "//Alice", &end), "SubtensorModule.LeaseHasNotEnded");
    mine(&chain, 1_000);
    signed(&chain, "//Alice", &end);
    assert_eq!(chain.ask(&["subnets", "show", "60"])["subnet"]["owner_coldkey"], ALICE);
}

#[test]
fn a_hyperparameter_is_read_by_name() {
    let chain = Chain::start();
    chain.alice(&["sudo", "set", "tempo", "20", "--netuid", BABELBIT]);
    assert_eq!(chain.ask(&["sudo", "get", "tempo", "--netuid", BABELBIT])["value"], 20);
    let text =
        chain.tao(&["sudo", "get", "commit-reveal-weights-enabled", "--netuid", BABELBIT], &[]);
    assert!(["true\n", "false\n"].contains(&&*String::from_utf8(text.stdout).unwrap()));
    let error = refusal(&chain.tao(&["sudo", "get", "colour", "--netuid", BABELBIT], &[]), 1);
    assert!(error.contains("weights_rate_limit"), "{error}");
}
