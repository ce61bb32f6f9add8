use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::{ALICE, BOB};
use crate::support::{Daemon, document, refusal, tao};

/// Starts a chain with a data directory.
fn start_with_data(folder: &Path, extra_args: &[&str]) -> Daemon {
    Daemon::start(localnet(folder, &["start", "--block-time", "manual"]).args(extra_args))
}

fn localnet(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = tao();
    command.arg("localnet").args(arguments).arg("--data").arg(folder);
    command
}

fn run_json(folder: &Path, arguments: &[&str]) -> Value {
    document(&localnet(folder, arguments).arg("--json").output().unwrap())
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    localnet(folder, arguments).output().unwrap()
}

fn height(folder: &Path) -> u64 {
    run_json(folder, &["status"])["block"]["number"].as_u64().unwrap()
}

#[test]
fn localnet_is_controlled_through_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let daemon = start_with_data(folder, &[]);
    let status = run_json(folder, &["status"]);
    assert_eq!((&status["url"], &status["block"]["number"]), (&json!(daemon.url()), &json!(0)));
    assert_eq!(run_json(folder, &["mine", "12"])["block"]["number"], 12);
    let epoch = run_json(folder, &["to-epoch", "59"])["block"]["number"].as_u64().unwrap();
    assert!((13..=24).contains(&epoch), "{epoch}");
    // One process at a time.
    let error = refusal(&run(folder, &["start", "--port", "0"]), 1);
    assert!(error.contains("another process is using the chain"), "{error}");

    assert_eq!(run_json(folder, &["stop"])["stopped"], true);
    assert!(daemon.terminate().success());
    let error = refusal(&run(folder, &["mine", "1", "--network", "ws://127.0.0.1:9"]), 2);
    assert!(error.contains("cannot be used with"), "{error}");
    // It resumes at the last block.
    let daemon = start_with_data(folder, &[]);
    assert_eq!(height(folder), epoch);
    assert!(daemon.terminate().success());
}

#[test]
fn snapshot_file_is_loaded_into_another_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let file = folder.path().join("chain.snapshot");
    let file = file.to_str().unwrap();
    let daemon = start_with_data(&first, &[]);
    run_json(&first, &["mine", "7"]);
    run_json(&first, &["snapshot", "save", file]);
    let error = refusal(&run(&first, &["snapshot", "save", file]), 1);
    assert!(error.contains("exists"), "{error}");
    let error = refusal(&run(&first, &["snapshot", "load", file]), 1);
    assert!(error.contains("stop it first"), "{error}");
    run_json(&second, &["snapshot", "load", file]);
    let other = start_with_data(&second, &[]);
    assert_eq!((height(&first), height(&second)), (7, 7));
    drop((daemon, other));
}

#[test]
fn running_chain_reverts_to_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let daemon = start_with_data(folder, &[]);
    assert_eq!(run_json(folder, &["snapshot", "list"])["snapshots"], json!([]));
    run_json(folder, &["mine", "3"]);
    let snapshot = run_json(folder, &["snapshot", "take", "before"]);
    assert_eq!((&snapshot["name"], &snapshot["block"]["number"]), (&json!("before"), &json!(3)));
    let error = refusal(&run(folder, &["snapshot", "take", "before"]), 1);
    assert!(error.contains("already exists"), "{error}");
    run_json(folder, &["mine", "4"]);
    assert_eq!(run_json(folder, &["snapshot", "revert", "before"])["block"], snapshot["block"]);
    assert_eq!(height(folder), 3);
    assert_eq!(run_json(folder, &["snapshot", "list"])["snapshots"], json!([snapshot]));
    assert_eq!(run_json(folder, &["snapshot", "drop", "before"])["dropped"], true);
    let error = refusal(&run(folder, &["snapshot", "revert", "before"]), 1);
    assert!(error.contains("there is no snapshot before"), "{error}");
    drop(daemon);
}

