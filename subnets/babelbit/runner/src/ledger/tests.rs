use serde_json::json;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::scoring::{ScoreOptions, ScoreResult, Timeline};
use taonet_primitives::{Hotkey, Uid};

use taonet_babelbit_core::records::MinerKey;

use super::*;
use crate::player::WallClock;
use taonet_babelbit_scorer::{EngineIdentity, ScoringConditions};

fn miner(number: u8) -> MinerKey {
    MinerKey { uid: Uid(number.into()), hotkey: Hotkey::from_bytes([number; 32]) }
}

fn source() -> SourceInfo {
    SourceInfo {
        sample_rate_hz: 12_000,
        channels: 1,
        sample_width_bytes: 2,
        frames: 1_920,
        wav_bytes: 3_884,
        wav_sha256: "ab".into(),
    }
}

fn challenge() -> NewChallenge {
    let utterance = |index: u32, source| UtteranceRow {
        index,
        utterance_id: format!("c:{index}"),
        language: "fr".into(),
        source,
    };
    NewChallenge {
        challenge_uid: "c".into(),
        title: None,
        challenge_type: ChallengeType::Main,
        run_timestamp: "20260101_120000".into(),
        started_unix: 1_000,
        error: None,
        main_challenge_uid: None,
        reference: Some(json!({"utterances": []})),
        reference_source: Some("http://engine/transcription".into()),
        utterances: vec![utterance(0, Ok(source())), utterance(1, Err("bad".into()))],
    }
}

fn result(number: u8, index: u32, outcome: Result<String, ReplyFailure>) -> ResultRow {
    ResultRow {
        miner: miner(number),
        utterance_index: index,
        reply: ReplyRecord {
            session_id: Some("s".into()),
            frames_in: 1,
            timeline: Timeline::new(vec![(1, 8)], 1),
            wall: WallClock::default(),
            frames: 2,
            wav_bytes: 48,
        },
        outcome,
        score: None,
    }
}

fn score(value: f64) -> StoredScore {
    let result: ScoreResult = serde_json::from_value(json!({
        "score": value, "accuracy": 0.9, "accuracy_pass": true, "stt_text": "a", "gt_text": "a",
        "speech_rate": {"penalty": 1.0, "miner_wps": 2.0, "reference_wps": 2.0, "ratio": 1.0},
        "latency": {"score": 1.0, "completion_sec": 1.0, "source_duration_sec": 1.0, "overshoot_sec": 0.0},
        "predicted_duration_sec": 1.0, "effective_completion_sec": 1.0, "source_duration_sec": 1.0,
        "score_is_fallback": false, "score_method": "semantic_audio_v1", "scoring_metadata_source": null,
    }))
    .unwrap();
    StoredScore::from(result)
}

#[tokio::test]
async fn stored_challenge_keeps_its_first_timestamp() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&directory.path().join("new/state")).await.unwrap();
    let row = ledger.begin(&challenge()).await.unwrap();
    assert_eq!(row.utterances, challenge().utterances);
    assert_eq!(row.state, ChallengeState::Playing);
    let second_begin =
        ledger.begin(&NewChallenge { run_timestamp: "later".into(), ..challenge() }).await.unwrap();
    assert_eq!(second_begin, row);
    assert_eq!(ledger.find("c", ChallengeType::Main).await.unwrap(), Some(row));
    assert_eq!(ledger.find("c", ChallengeType::Solo).await.unwrap(), None);
}

#[tokio::test]
async fn solo_challenge_keeps_its_main_challenge() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(directory.path()).await.unwrap();
    let challenge_of = |main: Option<&str>| NewChallenge {
        challenge_type: ChallengeType::Solo,
        main_challenge_uid: main.map(str::to_owned),
        ..challenge()
    };
    for (main, kept) in [
        (None, None),
        (Some("first"), Some("first")),
        (Some("second"), Some("first")),
        (None, Some("first")),
    ] {
        assert_eq!(
            ledger.begin(&challenge_of(main)).await.unwrap().main_challenge_uid.as_deref(),
            kept
        );
    }
}

#[tokio::test]
async fn running_daemon_updates_its_heartbeat() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(Ledger::last_heartbeat(directory.path()), None);
    let ledger = Ledger::open(directory.path()).await.unwrap();
    ledger
        .lock
        .as_ref()
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(7))
        .unwrap();
    assert_eq!(Ledger::last_heartbeat(directory.path()), Some(7));
    let shutdown = Shutdown::new();
    shutdown.request();
    ledger.keep_heartbeat(&shutdown).await;
    assert!(Ledger::last_heartbeat(directory.path()).unwrap() > 1_000_000_000);
}

