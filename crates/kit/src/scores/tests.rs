use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tempfile::TempDir;

use super::*;

fn key(byte: u8) -> Hotkey {
    Hotkey::from_bytes([byte; 32])
}

fn scores(pairs: &[(u8, f64)]) -> BTreeMap<Hotkey, f64> {
    pairs.iter().map(|(byte, score)| (key(*byte), *score)).collect()
}

/// Returns the results of a step at a block, one second after the epoch for each block.
fn results(block: u32, rewards: &[(u8, f64)], registered: &[u8]) -> StepResults {
    let started_at = UNIX_EPOCH + Duration::from_secs(u64::from(block));
    StepResults {
        step: CompletedStep { block: BlockNumber::new(block), started_at },
        request: request(block),
        rewards: scores(rewards),
        registered: registered.iter().map(|byte| (key(*byte), Uid(u16::from(*byte)))).collect(),
    }
}

/// Returns the hash of the request of the step at a block.
fn request(block: u32) -> RequestHash {
    RequestHash::from_bytes([block as u8; 32])
}

/// Opens the scores of subnet 7 in a directory.
async fn open(directory: &TempDir) -> Scores {
    Scores::open(&directory.path().join("scores.sqlite"), NetUid(7)).await.unwrap()
}

/// Averaging with this alpha, which keeps scores of absent hotkeys for 10 blocks.
fn averaging(alpha: f64) -> Averaging {
    Averaging { alpha, absence: 10 }
}

/// Columns: scores · rewards · registered hotkeys · new scores
#[test]
fn averages_belong_to_hotkeys_not_uids() {
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
        let actual =
            update_averages(before.collect(), &results(100, rewards, present), averaging(0.25));
        assert_eq!(scores_of(&actual), scores(after), "{rewards:?} {present:?}");
    }
}

/// Columns: block of a step · whether the miner is registered · whether its score is kept
#[test]
fn score_of_absent_hotkey_is_deleted_after_its_maximum_age() {
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
            averages = update_averages(averages, &results(*block, &[], registered), averaging(0.5));
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
    let other_scores = other.update(&results(9, &[(9, 1.0)], &[9]), averaging(1.0)).await.unwrap();
    assert_eq!(other_scores, scores(&[(9, 1.0)]));
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
    for version in 1..MIGRATIONS.len() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("scores.sqlite");
        let old = Database::sqlite(&file, &migrations(&MIGRATIONS[..version])).await.unwrap();
        let insert = statement("INSERT INTO scores (netuid, hotkey, score) VALUES (7, $1, 0.5)");
        insert.bind(key(1).to_string()).execute(&old).await.unwrap();
        old.close().await;
        let error = Scores::open_read_only(&file, NetUid(7)).await.unwrap_err();
        assert!(
            matches!(error, ScoresError::Database(DatabaseError::Schema { .. })),
            "{version}: {error}"
        );
        let migrated = open(&directory).await;
        assert_eq!(migrated.read().await.unwrap(), scores(&[(1, 0.5)]));
        assert_eq!(migrated.last_step().await.unwrap(), None);
        // The record begins with the migrated score.
        migrated.update(&results(9, &[(1, 1.0)], &[1]), averaging(0.5)).await.unwrap();
        let explanation = migrated.explain(&key(1)).await.unwrap().unwrap();
        assert_eq!((explanation.initial_score(), explanation.score), (0.5, 0.75));
        assert!(explanation.is_consistent());
    }
}

/// Returns blocks, rewards and new scores of an explanation.
fn recorded_rewards(explanation: &Explanation) -> Vec<(u32, f64, f64)> {
    let rewards = explanation.rewards.iter();
    rewards
        .map(|(step, reward)| (step.completed.block.get(), reward.reward, reward.score_after))
        .collect()
}

