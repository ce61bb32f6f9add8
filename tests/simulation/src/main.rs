//! Simulation of the daemons: the production code of Babelbit's validator and of the subnet owner's
//! services, or that of Nineteen's validator with its gateways, runs in one process, on simulated
//! time, network, disk and chain, with faults derived from a seed. The seed also determines which
//! of the subnets is simulated ([`babelbit`], [`nineteen`]).
//!
//! Each process of the simulation has a tokio runtime of its own, whose time is paused. The
//! runtimes run in turn, one tick of simulated time each, so that only one of them runs at a time
//! ([`process`]). Clocks, random bytes and changes of files are simulated where the program calls
//! the C library ([`libc_overrides`]); SQLite's threads take turns, in an order that depends on the
//! seed ([`thread_scheduler`]). Connections are sockets that a proxy reads and writes between two
//! ticks ([`network`]). The chain is the mock of `taonet-chain`, with a pool, forks, and nodes that
//! can fail or lie ([`chain`], [`endpoint`]), and so can the services of others
//! ([`service_fault`]). A killed process leaves its directory as it was in the middle of a write
//! ([`disk`]).
//!
//! Every event repeats with the seed: two runs have the same hash of their traces.
//!
//! Each seed runs in its own process, because tokio's random numbers depend on what ran before.

mod babelbit;
mod chain;
mod disk;
mod endpoint;
mod invariants;
mod libc_overrides;
mod network;
mod nineteen;
mod process;
mod record;
mod runner;
mod schedule;
mod service_fault;
mod services;
mod shrink;
mod simulation;
mod thread_scheduler;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use clap::Parser;

/// Simulate the daemons with the faults of each seed, and print the shortest schedule that violates
/// an invariant
#[derive(Debug, Parser)]
struct Args {
    /// Seeds
    #[arg(value_name = "SEED", required_unless_present = "count")]
    seeds: Vec<u64>,
    /// Also simulate this many seeds, from 0 on
    #[arg(long, value_name = "N", default_value_t = 0)]
    count: u64,
    /// Print every event
    #[arg(long)]
    verbose: bool,
    /// Faults to simulate, by their numbers in the seed's schedule, such as 0,3 [default: all]
    #[arg(long, value_name = "LIST", value_parser = parse_fault_numbers)]
    only: Option<FaultNumbers>,
    /// Do not shorten the schedules of violations
    #[arg(long)]
    no_shrink: bool,
    /// Simulate one seed in this process
    #[arg(long, hide = true)]
    here: bool,
}

#[allow(clippy::print_stdout, reason = "the output of a development tool")]
fn main() -> ExitCode {
    // Before the first hash table, whose order depends on random bytes.
    if std::env::args().any(|argument| argument == "--here") {
        libc_overrides::seed_random(1);
        // Daemons also adapt to the number of processors.
        libc_overrides::pin_to_processor(0);
        thread_scheduler::start();
    }
    let args = Args::parse();
    if args.here {
        return match args.seeds.first() {
            Some(seed) => run_in_process(&args.run(*seed)),
            None => ExitCode::FAILURE,
        };
    }
    let seeds: Vec<u64> = args.seeds.iter().copied().chain(0..args.count).collect();
    let passed = run_seeds(&args, &seeds);
    println!("{passed} of {} seeds passed", seeds.len());
    if passed == seeds.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Simulates the seeds, as many at a time as there are processors, and prints the results in the
/// order of the seeds. Returns how many have passed.
#[allow(clippy::print_stdout, reason = "the output of a development tool")]
fn run_seeds(args: &Args, seeds: &[u64]) -> usize {
    let (next, mut passed) = (AtomicUsize::new(0), 0);
    let (results, receiver) = mpsc::channel();
    // The events of several seeds at a time would be mixed.
    let limit = if args.verbose { 1 } else { seeds.len() };
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get).min(limit);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let (results, next) = (results.clone(), &next);
            scope.spawn(move || {
                libc_overrides::pin_to_processor(worker);
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(seed) = seeds.get(index) else { return };
                    let _ = results.send((index, args.run(*seed).report(!args.no_shrink)));
                }
            });
        }
        drop(results);
        let mut pending_results = BTreeMap::new();
        for index_to_print in 0..seeds.len() {
            while let Some((index, result)) = (!pending_results.contains_key(&index_to_print))
                .then(|| receiver.recv().ok())
                .flatten()
            {
                pending_results.insert(index, result);
            }
            if let Some((has_passed, text)) = pending_results.remove(&index_to_print) {
                passed += usize::from(has_passed);
                println!("{text}");
            }
        }
    });
    passed
}

