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

/// How long to wait after the system refused to accept a connection, as when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that a connection reads ahead at most; unread bodies stay in the system's buffers.
const BUFFER_BYTES: usize = 64 * 1024;

/// What a server takes from strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimits {
    /// Connections at a time; more wait in the system's queue.
    pub connections: usize,
    /// Connections at a time from one address (of IPv6, from one /64); more are closed at once. Behind a proxy all come
    /// from its address.
    pub connections_per_address: usize,
    /// How long the head of a request may take, and how long a connection may idle between requests.
    pub header_timeout: Duration,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// How long requests may go on after the end was asked for.
    pub drain: Duration,
    /// How long a connection is read on whose last request was answered before its body was read.
    pub linger: Duration,
}

impl Default for ServeLimits {
    /// 1 024 connections, 256 from one address, heads of 32 KiB within 30 s, 10 s to drain (less than
    /// [`taonet_service::STOP_WITHIN`]), 2 s to linger.
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

/// Serves HTTP/1.1 until the end is asked for; then lets running requests end, for [`ServeLimits::drain`] at most.
/// Handlers may take `ConnectInfo<SocketAddr>`.
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
                    // Requests are small and answered at once: waiting for more to send only costs time.
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

/// How many connections each address has.
#[derive(Clone, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection of an address, until it is dropped.
struct Place {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    fn enter(&self, address: IpAddr, most: usize) -> Option<Place> {
        let address = match address.to_canonical() {
            // Whoever has one address of a /64 has them all.
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

/// A connection that is gone before it was accepted costs nothing; when files have run out, some need time to close.
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
