//! A simulation: all processes, links and the chain, tick by tick.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use taonet_chain::CommitReveal;
use url::Url;

use crate::boundary::split_mix;
use crate::chain::{BLOCK_TIME, SimulatedChain};
use crate::endpoint::{Node, futures_now};
use crate::network::{Link, TICK};
use crate::process::Process;
use crate::schedule::{self, EPOCH_TIME, Fault, Kind, Targets};
use crate::services::{self, Services};
use crate::{invariants, record, runner};

/// Number of epochs without faults at the end of a simulation.
const QUIET_EPOCHS: u32 = 3;
/// Maximum time until the outbox is empty, after these epochs: refused submissions are repeated
/// every hour.
const BACKLOG: Duration = Duration::from_mins(75);
/// Pause before the supervisor starts a killed process again.
const RESTART: Duration = Duration::from_secs(5);

/// Indices of the processes.
pub(crate) const ENGINE: usize = 0;
pub(crate) const SCORING: usize = 1;
pub(crate) const GATEWAY: usize = 2;
const SIGNER: usize = 3;
const VALIDATOR: usize = 4;
pub(crate) const RUNNER: usize = 5;
/// Names of the processes.
pub(crate) const PROCESSES: [&str; 6] =
    ["engine", "scoring-api", "gateway", "signer", "validator", "runner"];
/// Client and server of each link.
const LINKS: [(usize, usize); 8] = [
    (SIGNER, GATEWAY),
    (VALIDATOR, GATEWAY),
    (VALIDATOR, SIGNER),
    (VALIDATOR, ENGINE),
    (VALIDATOR, SCORING),
    (RUNNER, GATEWAY),
    (RUNNER, ENGINE),
    (RUNNER, SCORING),
];

/// Returns the names of the links.
pub(crate) fn links() -> Vec<String> {
    let name = |index: usize| PROCESSES.get(index).copied().unwrap_or("?");
    LINKS.iter().map(|(client, server)| format!("{} to {}", name(*client), name(*server))).collect()
}

/// Returns what faults can affect.
pub(crate) fn targets() -> Targets {
    Targets {
        processes: PROCESSES.len(),
        with_files: vec![SCORING, GATEWAY, SIGNER, VALIDATOR, RUNNER],
        with_backups: vec![GATEWAY, VALIDATOR],
        links: LINKS.len(),
    }
}

/// The state of a simulation.
pub(crate) struct World {
    pub(crate) chain: SimulatedChain,
    pub(crate) processes: Vec<Process>,
    links: Vec<Link>,
    node: Node,
    now: Duration,
    root: PathBuf,
    /// Number of backups of each process.
    backups: BTreeMap<usize, u32>,
    random: std::sync::atomic::AtomicU64,
}

impl World {
    /// Creates a world whose files are below `root`.
    pub(crate) fn new(seed: u64, root: &Path) -> anyhow::Result<Self> {
        let random = std::sync::atomic::AtomicU64::new(seed);
        // A quarter of the seeds has unencrypted weights, a quarter hash commits, the others
        // timelocked ones.
        let commit_reveal = match split_mix(&random) % 4 {
            0 => None,
            1 => Some(CommitReveal { version: 2, period_epochs: 1 }),
            _ => Some(CommitReveal { version: 4, period_epochs: 1 }),
        };
        let chain = SimulatedChain::new(&services::neurons(), commit_reveal);
        let node = Node::new(chain.clone());
        let links =
            LINKS.iter().map(|(client, server)| Link::new(*client, *server, split_mix(&random)));
        let links = links.collect::<std::io::Result<Vec<_>>>()?;
        let url = |client: usize, server: usize| -> anyhow::Result<Url> {
            let link = links.iter().find(|link| (link.client, link.server) == (client, server));
            Ok(link.ok_or_else(|| anyhow::anyhow!("no link"))?.url().parse()?)
        };
        let services_of = |client: usize| -> anyhow::Result<Services> {
            let (engine, scoring) = (url(client, ENGINE)?, url(client, SCORING)?);
            Ok(Services { engine, scoring, gateway: url(client, GATEWAY)? })
        };
        let (of_signer, of_validator, of_runner) =
            (url(SIGNER, GATEWAY)?, services_of(VALIDATOR)?, services_of(RUNNER)?);
        let (signer, of_gateway) = (url(VALIDATOR, SIGNER)?, node.clone());
        let [engine, scoring, gateway, signing, validator, running] = PROCESSES;
        let seed = || split_mix(&random);
        let processes = vec![
            Process::new(engine, root, seed(), |life| Box::pin(services::engine(life))),
            Process::new(scoring, root, seed(), |life| Box::pin(services::scoring(life))),
            Process::new(gateway, root, seed(), move |life| {
                Box::pin(services::gateway(life, of_gateway.clone()))
            }),
            Process::new(signing, root, seed(), move |life| {
                Box::pin(services::signer(life, of_signer.clone()))
            }),
            Process::new(validator, root, seed(), move |life| {
                Box::pin(services::validator(life, of_validator.clone(), signer.clone()))
            }),
            Process::new(running, root, seed(), move |life| {
                Box::pin(runner::runner(life, of_runner.clone()))
            }),
        ];
        let (now, root, backups) = (Duration::ZERO, root.to_owned(), BTreeMap::new());
        Ok(Self { chain, processes, links, node, now, root, backups, random })
    }

