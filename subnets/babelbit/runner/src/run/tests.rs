use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::reference as core;
use taonet_babelbit_core::scoring::{BatchFailure, ScoreResult};
use taonet_primitives::Hotkey;

use super::*;
use crate::connection::{CallError, PredictCall};
use crate::settings::{PlaySettings, RunPaths};
use crate::testing::{ScriptedMiner, Step, TextScorer, wav};
use taonet_babelbit_engine::client::Reference;
use taonet_babelbit_scorer::Candidate;

mod dropping;
mod resume;

/// Creates a challenge with five source frames per reference text.
fn challenge(texts: &[&str]) -> PrefetchedChallenge {
    let utterances = (0..texts.len()).map(|index| {
        json!({
            "challenge_uid": "challenge-1", "session_id": "s", "utterance_id": format!("challenge-1:{index}"),
            "language": "fr", "utterance_index": index, "sample_rate_hz": 24_000, "channels": 1,
            "sample_width_bytes": 2, "utterance_frames": 9_600, "audio_b64": STANDARD.encode(wav(9_600, 24_000)),
        })
    });
    let references = texts
        .iter()
        .enumerate()
        .map(|(index, text)| json!({"utterance_id": index, "reference_text": text}));
    PrefetchedChallenge {
        challenge_uid: "challenge-1".into(),
        title: None,
        utterances: utterances
            .map(|utterance| serde_json::from_value(utterance).unwrap())
            .collect(),
        error: None,
        reference: Some(Reference {
            document: json!({"utterances": references.collect::<Vec<_>>()}),
            source: "http://engine/transcription".into(),
        }),
    }
}

fn settings(directory: &Path) -> RunnerSettings {
    RunnerSettings::new(RunPaths::in_directory(directory))
}

async fn runner(directory: &Path) -> Runner {
    Runner::open(settings(directory), "en", Arc::new(TextScorer)).await.unwrap()
}

fn key(uid: u8) -> MinerKey {
    MinerKey { uid: Uid(uid.into()), hotkey: Hotkey::from_bytes([uid; 32]) }
}

fn miner(uid: u8, script: &Arc<ScriptedMiner>) -> Miner {
    Miner { key: key(uid), name: None, connection: Arc::clone(script) as Arc<dyn MinerConnection> }
}

/// Creates a miner that returns one frame of audio per received frame.
fn parrot() -> Arc<ScriptedMiner> {
    Arc::new(ScriptedMiner::new(|_, call| Step::sound(1_920, call.in_eos)))
}

