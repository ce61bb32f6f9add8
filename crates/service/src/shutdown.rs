use std::future::Future;
use std::io;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Maximum duration of a daemon's shutdown.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// Why a shutdown was incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// Tasks were still running at the deadline.
    #[error("shutdown timed out after {timeout:?}; tasks still running: {tasks}")]
    StillRunning {
        /// Number of running tasks.
        tasks: usize,
        /// Timeout of the shutdown.
        timeout: Duration,
    },
}

/// Lifecycle of a daemon: its tasks and the shutdown signal. Clones share one lifecycle.
///
/// Every task is spawned with [`Shutdown::spawn`] and ends soon after [`Shutdown::requested`]. A
/// task that panics shuts the daemon down, since the remaining tasks cannot do its work.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Creates a lifecycle that ends when [`Shutdown::request`] is called.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a lifecycle that also ends on SIGTERM or SIGINT (on Ctrl-C where signals are
    /// unsupported).
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let signal = next_signal()?;
        let token = shutdown.token.clone();
        shutdown.tasks.spawn(async move {
            tokio::select! {
                name = signal => {
                    tracing::info!(signal = name, "signal received, shutting down");
                    token.cancel();
                }
                () = token.cancelled() => {}
            }
        });
        Ok(shutdown)
    }

    /// Requests a shutdown of all tasks.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Whether a shutdown was requested.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until a shutdown is requested.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Sleeps for `duration`, and returns `true`; returns `false` at once when a shutdown is
    /// requested.
    pub async fn sleep(&self, duration: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.requested() => false,
            () = tokio::time::sleep(duration) => true,
        }
    }

    /// Returns the lifecycle's cancellation token; cancelling it requests a shutdown.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Spawns a task of the daemon. If the task panics, the error is logged with `name` and the
    /// daemon shuts down.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let guard = PanicGuard { name, token: self.token.clone() };
        self.tasks.spawn(async move {
            let _guard = guard;
            task.await;
        });
    }

    /// Like [`Self::spawn`], for a task that runs until it observes the shutdown itself.
    pub fn spawn_until<F>(&self, name: &'static str, task: impl FnOnce(Self) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn(name, task(self.clone()));
    }

    /// Waits for the shutdown request, and then at most [`STOP_TIMEOUT`] for all tasks to end.
    ///
    /// # Errors
    /// [`StopError::StillRunning`] if tasks are still running at the deadline.
    pub async fn finished(&self) -> Result<(), StopError> {
        self.requested().await;
        self.tasks.close();
        self.stopped(STOP_TIMEOUT).await
    }

    async fn stopped(&self, timeout: Duration) -> Result<(), StopError> {
        let result = tokio::time::timeout(timeout, self.tasks.wait()).await;
        result.map_err(|_| StopError::StillRunning { tasks: self.tasks.len(), timeout })
    }
}

/// Guard of a task that requests a shutdown if the task panics.
struct PanicGuard {
    name: &'static str,
    token: CancellationToken,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.name, "task panicked, shutting down");
            self.token.cancel();
        }
    }
}

#[cfg(unix)]
fn next_signal() -> io::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

#[cfg(not(unix))]
fn next_signal() -> io::Result<impl Future<Output = &'static str>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn shutdown_waits_for_running_tasks() {
        let shutdown = Shutdown::new();
        let ended = Arc::new(AtomicBool::new(false));
        let task_ended = ended.clone();
        shutdown.spawn_until("worker", |stop| async move {
            stop.requested().await;
            task_ended.store(true, Ordering::SeqCst);
        });
        assert!(!shutdown.is_requested());
        shutdown.request();
        assert_eq!(shutdown.finished().await, Ok(()));
        assert!(ended.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn sleep_ends_early_at_shutdown() {
        let shutdown = Shutdown::new();
        assert!(shutdown.sleep(Duration::from_millis(1)).await);
        let sleeping = shutdown.clone();
        let sleep = tokio::spawn(async move { sleeping.sleep(Duration::from_hours(24)).await });
        tokio::task::yield_now().await;
        shutdown.request();
        assert!(!sleep.await.unwrap());
        assert!(!shutdown.sleep(Duration::ZERO).await, "after the request");
    }

    #[tokio::test]
    async fn panic_of_a_task_requests_shutdown() {
        let shutdown = Shutdown::new();
        shutdown.spawn("broken", async { panic!("on purpose") });
        assert_eq!(shutdown.finished().await, Ok(()));
    }

    #[tokio::test]
    async fn stuck_task_is_counted_at_shutdown() {
        let shutdown = Shutdown::new();
        shutdown.spawn("stubborn", std::future::pending());
        shutdown.request();
        shutdown.tasks.close();
        let timeout = Duration::from_millis(1);
        assert_eq!(
            shutdown.stopped(timeout).await,
            Err(StopError::StillRunning { tasks: 1, timeout })
        );
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn signal_requests_shutdown() {
        let shutdown = Shutdown::on_signals().unwrap();
        let own_id = std::process::id().to_string();
        assert!(
            std::process::Command::new("kill").args(["-TERM", &own_id]).status().unwrap().success()
        );
        assert_eq!(shutdown.finished().await, Ok(()));
    }
}
