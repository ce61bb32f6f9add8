//! A simulation: all processes, links and the chain, tick by tick.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use taonet_chain::CommitReveal;
use taonet_primitives::Hotkey;
use url::Url;

use crate::chain::{BLOCK_TIME, SimulatedChain};
use crate::endpoint::{Node, poll_once};
use crate::libc_overrides::split_mix;
use crate::network::{Link, TICK};
use crate::nineteen::market_records::MarketRecords;
use crate::process::Process;
use crate::schedule::{self, EPOCH_TIME, Fault, FaultKind, Targets};
use crate::service_fault::ServiceFaults;
use crate::{babelbit, disk, invariants, nineteen, record, services};

/// Number of epochs without faults at the end of a simulation.
const QUIET_EPOCHS: u32 = 3;
/// Maximum time until the outbox is empty, after these epochs: refused submissions are repeated
/// every hour.
const MAX_BACKLOG_AGE: Duration = Duration::from_mins(75);
/// Pause before the supervisor starts a killed process again.
const RESTART_DELAY: Duration = Duration::from_secs(5);
/// One in this many seeds simulates Nineteen, which takes several times as long as Babelbit.
const SEEDS_PER_NINETEEN: u64 = 8;

/// Client, or `None` if there are several, and server of a link.
pub(crate) type Route = (Option<usize>, usize);

/// Subnet whose daemons are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subnet {
    /// Babelbit.
    Babelbit,
    /// Nineteen, the inference market.
    Nineteen,
}

impl Subnet {
    /// Returns the subnet that a seed simulates.
    pub(crate) const fn of_seed(seed: u64) -> Self {
        if seed % SEEDS_PER_NINETEEN == SEEDS_PER_NINETEEN - 2 {
            Self::Nineteen
        } else {
            Self::Babelbit
        }
    }

    /// Returns the name of a process, or of a database that processes share.
    pub(crate) fn name(self, index: usize) -> &'static str {
        let names: &[&str] = match self {
            Self::Babelbit => &babelbit::NAMES,
            Self::Nineteen => &nineteen::NAMES,
        };
        names.get(index).copied().unwrap_or("?")
    }

    const fn routes(self) -> &'static [Route] {
        match self {
            Self::Babelbit => &babelbit::ROUTES,
            Self::Nineteen => &nineteen::ROUTES,
        }
    }

    /// Returns the name of a link: its client and its server.
    pub(crate) fn link(self, index: usize) -> String {
        let Some((client, server)) = self.routes().get(index) else { return "?".to_owned() };
        let client = client.map_or("all", |client| self.name(client));
        format!("{client} to {}", self.name(*server))
    }

    /// Returns the parts that faults can affect.
    pub(crate) const fn targets(self) -> &'static Targets {
        match self {
            Self::Babelbit => &babelbit::TARGETS,
            Self::Nineteen => &nineteen::TARGETS,
        }
    }

    /// Returns the neurons with their addresses, the validator first.
    fn neurons(self, links: &[Link]) -> Vec<(Hotkey, Option<SocketAddr>)> {
        match self {
            Self::Babelbit => services::neurons(),
            Self::Nineteen => nineteen::neurons(links),
        }
    }
}

/// The seed, directory, node and links with which the processes of a subnet are created.
pub(crate) struct ProcessContext<'a> {
    pub(crate) seed: u64,
    pub(crate) root: &'a Path,
    pub(crate) node: &'a Node,
    pub(crate) market_records: &'a MarketRecords,
    links: &'a [Link],
    services: &'a BTreeMap<usize, ServiceFaults>,
    random: &'a AtomicU64,
}

impl ProcessContext<'_> {
    /// Returns the URL at which a process reaches another one.
    pub(crate) fn url(&self, client: usize, server: usize) -> anyhow::Result<Url> {
        let route = (Some(client), server);
        let link = self.links.iter().find(|link| (link.client, link.server) == route);
        let link = link.ok_or_else(|| anyhow::anyhow!("no link"))?;
        Ok(format!("http://{}", link.address()).parse()?)
    }

    /// Returns a seed for the disk of a process.
    pub(crate) fn next_disk_seed(&self) -> u64 {
        split_mix(self.random)
    }

    /// Returns the injected faults of a service that others operate.
    pub(crate) fn faults_of(&self, process: usize) -> ServiceFaults {
        self.services.get(&process).cloned().unwrap_or_default()
    }
}

