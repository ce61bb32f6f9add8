use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{AS_ALICE, BABELBIT, BOB, Chain, failure};
use crate::support::{bb, document, refusal, stderr, tao};

/// Finds the neuron of a hotkey in the subnet's metagraph.
fn neuron(chain: &Chain, hotkey: &str) -> Value {
    let metagraph = chain.run_json(&["metagraph", BABELBIT]);
    let neurons = metagraph["neurons"].as_array().unwrap();
    neurons.iter().find(|neuron| neuron["hotkey"] == hotkey).unwrap().clone()
}

#[test]
fn neuron_registers_serves_axon_and_sets_commitment() {
    let chain = Chain::start();
    let (coldkey, hotkey) = chain.wallet();
    let registered = chain.run_json(&["register", "--netuid", BABELBIT, "--yes"]);
    assert_eq!((&registered["success"], &registered["coldkey"]), (&json!(true), &json!(coldkey)));
    let uid = registered["uid"].as_u64().unwrap();
    assert_eq!(neuron(&chain, &hotkey)["uid"], uid);
    let (code, result) =
        failure(&chain.tao(&["register", "--netuid", BABELBIT, "--yes", "--json"], &[]));
    assert_eq!(
        (code, &result["error"]["name"]),
        (5, &json!("SubtensorModule.HotKeyAlreadyRegisteredInSubNet")),
        "{result}"
    );

    let serve = ["serve-axon", "--netuid", BABELBIT, "--external-ip", "8.8.4.4", "--port", "8091"];
    let serve_result = chain.run_json(&serve);
    assert_eq!(
        (&serve_result["success"], &serve_result["address"]),
        (&json!(true), &json!("8.8.4.4:8091"))
    );
    assert_eq!(neuron(&chain, &hotkey)["axon"]["address"], "8.8.4.4:8091");
    assert_eq!(chain.run_json(&serve)["outcome"], "unchanged");
    // Another port has to wait for the rate limit.
    let set_rate_limit = |blocks: &str| {
        let set = [
            "localnet",
            "set-storage",
            "SubtensorModule.ServingRateLimit",
            "59",
            blocks,
            "--network",
            chain.url(),
        ];
        document(&tao().args(set).arg("--json").output().unwrap());
    };
    set_rate_limit("100000");
    for arguments in
        [&["serve-axon", "--external-ip", "8.8.4.4", "--port", "8093"][..], &["axon", "reset"]]
    {
        let output = chain.tao(&[arguments, &["--netuid", BABELBIT, "--json"]].concat(), &[]);
        let (code, result) = failure(&output);
        let error = (&result["outcome"], &result["error"]["name"]);
        assert_eq!(
            (code, error),
            (5, (&json!("unsent"), &json!("SubtensorModule.ServingRateLimitExceeded"))),
            "{result}"
        );
        assert!(stderr(&output).contains("the rate limit is 100000 blocks"), "{}", stderr(&output));
        assert!(stderr(&output).contains("\"hint\":\"wait 999"), "{}", stderr(&output));
        assert!(stderr(&output).contains("blocks, about 83 minutes"), "{}", stderr(&output));
    }
    // The same with `bb register-axon`, which then publishes another port.
    set_rate_limit("0");
    let register = ["register-axon", "--external-ip", "8.8.4.4", "--json", "--yes", "--port"];
    assert_eq!(document(&chain.bb(&register, &["8091"]))["outcome"], "unchanged");
    let published = document(&chain.bb(&register, &["8092"]));
    assert_eq!(
        (&published["success"], &published["address"]),
        (&json!(true), &json!("8.8.4.4:8092")),
        "{published}"
    );
    assert_eq!(neuron(&chain, &hotkey)["axon"]["address"], "8.8.4.4:8092");
    assert_eq!(chain.run_json(&["axon", "reset", "--netuid", BABELBIT])["hotkey"], hotkey);
    assert_eq!(neuron(&chain, &hotkey)["axon"], Value::Null);
    let error = refusal(
        &chain.tao(&["serve-axon", "--netuid", BABELBIT, "--ip", "127.0.0.1", "--port", "1"], &[]),
        1,
    );
    assert!(error.contains("rejects the loopback address 127.0.0.1"), "{error}");

    // A commitment costs a fee, which the hotkey pays.
    chain.alice(&["transfer", &hotkey, "1", "--yes"]);
    let set = chain.run_json(&[
        "commitment",
        "set",
        "--yes",
        "my model is at example.org",
        "--netuid",
        BABELBIT,
    ]);
    assert_eq!(set["success"], true);
    let one = chain.run_json(&["commitment", "get", &hotkey, "--netuid", BABELBIT]);
    let all = chain.run_json(&["commitment", "get", "--netuid", BABELBIT]);
    let expected = json!([{ "hotkey": hotkey, "text": "my model is at example.org" }]);
    assert_eq!((&one["commitments"], &all["commitments"]), (&expected, &expected));

    let overview = chain.run_json(&["wallet", "overview"]);
    assert_eq!(
        (&overview["coldkey"], &overview["neurons"][0]["netuid"]),
        (&json!(coldkey), &json!(59))
    );
    assert_eq!(overview["neurons"][0]["neuron"]["uid"], uid);
}

