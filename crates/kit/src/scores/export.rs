//! The file form of a subnet's scores: JSON lines.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use taonet_primitives::{BlockNumber, Hotkey, NetUid, Uid, counted};

use super::evidence::{Explanation, RecordedReward, RecordedStep};
use super::{Average, CompletedStep, from_unix_ms, unix_ms};
use crate::request_hash::RequestHash;

/// Version of the file.
const VERSION: u32 = 1;

/// Why a file of exported scores cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A line is malformed or out of order.
    #[error("line {line} is malformed")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// Why it is malformed.
        source: serde_json::Error,
    },
    /// The file was written by another version of the program.
    #[error("the file has version {version} instead of {VERSION}; hint: update the program", VERSION = VERSION)]
    Version {
        /// Version of the file.
        version: u32,
    },
    /// The file lacks lines, such as after an interrupted copy.
    #[error("the file is incomplete: it has {}, {}", counted(.scores, "score"), counted(.steps, "step"))]
    Incomplete {
        /// Number of scores in the file.
        scores: usize,
        /// Number of steps in the file.
        steps: usize,
    },
    /// A value is out of its range.
    #[error("line {line}: {reason}")]
    Invalid {
        /// Number of the line, from 1.
        line: usize,
        /// Why the value is invalid.
        reason: &'static str,
    },
    /// A score does not follow from the recorded steps: the file was changed.
    #[error("the score of {hotkey} does not follow from the recorded steps")]
    Inconsistent {
        /// Hotkey of the miner.
        hotkey: Hotkey,
    },
}

/// The scores of a subnet with the record of their steps, to move a validator to another machine or
/// for a backup.
///
/// As a file, it has a line of JSON for the subnet, one for each score and each step, and a last
/// one with their numbers, without which the file is incomplete.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoresExport {
    pub(super) netuid: NetUid,
    pub(super) last_step: Option<CompletedStep>,
    pub(super) averages: BTreeMap<Hotkey, Average>,
    /// The recorded steps with the rewards of each, the oldest first.
    pub(super) steps: Vec<(RecordedStep, Vec<RecordedReward>)>,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Subnet {
        version: u32,
        netuid: NetUid,
        last_step: Option<LastStepLine>,
    },
    Score {
        hotkey: Hotkey,
        #[serde(deserialize_with = "exact_float")]
        score: f64,
        absent_since: Option<BlockNumber>,
    },
    Step {
        number: u64,
        block: BlockNumber,
        began_ms: u64,
        #[serde(deserialize_with = "exact_float")]
        alpha: f64,
        request: RequestHash,
        rewards: Vec<RewardLine>,
    },
    End {
        scores: usize,
        steps: usize,
    },
}

/// The version in the line of the subnet, whose other fields are those of that version.
#[derive(Deserialize)]
struct VersionLine {
    subnet: SubnetVersion,
}

#[derive(Deserialize)]
struct SubnetVersion {
    version: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LastStepLine {
    block: BlockNumber,
    began_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RewardLine {
    hotkey: Hotkey,
    uid: Uid,
    #[serde(deserialize_with = "exact_float")]
    reward: f64,
    #[serde(deserialize_with = "exact_float")]
    score_before: f64,
    #[serde(deserialize_with = "exact_float")]
    score_after: f64,
}

/// Parses a number to the float that was written. The parser of `serde_json` can return an
/// adjacent float.
fn exact_float<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Box::<RawValue>::deserialize(deserializer)?.get().parse().map_err(D::Error::custom)
}

impl ScoresExport {
    /// Returns the subnet of the scores.
    pub const fn netuid(&self) -> NetUid {
        self.netuid
    }

    /// Returns the last step that is part of the scores.
    pub const fn last_step(&self) -> Option<CompletedStep> {
        self.last_step
    }

    /// Returns the number of scores.
    pub fn scores(&self) -> usize {
        self.averages.len()
    }

    /// Returns the number of recorded steps.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Writes the lines of the file.
    ///
    /// # Errors
    /// When writing fails.
    pub fn write(&self, writer: impl Write) -> io::Result<()> {
        let mut writer = BufWriter::new(writer);
        let last_step = self.last_step.map(|CompletedStep { block, started_at }| LastStepLine {
            block,
            began_ms: unix_ms(started_at),
        });
        write_line(
            &mut writer,
            &Line::Subnet { version: VERSION, netuid: self.netuid, last_step },
        )?;
        for (hotkey, Average { score, absent_since }) in &self.averages {
            write_line(
                &mut writer,
                &Line::Score { hotkey: *hotkey, score: *score, absent_since: *absent_since },
            )?;
        }
        for (step, rewards) in &self.steps {
            let RecordedStep {
                number,
                completed: CompletedStep { block, started_at },
                alpha,
                request,
            } = *step;
            let rewards = rewards.iter().copied().map(RewardLine::from).collect();
            write_line(
                &mut writer,
                &Line::Step {
                    number,
                    block,
                    began_ms: unix_ms(started_at),
                    alpha,
                    request,
                    rewards,
                },
            )?;
        }
        write_line(
            &mut writer,
            &Line::End { scores: self.averages.len(), steps: self.steps.len() },
        )?;
        writer.flush()
    }

