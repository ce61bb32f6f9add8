//! The command `chaos`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use taonet_chaos::{ChainSpeed, ChaosOptions, FaultKind, chaos};
use taonet_service::Shutdown;

/// Inject faults into a network of real processes, and count the submissions of weights on the
/// chain
#[derive(Debug, Parser)]
struct Args {
    /// Seed of the faults [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// Number of epochs with faults
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    epochs: u32,
    /// Length of an epoch, in blocks
    #[arg(long, value_name = "BLOCKS", default_value_t = 48, value_parser = clap::value_parser!(u32).range(10..=360))]
    epoch_blocks: u32,
    /// Time between two blocks, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(50..=12_000))]
    block_time_ms: u64,
    /// Kinds of faults, separated by commas [default: all]
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    faults: Vec<FaultKind>,
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
    let seed = args.seed.unwrap_or_else(rand::random);
    let speed = ChainSpeed {
        block_time: Duration::from_millis(args.block_time_ms),
        epoch_blocks: args.epoch_blocks,
    };
    let tao = match args.tao {
        Some(tao) => tao,
        None => std::env::current_exe()?.with_file_name("tao"),
    };
    let faults = if args.faults.is_empty() { FaultKind::ALL.to_vec() } else { args.faults };
    let duration = speed.block_time * speed.epoch_blocks * args.epochs;
    eprintln!(
        "seed {seed}; {} epochs take {} minutes, after two or three epochs without faults",
        args.epochs,
        duration.as_secs().div_ceil(60)
    );
    let runtime = tokio::runtime::Runtime::new()?;
    let shutdown = runtime.block_on(async { Shutdown::on_signals() })?;
    let report = chaos(&ChaosOptions { tao, speed, epochs: args.epochs, seed, faults }, &shutdown)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.markdown());
    }
    Ok(if report.has_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