/// Numbers of faults.
#[derive(Debug, Clone)]
struct FaultNumbers(Vec<usize>);

/// Parses a list of numbers; an empty text is an empty list.
fn parse_fault_numbers(text: &str) -> Result<FaultNumbers, std::num::ParseIntError> {
    text.split(',')
        .filter(|_| !text.is_empty())
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map(FaultNumbers)
}

impl Args {
    fn run(&self, seed: u64) -> Run {
        let only = self.only.as_ref().map(|FaultNumbers(list)| list.clone());
        Run { seed, only, is_verbose: self.verbose }
    }
}

/// One simulation.
#[derive(Debug, Clone)]
struct Run {
    seed: u64,
    /// Numbers of the faults to simulate; `None` for all.
    only: Option<Vec<usize>>,
    is_verbose: bool,
}

/// Result of a simulation.
struct RunOutcome {
    has_passed: bool,
    /// The output of its process.
    text: String,
}

impl Run {
    /// Simulates, and returns whether no invariant was violated, and a report.
    fn report(&self, shrink: bool) -> (bool, String) {
        let seed = self.seed;
        match self.run() {
            Ok(RunOutcome { has_passed: true, text }) => {
                (true, format!("seed {seed}: passed, {}", text.trim_end()))
            }
            Ok(RunOutcome { has_passed: false, text }) => {
                let shortest = if shrink { shrink::shortest(self) } else { String::new() };
                (false, format!("seed {seed}: FAILED\n{text}{shortest}"))
            }
            Err(error) => (false, format!("seed {seed}: the simulation did not start: {error}")),
        }
    }

    /// Simulates in its own process.
    fn run(&self) -> std::io::Result<RunOutcome> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--here").arg(self.seed.to_string());
        if let Some(only) = &self.only {
            let only: Vec<_> = only.iter().map(ToString::to_string).collect();
            command.arg(format!("--only={}", only.join(",")));
        }
        if self.is_verbose {
            command.arg("--verbose");
        }
        let output = command.stderr(std::process::Stdio::inherit()).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(RunOutcome { has_passed: output.status.success(), text })
    }

    /// Returns the number of faults of the seed, and the descriptions of those to simulate.
    fn faults(&self) -> Vec<(usize, schedule::Fault)> {
        let targets = simulation::Subnet::of_seed(self.seed).targets();
        let all = schedule::faults(self.seed, targets).into_iter().enumerate();
        all.filter(|(index, _)| self.only.as_ref().is_none_or(|only| only.contains(index)))
            .collect()
    }
}

/// Simulates a seed in this process, which then has nothing else to do.
#[allow(clippy::print_stdout, reason = "the output of a development tool")]
fn run_in_process(run: &Run) -> ExitCode {
    // Set up in both cases: hash tables that only one of them creates would change the order of all
    // later ones.
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    if run.is_verbose {
        record::enable_verbose_output();
        subscriber.with_writer(std::io::stderr).init();
    } else {
        subscriber.with_writer(std::io::sink).init();
    }
    std::panic::set_hook(Box::new(|panic| record::fail(&format!("{panic}"))));
    let faults: Vec<_> = run.faults().into_iter().map(|(_, fault)| fault).collect();
    let root = match tempfile::tempdir_in(directory()) {
        Ok(root) => root,
        Err(error) => {
            println!("cannot create a directory: {error}");
            return ExitCode::FAILURE;
        }
    };
    libc_overrides::seed_random(run.seed);
    thread_scheduler::seed(run.seed);
    match simulation::Simulation::new(run.seed, root.path()) {
        Ok(mut simulation) => simulation.run(&faults),
        Err(error) => record::fail(&format!("cannot start: {error:#}")),
    }
    let (violations, hash) = record::finish();
    if violations.is_empty() {
        println!("{} faults, trace {hash}", faults.len());
        return ExitCode::SUCCESS;
    }
    for violation in violations {
        println!("  {violation}");
    }
    println!("  trace {hash}");
    ExitCode::FAILURE
}

/// The directory for the files of simulations: in memory where possible, because every change is
/// synced.
fn directory() -> std::path::PathBuf {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}