/// Without options, as in the reference: the wallet is a key file, or a directory with names.
#[test]
fn register_axon_accepts_reference_variables() {
    let chain = Chain::start();
    let (_, hotkey) = chain.wallet();
    chain.run_json(&["register", "--netuid", BABELBIT, "--yes"]);
    let set = [
        "localnet",
        "set-storage",
        "SubtensorModule.ServingRateLimit",
        "59",
        "0",
        "--network",
        chain.url(),
    ];
    document(&tao().args(set).arg("--json").output().unwrap());
    let [root, keyfile] =
        ["wallets", "wallets/default/hotkeys/default"].map(|name| chain.path(name));
    let renamed = chain.path("wallets/coldkey");
    std::fs::create_dir_all(renamed.join("hotkeys")).unwrap();
    std::fs::copy(&keyfile, renamed.join("hotkeys/my-hotkey")).unwrap();
    let register = |path: &Path, wallet: &str, name: &str, port: &str| {
        let mut register = bb();
        register
            .args(["register-axon", "--yes", "--json"])
            .env("BITTENSOR_SUBTENSOR_ENDPOINT", chain.url());
        register.env("BITTENSOR_WALLET_PATH", path).env("BITTENSOR_WALLET_COLD", wallet);
        register
            .env("BITTENSOR_WALLET_HOT", name)
            .env("MINER_AXON_PORT", port)
            .env("MINER_EXTERNAL_IP", "8.8.4.4");
        register
    };
    let assert_published = |mut register: Command, address: &str| {
        let result = document(&register.output().unwrap());
        assert_eq!(
            (&result["hotkey"], &result["address"]),
            (&json!(hotkey), &json!(address)),
            "{result}"
        );
        assert_eq!(neuron(&chain, &hotkey)["axon"]["address"], address);
    };
    assert_published(register(&keyfile, "absent", "absent", "8093"), "8.8.4.4:8093");
    assert_published(register(&root, "coldkey", "my-hotkey", "8094"), "8.8.4.4:8094");
    assert_published(register(&root, "", "", "8095"), "8.8.4.4:8095");
    // Options and their own variables win.
    let mut explicit_options = register(&keyfile, "absent", "absent", "8096");
    explicit_options
        .args(["--wallet-name", "default", "--external-ip", "8.8.8.8", "--port", "8097"])
        .env("BT_WALLET_PATH", &root);
    explicit_options.env("BT_WALLET_HOTKEY", "default");
    assert_published(explicit_options, "8.8.8.8:8097");
    let mut missing_hotkey = register(&keyfile, "absent", "absent", "8098");
    let error = refusal(&missing_hotkey.args(["--wallet-name", "none"]).output().unwrap(), 4);
    assert!(error.contains("hint: select a wallet with --wallet-name"), "{error}");
}

#[test]
fn metagraph_is_printed_saved_and_compared() {
    let chain = Chain::start();
    chain.wallet();
    let before = chain.run_json(&["block"])["block"]["number"].to_string();
    let uid = chain.run_json(&["register", "--netuid", BABELBIT, "--yes"])["uid"].clone();
    let file = chain.path("metagraph.json");
    let csv = chain.tao(&["metagraph", BABELBIT, "--csv", "--save", file.to_str().unwrap()], &[]);
    let csv = String::from_utf8(csv.stdout).unwrap();
    assert!(csv.starts_with("uid,hotkey,coldkey,"), "{csv}");
    let document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(document["metagraph"]["neurons"].as_array().unwrap().len(), csv.lines().count() - 1);
    let changed = chain.run_json(&["metagraph", BABELBIT, "--diff", &before]);
    assert_eq!(changed["replaced"][0][0], uid, "{changed}");
}

