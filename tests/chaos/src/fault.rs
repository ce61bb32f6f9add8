//! The faults: their schedule, how each begins, and how it ends.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::network::Network;
use crate::plan::SCORING;
use crate::tools;

/// Connections of a half-open fault: most of those that a daemon accepts from one address.
const HALF_OPEN_CONNECTIONS: usize = 200;
/// Source of these connections, so that they do not count for the daemons' own address.
const ATTACKER_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), 0);
/// Time for one of these connections.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time for a gateway to open or refuse its ledger, on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Interval between two checks of the gateway.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// Size of a page of SQLite.
const PAGE_BYTES: usize = 4_096;
/// The database of a weight ledger, and all of its files.
const DATABASE: &str = "weights.sqlite";
const LEDGER: [&str; 3] = [DATABASE, "weights.sqlite-wal", "weights.sqlite-shm"];
/// Offsets of a wrong clock, in seconds, as libfaketime reads them.
const CLOCK_OFFSETS: [&str; 4] = ["-86400", "-60", "+60", "+86400"];
/// Environment of libfaketime, besides the library and its file: the file is read every second, and
/// the clock that measures durations stays right, as when an administrator sets the time. Its older
/// versions read the second name.
const FAKETIME: [(&str, &str); 3] = [
    ("FAKETIME_CACHE_DURATION", "1"),
    ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ("DONT_FAKE_MONOTONIC", "1"),
];

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// SIGKILL, and a later restart
    Kill,
    /// SIGSTOP, and a later SIGCONT
    Pause,
    /// 200 connections that never complete a request
    HalfOpen,
    /// No space on the disk of a validator
    FullDisk,
    /// A restart with a clock that is a minute or a day wrong, and is set right while the daemon
    /// runs
    Clock,
    /// A page of the weight ledger is overwritten while the gateway is down
    Page,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Kill, Self::Pause, Self::HalfOpen, Self::FullDisk, Self::Clock, Self::Page];

    /// The name, as in reports and options.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Pause => "pause",
            Self::HalfOpen => "half-open",
            Self::FullDisk => "full-disk",
            Self::Clock => "clock",
            Self::Page => "page",
        }
    }
}

/// Targets of faults.
pub(crate) struct Targets {
    /// Names of the processes.
    pub(crate) processes: Vec<String>,
    /// Names of the validators.
    pub(crate) validators: Vec<&'static str>,
}

impl Targets {
    /// Names of the processes, or of the validators whose disks are filled, that can have this
    /// fault.
    fn names(&self, kind: FaultKind) -> Vec<String> {
        let validator_processes = |daemons: &[&str]| -> Vec<String> {
            let named = |validator: &&str| {
                daemons.iter().map(|daemon| format!("{daemon} {validator}")).collect::<Vec<_>>()
            };
            self.validators.iter().flat_map(named).collect()
        };
        match kind {
            FaultKind::Kill | FaultKind::Pause | FaultKind::HalfOpen => self.processes.clone(),
            FaultKind::FullDisk => self.validators.iter().map(|name| (*name).to_owned()).collect(),
            FaultKind::Clock => {
                [validator_processes(&["gateway", "signer", "validator"]), vec![SCORING.to_owned()]]
                    .concat()
            }
            FaultKind::Page => validator_processes(&["gateway"]),
        }
    }
}

/// A fault of the schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// Name of a process, or of a validator for a full disk.
    pub(crate) target: String,
    /// Time without a fault before this one.
    pub(crate) pause: Duration,
    pub(crate) duration: Duration,
    /// Selects the offset of a clock, or the page.
    number: u64,
}

/// The faults of a seed, without end.
pub(crate) struct Schedule {
    random: StdRng,
    targets: Targets,
    kinds: Vec<FaultKind>,
    /// Kinds that come before any kind comes again.
    next: Vec<FaultKind>,
    /// The unit of durations.
    block_time: Duration,
}

