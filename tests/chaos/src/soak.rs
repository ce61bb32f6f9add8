//! Load on the network for hours: descriptors and memory of the daemons, and latencies of requests.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use taonet_service::Shutdown;

use crate::load::Load;
use crate::network::{ChainSpeed, Network};
use crate::plan::{FOLLOWER, LEADER};
use crate::process::Process;
use crate::trend::{Latencies, LatencyTrend, ProcessTrend, Usage};

/// Time before the first sample that counts.
const WARM_UP: Duration = Duration::from_mins(10);
/// Number of samples between two restarts of the chain's second node, to which gateway B connects
/// first.
const RECONNECT_INTERVAL: usize = 10;
/// Highest share of requests that may fail, such as those during a restart of the second node.
const MAX_FAILURES: f64 = 0.001;

/// Options of a soak.
#[derive(Debug, Clone)]
pub struct SoakOptions {
    /// The program `tao`.
    pub tao: PathBuf,
    /// The speed of the chain.
    pub speed: ChainSpeed,
    /// Duration of the load. The first ten minutes, at most a third, do not count.
    pub duration: Duration,
    /// Time between two samples.
    pub sample_every: Duration,
}

/// Result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct SoakReport {
    /// Duration of the load, in seconds.
    pub seconds: u64,
    /// Number of samples that count.
    pub samples: usize,
    /// Memory and descriptors of each daemon.
    pub processes: Vec<ProcessTrend>,
    /// Latencies of each kind of request.
    pub requests: Vec<LatencyTrend>,
    /// Number of restarts of the chain's second node.
    pub reconnects: usize,
    /// Daemons that ended by themselves.
    pub ended: Vec<String>,
    /// Number of panics in the logs.
    pub panics: usize,
    /// Directory of the daemons' logs, if a requirement was not met.
    pub logs: Option<PathBuf>,
    /// Whether the run was complete and all requirements were met.
    pub has_passed: bool,
}

/// Runs the network under load, and measures it.
///
/// # Errors
/// If the network cannot be started or measured. A network that fails the requirements gives a
/// report.
pub fn soak(options: &SoakOptions, shutdown: &Shutdown) -> anyhow::Result<SoakReport> {
    let mut network = Network::start(&options.tao, options.speed, false, shutdown)?;
    network.wait_for_weights()?;
    let stop = Shutdown::new();
    let loads = Load::start_all(&network, &stop)?;
    let warm_up = WARM_UP.min(options.duration / 3);
    let mut usages: Vec<Vec<Usage>> = network.processes.iter().map(|_| Vec::new()).collect();
    let mut latencies: Vec<Vec<Latencies>> = loads.iter().map(|_| Vec::new()).collect();
    let (start, mut number, mut reconnects) = (Instant::now(), 0_usize, 0);
    while start.elapsed() < options.duration {
        number += 1;
        if number.is_multiple_of(RECONNECT_INTERVAL) {
            let follower = network.process(FOLLOWER)?;
            follower.kill()?;
            follower.start()?;
            reconnects += 1;
        }
        if !network.wait(options.sample_every)? {
            break;
        }
        let results: Vec<_> = loads.iter().map(Load::take).collect();
        if start.elapsed() < warm_up {
            continue;
        }
        for (process, usages) in network.processes.iter().zip(&mut usages) {
            usages.extend(usage(process)?);
        }
        for (results, latencies) in results.into_iter().zip(&mut latencies) {
            latencies.push(Latencies::from_results(results));
        }
    }
    stop.request();
    let is_complete = start.elapsed() >= options.duration;
    let seconds = start.elapsed().as_secs();
    let measured = network.processes.iter().zip(&usages);
    let processes = measured.map(|(process, usages)| {
        // The caches of the development chain fill for hours, and its second node is restarted.
        let is_judged = ![LEADER, FOLLOWER].contains(&process.name());
        ProcessTrend::from_usages(process.name(), usages, is_judged)
    });
    let requests = loads
        .iter()
        .zip(&latencies)
        .map(|(load, latencies)| LatencyTrend::from_samples(&load.name, latencies));
    let ended = network.processes.iter().filter(|process| process.exits() > 0);
    let mut report = SoakReport {
        seconds,
        samples: latencies.iter().map(Vec::len).max().unwrap_or(0),
        processes: processes.collect(),
        requests: requests.collect(),
        reconnects,
        ended: ended.map(|process| process.name().to_owned()).collect(),
        panics: network.processes.iter().map(Process::panics).sum::<std::io::Result<_>>()?,
        logs: None,
        has_passed: false,
    };
    ensure!(report.samples > 0, "stopped before the first sample that counts");
    report.has_passed = is_complete && report.passes();
    if !report.has_passed {
        report.logs = Some(network.keep_logs()?);
    }
    Ok(report)
}

