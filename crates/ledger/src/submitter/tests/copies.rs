//! Tests of ledgers that are older than the chain: restored backups and copies on another machine.

use super::*;

/// A copy of a ledger's directory.
fn copy(directory: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

impl Fixture {
    /// Replaces the ledger with a copy.
    fn restore(&mut self, copy: TempDir) {
        self.directory = copy;
    }
}

#[tokio::test]
async fn restored_ledger_does_not_submit_epoch_again() {
    let timelocked = Fixture::new(Some(CommitReveal { version: 4, period_epochs: 1 }));
    for mut fixture in [Fixture::plain(), Fixture::by_hash(), timelocked] {
        fixture.start().await.close().await.unwrap();
        let backup = copy(fixture.path());
        let submitter = fixture.start().await;
        submitter.submit(fixture.weights().await).await.unwrap();
        submitter.close().await.unwrap();
        fixture.restore(backup);
        let submitter = fixture.start().await;
        let block = fixture.chain.head().await.unwrap().number;
        let error = submitter.submit(fixture.weights().await).await.unwrap_err();
        let is_expected = matches!(error, SubmitError::AlreadySubmitted { netuid: NETUID, mech: MECH, block: at } if at == block);
        assert!(is_expected && !error.is_retryable(), "{error}");
        assert_eq!(fixture.calls().len(), 1);
        // The other mechanism and the next epoch are not affected.
        submitter.submit(NewWeights { mech: MechId(1), ..fixture.weights().await }).await.unwrap();
        fixture.enter_next_epoch().await;
        submitter.submit(fixture.weights().await).await.unwrap();
        assert_eq!(fixture.calls().len(), 3);
    }
}

/// The backup has an intent for which nothing was signed yet.
#[tokio::test]
async fn restored_intent_is_not_signed_again() {
    let mut fixture = Fixture::plain();
    fixture.crash(Step::Submit, StepProgress::IntentStored, Some(fixture.weights().await)).await;
    // Waits until the killed process has closed the database.
    fixture.start().await.close().await.unwrap();
    let backup = copy(fixture.path());
    let submitter = fixture.start().await;
    assert!(advance(&submitter).await.is_done());
    submitter.close().await.unwrap();
    fixture.restore(backup);
    let submitter = fixture.start().await;
    let error = submitter.advance().await.unwrap().remove(0).1.unwrap_err();
    assert!(matches!(error, SubmitError::AlreadySubmitted { .. }), "{error}");
    assert!(submitter.advance().await.unwrap().is_empty(), "the intent is over");
    assert_eq!(fixture.calls().len(), 1);
}

/// The backup has the refusal of an extrinsic, which was signed again afterwards.
#[tokio::test]
async fn restored_refusal_is_not_retried() {
    let mut fixture = Fixture::plain();
    fixture.chain.script([Script::Fail(too_fast())]);
    let submitter = fixture.start().await;
    let key = submitter.submit(fixture.weights().await).await.unwrap().intent.plan.key;
    submitter.close().await.unwrap();
    let backup = copy(fixture.path());
    let submitter = fixture.start().await;
    assert!(submitter.retry(&key).await.unwrap().is_done());
    submitter.close().await.unwrap();
    fixture.restore(backup);
    let submitter = fixture.start().await;
    let error = submitter.retry(&key).await.unwrap_err();
    assert!(matches!(error, SubmitError::AlreadySubmitted { .. }), "{error}");
    assert_eq!(fixture.calls().len(), 2);
}

#[tokio::test]
async fn restored_commit_is_not_revealed_again() {
    let mut fixture = Fixture::by_hash();
    let submitter = fixture.start().await;
    submitter.submit(fixture.weights().await).await.unwrap();
    submitter.close().await.unwrap();
    let backup = copy(fixture.path());
    fixture.enter_next_epoch().await;
    let submitter = fixture.start().await;
    assert!(advance(&submitter).await.is_done());
    submitter.close().await.unwrap();
    fixture.restore(backup);
    let submitter = fixture.start().await;
    let error = submitter.advance().await.unwrap().remove(0).1.unwrap_err();
    assert!(matches!(error, SubmitError::NotCommitted { epoch: 7, .. }), "{error}");
    assert!(submitter.advance().await.unwrap().is_empty());
    assert_eq!(fixture.calls(), ["commit_mechanism_weights", "reveal_mechanism_weights"]);
}

/// Two machines with copies of one ledger: the second sees the first one's weights.
#[tokio::test]
async fn copied_ledger_does_not_submit_planned_weights_again() {
    let mut fixture = Fixture::plain();
    fixture.chain.mine(u32::from(TEMPO) - 13);
    let submitter = fixture.start().await;
    let planned = submitter.submit(fixture.weights().await).await.unwrap();
    assert_eq!((planned.intent.plan.key.epoch, planned.submit), (8, None));
    submitter.close().await.unwrap();
    let second = copy(fixture.path());
    fixture.chain.mine(2);
    fixture.enter_next_epoch().await;
    let submitter = fixture.start().await;
    assert!(advance(&submitter).await.is_done());
    submitter.close().await.unwrap();
    fixture.restore(second);
    let error = fixture.start().await.advance().await.unwrap().remove(0).1.unwrap_err();
    assert!(matches!(error, SubmitError::AlreadySubmitted { .. }), "{error}");
    assert_eq!(fixture.chain.included().len(), 1);
}

/// While a fork may still revert the other weights, the intent stays open.
#[tokio::test]
async fn weights_are_submitted_again_after_earlier_ones_are_reverted() {
    let mut fixture = Fixture::plain();
    fixture.chain.set_finality_lag(3);
    fixture.start().await.close().await.unwrap();
    let backup = copy(fixture.path());
    fixture.start().await.submit(fixture.weights().await).await.unwrap();
    fixture.restore(backup);
    let submitter = fixture.start().await;
    let error = submitter.submit(fixture.weights().await).await.unwrap_err();
    assert!(matches!(error, SubmitError::AlreadySubmitted { .. }), "{error}");
    fixture.chain.revert(1);
    fixture.chain.mine(1);
    assert!(submitter.submit(fixture.weights().await).await.unwrap().submit.is_some());
    assert_eq!(fixture.calls().len(), 2);
}

/// A failed call does not change the chain's weights.
#[tokio::test]
async fn failed_weights_of_another_ledger_do_not_count() {
    let mut fixture = Fixture::plain();
    fixture.start().await.close().await.unwrap();
    let backup = copy(fixture.path());
    fixture.chain.script([Script::Fail(too_fast())]);
    fixture.start().await.submit(fixture.weights().await).await.unwrap();
    fixture.restore(backup);
    assert!(fixture.start().await.submit(fixture.weights().await).await.unwrap().is_done());
}

#[tokio::test]
async fn wrong_clock_submits_no_timelocked_weights() {
    for (seconds, form) in [(-86_400, 4), (86_400, 4), (86_400, 2)] {
        let fixture = Fixture::new(Some(CommitReveal { version: form, period_epochs: 1 }));
        let time = Duration::from_secs(TIME.checked_add_signed(seconds).unwrap());
        let submitter =
            fixture.start().await.with_clock(Arc::new(move || SystemTime::UNIX_EPOCH + time));
        let result = submitter.submit(fixture.weights().await).await;
        if form == 4 {
            let error = result.unwrap_err();
            assert!(
                matches!(error, SubmitError::ClockDifference { is_ahead, .. } if is_ahead == (seconds > 0)),
                "{error}"
            );
            assert!(fixture.calls().is_empty());
        } else {
            assert!(result.unwrap().submit.is_some(), "only timelocked weights depend on the time");
        }
    }
}
