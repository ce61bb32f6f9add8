use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use taonet_primitives::with_causes;
use taonet_service::Shutdown;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::metrics::count_check;
use crate::trial::{TRIAL_VARIABLE, is_rejected};
use crate::{Check, UpdateError, Updater};

/// Mean interval between two checks for a newer release.
pub const CHECK_INTERVAL: Duration = Duration::from_mins(5);

/// Automatic updates of a daemon.
#[derive(Debug)]
pub struct AutoUpdate {
    updater: Updater,
    interval: Duration,
}

/// An installed program that the daemon executes after its shutdown.
#[derive(Debug)]
struct ReadyUpdate {
    program: PathBuf,
    terminate: Signal,
    interrupt: Signal,
}

/// The restart of a daemon after an automatic update, if one was installed.
#[derive(Debug)]
pub struct PendingRestart(Arc<Mutex<Option<ReadyUpdate>>>);

impl AutoUpdate {
    /// Creates automatic updates that check every [`CHECK_INTERVAL`].
    pub const fn new(updater: Updater) -> Self {
        Self { updater, interval: CHECK_INTERVAL }
    }

    /// Sets the mean interval between two checks. Each interval varies randomly by up to 20 %, so
    /// that the daemons of a subnet do not check at the same time.
    #[must_use]
    pub const fn every(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Starts a task that checks for newer releases. After it installs one, it requests the
    /// daemon's shutdown.
    ///
    /// # Errors
    /// [`UpdateError::File`] when the program's directory is not writable.
    pub fn spawn(self, shutdown: &Shutdown) -> Result<PendingRestart, UpdateError> {
        self.updater.check_writable()?;
        let ready_update = Arc::<Mutex<Option<ReadyUpdate>>>::default();
        let (stop, pending) = (shutdown.clone(), PendingRestart(Arc::clone(&ready_update)));
        shutdown.spawn("auto-update", async move {
            let result = tokio::select! {
                () = stop.requested() => return,
                () = self.wait_for_install() => ReadyUpdate::new(self.updater.program()),
            };
            match result {
                Ok(update) => {
                    *ready_update.lock().unwrap_or_else(PoisonError::into_inner) = Some(update);
                }
                Err(error) => tracing::error!(%error, "cannot install signal handlers, stopping without a restart"),
            }
            stop.request();
        });
        Ok(pending)
    }

    /// Waits until a newer program is installed.
    async fn wait_for_install(&self) {
        // Digest of the last release that failed its self-test, which is not downloaded again.
        let mut rejected = None;
        loop {
            match self.try_install(&mut rejected).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    count_check("failed");
                    let error = with_causes(&error).replace('\n', "; ");
                    tracing::warn!(error, "update failed");
                }
            }
            tokio::time::sleep(self.interval.mul_f64(rand::random_range(0.8..1.2))).await;
        }
    }

    /// Installs a newer release if there is one, and returns whether it did.
    async fn try_install(&self, rejected: &mut Option<String>) -> Result<bool, UpdateError> {
        let release = match self.updater.check().await? {
            Check::Current => {
                count_check("current");
                return Ok(false);
            }
            Check::Older(version) => {
                count_check("older");
                tracing::warn!(%version, "the latest release is older than this program, not installed");
                return Ok(false);
            }
            Check::Newer(release) => release,
        };
        let digest = release.digest();
        let was_rolled_back = is_rejected(self.updater.program(), &release.version().to_string());
        if rejected.as_ref() == Some(&digest) || was_rolled_back {
            count_check("rejected");
            return Ok(false);
        }
        tracing::info!(version = %release.version(), "installing a newer release");
        let result = self.updater.install(&release, |_| {}).await;
        if matches!(result, Err(UpdateError::SelfTest(_) | UpdateError::RolledBack(_))) {
            *rejected = Some(digest);
        }
        let installed = result?;
        count_check("installed");
        tracing::info!(version = %installed.version, "release installed, restarting");
        for path in &installed.other_programs {
            tracing::warn!(
                path = %path.display(),
                "file is a separate program, not a link to the updated one; it was not updated"
            );
        }
        Ok(true)
    }
}

impl ReadyUpdate {
    fn new(program: &Path) -> io::Result<Self> {
        Ok(Self {
            program: program.to_owned(),
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

impl PendingRestart {
    /// Returns the program to execute after the shutdown; `None` if the shutdown had a reason other
    /// than an update, or if SIGTERM or SIGINT arrived during the shutdown.
    pub async fn program(self) -> Option<PathBuf> {
        let mut ready_update = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        tokio::select! {
            biased;
            _ = ready_update.terminate.recv() => None,
            _ = ready_update.interrupt.recv() => None,
            () = std::future::ready(()) => Some(ready_update.program),
        }
    }
}

/// Executes `program`, a new version, in place of this process; its run begins with a
/// [`Trial`](crate::Trial). The first of `arguments` is its name (`argv[0]`), the others are its
/// arguments. Returns only on failure.
#[must_use = "returns only if the program cannot be executed"]
pub fn restart(program: &Path, arguments: impl IntoIterator<Item = OsString>) -> io::Error {
    execute(program, arguments, true)
}

/// Executes a program in place of this process, on trial or not.
pub(crate) fn execute(
    program: &Path,
    arguments: impl IntoIterator<Item = OsString>,
    is_on_trial: bool,
) -> io::Error {
    let mut arguments = arguments.into_iter();
    let mut command = Command::new(program);
    if is_on_trial {
        command.env(TRIAL_VARIABLE, program);
    } else {
        command.env_remove(TRIAL_VARIABLE);
    }
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).exec()
}
