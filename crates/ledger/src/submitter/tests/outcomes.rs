//! Tests of the reaction to each outcome on the chain.

use super::*;

#[tokio::test]
async fn extrinsic_of_unknown_outcome_is_resent() {
    for script in [Script::LoseRequest, Script::LoseResponse, Script::Drop] {
        let fixture = Fixture::plain();
        let submitter = fixture.start().await;
        fixture.chain.script([script.clone()]);
        let first = submitter.submit(fixture.weights().await).await.unwrap();
        assert!(submit_state(&first).is_some_and(State::is_pending), "{script:?}");
        drop(submitter);
        let second = advance(&fixture.start().await).await;
        assert!(second.is_done(), "{script:?}");
        assert_eq!(first.submit.unwrap().extrinsic, second.submit.unwrap().extrinsic);
        assert_eq!(fixture.chain.included().len(), 1, "{script:?}");
    }
}

#[tokio::test]
async fn unreachable_chain_signs_nothing() {
    let fixture = Fixture::plain();
    let submitter = fixture.start().await;
    let weights = fixture.weights().await;
    fixture.chain.set_unreachable(true);
    let error = submitter.submit(weights.clone()).await.unwrap_err();
    assert!(matches!(error, SubmitError::Chain(_)) && error.is_retryable());
    fixture.chain.set_unreachable(false);
    assert!(submitter.submit(weights).await.unwrap().is_done());
}

#[tokio::test]
async fn included_extrinsic_is_done_once_final() {
    let fixture = Fixture::plain();
    fixture.chain.set_finality_lag(3);
    let submitter = fixture.start().await;
    let submission = submitter.submit(fixture.weights().await).await.unwrap();
    assert_eq!(submit_state(&submission), Some(State::Included));
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Included));
    // Without a response the known state remains.
    fixture.chain.set_unreachable(true);
    assert!(matches!(submitter.advance().await.unwrap().remove(0).1, Err(SubmitError::Chain(_))));
    fixture.chain.set_unreachable(false);
    fixture.chain.mine(3);
    assert!(advance(&submitter).await.is_done());
}

#[tokio::test]
async fn expired_extrinsic_is_re_signed_only_within_its_epoch() {
    let mut fixture = Fixture::plain();
    // An era of eight blocks.
    fixture.chain.mine(u32::from(TEMPO) - 18);
    fixture.chain.script([Script::LoseRequest]);
    let submitter = fixture.start().await;
    let lost = submitter.submit(fixture.weights().await).await.unwrap();
    fixture.enter_next_epoch().await;
    assert_eq!(
        submit_state(&advance(&submitter).await),
        Some(State::Unknown),
        "its era is not over"
    );
    assert_eq!(fixture.calls().len(), 0, "nothing of a past epoch is sent again");
    fixture.chain.mine(8);
    let missed = advance(&submitter).await;
    assert_eq!(
        (submit_state(&missed), missed.intent.state),
        (Some(State::Expired), IntentState::Missed)
    );
    assert!(submitter.advance().await.unwrap().is_empty());
    assert!(fixture.chain.included().is_empty());

    // The same case, but the epoch continues.
    let mut fixture = Fixture::plain();
    fixture.chain.mine(u32::from(TEMPO) - 18);
    fixture.chain.script([Script::LoseRequest]);
    let submitter = fixture.start().await;
    assert_eq!(lost.intent.plan.key.epoch, 7);
    submitter.submit(fixture.weights().await).await.unwrap();
    fixture.rules.schedule.last_epoch = fixture.chain.head().await.unwrap().number;
    fixture.chain.set_weight_rules(NETUID, fixture.rules.clone());
    fixture.chain.mine(8);
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Expired));
    assert!(advance(&submitter).await.is_done());
    assert_eq!(fixture.chain.included().len(), 1);
}

