//! A daemon in its own process, which can be killed, paused and restarted.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Pause before a daemon that has ended is started again, as by systemd.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// A daemon.
pub(crate) struct Process {
    name: String,
    /// Listen address of its HTTP service.
    address: Option<SocketAddr>,
    command: Command,
    log: PathBuf,
    child: Option<Child>,
    /// Whether the daemon should run: false between a kill and the restart.
    should_run: bool,
    /// When the daemon was last seen to have ended.
    ended: Option<Instant>,
    /// Number of the daemon's unexpected exits.
    exits: u32,
}

impl Process {
    /// Creates a daemon that does not run yet. Its log is written to a file in `logs`.
    pub(crate) fn new(
        name: &str,
        address: Option<SocketAddr>,
        mut command: Command,
        logs: &Path,
    ) -> io::Result<Self> {
        fs::create_dir_all(logs)?;
        let log = logs.join(format!("{}.log", name.replace(' ', "-")));
        let file = OpenOptions::new().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        // Ctrl-C in a terminal reaches only this program, which then ends the daemons, also paused
        // ones.
        command.process_group(0);
        let name = name.to_owned();
        Ok(Self {
            name,
            address,
            command,
            log,
            child: None,
            should_run: false,
            ended: None,
            exits: 0,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The command of the next start, to change its environment.
    pub(crate) const fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Process ID while the daemon runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Number of the daemon's unexpected exits.
    pub(crate) const fn exits(&self) -> u32 {
        self.exits
    }

    /// Whether the daemon's HTTP service accepts connections.
    pub(crate) fn is_listening(&self) -> bool {
        self.address.is_some_and(|address| TcpStream::connect(address).is_ok())
    }

    /// Number of panics in the daemon's log.
    pub(crate) fn panics(&self) -> io::Result<usize> {
        Ok(fs::read(&self.log)?.windows(PANIC.len()).filter(|text| *text == PANIC).count())
    }

    /// Starts the daemon, unless it runs.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        self.should_run = true;
        if self.child.is_none() {
            self.child = Some(self.command.spawn()?);
        }
        Ok(())
    }

    /// Sends SIGKILL and waits for the end.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.should_run = false;
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Stops the daemon's execution; its connections stay open.
    pub(crate) fn pause(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Continues after [`Self::pause`].
    pub(crate) fn resume(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        // Not reaped yet, so the ID is valid even if the process has ended.
        self.child
            .as_ref()
            .map_or(Ok(()), |child| Ok(kill_process(Pid::from_child(child), signal)?))
    }

    /// Starts the daemon again if it has ended by itself.
    pub(crate) fn supervise(&mut self) -> io::Result<()> {
        if let Some(child) = &mut self.child
            && child.try_wait()?.is_some()
        {
            self.child = None;
            self.exits += 1;
            self.ended = Some(Instant::now());
        }
        let is_due = self.ended.is_none_or(|ended| ended.elapsed() >= RESTART_AFTER);
        if self.should_run && self.child.is_none() && is_due {
            self.start()?;
        }
        Ok(())
    }
}

/// Beginning of the message of a panic.
const PANIC: &[u8] = b"panicked at ";

impl Drop for Process {
    fn drop(&mut self) {
        // The process can already have ended.
        let _ = self.kill();
    }
}
