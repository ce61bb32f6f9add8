use super::*;

async fn acquire(slots: &ConnectionSlots, address: &str) -> ConnectionSlot {
    slots.acquire(address.parse().unwrap()).await.unwrap()
}

fn is_evicted(slot: &ConnectionSlot) -> bool {
    slot.0.eviction_token.is_cancelled()
}

#[tokio::test]
async fn addresses_of_one_network_count_together() {
    let slots = ConnectionSlots::new(8, 1);
    let acquire = async |address: &str| slots.acquire(address.parse().unwrap()).await;
    let first = acquire("2001:db8::1").await;
    assert!(first.as_ref().is_some_and(|slot| slot.progress().complete()));
    assert!(acquire("2001:db8::2").await.is_none());
    let others =
        [acquire("2001:db8:0:1::1").await, acquire("192.0.2.1").await, acquire("192.0.2.2").await];
    assert!(others.iter().all(|slot| slot.as_ref().is_some_and(|slot| slot.progress().complete())));
    assert!(acquire("::ffff:192.0.2.1").await.is_none(), "the same IPv4 address");
    drop((first, others));
    assert!(acquire("2001:db8::2").await.is_some());
    let state = slots.0.lock();
    assert!(state.addresses.is_empty() && state.open.is_empty() && state.ranks.is_empty());
}

#[tokio::test]
async fn oldest_incomplete_request_is_evicted() {
    let slots = ConnectionSlots::new(3, 3);
    let [busy, first, second] =
        [acquire(&slots, "::1").await, acquire(&slots, "::1").await, acquire(&slots, "::1").await];
    assert!(busy.progress().complete());
    let third = acquire(&slots, "::1").await;
    assert!(is_evicted(&first) && !is_evicted(&busy) && !is_evicted(&second));
    assert!(!first.progress().complete(), "too late");
    drop(first);
    // `busy` is now evictable too, but `second` has waited longer.
    busy.progress().mark_answered();
    let _fourth = acquire(&slots, "::1").await;
    assert!(is_evicted(&second) && !is_evicted(&busy) && !is_evicted(&third));
    assert_eq!(slots.0.lock().open.len(), 3);
}

#[tokio::test]
async fn address_at_its_limit_evicts_its_own_connection() {
    let slots = ConnectionSlots::new(3, 2);
    let other = acquire(&slots, "192.0.2.1").await;
    let [first, second] = [acquire(&slots, "192.0.2.2").await, acquire(&slots, "192.0.2.2").await];
    let third = acquire(&slots, "192.0.2.2").await;
    assert!(!is_evicted(&other) && is_evicted(&first) && !is_evicted(&second));
    assert!(second.progress().complete() && third.progress().complete());
    assert!(slots.acquire("192.0.2.2".parse().unwrap()).await.is_none());
}

#[tokio::test]
async fn address_with_most_incomplete_requests_is_evicted_first() {
    let slots = ConnectionSlots::new(3, 3);
    let idle_peer = acquire(&slots, "192.0.2.1").await;
    let greedy = [acquire(&slots, "192.0.2.2").await, acquire(&slots, "192.0.2.2").await];
    let _new = acquire(&slots, "192.0.2.3").await;
    assert!(!is_evicted(&idle_peer) && is_evicted(&greedy[0]) && !is_evicted(&greedy[1]));
}

