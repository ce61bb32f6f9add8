use std::str::FromStr;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::table::{decimals, wrap_text};
use taonet_kit::{Explanation, RecordedReward, RecordedStep};
use taonet_primitives::{Hotkey, Ss58Error, Uid, counted};
use taonet_service::unix_time;

use super::StateArgs;

/// Number of steps that are shown without `--json`: the newest ones, which count most.
const MAX_PRINTED_STEPS: usize = 10;

/// A miner, selected by its hotkey or its uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinerSelector {
    /// By its hotkey.
    Hotkey(Hotkey),
    /// By its uid in the newest recorded step that has it.
    Uid(Uid),
}

impl FromStr for MinerSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(uid) = text.parse() {
            return Ok(Self::Uid(uid));
        }
        text.parse()
            .map(Self::Hotkey)
            .map_err(|error: Ss58Error| format!("expected a hotkey or a uid: {error}"))
    }
}

impl MinerSelector {
    /// Reads the score of the miner with its record.
    pub async fn explanation(self, state: &StateArgs) -> anyhow::Result<Explanation> {
        let scores = state.open_read_only().await?;
        let hotkey = match self {
            Self::Hotkey(hotkey) => hotkey,
            Self::Uid(uid) => scores.hotkey_of(uid).await?.with_context(|| {
                format!("no recorded step has rewarded uid {uid}\nhint: name the miner by its hotkey, or check --netuid")
            })?,
        };
        let explanation = scores.explain(&hotkey).await?;
        explanation
            .with_context(|| format!("{hotkey} has no score\nhint: check --netuid and --state"))
    }
}

/// A recorded reward, with what the log of a subnet's validator adds to it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportedStep {
    /// The step.
    pub step: RecordedStep,
    /// The recorded reward, with the score before and after it.
    pub reward: RecordedReward,
    /// Contribution of the reward to the score.
    pub contribution: f64,
    /// The reply of the miner in one line, for the overview.
    pub summary: Option<String>,
    /// Further lines for the report on this step alone.
    pub details: Vec<String>,
    /// Further keys for the JSON document.
    pub fields: Map<String, Value>,
}

/// Explanation of a miner's score.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreReport {
    /// Name and version of the JSON document.
    pub schema: &'static str,
    /// The score with its record.
    pub explanation: Explanation,
    /// The recorded rewards, the newest first.
    pub steps: Vec<ReportedStep>,
}

impl ScoreReport {
    /// Creates a report of the record alone.
    pub fn new(schema: &'static str, explanation: Explanation) -> Self {
        let rewards = explanation.rewards.iter().zip(explanation.contributions()).rev();
        let steps = rewards.map(|((step, reward), contribution)| ReportedStep {
            step: *step,
            reward: *reward,
            contribution,
            summary: None,
            details: Vec::new(),
            fields: Map::new(),
        });
        Self { schema, steps: steps.collect(), explanation }
    }

    /// Prints the score and its newest rewards, or only the step with this number. The JSON
    /// document has all rewards.
    pub fn print(mut self, number: Option<u64>, context: &Context) -> anyhow::Result<()> {
        if let Some(number) = number {
            let newest = self.steps.first().map(|newest| newest.step.number);
            self.steps.retain(|step| step.step.number == number);
            if self.steps.is_empty() {
                return Err(missing_step(&self.explanation, number, newest));
            }
        }
        match (context.json, number, self.steps.first()) {
            (true, _, _) => context.print_json(&self.document()),
            (false, Some(_), Some(step)) => context.print(&step.details_text()),
            (false, _, _) => context.print(&self.summary()),
        }
    }

    fn document(&self) -> Value {
        let Explanation { hotkey, score, .. } = &self.explanation;
        json!({
            "schema": self.schema,
            "hotkey": hotkey,
            "score": score,
            "recomputed_score": self.explanation.recomputed_score(),
            "consistent": self.explanation.is_consistent(),
            "initial_score": self.explanation.initial_score(),
            "remainder": self.explanation.remainder(),
            "steps": self.steps.iter().map(ReportedStep::document).collect::<Vec<_>>(),
        })
    }

