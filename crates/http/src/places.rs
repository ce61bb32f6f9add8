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
use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    addresses: HashMap<IpAddr, Address>,
    /// The addresses with evictable connections, the next one to lose a connection last.
    ranks: BTreeSet<Rank>,
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
    fn turn(&self) -> Option<Turn> {
        let since = self.waiting_since.into_iter().chain(self.stalled_since).min()?;
        Some(Turn { upgraded: self.upgraded, since })
    }
}

/// The position of a connection among the evictable ones of its address. Idle upgraded connections go last: their clients
/// rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    upgraded: bool,
    since: u64,
}

/// The position of an address among all: by its evictable connections, then by the first of them.
type Rank = (usize, Reverse<Turn>, IpAddr);

/// Connections of one address.
#[derive(Debug, Default)]
struct Address {
    open: usize,
    /// The evictable ones, the next one to lose its place first.
    evictable: BTreeMap<Turn, u64>,
}

impl Address {
    fn rank(&self, address: IpAddr) -> Option<Rank> {
        let (first, _) = self.evictable.first_key_value()?;
        Some((self.evictable.len(), Reverse(*first), address))
    }
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
        let of_address = state.addresses.get(&address).map_or(0, |address| address.open);
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
        let turn = opened.turn();
        self.open.insert(id, opened);
        self.change_address(address, |of_address| {
            of_address.open += 1;
            of_address.evictable.extend(turn.map(|turn| (turn, id)));
        });
        (id, evicted)
    }

    fn close(&mut self, id: u64) -> bool {
        let Some(closed) = self.open.remove(&id) else { return false };
        self.change_address(closed.address, |of_address| {
            of_address.open -= 1;
            if let Some(turn) = closed.turn() {
                of_address.evictable.remove(&turn);
            }
        });
        true
    }

    /// Changes a connection at the moment `now`. `None` when it has no place any more; else whether it became evictable.
    fn change(&mut self, id: u64, change: impl FnOnce(&mut Open, u64)) -> Option<bool> {
        let now = self.tick();
        let open = self.open.get_mut(&id)?;
        let before = open.turn();
        change(open, now);
        let (after, address) = (open.turn(), open.address);
        if after != before {
            self.change_address(address, |of_address| {
                if let Some(turn) = before {
                    of_address.evictable.remove(&turn);
                }
                of_address.evictable.extend(after.map(|turn| (turn, id)));
            });
        }
        Some(after.is_some() && before.is_none())
    }

    fn change_address(&mut self, address: IpAddr, change: impl FnOnce(&mut Address)) {
        let of_address = self.addresses.entry(address).or_default();
        let before = of_address.rank(address);
        change(of_address);
        let after = of_address.rank(address);
        if of_address.open == 0 {
            self.addresses.remove(&address);
        }
        if after != before {
            if let Some(rank) = before {
                self.ranks.remove(&rank);
            }
            self.ranks.extend(after);
        }
    }

    /// Evicts a connection: where one address is given, one of this address.
    fn evict(&mut self, of: Option<IpAddr>) -> bool {
        let address = of.or_else(|| self.ranks.last().map(|(_, _, address)| *address));
        let evictable = address.and_then(|address| Some(&self.addresses.get(&address)?.evictable));
        let Some(id) = evictable.and_then(|evictable| evictable.values().next().copied()) else { return false };
        if let Some(open) = self.open.get(&id) {
            tracing::debug!(address = %open.address, "connection closed: its place was needed");
            open.evicted.cancel();
        }
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
