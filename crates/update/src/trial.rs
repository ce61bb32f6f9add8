use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use taonet_http::Readiness;
use taonet_service::Shutdown;

use crate::auto::execute;
use crate::program::{restore, sibling_path};

/// Environment variable of a process whose program was replaced by an update: the path of the
/// program.
pub(crate) const TRIAL_VARIABLE: &str = "TAONET_UPDATE_TRIAL";
/// Suffix of the file with the version of the release that was rolled back.
const REJECTED: &str = ".rejected";
/// Polling interval of the readiness.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The first run of a program after an automatic update, until its daemon is ready or is shut down.
/// If the daemon fails, panics or is not ready in time, the previous program is restored and
/// executed in place of the process, with the same arguments.
///
/// In a process that was started otherwise, a trial does nothing.
#[derive(Debug)]
pub struct Trial(Option<Arc<Running>>);

/// Device and inode.
type FileId = (u64, u64);

#[derive(Debug)]
struct Running {
    program: PathBuf,
    /// The file at this path when the trial began.
    file: Option<FileId>,
    version: String,
    arguments: Vec<OsString>,
    daemon: Mutex<Option<(Readiness, Shutdown)>>,
    is_over: AtomicBool,
}

impl Trial {
    /// Begins the trial of this process if [`restart`](crate::restart) has executed it. `version`
    /// is that of the program, `arguments` are those of the process; the daemon must be ready after
    /// `time_limit`.
    pub fn begin(
        version: &str,
        arguments: impl IntoIterator<Item = OsString>,
        time_limit: Duration,
    ) -> Self {
        let Some(program) = std::env::var_os(TRIAL_VARIABLE) else { return Self(None) };
        let program = PathBuf::from(program);
        let running = Arc::new(Running {
            file: file_id(&program),
            program,
            version: version.to_owned(),
            arguments: arguments.into_iter().collect(),
            daemon: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let watched_trial = Arc::clone(&running);
        // A thread, since the daemon may hang before or in its runtime.
        thread::spawn(move || watched_trial.watch(time_limit));
        Self(Some(running))
    }

    /// Sets the readiness and the lifecycle of the daemon: the trial ends once it is ready, or
    /// a shutdown is requested.
    pub fn watch_daemon(&self, readiness: Readiness, shutdown: Shutdown) {
        if let Some(running) = &self.0 {
            *running.daemon.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((readiness, shutdown));
        }
    }

    /// Ends the trial of a daemon that has failed for this reason. Returns only if the trial had
    /// ended, if there is none, or if the previous program cannot be restored or executed.
    pub fn failed(&self, reason: &str) {
        if let Some(running) = &self.0 {
            running.fail(reason);
        }
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let Some(running) = &self.0 else { return };
        if thread::panicking() {
            running.fail("the daemon panicked before it was ready");
        }
        // Otherwise it was shut down.
        running.is_over.store(true, Ordering::Release);
    }
}

impl Running {
    fn watch(&self, time_limit: Duration) {
        let start = Instant::now();
        while !self.is_over.load(Ordering::Acquire) {
            if self.has_ended() {
                self.is_over.store(true, Ordering::Release);
            } else if start.elapsed() > time_limit {
                self.fail("the daemon was not ready in time");
            } else {
                thread::sleep(CHECK_INTERVAL);
            }
        }
    }

    fn has_ended(&self) -> bool {
        let daemon = self.daemon.lock().unwrap_or_else(PoisonError::into_inner);
        daemon
            .as_ref()
            .is_some_and(|(readiness, shutdown)| readiness.is_ready() || shutdown.is_requested())
    }

    /// Executes the previous program, unless the trial is over.
    fn fail(&self, reason: &str) {
        if self.has_ended() || self.is_over.swap(true, Ordering::AcqRel) {
            return;
        }
        tracing::error!(reason, "restoring the program before the update");
        let Err(error) = self.roll_back();
        tracing::error!(%error, program = %self.program.display(), "cannot restore the program before the update");
    }

    /// Returns only on failure.
    fn roll_back(&self) -> io::Result<Infallible> {
        self.restore()?;
        Err(execute(&self.program, self.arguments.iter().cloned(), false))
    }

    /// Restores the previous program, unless another daemon of this program has done so, or a later
    /// update has replaced the program on trial.
    fn restore(&self) -> io::Result<()> {
        if !self.is_installed() {
            return Ok(());
        }
        fs::write(sibling_path(&self.program, ".", REJECTED), &self.version)?;
        let restored = restore(&sibling_path(&self.program, "", ".previous"), &self.program);
        // The other daemon may do the same at this moment.
        if self.is_installed() { restored } else { Ok(()) }
    }

    /// Returns whether the program on trial is still the installed one.
    fn is_installed(&self) -> bool {
        file_id(&self.program) == self.file
    }
}

fn file_id(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Returns whether a release was rolled back.
pub(crate) fn is_rejected(program: &Path, version: &str) -> bool {
    fs::read_to_string(sibling_path(program, ".", REJECTED))
        .is_ok_and(|rejected| rejected == version)
}

/// Deletes the record of the release that was rolled back: another release is installed, or the
/// operator installs the same one again.
pub(crate) fn clear_rejected(program: &Path) {
    // It may not exist. If it cannot be removed, the same release is not installed automatically.
    let _ = fs::remove_file(sibling_path(program, ".", REJECTED));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::replace;

    fn running(program: &Path) -> Running {
        Running {
            file: file_id(program),
            program: program.to_owned(),
            version: "2".to_owned(),
            arguments: Vec::new(),
            daemon: Mutex::default(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Returns a directory in which version 2 has replaced version 1.
    fn updated_program() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("tao");
        fs::write(&program, "1").unwrap();
        install(&program, "2");
        (folder, program)
    }

    fn install(program: &Path, version: &str) {
        let new = program.with_file_name("new");
        fs::write(&new, version).unwrap();
        replace(&new, program).unwrap();
    }

    #[test]
    fn two_daemons_of_a_program_restore_it_once() {
        let (_folder, program) = updated_program();
        let daemons = [running(&program), running(&program)];
        for daemon in daemons {
            daemon.restore().unwrap();
            assert_eq!(fs::read(&program).unwrap(), b"1");
        }
        assert!(is_rejected(&program, "2") && !is_rejected(&program, "1"));
    }

    #[test]
    fn later_update_is_not_rolled_back() {
        let (_folder, program) = updated_program();
        let daemon = running(&program);
        install(&program, "3");
        daemon.restore().unwrap();
        assert_eq!(fs::read(&program).unwrap(), b"3");
        assert!(!is_rejected(&program, "2"));
    }

    #[test]
    fn missing_previous_program_is_an_error() {
        let (_folder, program) = updated_program();
        fs::remove_file(sibling_path(&program, "", ".previous")).unwrap();
        assert_eq!(running(&program).restore().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(fs::read(&program).unwrap(), b"2");
    }
}
