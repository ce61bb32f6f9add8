//! Waits for the threads that work for a simulated process, such as SQLite's: simulated time must not pass while they
//! work, and the order of their results must not depend on the machine.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{boundary, record};

/// The system's view of the threads of this program.
const TASKS: &str = "/proc/self/task";
/// Pause between two checks. Unlike a thread that yields, one that sleeps gets its turn at once on a busy machine.
const PAUSE: Duration = Duration::from_micros(20);
/// Number of checks after which a thread counts as stuck.
const MAX_CHECKS: u64 = 1_000_000;

/// The threads of this program.
struct Threads {
    directory: Option<File>,
    /// Number of threads at the last scan.
    count: u64,
    /// Threads other than the simulation's own.
    known: BTreeMap<u32, Thread>,
    /// Name of the process that runs now.
    owner: &'static str,
}

struct Thread {
    /// The file that shows the thread's state.
    file: File,
    /// Name of the process that ran when the thread started.
    owner: &'static str,
}

static THREADS: Mutex<Threads> = Mutex::new(Threads { directory: None, count: 0, known: BTreeMap::new(), owner: "" });

fn threads() -> MutexGuard<'static, Threads> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets the process to which new threads belong.
pub(crate) fn enter(process: &'static str) {
    threads().owner = process;
}

/// Waits until each thread of the process that runs now waits for work.
pub(crate) fn wait() {
    wait_for(|thread, owner| thread.owner == owner);
}

/// Waits until each thread of all processes waits for work.
pub(crate) fn wait_for_all() {
    wait_for(|_, _| true);
}

fn wait_for(select: impl Fn(&Thread, &'static str) -> bool) {
    let mut threads = threads();
    for _ in 0..MAX_CHECKS {
        if threads.are_idle(&select) {
            return;
        }
        boundary::pause(PAUSE);
    }
    // Nothing that follows would be reliable, and each wait would take as long.
    record::abort("a thread does not become idle");
}

impl Threads {
    fn are_idle(&mut self, select: impl Fn(&Thread, &'static str) -> bool) -> bool {
        if self.directory.is_none() {
            self.directory = File::open(TASKS).ok();
        }
        // A directory has two links more than it has subdirectories.
        let metadata = self.directory.as_ref().map(File::metadata);
        let count = if let Some(Ok(metadata)) = metadata { metadata.nlink() } else { 0 };
        if count != self.count {
            self.scan();
            self.count = count;
        }
        let mut has_ended = false;
        let idle = self.known.values().filter(|thread| select(thread, self.owner)).all(|thread| {
            let mut text = [0; 64];
            let length = thread.file.read_at(&mut text, 0);
            has_ended |= length.is_err();
            length.is_ok_and(|length| is_asleep(text.get(..length).unwrap_or_default()))
        });
        if has_ended {
            self.count = 0;
        }
        idle
    }

    fn scan(&mut self) {
        let own = std::process::id();
        let tasks = std::fs::read_dir(TASKS).into_iter().flatten().flatten();
        let present: Vec<u32> = tasks.filter_map(|task| task.file_name().to_string_lossy().parse().ok()).collect();
        self.known.retain(|task, _| present.contains(task));
        for task in present.into_iter().filter(|task| *task != own) {
            if let (false, Ok(file)) = (self.known.contains_key(&task), File::open(format!("{TASKS}/{task}/stat"))) {
                self.known.insert(task, Thread { file, owner: self.owner });
            }
        }
    }
}

/// Whether a thread sleeps, according to its status: number, name in parentheses, and the letter of its state.
fn is_asleep(status: &[u8]) -> bool {
    let after_name = status.iter().rposition(|byte| *byte == b')');
    after_name.and_then(|end| status.get(end + 2)) == Some(&b'S')
}