#[test]
fn chain_time_is_set_and_advanced() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let daemon = start_with_data(folder, &["--at", "2026-01-31T12:00:00Z"]);
    assert_eq!(run_json(folder, &["advance", "7d"])["time"], "2026-02-07T12:00:00Z");
    run_json(folder, &["mine", "1"]);
    let block =
        document(&tao().args(["block", "--json", "--network", daemon.url()]).output().unwrap());
    assert_eq!(block["timestamp_ms"], 1_770_465_600_250_u64, "{block}");
    assert!(run_json(folder, &["status"])["clock_offset_ms"].is_i64());
    assert!(daemon.terminate().success());
    let error = refusal(&run(folder, &["start", "--at", "2026-01-31T12:00:00Z"]), 1);
    assert!(error.contains("--at is for a new chain"), "{error}");
}

#[test]
fn localnet_call_impersonates_any_account() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let daemon = start_with_data(folder, &[]);
    let remark = r#"{"remark": "hello"}"#;
    let remark_call = run_json(folder, &["as", BOB, "System.remark_with_event", remark]);
    assert_eq!(
        (&remark_call["success"], &remark_call["account"], &remark_call["block"]["number"]),
        (&json!(true), &json!(BOB), &json!(1))
    );
    assert!(remark_call["fee_rao"].as_u64().unwrap() > 0, "{remark_call}");
    assert!(remark_call["events"].to_string().contains("Remarked"), "{remark_call}");
    assert_eq!(run_json(folder, &["as", BOB, "--call", "0x00001468656c6c6f"])["success"], true);
    let sudo = r#"{"call": {"System": {"remark": {"remark": "root"}}}}"#;
    let error = refusal(&run(folder, &["as", BOB, "Sudo.sudo", sudo]), 5);
    assert!(error.contains("Sudo.RequireSudo"), "{error}");
    for (arguments, code, text) in [
        (&["as", BOB, "System.remark", "hello"][..], 2, "expected a JSON object"),
        (&["as", BOB, "remark"], 2, "expected a call such as"),
        (&["as", BOB, "System.nothing"], 1, "System.nothing"),
        (&["as", BOB, "--call", "0xffff"], 1, "malformed call"),
        (&["as", "Bob", "System.remark"], 2, "Bob"),
        (&["as", BOB], 2, "PALLET.CALL"),
    ] {
        let error = refusal(&run(folder, arguments), code);
        assert!(error.contains(text), "{arguments:?}: {error}");
    }
    drop(daemon);
}

#[test]
fn storage_item_is_set_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let daemon = start_with_data(folder, &[]);
    let tempo = || {
        let arguments = ["subnets", "hyperparameters", "59", "--json", "--network", daemon.url()];
        document(&tao().args(arguments).output().unwrap())["hyperparameters"]["tempo"].clone()
    };
    let before = tempo();
    let set = run_json(folder, &["set-storage", "SubtensorModule.Tempo", "59", "77"]);
    assert_eq!((&set["block"]["number"], &set["storage_value"]), (&json!(1), &json!("0x4d00")));
    assert_ne!(before, 77);
    assert_eq!(tempo(), 77);
    assert_eq!(
        run_json(folder, &["set-storage", "SubtensorModule.Tempo", "59", "--remove"])["value"],
        Value::Null
    );
    run_json(folder, &["set-storage", "SubtensorModule.Owner", ALICE, BOB]);
    for (arguments, code, text) in [
        (&["set-storage", "Tempo", "59", "7"][..], 2, "expected an item such as"),
        (&["set-storage", "SubtensorModule.Nothing", "7"], 1, "SubtensorModule.Nothing"),
        (&["set-storage", "SubtensorModule.Tempo", "7"], 1, "expected 1 key, not 0"),
        (&["set-storage", "SubtensorModule.Tempo", "59", "many"], 1, "an integer"),
        (&["set-storage", "System.Number", "7"], 1, "do not set items of System"),
        (&["set-storage", "SubtensorModule.Tempo"], 2, "VALUE"),
    ] {
        let error = refusal(&run(folder, arguments), code);
        assert!(error.contains(text), "{arguments:?}: {error}");
    }
    drop(daemon);
}

