//! Tests of submissions at the end of an epoch.

use super::*;

/// Mines until `blocks_left` blocks remain in the first epoch, whose last block is 99.
fn set_blocks_left(fixture: &Fixture, blocks_left: u32) {
    fixture.chain.mine(99 - blocks_left - 10);
}

#[tokio::test]
async fn era_ends_before_the_next_epoch() {
    for (lag, blocks_left, last_block) in
        [(0, 89, 73), (0, 63, 99), (0, 40, 90), (3, 15, 96), (3, 7, 96), (0, 3, 99)]
    {
        let fixture = Fixture::plain();
        fixture.chain.set_finality_lag(lag);
        set_blocks_left(&fixture, blocks_left);
        let submission = fixture.start().await.submit(fixture.weights().await).await.unwrap();
        let signed = submission.submit.unwrap().extrinsic;
        assert_eq!(signed.last_block, Some(BlockNumber::new(last_block)), "{lag} {blocks_left}");
        assert_eq!(submission.intent.plan.key.epoch, 7);
    }
}

#[tokio::test]
async fn weights_with_too_few_blocks_left_are_planned_for_next_epoch() {
    for (lag, blocks_left) in [(0, 2), (0, 1), (3, 3), (6, 5)] {
        let mut fixture = Fixture::plain();
        fixture.chain.set_finality_lag(lag);
        set_blocks_left(&fixture, blocks_left);
        let submitter = fixture.start().await;
        let planned = submitter.submit(fixture.weights().await).await.unwrap();
        assert_eq!(
            (planned.intent.plan.key.epoch, &planned.submit),
            (8, &None),
            "{lag} {blocks_left}"
        );
        assert!(fixture.calls().is_empty());
        assert_eq!(advance(&submitter).await.submit, None, "not yet");
        fixture.chain.mine(blocks_left);
        fixture.enter_next_epoch().await;
        let submission = advance(&submitter).await;
        assert!(submission.submit.unwrap().outcome.unwrap().is_success());
        assert_eq!(fixture.calls().len(), 1);
    }
}

#[tokio::test]
async fn second_submission_in_epoch_returns_the_first() {
    let fixture = Fixture::plain();
    let submitter = fixture.start().await;
    let first = submitter.submit(fixture.weights().await).await.unwrap();
    fixture.chain.mine(87);
    assert_eq!(submitter.submit(fixture.weights().await).await.unwrap(), first);
    assert_eq!(fixture.calls().len(), 1);
}

#[tokio::test]
async fn epochs_shorter_than_eras_get_weights() {
    let mut fixture = Fixture::plain();
    fixture.rules.schedule.tempo = 2;
    fixture.enter_next_epoch().await;
    assert!(fixture.start().await.submit(fixture.weights().await).await.unwrap().is_done());
}

#[tokio::test]
async fn node_behind_the_ledger_is_an_error() {
    let fixture = Fixture::plain();
    fixture.chain.set_finality_lag(5);
    fixture.chain.mine(5);
    let submitter = fixture.start().await;
    submitter.submit(fixture.weights().await).await.unwrap();
    fixture.chain.revert(2);
    let error = submitter.submit(fixture.weights().await).await.unwrap_err();
    assert!(matches!(error, SubmitError::Behind { .. }) && error.is_retryable(), "{error}");
    fixture.chain.mine(2);
    submitter.submit(fixture.weights().await).await.unwrap();
}
