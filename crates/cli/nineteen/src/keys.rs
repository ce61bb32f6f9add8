//! The `tao nineteen keys` command.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::builder::RangedI64ValueParser;
use clap::{Args, Subcommand};
use jiff::{Span, SpanRelativeTo, Timestamp};
use rand::RngCore as _;
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::printable::printable;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::{API_KEYS, INVOICE, USAGE};
use taonet_nineteen_core::{KeyWeight, TaskName};
use taonet_nineteen_store::{ApiKey, KeyTerms, MAX_CREDITS, Month, Store, usage_csv};
use taonet_primitives::counted;
use taonet_service::unix_millis;

use super::database::DatabaseArgs;
use super::teams::{TeamArgs, change_team, list_teams};
use super::topups::{AssignArgs, DepositsArgs, assign, list_deposits, show_deposit_address};

/// Maximum length of a key's name, in characters.
pub(crate) const MAX_NAME_LENGTH: usize = 64;

/// Manage buyers' API keys and credits
#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: Command,
    /// The validator's --state directory; not needed with PostgreSQL
    #[arg(long, value_name = "DIR", global = true)]
    state: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a key and print it; only its hash is stored
    Create(CreateArgs),
    /// List all keys
    List,
    /// Change the name and limits of a key
    Update(UpdateArgs),
    /// Revoke a key permanently
    Revoke(KeyArg),
    /// Grant credits to a key; a negative number withdraws them
    Grant(GrantArgs),
    /// Create or delete a team of keys, or change its budgets
    Team(TeamArgs),
    /// List all teams
    Teams,
    /// Show the usage of keys by day and model
    Usage(UsageArgs),
    /// Show what a key has used and received in a month
    Invoice(InvoiceArgs),
    /// Show the address to which a buyer sends TAO for a key
    Topup(KeyArg),
    /// List the transfers of TAO to deposit addresses
    Deposits(DepositsArgs),
    /// Credit a transfer of TAO that belongs to no active key
    Assign(AssignArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Display name, up to 64 characters
    #[arg(long, value_parser = parse_display_name)]
    name: String,
    /// Maximum requests per minute
    #[arg(long, value_name = "N", default_value = "60", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Maximum tokens of requests and answers per minute [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    token_rate: Option<u32>,
    /// Allowed model; may be repeated [default: all]
    #[arg(long = "model", value_name = "TASK")]
    models: Vec<TaskName>,
    /// Maximum credits per calendar month [default: no limit]
    #[arg(long, value_name = "CREDITS", value_parser = budget_parser())]
    budget: Option<i64>,
    /// Maximum credits per day in UTC [default: no limit]
    #[arg(long, value_name = "CREDITS", value_parser = budget_parser())]
    daily_budget: Option<i64>,
    /// Team whose budgets the key shares; create it with `tao nineteen keys team` [default: none]
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
    /// Time from which requests with the key are rejected: 2027-01-31T12:00:00Z, or a duration from
    /// now such as 30d [default: never]
    #[arg(long, value_name = "TIME", value_parser = parse_expiry)]
    expires: Option<i64>,
    /// Share of the miners while all are busy, relative to other keys, from 1 to 100
    #[arg(long, value_name = "N", default_value_t)]
    weight: KeyWeight,
    /// Log each request with the key, without the texts of request and answer
    #[arg(long)]
    log_requests: bool,
    /// Initial credits
    #[arg(long, default_value = "0", value_parser = clap::value_parser!(u64).range(..=MAX_CREDITS.unsigned_abs()))]
    credits: u64,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
struct UpdateArgs {
    #[command(flatten)]
    key: KeyArg,
    /// Display name, up to 64 characters [default: unchanged]
    #[arg(long, value_parser = parse_display_name)]
    name: Option<String>,
    /// Maximum requests per minute [default: unchanged]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Maximum tokens of requests and answers per minute [default: unchanged]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        conflicts_with = "no_token_rate"
    )]
    token_rate: Option<u32>,
    /// Remove the limit of tokens per minute
    #[arg(long)]
    no_token_rate: bool,
    /// Allowed model, replacing the current ones; may be repeated
    #[arg(long = "model", value_name = "TASK", conflicts_with = "all_models")]
    models: Vec<TaskName>,
    /// Allow all models
    #[arg(long)]
    all_models: bool,
    /// Maximum credits per calendar month [default: unchanged]
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
    /// Maximum credits per day in UTC [default: unchanged]
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
    /// Team whose budgets the key shares [default: unchanged]
    #[arg(long, value_name = "NAME", conflicts_with = "no_team")]
    team: Option<String>,
    /// Remove the key from its team
    #[arg(long)]
    no_team: bool,
    /// Time from which requests with the key are rejected: 2027-01-31T12:00:00Z, or a duration from
    /// now such as 30d [default: unchanged]
    #[arg(long, value_name = "TIME", value_parser = parse_expiry, conflicts_with = "no_expiry")]
    expires: Option<i64>,
    /// Let the key never expire
    #[arg(long)]
    no_expiry: bool,
    /// Share of the miners while all are busy, from 1 to 100 [default: unchanged]
    #[arg(long, value_name = "N")]
    weight: Option<KeyWeight>,
    /// Log each request with the key, without the texts of request and answer
    #[arg(long, conflicts_with = "no_log_requests")]
    log_requests: bool,
    /// Do not log the requests with the key
    #[arg(long)]
    no_log_requests: bool,
}

