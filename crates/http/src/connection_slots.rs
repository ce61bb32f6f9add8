//! Connection slots of a server: a bounded number of connections, with eviction of incomplete requests.
//!
//! A client that opens connections and never completes a request could occupy all slots. So a new connection evicts one
//! with an incomplete request: of the address with the most such connections, the one that has waited longest. A client
//! that opens many therefore only loses its own.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The bounded set of a server's open connections. Clones share one set.
#[derive(Debug, Clone)]
pub struct ConnectionSlots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    connections: usize,
    per_address: usize,
    state: Mutex<State>,
    /// A slot became free, or a connection started to wait for a request.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<u64, Open>,
    addresses: HashMap<IpAddr, Counts>,
    /// Next sequence number, for connection ids and for the order in which connections started to wait.
    next: u64,
}

/// An open connection.
#[derive(Debug)]
struct Open {
    address: IpAddr,
    /// Sequence number of the start of waiting for a complete request; `None` while a request is in progress.
    waiting_since: Option<u64>,
    evicted: CancellationToken,
}

/// Connections of one address.
#[derive(Debug, Default)]
struct Counts {
    open: usize,
    waiting: usize,
}

impl ConnectionSlots {
    /// Creates `connections` slots, of which at most `per_address` are for one address (for IPv6, one /64).
    pub fn new(connections: usize, per_address: usize) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Shared { connections: connections.max(1), per_address, state, changed: Notify::new() }))
    }

    /// Acquires a slot for a connection from `address`.
    ///
    /// If all slots are in use, evicts the connection with an incomplete request that has waited longest; if there is
    /// none, waits until a connection ends. If the address is at its limit, evicts one of its own connections; `None`
    /// if all of them have a request in progress.
    pub async fn acquire(&self, address: IpAddr) -> Option<ConnectionSlot> {
        let address = network(address);
        loop {
            let changed = self.0.changed.notified();
            {
                let mut state = self.0.lock();
                let of_address = state.addresses.get(&address).map_or(0, |counts| counts.open);
                if of_address >= self.0.per_address && !state.evict(Some(address)) {
                    return None;
                }
                if state.open.len() < self.0.connections || state.evict(None) {
                    let (id, evicted) = state.open(address);
                    return Some(ConnectionSlot(Progress { shared: Arc::clone(&self.0), id, evicted }));
                }
            }
            changed.await;
        }
    }

    /// Evicts the connection with an incomplete request that has waited longest; returns whether there was one.
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
        self.open.insert(id, Open { address, waiting_since: Some(id), evicted: evicted.clone() });
        let counts = self.addresses.entry(address).or_default();
        counts.open += 1;
        counts.waiting += 1;
        (id, evicted)
    }

    fn close(&mut self, id: u64) -> bool {
        let Some(closed) = self.open.remove(&id) else { return false };
        if let Some(counts) = self.addresses.get_mut(&closed.address) {
            counts.open -= 1;
            counts.waiting -= usize::from(closed.waiting_since.is_some());
            if counts.open == 0 {
                self.addresses.remove(&closed.address);
            }
        }
        true
    }

    /// Evicts a connection, optionally one of the given address.
    fn evict(&mut self, of: Option<IpAddr>) -> bool {
        let waiting = |address| self.addresses.get(address).map_or(0, |counts| counts.waiting);
        let incomplete = self.open.iter().filter_map(|(id, open)| Some((id, open, open.waiting_since?)));
        let incomplete = incomplete.filter(|(_, open, _)| of.is_none_or(|of| of == open.address));
        let Some((&id, open, _)) = incomplete.max_by_key(|(_, open, since)| (waiting(&open.address), Reverse(*since)))
        else {
            return false;
        };
        tracing::debug!(address = %open.address, "incomplete request evicted: all connection slots are in use");
        open.evicted.cancel();
        self.close(id)
    }
}

/// The slot of one connection, released on drop.
#[derive(Debug)]
pub struct ConnectionSlot(Progress);

impl ConnectionSlot {
    /// Progress of the connection's current request.
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

/// Progress of a connection's current request. A new connection waits for its first request.
#[derive(Debug, Clone)]
pub struct Progress {
    shared: Arc<Shared>,
    id: u64,
    evicted: CancellationToken,
}

impl Progress {
    /// Marks the request as complete: the connection is no longer evicted. `false` if it was already evicted; then the
    /// request must not be answered.
    pub fn complete(&self) -> bool {
        let mut state = self.shared.lock();
        let State { open, addresses, .. } = &mut *state;
        let Some(open) = open.get_mut(&self.id) else { return false };
        if open.waiting_since.take().is_some()
            && let Some(counts) = addresses.get_mut(&open.address)
        {
            counts.waiting -= 1;
        }
        true
    }