fn miner_directory(directory: &Path, uid: u8) -> std::path::PathBuf {
    directory.join(format!("logs/s2s/challenge-1/main/miner_{uid}__hk_{}", key(uid).hotkey))
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Returns the names of the files in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .map(|entries| {
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}

/// Reads a miner's challenge run and challenge score.
fn score_files(directory: &Path, uid: u8) -> (Value, Value) {
    let scores = directory.join("scores");
    let find = |kind: &str| {
        let start = format!("challenge_{kind}_challenge-1_type_main_miner_{uid}_{kind}_");
        let actual: Vec<_> =
            names(&scores).into_iter().filter(|name| name.starts_with(&start)).collect();
        assert_eq!(actual.len(), 1, "{actual:?}");
        read(&scores.join(&actual[0]))
    };
    (find("run"), find("score"))
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "one field list after the other")]
async fn run_writes_all_files_in_their_layout() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let events = Arc::new(Mutex::new(Vec::new()));
    let observed = Arc::clone(&events);
    let observer = move |event| observed.lock().unwrap().push(event);
    let runner = runner(directory).await;
    let report = runner
        .play(challenge(&["0.2", "0.6"]), &[miner(7, &parrot())], Arc::new(observer))
        .await
        .unwrap();
    assert_eq!(report.outcome, RunOutcome::Finished);
    assert!((report.miners[0].score - 0.4).abs() < 1e-12);

    let miner_home = miner_directory(directory, 7);
    assert_eq!(names(&miner_home), ["audio.tar", "predicted", "run.json", "source"]);
    assert_eq!(names(&miner_home.join("predicted")), ["utt_0000.wav", "utt_0001.wav"]);
    assert_eq!(names(&miner_home.join("source")), ["utt_0000.wav", "utt_0001.wav"]);
    assert_eq!(std::fs::read(miner_home.join("source/utt_0001.wav")).unwrap(), wav(9_600, 24_000));
    let mut tar = tar::Archive::new(std::fs::File::open(miner_home.join("audio.tar")).unwrap());
    let members: Vec<_> = tar
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        members,
        [
            "predicted/utt_0000.wav",
            "predicted/utt_0001.wav",
            "source/utt_0000.wav",
            "source/utt_0001.wav"
        ]
    );

    let text = std::fs::read_to_string(miner_home.join("run.json")).unwrap();
    assert!(
        text.starts_with(
            "{\n  \"challenge_uid\": \"challenge-1\",\n  \"challenge_type\": \"main\",\n  \"miner_uid\": 7,"
        )
    );
    let log = read(&miner_home.join("run.json"));
    #[rustfmt::skip]
    assert_eq!(keys(&log), [
        "challenge_uid", "challenge_type", "miner_uid", "miner_hotkey", "protocol", "score_is_fallback",
        "score_method", "completed", "score", "utterances",
    ]);
    let utterance = &log["utterances"][0];
    #[rustfmt::skip]
    assert_eq!(keys(utterance), [
        "challenge_uid", "utterance_index", "utterance_id", "language", "miner_uid", "miner_hotkey",
        "miner_session_id", "source_audio_path", "predicted_audio_path", "sample_rate_hz", "channels",
        "sample_width_bytes", "dtype", "frame_rate_hz", "frame_samples", "frame_count_in", "frame_count_out",
        "source_num_bytes", "predicted_num_bytes", "completed", "error", "latency_ms", "score", "score_is_fallback",
        "score_method", "accuracy", "source_duration_sec", "predicted_duration_sec", "effective_completion_sec",
        "reference_text", "transcript_text", "scoring_metadata_source", "score_breakdown",
    ]);
    assert_eq!(keys(&utterance["score_breakdown"]), ["speech_rate", "latency", "duplication"]);
    #[rustfmt::skip]
    assert_eq!(keys(&utterance["score_breakdown"]["duplication"]), [
        "raw_score", "final_score", "penalty_factor", "duplicate_pressure", "max_peer_similarity",
        "similarity_threshold", "gamma", "min_score_for_pressure", "score_epsilon",
    ]);
    for (field, expected) in [
        ("dtype", json!("int16")),
        ("frame_count_in", json!(5)),
        ("frame_count_out", json!(5)),
        ("frame_rate_hz", json!(12.5)),
        ("source_num_bytes", json!(19_244)),
        ("predicted_num_bytes", json!(19_244)),
        ("predicted_audio_path", json!("predicted/utt_0000.wav")),
        ("error", Value::Null),
        ("latency_ms", json!(0.480_000_000_000_000_04 * 1_000.0)),
        ("scoring_metadata_source", json!("http://engine/transcription")),
        ("reference_text", json!("0.2")),
    ] {
        assert_eq!(utterance[field], expected, "{field}");
    }

    let (run, score) = score_files(directory, 7);
    #[rustfmt::skip]
    assert_eq!(keys(&run), [
        "log_file", "challenge_uid", "challenge_type", "miner_uid", "miner_hotkey", "utterances",
        "challenge_summary", "protocol", "score_is_fallback", "score_method", "completed",
    ]);
    #[rustfmt::skip]
    assert_eq!(keys(&run["utterances"][0]), [
        "utterance_uid", "utterance_number", "reference_text", "transcript", "score", "accuracy",
        "effective_completion_sec", "source_duration_sec", "predicted_duration_sec", "frame_count_in",
        "frame_count_out", "predicted_num_bytes", "score_breakdown", "score_is_fallback", "score_method",
        "completed", "error",
    ]);
    #[rustfmt::skip]
    assert_eq!(keys(&score), [
        "run_file", "challenge_uid", "challenge_type", "miner_uid", "miner_hotkey", "utterances",
        "challenge_mean_U", "challenge_summary", "protocol", "score_is_fallback", "score_method", "completed",
    ]);
    assert_eq!(
        score["utterances"][1],
        json!({"utterance_uid": "challenge-1:1", "utterance_score": 0.6, "utterance_index": 1,
               "score_is_fallback": false, "score_method": "semantic_audio_v1"})
    );
    assert_eq!(score["challenge_mean_U"], json!(0.4));
    assert_eq!(
        score["challenge_summary"],
        json!({"average_U_best_early": 0.4, "accuracy": 0.9, "effective_completion_sec": 0.48,
               "completed_utterances": 2, "total_utterances": 2})
    );
    assert!(Path::new(run["log_file"].as_str().unwrap()).exists());
    assert!(Path::new(score["run_file"].as_str().unwrap()).exists());
    // Both names contain the same timestamp.
    let timestamps: Vec<_> = names(&directory.join("scores"))
        .iter()
        .map(|name| name[name.len() - 20..].to_owned())
        .collect();
    assert_eq!(timestamps[0], timestamps[1]);

    let status = read(&directory.join("challenge_status/challenge-1__main.json"));
    #[rustfmt::skip]
    assert_eq!(keys(&status), [
        "challenge_uid", "challenge_type", "processed_at", "miner_count", "total_dialogues", "mean_score", "metadata",
    ]);
    assert_eq!((&status["miner_count"], &status["total_dialogues"]), (&json!(1), &json!(2)));
    let last = events.lock().unwrap().last().cloned();
    assert!(matches!(last, Some(RunEvent::Written { miner: Uid(7), .. })), "{last:?}");
}