#[tokio::test]
async fn superseded_extrinsic_is_re_signed() {
    let fixture = Fixture::plain();
    fixture.chain.script([Script::LoseRequest]);
    let submitter = fixture.start().await;
    submitter.submit(fixture.weights().await).await.unwrap();
    drop(submitter);
    // Simulates another program that signs with the same hotkey.
    let alice = Keypair::from_uri("//Alice").unwrap();
    let call = taonet_chain::calls::set_mechanism_weights(NetUid(1), MECH, &[], 0);
    let other = fixture.chain.sign(&call, &alice, SignOptions::default()).await.unwrap();
    assert!(fixture.chain.submit(&other, Follow::default()).await.is_success());
    let submitter = fixture.start().await;
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Superseded));
    let done = advance(&submitter).await;
    assert!(done.is_done());
    assert_eq!(fixture.chain.included().len(), 2);
    assert_eq!(submitter.ledger().extrinsics(&done.intent, Step::Submit).await.unwrap().len(), 2);
}

#[tokio::test]
async fn refused_weights_are_not_resent_without_retry() {
    let fixture = Fixture::plain();
    let submitter = fixture.start().await;
    fixture.chain.script([Script::Refuse(rate_limit()), Script::Refuse(rate_limit())]);
    let refused = submitter.submit(fixture.weights().await).await.unwrap();
    let key = refused.intent.plan.key;
    let unknown = IntentKey { epoch: 6, ..key };
    assert!(matches!(submitter.retry(&unknown).await, Err(SubmitError::NothingToRetry(6))));
    let outcome = |submission: &Submission| {
        submission.submit.as_ref().and_then(|signed| signed.outcome.clone())
    };
    assert_eq!(outcome(&refused), Some(Outcome::Invalid(rate_limit())));
    assert!(refused.is_refused());
    // None of these calls signs or sends anything.
    assert_eq!(
        outcome(&submitter.submit(fixture.weights().await).await.unwrap()),
        outcome(&refused)
    );
    assert_eq!(outcome(&advance(&submitter).await), outcome(&refused));
    assert_eq!(fixture.calls().len(), 1);

    let retried = submitter.retry(&key).await.unwrap();
    assert_eq!(submit_state(&retried), Some(State::Invalid));
    let nonces: Vec<_> = fixture.chain.submitted().iter().map(|one| one.extrinsic.nonce).collect();
    assert_eq!(nonces, [0, 0], "at most one of the two can ever be in a block");
    assert!(submitter.retry(&key).await.unwrap().is_done());
    assert_eq!(
        submitter.retry(&key).await.unwrap(),
        submitter.submit(fixture.weights().await).await.unwrap()
    );
    assert_eq!(fixture.chain.included().len(), 1);
}

#[tokio::test]
async fn retry_waits_for_refused_extrinsic_that_may_be_included() {
    let fixture = Fixture::plain();
    let submitter = fixture.start().await;
    fixture.chain.script([Script::Refuse(rate_limit())]);
    let submission = submitter.submit(fixture.weights().await).await.unwrap();
    let (key, refused) = (submission.intent.plan.key, submission.submit.unwrap());
    // A pool had accepted the bytes after all.
    assert!(fixture.chain.submit(&refused.extrinsic, Follow::default()).await.is_success());
    let error = submitter.retry(&key).await.unwrap_err();
    assert!(matches!(error, SubmitError::Unsettled { state: State::Invalid, .. }), "{error}");
    assert!(error.to_string().contains("take effect up to block "), "{error}");
    fixture.chain.mine(128);
    assert!(advance(&submitter).await.is_done());
    assert_eq!(fixture.chain.included().len(), 1);
}

#[tokio::test]
async fn failed_call_is_re_signed_once_its_block_is_final() {
    let fixture = Fixture::plain();
    fixture.chain.set_finality_lag(2);
    let submitter = fixture.start().await;
    fixture.chain.script([Script::Fail(too_fast())]);
    let failed = submitter.submit(fixture.weights().await).await.unwrap();
    assert_eq!(submit_state(&failed), Some(State::Included));
    let key = failed.intent.plan.key;
    assert!(matches!(
        submitter.retry(&key).await,
        Err(SubmitError::Unsettled { state: State::Included, .. })
    ));
    fixture.chain.mine(2);
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Failed));
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Failed));
    let retried = submitter.retry(&key).await.unwrap();
    assert_eq!(submit_state(&retried), Some(State::Included));
    fixture.chain.mine(2);
    assert!(advance(&submitter).await.is_done());
    assert_eq!(fixture.chain.included().len(), 2);
}