#[derive(Debug, Args)]
struct GrantArgs {
    #[command(flatten)]
    key: KeyArg,
    /// Number of credits
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-MAX_CREDITS..=MAX_CREDITS))]
    credits: i64,
    /// Reason, recorded in the ledger
    #[arg(long, default_value = "manual grant")]
    why: String,
}

#[derive(Debug, Args)]
struct UsageArgs {
    /// Show the usage of this key only [default: all keys]
    #[arg(value_name = "KEY_ID")]
    key: Option<String>,
    /// Print the usage as CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

#[derive(Debug, Args)]
struct InvoiceArgs {
    #[command(flatten)]
    key: KeyArg,
    /// Calendar month in UTC, such as 2026-11
    #[arg(long, value_name = "MONTH")]
    month: Month,
    /// Print the usage, the grants and the transfers of TAO as CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeyArg {
    /// Key ID, as in sk-tao-ID-SECRET
    #[arg(value_name = "KEY_ID")]
    pub(crate) id: String,
}

pub(crate) fn run(args: &KeysArgs, context: &Context) -> anyhow::Result<()> {
    context.block_on(async {
        let store = args.database.open_existing(args.state.as_deref()).await?;
        let result = match &args.command {
            Command::Create(args) => create(&store, args, context).await,
            Command::List => list(&store, context).await,
            Command::Update(args) => update(&store, args, context).await,
            Command::Revoke(key) => revoke(&store, key, context).await,
            Command::Grant(args) => grant(&store, args, context).await,
            Command::Team(args) => change_team(&store, args, context).await,
            Command::Teams => list_teams(&store, context).await,
            Command::Usage(args) => print_usage(&store, args, context).await,
            Command::Invoice(args) => print_invoice(&store, args, context).await,
            Command::Topup(key) => show_deposit_address(&store, key, context).await,
            Command::Deposits(args) => list_deposits(&store, args, context).await,
            Command::Assign(args) => assign(&store, args, context).await,
        };
        store.close().await;
        result
    })
}

/// Returns the current Unix time in milliseconds.
pub(crate) fn now_ms() -> i64 {
    unix_millis(std::time::SystemTime::now())
}

/// Returns the parser of a budget in credits.
pub(crate) fn budget_parser() -> RangedI64ValueParser<i64> {
    clap::value_parser!(i64).range(0..=MAX_CREDITS)
}

/// Parses the name of a key or a team, which is shown in one line of tables, logs and invoices.
pub(crate) fn parse_display_name(text: &str) -> Result<String, &'static str> {
    let is_line = printable(text) == text
        && !text.trim().is_empty()
        && text.chars().count() <= MAX_NAME_LENGTH;
    if is_line {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 64 characters without line breaks and control characters")
    }
}

/// Parses a time, or a duration from now; returns the Unix time in milliseconds.
fn parse_expiry(text: &str) -> Result<i64, &'static str> {
    let expected = "expected a time such as 2027-01-31T12:00:00Z, or a duration such as 30d";
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let span: Span = text.parse().map_err(|_| expected)?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected)?;
    if duration.is_negative() {
        return Err(expected);
    }
    Ok(now_ms().saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
}

/// Formats an optional limit.
pub(crate) fn format_limit(limit: Option<i64>) -> String {
    limit.map_or_else(|| "–".to_owned(), |limit| limit.to_string())
}

/// Formats a Unix time in milliseconds.
fn format_time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}