#[tokio::test]
async fn score_is_explained_by_the_recorded_rewards() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    for (block, rewards) in
        [(1, &[(1, 1.0), (2, 0.0)][..]), (2, &[(2, 1.0)]), (3, &[(1, 0.0), (3, 1.0)])]
    {
        store.update(&results(block, rewards, &[1, 2]), averaging(0.5)).await.unwrap();
    }
    let reader =
        Scores::open_read_only(&directory.path().join("scores.sqlite"), NetUid(7)).await.unwrap();
    let explanation = reader.explain(&key(1)).await.unwrap().unwrap();
    assert_eq!(recorded_rewards(&explanation), [(1, 1.0, 0.5), (3, 0.0, 0.25)]);
    assert_eq!(
        (explanation.score, explanation.recomputed_score(), explanation.initial_score()),
        (0.25, 0.25, 0.0)
    );
    assert_eq!((explanation.contributions(), explanation.remainder()), (vec![0.25, 0.0], 0.0));
    assert!(explanation.is_consistent());
    let (step, reward) = explanation.rewards[1];
    let third = results(3, &[], &[]).step;
    assert_eq!(step, RecordedStep { number: 3, completed: third, alpha: 0.5, request: request(3) });
    assert_eq!((reward.hotkey, reward.uid, reward.score_before), (key(1), Uid(1), 0.5));
    // Hotkey 3 is not registered, and the subnet has no uid 9.
    assert_eq!(reader.explain(&key(3)).await.unwrap(), None);
    assert_eq!(reader.hotkey_of(Uid(2)).await.unwrap(), Some(key(2)));
    assert_eq!(reader.hotkey_of(Uid(9)).await.unwrap(), None);
    let other =
        Scores::open_read_only(&directory.path().join("scores.sqlite"), NetUid(8)).await.unwrap();
    assert_eq!(other.explain(&key(1)).await.unwrap(), None);
    assert!(
        Scores::open_read_only(&directory.path().join("none.sqlite"), NetUid(7)).await.is_err()
    );
}

/// Columns: change of the database · whether the score still follows from the record
#[tokio::test]
async fn changed_score_or_record_is_inconsistent() {
    for (change, is_consistent) in [
        ("UPDATE scores SET score = 0.75 WHERE netuid = 7", true),
        ("UPDATE scores SET score = 0.8", false),
        ("UPDATE rewards SET reward = 0.9 WHERE step = 1", false),
        ("UPDATE rewards SET score_before = 0.4 WHERE step = 2", false),
        ("UPDATE rewards SET score_after = 0.6 WHERE step = 1", false),
        ("UPDATE steps SET alpha = 0.4 WHERE number = 2", false),
        ("DELETE FROM rewards WHERE step = 2", false),
        // Scores before the first recorded step cannot be recomputed.
        ("DELETE FROM rewards WHERE step = 1", true),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory).await;
        for block in [1, 2] {
            store.update(&results(block, &[(1, 1.0)], &[1]), averaging(0.5)).await.unwrap();
        }
        statement(change).execute(&store.database).await.unwrap();
        let explanation = store.explain(&key(1)).await.unwrap().unwrap();
        assert_eq!(explanation.is_consistent(), is_consistent, "{change}: {explanation:?}");
        let (parts, score) = (explanation.contributions(), explanation.recomputed_score());
        let sum = parts.iter().fold(explanation.remainder(), |sum, part| sum + part);
        assert!((sum - score).abs() < 1e-12, "{change}: {explanation:?}");
    }
}

#[tokio::test]
async fn record_has_the_newest_steps_and_no_deleted_scores() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    store.update(&results(1, &[(1, 1.0), (2, 1.0)], &[1, 2]), averaging(0.5)).await.unwrap();
    // The score of hotkey 2 is deleted; it comes back as a new miner.
    for (block, present) in [(2, &[1][..]), (12, &[1])] {
        store.update(&results(block, &[(1, 1.0)], present), averaging(0.5)).await.unwrap();
    }
    assert_eq!(store.explain(&key(2)).await.unwrap(), None);
    store.update(&results(13, &[(2, 1.0)], &[1, 2]), averaging(0.5)).await.unwrap();
    assert_eq!(recorded_rewards(&store.explain(&key(2)).await.unwrap().unwrap()), [(13, 1.0, 0.5)]);
    // As if there had been more steps after the first one.
    for change in [
        "UPDATE steps SET number = number + 998 WHERE number > 1",
        "UPDATE rewards SET step = step + 998 WHERE step > 1",
    ] {
        statement(change).execute(&store.database).await.unwrap();
    }
    store.update(&results(14, &[(2, 1.0)], &[1, 2]), averaging(0.5)).await.unwrap();
    let export = store.export().await.unwrap();
    let numbers: Vec<u64> = export.steps.iter().map(|(step, _)| step.number).collect();
    assert_eq!(numbers, [1_000, 1_001, 1_002, 1_003], "the first step is no longer recorded");
    let explanation = store.explain(&key(1)).await.unwrap().unwrap();
    assert_eq!(recorded_rewards(&explanation), [(2, 1.0, 0.75), (12, 1.0, 0.875)]);
    assert_eq!((explanation.initial_score(), explanation.is_consistent()), (0.5, true));
}