#[test]
fn unregistered_hotkey_gets_register_hint() {
    let chain = Chain::start();
    chain.wallet();
    for arguments in [
        &["serve-axon", "--netuid", BABELBIT, "--external-ip", "8.8.4.4", "--port", "8091"][..],
        &["weights", "set", "--netuid", BABELBIT, "0:1"],
    ] {
        let error = refusal(&chain.tao(arguments, &[]), 1);
        assert!(error.contains("tao register --netuid 59"), "{error}");
    }
}

#[test]
fn root_registration_costs_reported_price() {
    let chain = Chain::start();
    let (coldkey, hotkey) = chain.wallet();
    // Otherwise, every block lowers the price.
    let set = [
        "localnet",
        "set-storage",
        "SubtensorModule.BurnHalfLife",
        "0",
        "0",
        "--network",
        chain.url(),
    ];
    document(&tao().args(set).arg("--json").output().unwrap());
    let register = ["register", "--netuid", "0", "--yes"];
    let error = refusal(&chain.tao(&register, &["--limit", "1"]), 2);
    assert!(error.contains("hint: register without --limit"), "{error}");
    let before = chain.free(&coldkey);
    let result = chain.run_json(&register);
    assert_eq!((&result["success"], &result["hotkey"]), (&json!(true), &json!(hotkey)), "{result}");
    let (cost, fee) =
        (result["cost_rao"].as_u64().unwrap(), result["fee_rao"].as_u64().unwrap_or(0));
    assert!(cost > 0, "{result}");
    assert_eq!(chain.free(&coldkey), before - cost - fee, "{result}");
}

#[test]
fn hotkey_is_registered_by_proof_of_work() {
    // The chain accepts work for its last five blocks.
    let chain = Chain::with(&["--block-time", "1s"]);
    let (coldkey, hotkey) = chain.wallet();
    let set = |item: &str, value: &str| {
        let words =
            ["localnet", "set-storage", item, "59", value, "--network", chain.url(), "--json"];
        document(&tao().args(words).output().unwrap());
    };
    set("SubtensorModule.MinDifficulty", "100");
    set("SubtensorModule.Difficulty", "100");
    let before = chain.free(&coldkey);
    let result = chain.run_json(&["register", "--netuid", BABELBIT, "--pow"]);
    assert_eq!(
        (&result["success"], &result["difficulty"], &result["hotkey"]),
        (&json!(true), &json!(100), &json!(hotkey))
    );
    assert!(result["uid"].is_u64() && result["hashes"].as_u64() > Some(0), "{result}");
    assert_eq!(result["device"], "cpu");
    assert_eq!(chain.free(&coldkey), before, "the registration has neither price nor fee");
    let pow = ["register", "--netuid", BABELBIT, "--pow", "--hotkey-ss58", BOB];
    let error = refusal(&chain.tao(&["register", "--netuid", BABELBIT, "--pow"], &[]), 1);
    assert!(error.contains("already registered"), "{error}");
    set("SubtensorModule.MinDifficulty", "1000000000000000");
    let error = refusal(&chain.tao(&pow, &["--timeout", "1"]), 1);
    assert!(error.contains("no work found in 1 s") && error.contains("--timeout"), "{error}");
    set("SubtensorModule.NetworkPowRegistrationAllowed", "false");
    let error = refusal(&chain.tao(&pow, &[]), 1);
    assert!(error.contains("forbids registration by proof of work"), "{error}");
    refusal(&chain.tao(&pow, &["--limit", "1"]), 2);
    refusal(&chain.tao(&["register", "--netuid", BABELBIT, "--timeout", "1"], &[]), 2);
    refusal(&chain.tao(&["register", "--netuid", BABELBIT, "--device", "cpu"], &[]), 2);
    let error = refusal(&chain.tao(&pow, &["--device", "cuda"]), 2);
    assert!(error.contains("expected cpu, opencl or opencl:INDEX"), "{error}");
}