    /// Reads the lines of a file, and checks that the scores follow from the recorded steps.
    ///
    /// # Errors
    /// [`ExportError`] when the file is malformed, incomplete or inconsistent.
    pub fn parse(text: &str) -> Result<Self, ExportError> {
        let mut lines =
            text.lines().zip(1..).map(|(text, line)| match serde_json::from_str::<Line>(text) {
                Ok(parsed) => Ok((line, parsed)),
                Err(source) => Err(ExportError::Line { line, source }),
            });
        let incomplete = ExportError::Incomplete { scores: 0, steps: 0 };
        let first_line = lines.next().ok_or(incomplete)?;
        let mut export = match first_line.map_err(|error| version_error(text).unwrap_or(error))? {
            (line, Line::Subnet { version, netuid, last_step }) => {
                if version != VERSION {
                    return Err(ExportError::Version { version });
                }
                let last_step = last_step
                    .map(|last| parse_completed_step(line, last.block, last.began_ms))
                    .transpose()?;
                Self { netuid, last_step, averages: BTreeMap::new(), steps: Vec::new() }
            }
            (line, _) => {
                return Err(ExportError::Invalid {
                    line,
                    reason: "expected the line of the subnet",
                });
            }
        };
        let mut end = None;
        for line in lines {
            let (line, parsed) = line?;
            if end.is_some() {
                return Err(ExportError::Invalid {
                    line,
                    reason: "there is a line after the last one",
                });
            }
            match parsed {
                Line::End { scores, steps } => end = Some((scores, steps)),
                other => export.add_line(line, other)?,
            }
        }
        let (scores, steps) = (export.scores(), export.steps());
        if end != Some((scores, steps)) {
            return Err(ExportError::Incomplete { scores, steps });
        }
        export.check_consistency()?;
        Ok(export)
    }

    /// Adds the score or the step of a line.
    fn add_line(&mut self, line: usize, parsed: Line) -> Result<(), ExportError> {
        match parsed {
            Line::Score { hotkey, score, absent_since } => {
                if !is_share(score) {
                    return Err(ExportError::Invalid {
                        line,
                        reason: "a score is not within 0 and 1",
                    });
                }
                if self.averages.insert(hotkey, Average { score, absent_since }).is_some() {
                    return Err(ExportError::Invalid { line, reason: "a hotkey has two scores" });
                }
            }
            Line::Step { number, block, began_ms, alpha, request, rewards } => {
                let rewards: Vec<RecordedReward> =
                    rewards.into_iter().map(RecordedReward::from).collect();
                if self.steps.last().map_or(0, |(last, _)| last.number) >= number {
                    return Err(ExportError::Invalid {
                        line,
                        reason: "the steps are not in the order of their numbers",
                    });
                }
                if i64::try_from(number).is_err() {
                    return Err(ExportError::Invalid {
                        line,
                        reason: "the number of the step is too large",
                    });
                }
                let numbers = rewards
                    .iter()
                    .flat_map(|reward| [reward.reward, reward.score_before, reward.score_after]);
                if !numbers.chain([alpha]).all(is_share) {
                    return Err(ExportError::Invalid {
                        line,
                        reason: "a number of the step is not within 0 and 1",
                    });
                }
                if !rewards.is_sorted_by(|earlier, later| earlier.hotkey < later.hotkey) {
                    return Err(ExportError::Invalid {
                        line,
                        reason: "the rewards are not in the order of their hotkeys",
                    });
                }
                let completed = parse_completed_step(line, block, began_ms)?;
                self.steps.push((RecordedStep { number, completed, alpha, request }, rewards));
            }
            Line::Subnet { .. } | Line::End { .. } => {
                return Err(ExportError::Invalid { line, reason: "expected a score or a step" });
            }
        }
        Ok(())
    }

    /// Checks that the scores follow from the recorded steps.
    fn check_consistency(&self) -> Result<(), ExportError> {
        let mut rewards: BTreeMap<Hotkey, Vec<(RecordedStep, RecordedReward)>> = BTreeMap::new();
        for (step, step_rewards) in &self.steps {
            for reward in step_rewards {
                rewards.entry(reward.hotkey).or_default().push((*step, *reward));
            }
        }
        for (hotkey, rewards) in rewards {
            // The record of a hotkey is deleted with its score.
            let score = self.averages.get(&hotkey).map_or(f64::NAN, |average| average.score);
            if !(Explanation { hotkey, score, rewards }).is_consistent() {
                return Err(ExportError::Inconsistent { hotkey });
            }
        }
        Ok(())
    }
}

impl From<RecordedReward> for RewardLine {
    fn from(reward: RecordedReward) -> Self {
        let RecordedReward { hotkey, uid, reward, score_before, score_after } = reward;
        Self { hotkey, uid, reward, score_before, score_after }
    }
}

impl From<RewardLine> for RecordedReward {
    fn from(line: RewardLine) -> Self {
        let RewardLine { hotkey, uid, reward, score_before, score_after } = line;
        Self { hotkey, uid, reward, score_before, score_after }
    }
}

/// Returns the error for a file of another version, whose first line can have other fields.
fn version_error(text: &str) -> Option<ExportError> {
    let line: VersionLine = serde_json::from_str(text.lines().next()?).ok()?;
    let version = line.subnet.version;
    (version != VERSION).then_some(ExportError::Version { version })
}

fn write_line(writer: &mut impl Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *writer, line)?;
    writer.write_all(b"\n")
}

/// Returns block and time of a step; an error if the clock cannot represent the time.
fn parse_completed_step(
    line: usize,
    block: BlockNumber,
    began_ms: u64,
) -> Result<CompletedStep, ExportError> {
    match from_unix_ms(began_ms) {
        Some(started_at) => Ok(CompletedStep { block, started_at }),
        None => Err(ExportError::Invalid { line, reason: "the time of the step is too late" }),
    }
}

/// Whether a number can be a score, a reward or a share: between 0 and 1, and not NaN.
fn is_share(number: f64) -> bool {
    (0.0..=1.0).contains(&number)
}
