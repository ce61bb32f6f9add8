//! The `bb ping-chute` command.

use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use serde_json::json;
use taonet_babelbit_chutes::{ChuteClient, ChuteError, ChutesSettings, Health};
use taonet_babelbit_core::text_api::PredictedUtterance;
use taonet_cli_base::context::Context;
use taonet_cli_base::exit::{ClassifiedError, Failure};
use taonet_cli_base::table::{decimals, status_cell, table};
use taonet_cli_base::tables::CHUTE_PROBES;
use taonet_primitives::counted;
use taonet_settings::value;
use url::Url;

use super::{find_chute, parse_revision, until_interrupted};
use crate::settings;

/// Default address of a chute that runs on this machine, from `chutes run --dev`.
const DEFAULT_ADDRESS: &str = "http://127.0.0.1:8000";
/// Words of the probes: each probe reveals one more.
const WORDS: [&str; 5] = ["Hi", "-", "how", "are", "you"];
/// Timeout of a probe, at most: the setting is usually shorter.
const MAX_PROBE_TIMEOUT: Duration = Duration::from_mins(2);

/// Call a text miner's chute: its health, then five predictions
#[derive(Debug, Args)]
pub struct PingArgs {
    /// Revision of the model's repository on the hub, 40 hex digits; no effect with --local
    #[arg(long, value_name = "SHA", value_parser = parse_revision, required_unless_present = "local")]
    revision: Option<String>,
    /// Call the chute at this address, which `chutes run --dev` serves, without the API key
    /// [default: http://127.0.0.1:8000]
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = DEFAULT_ADDRESS, value_parser = parse_url)]
    local: Option<Url>,
}

/// Parses the address of a chute.
fn parse_url(text: &str) -> Result<Url, String> {
    value::http_url(text).map_err(|expected| format!("expected {expected}"))
}

/// Outcome of one call.
struct Probe {
    name: String,
    outcome: Result<String, ChuteError>,
    elapsed: Duration,
}

pub(crate) fn ping(args: &PingArgs, context: &Context) -> anyhow::Result<()> {
    let config = settings::load()?;
    let (slug, health, probes) = context.block_on(until_interrupted(async {
        let (slug, client) = match (&args.local, &args.revision) {
            (Some(url), _) => {
                // Any program may listen there.
                let settings = ChutesSettings { api_key: None, ..config.chutes.clone() };
                (None, ChuteClient::with_base_url(&settings, url.clone())?)
            }
            (None, Some(revision)) => {
                let slug = find_chute(&config, revision).await?.slug;
                let client = ChuteClient::from_slug(&config.chutes, &slug)?;
                (Some(slug), client)
            }
            (None, None) => {
                return Err(ClassifiedError::usage("--revision or --local is required"));
            }
        };
        let start = Instant::now();
        let health = client.health().await;
        let elapsed = start.elapsed();
        let mut probes = Vec::new();
        for count in 1..=WORDS.len() {
            let words = WORDS.get(..count).unwrap_or_default();
            let request = PredictedUtterance {
                index: "ping".to_owned(),
                step: (count - 1) as u32,
                prefix: words.join(" "),
                context: String::new(),
                done: false,
                prediction: String::new(),
                ground_truth: None,
                evaluation: None,
            };
            let start = Instant::now();
            let outcome = client.predict(&request, MAX_PROBE_TIMEOUT).await;
            probes.push(Probe { name: request.prefix, outcome, elapsed: start.elapsed() });
        }
        Ok((slug, (health, elapsed), probes))
    }))?;
    print_report(slug.as_deref(), &health, &probes, context)?;
    let is_loaded = health.0.as_ref().is_ok_and(|health| health.model_loaded);
    let failed =
        usize::from(!is_loaded) + probes.iter().filter(|probe| probe.outcome.is_err()).count();
    match failed {
        0 => Ok(()),
        failed if failed > probes.len() => {
            let message = "the chute does not respond\nhint: a cold chute needs minutes to start; see `bb chute-slug`";
            Err(ClassifiedError::error(Failure::Network, message))
        }
        failed => bail!("{} of {} failed", failed, counted(probes.len() + 1, "call")),
    }
}

fn print_report(
    slug: Option<&str>,
    (health, elapsed): &(Result<Health, ChuteError>, Duration),
    probes: &[Probe],
    context: &Context,
) -> anyhow::Result<()> {
    if context.json {
        let predictions = probes.iter().map(|probe| {
            json!({
                "prefix": probe.name, "prediction": probe.outcome.as_ref().ok(),
                "error": probe.outcome.as_ref().err().map(ToString::to_string),
                "seconds": probe.elapsed.as_secs_f64(),
            })
        });
        return context.print_json(&json!({
            "schema": "taonet.ping-chute/1", "slug": slug,
            "health": {
                "status": health.as_ref().ok().map(|health| &health.status),
                "model": health.as_ref().ok().and_then(|health| health.model.as_ref()),
                "model_loaded": health.as_ref().is_ok_and(|health| health.model_loaded),
                "error": health.as_ref().err().map(ToString::to_string), "seconds": elapsed.as_secs_f64(),
            },
            "predictions": predictions.collect::<Vec<_>>(),
        }));
    }
    let mut rows = table(&CHUTE_PROBES);
    let state = match health {
        Ok(health) => {
            let model = health.model.as_deref().unwrap_or("no model");
            status_cell(format!("{}, {model}", health.status), health.model_loaded)
        }
        Err(error) => status_cell(error.to_string(), false),
    };
    rows.add_row(["health".into(), decimals(Some(elapsed.as_secs_f64()), 2).into(), state]);
    for probe in probes {
        let outcome = match &probe.outcome {
            Ok(prediction) => status_cell(prediction.as_str(), true),
            Err(error) => status_cell(error.to_string(), false),
        };
        rows.add_row([
            probe.name.as_str().into(),
            decimals(Some(probe.elapsed.as_secs_f64()), 2).into(),
            outcome,
        ]);
    }
    context.print(&rows.to_string())
}
