//! The command `soak`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use taonet_chaos::{ChainSpeed, SoakOptions, soak};
use taonet_service::Shutdown;

/// Send requests to a network of real processes for hours, and measure memory, descriptors and
/// latencies
#[derive(Debug, Parser)]
struct Args {
    /// Duration of the load, in hours, such as 1 or 0.5
    #[arg(default_value = "1", value_parser = parse_hours)]
    hours: Duration,
    /// Time between two samples, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    every: u64,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// The program tao [default: beside this program]
    #[arg(long, value_name = "FILE")]
    tao: Option<PathBuf>,
}

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the output of a development tool")]
fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let speed = ChainSpeed { block_time: Duration::from_secs(1), epoch_blocks: 48 };
    let tao = match args.tao {
        Some(tao) => tao,
        None => std::env::current_exe()?.with_file_name("tao"),
    };
    eprintln!(
        "{} minutes of load, after two or three epochs of {} s",
        args.hours.as_secs() / 60,
        speed.epoch_blocks
    );
    let runtime = tokio::runtime::Runtime::new()?;
    let shutdown = runtime.block_on(async { Shutdown::on_signals() })?;
    let sample_every = Duration::from_secs(args.every);
    let report = soak(&SoakOptions { tao, speed, duration: args.hours, sample_every }, &shutdown)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.markdown());
    }
    Ok(if report.has_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Parses a number of hours.
fn parse_hours(text: &str) -> Result<Duration, String> {
    let hours = text.parse::<f64>().ok().filter(|hours| (0.01..=1_000.0).contains(hours));
    let hours = hours.ok_or_else(|| "expected a number of hours in 0.01..=1000".to_owned())?;
    Ok(Duration::from_secs_f64(3_600.0 * hours))
}
