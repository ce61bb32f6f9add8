use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use taonet_service::Shutdown;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

/// Maximum number of open event streams.
const MAX_STREAMS: usize = 512;
/// Maximum interval between two events. Pages show ages, which grow while no data changes; the
/// events also keep proxies from closing an idle stream.
const MAX_INTERVAL: Duration = Duration::from_secs(10);

/// Broadcast of data changes to all open pages. Clones share the subscribers.
#[derive(Debug, Clone)]
pub struct Changes {
    revision: Arc<watch::Sender<u64>>,
    slots: Arc<Semaphore>,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            revision: Arc::new(watch::Sender::new(0)),
            slots: Arc::new(Semaphore::new(MAX_STREAMS)),
        }
    }
}

impl Changes {
    /// Reports that the data of some page changed. A slow subscriber gets only the latest report.
    pub fn report(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// Subscribes to changes. The receiver's value is the number of reports so far.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Returns a stream of server-sent events: one `change` per report and at least every 10 s,
    /// until shutdown.
    pub(crate) fn stream(&self, shutdown: &Shutdown) -> Response {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return (StatusCode::SERVICE_UNAVAILABLE, "too many open pages").into_response();
        };
        let follower = Follower {
            revision: self.revision.subscribe(),
            shutdown: shutdown.clone(),
            _slot: slot,
        };
        let events = stream::unfold(follower, Follower::next);
        Sse::new(events).into_response()
    }
}

struct Follower {
    revision: watch::Receiver<u64>,
    shutdown: Shutdown,
    _slot: OwnedSemaphorePermit,
}

impl Follower {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        tokio::select! {
            changed = self.revision.changed() => changed.ok()?,
            () = sleep(MAX_INTERVAL) => {}
            () = self.shutdown.requested() => return None,
        }
        let revision = *self.revision.borrow_and_update();
        Some((Ok(Event::default().event("change").data(revision.to_string())), self))
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idle_stream_sends_an_event_every_ten_seconds() {
        let (changes, shutdown) = (Changes::default(), Shutdown::new());
        let mut stream = changes.stream(&shutdown).into_body().into_data_stream();
        let start = tokio::time::Instant::now();
        for seconds in [10, 20] {
            assert_eq!(stream.next().await.unwrap().unwrap(), "event: change\ndata: 0\n\n");
            assert_eq!(start.elapsed().as_secs(), seconds);
        }
    }

    #[tokio::test]
    async fn streams_are_limited_and_end_at_shutdown() {
        let (changes, shutdown) = (Changes::default(), Shutdown::new());
        let mut open: Vec<_> = (0..MAX_STREAMS).map(|_| changes.stream(&shutdown)).collect();
        assert_eq!(changes.stream(&shutdown).status(), 503);
        let mut first = open.remove(0).into_body().into_data_stream();
        changes.report();
        changes.report();
        let event = first.next().await.unwrap().unwrap();
        assert_eq!(event, "event: change\ndata: 2\n\n", "only the latest report");
        drop(first);
        assert_eq!(changes.stream(&shutdown).status(), 200);
        let mut last = open.pop().unwrap().into_body().into_data_stream();
        assert!(last.next().await.is_some());
        shutdown.request();
        assert!(last.next().await.is_none());
    }
}
