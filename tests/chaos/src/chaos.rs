//! Injects faults into the network, and counts submissions of weights in the chain's blocks.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::Serialize;
use taonet_service::Shutdown;

use crate::fault::{FaultKind, Schedule};
use crate::network::{ChainSpeed, Network, Submission};
use crate::tools::{Unavailable, available};

/// Share of epochs with exactly one submission that each validator needs.
const REQUIRED_SHARE: f64 = 0.99;
/// How many times its normal duration a run may take, and [`RECOVERY_TIME`] more, since the chain
/// stands still while its node is down or paused.
const MAX_SLOWDOWN: u32 = 3;
/// Time for the chain's node to come back after a fault, on a busy machine.
const RECOVERY_TIME: Duration = Duration::from_mins(1);

/// Options of a chaos run.
#[derive(Debug, Clone)]
pub struct ChaosOptions {
    /// The program `tao`.
    pub tao: PathBuf,
    /// The speed of the chain.
    pub speed: ChainSpeed,
    /// Number of epochs with faults.
    pub epochs: u32,
    /// Determines the faults: their kinds, targets and lengths.
    pub seed: u64,
    /// Kinds of faults.
    pub faults: Vec<FaultKind>,
}

/// Result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct ChaosReport {
    /// The seed of the faults.
    pub seed: u64,
    /// Time between two blocks, in milliseconds.
    pub block_time_ms: u128,
    /// Length of an epoch, in blocks.
    pub epoch_blocks: u32,
    /// First epoch with faults.
    pub first_epoch: u32,
    /// Number of complete epochs.
    pub epochs: u32,
    /// Duration of these epochs, in seconds.
    pub seconds: u64,
    /// Submissions of each validator.
    pub validators: Vec<ValidatorEpochs>,
    /// The faults in their order.
    pub faults: Vec<FaultRecord>,
    /// Kinds of faults that this machine cannot inject.
    pub unavailable: Vec<Unavailable>,
    /// Daemons that ended by themselves, and were started again.
    pub ended: Vec<EndedProcess>,
    /// Number of panics in the logs.
    pub panics: usize,
    /// Directory of the daemons' logs, if a requirement was not met.
    pub logs: Option<PathBuf>,
    /// Whether the run was complete and all requirements were met.
    pub has_passed: bool,
}

/// Submissions of a validator.
#[derive(Debug, Clone, Serialize)]
pub struct ValidatorEpochs {
    /// `A` or `B`.
    pub name: &'static str,
    /// The uid.
    pub uid: u64,
    /// Number of epochs with exactly one submission.
    pub exactly_one: u32,
    /// Epochs without a submission.
    pub without: Vec<u32>,
    /// Epochs with more than one submission.
    pub several: Vec<u32>,
}

/// A fault that was injected.
#[derive(Debug, Clone, Serialize)]
pub struct FaultRecord {
    /// Epoch in which the fault began.
    pub epoch: u32,
    /// Start of the fault, in seconds since the start of the epoch with the first fault.
    pub at_s: f64,
    /// Kind of the fault.
    pub fault: FaultKind,
    /// The process, or the validator whose disk was full.
    pub target: String,
    /// Duration, in seconds.
    pub lasted_s: f64,
    /// Further observations.
    pub note: String,
}

/// A daemon that ended by itself.
#[derive(Debug, Clone, Serialize)]
pub struct EndedProcess {
    /// The daemon.
    pub name: String,
    /// Number of times.
    pub times: u32,
}

