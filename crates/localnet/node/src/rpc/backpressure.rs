//! Backpressure: a WebSocket connection is read no faster than its client reads the responses.
//!
//! The server spawns a task for every message, and each task holds its response until the client
//! reads it: without a limit, a client that sends and never reads would fill the memory. So each
//! connection counts its requests in flight, their bytes, and the bytes of unsent responses; while
//! any of these exceeds its limit, reading from it pauses.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use taonet_http::{ConnectionSlot, Progress};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, Semaphore};

/// Maximum number of concurrent requests per connection that read the disk or execute the runtime.
const MAX_HEAVY_REQUESTS: usize = 8;

/// Per-connection backpressure: bytes and requests in flight.
#[derive(Debug)]
pub(super) struct Backpressure {
    state: Mutex<State>,
    limits: Limits,
    heavy_requests: Semaphore,
    counters_changed: Notify,
    /// Reporter of the connection's state: busy, or idle and evictable.
    progress: Option<Progress>,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    requests: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    /// Whether backpressure is enabled: only for WebSockets, since over HTTP the next request
    /// follows the response.
    is_enabled: bool,
    requests: usize,
    subscriptions: usize,
    /// The bytes of the requests in flight.
    request_bytes: usize,
    /// The bytes of unsent responses.
    unsent_bytes: usize,
    reader_waker: Option<Waker>,
}

impl State {
    fn may_read(&self, limits: Limits) -> bool {
        !self.is_enabled
            || (self.requests < limits.requests
                && self.request_bytes.saturating_add(self.unsent_bytes) <= limits.bytes)
    }
}

impl Backpressure {
    /// Creates the backpressure state of a new connection with limits on requests in flight and on
    /// held bytes.
    pub(super) fn new(requests: u32, bytes: u32, progress: Option<Progress>) -> Arc<Self> {
        let limits = Limits { requests: requests as usize, bytes: bytes as usize };
        Arc::new(Self {
            state: Mutex::default(),
            limits,
            heavy_requests: Semaphore::new(MAX_HEAVY_REQUESTS),
            counters_changed: Notify::new(),
            progress,
        })
    }

    /// Enables backpressure when the connection becomes a WebSocket.
    pub(super) fn enable(&self) {
        self.lock().is_enabled = true;
    }

    /// Reports an open WebSocket as evictable if nothing is in flight.
    pub(super) fn report_idle(&self) {
        self.report_state(&self.lock());
    }

    /// Reports whether the connection is idle. The caller holds the lock, so that the last change
    /// is reported last.
    fn report_state(&self, state: &State) {
        let Some(progress) = self.progress.as_ref().filter(|_| state.is_enabled) else { return };
        if state.requests == 0 && state.subscriptions == 0 {
            progress.mark_upgraded_idle();
        } else {
            // Responses to an evicted connection's requests are discarded.
            progress.complete();
        }
    }