#[tokio::test]
async fn failing_miner_is_recorded_and_does_not_affect_others() {
    let directory = tempfile::tempdir().unwrap();
    let failing = ScriptedMiner::silent()
        .with_init(|_, _| Err(CallError::Refused("RuntimeError:boom".into())));
    let miners = [miner(1, &Arc::new(failing)), miner(2, &parrot())];
    let report = runner(directory.path())
        .await
        .play(challenge(&["0.5"]), &miners, Arc::new(()))
        .await
        .unwrap();
    assert_eq!(report.miners.iter().map(|miner| miner.score).collect::<Vec<_>>(), [0.0, 0.5]);
    assert_eq!(report.miners[0].failed_gates.values().sum::<usize>(), 1);
    let log = read(&miner_directory(directory.path(), 1).join("run.json"));
    let utterance = &log["utterances"][0];
    for (field, expected) in [
        ("completed", json!(false)),
        ("error", json!("RuntimeError:boom")),
        ("score_method", json!("prediction_error")),
        ("score_breakdown", json!({"prediction_error": "RuntimeError:boom"})),
        ("reference_text", json!("0.5")),
        ("predicted_audio_path", Value::Null),
        ("miner_session_id", Value::Null),
        ("frame_rate_hz", json!(0.0)),
        ("frame_count_in", json!(0)),
    ] {
        assert_eq!(utterance[field], expected, "{field}");
    }
    assert_eq!(log["completed"], json!(false));
    let (run, _) = score_files(directory.path(), 1);
    assert_eq!(run["utterances"][0]["transcript"], Value::Null);
    assert_eq!(score_files(directory.path(), 2).0["utterances"][0]["transcript"], json!("0.5"));
}

#[tokio::test]
async fn blank_transcript_is_written_as_null() {
    let directory = tempfile::tempdir().unwrap();
    runner(directory.path())
        .await
        .play(challenge(&["0.0"]), &[miner(1, &parrot())], Arc::new(()))
        .await
        .unwrap();
    assert_eq!(score_files(directory.path(), 1).0["utterances"][0]["transcript"], Value::Null);
}

