//! Result files, under the reference's names.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use taonet_babelbit_core::records::{ChallengeType, MinerKey, is_safe_name};
use taonet_babelbit_core::rounding::round6;
use taonet_babelbit_core::text::{DialogueScore, Event};
use taonet_babelbit_runner::RunPaths;
use taonet_primitives::{Hotkey, Uid};
use taonet_service::{Access, atomic_write};

/// Kind of a result file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrittenKind {
    /// A miner's log of a dialogue.
    DialogueLog,
    /// A miner's scores of a dialogue.
    DialogueScore,
    /// A miner's mean over all dialogues.
    ChallengeScore,
}

/// A result file of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Kind of the file.
    pub kind: WrittenKind,
    /// The miner.
    pub miner: MinerKey,
    /// The dialogue, unless the file is of the whole challenge.
    pub dialogue_uid: Option<String>,
    /// Path of the file.
    pub path: PathBuf,
}

/// Names and contents of one run's files.
pub(super) struct Files<'a> {
    paths: &'a RunPaths,
    challenge_uid: Option<&'a str>,
    challenge_type: ChallengeType,
    /// Local time of the run.
    timestamp: String,
}

/// A line of a log, in the reference's order.
#[derive(Serialize)]
struct Line<'a> {
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

/// The file that means that a challenge is done.
#[derive(Serialize, Deserialize)]
struct DoneDocument {
    files: Vec<StoredFile>,
}

/// A written file, by its name in its directory.
#[derive(Serialize, Deserialize)]
struct StoredFile {
    kind: WrittenKind,
    miner_uid: Uid,
    miner_hotkey: Hotkey,
    dialogue_uid: Option<String>,
    name: String,
}

impl<'a> Files<'a> {
    pub(super) fn new(
        paths: &'a RunPaths,
        challenge_uid: Option<&'a str>,
        challenge_type: ChallengeType,
        now: &jiff::Zoned,
    ) -> Self {
        Self { paths, challenge_uid, challenge_type, timestamp: now.strftime("%Y%m%d_%H%M%S").to_string() }
    }

    /// Beginning of the names of a miner's files.
    fn head(&self, kind: &str, miner: MinerKey) -> String {
        let challenge = safe(self.challenge_uid.unwrap_or("unknown"));
        format!("{kind}_{challenge}_type_{}_miner_{}", self.challenge_type, miner.uid)
    }

    /// Writes a miner's log of a dialogue.
    pub(super) fn log(&self, miner: MinerKey, dialogue_uid: &str, events: &[Event]) -> io::Result<WrittenFile> {
        let (head, dialogue) = (self.head("dialogue_run", miner), safe(dialogue_uid));
        let path = self.paths.logs.join(format!("{head}__hk_{}__dlg_{dialogue}.jsonl", miner.hotkey));
        let mut text = String::new();
        for event in events {
            let line = Line {
                event: event.event.as_deref(),
                utterance_index: event.utterance_index,
                step: event.step.as_ref(),
                prediction: event.prediction.as_deref(),
                ground_truth: event.ground_truth.as_deref(),
                challenge_type: self.challenge_type,
            };
            let _ = writeln!(text, "{}", serde_json::to_string(&line)?);
        }
        write(&path, text.as_bytes())?;
        let dialogue_uid = Some(dialogue_uid.to_owned());
        Ok(WrittenFile { kind: WrittenKind::DialogueLog, miner, dialogue_uid, path })
    }

    /// Writes a miner's scores of a dialogue.
    pub(super) fn score(
        &self,
        miner: MinerKey,
        dialogue_uid: &str,
        log: &WrittenFile,
        score: &DialogueScore,
    ) -> io::Result<WrittenFile> {
        let (head, dialogue) = (self.head("dialogue_run", miner), safe(dialogue_uid));
        let path = self.paths.scores.join(format!("{head}_dlg_{dialogue}_run_{}-score.json", self.timestamp));
        let document = ScoreDocument {
            log_file: log.path.display().to_string(),
            score,
            challenge_uid: self.challenge_uid,
            challenge_type: self.challenge_type,
            miner_uid: miner.uid,
            miner_hotkey: miner.hotkey,
        };
        write(&path, &serde_json::to_vec_pretty(&document)?)?;
        let dialogue_uid = Some(dialogue_uid.to_owned());
        Ok(WrittenFile { kind: WrittenKind::DialogueScore, miner, dialogue_uid, path })
    }

