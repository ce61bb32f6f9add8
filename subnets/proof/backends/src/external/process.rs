use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// Maximum size of a response, in bytes.
const MAX_OUTPUT_BYTES: u64 = 1 << 30;
/// Time to exit after the program has closed its output.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Poll interval for the program's exit.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Limits of one run of a program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) timeout: Duration,
    /// Maximum data memory of each process, in bytes.
    pub(super) memory: u64,
}

/// Runs a program with a document on standard input and returns its standard output. The program
/// inherits this process's standard error. When this function returns, the program and all
/// processes of its process group are killed.
pub(super) fn run(program: &Path, input: Vec<u8>, limits: Limits) -> io::Result<Vec<u8>> {
    let mut command = Command::new(program);
    command
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0);
    let mut group = ProcessGroup(command.spawn()?);
    // The limit applies before the program receives its request.
    group.limit_memory(limits.memory)?;
    let pipes = group.0.stdin.take().zip(group.0.stdout.take());
    let (mut stdin, stdout) = pipes.ok_or_else(|| io::Error::other("the program has no pipes"))?;
    let (sender, receiver) = mpsc::channel();
    // Both threads end when the pipes close, at the latest when the process group is killed.
    thread::spawn(move || {
        // A program may respond without reading all of its input.
        let _ = stdin.write_all(&input);
    });
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let result = stdout.take(MAX_OUTPUT_BYTES + 1).read_to_end(&mut bytes).map(|_| bytes);
        let _ = sender.send(result);
    });
    let output = receiver.recv_timeout(limits.timeout);
    let bytes = output
        .map_err(|_| io::Error::other("the program did not respond before the timeout"))??;
    if bytes.len() as u64 > MAX_OUTPUT_BYTES {
        return Err(io::Error::other("the program's response is too long"));
    }
    group.wait(EXIT_TIMEOUT.min(limits.timeout))?;
    Ok(bytes)
}

/// A program and the process group that it leads, which is killed on drop. A process that leaves
/// the group is not.
struct ProcessGroup(Child);

impl ProcessGroup {
    fn leader(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    /// Limits the data memory of the program, and of each process that it starts from now on.
    #[cfg(target_os = "linux")]
    fn limit_memory(&self, bytes: u64) -> io::Result<()> {
        use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

        // A limit above this process's own is not permitted.
        let bytes =
            getrlimit(Resource::Data).maximum.map_or(bytes, |hard_limit| hard_limit.min(bytes));
        prlimit(
            Some(self.leader()),
            Resource::Data,
            Rlimit { current: Some(bytes), maximum: Some(bytes) },
        )?;
        Ok(())
    }

    /// Does nothing: only Linux can limit the memory of another process.
    #[cfg(not(target_os = "linux"))]
    fn limit_memory(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    /// Waits until the program exits with code 0. Its process ID remains valid.
    fn wait(&self, timeout: Duration) -> io::Result<()> {
        let deadline = Instant::now() + timeout;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            let status = waitid(WaitId::Pid(self.leader()), options)?;
            match status.map(|status| (status.exit_status(), status.terminating_signal())) {
                Some((Some(0), _)) => return Ok(()),
                Some((Some(code), _)) => {
                    return Err(io::Error::other(format!("the program exited with code {code}")));
                }
                Some((None, Some(signal))) => {
                    return Err(io::Error::other(format!(
                        "the program was killed by signal {signal}"
                    )));
                }
                Some((None, None)) | None if Instant::now() < deadline => {
                    thread::sleep(POLL_INTERVAL);
                }
                Some((None, None)) | None => {
                    return Err(io::Error::other("the program did not exit"));
                }
            }
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // The leader is not reaped yet, so its process ID still identifies the group.
        let _ = kill_process_group(self.leader(), Signal::KILL);
        let _ = self.0.wait();
    }
}
