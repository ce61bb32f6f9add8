//! Connection slots of a server: a bounded number of connections, with eviction of idle ones.
//!
//! A client that opens connections and never completes a request, or never reads a response, could
//! occupy all slots. Once all slots are in use, a new connection therefore evicts one that has an
//! incomplete request, is idle between requests, or belongs to a client that does not read the
//! response. Such connections are *evictable*. The address with the most evictable connections
//! loses the one that has been evictable longest. A client that opens many connections therefore
//! loses only its own.
//!
//! An idle keep-alive connection is as evictable as one with an incomplete request, since its
//! client can reconnect. More clients than the limit can therefore share one address (NAT, a
//! proxy), as long as the number of requests in flight is below the limit.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, getrlimit};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::subscriber;

/// The bounded set of a server's open connections. Clones share one set.
#[derive(Debug, Clone)]
pub struct ConnectionSlots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max_connections: usize,
    max_per_address: usize,
    state: Mutex<State>,
    /// Notified when a slot becomes free or a connection becomes evictable.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<u64, OpenConnection>,
    addresses: HashMap<IpAddr, AddressState>,
    /// The addresses with evictable connections, sorted so that the next one to lose a connection
    /// is last.
    ranks: BTreeSet<Rank>,
    /// The last sequence number assigned. Connections, and the moments at which they became
    /// evictable, are numbered in one sequence.
    last_sequence_number: u64,
}

/// State of an open connection.
#[derive(Debug)]
struct OpenConnection {
    address: IpAddr,
    /// Sequence number of the moment at which the wait for a complete request began; `None` while a
    /// request is being answered.
    waiting_since: Option<u64>,
    /// Sequence number of the moment at which the client stopped reading; `None` while it reads.
    stalled_since: Option<u64>,
    /// Whether the connection was upgraded, for example to a WebSocket.
    is_upgraded: bool,
    eviction_token: CancellationToken,
}

impl OpenConnection {
    fn eviction_order(&self) -> Option<EvictionOrder> {
        let since = self.waiting_since.into_iter().chain(self.stalled_since).min()?;
        Some(EvictionOrder { is_upgraded: self.is_upgraded, since })
    }
}

/// Eviction order among the evictable connections of one address. Idle upgraded connections are
/// evicted last, because their clients rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct EvictionOrder {
    is_upgraded: bool,
    since: u64,
}

/// Eviction order of addresses: by number of evictable connections, then by the turn of the
/// connection that would be evicted first.
type Rank = (usize, Reverse<EvictionOrder>, IpAddr);

/// Connections of one address.
#[derive(Debug, Default)]
struct AddressState {
    open: usize,
    /// Evictable connections, the next one to be evicted first.
    evictable: BTreeMap<EvictionOrder, u64>,
}

impl AddressState {
    fn rank(&self, address: IpAddr) -> Option<Rank> {
        let (first, _) = self.evictable.first_key_value()?;
        Some((self.evictable.len(), Reverse(*first), address))
    }
}

/// Why no slot is available.
enum SlotRefusal {
    /// The address has reached its limit of connections.
    AddressLimit,
    /// All slots are in use.
    AllInUse,
}

