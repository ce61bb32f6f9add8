//! The `tao bench-miner` command: a load test of one axon.

mod load;
mod output;
mod plot;
mod report;
mod requests;
mod target;
#[cfg(test)]
mod testing;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use taonet_cli_base::chain::NetworkArgs;
use taonet_cli_base::context::Context;
use taonet_cli_base::duration::parse_seconds;
use taonet_cli_base::exit::ClassifiedError;
use taonet_cli_base::keys::KeyArgs;
use taonet_service::Shutdown;
use taonet_wire::{BtauthScheme, DendriteScheme, SignedClient, Signer, SynapseClass};

use load::{LoadTest, Plan};
use report::{BenchTarget, Report};
use requests::{RequestKind, Requests};
use target::TargetArgs;

/// Maximum number of requests of a benchmark: their samples are kept until the report.
const MAX_REQUESTS: u64 = 100_000;
/// Rates in calls per second.
const RATES: RangeInclusive<f64> = 0.001..=10_000.0;

/// Load a miner with requests of a subnet, and measure its responses.
///
/// The exit code is 0 if any request succeeded. If none did, it is that of the last one, as with
/// `tao axon call`: 3 for no response, 4 when the miner refuses the signature or the caller, and 1
/// for every other status.
#[derive(Debug, Args)]
pub struct BenchMinerArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Requests to send: summing, prompt, or a JSON file with the class and its requests
    #[arg(long, value_name = "KIND", default_value = "summing")]
    kind: RequestKind,
    /// Signature scheme of the requests
    #[arg(long, value_enum, default_value = "dendrite")]
    scheme: SchemeName,
    /// Number of calls
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    calls: u32,
    /// Requests of a call, which are sent together
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: u32,
    /// Size of a request: digits of a number with summing, words with prompt [default: 9 digits, 10
    /// words]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    size: Option<u32>,
    /// Calls to start per second
    #[arg(long, value_name = "PER_SECOND", default_value = "10", value_parser = parse_rate)]
    rate: f64,
    /// Maximum number of concurrent requests
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// Request timeout, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "12", value_parser = parse_seconds)]
    timeout: Duration,
    /// Time after which no call starts, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    max_time: Duration,
    /// Largest response to read, in bytes
    #[arg(long, value_name = "BYTES", default_value = "1048576")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=67_108_864))]
    max_response: u32,
    /// Write each request with its result to a CSV file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write a plot of the response times to an SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Signature scheme of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SchemeName {
    /// `btauth/1` of the Bittensor SDK 11
    Btauth,
    /// Synapses of the Bittensor SDK 10
    Dendrite,
}

impl SchemeName {
    const fn name(self) -> &'static str {
        match self {
            Self::Btauth => "btauth",
            Self::Dendrite => "dendrite",
        }
    }
}

/// Runs `tao bench-miner`.
pub fn run(args: &BenchMinerArgs, context: &Context) -> anyhow::Result<()> {
    let keypair = args.key.load(Some(&args.network))?;
    let requests = Requests::new(&args.kind, args.size)?;
    let total = u64::from(args.calls) * u64::from(args.batch);
    if total > MAX_REQUESTS {
        let message = format!(
            "--calls {} × --batch {} is more than {MAX_REQUESTS} requests",
            args.calls, args.batch
        );
        return Err(ClassifiedError::usage(message));
    }
    let plan = args.plan();
    plan.check_memory(requests.generated_bytes())?;
    let input = if let RequestKind::File(path) = &args.kind { Some(path.as_path()) } else { None };
    let outputs = [args.csv.as_deref(), args.plot.as_deref()];
    let signer = match args.scheme {
        SchemeName::Btauth => Signer::new(keypair, "0.0.0.0", BtauthScheme::new()),
        SchemeName::Dendrite => Signer::new(keypair, "0.0.0.0", dendrite(requests.class())),
    };
    let report = context.block_on(async {
        let target = args.target.resolve(&args.network).await?;
        output::check(outputs, input)?;
        let client = SignedClient::with_addresses(
            signer,
            plan.client_config(),
            args.target.address_filter(),
        )?;
        let stop = Shutdown::on_signals().context("cannot install signal handlers")?;
        let bench_target = BenchTarget {
            url: target.url(""),
            hotkey: *target.hotkey(),
            kind: args.kind.to_string(),
            scheme: args.scheme.name(),
            size: requests.size(),
        };
        let is_dendrite = args.scheme == SchemeName::Dendrite;
        let results = LoadTest::new(client, target, requests, plan, is_dendrite).run(&stop).await;
        Ok(Report::new(bench_target, plan, results))
    })?;
    // First the report: it must not be lost if a file cannot be written.
    if context.json {
        context.print_json(&report)?;
    } else {
        context.print(report.text().trim_end())?;
    }
    if let Some(path) = &args.csv {
        write(path, &report.csv(), context)?;
    }
    if let Some(path) = &args.plot {
        write(path, &plot::draw(&report), context)?;
    }
    report.check()
}

impl BenchMinerArgs {
    fn plan(&self) -> Plan {
        Plan {
            calls: self.calls,
            batch: self.batch,
            rate: self.rate,
            concurrency: usize::from(self.concurrency),
            timeout: self.timeout,
            max_time: self.max_time,
            max_response_bytes: self.max_response as usize,
        }
    }
}

/// Creates the dendrite scheme for requests of a class; the base class `Synapse` is always
/// registered.
fn dendrite(class: &SynapseClass) -> DendriteScheme {
    let scheme = DendriteScheme::new();
    if class.name() == "Synapse" { scheme } else { scheme.class(class.clone()) }
}

fn write(path: &Path, text: &str, context: &Context) -> anyhow::Result<()> {
    output::write(path, text)?;
    context.print_notice(&format!("wrote {}", path.display()));
    Ok(())
}

/// Parses a rate within [`RATES`].
fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| RATES.contains(rate));
    rate.ok_or_else(|| {
        format!("expected a number of calls per second from {} to {}", RATES.start(), RATES.end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_out_of_range_are_errors() {
        for (text, expected) in [("10", 10.0), ("0.001", 0.001), ("10000", 10_000.0)] {
            assert_eq!(parse_rate(text), Ok(expected));
        }
        for text in ["", "x", "0", "-1", "0.0009", "10001", "inf", "NaN"] {
            let error = parse_rate(text).unwrap_err();
            assert_eq!(
                error, "expected a number of calls per second from 0.001 to 10000",
                "{text}"
            );
        }
    }
}
