//! The network under test: a development chain with a follower, the subnet owner's services,
//! miners, and two validators.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use taonet_chain::{At, Call, Chain as _, Client, Event, Follow, calls};
use taonet_primitives::{BlockNumber, NetUid, Rao};
use taonet_service::Shutdown;
use taonet_wallet::Keypair;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::disk::Disk;
use crate::fault::Targets;
use crate::plan::{ANNOUNCED, LEADER, MINERS, Plan, VALIDATORS, miner_key, miner_name};
use crate::process::Process;

/// Babelbit's netuid, the only started subnet of a new development chain.
pub(crate) const NETUID: NetUid = NetUid(59);
/// The development key that pays for registrations and stake.
const COLDKEY: &str = "//Alice";
/// Stake of each validator.
const STAKE: Rao = Rao::new(1_000_000_000_000);
/// Time for the chain's start, and for one call by the setup.
const SETUP_TIMEOUT: Duration = Duration::from_mins(1);
/// Interval between checks of processes.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The speed of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainSpeed {
    /// Time between two blocks.
    pub block_time: Duration,
    /// Length of an epoch in blocks, for the chain and the validators.
    pub epoch_blocks: u32,
}

/// A validator.
pub(crate) struct Validator {
    /// `A` or `B`.
    pub(crate) name: &'static str,
    pub(crate) keypair: Arc<Keypair>,
    pub(crate) uid: u64,
    /// Directory of its state.
    pub(crate) disk: PathBuf,
}

/// A submission of weights that a block includes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Submission {
    /// The block.
    pub(crate) block: u32,
    /// The validator's uid.
    pub(crate) uid: u64,
}

/// The running network. Its processes are killed and its files deleted on drop.
pub(crate) struct Network {
    // Dropped in this order: a file system can be unmounted once no process uses it.
    pub(crate) processes: Vec<Process>,
    pub(crate) disks: Vec<Disk>,
    pub(crate) validators: Vec<Validator>,
    pub(crate) speed: ChainSpeed,
    pub(crate) folder: TempDir,
    pub(crate) runtime: Runtime,
    chain: Client,
    shutdown: Shutdown,
}

