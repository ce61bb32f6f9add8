//! Accounts whose calls several signatories approve.

use serde_json::{Value, json};

use super::{ALICE, Chain, failure};
use crate::support::{document, refusal};

const DAVE: &str = "5DAAnrj7VHTznn2AWBemMuyBwZWs6FNFjdyVXUeYum3PTXFy";
const GROUP: [&str; 4] = ["--signatories", "//Alice,//Bob,//Charlie", "--threshold", "2"];
const TRANSFER: [&str; 6] =
    ["multisig", "call", "Balances.transfer_keep_alive", "dest=//Dave", "value=3tao", "--yes"];

#[test]
fn two_of_three_signatories_make_a_call() {
    let chain = Chain::start();
    let account = chain.run_json(&[&["multisig", "address"][..], &GROUP].concat())["account"]
        .as_str()
        .unwrap()
        .to_owned();
    chain.alice(&["transfer", &account, "5", "--yes"]);
    let (dave, alice) = (chain.free(DAVE), chain.free(ALICE));
    let as_signatory = |uri: &str, arguments: &[&str]| {
        chain.tao(&[arguments, &GROUP].concat(), &["--key-uri", uri, "--json"])
    };
    let calls =
        || chain.run_json(&["multisig", "list", &account])["calls"].as_array().unwrap().clone();
    assert_eq!(calls(), Vec::<Value>::new());

    let proposal = document(&as_signatory("//Alice", &TRANSFER));
    assert_eq!(
        (&proposal["account"], &proposal["approvals_before"], &proposal["executed"]),
        (&json!(account), &json!(0), &json!(false)),
        "{proposal}"
    );
    assert!(chain.free(ALICE) < alice, "the deposit is reserved");
    let pending = calls();
    assert_eq!(
        (
            pending.len(),
            &pending[0]["call_hash"],
            &pending[0]["depositor"],
            &pending[0]["approvals"]
        ),
        (1, &proposal["call_hash"], &json!(ALICE), &json!([ALICE])),
        "{pending:?}"
    );
    assert_eq!(pending[0]["height"], proposal["block"]["number"]);
    let printed =
        String::from_utf8(chain.tao(&["multisig", "list", &account], &[]).stdout).unwrap();
    assert!(printed.contains(proposal["call_hash"].as_str().unwrap()), "{printed}");

    // The same signatory again, and an account that is no signatory.
    let (code, report) = failure(&as_signatory("//Alice", &TRANSFER));
    assert_eq!(
        (code, &report["error"]["name"]),
        (5, &json!("Multisig.AlreadyApproved")),
        "{report}"
    );
    let error = refusal(&as_signatory("//Dave", &TRANSFER), 1);
    assert!(error.contains("is not one of the signatories"), "{error}");
    assert_eq!(chain.free(DAVE), dave);

    let executed = document(&as_signatory("//Bob", &TRANSFER));
    assert_eq!(
        (&executed["approvals_before"], &executed["executed"]),
        (&json!(1), &json!(true)),
        "{executed}"
    );
    assert_eq!((chain.free(DAVE), calls()), (dave + 3_000_000_000, Vec::new()));
}

#[test]
fn cancelled_or_failed_multisig_call_is_reported() {
    let chain = Chain::start();
    let as_signatory = |uri: &str, arguments: &[&str]| {
        chain.tao(&[arguments, &GROUP].concat(), &["--key-uri", uri, "--json"])
    };
    let hash =
        document(&as_signatory("//Charlie", &TRANSFER))["call_hash"].as_str().unwrap().to_owned();
    let cancel = ["multisig", "cancel", hash.as_str(), "--yes"];
    let (code, report) = failure(&as_signatory("//Alice", &cancel));
    assert_eq!((code, &report["error"]["name"]), (5, &json!("Multisig.NotOwner")), "{report}");
    let cancelled = document(&as_signatory("//Charlie", &cancel));
    assert_eq!(
        (&cancelled["success"], &cancelled["call_hash"]),
        (&json!(true), &json!(hash)),
        "{cancelled}"
    );
    let error = refusal(&as_signatory("//Charlie", &cancel), 1);
    assert!(error.contains("does not wait for approvals"), "{error}");

    // The account has no TAO: the second approval makes the call, which fails.
    document(&as_signatory("//Alice", &TRANSFER));
    let (code, report) = failure(&as_signatory("//Bob", &TRANSFER));
    assert_eq!((code, &report["success"]), (5, &json!(false)), "{report}");

    for (group, words) in [
        (["--signatories", "//Alice,//Alice", "--threshold", "2"], "exceeds"),
        (["--signatories", "//Alice,//Bob", "--threshold", "1"], "1 is not in"),
        (["--signatories", "//Alice,Bob", "--threshold", "2"], "'Bob'"),
    ] {
        let error = refusal(&chain.tao(&[&["multisig", "address"][..], &group].concat(), &[]), 2);
        assert!(error.contains(words), "{error}");
    }
}
