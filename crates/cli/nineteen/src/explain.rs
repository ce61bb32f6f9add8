//! The `tao nineteen explain` command.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use taonet_cli_base::context::Context;
use taonet_cli_base::table::{Rows, key_values, wrap_text};
use taonet_nineteen_control::{MarketFile, MarketReport, MarketState, TaskReport};
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_store::PeriodId;
use taonet_primitives::{Uid, counted};

use super::database::DatabaseArgs;
use super::keys::now_ms;

/// Show how each weight is computed
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The validator's --state directory; not needed with PostgreSQL
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// The validator's --tasks file [default: the tasks with which the period was opened]
    #[arg(long, value_name = "FILE")]
    tasks: Option<PathBuf>,
    /// Explain the weights at the end of this period [default: the current weights]
    #[arg(long, value_name = "N")]
    period: Option<u32>,
    /// Show only this miner
    #[arg(long)]
    uid: Option<Uid>,
    /// Print the input of the weights as JSON for `tao nineteen weights`
    #[arg(long, conflicts_with = "uid")]
    export: bool,
}

pub(crate) fn run(args: &ExplainArgs, context: &Context) -> anyhow::Result<()> {
    let (config, state) = context.block_on(load(args))?;
    if args.export {
        return context.print_json(&state.export(&config));
    }
    let mut report = state.report(&config);
    if let Some(uid) = args.uid {
        report.miners.retain(|miner| miner.uid == uid);
        anyhow::ensure!(
            !report.miners.is_empty(),
            "uid {uid} has no checked answer in this period's tasks"
        );
    }
    if context.json { context.print_json(&report) } else { context.print(&report_text(&report)) }
}

async fn load(args: &ExplainArgs) -> anyhow::Result<(MarketConfig, MarketState)> {
    let store = args.database.open_existing(args.state.as_deref()).await?;
    let period = match args.period {
        Some(number) => {
            let period = PeriodId(i64::from(number));
            let row = store.period(period).await?;
            Some(row.with_context(|| format!("there is no period {period} in the database"))?.id)
        }
        None => store.newest_period().await?.map(|period| period.id),
    };
    let config = match (&args.tasks, period) {
        (Some(path), _) => (*MarketFile::open(path)?.current()).clone(),
        // Without a period, there is nothing to explain.
        (None, None) => MarketConfig::default(),
        (None, Some(period)) => require_config(store.config(Some(period)).await?, period)?,
    };
    let state = match period.filter(|_| args.period.is_some()) {
        None => Some(MarketState::load(&store, &config, now_ms()).await?),
        Some(period) => MarketState::load_at(&store, &config, period, now_ms()).await?,
    };
    store.close().await;
    Ok((config, state.unwrap_or_default()))
}

/// Returns a period's configuration. Other tasks would give other weights.
fn require_config(config: Option<MarketConfig>, period: PeriodId) -> anyhow::Result<MarketConfig> {
    config.with_context(|| {
        format!(
            "the database has no task configuration of period {period}, which an earlier release or the reference opened\n\
             hint: pass the validator's task file of that time with --tasks"
        )
    })
}

fn report_text(report: &MarketReport) -> String {
    let mut parts = Vec::new();
    for miner in &report.miners {
        let mut rows = key_values();
        for task in &miner.tasks {
            add_task(&mut rows, task, report);
        }
        let contributions: Vec<_> =
            miner.tasks.iter().map(|task| format!("{:.6}", task.contribution)).collect();
        let score = format!("{} = {:.6}", contributions.join(" + "), miner.score);
        rows.add_row(["score", &score]);
        let weight = format!("score / {:.6} of all miners = {:.6}", report.score_sum, miner.weight);
        rows.add_row(["weight", &weight]);
        let title = format!("uid {} ({}): weight {:.6}", miner.uid, miner.hotkey, miner.weight);
        parts.push(format!("{}\n{rows}", wrap_text(&title)));
    }
    parts.join("\n\n")
}

fn add_task(rows: &mut Rows, report: &TaskReport, market: &MarketReport) {
    let TaskReport {
        task, task_weight, rewards, filled, average_quality, adjusted_quality, ..
    } = report;
    let TaskReport {
        metric, bonus, combined_quality, periods, period_mean, probation_factor, ..
    } = report;
    let TaskReport {
        period_score,
        capacity,
        effective,
        effective_sum,
        share,
        powered,
        powered_sum,
        ..
    } = report;
    let metric =
        metric.map_or_else(|| "unknown".to_owned(), |metric| format!("{metric:.2} per second"));
    let answers = match filled {
        0 => counted(*rewards, "answer"),
        filled if market.scoring_profile.is_strict() => {
            format!("{} and {filled} in other tasks", counted(*rewards, "answer"))
        }
        filled => format!("{} and {filled} of the newest in any task", counted(*rewards, "answer")),
    };
    let periods = counted(*periods, "period");
    for (name, value) in [
        ("task", format!("{task}, {task_weight} of the incentive")),
        (
            "average quality",
            format!("{average_quality:.6} of {answers}, adjusted {adjusted_quality:.6}"),
        ),
        ("speed", format!("{metric}, bonus {bonus:+.4}")),
        ("quality", format!("{adjusted_quality:.6} × (1 {bonus:+.4}) = {combined_quality:.6}")),
        (
            "period score",
            format!(
                "{period_mean:.6} of {periods} × probation {probation_factor} = {period_score:.6}"
            ),
        ),
        (
            "effective volume",
            format!(
                "quality {combined_quality:.6} × period {period_score:.6} × capacity {capacity} = {effective:.3}"
            ),
        ),
        ("share", format!("{effective:.3} / {effective_sum:.3} of all miners = {share:.6}")),
        (
            "net share",
            format!(
                "share^{} {powered:.6} / {powered_sum:.6} of all miners = {:.6}",
                market.share_exponent, report.net
            ),
        ),
        ("contribution", format!("{:.6} × {task_weight} = {:.6}", report.net, report.contribution)),
    ] {
        rows.add_row([name, &value]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_configuration_is_an_error() {
        let config = MarketConfig::default();
        assert_eq!(require_config(Some(config.clone()), PeriodId(7)).unwrap(), config);
        let text = require_config(None, PeriodId(7)).unwrap_err().to_string();
        assert!(text.contains("period 7") && text.contains("--tasks"), "{text}");
    }
}
