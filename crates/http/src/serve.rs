use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router, middleware};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use taonet_service::Shutdown;

use crate::unread::{Lingering, Unread, close_after_unread};

/// Pause after `accept` failed, for example because file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Read buffer per connection in bytes; unread bodies stay in the system's socket buffers.
const BUFFER_BYTES: usize = 64 * 1024;

/// Resource limits of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimits {
    /// Maximum number of open connections; more wait in the system's backlog.
    pub connections: usize,
    /// Maximum number of connections from one address (IPv6: one /64); more are closed immediately. Behind a proxy, all
    /// connections count against the proxy's address.
    pub connections_per_address: usize,
    /// Timeout for the head of a request, and idle timeout between requests.
    pub header_timeout: Duration,
    /// Maximum size of a request's head in bytes.
    pub header_bytes: usize,
    /// Grace period for in-flight requests at shutdown.
    pub drain: Duration,
    /// How long the server keeps reading a request's unread body after its response, before it closes the connection.
    pub linger: Duration,
}

impl Default for ServeLimits {
    /// 1 024 connections, 256 per address, heads of 32 KiB within 30 s, a grace period of 10 s (less than
    /// [`taonet_service::STOP_WITHIN`]), 2 s of lingering reads.
    fn default() -> Self {
        Self {
            connections: 1_024,
            connections_per_address: 256,
            header_timeout: Duration::from_secs(30),
            header_bytes: 32 * 1024,
            drain: Duration::from_secs(10),
            linger: Duration::from_secs(2),
        }
    }
}

/// Serves HTTP/1.1 until shutdown; in-flight requests then have [`ServeLimits::drain`] to complete.
/// Handlers may extract `ConnectInfo<SocketAddr>`.
pub async fn serve(listener: TcpListener, router: Router, shutdown: &Shutdown, limits: ServeLimits) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(BUFFER_BYTES));
    let router = router.layer(middleware::from_fn(close_after_unread));
    let permits = Arc::new(Semaphore::new(limits.connections));
    let addresses = Addresses::default();
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            () = shutdown.requested() => break,
            (permit, accepted) = next => match accepted {
                Ok((stream, peer)) => {
                    // Responses are small and sent at once: Nagle's delay only costs time.
                    let _ = stream.set_nodelay(true);
                    let Some(place) = addresses.enter(peer.ip(), limits.connections_per_address) else {
                        tracing::debug!(%peer, "connection closed: too many from its address");
                        continue;
                    };
                    let unread = Unread::default();
                    let router = router.clone().layer((Extension(ConnectInfo(peer)), Extension(unread.clone())));
                    let stream = Lingering::new(stream, unread, limits.linger);
                    let connection = connection(&http, stream, router, graceful.watcher());
                    connections.spawn(async move {
                        let _held = (permit, place);
                        connection.await;
                    });
                }
                Err(error) => pause(&error).await,
            },
        }
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests were cut off");
    }
    connections.shutdown().await;
}

/// Number of connections per address.
#[derive(Clone, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// Counts one connection of an address until it is dropped.
struct Place {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    fn enter(&self, address: IpAddr, most: usize) -> Option<Place> {
        let address = match address.to_canonical() {
            // One subscriber controls all addresses of a /64.
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
            address @ IpAddr::V4(_) => address,
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place { addresses: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

fn connection(
    http: &http1::Builder,
    stream: Lingering,
    router: Router,
    watcher: Watcher,
) -> impl Future<Output = ()> + Send + 'static {
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    async move {
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "connection ended");
        }
    }
}

/// Pauses after a failed `accept`, unless only the new connection was lost; exhausted file descriptors need time.
async fn pause(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};

    if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "cannot accept connections");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

#[cfg(test)]
mod tests;
