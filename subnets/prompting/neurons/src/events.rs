//! The record of all steps, from which weights can be recomputed.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use taonet_kit::RequestHash;
use taonet_primitives::{Hotkey, Uid};
use taonet_prompting_core::{Event, EventReward};

use crate::lines::{LinesError, read_bytes};

/// Size in bytes from which on the log is rotated. One old log is kept.
const MAX_LOG_BYTES: u64 = 64 << 20;
/// Size in bytes of the tail of the log that is searched for the latest steps.
const MAX_TAIL_BYTES: u64 = 4 << 20;
/// Number of characters of a text that are recorded.
const MAX_RECORDED_CHARS: usize = 500;

/// A step of the validator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The last message of the conversation, or the last text, shortened.
    pub question: String,
    /// Hash of the request, by which the kit's record of the scores refers to the step; `None` in
    /// logs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestHash>,
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
        let reward = |answer: &AnswerRecord| EventReward {
            uid: answer.uid,
            hotkey: answer.hotkey,
            share: answer.share,
        };
        Event { rewards: self.answers.iter().map(reward).collect() }
    }
}

/// Shortens a text for the log.
pub(crate) fn truncate_text(text: &str) -> String {
    text.chars().take(MAX_RECORDED_CHARS).collect()
}

/// The newest steps of a log.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LatestSteps {
    /// The steps, newest first.
    pub steps: Vec<StepRecord>,
    /// Time of the last write; `None` if there is no log.
    pub written_at: Option<SystemTime>,
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
        if self.path.metadata().is_ok_and(|metadata| metadata.len() >= MAX_LOG_BYTES) {
            std::fs::rename(&self.path, self.rotated_path())?;
        }
        // The line break comes first: a line that a killed process left incomplete does not spoil
        // the next one.
        let line = [b"\n".as_slice(), &serde_json::to_vec(record)?].concat();
        OpenOptions::new().create(true).append(true).open(&self.path)?.write_all(&line)
    }

    /// Reads all steps of the log, the oldest first; none if there is no log. Lines that a killed
    /// process left incomplete are skipped.
    ///
    /// # Errors
    /// [`LinesError`] when the file cannot be read.
    pub fn read(&self) -> Result<Vec<StepRecord>, LinesError> {
        read_steps(&self.path, Some)
    }

    /// Reads the steps that asked a miner, each with the reply of this miner only, the oldest
    /// first; also those of the renamed log. Lines that a killed process left incomplete are
    /// skipped.
    ///
    /// # Errors
    /// [`LinesError`] when a file cannot be read.
    pub fn steps_with_miner(&self, hotkey: &Hotkey) -> Result<Vec<StepRecord>, LinesError> {
        let answers_of_miner = |mut record: StepRecord| {
            record.answers.retain(|answer| answer.hotkey == *hotkey);
            (!record.answers.is_empty()).then_some(record)
        };
        let mut records = read_steps(&self.rotated_path(), answers_of_miner)?;
        records.extend(read_steps(&self.path, answers_of_miner)?);
        Ok(records)
    }

    /// Returns the path of a log that was too large.
    fn rotated_path(&self) -> PathBuf {
        self.path.with_extension("old.jsonl")
    }

    /// Reads the newest steps of the log, at most `max_steps` and those in its last 4 MiB. Lines
    /// that a killed process left incomplete are skipped.
    ///
    /// # Errors
    /// [`LinesError`] when the file cannot be read.
    pub fn latest(&self, max_steps: usize) -> Result<LatestSteps, LinesError> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(LatestSteps::default());
            }
            Err(source) => return Err(LinesError::Read { path: self.path.clone(), source }),
        };
        let metadata = file.metadata().map_err(LinesError::read_error(&self.path))?;
        let modified = metadata.modified().map_err(LinesError::read_error(&self.path))?;
        let start = SeekFrom::Start(metadata.len().saturating_sub(MAX_TAIL_BYTES));
        file.seek(start).map_err(LinesError::read_error(&self.path))?;
        let mut bytes = Vec::new();
        file.take(MAX_TAIL_BYTES)
            .read_to_end(&mut bytes)
            .map_err(LinesError::read_error(&self.path))?;
        // The first line may have lost its beginning, so it is malformed.
        let lines = bytes.split(|byte| *byte == b'\n').rev();
        let steps =
            lines.filter_map(|line| serde_json::from_slice(line).ok()).take(max_steps).collect();
        Ok(LatestSteps { steps, written_at: Some(modified) })
    }
}

