use std::time::Duration;

use taonet_chain::testing::{MockChain, Script};
use taonet_chain::{DispatchError, Effect, RefusalReason, calls};
use taonet_primitives::Rao;
use taonet_shield::ShieldKey;

use super::*;
use crate::exit::exit_code;

const UNPROXIED: ProxyArgs = ProxyArgs { proxy_for: None, announce: false, announced: false };
const QUIET: SubmitArgs = SubmitArgs {
    yes: false,
    dry_run: false,
    wait: Wait::Included,
    finalized: false,
    mev_shield: false,
    proxy: UNPROXIED,
};

fn alice() -> Keypair {
    Keypair::from_uri("//Alice").unwrap()
}

fn plan() -> Plan {
    let call = calls::transfer_keep_alive(alice().coldkey().into(), Rao::new(5));
    Plan::new(call, "Transfer".to_owned(), json!({ "amount_rao": 5 }))
}

async fn outcome_of(chain: &MockChain, args: &SubmitArgs) -> anyhow::Result<()> {
    args.submit(chain, &alice(), plan(), &Context::new(true)).await
}

#[tokio::test]
async fn each_outcome_has_its_message_and_exit_code() {
    let module = |name: &str| {
        Script::Fail(DispatchError::Module {
            pallet: "P".into(),
            name: name.into(),
            docs: "No.\u{1b}[2J".into(),
        })
    };
    for (script, code, words) in [
        (Script::Include, 0, &[][..]),
        (module("Odd"), 5, &["the call failed, finalized in block 1", "P.Odd: No.\\u{1b}[2J"]),
        (module("SubtokenDisabled"), 5, &["tao subnets start"]),
        (
            Script::Fail(DispatchError::Other("BadOrigin".into())),
            5,
            &["BadOrigin", "the subnet's owner"],
        ),
        (Script::Fail(DispatchError::Other("Token(FundsUnavailable)".into())), 5, &["tao balance"]),
        (
            Script::Refuse(RefusalReason::custom(6)),
            5,
            &["the rate limit is exceeded", "hint: wait", "150 blocks"],
        ),
        (
            Script::Refuse(RefusalReason::custom(12)),
            5,
            &["the rate limit for serving", "hint: wait", "50 blocks"],
        ),
        (Script::Refuse(RefusalReason::Payment), 5, &["tao balance"]),
        (
            Script::Refuse(RefusalReason::BadSignature),
            4,
            &["the signature does not match this call"],
        ),
        (Script::Drop, 6, &["dropped 0x", "expires after block 127"]),
        (Script::LoseResponse, 3, &["is unknown", "check the chain before you retry"]),
        (Script::LoseRequest, 3, &["is unknown"]),
        (Script::Refuse(RefusalReason::Banned), 6, &["is unknown", "banned", "after block 127"]),
    ] {
        let chain = MockChain::default();
        chain.script([script.clone()]);
        let result = outcome_of(&chain, &QUIET).await;
        assert_eq!(exit_code(&result), code, "{script:?}: {result:?}");
        let text = result.err().map(|error| format!("{error:#}")).unwrap_or_default();
        for word in words {
            assert!(text.contains(word), "{script:?}: {text}");
        }
    }
}

#[test]
fn unfinalized_call_fails_if_finality_was_requested() {
    let block = taonet_chain::Block {
        number: taonet_primitives::BlockNumber::new(7),
        hash: taonet_primitives::BlockHash::from_bytes([7; 32]),
    };
    let (fee, events) = (None, Vec::new());
    let inclusion = Inclusion { block, index: 1, fee, result: Ok(()), events };
    let outcome = Outcome::Included(inclusion);
    let signed = SignedExtrinsic {
        bytes: Vec::new(),
        hash: taonet_primitives::ExtrinsicHash::from_bytes([8; 32]),
        signer: alice().coldkey().into(),
        nonce: 0,
        birth: block,
        last_block: None,
        spec_version: 1,
    };
    assert!(report::check(&signed, &outcome, Until::Included).is_ok());
    let error = report::check(&signed, &outcome, Until::Finalized);
    assert_eq!(exit_code(&error), 6);
    let text = error.unwrap_err().to_string();
    assert!(text.contains("in block 7 ") && text.contains("not finalized"), "{text}");
    let document = report::document(&signed, &outcome, Until::Finalized);
    assert_eq!((&document["success"], &document["outcome"]), (&json!(false), &json!("included")));
    assert_eq!(document["error"]["name"], "NotFinal");
}

#[tokio::test]
async fn unreachable_chain_is_a_network_failure() {
    let chain = MockChain::default();
    chain.set_unreachable(true);
    assert_eq!(exit_code(&outcome_of(&chain, &QUIET).await), 3);
}

#[tokio::test]
async fn dry_run_sends_nothing() {
    let chain = MockChain::default();
    outcome_of(&chain, &SubmitArgs { dry_run: true, ..QUIET }).await.unwrap();
    assert_eq!(chain.submitted(), []);
    // The nonce is released.
    outcome_of(&chain, &QUIET).await.unwrap();
    assert_eq!(chain.included().iter().map(|extrinsic| extrinsic.nonce).collect::<Vec<_>>(), [0]);
}