#[tokio::test]
async fn slow_and_silent_miners_do_not_delay_others() {
    let directory = tempfile::tempdir().unwrap();
    let slow_miner = Arc::new(ScriptedMiner::new(|_, call| {
        Step::sound(0, call.in_eos).delayed_by(Duration::from_millis(500))
    }));
    let silent_miner =
        Arc::new(ScriptedMiner::new(|_, _| Step::sound(0, false).delayed_by(Duration::MAX)));
    let events = Arc::new(Mutex::new(Vec::new()));
    let observed = Arc::clone(&events);
    let mut settings = settings(directory.path());
    settings.play.chunk_timeout = Duration::from_secs(3);
    let runner = Runner::open(settings, "en", Arc::new(TextScorer)).await.unwrap();
    let miners = [miner(1, &slow_miner), miner(2, &silent_miner), miner(3, &parrot())];
    let observer = move |event: RunEvent| match event {
        RunEvent::Played { miner, .. } | RunEvent::Failed { miner, .. } => {
            observed.lock().unwrap().push(miner.0);
        }
        _ => {}
    };
    let report =
        runner.play(challenge(&["0.5", "0.5"]), &miners, Arc::new(observer)).await.unwrap();
    // The fast miner has completed all utterances before the others complete one.
    assert_eq!(events.lock().unwrap()[..2], [3, 3]);
    assert_eq!(report.miners.iter().map(|miner| miner.score).collect::<Vec<_>>(), [0.5, 0.0, 0.5]);
    let error = report.miners[1].utterances[1].error.as_deref();
    assert_eq!(error, Some("audio chunk response for frame 1/5 timed out after 3.00s"));
}

#[tokio::test]
async fn long_reply_is_written_without_waiting_for_other_miners() {
    let directory = tempfile::tempdir().unwrap();
    // 25 s of audio in the first response; then one of the miners stops responding.
    let long_step =
        |k, call: &PredictCall| Step::sound(if k == 1 { 600_000 } else { 0 }, call.in_eos);
    let slow_miner = ScriptedMiner::new(move |k, call| {
        long_step(k, call).delayed_by(if k == 1 { Duration::ZERO } else { Duration::MAX })
    });
    let quick_miner = ScriptedMiner::new(move |k, call| {
        // The other miner has started by now.
        long_step(k, call).delayed_by(if k == 1 {
            Duration::from_millis(500)
        } else {
            Duration::ZERO
        })
    });
    let mut settings = settings(directory.path());
    settings.play.chunk_timeout = Duration::from_secs(6);
    settings.play.max_reply = Duration::from_hours(2);
    let runner = Runner::open(settings, "en", Arc::new(TextScorer)).await.unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let observed = Arc::clone(&events);
    let observer = move |event: RunEvent| match event {
        RunEvent::Played { miner, .. } | RunEvent::Failed { miner, .. } => {
            observed.lock().unwrap().push(miner.0);
        }
        _ => {}
    };
    let miners = [miner(1, &Arc::new(slow_miner)), miner(2, &Arc::new(quick_miner))];
    let report = runner.play(challenge(&["0.5"]), &miners, Arc::new(observer)).await.unwrap();
    assert_eq!(*events.lock().unwrap(), [2, 1]);
    assert!(report.miners[1].completed && !report.miners[0].completed);
    // The file has the complete reply, which was never completely in memory.
    let reply =
        std::fs::read(miner_directory(directory.path(), 2).join("predicted/utt_0000.wav")).unwrap();
    assert_eq!(taonet_speech::WavHeader::read(&reply).unwrap().frames, 600_000);
}

#[tokio::test]
async fn unplayable_utterance_does_not_affect_others() {
    let directory = tempfile::tempdir().unwrap();
    let mut challenge = challenge(&["0.5", "0.5", "0.5"]);
    challenge.utterances[1].channels = 2;
    let parrot = parrot();
    let report = runner(directory.path())
        .await
        .play(challenge, &[miner(1, &parrot)], Arc::new(()))
        .await
        .unwrap();
    let scores: Vec<_> =
        report.miners[0].utterances.iter().map(|utterance| utterance.score).collect();
    assert_eq!(scores, [0.5, 0.0, 0.5]);
    assert_eq!(
        report.miners[0].utterances[1].error.as_deref(),
        Some("ValueError:source audio channels mismatch: declared 2, got 1")
    );
    assert_eq!(parrot.init_count(), 2);
}

