//! HTTP connections, each polled by the task that reads its response.
//!
//! A connection of hyper is a future that reads and writes. In a task of its own, it would relay
//! one chunk of a response at a time, with two switches between the tasks for each. Here, the
//! reader of the response polls it, and reads bodies in chunks itself.

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::response_stream::{ChunkedBody, ResponseStream};
use super::transport::{BodyFrame, IDLE_TIMEOUT, Resolver};

/// Opens connections, plain or with TLS.
pub(super) type Connector = HttpsConnector<HttpConnector<Resolver>>;

/// Future that reads and writes a connection.
type Driver = http1::Connection<ResponseStream, Full<Bytes>>;

/// What determines whether two requests can use the same connection.
type Host = (Scheme, Authority);

/// Why a connection could not be used.
pub(super) enum ConnectionError {
    /// It could not be opened.
    Open(Box<dyn Error + Send + Sync>),
    /// It was lost, or the peer does not speak HTTP.
    Lost(hyper::Error),
}

/// Connections, of which the idle ones are kept. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    connector: Connector,
    idle: Arc<IdleConnections>,
}

impl Connections {
    /// Creates an empty set, which keeps at most `idle_per_host` idle connections to each host.
    pub(super) fn new(connector: Connector, idle_per_host: usize) -> Self {
        let idle = IdleConnections { max_per_host: idle_per_host, state: Mutex::default() };
        Self { connector, idle: Arc::new(idle) }
    }

    /// Sends a request, with a URI in origin form, to the host of `target`; returns the response
    /// as soon as its head arrives. Dropping the future closes the connection.
    pub(super) async fn send(
        &self,
        target: &Uri,
        host: Host,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<DrivenBody>, ConnectionError> {
        loop {
            let (mut connection, is_reused) = match self.idle.take_newest(&host) {
                Some(connection) => (connection, true),
                // Boxed: a future that opens a connection is large, and few requests need one.
                None => (Box::new(Box::pin(self.open(target)).await?), false),
            };
            match connection.send(request).await {
                Ok(response) => {
                    let chunked = connection.stream.chunked_body(&response);
                    return Ok(response.map(|incoming| DrivenBody {
                        incoming: Some(incoming),
                        chunked,
                        active: Some((connection, host)),
                        idle: Arc::clone(&self.idle),
                    }));
                }
                Err(mut error) => match error.take_message() {
                    // The peer had closed the idle connection: nothing was sent.
                    Some(unsent) if is_reused => request = unsent,
                    _ => return Err(ConnectionError::Lost(error.into_error())),
                },
            }
        }
    }

    async fn open(&self, target: &Uri) -> Result<DrivenConnection, ConnectionError> {
        let stream = self.connector.clone().oneshot(target.clone()).await;
        let stream = ResponseStream::new(stream.map_err(ConnectionError::Open)?);
        let (sender, driver) = http1::handshake(stream.clone())
            .await
            .map_err(|error| ConnectionError::Open(error.into()))?;
        Ok(DrivenConnection { sender, driver: Some(driver), stream })
    }
}

/// A connection that the sender of the request or the reader of the response polls.
#[derive(Debug)]
struct DrivenConnection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once the connection is closed.
    driver: Option<Driver>,
    stream: ResponseStream,
}

impl DrivenConnection {
    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Box<TrySendError<Request<Full<Bytes>>>>> {
        let Self { sender, driver, stream } = self;
        stream.begin_response();
        let mut response = pin!(sender.try_send_request(request));
        std::future::poll_fn(|context| {
            drive(driver, context);
            response.as_mut().poll(context).map_err(Box::new)
        })
        .await
    }

    /// Whether another request can be sent.
    fn is_idle(&self) -> bool {
        self.driver.is_some() && self.sender.is_ready() && self.stream.is_fully_read()
    }
}

/// Reads and writes as far as possible without waiting.
fn drive(driver: &mut Option<Driver>, context: &mut Context<'_>) {
    // An error is also that of the response.
    if driver.as_mut().is_some_and(|driver| Pin::new(driver).poll(context).is_ready()) {
        *driver = None;
    }
}