    /// Returns the score, and whether it follows from the record.
    fn heading(&self) -> String {
        let Explanation { hotkey, score, rewards } = &self.explanation;
        let count = counted(rewards.len(), "recorded reward");
        let follows = match (rewards.is_empty(), self.explanation.is_consistent()) {
            (true, _) => "; its last reward is no longer recorded".to_owned(),
            (false, true) => format!(", which follows from {count}"),
            (false, false) => {
                let recomputed = decimals(Some(self.explanation.recomputed_score()), 6);
                format!(", which does not follow from {count}: these give {recomputed}")
            }
        };
        format!("{hotkey}: score {}{follows}", decimals(Some(*score), 6))
    }

    /// Returns the score and its newest rewards as text.
    fn summary(&self) -> String {
        let mut lines = vec![wrap_text(&self.heading())];
        lines.extend(self.steps.iter().take(MAX_PRINTED_STEPS).map(ReportedStep::summary_line));
        let older_steps = self.steps.get(MAX_PRINTED_STEPS..).unwrap_or_default();
        if !older_steps.is_empty() {
            let sum = older_steps.iter().fold(0.0, |sum, step| sum + step.contribution);
            lines.push(format!(
                "{} contribute {}",
                counted(older_steps.len(), "older reward"),
                decimals(Some(sum), 6)
            ));
        }
        if self.explanation.initial_score() > 0.0 {
            let remainder = decimals(Some(self.explanation.remainder()), 6);
            lines.push(format!(
                "the score before the oldest recorded reward contributes {remainder}"
            ));
        }
        lines.join("\n")
    }
}

impl ReportedStep {
    /// Returns the step as text.
    fn details_text(&self) -> String {
        let Self { step, reward, .. } = self;
        let mut lines = vec![
            format!(
                "step {} at block {}, request {}, uid {}",
                step.number, step.completed.block, step.request, reward.uid
            ),
            self.formula(),
            format!("contributes {} to the score", decimals(Some(self.contribution), 6)),
        ];
        lines.extend(self.details.iter().cloned());
        lines.join("\n")
    }

    /// Returns the step in one line, and the summary in a second one.
    fn summary_line(&self) -> String {
        let contribution = decimals(Some(self.contribution), 6);
        let summary = self.summary.as_ref().map(|summary| format!("\n  {summary}"));
        format!(
            "step {}: {}, contributes {contribution}{}",
            self.step.number,
            self.formula(),
            summary.unwrap_or_default()
        )
    }

    /// Returns the formula of the step.
    fn formula(&self) -> String {
        let RecordedReward { reward, score_before, score_after, .. } = self.reward;
        let [before, earned, after] =
            [score_before, reward, score_after].map(|number| decimals(Some(number), 6));
        format!("score {before} + {} × (reward {earned} − {before}) = {after}", self.step.alpha)
    }

    fn document(&self) -> Value {
        let Self { step, reward, .. } = self;
        let started_at = unix_time(step.completed.started_at).as_millis();
        let mut document = json!({
            "step": step.number,
            "block": step.completed.block,
            "began_ms": u64::try_from(started_at).unwrap_or(u64::MAX),
            "request": step.request,
            "uid": reward.uid,
            "alpha": step.alpha,
            "reward": reward.reward,
            "score_before": reward.score_before,
            "score_after": reward.score_after,
            "contribution": self.contribution,
        });
        if let Value::Object(fields) = &mut document {
            fields.extend(self.fields.clone());
        }
        document
    }
}

