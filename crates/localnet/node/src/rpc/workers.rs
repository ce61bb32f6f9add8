//! A thread pool for work off the async executor: disk reads, signature checks and runtime calls.

use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::oneshot;

/// The stack size of a worker, in bytes: calls can be nested 256 deep, and decoding them recurses.
const STACK_SIZE: usize = 64 << 20;

/// A fixed number of threads; further jobs are queued.
pub(crate) struct WorkerPool(ThreadPool);

impl WorkerPool {
    pub(crate) fn new() -> Result<Self, ThreadPoolBuildError> {
        let threads = available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8));
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .stack_size(STACK_SIZE)
            .thread_name(|number| format!("localnet-rpc-{number}"))
            // The panic hook has printed the message; the caller gets `None`.
            .panic_handler(|_| ())
            .build()?;
        Ok(Self(pool))
    }

    /// Runs a job; `None` if it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.0.spawn(move || {
            // The caller may have stopped waiting.
            let _ = sender.send(job());
        });
        receiver.await.ok()
    }
}