/// Runs the network with faults, and counts the submissions of weights in the chain's blocks.
///
/// # Errors
/// If the network cannot be started, or a fault cannot be injected, or none of them on this
/// machine. A network that fails gives a report.
pub fn chaos(options: &ChaosOptions, shutdown: &Shutdown) -> anyhow::Result<ChaosReport> {
    let (kinds, unavailable) = available(&options.faults)?;
    let reasons: Vec<_> =
        unavailable.iter().map(|one| format!("{}: {}", one.fault.name(), one.reason)).collect();
    ensure!(!kinds.is_empty(), "no fault can be injected: {}", reasons.join("; "));
    let has_small_disks = kinds.contains(&FaultKind::FullDisk);
    let mut network = Network::start(&options.tao, options.speed, has_small_disks, shutdown)?;
    let length = options.speed.epoch_blocks;
    let first_epoch = network.wait_for_weights()? / length + 1;
    let end = (first_epoch + options.epochs) * length;
    while network.last_seen_block() < first_epoch * length {
        ensure!(network.wait(options.speed.block_time)?, "stopped before the first fault");
    }
    let start = Instant::now();
    let faults =
        inject(&mut network, options, &kinds, end).map_err(|error| network.name_logs(error))?;
    // The last fault may have been one of the chain's node, which is read next.
    let resumed_block = network.last_seen_block() + 2;
    let faults_end = Instant::now();
    while network.last_seen_block() < resumed_block
        && faults_end.elapsed() < RECOVERY_TIME
        && network.wait(options.speed.block_time)?
    {}
    // After a shutdown, the last epoch is incomplete.
    let epochs = first_epoch..end.min(network.last_seen_block()) / length;
    ensure!(!epochs.is_empty(), "stopped before the end of the first epoch");
    let submissions = network
        .check_epochs()
        .and_then(|()| network.submissions(epochs.start * length, epochs.end * length - 1))
        .map_err(|error| network.name_logs(error))?;
    let validators = network.validators.iter();
    let validators = validators
        .map(|validator| count(&submissions, validator.name, validator.uid, &epochs, length));
    let (ended, panics) = exits_and_panics(&network)?;
    let mut report = ChaosReport {
        seed: options.seed,
        block_time_ms: options.speed.block_time.as_millis(),
        epoch_blocks: length,
        first_epoch,
        epochs: epochs.end - epochs.start,
        seconds: start.elapsed().as_secs(),
        validators: validators.collect(),
        faults,
        unavailable,
        ended,
        panics,
        logs: None,
        has_passed: false,
    };
    let is_complete = report.epochs == options.epochs && !report.faults.is_empty();
    let meets_requirement =
        report.validators.iter().all(|row| row.meets_requirement(report.epochs));
    report.has_passed = is_complete && meets_requirement && report.panics == 0;
    if !report.has_passed {
        report.logs = Some(network.keep_logs()?);
    }
    Ok(report)
}

/// Injects one fault after the other until a block, or until a shutdown.
fn inject(
    network: &mut Network,
    options: &ChaosOptions,
    kinds: &[FaultKind],
    end: u32,
) -> anyhow::Result<Vec<FaultRecord>> {
    let ChainSpeed { block_time, epoch_blocks } = options.speed;
    let time_limit = block_time * epoch_blocks * options.epochs * MAX_SLOWDOWN + RECOVERY_TIME;
    let start = Instant::now();
    let mut schedule = Schedule::new(options.seed, kinds, network.targets(), block_time);
    let mut records = Vec::new();
    while network.last_seen_block() < end {
        ensure!(
            start.elapsed() < time_limit,
            "the chain has reached only block {} of {end}",
            network.last_seen_block()
        );
        let Some(fault) = schedule.draw() else {
            if !network.wait(block_time)? {
                break;
            }
            continue;
        };
        if !network.wait(fault.pause)? || network.last_seen_block() >= end {
            break;
        }
        let (epoch, started_at) = (network.last_seen_block() / epoch_blocks, Instant::now());
        let active_fault = fault.begin(network)?;
        let is_running = network.wait(fault.duration)?;
        let note = fault.end(network, active_fault)?;
        records.push(FaultRecord {
            epoch,
            at_s: (started_at - start).as_secs_f64(),
            fault: fault.kind,
            target: fault.target,
            lasted_s: started_at.elapsed().as_secs_f64(),
            note,
        });
        if !is_running {
            break;
        }
    }
    Ok(records)
}

/// Counts a validator's submissions in each epoch.
fn count(
    submissions: &[Submission],
    name: &'static str,
    uid: u64,
    epochs: &Range<u32>,
    epoch_blocks: u32,
) -> ValidatorEpochs {
    let mut row =
        ValidatorEpochs { name, uid, exactly_one: 0, without: Vec::new(), several: Vec::new() };
    for epoch in epochs.clone() {
        let is_of_epoch = |one: &&Submission| one.uid == uid && one.block / epoch_blocks == epoch;
        match submissions.iter().filter(is_of_epoch).count() {
            0 => row.without.push(epoch),
            1 => row.exactly_one += 1,
            _ => row.several.push(epoch),
        }
    }
    row
}

impl ValidatorEpochs {
    /// Whether enough of the epochs have exactly one submission, and none has several.
    fn meets_requirement(&self, epochs: u32) -> bool {
        self.several.is_empty() && f64::from(self.exactly_one) >= REQUIRED_SHARE * f64::from(epochs)
    }
}

