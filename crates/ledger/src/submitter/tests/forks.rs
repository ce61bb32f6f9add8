//! Tests with reverted blocks.

use super::*;

/// The number of blocks until a block is finalized.
const LAG: u32 = 6;

async fn included(commit_reveal: Option<CommitReveal>) -> (World, Submitter, Submission) {
    let world = World::new(commit_reveal);
    world.chain.set_finality_lag(LAG);
    let submitter = world.start().await;
    let submission = submitter.submit(world.weights().await).await.unwrap();
    assert_eq!(submit_state(&submission), Some(State::Included));
    (world, submitter, submission)
}

#[tokio::test]
async fn extrinsic_of_reverted_block_is_resent() {
    let (world, submitter, first) = included(None).await;
    world.chain.undo(1);
    world.chain.mine(1);
    assert_eq!(
        submit_state(&advance(&submitter).await),
        Some(State::Included),
        "not final, not certain"
    );
    world.chain.mine(LAG);
    // A different block at the same height is finalized.
    let again = advance(&submitter).await;
    assert_eq!(submit_state(&again), Some(State::Included));
    world.chain.mine(LAG);
    let done = advance(&submitter).await;
    assert!(done.is_done());
    assert_eq!(done.submit.unwrap().extrinsic, first.submit.unwrap().extrinsic, "the same bytes");
    assert_eq!((world.calls().len(), world.chain.included().len()), (2, 1));
}

#[tokio::test]
async fn extrinsic_included_in_another_block_is_found() {
    let (world, submitter, first) = included(None).await;
    world.chain.undo(1);
    world.chain.mine(1);
    world.chain.include_undone();
    world.chain.mine(LAG);
    let done = advance(&submitter).await;
    assert!(done.is_done());
    let block = |submission: &Submission| {
        submission.submit.as_ref().unwrap().outcome.as_ref().unwrap().inclusion().unwrap().block
    };
    assert_ne!(block(&done), block(&first));
    assert_eq!(world.chain.included().len(), 1);
}

#[tokio::test]
async fn nonce_used_in_unfinalized_block_does_not_supersede() {
    let world = World::plain();
    world.chain.set_finality_lag(LAG);
    world.chain.script([Script::LoseRequest]);
    let submitter = world.start().await;
    submitter.submit(world.weights().await).await.unwrap();
    // Simulates another program that signs with the same hotkey.
    let alice = Keypair::from_uri("//Alice").unwrap();
    let call = taonet_chain::calls::set_mechanism_weights(NetUid(1), MECH, &[], 0);
    let other = world.chain.sign(&call, &alice, SignOptions::default()).await.unwrap();
    assert!(world.chain.submit(&other, Follow::default()).await.is_success());
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
    world.chain.undo(1);
    world.chain.mine(1);
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Included));
    world.chain.mine(LAG);
    assert!(advance(&submitter).await.is_done());
    assert_eq!(world.chain.included().len(), 1);
}

#[tokio::test]
async fn era_ended_in_unfinalized_block_does_not_expire() {
    let world = World::plain();
    world.chain.set_finality_lag(LAG);
    world.chain.mine(50);
    world.chain.script([Script::LoseRequest]);
    let submitter = world.start().await;
    let lost = submitter.submit(world.weights().await).await.unwrap();
    let last = lost.submit.unwrap().extrinsic.last_block.unwrap();
    world.chain.mine(last.since(world.chain.head().await.unwrap().number));
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Unknown));
    world.chain.undo(3);
    world.chain.mine(2);
    let submitter = world.start_again(submitter).await;
    assert_eq!(submit_state(&advance(&submitter).await), Some(State::Included));
    assert_eq!(world.chain.included().len(), 1);
}

#[tokio::test]
async fn a_commit_that_moves_to_a_later_epoch_is_revealed_later() {
    let (mut world, submitter, first) =
        included(Some(CommitReveal { version: 2, period_epochs: 1 })).await;
    assert_eq!(first.intent.commit_epoch, Some(7));
    world.chain.undo(1);
    world.chain.mine(1);
    world.next_epoch().await;
    world.chain.include_undone();
    world.chain.mine(LAG);
    let moved = advance(&submitter).await;
    assert_eq!(moved.intent.commit_epoch, Some(8));
    assert_eq!(moved.reveal, None, "too early");
    assert_eq!(world.calls(), ["commit_mechanism_weights"]);
    world.next_epoch().await;
    assert!(advance(&submitter).await.reveal.unwrap().outcome.unwrap().is_success());
    world.chain.mine(LAG);
    assert!(advance(&submitter).await.is_done());
}

#[tokio::test]
async fn permanently_reverted_commit_is_not_revealed() {
    let (mut world, submitter, _) =
        included(Some(CommitReveal { version: 2, period_epochs: 1 })).await;
    world.chain.undo(1);
    world.chain.mine(LAG + 1);
    world.next_epoch().await;
    let lost = advance(&submitter).await;
    assert_eq!(
        (submit_state(&lost), &lost.reveal, lost.intent.commit_epoch),
        (Some(State::Unknown), &None, Some(7))
    );
    // The era of the extrinsic ends.
    world.chain.mine(128);
    let missed = advance(&submitter).await;
    assert_eq!(
        (submit_state(&missed), missed.intent.state),
        (Some(State::Expired), IntentState::Missed)
    );
    assert_eq!((missed.intent.commit_epoch, world.calls().len()), (None, 1));
}

#[tokio::test]
async fn pruned_blocks_are_identified_by_hash() {
    for is_undone in [false, true] {
        let (world, submitter, _) = included(None).await;
        if is_undone {
            world.chain.undo(1);
        }
        world.chain.mine(400);
        world.chain.prune(BlockNumber::new(390));
        let end = advance(&submitter).await;
        let expected = if is_undone {
            (State::Lost, IntentState::Missed)
        } else {
            (State::Finalized, IntentState::Done)
        };
        assert_eq!((end.submit.unwrap().state, end.intent.state), expected);
    }
}

#[tokio::test]
async fn commit_with_pruned_state_has_the_planned_epoch() {
    let mut world = World::by_hash();
    world.crash(Step::Submit, StepProgress::Recorded, Some(world.weights().await)).await;
    world.next_epoch().await;
    world.chain.mine(20);
    world.chain.prune(BlockNumber::new(25));
    let done = advance(&world.start().await).await;
    assert_eq!((done.intent.commit_epoch, done.is_done()), (Some(7), true));
}
