//! A simulated process: a tokio runtime of its own with paused time, a disk, a wall clock and a
//! listener.

use std::cell::Cell;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::Instant;

use crate::disk::{self, Disk, DiskFault};
use crate::network::TICK;
use crate::{libc_overrides, record, thread_scheduler};

/// Time since boot at the start of a simulation.
const BOOT_TIME: Duration = Duration::from_hours(1_000);
/// Time since the Unix epoch at the start of a simulation.
pub(crate) const EPOCH: Duration = Duration::from_hours(500_000);
/// Pause before the supervisor starts a process again that has exited.
const RESTART_DELAY: Duration = Duration::from_secs(5);

/// The main task of a process.
pub(crate) type Main = Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

/// Resources of one run of a process, from its start to its crash or exit.
pub(crate) struct ProcessRun {
    /// Directory of the process.
    pub(crate) directory: PathBuf,
    /// Socket on which the process serves.
    pub(crate) listener: TcpListener,
}

/// A simulated process, which a supervisor starts again when it exits.
pub(crate) struct Process {
    pub(crate) name: &'static str,
    root: PathBuf,
    /// Number of the current run, or of the next one.
    run: u32,
    start: Box<dyn Fn(ProcessRun) -> Main>,
    running: Option<Running>,
    disk: Option<Disk>,
    /// Difference between the wall clock and the true time, in seconds.
    pub(crate) clock_offset: i64,
    /// When the process is started again, if it does not run.
    start_at: Duration,
    /// Time until which the process is paused.
    paused_until: Duration,
    /// Port of the listener; `None` while the process does not run.
    pub(crate) port: Option<u16>,
    random: AtomicU64,
    /// Number of changes of files in all runs.
    pub(crate) changes: u64,
    /// When the earlier runs ended.
    pub(crate) ends: Vec<Duration>,
}

struct Running {
    runtime: Runtime,
    /// Runs the main task, which need not be `Send`.
    local: LocalSet,
    main: JoinHandle<anyhow::Result<()>>,
    /// The true time of the last tick's end.
    until: Duration,
}

/// The waker of the tick in progress, called when the process has died in a change of a file.
static DEATH_WAKER: Mutex<Option<Waker>> = Mutex::new(None);

