//! Handle to the author's thread, and the node's shutdown.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::author::{Action, AuthorError, Command, CommandOutput, MAX_COMMANDS};
use crate::chain::Chain;
use crate::clock::Clock;
use crate::execute::panic_text;

/// Whether and why the node must shut down.
#[derive(Debug, Clone)]
enum StopState {
    Running,
    Requested,
    Failed {
        /// The message of the author's panic.
        reason: String,
        /// The path of the database file, if any.
        database: Option<PathBuf>,
    },
}

impl StopState {
    /// Sets this as the reason, unless a reason is already set.
    fn set_if_running(self, stop_state: &watch::Sender<Self>) {
        stop_state.send_if_modified(|state| {
            let is_first = matches!(state, Self::Running);
            if is_first {
                *state = self;
            }
            is_first
        });
    }
}

/// Handle to the author: sends it commands, and requests the node's shutdown.
#[derive(Clone)]
pub(crate) struct Control {
    commands: SyncSender<Command>,
    stopping: Arc<AtomicBool>,
    stop_state: Arc<watch::Sender<StopState>>,
    /// URL of the followed node, if any.
    leader_url: Option<Arc<str>>,
}

impl Control {
    /// Creates the handle to an author that ends when `stopping` is set, and the author's queue of
    /// commands.
    pub(super) fn new(
        stopping: Arc<AtomicBool>,
        leader_url: Option<Arc<str>>,
    ) -> (Self, Receiver<Command>) {
        let (commands, command_queue) = mpsc::sync_channel(MAX_COMMANDS);
        let stop_state = Arc::new(watch::channel(StopState::Running).0);
        (Self { commands, stopping, stop_state, leader_url }, command_queue)
    }

    /// Waits for the author's thread to end; if it panics, shuts the node down.
    ///
    /// The task holds no sender of commands, so the thread also ends when all other senders are
    /// dropped.
    pub(super) fn watch_author(
        &self,
        author: thread::JoinHandle<()>,
        chain: Arc<Chain>,
    ) -> JoinHandle<()> {
        let stop_state = self.stop_state.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(panic) = author.join() {
                let reason = panic_text(panic.as_ref());
                tracing::error!(reason, "block production failed, node is shutting down");
                let database = chain.store.path().map(Path::to_owned);
                StopState::Failed { reason, database }.set_if_running(&stop_state);
            }
            chain.pool.close();
            if let Err(error) = chain.store.flush() {
                tracing::error!(%error, "cannot flush the chain database");
            }
        })
    }

    /// Runs a command that changes the chain, and waits for its result; a node that follows another
    /// one refuses it.
    pub(crate) async fn execute(&self, action: Action) -> Result<CommandOutput, AuthorError> {
        match &self.leader_url {
            Some(url) => Err(AuthorError::Following(url.to_string())),
            None => self.send_and_wait(action).await,
        }
    }

    /// Runs a command and waits for its result.
    pub(crate) async fn send_and_wait(&self, action: Action) -> Result<CommandOutput, AuthorError> {
        let (reply, output) = oneshot::channel();
        self.commands.try_send(Command { action, reply }).map_err(|error| match error {
            TrySendError::Full(_) => AuthorError::Busy,
            TrySendError::Disconnected(_) => AuthorError::Stopping,
        })?;
        output.await.map_err(|_| AuthorError::Stopping)?
    }

    /// Wakes the author after a submission, if its clock is [`Clock::Instant`].
    pub(crate) fn notify_submitted(&self, clock: Clock) {
        if clock == Clock::Instant {
            let (reply, _) = oneshot::channel();
            // If the queue is full, the author checks the pool after each command in it.
            let _ = self.commands.try_send(Command { action: Action::Wake, reply });
        }
    }

    /// Requests the shutdown of the node.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the manual clock's author, which sleeps until a command arrives. If the queue is
        // full, the author is awake.
        let (reply, _) = oneshot::channel();
        let _ = self.commands.try_send(Command { action: Action::MineBlocks(0), reply });
        StopState::Requested.set_if_running(&self.stop_state);
    }

    /// Waits until a shutdown is requested or the author panics.
    ///
    /// # Errors
    /// [`AuthorError::Panicked`].
    pub(super) async fn wait_for_stop(&self) -> Result<(), AuthorError> {
        let mut stop_state = self.stop_state.subscribe();
        // The sender is a field of this control, so the wait cannot fail.
        match stop_state.wait_for(|state| !matches!(state, StopState::Running)).await.as_deref() {
            Ok(StopState::Failed { reason, database }) => {
                Err(AuthorError::Panicked { reason: reason.clone(), database: database.clone() })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use taonet_localnet_runtime::genesis;
    use tokio::time::timeout;

    use super::*;
    use crate::pool::{Pool, PoolLimits};
    use crate::store::{History, Store};

    /// Creates a node whose author runs the given function on its thread.
    fn control_with_author(
        directory: Option<&Path>,
        author: impl FnOnce() + Send + 'static,
    ) -> (Control, JoinHandle<()>) {
        let store =
            Store::open(directory, Some(genesis::genesis(&[]).unwrap()), History::Archive).unwrap();
        let head = store.head().unwrap();
        let pool = Pool::new(head.clone(), PoolLimits::default());
        let chain = Arc::new(Chain::new(store, pool, head.hash, head).0);
        let control = Control::new(Arc::default(), None).0;
        let author = control.watch_author(thread::spawn(author), chain);
        (control, author)
    }

    #[tokio::test]
    async fn panicked_author_stops_node_with_reason() {
        let directory = tempfile::tempdir().unwrap();
        let (control, author) = control_with_author(Some(directory.path()), || panic!("a defect"));
        let error = timeout(Duration::from_secs(20), control.wait_for_stop())
            .await
            .unwrap()
            .unwrap_err()
            .to_string();
        assert!(error.contains("panicked: a defect; hint: start the node again"), "{error}");
        let database = directory.path().join("chain.redb");
        assert!(
            error.contains(&format!("the database {} is damaged", database.display())),
            "{error}"
        );
        author.await.unwrap();
        // A shutdown request afterwards does not hide the reason.
        control.stop();
        assert!(control.wait_for_stop().await.is_err());
    }

    #[tokio::test]
    async fn author_stopped_on_request_is_not_a_failure() {
        let (control, author) = control_with_author(None, || ());
        control.stop();
        author.await.unwrap();
        assert!(control.wait_for_stop().await.is_ok());
    }
}
