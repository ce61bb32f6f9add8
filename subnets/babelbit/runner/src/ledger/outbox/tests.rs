use taonet_babelbit_core::records::ChallengeType;

use super::*;
use crate::NewChallenge;
use crate::submission::testing::{Results, challenge, miner, written_files};

#[tokio::test]
async fn each_file_is_queued_once_and_scores_come_first() {
    let results = Results::new(2).await;
    let ledger = &results.ledger;
    ledger.enqueue(&results.challenge, miner(1), &written_files("run"), true).await.unwrap();
    let due = ledger.due(0, 100).await.unwrap();
    let order: Vec<_> = due.iter().map(|entry| (entry.miner.uid.0, entry.file)).collect();
    let scores = [0, 1].map(|uid| (uid, ResultFile::ChallengeScore));
    let other_files = [ResultFile::RunLog, ResultFile::Audio, ResultFile::ChallengeRun];
    let other_files = [0, 1].into_iter().flat_map(|uid| other_files.map(|file| (uid, file)));
    assert_eq!(order, scores.into_iter().chain(other_files).collect::<Vec<_>>());
    assert_eq!(ledger.due(0, 3).await.unwrap().len(), 3);
    assert!(ledger.finished_miners(&results.challenge).await.unwrap().contains(&miner(1)));
}

#[tokio::test]
async fn submission_outcomes_are_stored() {
    let results = Results::new(1).await;
    let ledger = &results.ledger;
    let due = ledger.due(0, 100).await.unwrap();
    ledger.record_outcome(&due[0], 10, None).await.unwrap();
    ledger.record_outcome(&due[1], 10, Some("403")).await.unwrap();
    ledger.reschedule(&due[2], 500, "down").await.unwrap();
    ledger.record_uploaded(&due[3], "a/b").await.unwrap();
    assert_eq!(
        ledger.outbox_counts().await.unwrap(),
        OutboxCounts { waiting: 2, delivered: 1, refused: 1 }
    );
    assert_eq!(ledger.next_due_time().await.unwrap(), Some(0));
    let due_later = ledger.due(500, 100).await.unwrap();
    assert_eq!((due_later[0].s3_path.as_deref(), due_later[1].attempts), (Some("a/b"), 1));
    assert_eq!(ledger.requeue_refused().await.unwrap(), 1);
    assert_eq!(ledger.purge_delivered(10).await.unwrap(), 0);
    assert_eq!(ledger.purge_delivered(11).await.unwrap(), 1);
}

/// A result is submitted again after its completion, even while its partial version is in flight.
#[tokio::test]
async fn rewritten_files_are_queued_again() {
    let results = Results::new(0).await;
    let ledger = &results.ledger;
    ledger.enqueue(&results.challenge, miner(1), &written_files("part"), false).await.unwrap();
    assert!(ledger.finished_miners(&results.challenge).await.unwrap().is_empty());
    let partial_entries = ledger.due(0, 100).await.unwrap();
    ledger.record_uploaded(&partial_entries[0], "a/b").await.unwrap();
    ledger.record_outcome(&partial_entries[1], 10, None).await.unwrap();
    ledger.record_outcome(&partial_entries[2], 10, Some("400")).await.unwrap();
    ledger.enqueue(&results.challenge, miner(1), &written_files("whole"), true).await.unwrap();
    ledger.record_outcome(&partial_entries[0], 10, None).await.unwrap();
    let complete = ledger.due(0, 100).await.unwrap();
    assert_eq!((complete.len(), complete.iter().all(|entry| entry.s3_path.is_none())), (4, true));
    assert_eq!(
        ledger.outbox_counts().await.unwrap(),
        OutboxCounts { waiting: 4, delivered: 0, refused: 0 }
    );
}

#[tokio::test]
async fn solo_challenge_is_submitted_with_its_main_challenge() {
    let results = Results::new(1).await;
    let ledger = &results.ledger;
    for (uid, kind, main) in
        [("arena-1", ChallengeType::Arena, None), ("solo-1", ChallengeType::Solo, Some("c"))]
    {
        let new =
            NewChallenge { main_challenge_uid: main.map(str::to_owned), ..challenge(uid, kind) };
        let row = ledger.begin(&new).await.unwrap();
        ledger.enqueue(&row, miner(2), &written_files("run"), true).await.unwrap();
    }
    let due = ledger.due(0, 100).await.unwrap();
    let mut mains: Vec<_> = due
        .iter()
        .map(|entry| (entry.challenge_uid.as_str(), entry.main_challenge_uid.as_deref()))
        .collect();
    mains.dedup();
    let expected = [("c", None), ("arena-1", None), ("solo-1", Some("c"))];
    assert_eq!(mains, [expected, expected].concat(), "scores, then the others");
}