#[test]
fn weights_are_plain_or_committed_as_the_subnet_requires() {
    let chain = Chain::start();
    chain.wallet();
    chain.alice(&["sudo", "set", "commit_reveal_weights_enabled", "true", "--netuid", BABELBIT]);
    chain.alice(&["sudo", "set", "weights_set_rate_limit", "0", "--netuid", BABELBIT]);
    let uid = chain.run_json(&["register", "--netuid", BABELBIT, "--yes"])["uid"].to_string();
    chain.run_json(&["stake", "add", "1000", "--netuid", BABELBIT, "--no-limit", "--yes"]);
    chain.mine_to_epoch(BABELBIT);
    let own_weight = format!("{uid}:1");
    for (arguments, words) in [
        (&["0:1", "--mech", "3"][..], "--mech 3 is out of range"),
        (&["250:1"], "uid 250 is not on the subnet"),
        (&["0:1", "0:2"], "duplicate uid 0"),
    ] {
        let output = chain.tao(&["weights", "set", "--netuid", BABELBIT], arguments);
        let error = stderr(&output);
        assert!(!output.status.success() && error.contains(words), "{error}");
    }
    let hidden = chain.run_json(&["weights", "set", "--netuid", BABELBIT, "0:0.5", &own_weight]);
    assert_eq!(
        (&hidden["success"], &hidden["form"]),
        (&json!(true), &json!("timelocked")),
        "{hidden}"
    );

    chain.alice(&["sudo", "set", "commit_reveal_weights_enabled", "false", "--netuid", BABELBIT]);
    let clear = chain.run_json(&["weights", "set", "--netuid", BABELBIT, "0:0.5", &own_weight]);
    assert_eq!((&clear["success"], &clear["form"]), (&json!(true), &json!("plain")), "{clear}");
    assert_eq!(
        (&clear["values"], &clear["rounded_to_zero"]),
        (&json!([32_768, 65_535]), &json!([]))
    );
    let tiny = ["weights", "set", "--netuid", BABELBIT, "0:0.000001", &own_weight, "--dry-run"];
    let output = chain.tao(&tiny, &["--json"]);
    assert_eq!(document(&output)["rounded_to_zero"], json!([0]));
    assert!(stderr(&output).contains("warning: uid 0 gets no weight"), "{}", stderr(&output));
    let weights = chain.run_json(&["weights", "show", "--netuid", BABELBIT, "--uid", &uid]);
    let uid: u64 = uid.parse().unwrap();
    assert_eq!(weights["rows"], json!([{ "uid": uid, "weights": [[0, 32_768], [uid, 65_535]] }]));
}

#[test]
fn hash_commit_is_revealed_from_saved_file() {
    let chain = Chain::start();
    chain.wallet();
    // A commit can be revealed in one epoch only: long enough for the commands below, on a busy
    // machine too.
    chain.alice(&["sudo", "set", "tempo", "360", "--netuid", BABELBIT]);
    chain.alice(&["sudo", "set", "commit_reveal_weights_enabled", "true", "--netuid", BABELBIT]);
    chain.alice(&["sudo", "set", "weights_set_rate_limit", "0", "--netuid", BABELBIT]);
    chain.run_json(&["register", "--netuid", BABELBIT, "--yes"]);
    chain.run_json(&["stake", "add", "1000", "--netuid", BABELBIT, "--no-limit", "--yes"]);
    chain.mine_to_epoch(BABELBIT);
    let file = chain.path("commit.json");
    let file = file.to_str().unwrap();
    let commit = ["weights", "commit", "--netuid", BABELBIT, "0:1", "--save", file];
    let tiny = chain.tao(&[&commit[..], &["1:0.000001", "--dry-run"]].concat(), &["--json"]);
    assert_eq!(document(&tiny)["rounded_to_zero"], json!([1]));
    assert!(stderr(&tiny).contains("warning: uid 1 gets no weight"), "{}", stderr(&tiny));
    let committed = chain.run_json(&commit);
    assert_eq!(committed["success"], true, "{committed}");
    let error = refusal(&chain.tao(&commit, &[]), 2);
    assert!(error.contains("choose a new file"), "{error}");
    chain.mine_to_epoch(BABELBIT);
    let revealed = chain.run_json(&["weights", "reveal", file]);
    assert_eq!(
        (&revealed["success"], &revealed["values"]),
        (&json!(true), &json!([65_535])),
        "{revealed}"
    );
}