impl Schedule {
    pub(crate) fn new(
        seed: u64,
        kinds: &[FaultKind],
        targets: Targets,
        block_time: Duration,
    ) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            targets,
            kinds: kinds.to_vec(),
            next: Vec::new(),
            block_time,
        }
    }

    /// Draws the next fault; `None` if there is no kind of fault.
    pub(crate) fn draw(&mut self) -> Option<Fault> {
        if self.next.is_empty() {
            self.next.clone_from(&self.kinds);
            self.next.shuffle(&mut self.random);
        }
        let kind = self.next.pop()?;
        let target = self.targets.names(kind).choose(&mut self.random)?.clone();
        let pause = self.block_time.mul_f64(self.random.random_range(4.0..10.0));
        let duration = self.block_time.mul_f64(self.random.random_range(2.0..8.0));
        Some(Fault { kind, target, pause, duration, number: self.random.random() })
    }
}

/// Resources that a fault holds until its end.
pub(crate) enum ActiveFault {
    Nothing,
    Connections(Vec<TcpStream>),
    /// Number of the process's unexpected exits before the fault.
    Exits(u32),
}

impl Fault {
    /// Begins the fault.
    pub(crate) fn begin(&self, network: &mut Network) -> anyhow::Result<ActiveFault> {
        match self.kind {
            FaultKind::Kill => network.process(&self.target)?.kill()?,
            FaultKind::Pause => network.process(&self.target)?.pause()?,
            FaultKind::HalfOpen => {
                let address = network
                    .process(&self.target)?
                    .address()
                    .context("the process has no address")?;
                return Ok(ActiveFault::Connections(network.runtime.block_on(half_open(address))?));
            }
            FaultKind::FullDisk => self.disk(network)?.fill()?,
            FaultKind::Clock => {
                let library = tools::faketime().context("libfaketime is not installed")?;
                let file = self.clock_file(network);
                fs::write(&file, self.offset())?;
                let process = network.process(&self.target)?;
                process.kill()?;
                process
                    .command()
                    .env("LD_PRELOAD", library)
                    .env("FAKETIME_TIMESTAMP_FILE", &file)
                    .envs(FAKETIME);
                process.start()?;
            }
            FaultKind::Page => {
                let ledger = self.ledger(network)?;
                let process = network.process(&self.target)?;
                process.kill()?;
                corrupt(&ledger.join(DATABASE), self.number)
                    .with_context(|| format!("cannot overwrite a page of {}", ledger.display()))?;
                process.start()?;
                return Ok(ActiveFault::Exits(process.exits()));
            }
        }
        Ok(ActiveFault::Nothing)
    }

    /// Ends the fault, as an operator would. Returns a note for the report.
    pub(crate) fn end(
        &self,
        network: &mut Network,
        active_fault: ActiveFault,
    ) -> anyhow::Result<String> {
        match (self.kind, active_fault) {
            (FaultKind::Kill, _) => network.process(&self.target)?.start()?,
            (FaultKind::Pause, _) => network.process(&self.target)?.resume()?,
            (FaultKind::HalfOpen, ActiveFault::Connections(connections)) => {
                return Ok(format!("{} connections", connections.len()));
            }
            (FaultKind::FullDisk, _) => self.disk(network)?.free()?,
            (FaultKind::Clock, _) => {
                // The running daemon sees the step; its next start is without libfaketime.
                fs::write(self.clock_file(network), "+0")?;
                let command = network.process(&self.target)?.command();
                command.env_remove("LD_PRELOAD").env_remove("FAKETIME_TIMESTAMP_FILE");
                return Ok(format!("{} s", self.offset()));
            }
            (FaultKind::Page, ActiveFault::Exits(before)) => {
                return self.replace_ledger(network, before);
            }
            (FaultKind::HalfOpen | FaultKind::Page, _) => {}
        }
        Ok(String::new())
    }

