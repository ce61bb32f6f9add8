use super::*;

async fn enter(places: &Places, address: &str) -> Place {
    places.enter(address.parse().unwrap()).await.unwrap()
}

fn is_evicted(place: &Place) -> bool {
    place.0.evicted.is_cancelled()
}

#[tokio::test]
async fn addresses_of_one_network_count_together() {
    let places = Places::new(8, 1);
    let enter = async |address: &str| places.enter(address.parse().unwrap()).await;
    let first = enter("2001:db8::1").await;
    assert!(first.as_ref().is_some_and(|place| place.progress().complete()));
    assert!(enter("2001:db8::2").await.is_none());
    let others = [enter("2001:db8:0:1::1").await, enter("192.0.2.1").await, enter("192.0.2.2").await];
    assert!(others.iter().all(|place| place.as_ref().is_some_and(|place| place.progress().complete())));
    assert!(enter("::ffff:192.0.2.1").await.is_none(), "the same IPv4 address");
    drop((first, others));
    assert!(enter("2001:db8::2").await.is_some());
    let state = places.0.lock();
    assert!(state.addresses.is_empty() && state.open.is_empty() && state.ranks.is_empty());
}

#[tokio::test]
async fn the_oldest_incomplete_request_makes_room() {
    let places = Places::new(3, 3);
    let [busy, first, second] = [enter(&places, "::1").await, enter(&places, "::1").await, enter(&places, "::1").await];
    assert!(busy.progress().complete());
    let third = enter(&places, "::1").await;
    assert!(is_evicted(&first) && !is_evicted(&busy) && !is_evicted(&second));
    assert!(!first.progress().complete(), "too late");
    drop(first);
    // Its request is answered, but it has waited for less time than the second.
    busy.progress().answered();
    let _fourth = enter(&places, "::1").await;
    assert!(is_evicted(&second) && !is_evicted(&busy) && !is_evicted(&third));
    assert_eq!(places.0.lock().open.len(), 3);
}

#[tokio::test]
async fn an_address_with_all_its_places_loses_one_of_its_own() {
    let places = Places::new(3, 2);
    let other = enter(&places, "192.0.2.1").await;
    let [first, second] = [enter(&places, "192.0.2.2").await, enter(&places, "192.0.2.2").await];
    let third = enter(&places, "192.0.2.2").await;
    assert!(!is_evicted(&other) && is_evicted(&first) && !is_evicted(&second));
    assert!(second.progress().complete() && third.progress().complete());
    assert!(places.enter("192.0.2.2".parse().unwrap()).await.is_none());
}

#[tokio::test]
async fn an_address_with_many_incomplete_requests_loses_its_own() {
    let places = Places::new(3, 3);
    let modest = enter(&places, "192.0.2.1").await;
    let greedy = [enter(&places, "192.0.2.2").await, enter(&places, "192.0.2.2").await];
    let _new = enter(&places, "192.0.2.3").await;
    assert!(!is_evicted(&modest) && is_evicted(&greedy[0]) && !is_evicted(&greedy[1]));
}

#[tokio::test]
async fn while_all_are_being_answered_a_new_connection_waits() {
    let places = Places::new(2, 2);
    let [first, second] = [enter(&places, "::1").await, enter(&places, "::2").await];
    assert!(first.progress().complete() && second.progress().complete() && !places.evict());
    let waiting = tokio::spawn({
        let places = places.clone();
        async move { enter(&places, "192.0.2.1").await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    first.progress().answered();
    let third = waiting.await.unwrap();
    assert!(is_evicted(&first) && third.progress().complete());
    let waiting = tokio::spawn(async move { enter(&places, "192.0.2.1").await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(second);
    waiting.await.unwrap();
}

/// Behind one address (NAT, a proxy) may be more clients than it has places: idle keep-alive connections make room.
#[tokio::test]
async fn idle_connections_of_an_address_make_room_for_its_other_clients() {
    let places = Places::new(8, 3);
    let clients = [enter(&places, "::1").await, enter(&places, "::1").await, enter(&places, "::1").await];
    for client in &clients {
        assert!(client.progress().complete());
        client.progress().answered();
    }
    // The first client sends another request: its connection is no longer the oldest.
    assert!(clients[0].progress().complete());
    clients[0].progress().answered();
    let fourth = enter(&places, "::1").await;
    assert!(is_evicted(&clients[1]) && !is_evicted(&clients[0]) && !is_evicted(&clients[2]));
    assert!([&clients[0], &clients[2], &fourth].iter().all(|client| client.progress().complete()));
    assert!(places.enter("::1".parse().unwrap()).await.is_none(), "only requests in flight are limited");
}

#[tokio::test]
async fn a_client_that_does_not_read_makes_room_until_it_reads() {
    let places = Places::new(2, 2);
    let [first, second] = [enter(&places, "::1").await, enter(&places, "::2").await];
    assert!(first.progress().complete() && second.progress().complete());
    first.progress().stalled();
    first.progress().resumed();
    assert!(places.enter_now("192.0.2.1".parse().unwrap()).is_none());
    second.progress().stalled();
    assert!(second.progress().complete(), "its next request has arrived, and it still does not read");
    let third = enter(&places, "192.0.2.1").await;
    assert!(is_evicted(&second) && !is_evicted(&first) && third.progress().complete());
}

#[tokio::test]
async fn idle_upgraded_connections_go_last() {
    let places = Places::new(3, 3);
    let [websocket, busy, half] =
        [enter(&places, "::1").await, enter(&places, "::1").await, enter(&places, "::1").await];
    assert!(websocket.progress().complete() && busy.progress().complete());
    websocket.progress().upgraded_idle();
    let first = enter(&places, "::1").await;
    assert!(is_evicted(&half) && !is_evicted(&websocket));
    assert!(first.progress().complete());
    assert!(websocket.progress().complete(), "a request");
    assert!(places.enter_now("::1".parse().unwrap()).is_none());
    websocket.progress().upgraded_idle();
    assert!(places.enter_now("::1".parse().unwrap()).is_some() && is_evicted(&websocket));
    assert!(places.0.lock().ranks.is_empty());
}