#[tokio::test]
async fn partial_challenge_is_scored_and_can_be_completed() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let error = "AudioChallengeError:Failed to advance source-audio session: HTTP 503";
    let mut part = challenge(&["0.2", "0.6"]);
    part.utterances.truncate(1);
    part.error = Some(error.into());
    let parrot = parrot();
    let runner = runner(directory).await;
    let report = runner.play(part, &[miner(1, &parrot)], Arc::new(())).await.unwrap();
    assert_eq!((report.outcome, report.error.as_deref()), (RunOutcome::Partial, Some(error)));
    let (run, score) = score_files(directory, 1);
    assert_eq!(
        (&score["challenge_mean_U"], &score["completed"], &score["error"]),
        (&json!(0.2), &json!(false), &json!(error))
    );
    assert_eq!(run["utterances"][0]["completed"], json!(true));
    assert_eq!(names(&directory.join("challenge_status")), [""; 0]);

    // With the complete challenge, the run plays only the missing utterances and rewrites the same
    // files.
    let report =
        runner.play(challenge(&["0.2", "0.6"]), &[miner(1, &parrot)], Arc::new(())).await.unwrap();
    assert_eq!((report.outcome, report.resumed), (RunOutcome::Finished, true));
    assert_eq!(parrot.init_count(), 2);
    let (_, score) = score_files(directory, 1);
    assert_eq!(
        (&score["challenge_mean_U"], &score["completed"], score.get("error")),
        (&json!(0.4), &json!(true), None)
    );
    assert_eq!(names(&directory.join("challenge_status")), ["challenge-1__main.json"]);
}

#[tokio::test]
async fn replies_without_reference_get_error_results() {
    let directory = tempfile::tempdir().unwrap();
    let mut challenge = challenge(&["0.5"]);
    challenge.reference = None;
    let report = runner(directory.path())
        .await
        .play(challenge, &[miner(1, &parrot())], Arc::new(()))
        .await
        .unwrap();
    assert_eq!((report.miners[0].score, report.miners[0].completed), (0.0, true));
}

/// Columns: stored file · error of the utterance
#[tokio::test]
async fn unusable_reference_files_are_reported() {
    for (reference_text, error) in [
        (Some("{"), "ValueError:Scoring metadata cannot be read (not JSON, or too large): "),
        (None, "FileNotFoundError:Scoring metadata not found: "),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("metadata");
        let file = root.join("challenge-1/challenge.json");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        if let Some(reference_text) = reference_text {
            std::fs::write(&file, reference_text).unwrap();
        }
        let settings = RunnerSettings { metadata_root: Some(root), ..settings(directory.path()) };
        let failures = Arc::new(FailureRecorder::default());
        let runner = Runner::open(settings, "en", Arc::clone(&failures) as Arc<dyn ReplyScorer>)
            .await
            .unwrap();
        let challenge = PrefetchedChallenge { reference: None, ..challenge(&["0.5"]) };
        runner.play(challenge, &[miner(1, &parrot())], Arc::new(())).await.unwrap();
        assert_eq!(*failures.0.lock().unwrap(), [format!("{error}{}", file.display())]);
    }
}

/// A scorer that records why a reference is missing.
#[derive(Default)]
struct FailureRecorder(Mutex<Vec<String>>);

impl ReplyScorer for FailureRecorder {
    fn prepare(&self, _: &Candidate) {}

    fn score(
        &self,
        reference: Result<&core::Reference, &BatchFailure>,
        candidates: &[Candidate],
    ) -> Vec<ScoreResult> {
        self.0.lock().unwrap().extend(reference.err().map(|failure| failure.error.to_string()));
        TextScorer.score(reference, candidates)
    }
}

/// A scorer that scores nothing before the third call of `prepare`. The first reply is prepared
/// when it is stored and again before it is scored, so the third call is for the second reply.
#[derive(Default)]
struct WaitingScorer {
    prepare_calls: Mutex<usize>,
    changed: Condvar,
}

impl ReplyScorer for WaitingScorer {
    fn prepare(&self, _: &Candidate) {
        *self.prepare_calls.lock().unwrap() += 1;
        self.changed.notify_all();
    }

