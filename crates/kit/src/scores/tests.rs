use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::*;

fn key(byte: u8) -> Hotkey {
    Hotkey::from_bytes([byte; 32])
}

fn scores(pairs: &[(u8, f64)]) -> BTreeMap<Hotkey, f64> {
    pairs.iter().map(|(byte, score)| (key(*byte), *score)).collect()
}

/// Returns the results of a step at a block, one second after the epoch for each block.
fn results(block: u32, rewards: &[(u8, f64)], registered: &[u8]) -> StepResults {
    let began = UNIX_EPOCH + Duration::from_secs(u64::from(block));
    StepResults {
        step: CompletedStep { block: BlockNumber::new(block), began },
        rewards: scores(rewards),
        registered: registered.iter().map(|byte| key(*byte)).collect(),
    }
}

/// Averaging with this alpha, which keeps scores of absent hotkeys for 10 blocks.
fn averaging(alpha: f64) -> Averaging {
    Averaging { alpha, absence: 10 }
}

/// Columns: scores · rewards · registered hotkeys · new scores
#[test]
fn averages_follow_hotkeys() {
    type Pairs = &'static [(u8, f64)];
    let rows: [(Pairs, Pairs, &[u8], Pairs); 6] = [
        // The first step, and a second one.
        (&[], &[(1, 1.0), (2, 0.0)], &[1, 2, 3], &[(1, 0.25), (2, 0.0)]),
        (&[(1, 0.25)], &[(1, 1.0)], &[1], &[(1, 0.4375)]),
        // Miners that were not queried keep their scores; silent ones lose a share.
        (&[(1, 0.5), (2, 0.5)], &[(2, 0.0)], &[1, 2], &[(1, 0.5), (2, 0.375)]),
        // Hotkey 3 replaced hotkey 2, in the same uid.
        (&[(1, 0.5), (2, 0.5)], &[(3, 1.0)], &[1, 3], &[(1, 0.5), (2, 0.5), (3, 0.25)]),
        // Hotkeys that are not registered earn nothing.
        (&[(1, 0.5)], &[(1, 0.5), (2, 1.0)], &[1], &[(1, 0.5)]),
        // The list of neurons is empty.
        (&[(1, 0.5)], &[], &[], &[(1, 0.5)]),
    ];
    for (before, rewards, present, after) in rows {
        let before = scores(before)
            .into_iter()
            .map(|(hotkey, score)| (hotkey, Average { score, absent_since: None }));
        let found = averaged(before.collect(), &results(100, rewards, present), averaging(0.25));
        assert_eq!(scores_of(&found), scores(after), "{rewards:?} {present:?}");
    }
}

/// Columns: block of a step · whether the miner is registered · whether its score is kept
#[test]
fn score_is_deleted_after_blocks_of_absence() {
    for steps in [
        &[(100, false, true), (109, false, true), (110, false, false)][..],
        // It came back in between.
        &[
            (100, false, true),
            (109, true, true),
            (110, false, true),
            (119, false, true),
            (120, false, false),
        ],
        // The development chain was restarted from genesis.
        &[(100, false, true), (5, false, true), (14, false, true), (15, false, false)],
    ] {
        let mut averages = BTreeMap::from([(key(1), Average { score: 0.5, absent_since: None })]);
        for (block, is_registered, is_kept) in steps {
            let registered: &[u8] = if *is_registered { &[1] } else { &[] };
            averages = averaged(averages, &results(*block, &[], registered), averaging(0.5));
            assert_eq!(averages.contains_key(&key(1)), *is_kept, "{steps:?} at {block}");
        }
    }
}

