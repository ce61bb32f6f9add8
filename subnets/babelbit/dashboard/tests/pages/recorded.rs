//! Test ledgers and recordings, as a runner writes them.

use std::path::Path;

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};
use taonet_babelbit_core::records::{ChallengeType, MinerKey};
use taonet_babelbit_core::scoring::{Gate, ScoreResult, Timeline};
use taonet_babelbit_runner::files::Layout;
use taonet_babelbit_runner::{
    ChallengeRow, Ledger, NewChallenge, ReplyFailure, ReplyRecord, ResultRow, RunPaths, SourceInfo,
    StoredScore, UtteranceRow, WallClock,
};
use taonet_babelbit_scorer::Transcription;
use taonet_primitives::{Hotkey, SampleRate, Transcript, Uid, Word};
use taonet_speech::{Pcm, SampleFormat, Wav};

/// Text that would run a script, hide itself, or clear a terminal.
pub(crate) const INJECTION: &str =
    "\"><script>alert(1)</script><img src=x onerror=alert(1)>'\u{202e}\u{1b}[2J";

pub(crate) fn hotkey(number: u16) -> Hotkey {
    let mut bytes = [7; 32];
    bytes[..2].copy_from_slice(&number.to_le_bytes());
    Hotkey::from_bytes(bytes)
}

fn miner(number: u16) -> MinerKey {
    MinerKey { uid: Uid(number), hotkey: hotkey(number) }
}

/// Executes an SQL statement on a ledger, without the runner's API.
pub(crate) async fn execute(state: &Path, statement: &'static str) {
    let options = SqliteConnectOptions::new().filename(state.join("runner.sqlite"));
    let mut connection = options.connect().await.unwrap();
    connection.execute(statement).await.unwrap();
}

/// Stores the display name of a miner, as the runner does.
pub(crate) fn set_name(directory: &Path, number: u16, name: &str) {
    let file = directory.join("state/miner-names.json");
    std::fs::write(file, json!({ hotkey(number).to_string(): name }).to_string()).unwrap();
}

