//! The connections of a server: how many there are, and which one is closed when another needs its place.
//!
//! A client that opens connections and never completes a request, or never reads a response, would keep everybody else
//! out once it has taken all places. So a new connection evicts an evictable one: its request is incomplete, or it is
//! idle between requests, or its client does not read the response. The address with the most evictable connections loses
//! the one that has been evictable longest. A client that opens many therefore only loses its own.
//!
//! An idle keep-alive connection is as evictable as one with half a request, since its client can reconnect. So an address
//! may have more clients (NAT, a proxy) than connections: its limit counts only for requests in flight.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::subscriber;

/// The bounded set of a server's open connections. Clones share one set.
#[derive(Debug, Clone)]
pub struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    connections: usize,
    per_address: usize,
    state: Mutex<State>,
    /// A place became free, or a connection became evictable.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<u64, Open>,
    addresses: HashMap<IpAddr, Counts>,
    /// Numbers connections and orders the moments at which they became evictable.
    next: u64,
}

/// An open connection.
#[derive(Debug)]
struct Open {
    address: IpAddr,
    /// When it began to wait for a complete request; `None` while a request is being answered.
    waiting_since: Option<u64>,
    /// When its client stopped reading.
    stalled_since: Option<u64>,
    /// Whether it was upgraded, for example to a WebSocket.
    upgraded: bool,
    evicted: CancellationToken,
}

impl Open {
    /// When it became evictable, if it is.
    fn evictable_since(&self) -> Option<u64> {
        self.waiting_since.into_iter().chain(self.stalled_since).min()
    }
}

/// Connections of one address.
#[derive(Debug, Default)]
struct Counts {
    open: usize,
    evictable: usize,
}

/// Why no connection could make room.
enum Full {
    /// The address has as many connections as it may have.
    Address,
    /// All places are taken.
    All,
}

