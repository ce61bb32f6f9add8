//! The `tao prompting explain` command.

use std::str::FromStr;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Map, Value, json};
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::Classified;
use taonet_cli_base::printable::printable;
use taonet_cli_base::table::{decimals, wrapped};
use taonet_kit::{Explanation, RecordedReward, RecordedStep};
use taonet_primitives::{Hotkey, Ss58Error, Uid, counted};
use taonet_prompting_neurons::{EventLog, ExplainedReward, explained};
use taonet_service::unix_time;

use super::state::StateArgs;

/// Number of steps that are shown without `--json`: the newest ones, which count most.
const SHOWN: usize = 10;

/// Show how the score of a miner came about
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Hotkey of the miner, or its uid in the recorded steps
    #[arg(value_name = "HOTKEY|UID")]
    miner: MinerName,
    /// Show this step only, with the parts of the reward
    #[arg(long, value_name = "N")]
    step: Option<u64>,
    #[command(flatten)]
    state: StateArgs,
}

/// A miner as the user names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MinerName {
    Hotkey(Hotkey),
    Uid(Uid),
}

impl FromStr for MinerName {
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

/// The score of a miner with everything that is recorded about it.
struct Report {
    explanation: Explanation,
    /// The rewards with their completions, the newest first.
    rewards: Vec<ExplainedReward>,
}

pub(crate) fn run(args: &ExplainArgs, context: &Context) -> anyhow::Result<()> {
    let explanation = context.block_on(explanation(args))?;
    let records = EventLog::in_directory(args.state.directory()).of_miner(&explanation.hotkey)?;
    let mut rewards = explained(&explanation, records);
    rewards.reverse();
    if let Some(number) = args.step {
        let newest = rewards.first().map(|newest| newest.step.number);
        rewards.retain(|one| one.step.number == number);
        if rewards.is_empty() {
            return Err(missing_step(&explanation, number, newest));
        }
    }
    let report = Report { explanation, rewards };
    match (context.json, args.step) {
        (true, _) => context.print_json(&report.document()),
        (false, Some(_)) => context.print(&report.step()),
        (false, None) => context.print(&report.summary()),
    }
}

/// Reads the score of the miner with its record.
async fn explanation(args: &ExplainArgs) -> anyhow::Result<Explanation> {
    let scores = args.state.open_read_only().await?;
    let hotkey = match args.miner {
        MinerName::Hotkey(hotkey) => hotkey,
        MinerName::Uid(uid) => scores.hotkey_of(uid).await?.with_context(|| {
            format!("no recorded step has rewarded uid {uid}\nhint: name the miner by its hotkey, or check --netuid")
        })?,
    };
    let explanation = scores.explain(&hotkey).await?;
    explanation.with_context(|| format!("{hotkey} has no score\nhint: check --netuid and --state"))
}

/// Returns the error for a step that has not rewarded the miner.
fn missing_step(explanation: &Explanation, number: u64, newest: Option<u64>) -> anyhow::Error {
    let hint = match newest {
        Some(newest) => format!("the newest step with a reward of the miner is {newest}"),
        None => "no step with a reward of the miner is recorded any more".to_owned(),
    };
    let text =
        format!("step {number} has no recorded reward of {}\nhint: {hint}", explanation.hotkey);
    Classified::usage(text)
}

impl Report {
    fn document(&self) -> Value {
        let Explanation { hotkey, score, .. } = &self.explanation;
        json!({
            "schema": "taonet.prompting-explain/1",
            "hotkey": hotkey,
            "score": score,
            "recomputed_score": self.explanation.recomputed_score(),
            "consistent": self.explanation.is_consistent(),
            "initial_score": self.explanation.initial_score(),
            "remainder": self.explanation.remainder(),
            "steps": self.rewards.iter().map(row).collect::<Vec<_>>(),
        })
    }

