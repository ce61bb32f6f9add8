//! The `tao axon ping` command.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use taonet_primitives::counted;

use axum::http::Method;
use clap::Args;
use serde_json::json;
use taonet_cli_base::context::Context;
use taonet_cli_base::duration::parse_seconds;
use taonet_cli_base::keys::KeyArgs;
use taonet_cli_base::table::{decimals, table};
use taonet_cli_base::tables::PING;
use taonet_wire::{Call, Retry};

use super::SchemeName;
use super::call_outcome::CallOutcome;
use super::peer::PeerArgs;

/// Measure the response time of a neuron.
///
/// Calls GET /ping, or with --scheme dendrite the base class Synapse, one call after the other. The
/// exit code is 0 when all calls succeed.
#[derive(Debug, Args)]
pub struct PingArgs {
    #[command(flatten)]
    peer: PeerArgs,
    /// Number of calls
    #[arg(short = 'n', long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// Pause between calls, in seconds [default: no pause]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    interval: Option<Duration>,
    #[command(flatten)]
    key: KeyArgs,
}

pub(crate) fn run(args: &PingArgs, context: &Context) -> anyhow::Result<()> {
    let client = args.peer.client(&args.key, None)?;
    let peer = args.peer.peer()?;
    let is_dendrite = args.peer.scheme == SchemeName::Dendrite;
    let (method, path, body) = match args.peer.scheme {
        SchemeName::Dendrite => (Method::POST, "Synapse", r#"{"name":"Synapse"}"#),
        SchemeName::Btauth | SchemeName::Babelbit => (Method::GET, "ping", ""),
    };
    let call = Call {
        name: "Synapse".to_owned(),
        deadline: args.peer.timeout,
        // No retries: a failed attempt is part of the measurement.
        retry: Retry::Never,
        ..Call::new(method, path, body)
    };
    let mut outcomes = BTreeMap::<String, u32>::new();
    let mut latencies = Vec::new();
    let mut last_failure = None;
    context.block_on(async {
        for index in 0..args.count {
            if let (Some(interval), true) = (args.interval, index > 0) {
                tokio::time::sleep(interval).await;
            }
            let start = Instant::now();
            let result = client.call(&peer, &call).await;
            let elapsed = start.elapsed();
            let outcome = CallOutcome::from_result(&result, is_dendrite);
            *outcomes.entry(outcome.code.to_string()).or_default() += 1;
            match outcome.check() {
                Ok(()) => latencies.push(elapsed.as_secs_f64() * 1_000.0),
                Err(error) => last_failure = Some(error),
            }
        }
        Ok(())
    })?;
    latencies.sort_unstable_by(f64::total_cmp);
    let (min, median, p99) =
        (quantile(&latencies, 0.0), quantile(&latencies, 0.5), quantile(&latencies, 0.99));
    if context.json {
        context.print_json(&json!({
            "sent": args.count,
            "answered": latencies.len(),
            "outcomes": outcomes,
            "milliseconds": { "min": min, "median": median, "p99": p99 },
        }))?;
    } else {
        let mut rows = table(&PING);
        let outcomes: Vec<_> =
            outcomes.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
        rows.add_row([
            args.count.to_string(),
            latencies.len().to_string(),
            decimals(min, 2),
            decimals(median, 2),
            decimals(p99, 2),
            outcomes.join(", "),
        ]);
        context.print(rows.to_string().trim_end())?;
    }
    match last_failure {
        None => Ok(()),
        Some(error) => {
            let failed = args.count as usize - latencies.len();
            Err(error.context(format!("{failed} of {} failed", counted(args.count, "call"))))
        }
    }
}

/// Returns a quantile of sorted values: the smallest value with at least this share of values at or
/// below it.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_observed_values() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        for (share, value) in [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            assert_eq!(quantile(&values, share), Some(value));
        }
        assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
