use std::io;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router, middleware};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::Layer as _;

use taonet_service::Shutdown;

use crate::half_close::{Exchange, HalfClose};
use crate::unread::{Lingering, UnreadFlag, track_request};
use crate::{ConnectionSlots, WriteDeadline};

/// Pause after `accept` failed, for example because file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Pause after a connection was evicted.
const EVICT_PAUSE: Duration = Duration::from_millis(1);

/// Maximum size of a connection's read buffer, in bytes; unread bodies stay in the system's
/// buffers.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

/// Resource limits of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimits {
    /// Maximum number of connections; at most half of the process's open-file limit. At the limit,
    /// a new connection evicts another (see [`ConnectionSlots`]), or waits while every connection
    /// has a request in progress.
    pub connections: usize,
    /// Maximum number of connections from one address (for IPv6, one /64). At the limit, a new
    /// connection evicts another from the same address, or is closed immediately if all of them
    /// have a request in progress. Behind a proxy, all connections have the proxy's address.
    pub connections_per_address: usize,
    /// Timeout for the head of a request, and idle timeout between requests.
    pub header_timeout: Duration,
    /// Maximum size of a request's head in bytes.
    pub header_bytes: usize,
    /// Timeout for write progress: a connection whose client does not read is evictable after a
    /// second, and closed after this time.
    pub write_timeout: Duration,
    /// Grace period for in-flight requests at shutdown.
    pub drain: Duration,
    /// Maximum time for reading a request's unread body after its response, before the connection
    /// is closed.
    pub linger: Duration,
}

impl Default for ServeLimits {
    /// Returns the defaults: 1 024 connections, 256 from one address, heads of 32 KiB within 10 s,
    /// 30 s without write progress, 10 s to drain (less than [`taonet_service::STOP_TIMEOUT`]), 2 s
    /// to linger.
    fn default() -> Self {
        Self {
            connections: 1_024,
            connections_per_address: 256,
            header_timeout: Duration::from_secs(10),
            header_bytes: 32 * 1024,
            write_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            linger: Duration::from_secs(2),
        }
    }
}

/// Serves HTTP/1.1 until shutdown; in-flight requests then have [`ServeLimits::drain`] to complete.
/// Handlers may extract `ConnectInfo<SocketAddr>`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: &Shutdown,
    limits: ServeLimits,
) {
    serve_over(listener, router, shutdown, limits, |stream| std::future::ready(Ok(stream))).await;
}

/// Serves HTTP/1.1 over a transport such as TLS until shutdown. `handshake` sets up the transport
/// on each new connection, within [`ServeLimits::header_timeout`]; the connection is evictable
/// during the handshake.
pub async fn serve_over<S, F>(
    listener: TcpListener,
    router: Router,
    shutdown: &Shutdown,
    limits: ServeLimits,
    handshake: impl Fn(WriteDeadline) -> F,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(MAX_BUFFER_BYTES));
    let router = router.layer(middleware::from_fn(track_request));
    let slots = ConnectionSlots::new(limits.connections, limits.connections_per_address);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let next_connection = async {
            let (stream, peer) = listener.accept().await?;
            Ok((stream, peer, slots.acquire(peer.ip()).await))
        };
        tokio::select! {
            () = shutdown.requested() => break,
            accepted = next_connection => match accepted {
                Ok((stream, peer, Some(slot))) => {
                    // Responses are small and immediate: Nagle's algorithm would only add latency.
                    let _ = stream.set_nodelay(true);
                    let (unread, progress) = (UnreadFlag::default(), slot.progress());
                    let exchange = Exchange::default();
                    let connection_context = (
                        Extension(ConnectInfo(peer)),
                        Extension(unread.clone()),
                        Extension(progress.clone()),
                        Extension(exchange.clone()),
                    );
                    // The router itself is shared: `Router::layer` would copy all of its routes.
                    let service = connection_context.layer(router.clone());
                    let stream = handshake(WriteDeadline::new(stream, progress.clone(), limits.write_timeout));
                    let stream = timeout(limits.header_timeout, stream);
                    let (http, watcher) = (http.clone(), graceful.watcher());
                    let connection = async move {
                        let Ok(Ok(stream)) = stream.await else { return };
                        let stream = HalfClose::new(Lingering::new(stream, unread, limits.linger), exchange);
                        let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
                        if let Err(error) = watcher.watch(connection).await {
                            tracing::debug!(%error, "connection ended");
                        }
                    };
                    connections.spawn(async move {
                        tokio::select! {
                            () = connection => {}
                            () = progress.evicted() => {}
                        }
                        drop(slot);
                    });
                }
                Ok((_, peer, None)) => tracing::debug!(%peer, "connection closed: too many from this address"),
                Err(error) => pause_after_failed_accept(&error, &slots).await,
            },
        }
    }
    drop(listener);
    if timeout(limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "shutdown timeout: in-flight requests aborted"
        );
    }
    connections.shutdown().await;
}

/// Pauses after a failed `accept`, unless the error concerns a single lost connection. When file
/// descriptors run out, connections need time to close.
async fn pause_after_failed_accept(error: &io::Error, slots: &ConnectionSlots) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};

    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    if slots.evict() {
        // The evicted connection's file descriptor is closed once its task runs.
        tokio::time::sleep(EVICT_PAUSE).await;
        return;
    }
    tracing::warn!(%error, "cannot accept connections");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

#[cfg(test)]
mod tests;
