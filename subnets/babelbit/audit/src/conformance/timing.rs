use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::deadline;
use taonet_babelbit_runner::PlaySettings;

/// Phase of a session, by kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Opening the session.
    Init,
    /// Sending a frame other than the last one.
    Frame,
    /// Sending the last frame.
    FinalFrame,
    /// Draining the reply with empty requests after the last frame.
    Drain,
    /// Predicting an utterance of the text contest.
    Step,
}

impl Phase {
    /// Returns the name of the phase in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Frame => "frame",
            Self::FinalFrame => "final frame",
            Self::Drain => "drain",
            Self::Step => "step",
        }
    }

    /// Returns the phase of a predict request.
    pub(super) const fn for_predict(has_audio: bool, in_eos: bool) -> Self {
        match (has_audio, in_eos) {
            (false, _) => Self::Drain,
            (true, true) => Self::FinalFrame,
            (true, false) => Self::Frame,
        }
    }
}

/// Response times of one phase.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseTiming {
    /// The measured phase.
    pub phase: Phase,
    /// Number of measured responses.
    pub answers: usize,
    /// Median response time in seconds.
    pub median_sec: f64,
    /// 95th percentile of the response time in seconds.
    pub p95_sec: f64,
    /// Maximum response time in seconds.
    pub max_sec: f64,
    /// The validator's timeout in seconds.
    pub deadline_sec: f64,
    /// Number of responses later than the timeout.
    pub late: usize,
}

/// Response times, one entry per phase that occurred.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct Timings(pub Vec<PhaseTiming>);

/// Measured response times by phase, in seconds.
#[derive(Debug, Clone, Default)]
pub(super) struct ResponseTimes(BTreeMap<Phase, Vec<f64>>);

impl ResponseTimes {
    pub(super) fn add(&mut self, phase: Phase, elapsed: Duration) {
        self.0.entry(phase).or_default().push(elapsed.as_secs_f64());
    }

    pub(super) fn timings(&self, settings: &PlaySettings) -> Timings {
        let timing = |(phase, times): (&Phase, &Vec<f64>)| {
            let mut times = times.clone();
            times.sort_unstable_by(f64::total_cmp);
            let deadline_sec = deadline(*phase, settings).as_secs_f64();
            PhaseTiming {
                phase: *phase,
                answers: times.len(),
                median_sec: quantile(&times, 0.5),
                p95_sec: quantile(&times, 0.95),
                max_sec: quantile(&times, 1.0),
                deadline_sec,
                late: times.iter().filter(|time| **time > deadline_sec).count(),
            }
        };
        Timings(self.0.iter().map(timing).collect())
    }
}

/// Returns the quantile at `fraction`: the smallest value that at least this share of the values
/// does not exceed; 0 if there are no values.
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let rank = (sorted.len() as f64 * fraction).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_times_are_summarised_by_phase() {
        let mut times = ResponseTimes::default();
        for tenth in 1..=20 {
            times.add(Phase::Frame, Duration::from_millis(200 * tenth));
        }
        times.add(Phase::FinalFrame, Duration::from_secs(9));
        let Timings(timings) = times.timings(&PlaySettings::default());
        let timing = |phase, answers, median_sec, p95_sec, max_sec, deadline_sec, late| {
            PhaseTiming { phase, answers, median_sec, p95_sec, max_sec, deadline_sec, late }
        };
        let expected = [
            timing(Phase::Frame, 20, 2.0, 3.8, 4.0, 3.0, 5),
            timing(Phase::FinalFrame, 1, 9.0, 9.0, 9.0, 10.0, 0),
        ];
        assert_eq!(timings, expected);
    }
}