#[tokio::test]
async fn newest_title_of_a_challenge_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(directory.path()).await.unwrap();
    for (sent, stored) in [
        (None, None),
        (Some("The ferry"), Some("The ferry")),
        (None, Some("The ferry")),
        (Some("B"), Some("B")),
    ] {
        let row = ledger
            .begin(&NewChallenge { title: sent.map(str::to_owned), ..challenge() })
            .await
            .unwrap();
        assert_eq!(row.title.as_deref(), stored);
        assert_eq!(ledger.challenge_headers(1).await.unwrap()[0].title.as_deref(), stored);
    }
}

#[tokio::test]
async fn last_round_of_each_contest_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(directory.path()).await.unwrap();
    assert_eq!(ledger.last_round(ChallengeType::Main).await.unwrap(), None);
    let row = |contest, epoch, end| RoundRow {
        challenge_type: contest,
        epoch,
        end,
        challenge_uid: Some("c".into()),
        ended_unix: 1_000,
    };
    let first = row(ChallengeType::Main, Some(7), RoundEnd::Waited);
    let second = row(ChallengeType::Main, None, RoundEnd::Failed);
    let arena = row(ChallengeType::Arena, Some(u32::MAX), RoundEnd::Played);
    for round in [&first, &second, &arena] {
        ledger.end_round(round).await.unwrap();
    }
    drop(ledger);
    let ledger = Ledger::open(directory.path()).await.unwrap();
    assert_eq!(ledger.last_round(ChallengeType::Main).await.unwrap(), Some(second));
    assert_eq!(ledger.last_round(ChallengeType::Arena).await.unwrap(), Some(arena));
}

/// Opening a ledger of the previous schema version migrates it and retains its challenge.
#[tokio::test]
async fn older_ledger_is_migrated_without_loss() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(LEDGER_FILE);
    {
        let mut connection =
            SqliteConnection::connect_with(&connect_options(&path).create_if_missing(true))
                .await
                .unwrap();
        let older = Migrator {
            migrations: MIGRATIONS.iter().take(2).cloned().collect(),
            ..Migrator::DEFAULT
        };
        older.run(&mut connection).await.unwrap();
        sqlx::query(
            "INSERT INTO challenge (challenge_uid, challenge_type, run_timestamp, started_unix, state)
             VALUES ('old', 'main', '20260101_120000', 5, 'playing')",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        connection.close().await.unwrap();
    }
    let ledger = Ledger::open(directory.path()).await.unwrap();
    let rows = ledger.unfinished(ChallengeType::Main, 0, 1).await.unwrap();
    assert_eq!(
        (rows.len(), rows[0].challenge_uid.as_str(), &rows[0].main_challenge_uid),
        (1, "old", &None)
    );
}

#[tokio::test]
async fn partial_challenge_is_completed() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(directory.path()).await.unwrap();
    let mut part = challenge();
    part.utterances.truncate(1);
    part.error = Some("HTTP 503".into());
    let row = ledger.begin(&part).await.unwrap();
    assert_eq!((row.state, row.error.as_deref()), (ChallengeState::Partial, Some("HTTP 503")));
    assert_eq!(ledger.unfinished(ChallengeType::Main, 0, 1).await.unwrap(), []);
    // Completing the delivery does not finish the challenge.
    ledger.finish(&row).await.unwrap();
    assert_eq!(
        ledger.find("c", ChallengeType::Main).await.unwrap().unwrap().state,
        ChallengeState::Partial
    );

    let complete = ledger.begin(&challenge()).await.unwrap();
    assert_eq!(
        (complete.state, complete.error.clone(), complete.utterances.len()),
        (ChallengeState::Playing, None, 2)
    );
    // A later failure of the engine does not discard known data.
    assert_eq!(ledger.begin(&part).await.unwrap(), complete);
    assert_eq!(
        ledger.unfinished(ChallengeType::Main, 1_000, 1).await.unwrap(),
        std::slice::from_ref(&complete)
    );
    assert_eq!(ledger.unfinished(ChallengeType::Main, 1_001, 1).await.unwrap(), []);
    ledger.finish(&complete).await.unwrap();
    assert_eq!(ledger.unfinished(ChallengeType::Main, 0, 1).await.unwrap(), []);
}