/// Body of a response, whose reader drives the connection. Dropping it closes the connection,
/// unless the rest of the response has arrived.
#[derive(Debug)]
pub(super) struct DrivenBody {
    /// `None` only while it is dropped.
    incoming: Option<Incoming>,
    /// The body, if it is in chunks; `incoming` is then empty.
    chunked: Option<ChunkedBody>,
    /// The connection and its host; `None` after an error, and while the body is dropped.
    active: Option<(Box<DrivenConnection>, Host)>,
    idle: Arc<IdleConnections>,
}

impl DrivenBody {
    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        if let Some(chunked) = &mut self.chunked {
            match chunked.poll_next(context) {
                Poll::Ready(Some(chunk)) => {
                    if chunk.is_err() {
                        self.active = None;
                    }
                    return Poll::Ready(Some(chunk.map(Frame::data).map_err(Into::into)));
                }
                Poll::Pending if !chunked.is_write_blocked() => return Poll::Pending,
                Poll::Pending => {
                    self.drive(context);
                    return Poll::Pending;
                }
                Poll::Ready(None) => {}
            }
        }
        // The connection reads ahead one frame.
        self.drive(context);
        match &mut self.incoming {
            Some(incoming) => Pin::new(incoming).poll_frame(context).map_err(Into::into),
            None => Poll::Ready(None),
        }
    }

    fn drive(&mut self, context: &mut Context<'_>) {
        if let Some((connection, _)) = &mut self.active {
            drive(&mut connection.driver, context);
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}

impl Drop for DrivenBody {
    fn drop(&mut self) {
        // Reads the end of the response, if it has arrived.
        let mut context = Context::from_waker(Waker::noop());
        if let Some(chunked) = &mut self.chunked {
            let _ = chunked.poll_next(&mut context);
        }
        drop(self.incoming.take());
        let Some((mut connection, host)) = self.active.take() else { return };
        drive(&mut connection.driver, &mut context);
        if connection.is_idle() {
            self.idle.put_back(host, connection);
        }
    }
}

/// Connections without a request.
#[derive(Debug)]
struct IdleConnections {
    max_per_host: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Connections by host, the oldest first.
    hosts: HashMap<Host, VecDeque<IdleConnection>>,
    /// Whether a task closes old connections.
    has_sweep_task: bool,
}

#[derive(Debug)]
struct IdleConnection {
    connection: Box<DrivenConnection>,
    idle_since: Instant,
}

impl IdleConnections {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the newest connection to a host.
    fn take_newest(&self, host: &Host) -> Option<Box<DrivenConnection>> {
        let mut state = self.state();
        let newest = state.hosts.get_mut(host)?.pop_back()?;
        (newest.idle_since.elapsed() < IDLE_TIMEOUT).then_some(newest.connection)
    }

    /// Keeps a connection, unless there are enough to its host.
    fn put_back(self: &Arc<Self>, host: Host, connection: Box<DrivenConnection>) {
        let mut state = self.state();
        let connections = state.hosts.entry(host).or_default();
        if connections.len() >= self.max_per_host {
            return;
        }
        connections.push_back(IdleConnection { connection, idle_since: Instant::now() });
        if !state.has_sweep_task
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            state.has_sweep_task = true;
            runtime.spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes the connections that have been idle for `time`; returns whether others are left.
    fn close_older(&self, time: Duration) -> bool {
        let mut state = self.state();
        for connections in state.hosts.values_mut() {
            connections.retain(|idle| idle.idle_since.elapsed() < time);
        }
        state.hosts.retain(|_, connections| !connections.is_empty());
        state.has_sweep_task = !state.hosts.is_empty();
        state.has_sweep_task
    }
}

/// Closes idle connections when they are too old, as long as there are any.
async fn sweep(idle: Weak<IdleConnections>) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT / 2).await;
        let Some(idle) = idle.upgrade() else { return };
        if !idle.close_older(IDLE_TIMEOUT) {
            return;
        }
    }
}
