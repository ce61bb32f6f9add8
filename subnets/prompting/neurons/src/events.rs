//! The record of all steps, from which weights can be recomputed.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use taonet_primitives::{Hotkey, Uid};
use taonet_prompting_core::{Event, EventReward};

use crate::lines::{LinesError, read_bytes};

/// Size in bytes from which on the log is renamed and a new one begins. One old log is kept.
const ROTATED: u64 = 64 << 20;
/// Number of characters of a text that are recorded.
const RECORDED: usize = 500;

/// A step of the validator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The last message of the conversation, or the last text, shortened.
    pub question: String,
    /// Seed of sampled Shapley values, in steps that reward with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The reply of each miner that was asked.
    pub answers: Vec<AnswerRecord>,
}

/// The reply of one miner in a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerRecord {
    /// Uid of the miner.
    pub uid: Uid,
    /// Hotkey of the miner.
    pub hotkey: Hotkey,
    /// Share of the step's reward, which moves the miner's average.
    pub share: f64,
    /// The reward before it is normalised.
    pub reward: f64,
    /// The parts of the reward by name.
    pub parts: BTreeMap<String, f64>,
    /// The completion, or the likeliest token after the last text, shortened.
    pub completion: String,
    /// Why there is no completion, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Seconds until the reply.
    pub seconds: f64,
}

impl StepRecord {
    /// Returns what the step contributes to the weights.
    pub fn event(&self) -> Event {
        let reward =
            |answer: &AnswerRecord| EventReward { uid: answer.uid, hotkey: answer.hotkey, share: answer.share };
        Event { rewards: self.answers.iter().map(reward).collect() }
    }
}

/// Shortens a text for the log.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(RECORDED).collect()
}

/// The file with the record of each step, one JSON object a line.
#[derive(Debug, Clone)]
pub struct EventLog {
    path: PathBuf,
}

impl EventLog {
    /// Creates the log in a directory, without touching the file.
    pub fn in_directory(directory: &Path) -> Self {
        Self { path: directory.join("events.jsonl") }
    }

    /// Appends a step. A large log is renamed to `events.old.jsonl` before.
    pub(crate) fn append(&self, record: &StepRecord) -> io::Result<()> {
        if self.path.metadata().is_ok_and(|metadata| metadata.len() >= ROTATED) {
            std::fs::rename(&self.path, self.path.with_extension("old.jsonl"))?;
        }
        // The line break comes first: a line that a killed process left incomplete does not spoil the next one.
        let line = [b"\n".as_slice(), &serde_json::to_vec(record)?].concat();
        OpenOptions::new().create(true).append(true).open(&self.path)?.write_all(&line)
    }

    /// Reads all steps of the log, the oldest first; none if there is no log. Lines that a killed process left incomplete
    /// are skipped.
    ///
    /// # Errors
    /// [`LinesError`] when the file cannot be read.
    pub fn read(&self) -> Result<Vec<StepRecord>, LinesError> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        // Bytes instead of text: an incomplete line can end within a character.
        let bytes = read_bytes(&self.path)?;
        Ok(bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(question: &str) -> StepRecord {
        let answer = AnswerRecord {
            uid: Uid(3),
            hotkey: Hotkey::from_bytes([1; 32]),
            share: 0.75,
            reward: 0.5,
            parts: BTreeMap::from([("speed".to_owned(), 1.0)]),
            completion: "line\nbreak".to_owned(),
            error: None,
            seconds: 0.25,
        };
        StepRecord { question: question.to_owned(), seed: Some(u64::MAX), answers: vec![answer] }
    }

    #[test]
    fn incomplete_line_loses_only_itself() {
        let directory = tempfile::tempdir().unwrap();
        let log = EventLog::in_directory(directory.path());
        assert!(log.read().unwrap().is_empty());
        log.append(&record("one")).unwrap();
        let mut file = OpenOptions::new().append(true).open(&log.path).unwrap();
        file.write_all(b"\n{\"question\": \"half of \xc3").unwrap();
        log.append(&record("two")).unwrap();
        assert_eq!(log.read().unwrap(), [record("one"), record("two")]);
    }

    #[test]
    fn large_log_is_renamed() {
        let directory = tempfile::tempdir().unwrap();
        let log = EventLog::in_directory(directory.path());
        std::fs::File::create(&log.path).unwrap().set_len(ROTATED).unwrap();
        log.append(&record("new")).unwrap();
        assert_eq!(log.read().unwrap(), [record("new")]);
        assert_eq!(directory.path().join("events.old.jsonl").metadata().unwrap().len(), ROTATED);
    }
}