impl ConnectionSlots {
    /// Creates a set of `max_connections` slots, of which at most `max_per_address` are for one
    /// address (for IPv6, one /64). The set is reduced to half of the process's open-file limit if
    /// that is lower: a server without a free file descriptor cannot accept the connection that
    /// would evict another.
    pub fn new(max_connections: usize, max_per_address: usize) -> Self {
        let files =
            getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files / 2).ok());
        let max_connections = max_connections.min(files.unwrap_or(usize::MAX)).max(1);
        Self(Arc::new(Shared {
            max_connections,
            max_per_address,
            state: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// Acquires a slot for a connection from `address`; `None` if the address is at its limit and
    /// none of its connections is evictable.
    ///
    /// If all slots are in use, finds the address with the most evictable connections, and evicts
    /// the connection of that address that has been evictable longest (upgraded connections last).
    /// If no connection is evictable, waits until one is. If `address` is at its limit, evicts one
    /// of its own connections.
    pub async fn acquire(&self, address: IpAddr) -> Option<ConnectionSlot> {
        loop {
            let changed = self.0.changed.notified();
            match self.acquire_free(address, None) {
                Ok(slot) => return Some(slot),
                Err(SlotRefusal::AddressLimit) => return None,
                Err(SlotRefusal::AllInUse) => changed.await,
            }
        }
    }

    /// Acquires a slot as [`Self::acquire`] does, but returns `None` where it would wait.
    pub fn try_acquire(&self, address: IpAddr) -> Option<ConnectionSlot> {
        self.acquire_free(address, None).ok()
    }

    /// Acquires a slot as [`Self::try_acquire`] does, in exchange for that of `previous`. If no
    /// slot is available even then, returns `None`, and `previous` keeps its slot.
    pub fn try_replace(
        &self,
        previous: &ConnectionSlot,
        address: IpAddr,
    ) -> Option<ConnectionSlot> {
        self.acquire_free(address, Some(previous.0.id)).ok()
    }

    /// Acquires a slot without waiting, in exchange for that of the connection `previous`.
    fn acquire_free(
        &self,
        address: IpAddr,
        previous: Option<u64>,
    ) -> Result<ConnectionSlot, SlotRefusal> {
        let address = subscriber(address);
        let mut state = self.0.lock();
        // An evicted connection has no slot to exchange.
        let previous = previous.and_then(|id| Some((id, state.open.get(&id)?.address)));
        let open_connections = state.addresses.get(&address).map_or(0, |address| address.open);
        let freed_slots = usize::from(previous.is_some_and(|(_, previous)| previous == address));
        if open_connections - freed_slots >= self.0.max_per_address && !state.evict(Some(address)) {
            return Err(SlotRefusal::AddressLimit);
        }
        if let Some((id, _)) = previous {
            state.close(id);
        }
        if state.open.len() >= self.0.max_connections && !state.evict(None) {
            return Err(SlotRefusal::AllInUse);
        }
        let (id, eviction_token) = state.open(address);
        Ok(ConnectionSlot(Progress { shared: Arc::clone(&self.0), id, eviction_token }))
    }

    /// Evicts the connection that [`Self::acquire`] would evict if all slots were in use. Returns
    /// whether one was evictable.
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
    fn next_sequence_number(&mut self) -> u64 {
        self.last_sequence_number += 1;
        self.last_sequence_number
    }

    fn open(&mut self, address: IpAddr) -> (u64, CancellationToken) {
        let (id, eviction_token) = (self.next_sequence_number(), CancellationToken::new());
        let (waiting_since, stalled_since) = (Some(id), None);
        let opened = OpenConnection {
            address,
            waiting_since,
            stalled_since,
            is_upgraded: false,
            eviction_token: eviction_token.clone(),
        };
        let order = opened.eviction_order();
        self.open.insert(id, opened);
        self.update_address(address, |address_state| {
            address_state.open += 1;
            address_state.evictable.extend(order.map(|order| (order, id)));
        });
        (id, eviction_token)
    }

    fn close(&mut self, id: u64) -> bool {
        let Some(closed) = self.open.remove(&id) else { return false };
        self.update_address(closed.address, |address_state| {
            address_state.open -= 1;
            if let Some(order) = closed.eviction_order() {
                address_state.evictable.remove(&order);
            }
        });
        true
    }

    /// Applies `change` to a connection, with the next sequence number. Returns whether the
    /// connection became evictable; `None` if it no longer has a slot.
    fn update_connection(
        &mut self,
        id: u64,
        change: impl FnOnce(&mut OpenConnection, u64),
    ) -> Option<bool> {
        let now = self.next_sequence_number();
        let open = self.open.get_mut(&id)?;
        let before = open.eviction_order();
        change(open, now);
        let (after, address) = (open.eviction_order(), open.address);
        if after != before {
            self.update_address(address, |address_state| {
                if let Some(order) = before {
                    address_state.evictable.remove(&order);
                }
                address_state.evictable.extend(after.map(|order| (order, id)));
            });
        }
        Some(after.is_some() && before.is_none())
    }

    fn update_address(&mut self, address: IpAddr, change: impl FnOnce(&mut AddressState)) {
        let address_state = self.addresses.entry(address).or_default();
        let before = address_state.rank(address);
        change(address_state);
        let after = address_state.rank(address);
        if address_state.open == 0 {
            self.addresses.remove(&address);
        }
        if after != before {
            if let Some(rank) = before {
                self.ranks.remove(&rank);
            }
            self.ranks.extend(after);
        }
    }

    /// Evicts a connection of `of_address`, or of any address if `None`. Returns whether one
    /// was evictable.
    fn evict(&mut self, of_address: Option<IpAddr>) -> bool {
        let address = of_address.or_else(|| self.ranks.last().map(|(_, _, address)| *address));
        let evictable = address.and_then(|address| Some(&self.addresses.get(&address)?.evictable));
        let Some(id) = evictable.and_then(|evictable| evictable.values().next().copied()) else {
            return false;
        };
        if let Some(open) = self.open.get(&id) {
            tracing::debug!(address = %open.address, "connection evicted to make room for another");
            open.eviction_token.cancel();
        }
        self.close(id)
    }
}

/// The slot of one connection, released on drop.
#[derive(Debug)]
pub struct ConnectionSlot(Progress);

impl ConnectionSlot {
    /// Returns a handle to the state of the connection's current request.
    pub fn progress(&self) -> Progress {
        self.0.clone()
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        // An evicted connection has already lost its slot.
        if self.0.shared.lock().close(self.0.id) {
            self.0.shared.changed.notify_one();
        }
    }
}

/// A handle to the state of a connection's current request. A new connection waits for its first
/// request.
#[derive(Debug, Clone)]
pub struct Progress {
    shared: Arc<Shared>,
    id: u64,
    eviction_token: CancellationToken,
}

impl Progress {
    /// Marks the request as completely received, so that the connection is not evictable. Returns
    /// `false` if the connection was already evicted; the request must then not be answered.
    pub fn complete(&self) -> bool {
        self.change(|open, _| open.waiting_since = None)
    }

    /// Marks the request as answered: the connection waits for the next request. Has no effect if
    /// the answered request was not completely received.
    pub fn mark_answered(&self) {
        self.change(|open, now| open.waiting_since = open.waiting_since.or(Some(now)));
    }

    /// Marks an upgraded connection as idle: it is evictable until [`Self::complete`] is called
    /// again.
    pub fn mark_upgraded_idle(&self) {
        self.change(|open, now| {
            open.is_upgraded = true;
            open.waiting_since = open.waiting_since.or(Some(now));
        });
    }

    /// Marks the client as not reading: the connection is evictable, regardless of its request.
    pub(crate) fn mark_stalled(&self) {
        self.change(|open, now| open.stalled_since = open.stalled_since.or(Some(now)));
    }

    /// Marks the client as reading again.
    pub(crate) fn mark_resumed(&self) {
        self.change(|open, _| open.stalled_since = None);
    }

    /// Completes when the connection is evicted; the server then drops it.
    pub async fn evicted(&self) {
        self.eviction_token.cancelled().await;
    }

    /// Applies `change` to the connection. Returns whether the connection still has its slot.
    fn change(&self, change: impl FnOnce(&mut OpenConnection, u64)) -> bool {
        let changed = self.shared.lock().update_connection(self.id, change);
        if changed == Some(true) {
            self.shared.changed.notify_one();
        }
        changed.is_some()
    }
}

#[cfg(test)]
mod tests;