/// Returns the daemons that ended by themselves, and the number of panics in all logs.
fn exits_and_panics(network: &Network) -> anyhow::Result<(Vec<EndedProcess>, usize)> {
    let (mut ended, mut panics) = (Vec::new(), 0);
    for process in &network.processes {
        panics += process.panics()?;
        if process.exits() > 0 {
            ended.push(EndedProcess { name: process.name().to_owned(), times: process.exits() });
        }
    }
    Ok((ended, panics))
}

impl ChaosReport {
    /// Returns the report as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let verdict = if self.has_passed { "passed" } else { "FAILED" };
        let Self { seed, epochs, epoch_blocks, block_time_ms, seconds, panics, .. } = self;
        writeln!(text, "Seed {seed}: {verdict}.")?;
        for Unavailable { fault, reason, remedy } in &self.unavailable {
            writeln!(
                text,
                "\n**NOT TESTED: the fault {}.** {reason}. To test it, {remedy}.",
                fault.name()
            )?;
        }
        writeln!(
            text,
            "\n{epochs} epochs of {epoch_blocks} blocks of {block_time_ms} ms, {seconds} s with faults.\n"
        )?;
        writeln!(
            text,
            "| Validator | Exactly one submission | None | Two or more |\n|---|---|---|---|"
        )?;
        for row in &self.validators {
            let percent = 100.0 * f64::from(row.exactly_one) / f64::from(*epochs);
            let (one, missing, repeated) =
                (row.exactly_one, list(&row.without), list(&row.several));
            writeln!(
                text,
                "| {} | {one} of {epochs} ({percent:.1} %) | {missing} | {repeated} |",
                row.name
            )?;
        }
        writeln!(text, "\n| Fault | Times | Targets |\n|---|---|---|")?;
        for kind in FaultKind::ALL {
            let kind_records: Vec<_> =
                self.faults.iter().filter(|record| record.fault == kind).collect();
            let mut targets: Vec<_> =
                kind_records.iter().map(|record| record.target.as_str()).collect();
            targets.sort_unstable();
            targets.dedup();
            writeln!(
                text,
                "| {} | {} | {} |",
                kind.name(),
                kind_records.len(),
                targets.join(", ")
            )?;
        }
        let ended: Vec<_> =
            self.ended.iter().map(|one| format!("{} ({} times)", one.name, one.times)).collect();
        let ended = if ended.is_empty() { "none".to_owned() } else { ended.join(", ") };
        writeln!(
            text,
            "\nPanics: {panics}. Daemons that ended by themselves and were restarted: {ended}."
        )?;
        self.write_misses(text)
    }

    /// Lists the faults of epochs that do not have exactly one submission, and of the epochs before
    /// them.
    fn write_misses(&self, text: &mut String) -> std::fmt::Result {
        for row in &self.validators {
            for epoch in row.without.iter().chain(&row.several) {
                writeln!(text, "\nFaults around epoch {epoch} of validator {}:\n", row.name)?;
                let is_near =
                    |record: &&FaultRecord| record.epoch == *epoch || record.epoch + 1 == *epoch;
                for record in self.faults.iter().filter(is_near) {
                    let FaultRecord { at_s, fault, target, lasted_s, note, .. } = record;
                    writeln!(
                        text,
                        "- {at_s:.1} s: {} of {target} for {lasted_s:.1} s {note}",
                        fault.name()
                    )?;
                }
            }
        }
        if let Some(logs) = &self.logs {
            writeln!(text, "\nThe daemons' logs are in {}.", logs.display())?;
        }
        Ok(())
    }
}

/// Returns epochs as text.
fn list(epochs: &[u32]) -> String {
    match epochs {
        [] => "none".to_owned(),
        some => some.iter().map(|epoch| format!("epoch {epoch}")).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submissions_are_counted_by_epoch_and_validator() {
        let blocks = [(20, 1), (21, 2), (29, 1), (41, 1), (49, 2)];
        let submissions = blocks.map(|(block, uid)| Submission { block, uid });
        let row = count(&submissions, "A", 1, &(2..5), 10);
        assert_eq!((row.exactly_one, row.without, row.several), (1, vec![3], vec![2]));
        let row = count(&submissions, "B", 2, &(2..5), 10);
        assert_eq!((row.exactly_one, &row.without[..], row.several.len()), (2, &[3][..], 0));
    }

    #[test]
    fn double_submission_fails_the_epoch_requirement() {
        let row = |exactly_one, several: &[u32]| ValidatorEpochs {
            name: "A",
            uid: 1,
            exactly_one,
            without: Vec::new(),
            several: several.to_vec(),
        };
        assert!(row(99, &[]).meets_requirement(100));
        assert!(!row(98, &[]).meets_requirement(100));
        assert!(!row(99, &[7]).meets_requirement(100));
    }
}