#[tokio::test]
async fn scores_survive_a_restart_and_belong_to_their_subnet() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("scores.sqlite");
    let open = async |netuid| Scores::open(&file, NetUid(netuid)).await.unwrap();
    let first = open(7).await;
    assert_eq!(
        (first.read().await.unwrap(), first.last_step().await.unwrap()),
        (scores(&[]), None)
    );
    let step = results(20, &[(1, 1.0), (2, 0.5)], &[1, 2]);
    let updated = first.update(&step, averaging(0.5)).await.unwrap();
    assert_eq!(updated, scores(&[(1, 0.5), (2, 0.25)]));
    drop(first);
    let other = open(8).await;
    let of_other = other.update(&results(9, &[(9, 1.0)], &[9]), averaging(1.0)).await.unwrap();
    assert_eq!(of_other, scores(&[(9, 1.0)]));
    let restarted = open(7).await;
    assert_eq!(
        (restarted.read().await.unwrap(), restarted.last_step().await.unwrap()),
        (updated, Some(step.step))
    );
    for block in [21, 31] {
        restarted.update(&results(block, &[], &[2]), averaging(0.5)).await.unwrap();
    }
    assert_eq!(restarted.read().await.unwrap(), scores(&[(2, 0.25)]));
    assert_eq!(other.read().await.unwrap(), scores(&[(9, 1.0)]));
}

#[tokio::test]
async fn database_of_an_older_version_keeps_its_scores() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("scores.sqlite");
    let old = Database::sqlite(&file, &migrations(&MIGRATIONS[..1])).await.unwrap();
    let insert = statement("INSERT INTO scores (netuid, hotkey, score) VALUES (7, $1, 0.5)");
    insert.bind(key(1).to_string()).execute(&old).await.unwrap();
    old.close().await;
    let migrated = Scores::open(&file, NetUid(7)).await.unwrap();
    assert_eq!(migrated.read().await.unwrap(), scores(&[(1, 0.5)]));
    assert_eq!(migrated.last_step().await.unwrap(), None);
}

/// Runs an update, dropped when it is polled more often than `polls`. Returns whether it completed.
async fn update_within(polls: usize, file: &Scores, results: &StepResults) -> bool {
    let mut update = pin!(file.update(results, averaging(0.5)));
    let mut left = polls;
    let completed = poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        update.as_mut().poll(context).map(|updated| updated.is_ok())
    });
    completed.await
}

/// The update is dropped at each of its waits, one after the other.
#[tokio::test]
async fn interrupted_update_is_atomic() {
    let directory = tempfile::tempdir().unwrap();
    let mut interruptions = 0;
    for polls in 1.. {
        let file = Scores::open(&directory.path().join(format!("{polls}.sqlite")), NetUid(7))
            .await
            .unwrap();
        let (first, second) =
            (results(1, &[(1, 1.0)], &[1]), results(2, &[(1, 0.0), (2, 1.0)], &[1, 2]));
        let before = file.update(&first, averaging(0.5)).await.unwrap();
        let is_complete = update_within(polls, &file, &second).await;
        // The dropped transaction has ended when another one begins.
        drop(file.database.begin().await.unwrap());
        let found = (file.read().await.unwrap(), file.last_step().await.unwrap());
        let unchanged = (before, Some(first.step));
        let changed = (scores(&[(1, 0.25), (2, 0.5)]), Some(second.step));
        // The commit may have been under way.
        assert!(
            found == changed || (found == unchanged && !is_complete),
            "after {polls} polls: {found:?}"
        );
        interruptions += usize::from(found == unchanged);
        if is_complete {
            break;
        }
    }
    assert!(interruptions > 0);
}

#[tokio::test]
async fn failed_update_changes_no_score() {
    let directory = tempfile::tempdir().unwrap();
    let file = Scores::open(&directory.path().join("scores.sqlite"), NetUid(7)).await.unwrap();
    let step = results(1, &[(1, 1.0)], &[1]);
    let before = file.update(&step, averaging(0.5)).await.unwrap();
    // The step is written last.
    let trigger = "CREATE TRIGGER full BEFORE INSERT ON last_steps BEGIN SELECT RAISE(ABORT, 'disk is full'); END";
    statement(trigger).execute(&file.database).await.unwrap();
    file.update(&results(2, &[(1, 0.0), (2, 1.0)], &[1, 2]), averaging(0.5)).await.unwrap_err();
    assert_eq!(
        (file.read().await.unwrap(), file.last_step().await.unwrap()),
        (before, Some(step.step))
    );
}