#[tokio::test]
async fn resume_count_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(directory.path()).await.unwrap();
    let first = ledger.begin(&challenge()).await.unwrap();
    let second =
        ledger.begin(&NewChallenge { challenge_uid: "d".into(), ..challenge() }).await.unwrap();
    let unfinished =
        async |ledger: &Ledger| ledger.unfinished(ChallengeType::Main, 0, 2).await.unwrap();
    assert_eq!(unfinished(&ledger).await, [first.clone(), second.clone()]);
    assert_eq!(ledger.record_resume(&first).await.unwrap(), 1);
    drop(ledger);
    let ledger = Ledger::open(directory.path()).await.unwrap();
    assert_eq!(unfinished(&ledger).await, [first.clone(), second.clone()]);
    assert_eq!(ledger.record_resume(&first).await.unwrap(), 2);
    assert_eq!(unfinished(&ledger).await, [second]);
}

#[tokio::test]
async fn miners_with_rows_count_as_played() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(directory.path()).await.unwrap();
    let row = ledger.begin(&challenge()).await.unwrap();
    assert!(ledger.played_miners(&row).await.unwrap().is_empty());
    for (number, index, outcome) in
        [(1, 0, Ok("aa".into())), (1, 1, Ok("bb".into())), (2, 0, Err("boom".into()))]
    {
        ledger.record(&row, &result(number, index, outcome)).await.unwrap();
    }
    assert_eq!(ledger.played_miners(&row).await.unwrap(), [miner(1), miner(2)].into());
}

#[tokio::test]
async fn results_are_recorded_once_and_scored_once() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(directory.path()).await.unwrap();
    let challenge = ledger.begin(&challenge()).await.unwrap();
    assert!(ledger.record(&challenge, &result(1, 0, Ok("aa".into()))).await.unwrap());
    assert!(!ledger.record(&challenge, &result(1, 0, Ok("bb".into()))).await.unwrap());
    assert!(ledger.record(&challenge, &result(2, 0, Err("boom".into()))).await.unwrap());

    let rows = ledger.results(&challenge).await.unwrap();
    assert_eq!(rows, [result(1, 0, Ok("aa".into())), result(2, 0, Err("boom".into()))]);
    assert!(rows[0].awaits_score() && !rows[1].awaits_score());

    ledger
        .score(&challenge, 0, &[(miner(1), score(0.5)), (miner(2), score(0.5))], None)
        .await
        .unwrap();
    ledger.score(&challenge, 0, &[(miner(1), score(0.6))], None).await.unwrap();
    let rows = ledger.results(&challenge).await.unwrap();
    assert_eq!(rows[0].score, Some(score(0.5)));
    assert_eq!(rows[1].score, None);
    // A scored row is not deleted.
    ledger.delete_reply(&challenge, miner(1), 0).await.unwrap();
    assert_eq!(ledger.results(&challenge).await.unwrap(), rows);
}

#[tokio::test]
async fn unscored_reply_can_be_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(directory.path()).await.unwrap();
    let challenge = ledger.begin(&challenge()).await.unwrap();
    ledger.record(&challenge, &result(1, 0, Ok("aa".into()))).await.unwrap();
    ledger.delete_reply(&challenge, miner(1), 0).await.unwrap();
    assert_eq!(ledger.results(&challenge).await.unwrap(), []);
}

#[tokio::test]
async fn second_runner_is_refused_until_the_first_has_ended() {
    let directory = tempfile::tempdir().unwrap();
    let first = Ledger::open(directory.path()).await.unwrap();
    let row = first.begin(&challenge()).await.unwrap();
    first.finish_miner(&row, miner(1)).await.unwrap();
    first.finish_miner(&row, miner(1)).await.unwrap();
    let second = Ledger::open(directory.path()).await.unwrap_err();
    assert!(second.to_string().starts_with("another runner is using "), "{second}");
    first.sync().await.unwrap();
    drop(first);
    let third = Ledger::open(directory.path()).await.unwrap();
    assert_eq!(third.finished_miners(&row).await.unwrap(), [miner(1)].into());
}

#[tokio::test]
async fn foreign_file_is_not_opened_as_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(LEDGER_FILE);
    std::fs::write(&path, "not a database, ".repeat(64)).unwrap();
    for error in [
        Ledger::open(directory.path()).await.unwrap_err(),
        Ledger::read(directory.path()).await.unwrap_err(),
    ] {
        assert!(
            matches!(&error, LedgerError::Open { source: DatabaseError::Corrupt(_), .. }),
            "{error:?}"
        );
        assert_eq!(error.to_string(), format!("cannot open the ledger {}", path.display()));
    }
}

