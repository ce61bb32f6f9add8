//! Teams of API keys: the commands of `tao nineteen keys` for budgets that keys share.

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use taonet_cli_base::context::Context;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::TEAMS;
use taonet_nineteen_store::{BudgetChange, Store, Team};

use super::keys::{budget_parser, format_limit, now_ms, parse_display_name};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct TeamArgs {
    /// Name of the team, up to 64 characters
    #[arg(value_name = "NAME", value_parser = parse_display_name)]
    name: String,
    /// Create the team if there is none with this name
    #[arg(long)]
    create: bool,
    /// Maximum credits of all keys together per calendar month [default: unchanged]
    #[arg(
        long,
        value_name = "CREDITS",
        value_parser = budget_parser(),
        conflicts_with = "no_budget"
    )]
    budget: Option<i64>,
    /// Remove the monthly limit
    #[arg(long)]
    no_budget: bool,
    /// Maximum credits of all keys together per day in UTC [default: unchanged]
    #[arg(
        long,
        value_name = "CREDITS",
        value_parser = budget_parser(),
        conflicts_with = "no_daily_budget"
    )]
    daily_budget: Option<i64>,
    /// Remove the daily limit
    #[arg(long)]
    no_daily_budget: bool,
    /// Delete the team, which must have no active keys; its charges are kept
    #[arg(
        long,
        conflicts_with_all = ["create", "budget", "no_budget", "daily_budget", "no_daily_budget"]
    )]
    delete: bool,
}

/// Returns all teams, with what they have spent today and in this month.
async fn read_teams(store: &Store) -> anyhow::Result<Vec<Team>> {
    Ok(store.teams(&Timestamp::now().strftime("%Y-%m-%d").to_string()).await?)
}

/// Returns a team; `None` if it does not exist.
async fn find_team(store: &Store, name: &str) -> anyhow::Result<Option<Team>> {
    Ok(read_teams(store).await?.into_iter().find(|team| team.name == name))
}

/// Returns the change of a budget from its two flags.
fn budget_change(budget: Option<i64>, removes: bool) -> BudgetChange {
    if budget.is_some() || removes { BudgetChange::Set(budget) } else { BudgetChange::Keep }
}

pub(crate) async fn change_team(
    store: &Store,
    args: &TeamArgs,
    context: &Context,
) -> anyhow::Result<()> {
    if args.delete {
        let deleted = find_team(store, &args.name).await?;
        store.delete_team(&args.name, now_ms()).await?;
        return context.print_json(&deleted);
    }
    if !args.create || !store.create_team(&args.name, args.budget, args.daily_budget).await? {
        let (monthly, daily) = (
            budget_change(args.budget, args.no_budget),
            budget_change(args.daily_budget, args.no_daily_budget),
        );
        store.update_team(&args.name, monthly, daily).await?;
    }
    let team = find_team(store, &args.name).await?;
    context.print_json(&team.context("the team is not in the database")?)
}

pub(crate) async fn list_teams(store: &Store, context: &Context) -> anyhow::Result<()> {
    let teams = read_teams(store).await?;
    if context.json {
        return context.print_json(&teams);
    }
    let mut rows = table(&TEAMS);
    for team in teams {
        rows.add_row([
            team.name,
            team.keys.to_string(),
            format_limit(team.monthly_budget),
            team.spent_in_month.to_string(),
            format_limit(team.daily_budget),
            team.spent_in_day.to_string(),
        ]);
    }
    context.print(&rows.to_string())
}
