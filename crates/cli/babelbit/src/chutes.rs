//! `bb push` and the other commands for text miners that run on Chutes.

pub(crate) mod manage;
pub(crate) mod ping;
pub(crate) mod push;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use taonet_babelbit_chutes::{ApiError, ChuteInfo, ChutesApi, Script, chute_name, guessed_slug};
use taonet_babelbit_config::Config;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::{ClassifiedError, Failure};
use taonet_service::{Access, atomic_write};

use crate::settings;

/// Number of characters of a revision in the tag of an image.
const TAG_CHARS: usize = 12;
/// Name of the image that the script builds.
const IMAGE_NAME: &str = "babelbit";

/// Arguments that select a revision of the miner's model
#[derive(Debug, Args)]
pub(crate) struct RevisionArgs {
    /// Revision of the model's repository on the hub, 40 hex digits
    #[arg(long, value_name = "SHA", value_parser = parse_revision)]
    revision: String,
}

/// Write the Python script that defines a text miner's chute
#[derive(Debug, Args)]
pub struct ScriptArgs {
    #[command(flatten)]
    revision: RevisionArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// File to write
    #[arg(short, long, value_name = "FILE", default_value = "my_chute.py")]
    output: PathBuf,
    #[command(flatten)]
    template: TemplateArgs,
}

/// Argument that names the model's repository
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// Repository of the model on the hub [default:
    /// HUGGINGFACE_USERNAME/Babelbit-BITTENSOR_WALLET_HOT]
    #[arg(long, value_name = "REPOSITORY", value_parser = parse_repository)]
    model: Option<String>,
}

/// Argument that replaces parts of the script
#[derive(Debug, Args)]
pub(crate) struct TemplateArgs {
    /// Directory with a setup.py, load.py or predict.py that replaces the part of the script with
    /// this name, and with the Dockerfile of the image that its setup.py defines
    #[arg(long, value_name = "DIR")]
    template: Option<PathBuf>,
}

/// Parses a revision.
fn parse_revision(text: &str) -> Result<String, &'static str> {
    let is_hash = text.len() == 40 && text.chars().all(|c| c.is_ascii_hexdigit());
    if is_hash {
        Ok(text.to_lowercase())
    } else {
        Err("expected 40 hex digits, the commit of a model")
    }
}

/// Parses the name of a repository.
fn parse_repository(text: &str) -> Result<String, &'static str> {
    match text.split_once('/') {
        Some((owner, name)) if is_hub_name(owner) && is_hub_name(name) => Ok(text.to_owned()),
        _ => Err("expected OWNER/NAME of letters, digits, hyphens, underscores and dots"),
    }
}

fn is_hub_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 96
        && !text.starts_with('.')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

pub(crate) fn generate(args: &ScriptArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    let script = render(&config, &args.model, &args.revision.revision, &args.template)?;
    atomic_write(&args.output, script.as_bytes(), Access::Everyone)?;
    let name = revision_chute_name(&config, &args.revision.revision)?;
    if context.json {
        let document = json!({
            "schema": "taonet.chute-script/1",
            "file": args.output.display().to_string(),
            "name": name,
            "bytes": script.len(),
        });
        return context.print_json(&document);
    }
    context.print(&format!("{}: chute {name}", args.output.display()))
}

/// Returns the tag of a revision's image.
fn image_tag(revision: &str) -> &str {
    revision.get(..TAG_CHARS).unwrap_or(revision)
}

/// Renders the script of a revision.
fn render(
    config: &Config,
    args: &ModelArgs,
    revision: &str,
    template: &TemplateArgs,
) -> anyhow::Result<String> {
    let (model, name) = (model_repository(config, args)?, revision_chute_name(config, revision)?);
    Ok(chute_script(config, &model, &name, revision, template)?.render()?)
}

/// Returns the Dockerfile of a revision's image.
fn dockerfile(
    config: &Config,
    args: &ModelArgs,
    revision: &str,
    template: &TemplateArgs,
) -> anyhow::Result<String> {
    let (model, name) = (model_repository(config, args)?, revision_chute_name(config, revision)?);
    Ok(chute_script(config, &model, &name, revision, template)?.dockerfile()?)
}

