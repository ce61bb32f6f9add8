use std::collections::BTreeMap;

use serde::Serialize;
use taonet_babelbit_core::field_metrics::ChallengeMetrics;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::scoring::{Gate, SpeechRate};
use taonet_primitives::{Hotkey, Uid};

use super::artifacts::MinerResult;
use super::artifacts::measured::challenge_metrics;
use super::ledger::ResultRow;

/// Outcome of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunOutcome {
    /// The run played, scored and wrote the complete challenge.
    Finished,
    /// The engine delivered only part of the challenge, which the run played, scored and wrote.
    Partial,
    /// Every miner already had a score.
    AlreadyDone,
    /// The engine has no challenge.
    NoChallenge,
}

/// Report of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// Outcome of the run.
    pub outcome: RunOutcome,
    /// ID of the challenge; empty if there was none.
    pub challenge_uid: String,
    /// Title of the challenge; `None` if the engine sent none.
    pub title: Option<String>,
    /// Contest of the challenge.
    pub challenge_type: ChallengeType,
    /// Whether an earlier run started the challenge.
    pub resumed: bool,
    /// Number of utterances in the challenge.
    pub utterances: usize,
    /// Why the engine's delivery is incomplete.
    pub error: Option<String>,
    /// Reports of the miners with results in the ledger, sorted by uid.
    pub miners: Vec<MinerReport>,
    /// Uids of miners that have score files but no results in the ledger: another program may have
    /// scored them.
    pub scored_elsewhere: Vec<Uid>,
    /// Wall-clock time of the run in seconds.
    pub wall_sec: f64,
    /// Breakdown of the run's time.
    pub profile: RunProfile,
}

/// Breakdown of a run's time in seconds. Playing and scoring overlap.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct RunProfile {
    /// Time until the last miner had completed its utterances.
    pub serving_sec: f64,
    /// Time spent on scoring.
    pub scoring_sec: f64,
    /// Time spent on writing result files.
    pub persistence_sec: f64,
}

/// One miner's results in a challenge. Means are over the miner's utterances; null if nothing was
/// measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MinerReport {
    /// Uid of the miner.
    pub uid: Uid,
    /// Hotkey of the miner.
    pub hotkey: Hotkey,
    /// Display name.
    pub name: Option<String>,
    /// Mean score, 0 to 1, not rounded.
    pub score: f64,
    /// Mean accuracy of the replies whose transcript was compared with the reference, 0 to 1.
    pub accuracy: Option<f64>,
    /// Mean ratio of a reply's speaking rate to the reference's.
    pub rate_ratio: Option<f64>,
    /// Mean time from the end of the source to the end of the reply, in seconds on the virtual
    /// clock; 0 for a reply that ends earlier.
    pub overshoot_sec: Option<f64>,
    /// Mean time from the start of the source until a listener has heard the complete reply, in
    /// seconds on the virtual clock.
    pub effective_completion_sec: Option<f64>,
    /// Mean wall-clock time from the last sent frame to the end of the reply, in seconds.
    pub wall_after_source_sec: Option<f64>,
    /// Mean wall-clock time per utterance in seconds.
    pub wall_total_sec: Option<f64>,
    /// Number of utterances that failed each gate.
    pub failed_gates: BTreeMap<Gate, usize>,
    /// Speech translation metrics over the transcribed replies, not part of the score.
    pub metrics: Option<ChallengeMetrics>,
    /// Whether the miner's replies to all utterances are complete.
    pub completed: bool,
    /// Results of the utterances, sorted by index.
    pub utterances: Vec<UtteranceReport>,
}

/// A miner's result for one utterance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UtteranceReport {
    /// Position in the challenge, from 0.
    pub index: u32,
    /// Score, 0 to 1.
    pub score: f64,
    /// Semantic similarity, 0 to 1.
    pub accuracy: Option<f64>,
    /// Ratio of the reply's speaking rate to the reference's.
    pub rate_ratio: Option<f64>,
    /// Time from the end of the source to the end of the reply, in seconds on the virtual clock; 0
    /// if the reply ends earlier.
    pub overshoot_sec: Option<f64>,
    /// Time from the start of the source until a listener has heard the complete reply, in seconds
    /// on the virtual clock.
    pub effective_completion_sec: Option<f64>,
    /// Wall-clock time from the last sent frame to the end of the reply, in seconds.
    pub wall_after_source_sec: Option<f64>,
    /// Wall-clock time of the utterance in seconds.
    pub wall_total_sec: f64,
    /// Scoring gates that the reply failed.
    pub failed_gates: Vec<Gate>,
    /// The expected translation.
    pub reference: String,
    /// Transcript of the reply.
    pub transcript: Option<String>,
    /// Why the reply failed, or could not be scored.
    pub error: Option<String>,
}

