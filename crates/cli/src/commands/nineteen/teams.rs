//! Teams of API keys: the commands of `tao nineteen keys` for budgets that keys share.

use anyhow::{Context as _, anyhow};
use clap::Args;
use jiff::Timestamp;
use taonet_nineteen_store::{Store, Team};

use super::keys::{budget, display_name, limit};
use crate::context::Context;
use crate::table::table;
use crate::tables::TEAMS;

#[derive(Debug, Args)]
pub(super) struct TeamArgs {
    /// Name of the team, up to 64 characters
    #[arg(value_name = "NAME", value_parser = display_name)]
    name: String,
    /// Create the team if there is none with this name
    #[arg(long)]
    create: bool,
    /// Maximum credits of all keys together per calendar month [default: unchanged]
    #[arg(long, value_name = "CREDITS", value_parser = budget(), conflicts_with = "no_budget")]
    budget: Option<i64>,
    /// Remove the monthly limit
    #[arg(long)]
    no_budget: bool,
    /// Maximum credits of all keys together per day in UTC [default: unchanged]
    #[arg(long, value_name = "CREDITS", value_parser = budget(), conflicts_with = "no_daily_budget")]
    daily_budget: Option<i64>,
    /// Remove the daily limit
    #[arg(long)]
    no_daily_budget: bool,
}

/// Returns all teams, with what they have spent today and in this month.
async fn read(store: &Store) -> anyhow::Result<Vec<Team>> {
    Ok(store.teams(&Timestamp::now().strftime("%Y-%m-%d").to_string()).await?)
}

/// Checks that a team exists. A mistyped name must not leave a key without the team's budgets.
pub(super) async fn check_team(store: &Store, name: Option<&str>) -> anyhow::Result<()> {
    let Some(name) = name else { return Ok(()) };
    if read(store).await?.iter().all(|team| team.name != name) {
        return Err(unknown(name));
    }
    Ok(())
}

fn unknown(name: &str) -> anyhow::Error {
    anyhow!(
        "unknown team {name}\nhint: `tao nineteen keys teams` lists all teams, `tao nineteen keys team NAME --create` creates \
         one"
    )
}

pub(super) async fn team(store: &Store, args: &TeamArgs, context: &Context) -> anyhow::Result<()> {
    let existing = read(store).await?.into_iter().find(|team| team.name == args.name);
    if existing.is_none() && !args.create {
        return Err(unknown(&args.name));
    }
    let (mut monthly, mut daily) = existing.map_or((None, None), |team| (team.monthly_budget, team.daily_budget));
    if args.budget.is_some() || args.no_budget {
        monthly = args.budget;
    }
    if args.daily_budget.is_some() || args.no_daily_budget {
        daily = args.daily_budget;
    }
    store.set_team(&args.name, monthly, daily).await?;
    let team = read(store).await?.into_iter().find(|team| team.name == args.name);
    context.print_json(&team.context("the team is not in the database")?)
}

pub(super) async fn teams(store: &Store, context: &Context) -> anyhow::Result<()> {
    let teams = read(store).await?;
    if context.json {
        return context.print_json(&teams);
    }
    let mut rows = table(&TEAMS);
    for team in teams {
        rows.add_row([
            team.name,
            team.keys.to_string(),
            limit(team.monthly_budget),
            team.spent_in_month.to_string(),
            limit(team.daily_budget),
            team.spent_in_day.to_string(),
        ]);
    }
    context.print(&rows.to_string())
}
