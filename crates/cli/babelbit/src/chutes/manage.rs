//! `bb chute-slug`, `bb chute-logs` and `bb delete-chute`.

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use taonet_babelbit_chutes::{ApiError, ChutesApi};
use taonet_cli_base::context::Context;
use taonet_cli_base::printable::printable;
use taonet_cli_base::prompt;
use taonet_service::Shutdown;

use super::{RevisionArgs, RevisionChute, api_error, find_chute, until_interrupted};
use crate::settings;

/// Schema of the JSON document of `bb delete-chute`.
const DELETE_SCHEMA: &str = "taonet.delete-chute/1";

/// Show the slug and the ID of a text miner's chute
#[derive(Debug, Args)]
pub struct SlugArgs {
    #[command(flatten)]
    revision: RevisionArgs,
}

/// Show the log of a chute's instance
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// ID of the instance, from the page of the chute
    #[arg(long, value_name = "ID")]
    instance_id: String,
}

/// Delete a text miner's chute
#[derive(Debug, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    revision: RevisionArgs,
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
    /// Show the request without sending it
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn slug(args: &SlugArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    let RevisionChute { name, slug, chute } =
        context.block_on(until_interrupted(find_chute(&config, &args.revision.revision)))?;
    let id = chute.as_ref().map(|chute| chute.chute_id.as_str());
    if context.json {
        let document = json!({
            "schema": "taonet.chute/1", "name": name, "slug": slug, "chute_id": id, "deployed": chute.is_some(),
            "hot": chute.as_ref().is_some_and(|chute| chute.hot),
        });
        return context.print_json(&document);
    }
    if id.is_none() {
        let reason = if config.chutes.api_key.is_some() {
            "not deployed"
        } else {
            "CHUTES_API_KEY is not set"
        };
        context.print_notice(&format!("the slug is a guess: {reason}"));
    }
    context.print(&format!("{} {}", printable(&slug), printable(id.unwrap_or("-"))))
}

pub(crate) fn logs(args: &LogsArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    let api = ChutesApi::new(&config.chutes)?;
    let mut lines = Vec::new();
    context.block_on(async {
        let shutdown = Shutdown::on_signals().context("cannot install signal handlers")?;
        let call = api.logs(&args.instance_id);
        let follow = api.follow(&call, |line| {
            if context.json {
                lines.push(line.to_owned());
            } else {
                let _ = context.print(&printable(line));
            }
        });
        // The log of a running instance has no end.
        tokio::select! {
            result = follow => result.map_err(api_error),
            () = shutdown.requested() => Ok(()),
        }
    })?;
    if context.json {
        let document = json!({ "schema": "taonet.chute-logs/1", "instance_id": args.instance_id, "lines": lines });
        return context.print_json(&document);
    }
    Ok(())
}

pub(crate) fn delete(args: &DeleteArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    context.block_on(until_interrupted(async {
        let api = ChutesApi::new(&config.chutes)?;
        let RevisionChute { name, chute, .. } =
            find_chute(&config, &args.revision.revision).await?;
        // Without a key, the chute was not looked up.
        if config.chutes.api_key.is_none() {
            return Err(api_error(ApiError::NoKey {
                operation: "delete the chute",
                variable: "CHUTES_API_KEY",
            }));
        }
        let Some(chute) = chute else { bail!("no chute {name} is deployed") };
        let call = api.delete(&chute.chute_id);
        if args.dry_run {
            return context.print_json(
                &json!({ "schema": DELETE_SCHEMA, "dry_run": true, "requests": [call.summary()] }),
            );
        }
        prompt::confirm(&format!("Delete the chute {}?", printable(&name)), args.yes)?;
        api.send(&call).await.map_err(api_error)?;
        if context.json {
            return context.print_json(
                &json!({ "schema": DELETE_SCHEMA, "deleted": chute.chute_id, "name": name }),
            );
        }
        context.print(&printable(&format!("deleted {name} ({})", chute.chute_id)))
    }))
}
