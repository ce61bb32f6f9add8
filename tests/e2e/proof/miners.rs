//! A validator and a miner without a chain.

use serde_json::json;
use tempfile::TempDir;

use super::{BOB, compile, miner, miner_report, proof, text, validator};
use crate::support::{Daemon, document, free_address, refusal};

#[test]
fn validator_verifies_proofs_of_miner() {
    let folder = TempDir::new().unwrap();
    compile(folder.path(), "diabetes-regression", "stark");
    let circuits = folder.path().join("circuits");
    let daemon = Daemon::start(&mut miner("//Bob", &circuits));
    let address = daemon.url().trim_start_matches("http://").to_owned();
    let (state, bundles) = (folder.path().join("state"), folder.path().join("bundles"));
    let mut first = validator("//Alice", &circuits, &state);
    let actual =
        miner_report(first.args(["--bundles", text(&bundles)]), &format!("{BOB}@{address}"), "3");
    assert_eq!(
        (&actual["hotkey"], &actual["verified"], &actual["faults"]),
        (&json!(BOB), &json!(3), &json!({}))
    );
    let bundle = bundles.join(format!("{BOB}.json"));
    assert_eq!(document(&proof(&["verify", text(&bundle)]))["miner"], BOB);
    // The miner's own path, and that to nowhere.
    let probe = |target: &str| {
        let mut command = miner("//Bob", &circuits);
        command.args(["--self-probe", "--probe-target", target, "--json"]).output().unwrap()
    };
    let actual = document(&probe(&address));
    assert_eq!((&actual["works"], &actual["steps"][1]["status"]), (&json!(true), &json!(422)));
    refusal(&probe(&free_address()), 3);
    // Scores outlive the validator.
    let actual = miner_report(
        &mut validator("//Alice", &circuits, &state),
        &format!("{BOB}@{address}"),
        "2",
    );
    assert_eq!(actual["verified"], 5);
    assert!(daemon.terminate().success());
    let actual = miner_report(
        &mut validator("//Alice", &circuits, &state),
        &format!("{BOB}@{address}"),
        "1",
    );
    assert_eq!((&actual["verified"], &actual["faults"]), (&json!(5), &json!({ "unreachable": 1 })));
}

#[test]
fn miner_refuses_requests_signed_for_another_hotkey() {
    let folder = TempDir::new().unwrap();
    compile(folder.path(), "diabetes-regression", "stark");
    let circuits = folder.path().join("circuits");
    let charlie = Daemon::start(&mut miner("//Charlie", &circuits));
    let address = charlie.url().trim_start_matches("http://").to_owned();
    let state = folder.path().join("state");
    // Charlie refuses what is signed for Bob.
    let actual = miner_report(
        &mut validator("//Alice", &circuits, &state),
        &format!("{BOB}@{address}"),
        "1",
    );
    assert_eq!(actual["faults"], json!({ "refused": 1 }));
}

#[test]
fn miners_respond_over_quic() {
    let folder = TempDir::new().unwrap();
    compile(folder.path(), "diabetes-regression", "stark");
    let circuits = folder.path().join("circuits");
    let address = free_address();
    let port = address.rsplit(':').next().unwrap();
    let daemon = Daemon::start(miner("//Bob", &circuits).args(["--quic-port", port]));
    let state = folder.path().join("state");
    let peer = format!("{BOB}@quic://{address}");
    let actual = miner_report(&mut validator("//Alice", &circuits, &state), &peer, "3");
    assert_eq!((&actual["verified"], &actual["faults"]), (&json!(3), &json!({})));
    assert!(daemon.terminate().success());
}
