//! The `tao nineteen migrate` command.

mod source;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::printable::printable;
use taonet_cli_base::table::table;
use taonet_cli_base::tables::{IMPORT_REMARKS, IMPORTED_TABLES};
use taonet_nineteen_store::{
    ImportReport, MAX_CREDITS, ReadTerms, ReferenceDatabase, ReferenceRecords, RowRemark, Store,
    TableReport,
};
use taonet_primitives::{NetUid, counted};

use super::database::DatabaseArgs;
use super::keys::{MAX_NAME_LENGTH, now_ms};

/// Name of the reference's keys that have none.
const NO_NAME: &str = "No-Name";

/// Import API keys, rewards and period scores of the reference's validator
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// The reference's PostgreSQL database: its file .vali.env, or postgres://…; prefer the file,
    /// since other users can see the URL
    #[arg(long, value_name = "FILE|URL")]
    from: String,
    /// Host of the reference's database, in place of that in --from; a path is the directory of a
    /// Unix socket [default: the host in --from]
    #[arg(long, value_name = "HOST[:PORT]")]
    from_host: Option<String>,
    /// Directory of the validator's database, for its --state; created if missing. Not needed with
    /// PostgreSQL
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Credits of each imported key [default: its balance at the reference, rounded down]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=MAX_CREDITS.unsigned_abs()))]
    credits: Option<u64>,
    /// Netuid of the subnet
    #[arg(long, default_value = "19")]
    netuid: NetUid,
    /// Only show what would be imported
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &MigrateArgs, context: &Context) -> anyhow::Result<()> {
    let report = context.block_on(migrate(args))?;
    if !context.json {
        return context.print(&format_report(&report, args.check));
    }
    let ImportReport { tables, left_out, notes, periods, credits } = report;
    context.print_json(&json!({
        "check": args.check, "tables": tables, "left_out": left_out, "notes": notes, "periods": periods,
        "credits": credits,
    }))
}

async fn migrate(args: &MigrateArgs) -> anyhow::Result<ImportReport> {
    let source = source::database_url(&args.from, args.from_host.as_deref())?;
    if let Some(target_url) = args.database.url()? {
        refuse_reference(&target_url).await?;
    }
    let reference = ReferenceDatabase::connect(&source).await?;
    let terms = ReadTerms { netuid: args.netuid, now_ms: now_ms(), display_name };
    let records = reference.read(&terms).await;
    reference.close().await;
    let records = records?;
    let credits = args.credits.map(|credits| i64::try_from(credits).unwrap_or(i64::MAX));
    let store = if args.check {
        args.database.open_read_only(args.state.as_deref()).await?
    } else {
        Some(args.database.open(args.state.as_deref()).await?)
    };
    let Some(store) = store else { return Ok(records.preview(credits)?) };
    let report = if args.check {
        store.preview_import(&records, credits).await.map_err(Into::into)
    } else {
        import(&store, &records, credits).await
    };
    store.close().await;
    report
}

/// Refuses the reference's own database, to which nothing must be written.
async fn refuse_reference(target_url: &str) -> anyhow::Result<()> {
    // If it is unreachable, opening it fails with the error of the validator's database.
    let Ok(target) = ReferenceDatabase::connect(target_url).await else { return Ok(()) };
    let is_reference = target.has_tables().await;
    target.close().await;
    if is_reference? {
        let message = "the validator's database is that of the reference, which is not changed\nhint: create an empty \
                       database, for example with `createdb nineteen`, for DATABASE_URL or --database";
        return Err(ClassifiedError::usage(message));
    }
    Ok(())
}

/// Imports the records while no validator uses the database.
async fn import(
    store: &Store,
    records: &ReferenceRecords,
    credits: Option<i64>,
) -> anyhow::Result<ImportReport> {
    let _lock = store.lock_control().await?;
    Ok(store.import(records, credits).await?)
}

/// Returns the name of a key in the form that the other commands accept: one line of 1 to 64
/// characters.
fn display_name(name: &str) -> String {
    let name: String = printable(name.trim()).chars().take(MAX_NAME_LENGTH).collect();
    if name.is_empty() { NO_NAME.to_owned() } else { name }
}

fn format_report(report: &ImportReport, is_check: bool) -> String {
    let mut rows = table(&IMPORTED_TABLES);
    for TableReport { table, rows: total, imported, present, left_out, note } in &report.tables {
        let numbers = [total, imported, present, left_out].map(ToString::to_string);
        let cells = [(*table).to_owned()].into_iter().chain(numbers);
        rows.add_row(cells.chain([(*note).to_owned()]));
    }
    let mut parts = vec![rows.to_string()];
    for (title, remarks) in [("left out", &report.left_out), ("notes", &report.notes)] {
        if !remarks.is_empty() {
            parts.push(format!("{title}:\n{}", remark_table(remarks)));
        }
    }
    let imported = |name: &str| {
        let table = report.tables.iter().find(|table| table.table == name);
        table.map_or(0, |table| table.imported)
    };
    parts.push(format!(
        "{}: {} with {}, {}, {} of {}",
        if is_check { "would be imported" } else { "imported" },
        counted(imported("api_keys"), "API key"),
        counted(report.credits, "credit"),
        counted(imported("reward_data"), "reward"),
        counted(imported("contenders_history"), "score"),
        counted(report.periods, "period"),
    ));
    parts.join("\n\n")
}

/// Lists rows that are left out, or deserve attention.
fn remark_table(remarks: &[RowRemark]) -> String {
    let mut rows = table(&IMPORT_REMARKS);
    for RowRemark { table, column, reason, rows: count, example } in remarks {
        let example = example.as_deref().unwrap_or("–");
        rows.add_row([*table, *column, *reason, &count.to_string(), example]);
    }
    rows.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::keys;
    use super::*;

    #[test]
    fn display_name_is_accepted_by_other_commands() {
        for (name, expected) in [
            ("shop", "shop"),
            ("", "No-Name"),
            (" \n ", "No-Name"),
            ("two\nlines", "two\\nlines"),
            ("\u{202e}evil", "\\u{202e}evil"),
        ] {
            assert_eq!(display_name(name), expected);
            assert_eq!(keys::parse_display_name(expected), Ok(expected.to_owned()));
        }
        assert_eq!(display_name(&"x".repeat(65)), "x".repeat(64));
    }
}