#[test]
fn rate_limit_hint_is_in_blocks_without_block_time() {
    let chain = Chain::with(&["--block-time", "instant"]);
    chain.wallet();
    chain.run_json(&["register", "--netuid", BABELBIT, "--yes"]);
    let serve = ["serve-axon", "--netuid", BABELBIT, "--external-ip", "8.8.4.4", "--port"];
    chain.run_json(&[&serve[..], &["8091"]].concat());
    let set = [
        "localnet",
        "set-storage",
        "SubtensorModule.ServingRateLimit",
        "59",
        "100",
        "--network",
        chain.url(),
    ];
    document(&tao().args(set).arg("--json").output().unwrap());
    let error = refusal(&chain.tao(&[&serve[..], &["8092"]].concat(), &[]), 5);
    let hint = error.lines().last().unwrap();
    assert!(hint.starts_with("hint: wait 9") && hint.ends_with(" blocks"), "{error}");
}

#[test]
fn weights_within_the_rate_limit_are_not_sent() {
    let chain = Chain::start();
    chain.wallet();
    let set =
        |name: &str, value: &str| chain.alice(&["sudo", "set", name, value, "--netuid", BABELBIT]);
    set("commit_reveal_weights_enabled", "false");
    set("weights_set_rate_limit", "0");
    chain.run_json(&["register", "--netuid", BABELBIT, "--yes"]);
    chain.run_json(&["stake", "add", "1000", "--netuid", BABELBIT, "--no-limit", "--yes"]);
    chain.mine_to_epoch(BABELBIT);
    let weights = ["weights", "set", "--netuid", BABELBIT, "0:1"];
    let first = chain.run_json(&weights);
    assert_eq!(first["success"], true, "{first}");
    // The main network's 100 blocks would be over after 5 s.
    set("weights_set_rate_limit", "100000");
    let commit_file = chain.path("commit.json");
    let commit =
        ["weights", "commit", "--netuid", BABELBIT, "0:1", "--save", commit_file.to_str().unwrap()];
    let assert_refused = |arguments: &[&str], name: &str| {
        for (options, key, value) in [
            (&["--json"][..], "outcome", json!("unsent")),
            (&["--json", "--dry-run"], "valid", json!(false)),
        ] {
            let output = chain.tao(arguments, options);
            let (code, result) = failure(&output);
            assert_eq!(
                (code, &result[key], &result["error"]["name"]),
                (5, &value, &json!(name)),
                "{result}"
            );
            let error = stderr(&output);
            let limit =
                "the rate limit is 100000 blocks between two submissions of a neuron's weights";
            // The first submission is less than 1 000 blocks old.
            assert!(error.contains(limit) && error.contains("\"hint\":\"wait 99"), "{error}");
        }
    };
    assert_refused(&weights, "SubtensorModule.SettingWeightsTooFast");
    // With commit-reveal, the chain's error for the same limit is another one.
    set("commit_reveal_weights_enabled", "true");
    assert_refused(&weights, "SubtensorModule.CommittingWeightsTooFast");
    assert_refused(&commit, "SubtensorModule.CommittingWeightsTooFast");
    assert!(!commit_file.exists());
}

#[test]
fn delegate_take_is_lowered_and_shown() {
    let chain = Chain::start();
    let (_, hotkey) = chain.wallet();
    chain.run_json(&["register", "--netuid", BABELBIT, "--yes"]);
    assert_eq!(chain.run_json(&["take"])["take_parts"], 11_796);
    let lowered = chain.run_json(&["take", "9"]);
    assert_eq!(
        (&lowered["success"], &lowered["take_parts"]),
        (&json!(true), &json!(5898)),
        "{lowered}"
    );
    assert_eq!(chain.run_json(&["take"])["take_parts"], 5898);
    let delegates = chain.run_json(&["delegates"]);
    let delegate = delegates["delegates"]
        .as_array()
        .unwrap()
        .iter()
        .find(|delegate| delegate["hotkey"] == hotkey);
    assert_eq!(delegate.unwrap()["take"], 5898);
    refusal(&chain.tao(&["take", "101"], &AS_ALICE), 2);
}
