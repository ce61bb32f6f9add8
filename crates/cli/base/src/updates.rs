//! Updates of this program: the updater of `tao update`, and `--auto-update` of daemons.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use taonet_primitives::with_causes;
use taonet_service::Shutdown;
use taonet_update::{
    AutoUpdate, PendingRestart, ReleaseKey, ReleaseSource, Trial, UpdateError, Updater,
    describe_metrics, restart,
};

use crate::exit::{ClassifiedError, Failure};

/// Time in which a daemon must become ready after an automatic update. A validator waits for a
/// block, and may read many circuits.
const READY_TIMEOUT: Duration = Duration::from_mins(5);
/// Version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Argument that enables automatic updates
#[derive(Debug, Args)]
pub struct AutoUpdateArgs {
    /// Release server to check every 5 minutes: an http or https URL, or a directory. Newer signed
    /// releases are installed, and the daemon restarts with the same arguments
    #[arg(long, value_name = "URL|DIR")]
    auto_update: Option<ReleaseSource>,
    /// Do not update: the default here
    #[arg(long = "no-auto-update", hide = true, conflicts_with = "auto_update")]
    _no_auto_update: bool,
}

/// Automatic updates of a running daemon.
pub struct RunningAutoUpdate(Option<PendingRestart>);

/// Action at the end of a daemon: exit or restart.
#[derive(Debug)]
pub enum ExitAction {
    /// The process exits.
    Stop,
    /// The process executes this program with the same arguments.
    Restart(PathBuf),
}

impl AutoUpdateArgs {
    /// Starts automatic updates, if enabled. Call after the metrics recorder is installed.
    pub fn start(&self, shutdown: &Shutdown) -> anyhow::Result<RunningAutoUpdate> {
        let Some(source) = &self.auto_update else { return Ok(RunningAutoUpdate(None)) };
        describe_metrics();
        let updates = updater(source)?;
        Ok(RunningAutoUpdate(Some(AutoUpdate::new(updates).spawn(shutdown).map_err(update_error)?)))
    }
}

/// Runs a daemon. If this process executes it after an automatic update, and it fails before it is
/// ready, the program before the update is restored and executed.
pub fn run_with_rollback(daemon: impl FnOnce(&Trial) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let trial = Trial::begin(VERSION, std::env::args_os(), READY_TIMEOUT);
    let result = daemon(&trial);
    if let Err(error) = &result {
        trial.failed(&format!("{error:#}").replace('\n', "; "));
    }
    result
}

/// Restores and executes the program before an automatic update, if this process executes the new
/// one. Returns otherwise.
pub fn roll_back(reason: &str) {
    Trial::begin(VERSION, std::env::args_os(), READY_TIMEOUT).failed(reason);
}

impl RunningAutoUpdate {
    /// Returns how the daemon ends after a shutdown with `result`: a pending update restarts it.
    pub async fn end(self, result: anyhow::Result<()>) -> anyhow::Result<ExitAction> {
        let program = match self.0 {
            Some(pending) => pending.program().await,
            None => None,
        };
        match (program, result) {
            (None, result) => result.map(|()| ExitAction::Stop),
            (Some(program), Ok(())) => Ok(ExitAction::Restart(program)),
            (Some(program), Err(error)) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "restarting after an incomplete shutdown"
                );
                Ok(ExitAction::Restart(program))
            }
        }
    }
}

impl ExitAction {
    /// Executes the new program if the daemon ends with [`ExitAction::Restart`].
    pub fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stop => Ok(()),
            Self::Restart(program) => {
                let error = restart(&program, std::env::args_os());
                Err(error).with_context(|| format!("cannot execute {}", program.display()))
            }
        }
    }
}

/// Creates the updater of this program.
pub fn updater(source: &ReleaseSource) -> anyhow::Result<Updater> {
    // Read before any update: afterwards the system may report the path of the old program.
    let program = std::env::current_exe().context("cannot find this program's file")?;
    let current = VERSION.parse().context("this program's version is not a semantic version")?;
    let key = ReleaseKey::pinned()?;
    Updater::new(source.clone(), key, current, program).map_err(update_error)
}

/// Classifies an update error for the exit code.
pub fn update_error(error: UpdateError) -> anyhow::Error {
    let failure = if error.is_network() {
        Failure::Network
    } else if error.is_authentication() {
        Failure::Authentication
    } else {
        return error.into();
    };
    ClassifiedError::error(failure, with_causes(&error))
}
