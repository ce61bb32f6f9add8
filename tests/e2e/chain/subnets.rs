use serde_json::json;

use super::{ALICE, AS_ALICE, Chain, failure};
use crate::cli::candidates;
use crate::support::{document, refusal, tao};

#[test]
fn subnets_are_created_started_and_shown() {
    let chain = Chain::start();
    let listed = |chain: &Chain| {
        let list = chain.run_json(&["subnets", "list"]);
        let numbers = list["subnets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|subnet| subnet["netuid"].as_u64().unwrap());
        numbers.collect::<Vec<_>>()
    };
    assert_eq!(listed(&chain), (0..60).collect::<Vec<_>>());
    let (coldkey, hotkey) = chain.wallet();
    let created = chain.run_json(&["subnets", "create", "--yes"]);
    assert_eq!((&created["success"], &created["netuid"]), (&json!(true), &json!(60)), "{created}");
    assert_eq!(listed(&chain), (0..61).collect::<Vec<_>>());
    let report = chain.run_json(&["subnets", "show", "60"]);
    assert_eq!(
        (&report["subnet"]["owner_coldkey"], &report["subnet"]["owner_hotkey"], &report["neurons"]),
        (&json!(coldkey), &json!(hotkey), &json!(1))
    );
    // Only the owner can start it.
    let (code, result) = failure(&chain.tao(&["subnets", "start", "60"], &AS_ALICE));
    assert_eq!((code, &result["success"]), (5, &json!(false)), "{result}");
    assert_eq!(chain.run_json(&["subnets", "start", "60"])["success"], true);
    let parameters = chain.run_json(&["subnets", "hyperparameters", "60"]);
    assert_eq!(parameters["hyperparameters"]["subnet_is_active"], true, "{parameters}");

    let text = |arguments: &[&str]| String::from_utf8(chain.tao(arguments, &[]).stdout).unwrap();
    assert!(text(&["subnets", "list"]).contains("netuid"));
    assert!(text(&["subnets", "show", "60"]).contains(&coldkey));
    assert!(text(&["subnets", "hyperparameters", "60"]).contains("min_burn"));
    assert!(text(&["metagraph", "60", "--full"]).contains("weights W"));
}

#[test]
fn subnet_check_warns_before_the_launch() {
    let chain = Chain::start();
    let status = |netuid: &str, name: &str| {
        let report = chain.run_json(&["subnet", "check", netuid]);
        let checks = report["checks"].as_array().unwrap();
        let check = checks
            .iter()
            .find(|check| check["check"] == name)
            .unwrap_or_else(|| panic!("{name}: {report}"));
        assert_eq!(
            report["warnings"],
            checks.iter().filter(|check| check["status"] == "warning").count()
        );
        (check["status"].clone(), check["value"].clone())
    };
    chain.wallet();
    chain.run_json(&["subnets", "create", "--yes"]);
    assert_eq!(status("60", "started"), (json!("warning"), json!(false)));
    // The owner is the only neuron, and has no permit before an epoch.
    assert_eq!(status("60", "neurons"), (json!("warning"), json!(1)));
    chain.run_json(&["subnets", "start", "60"]);
    assert_eq!(status("60", "started"), (json!("ok"), json!(true)));
    assert_eq!(status("60", "tao_emission"), (json!("warning"), json!(false)));
    chain.alice(&["sudo", "set", "subnet_emission_enabled", "true", "--netuid", "60"]);
    assert_eq!(status("60", "tao_emission"), (json!("ok"), json!(true)));
    chain.alice(&["sudo", "set", "stake_threshold", "5000000000000000"]);
    // More than the owner's stake.
    assert_eq!(
        status("60", "stake_threshold_rao"),
        (json!("warning"), json!(5_000_000_000_000_000_u64))
    );
    chain.alice(&["sudo", "set", "commit_reveal_weights_enabled", "false", "--netuid", "60"]);
    assert_eq!(status("60", "commit_reveal_epochs"), (json!("warning"), json!(null)));
    let cost = chain.run_json(&["subnets", "burn-cost"])["cost_rao"].clone();
    let report = chain.run_json(&["subnets", "check"]);
    assert_eq!(
        (&report["netuid"], report["checks"].as_array().unwrap().len()),
        (&json!(null), 1),
        "{report}"
    );
    assert_eq!(
        (&report["checks"][0]["check"], &report["warnings"]),
        (&json!("creation_cost_rao"), &json!(0))
    );
    let (newer, older) = (report["checks"][0]["value"].as_u64().unwrap(), cost.as_u64().unwrap());
    assert!(newer <= older, "the cost falls with time: {report}");
    let text = String::from_utf8(chain.tao(&["subnets", "check", "60"], &[]).stdout).unwrap();
    assert!(
        text.contains("validators can copy the weights of others")
            && text.contains("warnings, block"),
        "{text}"
    );
    let error = refusal(&chain.tao(&["subnets", "check", "77"], &[]), 1);
    assert!(error.contains("subnet 77 does not exist"), "{error}");
    let error = refusal(&chain.tao(&["subnets", "check", "0"], &[]), 2);
    assert!(error.contains("subnet 0 is the root network"), "{error}");
}

#[test]
fn netuids_of_listed_subnets_are_shell_completions() {
    let chain = Chain::with(&["--block-time", "1s"]);
    let cache = tempfile::tempdir().unwrap();
    let completions_here = || {
        let mut command = tao();
        command.env("XDG_CACHE_HOME", cache.path()).env("BT_CHAIN_ENDPOINT", chain.url());
        command
    };
    assert!(candidates(completions_here(), &["tao", "metagraph", "7"]).is_empty());
    document(&completions_here().args(["subnets", "list", "--json"]).output().unwrap());
    assert_eq!(candidates(completions_here(), &["tao", "metagraph", "7"]), ["7"]);
    // The cache of one network does not complete for another.
    assert!(
        candidates(completions_here(), &["tao", "metagraph", "--network", "finney", "7"])
            .is_empty()
    );
}

#[test]
fn sudo_key_sets_hyperparameters() {
    let chain = Chain::start();
    let tempo = || {
        chain.run_json(&["subnets", "hyperparameters", "59"])["hyperparameters"]["tempo"].clone()
    };
    let result = chain.alice(&["sudo", "set", "tempo", "20", "--netuid", "59"]);
    assert_eq!(
        (&result["call"], &result["arguments"]),
        (&json!("AdminUtils.sudo_set_tempo"), &json!({ "netuid": 59, "tempo": 20 }))
    );
    assert_eq!(tempo(), 20);
    // Other keys are refused.
    let bob = ["sudo", "set", "tempo", "30", "--netuid", "59", "--key-uri", "//Bob", "--json"];
    let (code, result) = failure(&chain.tao(&bob, &[]));
    assert_eq!((code, &result["error"]["name"]), (5, &json!("Sudo.RequireSudo")), "{result}");
    // A call that fails inside sudo is a failure, although the sudo call itself succeeded.
    let (code, result) =
        failure(&chain.tao(&["sudo", "set", "tempo", "20", "--netuid", "77"], &AS_ALICE));
    assert_eq!((code, &result["success"]), (5, &json!(false)), "{result}");
    assert_eq!(tempo(), 20);
    let error = refusal(&chain.tao(&["sudo", "set", "colour", "1"], &AS_ALICE), 1);
    assert!(error.contains("unknown call AdminUtils.sudo_set_colour"), "{error}");
    let error = refusal(&chain.tao(&["sudo", "set", "tempo", "1"], &AS_ALICE), 2);
    assert!(error.contains("--netuid is required"), "{error}");
    let sudo_key = chain.run_json(&["balance", ALICE]);
    assert_eq!(sudo_key["accounts"][0]["address"], ALICE);
}
