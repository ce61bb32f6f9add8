use std::path::PathBuf;

use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use super::testing::{UID, UTTERANCES, change_byte, engines, engines_with, key, play, record};
use super::*;

/// Two miners with nearly the same reply, one with a different reply, and a silent one.
const MINERS: [(u8, u8); 4] = [(1, 10), (2, 20), (3, 30), (4, 0)];

struct AuditedRun {
    _directory: TempDir,
    paths: RunPaths,
}

impl AuditedRun {
    async fn of(miners: &[(u8, u8)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let paths = play(directory.path(), miners).await;
        Self { _directory: directory, paths }
    }

    async fn audit(&self) -> AuditReport {
        self.audit_with(engines()).await
    }

    async fn audit_with(&self, engines: Engines) -> AuditReport {
        let (record, paths) = (record(&self.paths).await, self.paths.clone());
        tokio::task::spawn_blocking(move || audit(&record, &paths, &engines).unwrap())
            .await
            .unwrap()
    }

    fn miner_directory(&self, uid: u8) -> PathBuf {
        self.paths.logs.join(format!("s2s/{UID}/main/miner_{uid}__hk_{}", key(uid).hotkey))
    }

    fn score_file(&self, kind: &str, uid: u8) -> PathBuf {
        let start = format!("challenge_{kind}_{UID}_type_main_miner_{uid}_");
        let entries = std::fs::read_dir(&self.paths.scores).unwrap().map(|entry| entry.unwrap());
        entries
            .filter(|entry| entry.file_name().to_str().unwrap().starts_with(&start))
            .last()
            .unwrap()
            .path()
    }

    /// Executes an SQL statement on the ledger.
    async fn execute_sql(&self, statement: &'static str) {
        let url = format!("sqlite:{}", self.paths.state.join("runner.sqlite").display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        sqlx::query(statement).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// Returns the location, miner, utterance and field of each mismatch.
fn mismatch_locations(
    report: &AuditReport,
) -> Vec<(MismatchLocation, Option<u16>, Option<u32>, &str)> {
    let mismatches = report.mismatches.iter();
    mismatches
        .map(|mismatch| {
            (
                mismatch.location,
                mismatch.miner_uid.map(|uid| uid.0),
                mismatch.utterance_index,
                mismatch.field.as_str(),
            )
        })
        .collect()
}

#[tokio::test]
async fn unchanged_run_has_no_mismatch() {
    let run = AuditedRun::of(&MINERS).await;
    let report = run.audit().await;
    assert_eq!(mismatch_locations(&report), []);
    assert!(report.is_clean());
    assert_eq!(
        (report.miners, report.recomputed, report.unknown_conditions),
        (4, 4 * UTTERANCES, 0)
    );
    assert_eq!(report.conditions, std::slice::from_ref(&report.here));
    // The duplication step must have an effect, or the test proves nothing.
    let record = record(&run.paths).await;
    let penalties =
        record.rows.iter().filter_map(|row| row.score.as_ref()?.result.duplicate_penalty.as_ref());
    assert!(
        penalties.filter_map(|penalty| penalty.duplicate_pressure).any(|pressure| pressure > 1.5)
    );
}

#[tokio::test]
async fn only_the_changed_reply_is_reported() {
    let run = AuditedRun::of(&MINERS).await;
    let wav = run.miner_directory(1).join("predicted/utt_0001.wav");
    let recorded = record(&run.paths).await.rows[1].outcome.clone().unwrap();
    change_byte(&wav, 1);
    let report = run.audit().await;
    assert_eq!(
        mismatch_locations(&report),
        [(MismatchLocation::Reply, Some(1), Some(1), "audio.sha256")]
    );
    let actual = taonet_babelbit_scorer::AudioHash::of(&std::fs::read(&wav).unwrap()).to_string();
    assert_eq!(
        (&report.mismatches[0].recorded, &report.mismatches[0].recomputed),
        (&json!(recorded), &json!(actual))
    );
    assert_eq!(report.mismatches[0].utterance_id.as_deref(), Some("challenge-1:1"));
    assert_eq!(report.recomputed, 4 * UTTERANCES - 1);

    std::fs::remove_file(&wav).unwrap();
    assert_eq!(
        mismatch_locations(&run.audit().await),
        [(MismatchLocation::Reply, Some(1), Some(1), "audio")]
    );
    std::fs::write(&wav, "not the sound").unwrap();
    assert_eq!(
        mismatch_locations(&run.audit().await),
        [(MismatchLocation::Reply, Some(1), Some(1), "audio.sha256")]
    );
}

#[tokio::test]
async fn mismatch_names_the_changed_file_and_field() {
    let run = AuditedRun::of(&MINERS).await;
    let edit = |path: PathBuf, pointer: &str, value: Value| {
        let mut document: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        *document.pointer_mut(pointer).unwrap() = value;
        std::fs::write(&path, document.to_string()).unwrap();
    };
    edit(run.miner_directory(1).join("run.json"), "/utterances/1/transcript_text", json!("omega"));
    edit(run.score_file("run", 2), "/utterances/0/score_breakdown/latency/score", json!(0.1));
    edit(run.score_file("score", 3), "/challenge_mean_U", json!(1.0));
    edit(run.paths.status.join(format!("{UID}__main.json")), "/mean_score", json!(1.0));
    std::fs::write(run.score_file("score", 4), "{").unwrap();
    change_byte(&run.paths.logs.join(format!("s2s/{UID}/main/source/utt_0000.wav")), 1);
    // A tar file ends with 1024 zeros; the last source precedes them.
    change_byte(&run.miner_directory(2).join("audio.tar"), 1025 + 512);
    assert_eq!(
        mismatch_locations(&run.audit().await),
        [
            (MismatchLocation::Status, None, None, "mean_score"),
            (MismatchLocation::Source, None, Some(0), "audio.sha256"),
            (MismatchLocation::RunLog, Some(1), Some(1), "transcript_text"),
            (MismatchLocation::ChallengeRun, Some(2), Some(0), "score_breakdown.latency.score"),
            (MismatchLocation::Bundle, Some(2), Some(1), "source/utt_0001.wav sha256"),
            (MismatchLocation::ChallengeScore, Some(3), None, "challenge_mean_U"),
            (MismatchLocation::ChallengeScore, Some(4), None, "file"),
        ]
    );
}

#[tokio::test]
async fn changed_ledger_is_reported() {
    let run = AuditedRun::of(&MINERS).await;
    run.execute_sql(
        "UPDATE result SET score = json_set(score, '$.result.score', 0.9) WHERE miner_uid = 3 AND utterance_index = 0",
    )
    .await;
    let report = run.audit().await;
    assert_eq!(
        mismatch_locations(&report),
        [(MismatchLocation::Ledger, Some(3), Some(0), "score")]
    );
    let mismatch = &report.mismatches[0];
    assert_eq!((&mismatch.recorded, &mismatch.recomputed), (&json!(0.9), &json!(0.0)));

    run.execute_sql("UPDATE result SET score = json_set(score, '$.heard.transcript.text', 'alpha') WHERE miner_uid = 3").await;
    let report = run.audit().await;
    assert!(
        mismatch_locations(&report).contains(&(
            MismatchLocation::Ledger,
            Some(3),
            Some(1),
            "heard.transcript.text"
        )),
        "{report:?}"
    );

    // A reply's duration determines its completion.
    run.execute_sql("UPDATE result SET reply = json_set(reply, '$.frames', 240) WHERE miner_uid = 2 AND utterance_index = 1")
        .await;
    let report = run.audit().await;
    assert!(
        mismatch_locations(&report).contains(&(
            MismatchLocation::Reply,
            Some(2),
            Some(1),
            "audio.frames"
        )),
        "{report:?}"
    );
}

#[tokio::test]
async fn different_engines_and_options_are_reported() {
    let run = AuditedRun::of(&MINERS).await;
    let fields = |report: &AuditReport| -> Vec<String> {
        assert!(!report.is_clean());
        report.different_conditions.iter().map(|difference| difference.field.clone()).collect()
    };
    let report = run.audit_with(engines_with("2")).await;
    assert_eq!(
        (mismatch_locations(&report), fields(&report)),
        (vec![], vec!["recognizer.fingerprint".to_owned()])
    );

    // Recorded options apply: the arithmetic is checked, and the difference reported.
    let mut engines = engines();
    engines.options.latency_power = 1.0;
    let report = run.audit_with(engines).await;
    assert_eq!(
        (mismatch_locations(&report), fields(&report)),
        (vec![], vec!["options.latency_power".to_owned()])
    );
}

#[tokio::test]
async fn scores_without_conditions_are_recomputed_with_local_ones() {
    let run = AuditedRun::of(&MINERS).await;
    run.execute_sql(
        "UPDATE result SET score = json_remove(score, '$.heard', '$.conditions', '$.batch')",
    )
    .await;
    let report = run.audit().await;
    assert_eq!(
        (mismatch_locations(&report), report.unknown_conditions, report.conditions.len()),
        (vec![], 4 * UTTERANCES, 0)
    );
}

#[tokio::test]
async fn later_miner_is_compared_with_earlier_ones_but_not_the_reverse() {
    let run = AuditedRun::of(&[(1, 10)]).await;
    let directory = run.paths.logs.parent().unwrap().to_owned();
    play(&directory, &[(1, 10), (2, 20)]).await;
    let report = run.audit().await;
    assert_eq!((mismatch_locations(&report), report.recomputed), (vec![], 2 * UTTERANCES));
    let rows = record(&run.paths).await.rows;
    let scores: Vec<_> =
        rows.iter().map(|row| (row.miner.uid.0, row.score.as_ref().unwrap().batch)).collect();
    assert_eq!(scores, [(1, 1), (1, 1), (2, 2), (2, 2)]);
    assert!(rows[0].score_or_zero() > rows[2].score_or_zero());
}

#[tokio::test]
async fn error_for_missing_challenge_lists_existing_ones() {
    let run = AuditedRun::of(&[(1, 10)]).await;
    let error =
        ChallengeRecord::read(&run.paths.state, "other", ChallengeType::Main).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no main challenge \"other\" in the ledger; the ledger has challenge-1; hint: select another contest with \
         --type main, solo or arena"
    );
}