    /// Removes a damaged ledger if the gateway refused it.
    fn replace_ledger(&self, network: &mut Network, before: u32) -> anyhow::Result<String> {
        let ledger = self.ledger(network)?;
        let start = Instant::now();
        while start.elapsed() < START_TIMEOUT {
            let process = network.process(&self.target)?;
            if process.exits() != before
                || process.is_listening()
                || !network.wait(CHECK_INTERVAL)?
            {
                break;
            }
        }
        let process = network.process(&self.target)?;
        process.supervise()?;
        if process.exits() == before {
            return Ok("a page without content that matters".to_owned());
        }
        process.kill()?;
        for file in LEDGER.map(|name| ledger.join(name)) {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        process.start()?;
        Ok("the gateway refused the ledger, which was removed".to_owned())
    }

    fn disk<'a>(&self, network: &'a Network) -> anyhow::Result<&'a crate::disk::Disk> {
        let validator = network.validators.iter().find(|validator| validator.name == self.target);
        let path = &validator.context("no such validator")?.disk;
        network
            .disks
            .iter()
            .find(|disk| disk.path() == path)
            .context("the validator has no disk of its own")
    }

    /// Directory of the ledger of the target, a gateway.
    fn ledger(&self, network: &Network) -> anyhow::Result<PathBuf> {
        let validator =
            network.validators.iter().find(|validator| self.target.ends_with(validator.name));
        Ok(validator.context("no such validator")?.disk.join("gateway"))
    }

    /// File with the target's clock: one for each, since a daemon reads it until its next restart.
    fn clock_file(&self, network: &Network) -> PathBuf {
        network.folder.path().join(format!("clock of {}", self.target))
    }

    fn offset(&self) -> &'static str {
        // There are four offsets.
        CLOCK_OFFSETS.iter().cycle().nth((self.number % 4) as usize).copied().unwrap_or("+60")
    }
}

/// Opens connections with an incomplete head or body. A daemon that is down or refuses further ones
/// gets fewer.
async fn half_open(address: SocketAddr) -> io::Result<Vec<TcpStream>> {
    let partial_requests = [
        "POST / HTTP/1.1\r\nhost: ",
        "POST / HTTP/1.1\r\nhost: chaos\r\ncontent-length: 1000\r\n\r\n{",
    ];
    let mut connections = Vec::new();
    for partial_request in partial_requests.into_iter().cycle().take(HALF_OPEN_CONNECTIONS) {
        let socket = TcpSocket::new_v4()?;
        socket.bind(ATTACKER_ADDRESS)?;
        let Ok(Ok(mut connection)) = timeout(CONNECT_TIMEOUT, socket.connect(address)).await else {
            break;
        };
        if connection.write_all(partial_request.as_bytes()).await.is_ok() {
            connections.push(connection);
        }
    }
    Ok(connections)
}

/// Overwrites one page of a database. One that does not exist yet stays absent.
fn corrupt(file: &Path, number: u64) -> io::Result<()> {
    let file = match OpenOptions::new().write(true).open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let pages = file.metadata()?.len() / PAGE_BYTES as u64;
    file.write_all_at(&[0xA5; PAGE_BYTES], number % pages.max(1) * PAGE_BYTES as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(seed: u64) -> Vec<Fault> {
        let targets = Targets {
            processes: vec!["chain".into(), "gateway A".into()],
            validators: vec!["A", "B"],
        };
        let mut schedule = Schedule::new(seed, &FaultKind::ALL, targets, Duration::from_secs(1));
        (0..12).map_while(|_| schedule.draw()).collect()
    }

    #[test]
    fn schedule_is_seeded_and_uses_each_kind_once_per_round() {
        let faults = schedule(7);
        assert_eq!(faults, schedule(7));
        assert_ne!(faults, schedule(8));
        for round in faults.chunks(FaultKind::ALL.len()) {
            let mut kinds: Vec<_> = round.iter().map(|fault| fault.kind).collect();
            kinds.sort_unstable();
            assert_eq!(kinds, FaultKind::ALL);
        }
    }

    #[test]
    fn corruption_overwrites_exactly_one_page() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("weights.sqlite");
        corrupt(&file, 0).unwrap();
        assert!(!file.exists());
        fs::write(&file, vec![0_u8; 3 * PAGE_BYTES]).unwrap();
        corrupt(&file, 4).unwrap();
        let content = fs::read(&file).unwrap();
        let pages: Vec<_> =
            content.chunks(PAGE_BYTES).map(|page| page.iter().all(|byte| *byte == 0xA5)).collect();
        assert_eq!(pages, [false, true, false]);
        assert_eq!(content.iter().filter(|byte| **byte != 0).count(), PAGE_BYTES);
    }
}