impl Process {
    pub(crate) fn new(
        name: &'static str,
        root: &Path,
        seed: u64,
        start: impl Fn(ProcessRun) -> Main + 'static,
    ) -> Self {
        Self {
            name,
            root: root.join(name),
            run: 0,
            start: Box::new(start),
            running: None,
            disk: None,
            clock_offset: 0,
            start_at: Duration::ZERO,
            paused_until: Duration::ZERO,
            port: None,
            random: AtomicU64::new(seed),
            changes: 0,
            ends: Vec::new(),
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The directory of the current run, or of the next one.
    pub(crate) fn directory(&self) -> PathBuf {
        self.directory_of(self.run)
    }

    fn directory_of(&self, process_run: u32) -> PathBuf {
        self.root.join(process_run.to_string())
    }

    /// Runs the process until the time `until`; starts it if that is due. Returns whether it has
    /// died or exited.
    pub(crate) fn tick(&mut self, until: Duration) -> bool {
        if until < self.paused_until {
            return false;
        }
        thread_scheduler::enter(self.name);
        if self.running.is_none() {
            if until < self.start_at {
                return false;
            }
            self.begin(until);
        }
        let Some(running) = &mut self.running else { return false };
        if let Some(disk) = self.disk.take() {
            disk::enter(disk);
        }
        let is_dead = running.run(until, self.clock_offset);
        thread_scheduler::run_others();
        self.disk = disk::leave();
        if is_dead {
            self.end(until + RESTART_DELAY);
            return true;
        }
        if running.main.is_finished() {
            let outcome = running.local.block_on(&running.runtime, &mut running.main);
            let outcome = self.without_root(&format!("{outcome:?}"));
            record::record_event(&format!("{} exits: {outcome}", self.name));
            self.kill(until + RESTART_DELAY);
            return true;
        }
        false
    }

    /// Removes the simulation's directory, whose name is random, from the paths in a text.
    fn without_root(&self, text: &str) -> String {
        let root = self.root.parent().unwrap_or(&self.root);
        text.replace(&*root.to_string_lossy(), "")
    }

    fn begin(&mut self, now: Duration) {
        let directory = self.directory();
        let listener = std::fs::create_dir_all(&directory)
            .and_then(|()| TcpListener::bind("127.0.0.1:0"))
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => return record::fail(&format!("cannot start {}: {error}", self.name)),
        };
        self.port = listener.local_addr().ok().map(|address| address.port());
        let random = AtomicU64::new(libc_overrides::split_mix(&self.random));
        let disk = self.disk.take();
        let fault = disk.and_then(|disk| disk.fault);
        self.disk = Some(Disk {
            directory: directory.clone(),
            after_crash: self.directory_of(self.run + 1),
            fault,
            crash_in: None,
            is_dead: false,
            changes: 0,
            random,
        });
        set_clocks(now, self.clock_offset);
        let mut builder = Builder::new_current_thread();
        builder
            .enable_all()
            .start_paused(true)
            .on_thread_park(before_park)
            .on_thread_unpark(after_park);
        let runtime = match builder.build() {
            Ok(runtime) => runtime,
            Err(error) => return record::fail(&format!("cannot start {}: {error}", self.name)),
        };
        let local = LocalSet::new();
        let main = local.spawn_local((self.start)(ProcessRun { directory, listener }));
        record::record_event(&format!("{} starts", self.name));
        self.running = Some(Running { runtime, local, main, until: now });
    }

    /// Kills the process now; the supervisor starts it again at the time `restart_at`.
    pub(crate) fn kill(&mut self, restart_at: Duration) {
        if self.running.is_none() {
            self.start_at = self.start_at.max(restart_at);
            return;
        }
        if let Some(mut disk) = self.disk.take() {
            disk.is_dead = true;
            disk::enter(disk);
            disk::crash();
            self.disk = disk::leave();
        }
        self.end(restart_at);
    }

    /// Drops everything that the process has in memory.
    fn end(&mut self, restart_at: Duration) {
        if let Some(disk) = self.disk.take() {
            self.changes += disk.changes;
            disk::enter(disk);
        }
        thread_scheduler::enter(self.name);
        thread_scheduler::end_waits();
        // SQLite's connections are closed, without an effect: every change of a file fails.
        if let Some(Running { runtime, local, .. }) = self.running.take() {
            let context = runtime.enter();
            drop(local);
            drop(context);
        }
        thread_scheduler::run_others();
        self.disk = disk::leave();
        self.port = None;
        self.run += 1;
        self.ends.push(record::now());
        self.start_at = restart_at;
    }

    /// Suspends the process, as SIGSTOP does.
    pub(crate) fn pause(&mut self, until: Duration) {
        self.paused_until = self.paused_until.max(until);
    }

    /// Kills the process in the last of this many changes of files from now on; `None` cancels it.
    pub(crate) fn crash_in(&mut self, changes: Option<u64>) {
        if let Some(disk) = self.disk.as_mut() {
            disk.crash_in = changes;
        }
    }

    pub(crate) fn set_disk_fault(&mut self, fault: Option<DiskFault>) {
        if let Some(disk) = self.disk.as_mut() {
            disk.fault = fault;
        }
    }

    /// Copies the directory to a backup.
    pub(crate) fn back_up(&self, to: &Path) -> std::io::Result<()> {
        if to.exists() {
            std::fs::remove_dir_all(to)?;
        }
        disk::copy(&self.directory(), to)
    }

    /// Kills the process and replaces its directory by a backup.
    pub(crate) fn restore(&mut self, backup: &Path, restart_at: Duration) -> std::io::Result<()> {
        self.kill(restart_at);
        let directory = self.directory();
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        disk::copy(backup, &directory)
    }
}

impl Running {
    /// Runs until a time; returns whether the process has died.
    fn run(&mut self, until: Duration, clock_offset: i64) -> bool {
        let start = std::mem::replace(&mut self.until, until);
        set_clocks(start, clock_offset);
        let length = until.saturating_sub(start);
        self.local.block_on(&self.runtime, async {
            let mut end = Instant::now() + length;
            CLOCKS.set(Some(Clocks { origin: Instant::now(), began: start, clock_offset }));
            if length > TICK {
                // The process was paused: its timers are all due at once.
                tokio::time::advance(length).await;
                after_park();
                end = Instant::now();
            }
            let mut sleep = Box::pin(tokio::time::sleep_until(end));
            std::future::poll_fn(|context| {
                if disk::is_dead() {
                    return Poll::Ready(true);
                }
                *DEATH_WAKER.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some(context.waker().clone());
                sleep.as_mut().poll(context).map(|()| false)
            })
            .await
        })
    }
}

/// Mapping from the time of the running process's runtime to its clocks.
#[derive(Clone, Copy)]
struct Clocks {
    origin: Instant,
    began: Duration,
    clock_offset: i64,
}

thread_local! {
    static CLOCKS: Cell<Option<Clocks>> = const { Cell::new(None) };
}

/// Sets the clocks to a true time, and a difference of the wall clock from it in seconds.
fn set_clocks(time: Duration, clock_offset: i64) {
    let shift = Duration::from_secs(clock_offset.unsigned_abs());
    let wall =
        if clock_offset < 0 { (EPOCH + time).saturating_sub(shift) } else { EPOCH + time + shift };
    libc_overrides::set_clocks(BOOT_TIME + time, wall);
}

fn before_park() {
    thread_scheduler::run_others();
    if disk::is_dead()
        && let Some(waker) = DEATH_WAKER.lock().unwrap_or_else(PoisonError::into_inner).take()
    {
        waker.wake();
    }
}

/// Sets the clocks: time passes only while a runtime is parked.
fn after_park() {
    if let Some(Clocks { origin, began, clock_offset }) = CLOCKS.get() {
        set_clocks(began + origin.elapsed(), clock_offset);
    }
}