    /// Runs a schedule, and checks the invariants.
    pub(crate) fn run(&mut self, faults: &[Fault]) {
        let quiet_from = schedule::end(faults);
        let end = quiet_from + EPOCH_TIME * QUIET_EPOCHS;
        // Begins and ends of faults, in the order of their times.
        let mut changes: Vec<(Duration, bool, &Fault)> = faults
            .iter()
            .flat_map(|fault| [(fault.at, true, fault), (fault.at + fault.length, false, fault)])
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
        invariants::check(self, quiet_from);
    }

    /// Whether the outbox still has submissions, which the runner repeats within an hour at most.
    fn has_backlog(&self, end: Duration) -> bool {
        let is_late = self.now >= end + BACKLOG;
        if is_late || !self.now.saturating_sub(end).as_secs().is_multiple_of(EPOCH_TIME.as_secs()) {
            return !is_late;
        }
        invariants::backlog(self).is_none_or(|submissions| submissions > 0)
    }

    fn tick(&mut self) {
        if self.now.as_secs().is_multiple_of(BLOCK_TIME.as_secs()) {
            let _ = futures_now(self.chain.produce(self.now));
            self.node.announce();
        }
        if self.now.as_secs().is_multiple_of(EPOCH_TIME.as_secs() / 2) {
            self.back_up();
        }
        for link in &mut self.links {
            let port = self.processes.get(link.server).and_then(|process| process.port);
            link.pump(self.now, port);
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
        for link in
            self.links.iter_mut().filter(|link| link.client == process || link.server == process)
        {
            link.reset();
        }
    }

    fn begin(&mut self, fault: &Fault) {
        record::note(&fault.describe(&PROCESSES, &links()));
        let until = fault.at + fault.length;
        match fault.kind {
            Kind::Kill(index, change) => {
                let Some(process) = self.processes.get_mut(index) else { return };
                if change > 0 {
                    return process.crash_in(Some(change));
                }
                process.kill(until.max(self.now + RESTART));
                self.reset_links(index);
            }
            Kind::Pause(index) => self.with(index, |process| process.pause(until)),
            Kind::Cut(index) => {
                if let Some(link) = self.links.get_mut(index) {
                    link.cut_until = link.cut_until.max(until);
                }
            }
            Kind::Clock(index, seconds) => {
                self.with(index, |process| process.clock_offset += seconds);
            }
            Kind::Disk(index, fault) => {
                self.with(index, |process| process.set_disk_fault(Some(fault)));
            }
            Kind::Node(fault) => self.node.add(fault),
            Kind::Fork(blocks, is_lost) => {
                self.chain.revert(blocks, is_lost);
                self.node.announce();
            }
            Kind::LosePool => self.chain.lose_pool(),
            Kind::Restore(index) => self.restore(index),
        }
    }

    fn end(&mut self, fault: &Fault) {
        match fault.kind {
            Kind::Kill(index, _) => self.with(index, |process| process.crash_in(None)),
            Kind::Clock(index, seconds) => {
                self.with(index, |process| process.clock_offset -= seconds);
            }
            Kind::Disk(index, _) => self.with(index, |process| process.set_disk_fault(None)),
            Kind::Node(fault) => self.node.remove(fault),
            _ => {}
        }
    }

    fn with(&mut self, index: usize, change: impl FnOnce(&mut Process)) {
        if let Some(process) = self.processes.get_mut(index) {
            change(process);
        }
    }

    fn backup(&self, index: usize, number: u32) -> PathBuf {
        self.root.join("backups").join(index.to_string()).join(number.to_string())
    }

    /// Copies the directories of the processes that recover from a backup.
    fn back_up(&mut self) {
        for index in targets().with_backups {
            let number = self.backups.get(&index).copied().unwrap_or_default();
            let path = self.backup(index, number);
            let copied = self
                .processes
                .get(index)
                .filter(|process| process.is_running())
                .map(|it| it.back_up(&path));
            if let Some(Ok(())) = copied {
                self.backups.insert(index, number + 1);
            }
        }
    }

    fn restore(&mut self, index: usize) {
        let count = self.backups.get(&index).copied().unwrap_or_default();
        if count == 0 {
            return;
        }
        let number = (split_mix(&self.random) % u64::from(count)) as u32;
        let (path, again) = (self.backup(index, number), self.now + RESTART);
        record::note(&format!("backup {number} of {count}"));
        if let Some(Err(error)) =
            self.processes.get_mut(index).map(|process| process.restore(&path, again))
        {
            record::fail(&format!("cannot restore a backup: {error}"));
        }
        self.reset_links(index);
    }
}