/// Returns the script of a revision.
fn chute_script<'a>(
    config: &'a Config,
    model: &'a str,
    name: &'a str,
    revision: &'a str,
    template: &'a TemplateArgs,
) -> anyhow::Result<Script<'a>> {
    Ok(Script {
        model,
        revision,
        username: require_setting(&config.chutes.username, "CHUTES_USERNAME")?,
        name,
        image: (IMAGE_NAME, image_tag(revision)),
        template: template.template.as_deref(),
    })
}

/// Returns the repository of the model.
fn model_repository(config: &Config, args: &ModelArgs) -> anyhow::Result<String> {
    if let Some(model) = &args.model {
        return Ok(model.clone());
    }
    let owner = require_setting(&config.chutes.hub_username, "HUGGINGFACE_USERNAME")?;
    let text = format!("{owner}/Babelbit-{}", config.operator.wallet.hotkey);
    parse_repository(&text).map_err(|_| {
        let message =
            format!("{text} is no name of a repository\nhint: name it with --model OWNER/NAME");
        ClassifiedError::usage(message)
    })
}

/// Returns the name of the chute of a revision.
fn revision_chute_name(config: &Config, revision: &str) -> anyhow::Result<String> {
    Ok(chute_name(require_setting(&config.chutes.hub_username, "HUGGINGFACE_USERNAME")?, revision))
}

/// Requires a setting.
fn require_setting<'a>(value: &'a str, variable: &str) -> anyhow::Result<&'a str> {
    if value.trim().is_empty() {
        return Err(ClassifiedError::usage(format!(
            "{variable} is not set\nhint: set it to your account's name"
        )));
    }
    Ok(value)
}

/// The chute of a revision: deployed, or not deployed with its expected slug.
struct RevisionChute {
    name: String,
    slug: String,
    chute: Option<ChuteInfo>,
}

/// Finds the chute of a revision, even if another program has named it. Without an API key, the
/// slug is derived from the chute's name and may be wrong.
async fn find_chute(config: &Config, revision: &str) -> anyhow::Result<RevisionChute> {
    let chutes = &config.chutes;
    let name = revision_chute_name(config, revision)?;
    let chute = match &chutes.api_key {
        Some(_) => ChutesApi::new(chutes)?.find(&name, revision).await.map_err(api_error)?,
        None => None,
    };
    let name = chute.as_ref().map_or(name, |chute| chute.name.clone());
    let slug = match chute.as_ref().and_then(|chute| chute.slug.clone()) {
        Some(slug) => slug,
        None => guessed_slug(require_setting(&chutes.username, "CHUTES_USERNAME")?, &name),
    };
    Ok(RevisionChute { name, slug, chute })
}

/// Converts an error of Chutes or of the hub, with its exit code.
fn api_error(error: ApiError) -> anyhow::Error {
    let failure = match &error {
        error if error.is_auth() => Failure::Authentication,
        ApiError::Refused { fault, .. } if fault.is_retryable() => Failure::Network,
        _ => return error.into(),
    };
    ClassifiedError::error(failure, error.to_string())
}

/// Runs a command's requests until a signal.
async fn until_interrupted<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let shutdown =
        taonet_service::Shutdown::on_signals().context("cannot install signal handlers")?;
    tokio::select! {
        result = work => result,
        () = shutdown.requested() => anyhow::bail!("interrupted"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: text · accepted as revision · accepted as repository
    #[test]
    fn revisions_and_repository_names_are_recognised() {
        let sha = "0123456789ABCDEF0123456789abcdef01234567";
        for (text, is_revision, is_repository) in [
            (sha, true, false),
            ("main", false, false),
            (&sha[1..], false, false),
            ("al/Babelbit-hot_1.2", false, true),
            ("al/", false, false),
            ("al/..", false, false),
            ("al/a/b", false, false),
            ("al/a?b", false, false),
        ] {
            assert_eq!(
                (parse_revision(text).is_ok(), parse_repository(text).is_ok()),
                (is_revision, is_repository),
                "{text}"
            );
        }
        assert_eq!(parse_revision(sha).unwrap(), sha.to_lowercase());
    }
}
