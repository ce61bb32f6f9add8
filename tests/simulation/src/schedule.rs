//! Schedules of faults, derived from a seed.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::chain::{BLOCK_TIME, TEMPO};
use crate::disk::DiskFault;
use crate::endpoint::NodeFault;
use crate::service_fault::ServiceFault;
use crate::simulation::Subnet;

/// Maximum number of faults.
const MAX_FAULTS: usize = 10;
/// Maximum duration of a fault, in seconds.
const MAX_DURATION: u64 = 400;

/// The length of an epoch.
pub(crate) const EPOCH_TIME: Duration = BLOCK_TIME.saturating_mul(TEMPO);

/// A fault, its time and its duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: Duration,
    pub(crate) duration: Duration,
    pub(crate) kind: FaultKind,
}

/// The kind of a fault. Numbers are indices of processes and links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The process is killed during this write of a file, or with 0 immediately.
    Kill(usize, u64),
    /// The process is suspended.
    Pause(usize),
    /// No byte passes the link.
    Cut(usize),
    /// The process's clock differs from the true time by this many seconds.
    Clock(usize, i64),
    /// The process's disk has a fault.
    Disk(usize, DiskFault),
    /// The chain node of a process has a fault.
    Node(NodeFault),
    /// This many blocks are reverted; their extrinsics are lost, or return to the pool.
    Fork(u32, bool),
    /// All pools lose their content.
    LosePool,
    /// The process is killed, and its directory replaced by an older backup; or a database that
    /// processes share, for which all of them are killed.
    Restore(usize),
    /// The service of others has a fault.
    Service(usize, ServiceFault),
}

/// The parts of a simulation that faults can affect.
pub(crate) struct Targets {
    pub(crate) processes: usize,
    /// Processes with files.
    pub(crate) with_files: &'static [usize],
    /// Processes, and databases, that recover from an older backup.
    pub(crate) with_backups: &'static [usize],
    /// Processes that are services of others.
    pub(crate) services: &'static [usize],
    pub(crate) links: usize,
    /// Number of epochs in which faults begin.
    pub(crate) faulty_epochs: u32,
}

/// Returns the faults of a seed, in the order of their times.
pub(crate) fn faults(seed: u64, targets: &Targets) -> Vec<Fault> {
    let mut random = StdRng::seed_from_u64(seed);
    let count = random.random_range(1..=MAX_FAULTS);
    let mut faults: Vec<Fault> = (0..count).map(|_| fault(&mut random, targets)).collect();
    faults.sort_by_key(|fault| fault.at);
    faults
}

fn fault(random: &mut StdRng, targets: &Targets) -> Fault {
    let begin = random.random_range(1..(EPOCH_TIME * targets.faulty_epochs).as_secs());
    // Short faults are as likely as long ones.
    let max_duration =
        2_u64.pow(random.random_range(1..=MAX_DURATION.ilog2() + 1)).min(MAX_DURATION);
    let duration = Duration::from_secs(random.random_range(1..=max_duration));
    let kind = kind(random, targets);
    Fault { at: Duration::from_secs(begin), duration, kind }
}

fn kind(random: &mut StdRng, targets: &Targets) -> FaultKind {
    let process = random.random_range(0..targets.processes);
    let mut choose = |from: &[usize]| *from.choose(random).unwrap_or(&0);
    let (with_files, with_backup) = (choose(targets.with_files), choose(targets.with_backups));
    let service = choose(targets.services);
    match random.random_range(0..24) {
        0..=2 => FaultKind::Kill(with_files, random.random_range(1..60)),
        3 => FaultKind::Kill(process, 0),
        4 | 5 => FaultKind::Pause(process),
        6..=8 => FaultKind::Cut(random.random_range(0..targets.links)),
        9 | 10 => {
            FaultKind::Clock(process, *[-86_400, -60, 60, 86_400].choose(random).unwrap_or(&60))
        }
        11 => FaultKind::Disk(with_files, DiskFault::Full),
        12 => FaultKind::Disk(with_files, DiskFault::Failing(random.random_range(2..20))),
        13 => FaultKind::Fork(random.random_range(1..=3), random.random()),
        14 => FaultKind::LosePool,
        15 | 16 => FaultKind::Restore(with_backup),
        17..=19 => FaultKind::Service(service, service_fault(random)),
        _ => FaultKind::Node(node_fault(random)),
    }
}

fn service_fault(random: &mut StdRng) -> ServiceFault {
    match random.random_range(0..6) {
        0 => ServiceFault::Slow(random.random_range(1..60)),
        1 => ServiceFault::RejectsRequests(*[400, 429, 503].choose(random).unwrap_or(&503)),
        2 => ServiceFault::LosesResponses,
        3 => ServiceFault::MalformedJson,
        4 => ServiceFault::TruncatedBody,
        _ => ServiceFault::StaleReads,
    }
}

fn node_fault(random: &mut StdRng) -> NodeFault {
    match random.random_range(0..10) {
        0 => NodeFault::Unreachable,
        1 => NodeFault::Slow(random.random_range(1..30)),
        2 => NodeFault::Behind(random.random_range(1..TEMPO)),
        3 => NodeFault::Reordered,
        4 => NodeFault::Silent,
        5 => NodeFault::RejectsExtrinsics,
        6 => NodeFault::RejectsButPropagates,
        7 => NodeFault::DropsExtrinsics,
        8 => NodeFault::HighNonce,
        _ => NodeFault::Ahead(random.random_range(1..1_000)),
    }
}

/// Returns the time after which there are no faults.
pub(crate) fn end(faults: &[Fault]) -> Duration {
    faults.iter().map(|fault| fault.at + fault.duration).max().unwrap_or_default()
}

impl Fault {
    /// Describes the fault with the subnet's names of processes, databases and links.
    pub(crate) fn describe(&self, subnet: Subnet) -> String {
        let action = match self.kind {
            FaultKind::Kill(index, 0) => format!("kill {}", subnet.name(index)),
            FaultKind::Kill(index, change) => {
                format!("kill {} in change {change} of its files", subnet.name(index))
            }
            FaultKind::Pause(index) => format!("pause {}", subnet.name(index)),
            FaultKind::Cut(index) => format!("cut {}", subnet.link(index)),
            FaultKind::Clock(index, seconds) => {
                format!("set the clock of {} by {seconds:+} s", subnet.name(index))
            }
            FaultKind::Disk(index, DiskFault::Full) => {
                format!("fill the disk of {}", subnet.name(index))
            }
            FaultKind::Disk(index, DiskFault::Failing(rate)) => {
                format!("fail 1/{rate} of the writes of {}", subnet.name(index))
            }
            FaultKind::Node(fault) => format!("chain node: {fault:?}"),
            FaultKind::Fork(blocks, true) => {
                format!("revert {blocks} blocks, and lose their extrinsics")
            }
            FaultKind::Fork(blocks, false) => format!("revert {blocks} blocks"),
            FaultKind::LosePool => "lose the transaction pool".to_owned(),
            FaultKind::Restore(index) => {
                format!("restore an older backup of {}", subnet.name(index))
            }
            FaultKind::Service(index, fault) => format!("{}: {fault:?}", subnet.name(index)),
        };
        format!("{self}: {action}")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5} s, for {:>3} s", self.at.as_secs(), self.duration.as_secs())
    }
}
