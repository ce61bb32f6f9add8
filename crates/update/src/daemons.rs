//! The restart of daemons by the operator's command after an update, with a rollback.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::program::restore;
use crate::updater::file_error;
use crate::{Installed, UpdateError, Updater};

/// Why the daemons did not become ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestartError {
    /// The shell could not be started.
    #[error("cannot run the command: {0}")]
    Start(#[source] io::Error),
    /// The command reported that the daemons are not ready.
    #[error("the command failed: {0}")]
    Failed(ExitStatus),
    /// The command did not exit within the timeout.
    #[error("the command did not exit within {0:?}")]
    Timeout(Duration),
}

impl Updater {
    /// Runs `command` in a shell, which restarts the daemons and succeeds once they are ready. If
    /// it fails, or takes longer than `time_limit`, the previous program is restored, and the
    /// command runs again. Its output goes to standard error. At the timeout, the shell is killed,
    /// but not the processes that it has started.
    ///
    /// # Errors
    /// [`UpdateError::NotReady`] if the daemons did not become ready with the new program, and
    /// [`UpdateError::File`] if then the previous program cannot be restored.
    pub async fn restart_daemons(
        &self,
        installed: &Installed,
        command: &str,
        time_limit: Duration,
    ) -> Result<(), UpdateError> {
        let Err(failure) = run(command, time_limit).await else { return Ok(()) };
        let version = installed.version.clone();
        let Some(previous) = &installed.previous else {
            return Err(UpdateError::NotReady {
                version,
                failure,
                outcome: "there is no previous program to restore",
            });
        };
        restore(previous, self.program()).map_err(file_error(self.program()))?;
        let outcome = match run(command, time_limit).await {
            Ok(()) => "the previous program was restored, and the daemons run it",
            Err(_) => {
                "the previous program was restored, but the daemons did not become ready with it either"
            }
        };
        Err(UpdateError::NotReady { version, failure, outcome })
    }
}

async fn run(command: &str, time_limit: Duration) -> Result<(), RestartError> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(io::stderr()).kill_on_drop(true);
    let status =
        timeout(time_limit, shell.status()).await.map_err(|_| RestartError::Timeout(time_limit))?;
    let status = status.map_err(RestartError::Start)?;
    if status.success() { Ok(()) } else { Err(RestartError::Failed(status)) }
}
