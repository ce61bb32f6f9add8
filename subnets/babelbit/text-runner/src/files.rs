//! Result files, named as in the reference system.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use taonet_babelbit_core::records::{ChallengeType, MinerKey};
use taonet_babelbit_core::rounding::round6;
use taonet_babelbit_core::submission_api::ResultFile;
use taonet_babelbit_core::text::{DialogueScore, Event};
use taonet_babelbit_runner::{NamedFile, RunPaths, TextFile, file_name_part};
use taonet_primitives::{Hotkey, Uid};
use taonet_service::{Access, atomic_write};

/// Writer of one run's result files.
pub(super) struct Files<'a> {
    paths: &'a RunPaths,
    challenge_uid: Option<&'a str>,
    challenge_type: ChallengeType,
    /// Local time of the run, as in file names.
    timestamp: String,
}

/// A line of a log, with fields in the reference's order.
#[derive(Serialize)]
struct LogLine<'a> {
    event: Option<&'a str>,
    utterance_index: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prediction: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ground_truth: Option<&'a str>,
    challenge_type: ChallengeType,
}

#[derive(Serialize)]
struct ScoreDocument<'a> {
    log_file: String,
    #[serde(flatten)]
    score: &'a DialogueScore,
    challenge_uid: Option<&'a str>,
    challenge_type: ChallengeType,
    miner_uid: Uid,
    miner_hotkey: Hotkey,
}

#[derive(Serialize)]
struct RunDocument<'a> {
    challenge_uid: Option<&'a str>,
    challenge_type: ChallengeType,
    miner_uid: Uid,
    miner_hotkey: Hotkey,
    dialogues: Vec<RunDialogue<'a>>,
    #[serde(rename = "challenge_mean_U")]
    mean: f64,
}

#[derive(Serialize)]
struct RunDialogue<'a> {
    #[serde(rename = "dialogue_uid")]
    uid: &'a str,
    #[serde(rename = "dialogue_average_u_best_early")]
    average_best: f64,
    #[serde(rename = "dialogue_index")]
    index: u32,
}

impl<'a> Files<'a> {
    pub(super) fn new(
        paths: &'a RunPaths,
        challenge_uid: Option<&'a str>,
        challenge_type: ChallengeType,
        now: &jiff::Zoned,
    ) -> Self {
        Self { paths, challenge_uid, challenge_type, timestamp: timestamp(now) }
    }

    /// Returns the common prefix of the names of a miner's files.
    fn file_prefix(&self, kind: &str, miner: MinerKey) -> String {
        let challenge = file_name_part(self.challenge_uid.unwrap_or("unknown"));
        format!("{kind}_{challenge}_type_{}_miner_{}", self.challenge_type, miner.uid)
    }

    /// Writes a miner's log of a dialogue.
    pub(super) fn log(
        &self,
        miner: MinerKey,
        dialogue_uid: &str,
        events: &[Event],
    ) -> io::Result<TextFile> {
        let (prefix, dialogue) =
            (self.file_prefix("dialogue_run", miner), file_name_part(dialogue_uid));
        let name = format!("{prefix}__hk_{}__dlg_{dialogue}.jsonl", miner.hotkey);
        let mut text = String::new();
        for event in events {
            let line = LogLine {
                event: event.event.as_deref(),
                utterance_index: event.utterance_index,
                step: event.step.as_ref(),
                prediction: event.prediction.as_deref(),
                ground_truth: event.ground_truth.as_deref(),
                challenge_type: self.challenge_type,
            };
            let _ = writeln!(text, "{}", serde_json::to_string(&line)?);
        }
        write(
            &self.paths.logs,
            name,
            text.as_bytes(),
            ResultFile::RunLog,
            miner,
            Some(dialogue_uid),
        )
    }

    /// Writes a miner's scores of a dialogue.
    pub(super) fn score(
        &self,
        miner: MinerKey,
        dialogue_uid: &str,
        log: &TextFile,
        score: &DialogueScore,
    ) -> io::Result<TextFile> {
        let (prefix, dialogue) =
            (self.file_prefix("dialogue_run", miner), file_name_part(dialogue_uid));
        let name = format!("{prefix}_dlg_{dialogue}_run_{}-score.json", self.timestamp);
        let document = ScoreDocument {
            log_file: self.paths.logs.join(&log.named.name).display().to_string(),
            score,
            challenge_uid: self.challenge_uid,
            challenge_type: self.challenge_type,
            miner_uid: miner.uid,
            miner_hotkey: miner.hotkey,
        };
        let content = serde_json::to_vec_pretty(&document)?;
        write(
            &self.paths.scores,
            name,
            &content,
            ResultFile::DialogueScore,
            miner,
            Some(dialogue_uid),
        )
    }

    /// Writes a miner's mean score over its dialogues. `dialogues` has the uid, position in the
    /// challenge and score of each dialogue.
    pub(super) fn run(
        &self,
        miner: MinerKey,
        dialogues: &[(String, u32, f64)],
        mean: f64,
    ) -> io::Result<TextFile> {
        let name =
            format!("{}_run_{}.json", self.file_prefix("challenge_run", miner), self.timestamp);
        let dialogues = dialogues.iter().map(|(uid, index, score)| RunDialogue {
            uid,
            average_best: *score,
            index: *index,
        });
        let document = RunDocument {
            challenge_uid: self.challenge_uid,
            challenge_type: self.challenge_type,
            miner_uid: miner.uid,
            miner_hotkey: miner.hotkey,
            dialogues: dialogues.collect(),
            mean: round6(mean),
        };
        let content = serde_json::to_vec_pretty(&document)?;
        write(&self.paths.scores, name, &content, ResultFile::ChallengeScore, miner, None)
    }
}

/// Writes a file and describes it for submission.
fn write(
    directory: &Path,
    name: String,
    content: &[u8],
    file: ResultFile,
    miner: MinerKey,
    dialogue_uid: Option<&str>,
) -> io::Result<TextFile> {
    std::fs::create_dir_all(directory)?;
    atomic_write(directory.join(&name), content, Access::Everyone).map_err(|error| error.source)?;
    let named = NamedFile { name, dialogue_uid: dialogue_uid.map(str::to_owned) };
    Ok(TextFile { file, miner, named, sha256: hex::encode(Sha256::digest(content)) })
}

/// Formats the local time of a run for file names.
pub(super) fn timestamp(now: &jiff::Zoned) -> String {
    now.strftime("%Y%m%d_%H%M%S").to_string()
}
