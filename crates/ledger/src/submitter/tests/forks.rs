//! Tests with reverted blocks.

use super::*;

/// The number of blocks until a block is finalized.
const LAG: u32 = 6;

async fn submit_and_include(
    commit_reveal: Option<CommitReveal>,
) -> (Fixture, Submitter, Submission) {
    let fixture = Fixture::new(commit_reveal);
    fixture.chain.set_finality_lag(LAG);
    let submitter = fixture.start().await;
    let submission = submitter.submit(fixture.weights().await).await.unwrap();
    assert_eq!(submit_state(&submission), Some(State::Included));
    (fixture, submitter, submission)
}

#[tokio::test]
async fn extrinsic_of_reverted_block_is_resent() {
    let (fixture, submitter, first) = submit_and_include(None).await;
    fixture.chain.revert(1);
    fixture.chain.mine(1);
    assert_eq!(
        submit_state(&advance(&submitter).await),
        Some(State::Included),
        "not final, not certain"
    );
    fixture.chain.mine(LAG);
    // A different block at the same height is finalized.
    let reincluded = advance(&submitter).await;
    assert_eq!(submit_state(&reincluded), Some(State::Included));
    fixture.chain.mine(LAG);
    let done = advance(&submitter).await;
    assert!(done.is_done());
    assert_eq!(done.submit.unwrap().extrinsic, first.submit.unwrap().extrinsic, "the same bytes");
    assert_eq!((fixture.calls().len(), fixture.chain.included().len()), (2, 1));
}

#[tokio::test]
async fn extrinsic_included_in_another_block_is_found() {
    let (fixture, submitter, first) = submit_and_include(None).await;
    fixture.chain.revert(1);
    fixture.chain.mine(1);
    fixture.chain.include_reverted();
    fixture.chain.mine(LAG);
    let done = advance(&submitter).await;
    assert!(done.is_done());
    let block = |submission: &Submission| {
        submission.submit.as_ref().unwrap().outcome.as_ref().unwrap().inclusion().unwrap().block
    };
    assert_ne!(block(&done), block(&first));
    assert_eq!(fixture.chain.included().len(), 1);
}

#[tokio::test]
async fn nonce_used_in_unfinalized_block_does_not_supersede_extrinsic() {
    let fixture = Fixture::plain();
    fixture.chain.set_finality_lag(LAG);
    fixture.chain.script([Script::LoseRequest]);
    let submitter = fixture.start().await;
    submitter.submit(fixture.weights().await).await.unwrap();
    // Simulates another program that signs with the same hotkey.
    let alice = Keypair::from_uri("//Alice").unwrap();
    let call = taonet_chain::calls::set_mechanism_weights(NetUid(1), MECH, &[], 0);
    let other = fixture.chain.sign(&call, &alice, SignOptions::default()).await.unwrap();
    assert!(fixture.chain.submit(&other, Follow::default()).await.is_success());
    assert_eq!(
        submit_state(&advance(&submitter).await),
        Some(State::Unknown),
        "not superseded yet"
    );
    assert_eq!(
        submitter
            .ledger()
            .extrinsics(&advance(&submitter).await.intent, Step::Submit)
            .await
            .unwrap()
            .len(),
        1
    );
    // The other extrinsic is reverted, and ours gets the nonce after all.
    fixture.chain.revert(1);
    fixture.chain.mine(1);
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Included));
    fixture.chain.mine(LAG);
    assert!(advance(&submitter).await.is_done());
    assert_eq!(fixture.chain.included().len(), 1);
}

#[tokio::test]
async fn extrinsic_does_not_expire_before_its_last_block_is_final() {
    let fixture = Fixture::plain();
    fixture.chain.set_finality_lag(LAG);
    fixture.chain.mine(50);
    fixture.chain.script([Script::LoseRequest]);
    let submitter = fixture.start().await;
    let lost = submitter.submit(fixture.weights().await).await.unwrap();
    let last = lost.submit.unwrap().extrinsic.last_block.unwrap();
    fixture.chain.mine(last.since(fixture.chain.head().await.unwrap().number));
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Unknown));
    fixture.chain.revert(3);
    fixture.chain.mine(2);
    let submitter = fixture.start_again(submitter).await;
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Included));
    assert_eq!(fixture.chain.included().len(), 1);
}

#[tokio::test]
async fn commit_reincluded_in_later_epoch_is_revealed_later() {
    let (mut fixture, submitter, first) =
        submit_and_include(Some(CommitReveal { version: 2, period_epochs: 1 })).await;
    assert_eq!(first.intent.commit_epoch, Some(7));
    fixture.chain.revert(1);
    fixture.chain.mine(1);
    fixture.enter_next_epoch().await;
    fixture.chain.include_reverted();
    fixture.chain.mine(LAG);
    let moved = advance(&submitter).await;
    assert_eq!(moved.intent.commit_epoch, Some(8));
    assert_eq!(moved.reveal, None, "too early");
    assert_eq!(fixture.calls(), ["commit_mechanism_weights"]);
    fixture.enter_next_epoch().await;
    assert!(advance(&submitter).await.reveal.unwrap().outcome.unwrap().is_success());
    fixture.chain.mine(LAG);
    assert!(advance(&submitter).await.is_done());
}

#[tokio::test]
async fn permanently_reverted_commit_is_not_revealed() {
    let (mut fixture, submitter, _) =
        submit_and_include(Some(CommitReveal { version: 2, period_epochs: 1 })).await;
    fixture.chain.revert(1);
    fixture.chain.mine(LAG + 1);
    fixture.enter_next_epoch().await;
    let lost = advance(&submitter).await;
    assert_eq!(
        (submit_state(&lost), &lost.reveal, lost.intent.commit_epoch),
        (Some(State::Unknown), &None, Some(7))
    );
    // The era of the extrinsic ends.
    fixture.chain.mine(128);
    let missed = advance(&submitter).await;
    assert_eq!(
        (submit_state(&missed), missed.intent.state),
        (Some(State::Expired), IntentState::Missed)
    );
    assert_eq!((missed.intent.commit_epoch, fixture.calls().len()), (None, 1));
}

#[tokio::test]
async fn pruned_blocks_are_identified_by_hash() {
    for is_reverted in [false, true] {
        let (fixture, submitter, _) = submit_and_include(None).await;
        if is_reverted {
            fixture.chain.revert(1);
        }
        fixture.chain.mine(400);
        fixture.chain.prune(BlockNumber::new(390));
        let end = advance(&submitter).await;
        let expected = if is_reverted {
            (State::Lost, IntentState::Missed)
        } else {
            (State::Finalized, IntentState::Done)
        };
        assert_eq!((end.submit.unwrap().state, end.intent.state), expected);
    }
}

#[tokio::test]
async fn commit_in_block_with_pruned_state_has_the_planned_epoch() {
    let mut fixture = Fixture::by_hash();
    fixture.crash(Step::Submit, StepProgress::OutcomeStored, Some(fixture.weights().await)).await;
    fixture.enter_next_epoch().await;
    fixture.chain.mine(20);
    fixture.chain.prune(BlockNumber::new(25));
    let done = advance(&fixture.start().await).await;
    assert_eq!((done.intent.commit_epoch, done.is_done()), (Some(7), true));
}
