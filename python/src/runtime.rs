//! The tokio runtime of the process, and waiting for its futures without the GIL.

use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::errors::Failure;

/// Interval at which a waiting call looks for signals, such as that of Ctrl-C.
const SIGNAL_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Worker threads: they only wait for the network, since expensive work is done on the callers'
/// threads.
const WORKERS: usize = 2;

/// The runtime, with the ID of the process that created it.
static RUNTIME: Mutex<Option<(u32, &'static Runtime)>> = Mutex::new(None);

/// Returns the runtime of this process. A forked child gets a new one: it has no threads of its
/// parent.
pub(crate) fn runtime() -> Result<&'static Runtime, Failure> {
    let mut shared = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    if let Some((owner, runtime)) = *shared
        && owner == process
    {
        return Ok(runtime);
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("taonet")
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| PyOSError::new_err(error.to_string()))?;
    // Dropping the runtime of the parent would wait for its threads.
    let runtime: &'static Runtime = Box::leak(Box::new(runtime));
    *shared = Some((process, runtime));
    Ok(runtime)
}

/// Waits for a future without the GIL. Signal handlers run meanwhile; an exception of theirs drops
/// the future.
pub(crate) fn block_on<T: Send>(
    py: Python<'_>,
    future: impl Future<Output = T> + Send,
) -> Result<T, Failure> {
    let runtime = runtime()?;
    let mut future = pin!(future);
    loop {
        if let Ok(output) = py.detach(|| {
            runtime.block_on(async { timeout(SIGNAL_CHECK_INTERVAL, &mut future).await })
        }) {
            return Ok(output);
        }
        py.check_signals()?;
    }
}

/// The process that created an object with connections, threads or locks, which its forked children
/// do not share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn current() -> Self {
        Self(std::process::id())
    }

    /// Fails in a forked child.
    pub(crate) fn check(self) -> Result<(), Failure> {
        if self.0 == std::process::id() {
            return Ok(());
        }
        Err(Failure::runtime(
            "the object was created before the process was forked; hint: create it in the child process",
        ))
    }
}