/// Checks that the market has these tasks: those of the newest period, or, before the first one,
/// the default ones.
async fn check_models(store: &Store, models: &[TaskName]) -> anyhow::Result<()> {
    let config = store.config(None).await?.unwrap_or_default();
    if let Some(unknown) = models.iter().find(|model| config.task(model.as_str()).is_none()) {
        let names: Vec<_> = config.tasks.iter().map(|task| task.task.as_str()).collect();
        bail!(
            "unknown model {unknown}\nhint: the validator's tasks are {}; a task that you add to its task file counts \
             from the next period",
            names.join(", ")
        );
    }
    Ok(())
}

async fn create(store: &Store, args: &CreateArgs, context: &Context) -> anyhow::Result<()> {
    if args.expires.is_some_and(|expires_ms| expires_ms <= now_ms()) {
        return Err(ClassifiedError::usage(
            "--expires is in the past\nhint: use a later time, such as 30d",
        ));
    }
    check_models(store, &args.models).await?;
    let terms = KeyTerms {
        name: args.name.clone(),
        rate_per_minute: args.rate,
        tokens_per_minute: args.token_rate,
        models: (!args.models.is_empty()).then(|| args.models.clone()),
        monthly_budget: args.budget,
        daily_budget: args.daily_budget,
        team: args.team.clone(),
        expires_ms: args.expires,
        weight: args.weight,
        log_requests: args.log_requests,
    };
    let mut random_bytes = [0; 40];
    rand::rng().fill_bytes(&mut random_bytes);
    let key = store.create_key_with_credits(&terms, args.credits, &random_bytes, now_ms()).await?;
    if context.json {
        return context.print_json(
            &json!({ "id": key.id, "key": key.secret.as_str(), "balance": args.credits }),
        );
    }
    context.print_notice(&format!("created key {}; it is shown only once:", key.id));
    context.print(&key.secret)
}

/// Returns the message of the error for an unknown ID.
fn unknown_key_message(id: &str) -> String {
    format!("there is no key {id}; `tao nineteen keys list` lists all keys")
}

/// Returns the key with this ID.
pub(crate) async fn find_key(store: &Store, id: &str) -> anyhow::Result<ApiKey> {
    store.key(id).await?.with_context(|| unknown_key_message(id))
}

async fn list(store: &Store, context: &Context) -> anyhow::Result<()> {
    let keys = store.keys().await?;
    if context.json {
        return context.print_json(&keys);
    }
    let now_ms = now_ms();
    let mut rows = table(&API_KEYS);
    for key in keys {
        let state = match key.revoked_ms {
            Some(_) => "revoked",
            None if key.is_expired(now_ms) => "expired",
            None => "active",
        };
        let models = key.terms.models.map_or_else(
            || "all".to_owned(),
            |models| models.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        );
        rows.add_row([
            key.id,
            key.terms.name,
            key.balance.to_string(),
            key.terms.rate_per_minute.to_string(),
            format_limit(key.terms.tokens_per_minute.map(i64::from)),
            key.terms.weight.to_string(),
            format_limit(key.terms.monthly_budget),
            format_limit(key.terms.daily_budget),
            models,
            key.terms.team.unwrap_or_else(|| "–".to_owned()),
            key.terms.expires_ms.map_or_else(|| "–".to_owned(), format_time),
            state.to_owned(),
        ]);
    }
    context.print(&rows.to_string())
}

async fn update(store: &Store, args: &UpdateArgs, context: &Context) -> anyhow::Result<()> {
    let ApiKey { mut terms, .. } = find_key(store, &args.key.id).await?;
    terms.name = args.name.clone().unwrap_or(terms.name);
    terms.rate_per_minute = args.rate.unwrap_or(terms.rate_per_minute);
    if args.token_rate.is_some() || args.no_token_rate {
        terms.tokens_per_minute = args.token_rate;
    }
    check_models(store, &args.models).await?;
    if !args.models.is_empty() || args.all_models {
        terms.models = (!args.all_models).then(|| args.models.clone());
    }
    if args.budget.is_some() || args.no_budget {
        terms.monthly_budget = args.budget;
    }
    if args.daily_budget.is_some() || args.no_daily_budget {
        terms.daily_budget = args.daily_budget;
    }
    if args.team.is_some() || args.no_team {
        terms.team.clone_from(&args.team);
    }
    if args.expires.is_some() || args.no_expiry {
        terms.expires_ms = args.expires;
    }
    terms.weight = args.weight.unwrap_or(terms.weight);
    terms.log_requests = (terms.log_requests || args.log_requests) && !args.no_log_requests;
    store.update_key(&args.key.id, &terms).await?;
    context.print_json(&find_key(store, &args.key.id).await?)
}

