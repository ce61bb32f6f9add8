//! The `tao prompting explain` command.

use clap::Args;
use serde_json::{Map, Value, json};
use taonet_cli_base::context::Context;
use taonet_cli_base::printable::printable;
use taonet_cli_base::table::decimals;
use taonet_cli_subnets::scores::{MinerSelector, ReportedStep, ScoreReport, StateArgs};
use taonet_prompting_neurons::{AnswerRecord, EventLog, ExplainedReward, explain_rewards};

/// Show how the score of a miner came about
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Hotkey of the miner, or its uid in the recorded steps
    #[arg(value_name = "HOTKEY|UID")]
    miner: MinerSelector,
    /// Show this step only, with the parts of the reward
    #[arg(long, value_name = "N")]
    step: Option<u64>,
    #[command(flatten)]
    state: StateArgs,
}

pub(crate) fn run(args: &ExplainArgs, context: &Context) -> anyhow::Result<()> {
    let explanation = context.block_on(args.miner.explanation(&args.state))?;
    let records =
        EventLog::in_directory(args.state.directory()).steps_with_miner(&explanation.hotkey)?;
    let steps = explain_rewards(&explanation, records).into_iter().rev().map(report_step).collect();
    ScoreReport { schema: "taonet.prompting-explain/1", explanation, steps }
        .print(args.step, context)
}

/// Adds the completion to the report on a step.
fn report_step(explained: ExplainedReward) -> ReportedStep {
    let ExplainedReward { step, reward, contribution, answer } = explained;
    let (summary, details) = match &answer {
        Some((question, answer)) => (Some(summary(question, answer)), details(question, answer)),
        None => (None, Vec::new()),
    };
    let fields = answer_fields(answer.as_ref());
    ReportedStep { step, reward, contribution, summary, details, fields }
}

fn summary(question: &str, answer: &AnswerRecord) -> String {
    let reply = answer.error.as_ref().unwrap_or(&answer.completion);
    format!("{} → {}", printable(question), printable(reply))
}

fn details(question: &str, answer: &AnswerRecord) -> Vec<String> {
    let parts =
        answer.parts.iter().map(|(name, value)| format!("{name} {}", decimals(Some(*value), 3)));
    let parts = parts.collect::<Vec<_>>().join(", ");
    vec![
        format!("question: {}", printable(question)),
        match &answer.error {
            Some(error) => format!("no completion: {}", printable(error)),
            None => format!("completion: {}", printable(&answer.completion)),
        },
        format!("reward before it became a share: {} ({parts})", decimals(Some(answer.reward), 3)),
    ]
}

/// Returns the keys of a completion; they are null without one.
fn answer_fields(answer: Option<&(String, AnswerRecord)>) -> Map<String, Value> {
    let (question, answer) = answer.map(|(question, answer)| (question, answer)).unzip();
    let parts = answer.map(|answer| {
        answer
            .parts
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect::<Map<String, Value>>()
    });
    let fields = [
        ("question", json!(question)),
        ("completion", json!(answer.map(|answer| &answer.completion))),
        ("error", json!(answer.and_then(|answer| answer.error.as_ref()))),
        ("unnormalised_reward", json!(answer.map(|answer| answer.reward))),
        ("parts", json!(parts)),
        ("seconds", json!(answer.map(|answer| answer.seconds))),
    ];
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
