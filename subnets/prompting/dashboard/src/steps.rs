//! The latest steps of a validator, and its miners in these steps.

use std::collections::BTreeMap;

use taonet_dashboard::{AnsweringMiners, Condition, Health, ago};
use taonet_primitives::{Hotkey, Uid};
use taonet_prompting_neurons::{AnswerRecord, StepRecord};

/// Time without a new step after which the validator counts as stopped, in seconds: ten default
/// intervals.
const MAX_SILENCE_SECONDS: i64 = 600;
/// Why no step is recorded.
const SILENCE_HINT: &str = "the validator has recorded no step for more than 10 minutes; hint: is `tao prompting validator` \
                      running? Its log has the reason. With a longer --interval, this is expected";

/// Latest known state of a validator's steps.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Steps {
    /// The latest steps, newest first.
    pub(crate) latest: Vec<StepRecord>,
    /// Time of the last step, in seconds since the Unix epoch; `None` before the first one.
    pub(crate) written_unix: Option<i64>,
    /// Why the latest read failed, if it did. The data is then that of the last successful read.
    pub(crate) problem: Option<String>,
}

/// A miner in the latest steps.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MinerState {
    pub(crate) uid: Uid,
    pub(crate) hotkey: Hotkey,
    /// Number of steps that asked the miner.
    pub(crate) queried: usize,
    /// Number of completions.
    pub(crate) answered: usize,
    /// Mean share of a step's reward, and mean reward before it is normalised, over all steps that
    /// asked the miner.
    pub(crate) share: f64,
    pub(crate) reward: f64,
    /// Mean response time of the completions, in seconds; `None` without one.
    pub(crate) seconds: Option<f64>,
    /// Whether the newest request failed.
    pub(crate) is_failing: bool,
    /// Why the newest request without a completion failed, if any.
    pub(crate) error: Option<String>,
}

impl MinerState {
    /// Returns the share of requests that the miner answered.
    pub(crate) fn answered_share(&self) -> Option<f64> {
        (self.queried > 0).then(|| self.answered as f64 / self.queried as f64)
    }
}

/// Returns whether a miner completed the text.
pub(crate) const fn is_answered(answer: &AnswerRecord) -> bool {
    answer.error.is_none()
}

/// Returns the answer with the largest reward above 0.
pub(crate) fn best_answer(step: &StepRecord) -> Option<&AnswerRecord> {
    let rewarded = step.answers.iter().filter(|answer| answer.reward > 0.0);
    rewarded.max_by(|a, b| a.reward.total_cmp(&b.reward))
}

impl Steps {
    /// Returns the current problems at `now_unix`, in seconds since the Unix epoch: titles and
    /// reasons.
    pub(crate) fn problems(&self, now_unix: i64) -> impl Iterator<Item = (&'static str, &str)> {
        let read_problem =
            self.problem.as_deref().map(|reason| ("The validator's steps are unavailable", reason));
        let silence_problem = self.is_silent(now_unix).then_some(("No new step", SILENCE_HINT));
        read_problem.into_iter().chain(silence_problem)
    }

    /// Returns whether the last step at `now_unix`, in seconds since the Unix epoch, was long ago.
    pub(crate) fn is_silent(&self, now_unix: i64) -> bool {
        self.written_unix
            .is_some_and(|written_unix| now_unix.saturating_sub(written_unix) > MAX_SILENCE_SECONDS)
    }

    /// Returns the miners whose newest request was answered, among those of the latest steps.
    pub(crate) fn answering_miners(&self) -> AnsweringMiners {
        let miners = self.miners();
        let answering = miners.iter().filter(|miner| !miner.is_failing).count();
        AnsweringMiners { answering, queried: miners.len() }
    }

    /// Returns the subnet's entry in the strip of the page at `now_unix`, in seconds since the Unix
    /// epoch.
    pub(crate) fn health(&self, now_unix: i64) -> Health {
        let miners = self.answering_miners();
        let last_step = self.written_unix.map(|unix| format!("last step {}", ago(unix, now_unix)));
        let problem = self.problems(now_unix).next();
        let (condition, fact) = match (last_step, problem) {
            (Some(last_step), _) if self.is_silent(now_unix) => (Condition::Stopped, last_step),
            (_, Some((title, _))) => (Condition::Degraded, title.to_owned()),
            (None, None) => (Condition::Waiting, "no step yet".to_owned()),
            _ if miners.queried == 0 => (Condition::Waiting, "no miner asked yet".to_owned()),
            _ if miners.is_minority() => (Condition::Degraded, miners.to_string()),
            _ => (Condition::Healthy, miners.to_string()),
        };
        Health { name: "Prompting", path: "/prompting", condition, fact }
    }

    /// Returns the number of requests, and of completions, in the latest steps.
    pub(crate) fn request_counts(&self) -> (usize, usize) {
        let answers = || self.latest.iter().flat_map(|step| &step.answers);
        (answers().count(), answers().filter(|answer| is_answered(answer)).count())
    }

    /// Returns the miners of the latest steps, those with the largest share of the rewards first.
    pub(crate) fn miners(&self) -> Vec<MinerState> {
        let mut answers = BTreeMap::<Hotkey, Vec<&AnswerRecord>>::new();
        for answer in self.latest.iter().flat_map(|step| &step.answers) {
            answers.entry(answer.hotkey).or_default().push(answer);
        }
        let mut miners: Vec<_> =
            answers.into_values().filter_map(|answers| summarise_miner(&answers)).collect();
        miners.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.uid.cmp(&b.uid)));
        miners
    }
}

/// Sums up the answers of one miner, newest first; `None` without answers.
fn summarise_miner(answers: &[&AnswerRecord]) -> Option<MinerState> {
    let newest = answers.first()?;
    let mean = |value: fn(&AnswerRecord) -> f64| {
        answers.iter().map(|answer| value(answer)).sum::<f64>() / answers.len() as f64
    };
    let response_times: Vec<f64> =
        answers.iter().filter(|answer| is_answered(answer)).map(|answer| answer.seconds).collect();
    Some(MinerState {
        uid: newest.uid,
        hotkey: newest.hotkey,
        queried: answers.len(),
        answered: response_times.len(),
        share: mean(|answer| answer.share),
        reward: mean(|answer| answer.reward),
        is_failing: !is_answered(newest),
        seconds: (!response_times.is_empty())
            .then(|| response_times.iter().sum::<f64>() / response_times.len() as f64),
        error: answers.iter().find_map(|answer| answer.error.clone()),
    })
}