    /// Marks the request as answered: the connection waits for the next one. No effect if the request was answered
    /// before it was complete.
    pub fn answered(&self) {
        let mut state = self.shared.lock();
        let now = state.tick();
        let State { open, addresses, .. } = &mut *state;
        let Some(open) = open.get_mut(&self.id).filter(|open| open.waiting_since.is_none()) else { return };
        open.waiting_since = Some(now);
        if let Some(counts) = addresses.get_mut(&open.address) {
            counts.waiting += 1;
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Completes when the connection is evicted; the server then drops it.
    pub async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

/// The network that counts as one address: for IPv6 the /64, whose addresses usually belong to one host.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn acquire(slots: &ConnectionSlots, address: &str) -> ConnectionSlot {
        slots.acquire(address.parse().unwrap()).await.unwrap()
    }

    fn is_evicted(slot: &ConnectionSlot) -> bool {
        slot.0.evicted.is_cancelled()
    }

    #[tokio::test]
    async fn addresses_of_one_network_count_together() {
        let slots = ConnectionSlots::new(8, 1);
        let enter = async |address: &str| slots.acquire(address.parse().unwrap()).await;
        let first = enter("2001:db8::1").await;
        assert!(first.as_ref().is_some_and(|slot| slot.progress().complete()));
        assert!(enter("2001:db8::2").await.is_none());
        let others = [enter("2001:db8:0:1::1").await, enter("192.0.2.1").await, enter("192.0.2.2").await];
        assert!(others.iter().all(|slot| slot.as_ref().is_some_and(|slot| slot.progress().complete())));
        assert!(enter("::ffff:192.0.2.1").await.is_none(), "the same IPv4 address");
        drop((first, others));
        assert!(enter("2001:db8::2").await.is_some());
        assert!(slots.0.lock().addresses.is_empty() && slots.0.lock().open.is_empty());
    }

    #[tokio::test]
    async fn the_oldest_incomplete_request_makes_room() {
        let slots = ConnectionSlots::new(3, 3);
        let [busy, first, second] =
            [acquire(&slots, "::1").await, acquire(&slots, "::1").await, acquire(&slots, "::1").await];
        assert!(busy.progress().complete());
        let third = acquire(&slots, "::1").await;
        assert!(is_evicted(&first) && !is_evicted(&busy) && !is_evicted(&second));
        assert!(!first.progress().complete(), "too late");
        drop(first);
        // Its request is answered, but it has waited for less time than the second.
        busy.progress().answered();
        let _fourth = acquire(&slots, "::1").await;
        assert!(is_evicted(&second) && !is_evicted(&busy) && !is_evicted(&third));
        assert_eq!(slots.0.lock().open.len(), 3);
    }

    #[tokio::test]
    async fn an_address_with_all_its_places_loses_one_of_its_own() {
        let slots = ConnectionSlots::new(3, 2);
        let other = acquire(&slots, "192.0.2.1").await;
        let [first, second] = [acquire(&slots, "192.0.2.2").await, acquire(&slots, "192.0.2.2").await];
        let third = acquire(&slots, "192.0.2.2").await;
        assert!(!is_evicted(&other) && is_evicted(&first) && !is_evicted(&second));
        assert!(second.progress().complete() && third.progress().complete());
        assert!(slots.acquire("192.0.2.2".parse().unwrap()).await.is_none());
    }

    #[tokio::test]
    async fn an_address_with_many_incomplete_requests_loses_its_own() {
        let slots = ConnectionSlots::new(3, 3);
        let modest = acquire(&slots, "192.0.2.1").await;
        let greedy = [acquire(&slots, "192.0.2.2").await, acquire(&slots, "192.0.2.2").await];
        let _new = acquire(&slots, "192.0.2.3").await;
        assert!(!is_evicted(&modest) && is_evicted(&greedy[0]) && !is_evicted(&greedy[1]));
    }

    #[tokio::test]
    async fn while_all_are_being_answered_a_new_connection_waits() {
        let slots = ConnectionSlots::new(2, 2);
        let [first, second] = [acquire(&slots, "::1").await, acquire(&slots, "::2").await];
        assert!(first.progress().complete() && second.progress().complete() && !slots.evict());
        let waiting = tokio::spawn({
            let slots = slots.clone();
            async move { acquire(&slots, "192.0.2.1").await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        first.progress().answered();
        let third = waiting.await.unwrap();
        assert!(is_evicted(&first) && third.progress().complete());
        let waiting = tokio::spawn(async move { acquire(&slots, "192.0.2.1").await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
    }
}