#[tokio::test]
async fn call_that_would_fail_is_not_submitted() {
    let chain = MockChain::default();
    let error = DispatchError::Module {
        pallet: "P".into(),
        name: "SubtokenDisabled".into(),
        docs: "No.".into(),
    };
    let dry_run = SubmitArgs { dry_run: true, ..QUIET };
    for (result, code) in [(Ok(()), 0), (Err(error), 5)] {
        chain.simulate(Some(Effect { result, events: Vec::new() }));
        let result = outcome_of(&chain, &dry_run).await;
        assert_eq!(exit_code(&result), code, "{result:?}");
    }
    for args in [&dry_run, &QUIET] {
        let result = args.confirm_and_submit(&chain, &alice(), plan(), &Context::new(true)).await;
        let text = result.unwrap_err().to_string();
        assert!(
            text.contains("the call would fail: P.SubtokenDisabled")
                && text.contains("tao subnets start"),
            "{text}"
        );
    }
    assert_eq!(chain.submitted(), []);
}

#[tokio::test]
async fn missing_mev_shield_key_sends_nothing() {
    let chain = MockChain::default();
    for args in [
        SubmitArgs { mev_shield: true, ..QUIET },
        SubmitArgs { mev_shield: true, dry_run: true, ..QUIET },
    ] {
        let error = outcome_of(&chain, &args).await.unwrap_err().to_string();
        assert!(
            error.contains("no key of a MEV shield") && error.contains("without --mev-shield"),
            "{error}"
        );
    }
    assert_eq!(chain.submitted(), []);
}

#[tokio::test]
async fn shielded_call_is_only_sent_encrypted() {
    let chain = MockChain::new(Duration::from_secs(1));
    chain.set_shield_key(Some(ShieldKey::from_seed([1; 32], [2; 32]).public()));
    let mining = chain.clone();
    let mining = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            mining.mine(1);
        }
    });
    // The authors of the mock decrypt nothing.
    let error = outcome_of(&chain, &SubmitArgs { mev_shield: true, ..QUIET })
        .await
        .unwrap_err()
        .to_string();
    mining.abort();
    assert!(
        error.contains("includes the encrypted call") && error.contains("--dry-run"),
        "{error}"
    );
    let submitted = chain.submitted();
    let [submission] = submitted.as_slice() else { panic!("{submitted:?}") };
    let call = submission.call.as_ref().unwrap();
    assert_eq!((call.pallet(), call.name()), ("MevShield", "submit_encrypted"));
}

#[tokio::test]
async fn ciphertext_for_old_key_is_refused() {
    let chain = MockChain::default();
    chain.set_shield_key(Some(ShieldKey::from_seed([1; 32], [2; 32]).public()));
    chain.script([Script::Refuse(RefusalReason::custom(24))]);
    let error = outcome_of(&chain, &SubmitArgs { mev_shield: true, ..QUIET })
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("encrypted to another key") && error.contains("every block; retry"),
        "{error}"
    );
    chain.set_shield_key(Some(vec![0; 3]));
    let error = outcome_of(&chain, &SubmitArgs { mev_shield: true, ..QUIET })
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("1184 bytes, got 3"), "{error}");
}

#[tokio::test]
async fn proxy_options_select_the_submitted_call() {
    let bob: Account = "//Bob".parse().unwrap();
    let direct = ProxyArgs { proxy_for: Some(bob), ..UNPROXIED };
    for (proxy, name) in [
        (ProxyArgs { announce: true, ..direct }, "announce"),
        (ProxyArgs { announced: true, ..direct }, "proxy_announced"),
        (direct, "proxy"),
        (UNPROXIED, "transfer_keep_alive"),
    ] {
        let chain = MockChain::default();
        let args = SubmitArgs { proxy, ..QUIET };
        let real = args.proxy_for();
        let coldkey = real.map_or_else(|| alice().coldkey(), |_| bob.coldkey());
        assert_eq!(args.coldkey(&alice()), coldkey);
        let plan = args.proxy.wrap_plan(&chain, &alice(), plan()).await.unwrap();
        assert_eq!(
            (plan.call.name(), plan.details.get("proxy_for")),
            (name, real.map(|real| json!(real)).as_ref())
        );
        outcome_of(&chain, &args).await.unwrap();
        let submitted = chain.submitted();
        assert_eq!(submitted[0].call.as_ref().unwrap().name(), name);
    }
}

#[test]
fn wait_option_selects_the_awaited_state() {
    for (args, until) in [
        (QUIET, Until::Included),
        (SubmitArgs { wait: Wait::Finalized, ..QUIET }, Until::Finalized),
        (SubmitArgs { finalized: true, ..QUIET }, Until::Finalized),
    ] {
        assert_eq!(args.until(), until, "{args:?}");
    }
}

#[tokio::test]
async fn yes_skips_the_confirmation() {
    let chain = MockChain::default();
    let args = SubmitArgs { yes: true, ..QUIET };
    args.confirm_and_submit(&chain, &alice(), plan(), &Context::new(true)).await.unwrap();
    assert_eq!(chain.included().len(), 1);
}

#[tokio::test]
async fn outcome_document_has_same_keys_for_every_outcome() {
    let chain = MockChain::default();
    let scripts =
        [Script::Include, Script::Drop, Script::Fail(DispatchError::Other("BadOrigin".into()))];
    chain.script(scripts.clone());
    let (mut keys, mut names) = (Vec::new(), Vec::new());
    for _ in scripts {
        let sent = send(&chain, &alice(), &plan().call, Follow::default(), &Context::new(true))
            .await
            .unwrap();
        let document = report::document(&sent.extrinsic, &sent.outcome, Until::Included);
        keys.push(document.as_object().unwrap().keys().cloned().collect::<Vec<_>>());
        names.push(document["error"]["name"].clone());
    }
    let expected = [
        "success",
        "outcome",
        "error",
        "extrinsic",
        "signer",
        "nonce",
        "block",
        "index",
        "fee_rao",
        "events",
    ];
    assert!(keys.iter().all(|keys| keys == &expected), "{keys:?}");
    assert_eq!(names, [json!(null), json!("dropped"), json!("BadOrigin")]);
}