#[tokio::test]
async fn reader_sees_concurrent_writes_of_a_runner() {
    let directory = tempfile::tempdir().unwrap();
    let missing = Ledger::read(directory.path()).await.unwrap_err();
    assert!(missing.to_string().contains("does not exist"), "{missing}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);

    let runner = Ledger::open(directory.path()).await.unwrap();
    let reader = Ledger::read(directory.path()).await.unwrap();
    let row = runner.begin(&challenge()).await.unwrap();
    runner.record(&row, &result(1, 0, Ok("aa".into()))).await.unwrap();
    assert_eq!(reader.find("c", ChallengeType::Main).await.unwrap(), Some(row.clone()));
    assert_eq!(reader.results(&row).await.unwrap(), [result(1, 0, Ok("aa".into()))]);
    assert_eq!(reader.latest(ChallengeType::Main, 5).await.unwrap(), ["c"]);
    // A reader does not exclude a runner, and cannot write.
    drop(runner);
    drop(Ledger::open(directory.path()).await.unwrap());
    assert!(reader.finish_miner(&row, miner(1)).await.is_err());
}

#[tokio::test]
async fn scores_refer_to_conditions_stored_once() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(directory.path()).await.unwrap();
    let row = ledger.begin(&challenge()).await.unwrap();
    for number in [1, 2] {
        ledger.record(&row, &result(number, 0, Ok("aa".into()))).await.unwrap();
    }
    let engine = |name: &str| EngineIdentity { name: name.into(), fingerprint: "1".into() };
    let conditions = ScoringConditions::of_this_machine(
        engine("ear"),
        engine("sense"),
        ScoreOptions::default(),
        true,
    );
    let name = conditions.sha256();
    for number in [1, 2] {
        let score =
            StoredScore { conditions: Some(name.clone()), batch: number.into(), ..score(0.5) };
        ledger.score(&row, 0, &[(miner(number), score)], Some(&conditions)).await.unwrap();
    }
    assert_eq!(ledger.conditions().await.unwrap(), [(name.clone(), conditions)].into());
    let rows = ledger.results(&row).await.unwrap();
    let scores: Vec<_> = rows
        .into_iter()
        .filter_map(|row| row.score)
        .map(|score| (score.conditions, score.batch))
        .collect();
    assert_eq!(scores, [(Some(name.clone()), 1), (Some(name), 2)]);
}

#[tokio::test]
async fn summaries_have_results_and_scores() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(directory.path()).await.unwrap();
    let reader = Ledger::read(directory.path()).await.unwrap();
    let before = reader.data_version().await.unwrap();
    let row = ledger.begin(&challenge()).await.unwrap();
    assert_ne!(reader.data_version().await.unwrap(), before, "another connection committed");
    for (number, outcome) in
        [(1, Ok("ab".to_owned())), (2, Err("timeout".into())), (3, Ok("cd".to_owned()))]
    {
        ledger.record(&row, &result(number, 0, outcome)).await.unwrap();
    }
    let stored = StoredScore { conditions: Some("c1".into()), ..score(0.25) };
    ledger.score(&row, 0, &[(miner(1), stored.clone())], None).await.unwrap();

    let header = &reader.challenge_headers(5).await.unwrap()[0];
    assert_eq!((header.id, header.challenge_uid.as_str(), header.utterances), (row.id, "c", 2));
    let summaries = reader.result_summaries(row.id).await.unwrap();
    let numbers = |summary: &ResultSummary| {
        let score =
            summary.score.as_ref().map(|score| (score.score, score.accuracy, score.rate_ratio));
        (summary.miner, summary.error.clone(), score)
    };
    assert_eq!(
        summaries.iter().map(numbers).collect::<Vec<_>>(),
        [
            (miner(1), None, Some((0.25, Some(0.9), Some(1.0)))),
            (miner(2), Some("timeout".into()), None),
            (miner(3), None, None),
        ]
    );
    assert_eq!(summaries[0].score.as_ref().unwrap().overshoot_sec, Some(0.0));
    assert_eq!(summaries[0].wall_after_source_sec, Some(0.0));
    assert_eq!(reader.conditions_of(row.id).await.unwrap().as_deref(), Some("c1"));
    assert_eq!(reader.find_by_id(row.id).await.unwrap(), Some(row.clone()));
    assert_eq!(reader.find_by_id(row.id + 1).await.unwrap(), None);
    let actual = reader.result(row.id, miner(1), 0).await.unwrap().unwrap();
    assert_eq!(actual.score, Some(stored));
    assert_eq!(reader.result(row.id, miner(1), 1).await.unwrap(), None);
}