/// Returns the error for a step that has not rewarded the miner.
fn missing_step(explanation: &Explanation, number: u64, newest: Option<u64>) -> anyhow::Error {
    let hint = match newest {
        Some(newest) => format!("the newest step with a reward of the miner is {newest}"),
        None => "no step with a reward of the miner is recorded any more".to_owned(),
    };
    let text =
        format!("step {number} has no recorded reward of {}\nhint: {hint}", explanation.hotkey);
    ClassifiedError::usage(text)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use taonet_kit::{CompletedStep, RequestHash};
    use taonet_primitives::BlockNumber;

    use super::*;

    const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

    #[test]
    fn miner_is_named_by_hotkey_or_uid() {
        assert_eq!("7".parse(), Ok(MinerSelector::Uid(Uid(7))));
        assert_eq!(ALICE.parse(), Ok(MinerSelector::Hotkey(ALICE.parse().unwrap())));
        for text in ["", "-1", "70000", "alice"] {
            let error = text.parse::<MinerSelector>().unwrap_err();
            assert!(error.starts_with("expected a hotkey or a uid: "), "{error}");
        }
    }

    /// Returns the report of a miner that got the reward 1 in each of these steps.
    fn report(steps: u32) -> ScoreReport {
        let hotkey: Hotkey = ALICE.parse().unwrap();
        let (mut score, mut rewards) = (0.0, Vec::new());
        for number in 1..=steps {
            let completed =
                CompletedStep { block: BlockNumber::new(number), started_at: UNIX_EPOCH };
            let request = RequestHash::from_bytes([0; 32]);
            let step = RecordedStep { number: number.into(), completed, alpha: 0.5, request };
            let score_before = score;
            score += 0.5 * (1.0 - score);
            let uid = Uid(3);
            let score_after = score;
            rewards.push((
                step,
                RecordedReward { hotkey, uid, reward: 1.0, score_before, score_after },
            ));
        }
        ScoreReport::new("taonet.subnets-explain/1", Explanation { hotkey, score, rewards })
    }

    #[test]
    fn summary_has_the_newest_steps_and_the_sum_of_the_others() {
        let report = report(12);
        let expected = format!("{ALICE}: score 0.999756, which follows from 12 recorded rewards");
        assert_eq!(report.heading(), expected);
        let summary = report.summary();
        let steps: Vec<&str> = summary.lines().filter(|line| line.starts_with("step ")).collect();
        assert_eq!(steps.len(), MAX_PRINTED_STEPS, "{summary}");
        let newest = "step 12: score 0.999512 + 0.5 × (reward 1.000000 − 0.999512) = 0.999756, contributes 0.500000";
        assert_eq!(steps[0], newest);
        assert!(summary.ends_with("\n2 older rewards contribute 0.000732"), "{summary}");
    }

    #[test]
    fn inconsistent_and_unrecorded_scores_are_reported() {
        let mut changed = report(2);
        changed.explanation.score = 0.25;
        let head = changed.heading();
        let expected =
            "score 0.250000, which does not follow from 2 recorded rewards: these give 0.750000";
        assert!(head.ends_with(expected), "{head}");
        let head = report(0).heading();
        assert!(head.ends_with("; its last reward is no longer recorded"), "{head}");
    }

    #[test]
    fn log_fields_are_added_to_their_step() {
        let mut report = report(2);
        let newest = report.steps.first_mut().unwrap();
        newest.fields.insert("question".to_owned(), json!("What?"));
        newest.details = vec!["question: What?".to_owned()];
        newest.summary = Some("What? → That.".to_owned());
        let document = report.document();
        assert_eq!(document["consistent"], json!(true), "{document}");
        let steps = document["steps"].as_array().unwrap();
        assert_eq!((&steps[0]["step"], &steps[0]["question"]), (&json!(2), &json!("What?")));
        assert_eq!((&steps[1]["step"], steps[1].get("question")), (&json!(1), None));
        assert!(report.summary().contains("contributes 0.500000\n  What? → That.\nstep 1: "));
        assert!(report.steps[0].details_text().ends_with("\nquestion: What?"));
    }
}