#[tokio::test]
async fn new_connection_waits_while_all_slots_have_requests_in_flight() {
    let slots = ConnectionSlots::new(2, 2);
    let [first, second] = [acquire(&slots, "::1").await, acquire(&slots, "::2").await];
    assert!(first.progress().complete() && second.progress().complete() && !slots.evict());
    let waiting = tokio::spawn({
        let slots = slots.clone();
        async move { acquire(&slots, "192.0.2.1").await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    first.progress().mark_answered();
    let third = waiting.await.unwrap();
    assert!(is_evicted(&first) && third.progress().complete());
    let waiting = tokio::spawn(async move { acquire(&slots, "192.0.2.1").await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(second);
    waiting.await.unwrap();
}

/// More clients than slots may share one address (NAT, a proxy): idle keep-alive connections make
/// room for them.
#[tokio::test]
async fn idle_connections_are_evicted_for_other_clients_of_the_address() {
    let slots = ConnectionSlots::new(8, 3);
    let clients =
        [acquire(&slots, "::1").await, acquire(&slots, "::1").await, acquire(&slots, "::1").await];
    for client in &clients {
        assert!(client.progress().complete());
        client.progress().mark_answered();
    }
    // The first client sends another request: its connection is no longer the oldest.
    assert!(clients[0].progress().complete());
    clients[0].progress().mark_answered();
    let fourth = acquire(&slots, "::1").await;
    assert!(is_evicted(&clients[1]) && !is_evicted(&clients[0]) && !is_evicted(&clients[2]));
    assert!([&clients[0], &clients[2], &fourth].iter().all(|client| client.progress().complete()));
    assert!(
        slots.acquire("::1".parse().unwrap()).await.is_none(),
        "only requests in flight are limited"
    );
}

#[tokio::test]
async fn client_that_does_not_read_is_evictable_until_it_reads() {
    let slots = ConnectionSlots::new(2, 2);
    let [first, second] = [acquire(&slots, "::1").await, acquire(&slots, "::2").await];
    assert!(first.progress().complete() && second.progress().complete());
    first.progress().mark_stalled();
    first.progress().mark_resumed();
    assert!(slots.try_acquire("192.0.2.1".parse().unwrap()).is_none());
    second.progress().mark_stalled();
    assert!(
        second.progress().complete(),
        "its next request has arrived, and it still does not read"
    );
    let third = acquire(&slots, "192.0.2.1").await;
    assert!(is_evicted(&second) && !is_evicted(&first) && third.progress().complete());
}

#[tokio::test]
async fn idle_upgraded_connections_are_evicted_last() {
    let slots = ConnectionSlots::new(3, 3);
    let [websocket, busy, half] =
        [acquire(&slots, "::1").await, acquire(&slots, "::1").await, acquire(&slots, "::1").await];
    assert!(websocket.progress().complete() && busy.progress().complete());
    websocket.progress().mark_upgraded_idle();
    let first = acquire(&slots, "::1").await;
    assert!(is_evicted(&half) && !is_evicted(&websocket));
    assert!(first.progress().complete());
    assert!(websocket.progress().complete(), "a request");
    assert!(slots.try_acquire("::1".parse().unwrap()).is_none());
    websocket.progress().mark_upgraded_idle();
    assert!(slots.try_acquire("::1".parse().unwrap()).is_some() && is_evicted(&websocket));
    assert!(slots.0.lock().ranks.is_empty());
}

#[tokio::test]
async fn slot_is_kept_unless_its_replacement_succeeds() {
    let slots = ConnectionSlots::new(3, 2);
    let replace = |previous: &ConnectionSlot, address: &str| {
        slots.try_replace(previous, address.parse().unwrap())
    };
    let [first, second, other] = [
        acquire(&slots, "::1").await,
        acquire(&slots, "::1").await,
        acquire(&slots, "192.0.2.1").await,
    ];
    for slot in [&first, &second, &other] {
        assert!(slot.progress().complete());
    }
    assert!(
        replace(&other, "::1").is_none(),
        "the address is at its limit, with requests in flight"
    );
    assert!(other.progress().complete(), "the slot is kept");
    let replaced = replace(&first, "::1").unwrap();
    assert!(!first.progress().complete() && replaced.progress().complete());
    let replaced_twice = replace(&replaced, "192.0.2.1").unwrap();
    assert!(!replaced.progress().complete() && replaced_twice.progress().complete());
    drop((first, replaced));
    assert_eq!(slots.0.lock().open.len(), 3);
    // A connection without a slot is replaced like any new one.
    replaced_twice.progress().mark_answered();
    let new = acquire(&slots, "192.0.2.2").await;
    assert!(is_evicted(&replaced_twice) && new.progress().complete());
    assert!(replace(&replaced_twice, "192.0.2.3").is_none(), "all slots have requests in flight");
    second.progress().mark_answered();
    assert!(replace(&replaced_twice, "192.0.2.3").is_some() && is_evicted(&second));
}
