//! Speed and memory of Nineteen's gateway in front of a miner that responds immediately, in three
//! processes: miner, gateway and load generator.
//!
//! - throughput: streamed requests per second, each with an answer of 64 tokens, from 64 concurrent
//!   callers;
//! - latency: time to the first token at a fixed rate of 1 000 requests per second, and the time
//!   that the gateway adds to that of the miner's own OpenAI server;
//! - memory of the gateway with 10 000 concurrent streams, each of which receives a token every 5
//!   s; with fewer if the machine does not permit 20 500 open files.
//!
//! Usage: cargo bench --profile packaged -p taonet-nineteen-entry --bench gateway -- [--json]
//! [--quick] [--port PORT] [PROXY=URL@KEY...] PORT is the port of the miner's OpenAI server. PROXY
//! is the name of another proxy in front of that server, which the same run also measures;
//! benches/gateway/compare starts such proxies.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing
)]

mod load;
mod servers;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use load::{Load, Target};

/// The allocator of `tao`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Maximum number of concurrent streams in the memory measurement.
const MAX_IDLE_STREAMS: u64 = 10_000;
/// Maximum number of the gateway's open files besides two connections for each stream.
const MAX_OTHER_FILES: u64 = 500;
/// Requests per second of the open loop.
const RATE: u32 = 1_000;
/// Seconds per round of the closed loop. Each round measures all targets, so that their ratio in a
/// round does not depend on what else the machine does in the course of the run.
const SECONDS_PER_ROUND: u64 = 2;
/// Concurrent requests of the closed loop.
const CALLERS: usize = 64;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--miner", port] => servers::miner(port.parse().unwrap()),
        ["--gateway", port] => servers::gateway(port.parse().unwrap()),
        ["--load", question] => {
            let (results, _streams) = load::run(&serde_json::from_str(question).unwrap());
            println!("{results}");
            // The streams stay open until the measurement has ended.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
        }
        words => compare(words),
    }
}

/// A child process of this program, which exits when its standard input is closed.
struct BenchProcess {
    child: Child,
    /// First line of the child's output: the address and API key of its server.
    target: Target,
}

impl BenchProcess {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child =
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, target: serde_json::from_str(&line).unwrap() }
    }

    /// Returns a memory figure of the process from `/proc`, in MB.
    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_000
    }
}

impl Drop for BenchProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Returns the command of a load generator, which exits once its standard input is closed.
fn generator(load: &Load) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--load").arg(serde_json::to_string(load).unwrap()).stderr(Stdio::inherit());
    command
}

fn measure(load: &Load) -> Value {
    serde_json::from_slice(&generator(load).output().unwrap().stdout).unwrap()
}

/// Opens slow streams; returns how many are open in the end, and the maximum memory of the gateway
/// until then, in MB. When they close, it charges all of them at once, which is not measured.
fn measure_idle(load: &Load, gateway: &BenchProcess) -> (Value, u64) {
    let mut generator =
        generator(load).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let output = generator.stdout.take().unwrap();
    let waiting = std::thread::spawn(move || {
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    });
    let mut peak = 0;
    while !waiting.is_finished() {
        peak = peak.max(gateway.memory("VmRSS"));
        std::thread::sleep(Duration::from_millis(200));
    }
    drop(generator.stdin.take());
    generator.wait().unwrap();
    (waiting.join().unwrap()["streams"].clone(), peak)
}

/// Adds a round of the closed loop to a target's results: `rounds` lists the requests per second,
/// of which `per_second` is the median.
fn add_round(result: &mut Value, round: &Value) {
    let failed = result["failed"].as_u64().unwrap_or(0) + round["failed"].as_u64().unwrap();
    let mut rounds = result["rounds"].as_array().cloned().unwrap_or_default();
    rounds.push(round["per_second"].clone());
    let mut sorted: Vec<f64> = rounds.iter().filter_map(Value::as_f64).collect();
    sorted.sort_by(f64::total_cmp);
    *result = json!({"per_second": sorted[sorted.len() / 2], "rounds": rounds, "failed": failed});
}

fn compare(words: &[&str]) {
    let after =
        |name: &str| words.iter().position(|word| *word == name).map(|index| words[index + 1]);
    let (rounds, seconds) = if words.contains(&"--quick") { (1, 2) } else { (5, 10) };
    let miner = BenchProcess::start(&["--miner", after("--port").unwrap_or("0")]);
    let gateway = BenchProcess::start(&["--gateway", miner.target.url.rsplit_once(':').unwrap().1]);
    let mut targets = vec![
        ("direct".to_owned(), miner.target.clone()),
        ("gateway".to_owned(), gateway.target.clone()),
    ];
    targets.extend(words.iter().filter_map(|word| {
        let (name, (url, key)) =
            word.split_once('=').map(|(name, rest)| (name, rest.split_once('@').unwrap()))?;
        Some((name.to_owned(), Target { url: url.to_owned(), key: key.to_owned() }))
    }));
    let mut results = json!({});
    for _ in 0..rounds {
        for (name, target) in &targets {
            let closed = Load::Closed {
                target: target.clone(),
                callers: CALLERS,
                seconds: SECONDS_PER_ROUND,
            };
            add_round(&mut results[name], &measure(&closed));
        }
    }
    // LiteLLM cannot serve this rate: its backlog would grow for as long as the measurement lasts.
    for (name, target) in targets.iter().filter(|(name, _)| name != "litellm") {
        let open = Load::Open { target: target.clone(), per_second: RATE, seconds };
        results[name]["open"] = measure(&open);
    }
    let before = gateway.memory("VmRSS");
    let hold = Load::Idle { target: gateway.target.clone(), streams: idle_streams(), seconds: 10 };
    let (streams, peak) = measure_idle(&hold, &gateway);
    results["idle"] = json!({"streams": streams, "before_mb": before, "peak_mb": peak});
    if words.contains(&"--json") { println!("{results}") } else { show(&results) }
}

/// Returns the number of concurrent streams in the memory measurement.
fn idle_streams() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let streams = limit.map_or(MAX_IDLE_STREAMS, |files| {
        MAX_IDLE_STREAMS.min(files.saturating_sub(MAX_OTHER_FILES) / 2)
    });
    if streams < MAX_IDLE_STREAMS {
        eprintln!(
            "only {streams} streams instead of {MAX_IDLE_STREAMS}: the limit of open files is too low"
        );
    }
    usize::try_from(streams).unwrap()
}

fn show(results: &Value) {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let direct = &results["direct"]["open"];
    for (name, result) in results.as_object().unwrap().iter().filter(|(name, _)| *name != "idle") {
        println!(
            "{name:8} {:8.0} streamed requests/s, {} failed",
            number(&result["per_second"]),
            result["failed"]
        );
        let open = &result["open"];
        if open.is_object() {
            println!(
                "         first token at {RATE}/s: p50 {:.2} ms, p99 {:.2} ms (added {:.2} and {:.2} ms), {} failed",
                number(&open["p50_ms"]),
                number(&open["p99_ms"]),
                number(&open["p50_ms"]) - number(&direct["p50_ms"]),
                number(&open["p99_ms"]) - number(&direct["p99_ms"]),
                open["failed"],
            );
        }
    }
    let idle = &results["idle"];
    println!(
        "memory with {} streams: {} MB, before {} MB",
        idle["streams"], idle["peak_mb"], idle["before_mb"]
    );
}
