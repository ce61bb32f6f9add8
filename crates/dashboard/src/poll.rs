//! Reads of sources that do not report their changes.

use std::time::Duration;

use taonet_service::Shutdown;
use tokio::time::sleep;

/// Calls `read` at once and then after each `pause`, until shutdown, which also ends a read in
/// progress.
pub async fn poll<F: Future<Output = ()>>(
    pause: Duration,
    shutdown: &Shutdown,
    read: impl Fn() -> F,
) {
    loop {
        let next = async {
            read().await;
            sleep(pause).await;
        };
        tokio::select! {
            () = next => {}
            () = shutdown.requested() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn source_is_read_at_once_and_after_each_pause_until_shutdown() {
        let (reads, shutdown) = (Cell::new(0), Shutdown::new());
        let stop = async {
            sleep(Duration::from_secs(11)).await;
            shutdown.request();
        };
        let read = || async { reads.set(reads.get() + 1) };
        tokio::join!(poll(Duration::from_secs(5), &shutdown, read), stop);
        assert_eq!(reads.get(), 3, "after 0, 5 and 10 s");
    }
}