/// The state of a simulation.
pub(crate) struct Simulation {
    pub(crate) subnet: Subnet,
    pub(crate) seed: u64,
    pub(crate) chain: SimulatedChain,
    pub(crate) processes: Vec<Process>,
    /// Purchases and results of periods of Nineteen; empty for Babelbit.
    pub(crate) market_records: MarketRecords,
    pub(crate) now: Duration,
    pub(crate) root: PathBuf,
    /// Processes and databases that were replaced by backups.
    pub(crate) restored: BTreeSet<usize>,
    links: Vec<Link>,
    node: Node,
    services: BTreeMap<usize, ServiceFaults>,
    /// Times of the backups of each process and database.
    backups: BTreeMap<usize, Vec<Duration>>,
    random: AtomicU64,
}

impl Simulation {
    /// Creates a simulation whose files are in `root`.
    pub(crate) fn new(seed: u64, root: &Path) -> anyhow::Result<Self> {
        let (subnet, random) = (Subnet::of_seed(seed), AtomicU64::new(seed));
        // A quarter of the seeds has unencrypted weights, a quarter hash commits, the others
        // timelocked ones.
        let commit_reveal = match split_mix(&random) % 4 {
            0 => None,
            1 => Some(CommitReveal { version: 2, period_epochs: 1 }),
            _ => Some(CommitReveal { version: 4, period_epochs: 1 }),
        };
        let routes = subnet.routes().iter();
        let links = routes.map(|(client, server)| Link::new(*client, *server, split_mix(&random)));
        let links = links.collect::<std::io::Result<Vec<_>>>()?;
        let chain = SimulatedChain::new(&subnet.neurons(&links), commit_reveal);
        let (node, market_records) = (Node::new(chain.clone()), MarketRecords::default());
        let services = subnet.targets().services.iter();
        let services: BTreeMap<_, _> =
            services.map(|index| (*index, ServiceFaults::default())).collect();
        let context = ProcessContext {
            seed,
            root,
            node: &node,
            market_records: &market_records,
            links: &links,
            services: &services,
            random: &random,
        };
        let processes = match subnet {
            Subnet::Babelbit => babelbit::processes(&context)?,
            Subnet::Nineteen => nineteen::processes(&context)?,
        };
        Ok(Self {
            subnet,
            seed,
            chain,
            processes,
            market_records,
            now: Duration::ZERO,
            root: root.to_owned(),
            restored: BTreeSet::new(),
            links,
            node,
            services,
            backups: BTreeMap::new(),
            random,
        })
    }

    /// Runs a schedule, and checks the invariants.
    pub(crate) fn run(&mut self, faults: &[Fault]) {
        let quiet_from = schedule::end(faults);
        let end = quiet_from + EPOCH_TIME * QUIET_EPOCHS;
        // Begins and ends of faults, in the order of their times.
        let mut changes: Vec<(Duration, bool, &Fault)> = faults
            .iter()
            .flat_map(|fault| [(fault.at, true, fault), (fault.at + fault.duration, false, fault)])
            .collect();
        changes.sort_by_key(|(at, ..)| *at);
        let mut changes = changes.into_iter().peekable();
        while self.now < end || self.has_backlog(end) {
            self.now += TICK;
            record::set_time(self.now);
            while let Some((_, is_begin, fault)) = changes.next_if(|(at, ..)| *at <= self.now) {
                if is_begin { self.begin(fault) } else { self.end(fault) }
            }
            self.tick();
        }
        invariants::check(self, faults, quiet_from);
    }

    /// Whether the outbox still has submissions, which the runner repeats within an hour at most.
    fn has_backlog(&self, end: Duration) -> bool {
        if self.subnet != Subnet::Babelbit {
            return false;
        }
        let is_late = self.now >= end + MAX_BACKLOG_AGE;
        if is_late || !self.now.saturating_sub(end).as_secs().is_multiple_of(EPOCH_TIME.as_secs()) {
            return !is_late;
        }
        invariants::backlog(self).is_none_or(|submissions| submissions > 0)
    }

    fn tick(&mut self) {
        if self.now.as_secs().is_multiple_of(BLOCK_TIME.as_secs()) {
            let _ = poll_once(self.chain.produce(self.now));
            self.node.announce();
        }
        if self.now.as_secs().is_multiple_of(EPOCH_TIME.as_secs() / 2) {
            self.back_up();
        }
        for link in &mut self.links {
            let port = self.processes.get(link.server).and_then(|process| process.port);
            link.forward(self.now, port);
        }
        for index in 0..self.processes.len() {
            let has_ended =
                self.processes.get_mut(index).is_some_and(|process| process.tick(self.now));
            if has_ended {
                self.reset_links(index);
            }
        }
    }