    /// Writes a miner's mean over its dialogues: uid, position in the challenge, score.
    pub(super) fn run(&self, miner: MinerKey, dialogues: &[(String, u32, f64)], mean: f64) -> io::Result<WrittenFile> {
        let path = self.paths.scores.join(format!("{}_run_{}.json", self.head("challenge_run", miner), self.timestamp));
        let dialogues =
            dialogues.iter().map(|(uid, index, score)| RunDialogue { uid, average_best: *score, index: *index });
        let document = RunDocument {
            challenge_uid: self.challenge_uid,
            challenge_type: self.challenge_type,
            miner_uid: miner.uid,
            miner_hotkey: miner.hotkey,
            dialogues: dialogues.collect(),
            mean: round6(mean),
        };
        write(&path, &serde_json::to_vec_pretty(&document)?)?;
        Ok(WrittenFile { kind: WrittenKind::ChallengeScore, miner, dialogue_uid: None, path })
    }

    /// Path of the file that means that the challenge is done. A challenge without uid never is.
    fn done_path(&self) -> Option<PathBuf> {
        let name = format!("text_run_{}_type_{}.json", safe(self.challenge_uid?), self.challenge_type);
        Some(self.paths.status.join(name))
    }

    /// Records that the challenge is done, with its files in the order of submission.
    pub(super) fn write_done(&self, written: &[WrittenFile]) -> io::Result<()> {
        let Some(path) = self.done_path() else { return Ok(()) };
        let stored = |file: &WrittenFile| StoredFile {
            kind: file.kind,
            miner_uid: file.miner.uid,
            miner_hotkey: file.miner.hotkey,
            dialogue_uid: file.dialogue_uid.clone(),
            name: file.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        };
        let document = DoneDocument { files: written.iter().map(stored).collect() };
        // A marker of other files, played before someone removed the record of them, must not count for these.
        match std::fs::remove_file(submitted_path(&path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        write(&path, &serde_json::to_vec_pretty(&document)?)
    }

    /// Whether an earlier run is done with this challenge.
    pub(super) fn is_done(&self) -> io::Result<bool> {
        self.done_path().map_or(Ok(false), |path| path.try_exists())
    }

    /// The files of a challenge that is done but not completely submitted.
    pub(super) fn unsubmitted(&self) -> io::Result<Vec<WrittenFile>> {
        let Some(path) = self.done_path() else { return Ok(Vec::new()) };
        if submitted_path(&path).try_exists()? || !path.try_exists()? {
            return Ok(Vec::new());
        }
        let document: DoneDocument = serde_json::from_slice(&std::fs::read(&path)?)?;
        let written = |file: StoredFile| {
            let directory = match file.kind {
                WrittenKind::DialogueLog => &self.paths.logs,
                WrittenKind::DialogueScore | WrittenKind::ChallengeScore => &self.paths.scores,
            };
            WrittenFile {
                kind: file.kind,
                miner: MinerKey { uid: file.miner_uid, hotkey: file.miner_hotkey },
                dialogue_uid: file.dialogue_uid,
                path: directory.join(file.name),
            }
        };
        Ok(document.files.into_iter().map(written).collect())
    }

    /// Records that all files of a challenge that is done are submitted.
    pub(super) fn write_submitted(&self) -> io::Result<()> {
        match self.done_path() {
            Some(path) if path.try_exists()? => write(&submitted_path(&path), b""),
            _ => Ok(()),
        }
    }
}

/// Path of the marker of a complete submission.
fn submitted_path(done: &Path) -> PathBuf {
    done.with_extension("submitted")
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    atomic_write(path, bytes, Access::Everyone).map_err(|error| error.source)
}

/// A name from the engine as part of a file name.
fn safe(name: &str) -> String {
    if is_safe_name(name) {
        return name.to_owned();
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let text: String = name.chars().map(plain).take(100).collect();
    if text.is_empty() { "unknown".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_engine_stay_in_their_directory() {
        for (name, expected) in
            [("d-1.x", "d-1.x"), ("", "unknown"), ("../../etc", "______etc"), (".", "_"), ("ü b", "__b")]
        {
            assert_eq!(safe(name), expected);
        }
        assert_eq!(safe(&"/".repeat(500)).len(), 100);
    }
}