impl Network {
    /// Starts all daemons of the program `tao`. With `has_small_disks`, the state of each validator
    /// is on a small file system of its own.
    pub(crate) fn start(
        tao: &Path,
        speed: ChainSpeed,
        has_small_disks: bool,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Self> {
        ensure!(
            tao.is_file(),
            "{}: no such program; hint: build it with cargo build -p taonet-cli",
            tao.display()
        );
        let runtime = Runtime::new()?;
        let plan = Plan::new(tao, speed)?;
        let mut leader = plan.leader()?;
        leader.start()?;
        let chain = connect(&runtime, &plan.url(LEADER)?)?;
        runtime.block_on(register(&chain, &plan))?;
        align_epochs(&runtime, &chain, &plan)?;
        let mut disks = Vec::new();
        let mut validators = Vec::new();
        for (name, key) in VALIDATORS {
            let disk = plan.folder.path().join(format!("disk-{name}"));
            fs::create_dir(&disk)?;
            if has_small_disks {
                disks.push(Disk::mount(&disk)?);
            }
            let keypair = Arc::new(Keypair::from_uri(key)?);
            let uid = runtime.block_on(chain.uid(NETUID, &keypair.hotkey(), At::Head))?;
            let uid = uid.with_context(|| format!("validator {name} is not registered"))?.0.into();
            validators.push(Validator { name, keypair, uid, disk });
        }
        let mut processes = vec![leader];
        processes.extend(plan.shared_processes()?);
        for (validator, (_, key)) in validators.iter().zip(VALIDATORS) {
            processes.extend(plan.validator(validator, key)?);
        }
        for process in &mut processes {
            process.start().with_context(|| format!("cannot start {}", process.name()))?;
        }
        let Plan { folder, .. } = plan;
        Ok(Self {
            processes,
            disks,
            validators,
            speed,
            folder,
            runtime,
            chain,
            shutdown: shutdown.clone(),
        })
    }

    /// Returns the process with this name.
    pub(crate) fn process(&mut self, name: &str) -> anyhow::Result<&mut Process> {
        self.processes
            .iter_mut()
            .find(|process| process.name() == name)
            .with_context(|| format!("no process {name}"))
    }

    /// Returns the URL of a process's HTTP service.
    pub(crate) fn url(&self, name: &str) -> anyhow::Result<url::Url> {
        let process = self.processes.iter().find(|process| process.name() == name);
        let address =
            process.and_then(Process::address).with_context(|| format!("{name} has no address"))?;
        Ok(format!("http://{address}").parse()?)
    }

    /// Newest block that this program has seen, without a request.
    pub(crate) fn last_seen_block(&self) -> u32 {
        self.chain.heads().borrow().map_or(0, |block| block.number.get())
    }

    /// Waits, and starts processes again that end by themselves. Returns false once a shutdown is
    /// requested.
    pub(crate) fn wait(&mut self, duration: Duration) -> anyhow::Result<bool> {
        let start = Instant::now();
        while start.elapsed() < duration && !self.shutdown.is_requested() {
            for process in &mut self.processes {
                process.supervise().with_context(|| format!("cannot start {}", process.name()))?;
            }
            sleep(CHECK_INTERVAL.min(duration.saturating_sub(start.elapsed())));
        }
        Ok(!self.shutdown.is_requested())
    }

    /// Waits until each validator has submitted weights; returns the newest block.
    pub(crate) fn wait_for_weights(&mut self) -> anyhow::Result<u32> {
        // The runners play their challenge in the first epoch; the weights follow in the next one.
        let time_limit = 4 * self.speed.block_time * self.speed.epoch_blocks + 3 * SETUP_TIMEOUT;
        let start = Instant::now();
        let (mut next, mut submissions) = (self.last_seen_block(), Vec::new());
        loop {
            ensure!(
                self.wait(self.speed.block_time)?,
                "stopped before the validators submitted weights"
            );
            let head = self.last_seen_block();
            submissions.extend(self.submissions(next, head)?);
            next = head + 1;
            let has_submitted =
                |validator: &&Validator| submissions.iter().any(|one| one.uid == validator.uid);
            let Some(validator) =
                self.validators.iter().find(|validator| !has_submitted(validator))
            else {
                return Ok(head);
            };
            if start.elapsed() > time_limit {
                let name = validator.name;
                let error = anyhow!(
                    "validator {name} has submitted no weights within {time_limit:?} without any fault"
                );
                return Err(self.name_logs(error));
            }
        }
    }

    /// Returns the successful submissions of weights in these blocks, from the chain's events.
    pub(crate) fn submissions(&self, from: u32, to: u32) -> anyhow::Result<Vec<Submission>> {
        self.runtime.block_on(async {
            let mut submissions = Vec::new();
            for block in from..=to {
                let events = self.chain.events(At::Number(BlockNumber::new(block))).await?;
                submissions.extend(events.iter().filter_map(|event| submission(event, block)));
            }
            Ok(submissions)
        })
    }

    /// Fails unless epochs of the chain still begin at multiples of their length, as those of the
    /// validators do.
    pub(crate) fn check_epochs(&self) -> anyhow::Result<()> {
        let rules = self.runtime.block_on(self.chain.weight_rules(NETUID, At::Head))?;
        let (tempo, last) = (u32::from(rules.schedule.tempo), rules.schedule.last_epoch.get());
        let is_aligned = tempo == self.speed.epoch_blocks && last.checked_rem(tempo) == Some(0);
        ensure!(
            is_aligned,
            "the chain's last epoch began at block {last}, with a tempo of {tempo} blocks"
        );
        Ok(())
    }

    /// Returns what can have a fault.
    pub(crate) fn targets(&self) -> Targets {
        Targets {
            processes: self.processes.iter().map(|process| process.name().to_owned()).collect(),
            validators: self.validators.iter().map(|validator| validator.name).collect(),
        }
    }

    /// Keeps the logs, and adds their directory to an error.
    pub(crate) fn name_logs(&self, error: anyhow::Error) -> anyhow::Error {
        match self.keep_logs() {
            Ok(logs) => error.context(format!("the daemons' logs are in {}", logs.display())),
            Err(_) => error,
        }
    }

    /// Copies the logs out of the network's directory, which is deleted on drop, and returns their
    /// new directory.
    pub(crate) fn keep_logs(&self) -> anyhow::Result<PathBuf> {
        let logs = tempfile::Builder::new().prefix("taonet-chaos-logs-").tempdir()?.keep();
        for entry in fs::read_dir(self.folder.path().join("logs"))? {
            let entry = entry?;
            fs::copy(entry.path(), logs.join(entry.file_name()))?;
        }
        Ok(logs)
    }
}

/// Returns the submission that an event reports, if any.
fn submission(event: &Event, block: u32) -> Option<Submission> {
    let fields = event.is("SubtensorModule", "WeightsSet").then_some(&event.fields)?;
    // The fields are the subnet, of which only one has validators here, and the uid.
    Some(Submission { block, uid: fields.get(1)?.as_u64()? })
}

/// Connects to a chain that may still be starting.
fn connect(runtime: &Runtime, url: &str) -> anyhow::Result<Client> {
    let network: taonet_chain::Network = url.parse()?;
    let start = Instant::now();
    loop {
        match runtime.block_on(Client::connect(&network)) {
            Ok(chain) => return Ok(chain),
            Err(error) if start.elapsed() > SETUP_TIMEOUT => {
                return Err(error).context("the development chain did not start");
            }
            Err(_) => sleep(CHECK_INTERVAL),
        }
    }
}

/// Registers validators and miners, and publishes the miners' addresses.
async fn register(chain: &Client, plan: &Plan) -> anyhow::Result<()> {
    let coldkey = Keypair::from_uri(COLDKEY)?;
    for (_, key) in VALIDATORS {
        let hotkey = Keypair::from_uri(key)?.hotkey();
        send(chain, &calls::burned_register(NETUID, hotkey), &coldkey).await?;
        send(chain, &calls::add_stake(hotkey, NETUID, STAKE), &coldkey).await?;
    }
    for profile in MINERS {
        let miner = Keypair::from_uri(&miner_key(profile))?;
        let address =
            SocketAddr::new(IpAddr::V4(ANNOUNCED), plan.address(&miner_name(profile))?.port());
        send(chain, &calls::burned_register(NETUID, miner.hotkey()), &coldkey).await?;
        send(chain, &calls::serve_axon(NETUID, 1, address), &miner).await?;
    }
    Ok(())
}

async fn send(chain: &Client, call: &Call, signer: &Keypair) -> anyhow::Result<()> {
    let outcome =
        chain.send(call, signer, Follow { timeout_blocks: 256, ..Follow::default() }).await?;
    ensure!(outcome.is_success(), "the development chain rejected {}: {outcome:?}", call.name());
    Ok(())
}

/// Grants the validators' permits, and lets each epoch of the chain begin with one of the
/// validators, whose epochs begin at multiples of their length: a submission then counts for the
/// same epoch on both sides.
fn align_epochs(runtime: &Runtime, chain: &Client, plan: &Plan) -> anyhow::Result<()> {
    let (length, url) = (plan.speed.epoch_blocks, plan.url(LEADER)?);
    plan.control(&["to-epoch", "59"], &url)?;
    let head = loop {
        let head = runtime.block_on(chain.head())?.number.get();
        // The two calls below take a few blocks, and must not reach the next epoch.
        if head % length < length / 2 {
            break head;
        }
        sleep(plan.speed.block_time);
    };
    let epoch_start = head - head % length;
    // With the old tempo, an epoch that began then would be over.
    plan.control(&["set-storage", "SubtensorModule.Tempo", "59", &length.to_string()], &url)?;
    plan.control(
        &["set-storage", "SubtensorModule.LastEpochBlock", "59", &epoch_start.to_string()],
        &url,
    )
}