    /// Returns the score and its newest rewards as text.
    fn summary(&self) -> String {
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
        let head = wrapped(&format!("{hotkey}: score {}{follows}", decimals(Some(*score), 6)));
        let mut lines = vec![head];
        lines.extend(self.rewards.iter().take(SHOWN).map(line));
        let older = self.rewards.get(SHOWN..).unwrap_or_default();
        if !older.is_empty() {
            let sum = older.iter().fold(0.0, |sum, one| sum + one.contribution);
            lines.push(format!(
                "{} contribute {}",
                counted(older.len(), "older reward"),
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

    /// Returns one step as text.
    fn step(&self) -> String {
        let Some(ExplainedReward { step, reward, contribution, answer }) = self.rewards.first()
        else {
            return String::new();
        };
        let mut lines = vec![
            format!(
                "step {} at block {}, request {}, uid {}",
                step.number, step.completed.block, step.request, reward.uid
            ),
            moved(step, reward),
            format!("contributes {} to the score", decimals(Some(*contribution), 6)),
        ];
        if let Some((question, answer)) = answer {
            lines.push(format!("question: {}", printable(question)));
            lines.push(match &answer.error {
                Some(error) => format!("no completion: {}", printable(error)),
                None => format!("completion: {}", printable(&answer.completion)),
            });
            let parts = answer
                .parts
                .iter()
                .map(|(name, value)| format!("{name} {}", decimals(Some(*value), 3)));
            let parts = parts.collect::<Vec<_>>().join(", ");
            lines.push(format!(
                "reward before it became a share: {} ({parts})",
                decimals(Some(answer.reward), 3)
            ));
        }
        lines.join("\n")
    }
}

/// Returns the formula of a step.
fn moved(step: &RecordedStep, reward: &RecordedReward) -> String {
    let [before, earned, after] = [reward.score_before, reward.reward, reward.score_after]
        .map(|number| decimals(Some(number), 6));
    format!("score {before} + {} × (reward {earned} − {before}) = {after}", step.alpha)
}

/// Returns a step in one line.
fn line(one: &ExplainedReward) -> String {
    let ExplainedReward { step, reward, contribution, answer } = one;
    let contribution = decimals(Some(*contribution), 6);
    let told = match answer {
        Some((question, answer)) => {
            let reply = answer.error.as_ref().unwrap_or(&answer.completion);
            format!("\n  {} → {}", printable(question), printable(reply))
        }
        None => String::new(),
    };
    format!("step {}: {}, contributes {contribution}{told}", step.number, moved(step, reward))
}

fn row(one: &ExplainedReward) -> Value {
    let ExplainedReward { step, reward, contribution, answer } = one;
    let (question, answer) = answer.as_ref().map(|(question, answer)| (question, answer)).unzip();
    let parts = answer.map(|answer| {
        answer
            .parts
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect::<Map<String, Value>>()
    });
    json!({
        "step": step.number,
        "block": step.completed.block,
        "began_ms": u64::try_from(unix_time(step.completed.began).as_millis()).unwrap_or(u64::MAX),
        "request": step.request,
        "uid": reward.uid,
        "alpha": step.alpha,
        "reward": reward.reward,
        "score_before": reward.score_before,
        "score_after": reward.score_after,
        "contribution": contribution,
        "question": question,
        "completion": answer.map(|answer| &answer.completion),
        "error": answer.and_then(|answer| answer.error.as_ref()),
        "unnormalised_reward": answer.map(|answer| answer.reward),
        "parts": parts,
        "seconds": answer.map(|answer| answer.seconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn miner_is_named_by_hotkey_or_uid() {
        const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        assert_eq!("7".parse(), Ok(MinerName::Uid(Uid(7))));
        assert_eq!(ALICE.parse(), Ok(MinerName::Hotkey(ALICE.parse().unwrap())));
        for text in ["", "-1", "70000", "alice"] {
            let error = text.parse::<MinerName>().unwrap_err();
            assert!(error.starts_with("expected a hotkey or a uid: "), "{error}");
        }
    }
}