impl Places {
    /// Room for `connections` at a time, of which at most `per_address` come from one address (of IPv6, from one /64).
    pub fn new(connections: usize, per_address: usize) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Shared { connections: connections.max(1), per_address, state, changed: Notify::new() }))
    }

    /// A place for a connection from `address`.
    ///
    /// When all places are taken, evicts a connection: of the address with the most evictable ones, the one that has been
    /// evictable longest. While there is none, waits for the first. When the address has as many as it may have, evicts
    /// one of its own; `None` while none of those is evictable.
    pub async fn enter(&self, address: IpAddr) -> Option<Place> {
        loop {
            let changed = self.0.changed.notified();
            match self.try_enter(address) {
                Ok(place) => return Some(place),
                Err(Full::Address) => return None,
                Err(Full::All) => changed.await,
            }
        }
    }

    /// As [`Self::enter`], without waiting: `None` also while all places are taken and no connection is evictable.
    pub fn enter_now(&self, address: IpAddr) -> Option<Place> {
        self.try_enter(address).ok()
    }

    fn try_enter(&self, address: IpAddr) -> Result<Place, Full> {
        let address = subscriber(address);
        let mut state = self.0.lock();
        let of_address = state.addresses.get(&address).map_or(0, |counts| counts.open);
        if of_address >= self.0.per_address && !state.evict(Some(address)) {
            return Err(Full::Address);
        }
        if state.open.len() >= self.0.connections && !state.evict(None) {
            return Err(Full::All);
        }
        let (id, evicted) = state.open(address);
        Ok(Place(Progress { shared: Arc::clone(&self.0), id, evicted }))
    }

    /// Evicts a connection, as [`Self::enter`] does when all places are taken; whether one was evictable.
    pub fn evict(&self) -> bool {
        self.0.lock().evict(None)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tick(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn open(&mut self, address: IpAddr) -> (u64, CancellationToken) {
        let (id, evicted) = (self.tick(), CancellationToken::new());
        let (waiting_since, stalled_since) = (Some(id), None);
        let opened = Open { address, waiting_since, stalled_since, upgraded: false, evicted: evicted.clone() };
        self.open.insert(id, opened);
        let counts = self.addresses.entry(address).or_default();
        counts.open += 1;
        counts.evictable += 1;
        (id, evicted)
    }

    fn close(&mut self, id: u64) -> bool {
        let Some(closed) = self.open.remove(&id) else { return false };
        if let Some(counts) = self.addresses.get_mut(&closed.address) {
            counts.open -= 1;
            counts.evictable -= usize::from(closed.evictable_since().is_some());
            if counts.open == 0 {
                self.addresses.remove(&closed.address);
            }
        }
        true
    }

    /// Changes a connection at the moment `now`. `None` when it has no place any more; else whether it became evictable.
    fn change(&mut self, id: u64, change: impl FnOnce(&mut Open, u64)) -> Option<bool> {
        let now = self.tick();
        let open = self.open.get_mut(&id)?;
        let before = open.evictable_since().is_some();
        change(open, now);
        let after = open.evictable_since().is_some();
        if let Some(counts) = self.addresses.get_mut(&open.address) {
            counts.evictable = counts.evictable + usize::from(after) - usize::from(before);
        }
        Some(after && !before)
    }

    /// Evicts a connection: where one address is given, one of this address. At one address, idle upgraded connections go
    /// last: their clients count on them.
    fn evict(&mut self, of: Option<IpAddr>) -> bool {
        let rivals = |address| self.addresses.get(address).map_or(0, |counts| counts.evictable);
        let evictable = self.open.iter().filter_map(|(id, open)| Some((id, open, open.evictable_since()?)));
        let evictable = evictable.filter(|(_, open, _)| of.is_none_or(|of| of == open.address));
        let rank = |open: &Open, since| (rivals(&open.address), !open.upgraded, Reverse(since));
        let Some((&id, open, _)) = evictable.max_by_key(|(_, open, since)| rank(open, *since)) else {
            return false;
        };
        tracing::debug!(address = %open.address, "connection closed: its place was needed");
        open.evicted.cancel();
        self.close(id)
    }
}

/// The place of one connection, free again when it is dropped.
#[derive(Debug)]
pub struct Place(Progress);

impl Place {
    /// How far the connection's current request is.
    pub fn progress(&self) -> Progress {
        self.0.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // An evicted connection has no place any more.
        if self.0.shared.lock().close(self.0.id) {
            self.0.shared.changed.notify_one();
        }
    }
}

/// How far the current request of a connection is. A new connection waits for its first request.
#[derive(Debug, Clone)]
pub struct Progress {
    shared: Arc<Shared>,
    id: u64,
    evicted: CancellationToken,
}

impl Progress {
    /// The request has arrived completely: the connection is not evictable. `false` where it was evicted already; then
    /// the request must not be answered.
    pub fn complete(&self) -> bool {
        self.change(|open, _| open.waiting_since = None)
    }

    /// The request is answered: the connection waits for the next one. Where the request was answered before it was
    /// complete, nothing changes.
    pub fn answered(&self) {
        self.change(|open, now| open.waiting_since = open.waiting_since.or(Some(now)));
    }

    /// The connection was upgraded, and now has nothing in flight: it is evictable until it is [`Self::complete`] again.
    pub fn upgraded_idle(&self) {
        self.change(|open, now| {
            open.upgraded = true;
            open.waiting_since = open.waiting_since.or(Some(now));
        });
    }

    /// The client does not read: the connection is evictable, whatever its request is.
    pub(crate) fn stalled(&self) {
        self.change(|open, now| open.stalled_since = open.stalled_since.or(Some(now)));
    }

    /// The client reads again.
    pub(crate) fn resumed(&self) {
        self.change(|open, _| open.stalled_since = None);
    }

    /// Completes when the connection is evicted: whoever serves it then drops it.
    pub async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// Whether the connection still has its place.
    fn change(&self, change: impl FnOnce(&mut Open, u64)) -> bool {
        let changed = self.shared.lock().change(self.id, change);
        if changed == Some(true) {
            self.shared.changed.notify_one();
        }
        changed.is_some()
    }
}

#[cfg(test)]
mod tests;
