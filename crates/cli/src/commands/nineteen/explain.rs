//! `tao nineteen explain`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use taonet_nineteen_control::{MarketFile, MarketReport, MarketState, TaskReport};
use taonet_nineteen_core::MarketConfig;
use taonet_nineteen_store::PeriodId;
use taonet_primitives::{Uid, counted};

use super::database::DatabaseArgs;
use super::keys::now_ms;
use crate::context::Context;

/// Show how each weight is computed
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The validator's --state directory
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// The validator's --tasks file
    #[arg(long, value_name = "FILE")]
    tasks: Option<PathBuf>,
    /// Weights at the end of this period [default: the current weights]
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
    let config = match &args.tasks {
        Some(path) => (*MarketFile::open(path)?.current()).clone(),
        None => MarketConfig::default(),
    };
    let state = context.block_on(load(args, &config))?;
    if args.export {
        return context.print_json(&state.export(&config));
    }
    let mut report = state.report(&config);
    if let Some(uid) = args.uid {
        report.miners.retain(|miner| miner.uid == uid);
        anyhow::ensure!(!report.miners.is_empty(), "uid {uid} has no checked answer in this period's tasks");
    }
    if context.json { context.print_json(&report) } else { context.print(&explained(&report)) }
}

async fn load(args: &ExplainArgs, config: &MarketConfig) -> anyhow::Result<MarketState> {
    let store = args.database.open(args.state.as_deref()).await?;
    let state = match args.period {
        None => MarketState::load(&store, config, now_ms()).await?,
        Some(number) => {
            let found = MarketState::load_at(&store, config, PeriodId(i64::from(number)), now_ms()).await?;
            found.with_context(|| format!("there is no period {number} in the database"))?
        }
    };
    store.close().await;
    Ok(state)
}

fn explained(report: &MarketReport) -> String {
    let mut lines = Vec::new();
    for miner in &report.miners {
        lines.push(format!("uid {} ({}): weight {:.6}", miner.uid, miner.hotkey, miner.weight));
        for task in &miner.tasks {
            lines.extend(task_lines(task));
        }
    }
    lines.join("\n")
}

fn task_lines(report: &TaskReport) -> [String; 4] {
    let TaskReport { task, task_weight, rewards, average_quality, metric, bonus, .. } = report;
    let TaskReport { combined_quality, periods, period_score, capacity, effective, net, .. } = report;
    let metric = metric.map_or_else(|| "unknown".to_owned(), |metric| format!("{metric:.2} a second"));
    [
        format!("  {task}, {task_weight} of the incentive"),
        format!("    average quality {average_quality:.6} of {}", counted(*rewards, "answer")),
        format!("    speed {metric}, bonus {bonus:+.4}"),
        format!(
            "    quality {combined_quality:.6} × period {period_score:.6} of {} × capacity {capacity} = {effective:.3}, net {net:.6}",
            counted(*periods, "period")
        ),
    ]
}