#[test]
fn reset_chain_starts_at_genesis() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(run_json(folder, &["reset", "--yes"])["removed"], false);
    let daemon = start_with_data(folder, &[]);
    run_json(folder, &["mine", "5"]);
    let error = refusal(&run(folder, &["reset"]), 2);
    assert!(error.contains("pass --yes"), "{error}");
    // `reset` stops the chain first.
    assert_eq!(run_json(folder, &["reset", "--yes"])["removed"], true);
    assert!(daemon.terminate().success());
    let daemon =
        start_with_data(folder, &["--endow", "5DAAnrj7VHTznn2AWBemMuyBwZWs6FNFjdyVXUeYum3PTXFy"]);
    assert_eq!(height(folder), 0);
    drop(daemon);
    // After a kill, a stale process record remains; it is ignored.
    run_json(folder, &["reset", "--yes"]);
}

#[test]
fn localnet_start_prints_document_for_scripts() {
    let mut command = tao();
    command.args(["localnet", "--memory", "--port", "0", "--json", "--block-time", "manual"]);
    command.args(["--endow", "5DAAnrj7VHTznn2AWBemMuyBwZWs6FNFjdyVXUeYum3PTXFy"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let result =
        serde_json::Deserializer::from_reader(stdout).into_iter::<Value>().next().unwrap().unwrap();
    let url = result["url"].as_str().unwrap();
    assert_eq!(url, format!("ws://127.0.0.1:{}", result["port"]));
    assert_eq!(result["http"], url.replace("ws", "http"));
    assert_eq!((&result["block_time"], &result["data"]), (&json!("manual"), &Value::Null));
    let accounts = result["accounts"].as_array().unwrap();
    assert_eq!((&accounts[0]["name"], &accounts[0]["address"]), (&json!("//Alice"), &json!(ALICE)));
    assert_eq!((accounts[1]["address"].as_str(), accounts.len()), (Some(BOB), 10));
    assert_eq!(accounts[9]["free_rao"], 1_000_000_000_000_000_u64);
    let stopped = tao().args(["localnet", "stop", "--network", url, "--json"]).output().unwrap();
    assert_eq!(document(&stopped)["stopped"], true);
    assert!(child.wait().unwrap().success());
    // No process is left.
    let error = refusal(&tao().args(["localnet", "status", "--network", url]).output().unwrap(), 3);
    assert!(error.contains("start one with `tao localnet`"), "{error}");
}

/// If another program has the port, or the node hangs, no command blocks forever or deletes the
/// state.
#[test]
fn unresponsive_node_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    std::fs::write(folder.join("running.json"), json!({"pid": 1, "url": url}).to_string()).unwrap();
    std::fs::write(folder.join("chain.redb"), "").unwrap();
    std::thread::scope(|scope| {
        let silent = "does not respond";
        for (arguments, code, text) in [
            (&["status"][..], 3, silent),
            (&["stop"][..], 3, silent),
            (&["reset", "--yes"][..], 3, silent),
            (&["snapshot", "load", "any"][..], 1, "stop it first"),
        ] {
            scope.spawn(move || {
                let error = refusal(&run(folder, arguments), code);
                assert!(error.contains(text), "{arguments:?}: {error}");
            });
        }
    });
    assert!(folder.join("chain.redb").exists());
    drop(listener);
}

#[test]
fn invalid_options_are_usage_errors() {
    for arguments in [
        &["--block-time", "12"][..],
        &["--keep-blocks", "100"],
        &["--at", "tomorrow"],
        &["advance", "7"],
        &["advance", "-7d"],
        &["--keep-blocks", "3000", "--archive"],
        &["--endow", "//Alice"],
        &["--allow-origin", "polkadot.js.org"],
        &["--allow-origin", "https://polkadot.js.org/apps"],
        &["mine", "0"],
        &["mine"],
        &["--memory", "--data", "x"],
    ] {
        refusal(&tao().arg("localnet").args(arguments).output().unwrap(), 2);
    }
}