impl RunReport {
    /// Formats the log line with the time breakdown as the reference system does; `miners` is the
    /// number of participants.
    pub(super) fn profile_line(&self, miners: usize) -> String {
        let RunProfile { serving_sec, scoring_sec, persistence_sec } = self.profile;
        let miners_with_utterances =
            self.miners.iter().filter(|miner| !miner.utterances.is_empty()).count();
        let dialogues_scored: usize = self.miners.iter().map(|miner| miner.utterances.len()).sum();
        let mut line = format!(
            "[RunnerProfile][{}] challenge_uid={} miners={miners} \
             miners_with_utterances={miners_with_utterances} \
             dialogues_scored={dialogues_scored} miner_serving_sec={serving_sec:.3} \
             scoring_sec={scoring_sec:.3} persistence_sec={persistence_sec:.3}",
            self.challenge_type, self.challenge_uid
        );
        if let Some(error) = &self.error {
            line.push_str(" challenge_error=");
            line.push_str(error);
        }
        line
    }
}

impl MinerReport {
    pub(super) fn of(result: &MinerResult<'_>, name: Option<String>) -> Self {
        let utterances: Vec<_> =
            result.rows.iter().map(|row| UtteranceReport::of(row, result)).collect();
        let mut failed_gates = BTreeMap::new();
        for gate in utterances.iter().flat_map(|utterance| &utterance.failed_gates) {
            *failed_gates.entry(*gate).or_default() += 1;
        }
        let mean = |value: fn(&UtteranceReport) -> Option<f64>| {
            let values: Vec<f64> = utterances.iter().filter_map(value).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        Self {
            uid: result.miner.uid,
            hotkey: result.miner.hotkey,
            name,
            score: result.score(),
            accuracy: mean(|utterance| utterance.accuracy),
            rate_ratio: mean(|utterance| utterance.rate_ratio),
            overshoot_sec: mean(|utterance| utterance.overshoot_sec),
            effective_completion_sec: mean(|utterance| utterance.effective_completion_sec),
            wall_after_source_sec: mean(|utterance| utterance.wall_after_source_sec),
            wall_total_sec: mean(|utterance| Some(utterance.wall_total_sec)),
            failed_gates,
            metrics: challenge_metrics(&result.measured_replies()),
            completed: result.rows.len() == result.challenge.utterances.len()
                && result.rows.iter().all(|row| row.outcome.is_ok()),
            utterances,
        }
    }
}

impl UtteranceReport {
    fn of(row: &ResultRow, result: &MinerResult<'_>) -> Self {
        let score = row.score.as_ref();
        let score_result = score.map(|score| &score.result);
        let ratio = match score_result.map(|score| &score.speech_rate) {
            Some(SpeechRate::Measured { ratio, .. }) => *ratio,
            _ => None,
        };
        Self {
            index: row.utterance_index,
            score: row.score_or_zero(),
            accuracy: score_result.and_then(|score| score.accuracy),
            rate_ratio: ratio,
            overshoot_sec: score_result.map(|score| score.latency.overshoot_sec),
            effective_completion_sec: score_result.map(|score| score.effective_completion_sec),
            wall_after_source_sec: row.outcome.is_ok().then_some(row.reply.wall.after_source_sec),
            wall_total_sec: row.reply.wall.total_sec,
            failed_gates: match &row.outcome {
                Ok(_) => score.map(|score| score.failed_gates.clone()).unwrap_or_default(),
                Err(_) => vec![Gate::PredictionError],
            },
            reference: result
                .reference_texts
                .get(&row.utterance_index)
                .cloned()
                .unwrap_or_default(),
            transcript: score_result.and_then(|score| score.stt_text.clone()),
            error: match &row.outcome {
                Ok(_) => score_result.and_then(|score| score.score_error.clone()),
                Err(failure) => Some(failure.to_string()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunOutcome;

    #[test]
    fn profile_line_has_the_reference_format() {
        let mut report = RunReport {
            outcome: RunOutcome::Finished,
            challenge_uid: "c".into(),
            title: None,
            challenge_type: ChallengeType::Main,
            resumed: false,
            utterances: 3,
            error: None,
            miners: Vec::new(),
            scored_elsewhere: Vec::new(),
            wall_sec: 9.0,
            profile: RunProfile { serving_sec: 4.25, scoring_sec: 1.5, persistence_sec: 1.5 },
        };
        let line = "[RunnerProfile][main] challenge_uid=c miners=1 miners_with_utterances=0 dialogues_scored=0 \
                    miner_serving_sec=4.250 scoring_sec=1.500 persistence_sec=1.500";
        assert_eq!(report.profile_line(1), line);
        report.error = Some("AudioChallengeError:HTTP 503".into());
        assert_eq!(
            report.profile_line(1),
            format!("{line} challenge_error=AudioChallengeError:HTTP 503")
        );
    }
}