fn tone(seconds: f64) -> Vec<u8> {
    let rate = SampleRate::HZ_24K;
    let samples = (0..(seconds * 24_000.0) as u32)
        .map(|at| (f64::from(at) * 0.06).sin() as f32 * 0.6)
        .collect();
    Wav::encode(&Pcm::mono(samples, rate), SampleFormat::S16).unwrap()
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn score(
    value: f64,
    accuracy: f64,
    overshoot: f64,
    reference: &str,
    transcript: &str,
    error: Option<&str>,
) -> ScoreResult {
    let mut result = json!({
        "score": value, "raw_score": value, "accuracy": accuracy, "accuracy_pass": accuracy >= 0.65,
        "speech_rate": {"penalty": 1.0, "miner_wps": 2.1, "reference_wps": 2.0, "ratio": 1.05},
        "latency": {
            "score": 1.0, "completion_sec": 4.0 + overshoot, "source_duration_sec": 4.0, "overshoot_sec": overshoot,
            "allowed_overshoot_sec": 2.0,
        },
        "stt_text": transcript, "gt_text": reference, "predicted_duration_sec": 2.0,
        "effective_completion_sec": 4.0 + overshoot, "source_duration_sec": 4.0, "score_is_fallback": false,
        "score_method": "semantic_audio_v1", "scoring_metadata_source": null,
    });
    if let Some(error) = error {
        result["score_error"] = Value::from(error);
    }
    serde_json::from_value(result).unwrap()
}

fn reply(seconds: f64) -> ReplyRecord {
    let bytes = (seconds * 96_000.0) as u64;
    ReplyRecord {
        session_id: Some(INJECTION.into()),
        frames_in: 50,
        timeline: Timeline::new(vec![(20, bytes / 2), (50, bytes / 2)], 52),
        wall: WallClock { after_source_sec: 0.3, total_sec: 5.0 },
        frames: (seconds * 24_000.0) as u64,
        wav_bytes: 96_044,
    }
}

fn sample_transcription(text: &str) -> Transcription {
    let words = text.split(' ').zip(0_u32..).map(|(word, at)| {
        let start = f64::from(at) * 0.4;
        Word { text: word.to_owned(), start, end: start + 0.3 }
    });
    let transcript =
        Transcript { text: text.into(), words: words.collect(), detected_language: "en".into() };
    Transcription { transcript, confidence: Some(0.9) }
}

/// A run directory with a ledger and recordings.
pub(crate) struct RecordedRuns {
    pub(crate) ledger: Ledger,
    paths: RunPaths,
}

impl RecordedRuns {
    pub(crate) async fn open(directory: &Path) -> Self {
        let paths = RunPaths::in_directory(directory);
        Self { ledger: Ledger::open(&paths.state).await.unwrap(), paths }
    }

    async fn begin(&self, uid: &str, utterances: u32, text: &str) -> ChallengeRow {
        let source = SourceInfo {
            sample_rate_hz: 24_000,
            channels: 1,
            sample_width_bytes: 2,
            frames: 96_000,
            wav_bytes: 192_044,
            wav_sha256: "ab".into(),
        };
        let utterance = |index: u32| UtteranceRow {
            index,
            utterance_id: format!("{text}:{index}"),
            language: text.into(),
            source: Ok(source.clone()),
        };
        let reference: Vec<_> = (0..utterances)
            .map(|index| json!({"utterance_id": format!("{text}:{index}"), "target": {"text": text, "words": [], "wps": 2.0}}))
            .collect();
        let new = NewChallenge {
            challenge_uid: uid.into(),
            title: None,
            challenge_type: ChallengeType::Main,
            run_timestamp: "20260101_120000".into(),
            started_unix: 1_780_000_000,
            error: None,
            main_challenge_uid: None,
            reference: Some(json!({"utterances": reference})),
            reference_source: Some(text.into()),
            utterances: (0..utterances).map(utterance).collect(),
        };
        self.ledger.begin(&new).await.unwrap()
    }

    async fn record(
        &self,
        row: &ChallengeRow,
        number: u16,
        index: u32,
        outcome: Result<String, ReplyFailure>,
    ) {
        let result = ResultRow {
            miner: miner(number),
            utterance_index: index,
            reply: reply(2.0),
            outcome,
            score: None,
        };
        assert!(self.ledger.record(row, &result).await.unwrap());
    }

    /// Records a challenge: miner 1 fails, miner 2 wins, and the replies of all other miners have a
    /// low accuracy.
    pub(crate) async fn play(&self, uid: &str, miners: u16, utterances: u32) {
        let row = self.begin(uid, utterances, "the train is late").await;
        let layout = Layout::new(&self.paths, &row);
        for index in 0..utterances {
            write(&layout.shared_source(index), &tone(4.0));
            let mut scores = Vec::new();
            for number in 1..=miners {
                if number == 1 {
                    self.record(&row, number, index, Err("RuntimeError:boom".into())).await;
                    continue;
                }
                write(&layout.predicted(miner(number), index), &tone(2.0));
                self.record(&row, number, index, Ok(format!("{number:02x}"))).await;
                let stored = match number {
                    2 => StoredScore {
                        transcription: Some(sample_transcription("the train is late")),
                        ..score(0.75, 0.9, 0.5, "the train is late", "the train is late", None)
                            .into()
                    },
                    _ => StoredScore {
                        failed_gates: vec![Gate::Accuracy],
                        transcription: Some(sample_transcription("the train is early")),
                        ..score(0.0, 0.41, 0.5, "the train is late", "the train is early", None)
                            .into()
                    },
                };
                scores.push((miner(number), stored));
            }
            self.ledger.score(&row, index, &scores, None).await.unwrap();
        }
        self.ledger.finish(&row).await.unwrap();
    }

    /// Records a challenge in which every text is hostile.
    pub(crate) async fn play_hostile(&self) {
        let row = self.begin(INJECTION, 2, INJECTION).await;
        for index in 0..2 {
            self.record(&row, 1, index, Err(INJECTION.into())).await;
            self.record(&row, 2, index, Ok("ab".into())).await;
            self.record(&row, 3, index, Ok("cd".into())).await;
            let injected_text = "<script>alert(2)</script>";
            let mut other_language = sample_transcription(injected_text);
            other_language.transcript.detected_language = INJECTION.into();
            let scores = [
                (
                    miner(2),
                    StoredScore {
                        transcription: Some(other_language),
                        failed_gates: vec![Gate::Language],
                        ..score(0.0, 0.2, 0.5, INJECTION, injected_text, None).into()
                    },
                ),
                (
                    miner(3),
                    StoredScore {
                        failed_gates: vec![Gate::ScoringError],
                        ..score(0.0, 0.2, 0.5, INJECTION, INJECTION, Some(INJECTION)).into()
                    },
                ),
            ];
            self.ledger.score(&row, index, &scores, None).await.unwrap();
        }
    }
}

fn link(file: &Path, path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::hard_link(file, path).unwrap();
}

/// Adds results of the text contest, each with ten dialogues.
pub(crate) fn generate_texts(directory: &Path, runs: u32) {
    let scores = RunPaths::in_directory(directory).scores;
    std::fs::create_dir_all(&scores).unwrap();
    let dialogue = |index: u32| json!({"dialogue_uid": format!("dialogue-{index}"), "dialogue_average_u_best_early": 0.5});
    let dialogues: Vec<_> = (0..10).map(dialogue).collect();
    let steps: Vec<_> = (0..8)
        .map(|step| {
            json!({"step": step, "lexical_similarity": 0.5, "semantic_similarity": 0.5, "earliness": 0.5, "U_step": 0.5,
                "prediction": "is this seat free"})
        })
        .collect();
    let utterances: Vec<_> = (0..20)
        .map(|number| {
            json!({"utterance_number": number, "ground_truth": "is this seat free or is it taken", "steps": steps,
                "best_step": 3, "U_best": 0.5})
        })
        .collect();
    for number in 0..runs {
        let hotkey = hotkey(u16::try_from(number).unwrap()).to_string();
        let run = json!({"challenge_uid": "small-talk", "miner_uid": number, "miner_hotkey": hotkey,
            "challenge_mean_U": 0.5, "dialogues": dialogues});
        let head = format!("small-talk_type_main_miner_{number}");
        let path = scores.join(format!("challenge_run_{head}_run_20261122_030405.json"));
        std::fs::write(path, run.to_string()).unwrap();
        let document = json!({"dialogue_uid": "dialogue-0", "utterances": utterances}).to_string();
        let path = scores
            .join(format!("dialogue_run_{head}_dlg_dialogue-0_run_20261122_030405-score.json"));
        std::fs::write(path, document).unwrap();
    }
}

/// Fills a ledger with copies of one challenge's results, in SQL: the runner's API would take
/// minutes. The challenges in `recordings` have recordings.
pub(crate) async fn generate(
    directory: &Path,
    challenges: u32,
    miners: u16,
    utterances: u32,
    recordings: &[u32],
) {
    let recorded = RecordedRuns::open(directory).await;
    recorded.play("challenge-1", 2, 1).await;
    let (source, reply) = (directory.join("source.wav"), directory.join("reply.wav"));
    write(&source, &tone(4.0));
    write(&reply, &tone(2.0));
    for number in 2..=challenges {
        let row =
            recorded.begin(&format!("challenge-{number}"), utterances, "the train is late").await;
        let layout = Layout::new(&recorded.paths, &row);
        // Links, since copies of the recordings would take gigabytes.
        for index in (0..utterances).filter(|_| recordings.contains(&number)) {
            link(&source, &layout.shared_source(index));
            for number in 1..=miners {
                link(&reply, &layout.predicted(miner(number), index));
            }
        }
    }
    drop(recorded);
    let state = directory.join("state");
    let options = SqliteConnectOptions::new().filename(state.join("runner.sqlite"));
    let mut connection = options.connect().await.unwrap();
    let (reply, score): (String, String) =
        sqlx::query_as("SELECT reply, score FROM result WHERE miner_uid = 2")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    connection.execute("BEGIN").await.unwrap();
    connection.execute("DELETE FROM result").await.unwrap();
    connection.execute("UPDATE challenge SET state = 'finished'").await.unwrap();
    for challenge in 1..=challenges {
        for number in 1..=miners {
            for index in 0..utterances {
                sqlx::query("INSERT INTO result (challenge_id, miner_uid, miner_hotkey, utterance_index, state, reply, wav_sha256, score) VALUES (?, ?, ?, ?, 'scored', ?, 'ab', ?)")
                    .bind(challenge)
                    .bind(number)
                    .bind(hotkey(number).to_string())
                    .bind(index)
                    .bind(&reply)
                    .bind(&score)
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
        }
    }
    connection.execute("COMMIT").await.unwrap();
}