async fn revoke(store: &Store, key: &KeyArg, context: &Context) -> anyhow::Result<()> {
    let key_row = find_key(store, &key.id).await?;
    if !store.revoke_key(&key.id, now_ms()).await? {
        bail!("key {} is already revoked", key_row.id);
    }
    context.print_json(&find_key(store, &key.id).await?)
}

async fn grant(store: &Store, args: &GrantArgs, context: &Context) -> anyhow::Result<()> {
    let key_row = find_key(store, &args.key.id).await?;
    let balance_after = store.grant(&args.key.id, args.credits, &args.why, now_ms()).await?;
    let balance = counted(key_row.balance, "credit");
    let balance_after =
        balance_after.with_context(|| format!("key {} has only {balance}", key_row.id))?;
    context.print_json(&json!({ "id": key_row.id, "balance": balance_after }))
}

/// Prints a document as CSV. clap does not refuse the two formats if `--json` precedes the
/// subcommand.
fn print_csv(text: &str, context: &Context) -> anyhow::Result<()> {
    if context.json {
        return Err(ClassifiedError::usage("--csv and --json exclude each other"));
    }
    context.print(text.trim_end())
}

async fn print_usage(store: &Store, args: &UsageArgs, context: &Context) -> anyhow::Result<()> {
    let usage = store.usage(args.key.as_deref()).await?;
    if args.csv {
        return print_csv(&usage_csv(&usage), context);
    }
    if context.json {
        return context
            .print_json(&json!({ "usage": usage, "balanced": store.is_balanced().await? }));
    }
    let mut rows = table(&USAGE);
    for row in usage {
        let numbers = [row.requests, row.input_tokens, row.output_tokens, row.charged]
            .map(|number| number.to_string());
        rows.add_row([row.day, row.key_id, row.model].into_iter().chain(numbers));
    }
    context.print(&rows.to_string())
}

async fn print_invoice(store: &Store, args: &InvoiceArgs, context: &Context) -> anyhow::Result<()> {
    let id = &args.key.id;
    let invoice = store.invoice(id, args.month).await?.with_context(|| unknown_key_message(id))?;
    if args.csv {
        return print_csv(&invoice.to_csv(), context);
    }
    if context.json {
        return context.print_json(&invoice);
    }
    let mut rows = table(&INVOICE);
    for line in &invoice.lines {
        let numbers = [line.requests, line.input_tokens, line.output_tokens, line.charged];
        rows.add_row(
            [line.model.clone()].into_iter().chain(numbers.map(|number| number.to_string())),
        );
    }
    let granted: i64 =
        invoice.grants.iter().map(|grant| grant.credits).fold(0, i64::saturating_add);
    let deposited: i64 =
        invoice.deposits.iter().map(|deposit| deposit.credits).fold(0, i64::saturating_add);
    context.print(&format!(
        "{rows}\n\n{} of key {}: {} charged, {} granted, {} for TAO",
        invoice.month,
        invoice.key_id,
        counted(invoice.charged, "credit"),
        counted(granted, "credit"),
        counted(deposited, "credit"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_a_time_or_a_duration_from_now() {
        assert_eq!(parse_expiry("2027-01-31T12:00:00Z"), Ok(1_801_396_800_000));
        let before = now_ms();
        let (month, hour) = (parse_expiry("30d").unwrap(), parse_expiry("1h30m").unwrap());
        assert!((before..=now_ms()).contains(&(month - 30 * 86_400_000)));
        assert!((before..=now_ms()).contains(&(hour - 5_400_000)));
        for text in ["", "30", "-30d", "1 month", "tomorrow", "2027-01-31T12:00:00"] {
            assert!(parse_expiry(text).is_err(), "{text}");
        }
        assert_eq!(format_time(1_801_396_800_000), "2027-01-31T12:00:00Z");
    }

    #[test]
    fn display_name_is_one_line() {
        for name in [
            "shop".to_owned(),
            "k\u{e9}y \u{2603} \u{540d}".to_owned(),
            "\u{540d}".repeat(MAX_NAME_LENGTH),
        ] {
            assert_eq!(parse_display_name(&name), Ok(name.clone()));
        }
        for name in
            ["", " ", "a\nb", "\u{1b}[31m", "\u{202e}a", "x".repeat(MAX_NAME_LENGTH + 1).as_str()]
        {
            assert!(parse_display_name(name).is_err(), "{name:?}");
        }
    }
}