/// Measures a process; `None` while it does not run.
fn usage(process: &Process) -> anyhow::Result<Option<Usage>> {
    let Some(id) = process.id() else { return Ok(None) };
    let status = fs::read_to_string(format!("/proc/{id}/status"))
        .context("memory is read from /proc, as on Linux")?;
    let kib = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse().ok())
    };
    let memory = (kib("VmRSS:"), kib("RssAnon:"), kib("RssFile:"));
    // A process that has ended, but was not waited for yet, has no memory.
    let (Some(resident_kib), Some(anonymous_kib), Some(file_kib)) = memory else { return Ok(None) };
    // The system hides the files of processes that protect their memory, except from root.
    let descriptors = fs::read_dir(format!("/proc/{id}/fd")).ok().map(Iterator::count);
    let has_huge_pages = status.contains("\nTHP_enabled:\t1\n");
    Ok(Some(Usage { resident_kib, anonymous_kib, file_kib, descriptors, has_huge_pages }))
}

impl SoakReport {
    fn passes(&self) -> bool {
        self.panics == 0
            && self.ended.is_empty()
            && self.processes.iter().all(|process| process.has_passed)
            && self
                .requests
                .iter()
                .all(|requests| requests.has_passed && requests.failed_share() <= MAX_FAILURES)
    }

    /// Returns the report as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Self { seconds, samples, reconnects, panics, .. } = self;
        let verdict = if self.has_passed { "passed" } else { "FAILED" };
        writeln!(text, "{seconds} s of load, {samples} samples after the warm-up: {verdict}.")?;
        let hidden: Vec<_> =
            self.processes.iter().filter(|row| row.descriptors.is_none()).collect();
        if !hidden.is_empty() {
            let names: Vec<_> = hidden.iter().map(|row| row.name.as_str()).collect();
            let names = names.join(", ");
            writeln!(
                text,
                "\n**NOT TESTED: descriptors of {names}.** The system shows them only to root: run it as root."
            )?;
        }
        writeln!(
            text,
            "\n| Daemon | Memory after the warm-up | At the end | Growth | Anonymous | Files | Huge pages \
             | Descriptors, 1st half | 2nd half | |"
        )?;
        writeln!(text, "|---|---|---|---|---|---|---|---|---|---|")?;
        for row in &self.processes {
            let ProcessTrend { name, first_mib, last_mib, growth_percent, .. } = row;
            let [anonymous, anonymous_later] = row.anonymous_mib;
            let [file, file_later] = row.file_mib;
            let [first, second] = row
                .descriptors
                .map_or(["?".to_owned(), "?".to_owned()], |two| two.map(|count| count.to_string()));
            let verdict = mark(row.has_passed);
            let huge_pages = if row.has_huge_pages { "yes" } else { "no" };
            writeln!(
                text,
                "| {name} | {first_mib:.1} MiB | {last_mib:.1} MiB | {growth_percent:+.1} % \
                 | {anonymous:.1} to {anonymous_later:.1} MiB | {file:.1} to {file_later:.1} MiB | {huge_pages} \
                 | {first} | {second} | {verdict} |"
            )?;
        }
        writeln!(
            text,
            "\n| Request | Requests | Failed | p50, 1st half | 2nd half | p99, 1st half | 2nd half | |"
        )?;
        writeln!(text, "|---|---|---|---|---|---|---|---|")?;
        for row in &self.requests {
            let LatencyTrend { name, requests, failures, p50_ms, p99_ms, .. } = row;
            let [p50, p50_later] = p50_ms;
            let [p99, p99_later] = p99_ms;
            let verdict = mark(row.has_passed && row.failed_share() <= MAX_FAILURES);
            writeln!(
                text,
                "| {name} | {requests} | {failures} | {p50:.1} ms | {p50_later:.1} ms | {p99:.1} ms \
                 | {p99_later:.1} ms | {verdict} |"
            )?;
        }
        for (name, error) in
            self.requests.iter().filter_map(|row| Some((&row.name, row.error.as_ref()?)))
        {
            writeln!(text, "\nLast failure of {name}: {error}")?;
        }
        let ended = if self.ended.is_empty() { "none".to_owned() } else { self.ended.join(", ") };
        writeln!(
            text,
            "\nRestarts of the {FOLLOWER}: {reconnects}. Panics: {panics}. Daemons that ended: {ended}."
        )?;
        if let Some(logs) = &self.logs {
            writeln!(text, "\nThe daemons' logs are in {}.", logs.display())?;
        }
        Ok(())
    }
}

const fn mark(has_passed: bool) -> &'static str {
    if has_passed { "ok" } else { "FAILED" }
}