    fn is_enabled(&self) -> bool {
        self.lock().is_enabled
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the counters, and resumes reading if they allow it.
    fn update(&self, update: impl FnOnce(&mut State)) {
        let reader = {
            let mut state = self.lock();
            update(&mut state);
            if state.may_read(self.limits) { state.reader_waker.take() } else { None }
        };
        self.counters_changed.notify_waiters();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Counts a request of this size as in flight until the guard is dropped.
    pub(super) fn begin_request(self: &Arc<Self>, bytes: usize) -> InFlightGuard {
        let mut state = self.lock();
        state.requests += 1;
        state.request_bytes = state.request_bytes.saturating_add(bytes);
        if state.requests == 1 {
            self.report_state(&state);
        }
        InFlightGuard { backpressure: self.clone(), bytes }
    }

    /// Counts a subscription until the guard is dropped.
    pub(super) fn begin_subscription(self: &Arc<Self>) -> SubscriptionSlot {
        let mut state = self.lock();
        state.subscriptions += 1;
        if state.subscriptions == 1 {
            self.report_state(&state);
        }
        SubscriptionSlot(self.clone())
    }

    /// Counts a response or notification of this size as unsent.
    pub(super) fn add_unsent(&self, bytes: usize) {
        let mut state = self.lock();
        if state.is_enabled {
            state.unsent_bytes = state.unsent_bytes.saturating_add(bytes);
        }
    }

    /// Subtracts bytes that were sent to the client, or never will be.
    pub(super) fn subtract_unsent(&self, bytes: usize) {
        self.update(|state| state.unsent_bytes = state.unsent_bytes.saturating_sub(bytes));
    }

    /// Marks the client as disconnected, and wakes all tasks that wait for it.
    fn close(&self) {
        self.update(|state| {
            state.is_enabled = false;
            state.unsent_bytes = 0;
        });
    }

    /// Runs `work` under the connection's limit on heavy requests, once the client has read enough
    /// responses.
    pub(super) async fn run_heavy<T>(&self, work: impl Future<Output = T>) -> T {
        // The semaphore is never closed.
        let _permit = self.heavy_requests.acquire().await;
        loop {
            let notified = self.counters_changed.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.lock().unsent_bytes <= self.limits.bytes {
                return work.await;
            }
            notified.await;
        }
    }

    fn poll_may_read(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.may_read(self.limits) {
            return Poll::Ready(());
        }
        state.reader_waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// A guard that counts a request in flight.
pub(super) struct InFlightGuard {
    backpressure: Arc<Backpressure>,
    bytes: usize,
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.backpressure.update(|state| {
            state.requests = state.requests.saturating_sub(1);
            state.request_bytes = state.request_bytes.saturating_sub(self.bytes);
            if state.requests == 0 {
                self.backpressure.report_state(state);
            }
        });
    }
}

/// A guard that counts an open subscription.
pub(super) struct SubscriptionSlot(Arc<Backpressure>);

impl Drop for SubscriptionSlot {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.subscriptions = state.subscriptions.saturating_sub(1);
        if state.subscriptions == 0 {
            self.0.report_state(&state);
        }
    }
}

/// A connection's byte stream with backpressure.
pub(super) struct BackpressuredStream<T> {
    stream: T,
    backpressure: Arc<Backpressure>,
    has_read: bool,
    /// The connection slot, released when the connection ends.
    slot: Option<ConnectionSlot>,
    /// Futures that complete when the connection is evicted: one for its reader, one for its
    /// writer.
    eviction_futures: Option<[EvictionFuture; 2]>,
}

type EvictionFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Returns a future that completes when the connection of a slot is evicted.
fn eviction_future(slot: &ConnectionSlot) -> EvictionFuture {
    let progress = slot.progress();
    Box::pin(async move { progress.evicted().await })
}

impl<T> BackpressuredStream<T> {
    pub(super) fn new(stream: T, backpressure: Arc<Backpressure>) -> Self {
        Self { stream, backpressure, has_read: false, slot: None, eviction_futures: None }
    }

    /// Attaches a connection slot, which is released when the connection ends.
    pub(super) fn with_slot(mut self, slot: ConnectionSlot) -> Self {
        self.eviction_futures = Some([eviction_future(&slot), eviction_future(&slot)]);
        self.slot = Some(slot);
        self
    }

    /// Returns an error once the connection is evicted.
    fn check_evicted(&mut self, context: &mut Context<'_>, is_writer: bool) -> io::Result<()> {
        let Some(evicted) = self
            .eviction_futures
            .as_mut()
            .and_then(|futures| futures.get_mut(usize::from(is_writer)))
        else {
            return Ok(());
        };
        if evicted.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        // A completed future must not be polled again.
        *evicted = Box::pin(std::future::ready(()));
        self.backpressure.close();
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    fn record_write(&self, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &poll {
            Poll::Ready(Ok(bytes)) => self.backpressure.subtract_unsent(*bytes),
            Poll::Ready(Err(_)) => self.backpressure.close(),
            Poll::Pending => {}
        }
        poll
    }
}

impl<T> Drop for BackpressuredStream<T> {
    fn drop(&mut self) {
        self.backpressure.close();
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for BackpressuredStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_evicted(context, false)?;
        // Requests from the last read are counted only when their tasks run: let them run first.
        if std::mem::take(&mut self.has_read) && self.backpressure.is_enabled() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.backpressure.poll_may_read(context));
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.has_read = read.is_ready();
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for BackpressuredStream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_evicted(context, true)?;
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.record_write(poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_evicted(context, true)?;
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.record_write(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    /// Creates a connection limited to two requests and ten bytes, and returns it with the client's
    /// end.
    async fn connection() -> (Arc<Backpressure>, BackpressuredStream<DuplexStream>, DuplexStream) {
        let (mut client, server) = duplex(64);
        let backpressure = Backpressure::new(2, 10, None);
        client.write_all(b"request").await.unwrap();
        (backpressure.clone(), BackpressuredStream::new(server, backpressure), client)
    }

    async fn can_read(server: &mut BackpressuredStream<DuplexStream>) -> bool {
        timeout(Duration::ZERO, server.read_u8()).await.is_ok()
    }

    #[tokio::test]
    async fn reading_pauses_at_maximum_requests_in_flight() {
        let (backpressure, mut server, _client) = connection().await;
        backpressure.enable();
        let (first, _second) = (backpressure.begin_request(1), backpressure.begin_request(1));
        assert!(!can_read(&mut server).await);
        let waiting = tokio::spawn(async move { server.read_u8().await.unwrap() });
        drop(first);
        assert_eq!(waiting.await.unwrap(), b'r');
    }

    #[tokio::test]
    async fn reading_pauses_while_a_large_request_is_in_flight() {
        let (backpressure, mut server, _client) = connection().await;
        backpressure.enable();
        let large = backpressure.begin_request(11);
        assert!(!can_read(&mut server).await);
        backpressure.run_heavy(async {}).await;
        drop(large);
        assert_eq!(server.read_u8().await.unwrap(), b'r');
    }

    #[tokio::test]
    async fn reading_and_heavy_requests_pause_while_responses_are_unsent() {
        let (backpressure, mut server, mut client) = connection().await;
        backpressure.enable();
        backpressure.add_unsent(11);
        assert!(!can_read(&mut server).await);
        assert!(timeout(Duration::ZERO, backpressure.run_heavy(async {})).await.is_err());
        let waiting = tokio::spawn({
            let backpressure = backpressure.clone();
            async move { backpressure.run_heavy(async {}).await }
        });
        tokio::task::yield_now().await;
        server.write_all(b"answer").await.unwrap();
        waiting.await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'r');
        assert_eq!(client.read_u8().await.unwrap(), b'a');
    }

    #[tokio::test]
    async fn disconnected_client_does_not_block_heavy_requests() {
        let (backpressure, mut server, client) = connection().await;
        backpressure.enable();
        backpressure.add_unsent(11);
        drop(client);
        assert!(server.write_all(b"answer").await.is_err());
        timeout(Duration::from_secs(5), backpressure.run_heavy(async {})).await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'r');
    }

    #[tokio::test]
    async fn http_requests_are_not_delayed_by_backpressure() {
        let (backpressure, mut server, _client) = connection().await;
        backpressure.add_unsent(11);
        let _both = (backpressure.begin_request(1), backpressure.begin_request(1));
        assert_eq!(server.read_u8().await.unwrap(), b'r');
    }
}
