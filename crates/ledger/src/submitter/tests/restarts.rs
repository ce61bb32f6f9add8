//! Tests of resuming after a restart.

use super::*;

#[tokio::test]
async fn hash_commit_is_revealed_after_a_restart() {
    let mut fixture = Fixture::by_hash();
    let submitter = fixture.start().await;
    let commit = submitter.submit(fixture.weights().await).await.unwrap();
    assert_eq!(commit.intent.commit_epoch, Some(7));
    assert_eq!(advance(&submitter).await.reveal, None, "too early");
    submitter.close().await.unwrap();
    fixture.enter_next_epoch().await;
    let submitter = fixture.start().await;
    let done = advance(&submitter).await;
    assert!(done.is_done());
    assert_eq!(fixture.calls(), ["commit_mechanism_weights", "reveal_mechanism_weights"]);
    let expected = crate::form::reveal_call(&commit.intent.plan);
    assert_eq!(
        fixture.chain.submitted().last().unwrap().call,
        expected,
        "with the stored salt and weights"
    );
    assert!(submitter.advance().await.unwrap().is_empty());
}

#[tokio::test]
async fn reveal_after_its_epoch_is_missed() {
    let mut fixture = Fixture::by_hash();
    let submitter = fixture.start().await;
    submitter.submit(fixture.weights().await).await.unwrap();
    fixture.enter_next_epoch().await;
    fixture.enter_next_epoch().await;
    let missed = advance(&submitter).await;
    assert_eq!((missed.reveal, missed.intent.state), (None, IntentState::Missed));
    assert_eq!(fixture.calls(), ["commit_mechanism_weights"]);
}

#[tokio::test]
async fn refused_reveal_can_be_retried_in_its_epoch() {
    let mut fixture = Fixture::by_hash();
    let submitter = fixture.start().await;
    let commit = submitter.submit(fixture.weights().await).await.unwrap();
    fixture.enter_next_epoch().await;
    fixture.chain.script([Script::Refuse(RefusalReason::custom(17))]);
    assert_eq!(advance(&submitter).await.reveal.unwrap().state, State::Invalid);
    assert_eq!(advance(&submitter).await.reveal.unwrap().state, State::Invalid);
    let done = submitter.retry(&commit.intent.plan.key).await.unwrap();
    assert!(done.is_done());
    assert_eq!(fixture.calls().len(), 3);
}

#[tokio::test]
async fn stale_first_weights_after_start_are_refused() {
    let mut fixture = Fixture::plain();
    fixture.chain.mine(200);
    fixture.enter_next_epoch().await;
    let head = fixture.chain.head().await.unwrap().number;
    let weights = fixture.weights().await;
    let weights_of_age = |age| NewWeights { state_block: head.minus(age), ..weights.clone() };
    let submitter = fixture.start().await;
    let error = submitter.submit(weights_of_age(101)).await.unwrap_err();
    assert!(matches!(error, SubmitError::StaleState { age: 101, tempo: TEMPO, .. }), "{error}");
    // Nothing was stored for the stale weights, so fresh weights can still be submitted in this
    // epoch.
    assert!(submitter.submit(weights_of_age(100)).await.unwrap().is_done());
    fixture.enter_next_epoch().await;
    assert!(
        submitter.submit(weights_of_age(190)).await.unwrap().is_done(),
        "later ones may follow from the same state"
    );
}

#[tokio::test]
async fn crash_at_any_step_neither_loses_nor_repeats_weights() {
    use StepProgress::{
        ExtrinsicStored, IntentStored, OutcomeStored, ResponseReceived, Sending, Signed,
    };
    for progress in
        [IntentStored, Signed, ExtrinsicStored, Sending, ResponseReceived, OutcomeStored]
    {
        let fixture = Fixture::plain();
        fixture.crash(Step::Submit, progress, Some(fixture.weights().await)).await;
        let was_sent = matches!(progress, ResponseReceived | OutcomeStored);
        assert_eq!(fixture.calls().len(), usize::from(was_sent), "{progress:?}");
        let submitter = fixture.start().await;
        let done = match submitter.advance().await.unwrap().pop() {
            Some((_, submission)) => submission.unwrap(),
            None => submitter.submit(fixture.weights().await).await.unwrap(),
        };
        assert!(done.is_done(), "{progress:?}");
        assert_eq!(fixture.chain.included().len(), 1, "{progress:?}");
        assert_eq!(
            submitter.ledger().extrinsics(&done.intent, Step::Submit).await.unwrap().len(),
            1,
            "{progress:?}"
        );
    }
}

#[tokio::test]
async fn crash_at_any_step_of_reveal_neither_loses_nor_repeats_it() {
    use StepProgress::{ExtrinsicStored, OutcomeStored, ResponseReceived, Sending, Signed};
    for progress in [Signed, ExtrinsicStored, Sending, ResponseReceived, OutcomeStored] {
        let mut fixture = Fixture::by_hash();
        fixture.start().await.submit(fixture.weights().await).await.unwrap();
        fixture.enter_next_epoch().await;
        fixture.crash(Step::Reveal, progress, None).await;
        let submitter = fixture.start().await;
        assert!(advance(&submitter).await.is_done(), "{progress:?}");
        assert_eq!(fixture.chain.included().len(), 2, "{progress:?}");
    }
}

#[tokio::test]
async fn unsigned_intent_is_replaced_by_newer_weights() {
    let fixture = Fixture::plain();
    fixture.crash(Step::Submit, StepProgress::IntentStored, Some(fixture.weights().await)).await;
    let newer = NewWeights { weights: vec![(Uid(8), 5)], ..fixture.weights().await };
    let done = fixture.start().await.submit(newer.clone()).await.unwrap();
    assert_eq!(done.intent.plan.weights, newer.weights);
    assert_eq!(done.intent.id, 1);
}

#[tokio::test]
async fn unsent_extrinsic_is_withdrawn_after_its_epoch() {
    let mut fixture = Fixture::plain();
    fixture.crash(Step::Submit, StepProgress::ExtrinsicStored, Some(fixture.weights().await)).await;
    fixture.enter_next_epoch().await;
    let missed = advance(&fixture.start().await).await;
    assert_eq!(
        (submit_state(&missed), missed.intent.state),
        (Some(State::Withdrawn), IntentState::Missed)
    );
    assert!(fixture.calls().is_empty());
}

#[tokio::test]
async fn timelocked_bytes_are_not_encrypted_again() {
    let fixture = Fixture::new(Some(CommitReveal { version: 4, period_epochs: 1 }));
    fixture
        .crash(Step::Submit, StepProgress::ResponseReceived, Some(fixture.weights().await))
        .await;
    assert!(advance(&fixture.start().await).await.is_done());
    let sent = fixture.chain.submitted();
    assert_eq!((sent.len(), &sent[0]), (2, &sent[1]));
}