    fn reset_links(&mut self, process: usize) {
        let is_of = |link: &&mut Link| link.client == Some(process) || link.server == process;
        self.links.iter_mut().filter(is_of).for_each(Link::reset);
    }

    fn begin(&mut self, fault: &Fault) {
        record::record_event(&fault.describe(self.subnet));
        let until = fault.at + fault.duration;
        match fault.kind {
            FaultKind::Kill(index, change) => {
                let Some(process) = self.processes.get_mut(index) else { return };
                if change > 0 {
                    return process.crash_in(Some(change));
                }
                process.kill(until.max(self.now + RESTART_DELAY));
                self.reset_links(index);
            }
            FaultKind::Pause(index) => self.with_process(index, |process| process.pause(until)),
            FaultKind::Cut(index) => {
                if let Some(link) = self.links.get_mut(index) {
                    link.cut_until = link.cut_until.max(until);
                }
            }
            FaultKind::Clock(index, seconds) => {
                self.with_process(index, |process| process.clock_offset += seconds);
            }
            FaultKind::Disk(index, fault) => {
                self.with_process(index, |process| process.set_disk_fault(Some(fault)));
            }
            FaultKind::Node(fault) => self.node.add(fault),
            FaultKind::Fork(blocks, is_lost) => {
                self.chain.revert(blocks, is_lost);
                self.node.announce();
            }
            FaultKind::LosePool => self.chain.lose_pool(),
            FaultKind::Restore(index) => self.restore(index),
            FaultKind::Service(index, fault) => {
                if let Some(service) = self.services.get(&index) {
                    service.add(fault);
                }
            }
        }
    }

    fn end(&mut self, fault: &Fault) {
        match fault.kind {
            FaultKind::Kill(index, _) => self.with_process(index, |process| process.crash_in(None)),
            FaultKind::Clock(index, seconds) => {
                self.with_process(index, |process| process.clock_offset -= seconds);
            }
            FaultKind::Disk(index, _) => {
                self.with_process(index, |process| process.set_disk_fault(None));
            }
            FaultKind::Node(fault) => self.node.remove(fault),
            FaultKind::Service(index, fault) => {
                if let Some(service) = self.services.get(&index) {
                    service.remove(fault);
                }
            }
            _ => {}
        }
    }

    fn with_process(&mut self, index: usize, change: impl FnOnce(&mut Process)) {
        if let Some(process) = self.processes.get_mut(index) {
            change(process);
        }
    }

    fn backup(&self, index: usize, number: usize) -> PathBuf {
        self.root.join("backups").join(index.to_string()).join(number.to_string())
    }

    /// Copies the directories of the processes and databases that recover from a backup.
    fn back_up(&mut self) {
        for &index in self.subnet.targets().with_backups {
            let number = self.backups.get(&index).map_or(0, Vec::len);
            let path = self.backup(index, number);
            let copied = match self.processes.get(index) {
                Some(process) if process.is_running() => process.back_up(&path),
                Some(_) => continue,
                None => disk::copy(&nineteen::database(&self.root), &path),
            };
            if copied.is_ok() {
                self.backups.entry(index).or_default().push(self.now);
            }
        }
    }

    fn restore(&mut self, index: usize) {
        let times = self.backups.get(&index).cloned().unwrap_or_default();
        let count = times.len() as u64;
        if count == 0 {
            return;
        }
        let number = (split_mix(&self.random) % count) as usize;
        let (path, restart_at) = (self.backup(index, number), self.now + RESTART_DELAY);
        record::record_event(&format!("backup {number} of {count}"));
        let restored = match self.processes.get_mut(index) {
            Some(process) => process.restore(&path, restart_at),
            None => self.restore_database(&path, restart_at),
        };
        if let Err(error) = restored {
            record::fail(&format!("cannot restore a backup: {error}"));
        }
        if index >= self.processes.len() {
            self.market_records.rewind(times.get(number).copied().unwrap_or_default(), self.now);
        }
        self.restored.insert(index);
        self.reset_links(index);
    }

    /// Kills the processes that share the database, and replaces it by a backup.
    fn restore_database(&mut self, backup: &Path, restart_at: Duration) -> std::io::Result<()> {
        for index in nineteen::CLIENTS {
            self.with_process(index, |process| process.kill(restart_at));
            self.reset_links(index);
        }
        let directory = nineteen::database(&self.root);
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        disk::copy(backup, &directory)
    }
}