/// Returns an export as a file.
fn export_text(export: &ScoresExport) -> String {
    let mut bytes = Vec::new();
    export.write(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn imported_scores_equal_the_export() {
    let (directory, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, target) = (open(&directory).await, open(&other).await);
    // Numbers whose shortest decimal form has all digits.
    for (block, reward) in (1..30).zip([0.1, 1.0 / 3.0, 0.7, 1e-17].into_iter().cycle()) {
        store
            .update(&results(block, &[(1, reward), (2, 0.0)], &[1, 2]), averaging(0.1))
            .await
            .unwrap();
    }
    store.update(&results(30, &[], &[1]), averaging(0.1)).await.unwrap();
    let export = store.export().await.unwrap();
    assert_eq!((export.scores(), export.steps(), export.netuid()), (2, 30, NetUid(7)));
    let parsed = ScoresExport::parse(&export_text(&export)).unwrap();
    assert_eq!(parsed, export);
    target.import(&parsed).await.unwrap();
    assert_eq!(target.export().await.unwrap(), export);
    // Both continue alike, and the same file can be imported again.
    target.import(&parsed).await.unwrap();
    let next = results(31, &[(1, 0.5)], &[1]);
    let updated = [&store, &target].map(|scores| scores.update(&next, averaging(0.1)));
    let [one, other] = updated;
    assert_eq!(one.await.unwrap(), other.await.unwrap());
    assert_eq!(target.export().await.unwrap(), store.export().await.unwrap());
}

#[tokio::test]
async fn newer_scores_and_those_of_other_subnets_are_not_replaced() {
    let (directory, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, target) = (open(&directory).await, open(&other).await);
    let empty = store.export().await.unwrap();
    store.update(&results(20, &[(1, 1.0)], &[1]), averaging(0.5)).await.unwrap();
    target.update(&results(21, &[(2, 1.0)], &[2]), averaging(0.5)).await.unwrap();
    let before = target.export().await.unwrap();
    for older in [empty, store.export().await.unwrap()] {
        let error = target.import(&older).await.unwrap_err();
        assert!(matches!(error, ScoresError::Newer { block } if block.get() == 21), "{error}");
    }
    let other_subnet =
        Scores::open(&directory.path().join("scores.sqlite"), NetUid(8)).await.unwrap();
    let error = target.import(&other_subnet.export().await.unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "the scores are those of subnet 8, expected 7");
    assert_eq!(target.export().await.unwrap(), before);
    store.import(&before).await.unwrap();
    assert_eq!(store.export().await.unwrap(), before);
}

/// Columns: text of the file · its replacement · error
#[tokio::test]
async fn changed_or_incomplete_export_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).await;
    for block in [1, 2] {
        store
            .update(&results(block, &[(1, 1.0), (2, 0.5)], &[1, 2]), averaging(0.5))
            .await
            .unwrap();
    }
    let text = export_text(&store.export().await.unwrap());
    assert!(ScoresExport::parse(&text).is_ok(), "{text}");
    let score = |number: &str| format!("\"score\":{number},\"absent_since\":null");
    for (from, to, expected) in [
        (
            r#""version":1"#,
            r#""version":2"#,
            "the file has version 2 instead of 1; hint: update the program",
        ),
        (
            r#""version":1"#,
            r#""version":2,"other":2"#,
            "the file has version 2 instead of 1; hint: update the program",
        ),
        (r#""version":1"#, r#""version":1,"other":2"#, "line 1 is malformed"),
        (score("0.75").as_str(), score("0.5").as_str(), "does not follow from the recorded steps"),
        (score("0.75").as_str(), score("1.5").as_str(), "line 2: a score is not within 0 and 1"),
        (score("0.75").as_str(), score("NaN").as_str(), "line 2 is malformed"),
        (score("0.75").as_str(), score("1e999").as_str(), "line 2: a score is not within 0 and 1"),
        (
            r#""number":2"#,
            r#""number":1"#,
            "line 5: the steps are not in the order of their numbers",
        ),
        (
            r#""number":1"#,
            r#""number":0"#,
            "line 4: the steps are not in the order of their numbers",
        ),
        (r#""alpha":0.5"#, r#""alpha":-0.5"#, "line 4: a number of the step is not within 0 and 1"),
        (r#""reward":1.0"#, r#""reward":0.9"#, "does not follow from the recorded steps"),
        (r#""uid":2"#, r#""uid":70000"#, "line 4 is malformed"),
        (
            "{\"end\":{\"scores\":2,\"steps\":2}}\n",
            "",
            "the file is incomplete: it has 2 scores, 2 steps",
        ),
        (r#""steps":2"#, r#""steps":3"#, "the file is incomplete: it has 2 scores, 2 steps"),
        (text.as_str(), "", "the file is incomplete: it has 0 scores, 0 steps"),
        (text.as_str(), "\u{0}", "line 1 is malformed"),
        (
            text.as_str(),
            r#"{"end":{"scores":0,"steps":0}}"#,
            "line 1: expected the line of the subnet",
        ),
    ] {
        assert!(text.contains(from), "{from}: {text}");
        let error = ScoresExport::parse(&text.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(expected), "{from} {to}: {error}");
    }
    let repeated_text = format!("{text}{text}");
    let error = ScoresExport::parse(&repeated_text).unwrap_err().to_string();
    assert_eq!(error, "line 7: there is a line after the last one");
}

/// Runs an update, dropped when it is polled more often than `polls`. Returns whether it completed.
async fn update_within(polls: usize, store: &Scores, results: &StepResults) -> bool {
    let mut update = pin!(store.update(results, averaging(0.5)));
    let mut remaining = polls;
    let completed = poll_fn(|context| {
        if remaining == 0 {
            return Poll::Ready(false);
        }
        remaining -= 1;
        update.as_mut().poll(context).map(|updated| updated.is_ok())
    });
    completed.await
}

/// The update is cancelled at each of its await points in turn.
#[tokio::test]
async fn interrupted_update_is_atomic() {
    let directory = tempfile::tempdir().unwrap();
    let mut interruptions = 0;
    for polls in 1.. {
        let store = Scores::open(&directory.path().join(format!("{polls}.sqlite")), NetUid(7))
            .await
            .unwrap();
        let (first, second) =
            (results(1, &[(1, 1.0)], &[1]), results(2, &[(1, 0.0), (2, 1.0)], &[1, 2]));
        let before = store.update(&first, averaging(0.5)).await.unwrap();
        let is_complete = update_within(polls, &store, &second).await;
        // The dropped transaction has ended when another one begins.
        drop(store.database.begin().await.unwrap());
        let actual = (store.read().await.unwrap(), store.last_step().await.unwrap());
        let unchanged = (before, Some(first.step));
        let changed = (scores(&[(1, 0.25), (2, 0.5)]), Some(second.step));
        // The commit may have been under way.
        assert!(
            actual == changed || (actual == unchanged && !is_complete),
            "after {polls} polls: {actual:?}"
        );
        let explanation = store.explain(&key(1)).await.unwrap().unwrap();
        assert!(explanation.is_consistent(), "after {polls} polls: {explanation:?}");
        assert_eq!(
            explanation.rewards.len(),
            if actual == changed { 2 } else { 1 },
            "after {polls} polls"
        );
        interruptions += usize::from(actual == unchanged);
        if is_complete {
            break;
        }
    }
    assert!(interruptions > 0);
}

#[tokio::test]
async fn failed_update_changes_no_score() {
    let directory = tempfile::tempdir().unwrap();
    let store = Scores::open(&directory.path().join("scores.sqlite"), NetUid(7)).await.unwrap();
    let step = results(1, &[(1, 1.0)], &[1]);
    let before = store.update(&step, averaging(0.5)).await.unwrap();
    // The step is written last.
    let trigger = "CREATE TRIGGER full BEFORE INSERT ON last_steps BEGIN SELECT RAISE(ABORT, 'disk is full'); END";
    statement(trigger).execute(&store.database).await.unwrap();
    store.update(&results(2, &[(1, 0.0), (2, 1.0)], &[1, 2]), averaging(0.5)).await.unwrap_err();
    assert_eq!(
        (store.read().await.unwrap(), store.last_step().await.unwrap()),
        (before, Some(step.step))
    );
    assert_eq!(store.export().await.unwrap().steps(), 1);
}