/// Reads the steps of a log that `select` returns; none if there is no log.
fn read_steps(
    path: &Path,
    select: impl Fn(StepRecord) -> Option<StepRecord>,
) -> Result<Vec<StepRecord>, LinesError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    // Bytes instead of text: an incomplete line can end within a character.
    let bytes = read_bytes(path)?;
    let lines = bytes.split(|byte| *byte == b'\n');
    Ok(lines
        .filter_map(|line| serde_json::from_slice::<StepRecord>(line).ok())
        .filter_map(select)
        .collect())
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
        StepRecord {
            question: question.to_owned(),
            request: None,
            seed: Some(u64::MAX),
            answers: vec![answer],
        }
    }

    #[test]
    fn only_the_incomplete_line_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let log = EventLog::in_directory(directory.path());
        assert!(log.read().unwrap().is_empty());
        log.append(&record("one")).unwrap();
        let mut file = OpenOptions::new().append(true).open(&log.path).unwrap();
        file.write_all(b"\n{\"question\": \"half of \xc3").unwrap();
        log.append(&record("two")).unwrap();
        assert_eq!(log.read().unwrap(), [record("one"), record("two")]);
        assert_eq!(log.latest(9).unwrap().steps, [record("two"), record("one")]);
    }

    #[test]
    fn latest_steps_are_read_from_the_end_of_a_large_log() {
        let directory = tempfile::tempdir().unwrap();
        let log = EventLog::in_directory(directory.path());
        assert_eq!(log.latest(2).unwrap(), LatestSteps::default());
        log.append(&record("old")).unwrap();
        let file = OpenOptions::new().append(true).open(&log.path).unwrap();
        file.set_len(MAX_TAIL_BYTES).unwrap();
        for question in ["one", "two", "three"] {
            log.append(&record(question)).unwrap();
        }
        let latest = log.latest(2).unwrap();
        assert_eq!(latest.steps, [record("three"), record("two")]);
        assert!(latest.written_at.is_some());
        let questions = log.latest(9).unwrap().steps.into_iter().map(|step| step.question);
        assert_eq!(questions.collect::<Vec<_>>(), ["three", "two", "one"]);
    }

    #[test]
    fn large_log_is_rotated() {
        let directory = tempfile::tempdir().unwrap();
        let log = EventLog::in_directory(directory.path());
        std::fs::File::create(&log.path).unwrap().set_len(MAX_LOG_BYTES).unwrap();
        log.append(&record("new")).unwrap();
        assert_eq!(log.read().unwrap(), [record("new")]);
        assert_eq!(
            directory.path().join("events.old.jsonl").metadata().unwrap().len(),
            MAX_LOG_BYTES
        );
    }

    #[test]
    fn steps_of_a_miner_are_read_from_both_logs() {
        let directory = tempfile::tempdir().unwrap();
        let log = EventLog::in_directory(directory.path());
        let (miner, other) = (Hotkey::from_bytes([1; 32]), Hotkey::from_bytes([2; 32]));
        assert!(log.steps_with_miner(&miner).unwrap().is_empty());
        log.append(&record("old")).unwrap();
        std::fs::rename(&log.path, log.rotated_path()).unwrap();
        let mut both_record = record("both");
        both_record.answers.push(AnswerRecord { hotkey: other, ..both_record.answers[0].clone() });
        let other_record =
            StepRecord { answers: both_record.answers[1..].to_vec(), ..record("other") };
        for step in [&both_record, &other_record, &record("new")] {
            log.append(step).unwrap();
        }
        assert_eq!(
            log.steps_with_miner(&miner).unwrap(),
            [record("old"), record("both"), record("new")]
        );
        let questions = log.steps_with_miner(&other).unwrap().into_iter().map(|step| step.question);
        assert_eq!(questions.collect::<Vec<_>>(), ["both", "other"]);
    }
}
