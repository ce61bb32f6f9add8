//! The disk of a simulated process: its faults, and what a crash leaves in its directory.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::libc_overrides::split_mix;

/// A fault of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskFault {
    /// No write succeeds: the disk is full.
    Full,
    /// One in `.0` writes and syncs fails with an I/O error.
    Failing(u64),
}

/// Decision about a change of a file.
pub(crate) enum WriteDecision {
    Allow,
    /// The change fails with an error code.
    Fail(i32),
    /// The process dies after these bytes are written.
    CrashAfter(usize),
}

/// The disk of a process.
#[derive(Debug)]
pub(crate) struct Disk {
    /// The directory of the process.
    pub(crate) directory: PathBuf,
    /// The directory in which a crash leaves its copy.
    pub(crate) after_crash: PathBuf,
    pub(crate) fault: Option<DiskFault>,
    /// The process dies in this change of a file, counted from now.
    pub(crate) crash_in: Option<u64>,
    /// Whether the process died in a change; all later ones fail.
    pub(crate) is_dead: bool,
    /// Number of changes so far.
    pub(crate) changes: u64,
    pub(crate) random: AtomicU64,
}

/// The disk of the process that runs now.
static CURRENT: Mutex<Option<Disk>> = Mutex::new(None);
/// Whether a simulated process runs: a quick check before the lock.
static IS_SIMULATED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this thread copies a directory, which no fault affects.
    static IS_COPYING: Cell<bool> = const { Cell::new(false) };
}

fn current() -> MutexGuard<'static, Option<Disk>> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a disk that of the process that runs now.
pub(crate) fn enter(disk: Disk) {
    *current() = Some(disk);
    IS_SIMULATED.store(true, Ordering::SeqCst);
}

/// Returns the disk passed to [`enter`].
pub(crate) fn leave() -> Option<Disk> {
    IS_SIMULATED.store(false, Ordering::SeqCst);
    current().take()
}

/// Whether changes of files belong to a simulated process.
pub(crate) fn is_simulated() -> bool {
    IS_SIMULATED.load(Ordering::SeqCst) && !IS_COPYING.get()
}

/// Whether the process that runs now has died in a change of a file.
pub(crate) fn is_dead() -> bool {
    IS_SIMULATED.load(Ordering::SeqCst) && current().as_ref().is_some_and(|disk| disk.is_dead)
}

/// Decides about a write of `length` bytes, or about another change of a file (0).
pub(crate) fn decide_write(length: usize) -> WriteDecision {
    if !is_simulated() {
        return WriteDecision::Allow;
    }
    let mut current = current();
    let Some(disk) = current.as_mut() else { return WriteDecision::Allow };
    if disk.is_dead {
        return WriteDecision::Fail(libc::EIO);
    }
    disk.changes += 1;
    if let Some(remaining) = &mut disk.crash_in {
        *remaining = remaining.saturating_sub(1);
        if *remaining == 0 {
            disk.is_dead = true;
            let written_length = split_mix(&disk.random) as usize % (length + 1);
            return WriteDecision::CrashAfter(written_length);
        }
    }
    match disk.fault {
        Some(DiskFault::Full) => WriteDecision::Fail(libc::ENOSPC),
        Some(DiskFault::Failing(rate)) if split_mix(&disk.random).is_multiple_of(rate) => {
            WriteDecision::Fail(libc::EIO)
        }
        _ => WriteDecision::Allow,
    }
}

/// Decides about syncing a file.
pub(crate) fn decide_sync() -> Result<(), i32> {
    if !is_simulated() {
        return Ok(());
    }
    match current().as_mut() {
        Some(disk) if disk.is_dead => Err(libc::EIO),
        Some(Disk { fault: Some(DiskFault::Failing(rate)), random, .. })
            if split_mix(random).is_multiple_of(*rate) =>
        {
            Err(libc::EIO)
        }
        _ => Ok(()),
    }
}

/// Copies the directory of the process as it is now: nothing that the process does later has an
/// effect on the copy.
pub(crate) fn crash() {
    let paths = current().as_ref().map(|disk| (disk.directory.clone(), disk.after_crash.clone()));
    let Some((from, to)) = paths else { return };
    IS_COPYING.set(true);
    let copied = copy(&from, &to);
    IS_COPYING.set(false);
    if let Err(error) = copied {
        crate::record::fail(&format!("cannot copy {}: {error}", from.display()));
    }
}

/// Copies a directory. SQLite's shared memory is not part of a disk.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let target = to.join(&name);
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else if !name.to_string_lossy().ends_with("-shm") {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