    fn score(
        &self,
        reference: Result<&core::Reference, &BatchFailure>,
        candidates: &[Candidate],
    ) -> Vec<ScoreResult> {
        let (calls, limit) = (self.prepare_calls.lock().unwrap(), Duration::from_secs(30));
        let (_calls, wait_result) =
            self.changed.wait_timeout_while(calls, limit, |calls| *calls < 3).unwrap();
        assert!(
            !wait_result.timed_out(),
            "replies to later utterances wait for the scores of the first one"
        );
        TextScorer.score(reference, candidates)
    }
}

#[tokio::test]
async fn recognition_of_later_replies_overlaps_earlier_scoring() {
    let directory = tempfile::tempdir().unwrap();
    let runner = Runner::open(settings(directory.path()), "en", Arc::new(WaitingScorer::default()))
        .await
        .unwrap();
    let report = runner
        .play(challenge(&["0.2", "0.6"]), &[miner(1, &parrot())], Arc::new(()))
        .await
        .unwrap();
    let scores: Vec<_> =
        report.miners[0].utterances.iter().map(|utterance| utterance.score).collect();
    assert_eq!(scores, [0.2, 0.6]);
}

#[tokio::test]
async fn stored_source_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let runner = runner(directory.path()).await;
    let part = |samples: usize| {
        let mut part = challenge(&["0.2"]);
        part.error = Some("AudioChallengeError:cut off".into());
        part.utterances[0].utterance_frames = samples as u64;
        part.utterances[0].audio_b64 = STANDARD.encode(wav(samples, 24_000));
        part
    };
    let file = directory.path().join("logs/s2s/challenge-1/main/source/utt_0000.wav");
    runner.play(part(9_600), &[miner(1, &parrot())], Arc::new(())).await.unwrap();
    runner.play(part(1_920), &[miner(1, &parrot())], Arc::new(())).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), wav(9_600, 24_000));
    // The import restores a missing source file if the engine delivers the audio recorded in the
    // ledger.
    std::fs::remove_file(&file).unwrap();
    runner.play(part(9_600), &[miner(1, &parrot())], Arc::new(())).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), wav(9_600, 24_000));
}

#[tokio::test]
async fn unsafe_challenge_uid_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let runner = runner(directory.path()).await;
    for name in ["../../etc", "a/b", ".."] {
        let challenge = PrefetchedChallenge { challenge_uid: name.into(), ..challenge(&["0.5"]) };
        let error = runner.play(challenge, &[miner(1, &parrot())], Arc::new(())).await.unwrap_err();
        assert!(matches!(error, RunError::ChallengeUid(_)));
    }
    let no_utterances = PrefetchedChallenge { utterances: Vec::new(), ..challenge(&[]) };
    let report = runner.play(no_utterances, &[], Arc::new(())).await.unwrap();
    assert_eq!(report.outcome, RunOutcome::NoChallenge);
    assert_eq!(names(&directory.path().join("logs")), [""; 0]);
}

/// With submissions enabled, the run queues a miner's files once they are written, and queues a
/// complete result only once.
#[tokio::test]
async fn results_are_queued_if_submission_is_enabled() {
    let directory = tempfile::tempdir().unwrap();
    let open = async |submit: bool, name: &str| {
        let settings = RunnerSettings { submit, ..settings(&directory.path().join(name)) };
        Runner::open(settings, "en", Arc::new(TextScorer)).await.unwrap()
    };
    let disabled = open(false, "off").await;
    disabled.play(challenge(&["0.2"]), &[miner(7, &parrot())], Arc::new(())).await.unwrap();
    assert_eq!(disabled.ledger().outbox_counts().await.unwrap().waiting, 0);
    let enabled = open(true, "on").await;
    for _ in 0..2 {
        enabled
            .play(challenge(&["0.2"]), &[miner(7, &parrot()), miner(8, &parrot())], Arc::new(()))
            .await
            .unwrap();
        let due = enabled.ledger().due(i64::MAX, 100).await.unwrap();
        assert_eq!(due.len(), 8);
        assert!(
            due.iter()
                .all(|entry| entry.score_method == "semantic_audio_v1"
                    && entry.run_sha256.len() == 64)
        );
    }
}