/// A failed extrinsic, or one that can never be included, does not prevent newer weights in the
/// same epoch.
#[tokio::test]
async fn newer_weights_replace_those_without_effect() {
    for script in [Script::Fail(too_fast()), Script::LoseRequest] {
        let mut fixture = Fixture::plain();
        fixture.chain.mine(u32::from(TEMPO) - 18);
        fixture.chain.set_finality_lag(2);
        let submitter = fixture.start().await;
        // Tracking resends a lost extrinsic.
        let times = if script == Script::LoseRequest { 2 } else { 1 };
        fixture.chain.script(vec![script.clone(); times]);
        let first = submitter.submit(fixture.weights().await).await.unwrap();
        let newer = NewWeights { weights: vec![(Uid(8), 5)], ..fixture.weights().await };
        let bound = submitter.submit(newer.clone()).await.unwrap();
        assert_eq!(
            bound.intent.plan.weights, first.intent.plan.weights,
            "{script:?}: it may still have its effect"
        );

        // The same epoch continues until the era is over and finalized.
        fixture.rules.schedule.last_epoch = fixture.chain.head().await.unwrap().number;
        fixture.chain.set_weight_rules(NETUID, fixture.rules.clone());
        if script == Script::LoseRequest {
            let mut signed = bound.submit.unwrap();
            submitter.ledger().set_extrinsic_state(&mut signed, State::Expired).await.unwrap();
        }
        fixture.chain.mine(12);
        let key = first.intent.plan.key;
        if matches!(script, Script::Fail(_)) {
            assert_eq!(submit_state(&advance(&submitter).await), Some(State::Failed));
            assert_eq!(
                submitter.submit(newer.clone()).await.unwrap().intent.plan.weights,
                newer.weights
            );
            submitter.retry(&key).await.unwrap();
        } else {
            submitter.submit(newer.clone()).await.unwrap();
        }
        fixture.chain.mine(2);
        let done = advance(&submitter).await;
        assert!(done.is_done(), "{script:?}: {done:?}");
        assert_eq!((done.intent.id, &done.intent.plan.weights), (first.intent.id, &newer.weights));
        assert_ne!(
            first.submit.unwrap().extrinsic,
            done.submit.unwrap().extrinsic,
            "the newer ones were signed"
        );
    }
}

/// The SQL statement that inserts intents must agree with [`State::is_void`].
#[tokio::test]
async fn only_void_extrinsics_can_be_replaced() {
    let fixture = Fixture::plain();
    let submitter = fixture.start().await;
    let submission = submitter.submit(fixture.weights().await).await.unwrap();
    let (mut signed, plan) = (submission.submit.unwrap(), submission.intent.plan);
    let mut uid = 0;
    for state in [
        State::Signed,
        State::Sent,
        State::Unknown,
        State::Dropped,
        State::Included,
        State::Finalized,
        State::Failed,
        State::Superseded,
        State::Expired,
        State::Invalid,
        State::Withdrawn,
        State::Lost,
    ] {
        submitter.ledger().set_extrinsic_state(&mut signed, state).await.unwrap();
        uid += 1;
        let newer = crate::Plan { weights: vec![(Uid(uid), 1)], ..plan.clone() };
        let stored_intent = submitter.ledger().store_intent(&newer).await.unwrap();
        assert_eq!(stored_intent.plan.weights == newer.weights, state.is_void(), "{state}");
        assert_eq!(
            submitter.ledger().may_take_effect(&stored_intent).await.unwrap(),
            !state.is_void(),
            "{state}"
        );
    }
}
