//! End-to-end tests from the list of miners to their responses, through working and faulty
//! gateways.

mod faults;

use std::time::Duration;

use serde_json::{Value, json};
use wiremock::MockServer;

use super::testing::{
    VirtualClock, config, gateway, hotkey, ok, registered, requests_to, route, text_response,
};
use super::*;
use crate::gateway::testing::{RunningGateway, parrot, play};
use crate::gateway::{ArenaGatewayConfig, Listing};

const LIST: &str = "/list_arena_miners";

fn arena(url: &str, virtual_clock: &VirtualClock) -> Arena {
    Arena::with_time(
        config(url, ArenaSettings { status: "any".into(), ..ArenaSettings::default() }),
        virtual_clock.time(),
    )
    .unwrap()
}

fn page(rows: &[(u16, &str)]) -> wiremock::ResponseTemplate {
    let row = |(uid, status): &(u16, &str)| {
        json!({ "hotkey": hotkey(*uid), "uid": uid, "status": status, "provider": "gateway",
                "url": format!("http://9.9.9.9:{uid}/runsync") })
    };
    ok(json!({ "containers": rows.iter().map(row).collect::<Vec<Value>>() }))
}

async fn poll_gateway(server: &MockServer, virtual_clock: &VirtualClock) -> Vec<u16> {
    let miners = arena(&server.uri(), virtual_clock).miners(&registered(&[1, 2, 3])).await.unwrap();
    miners.iter().map(|miner| miner.key.uid.0).collect()
}

#[tokio::test]
async fn round_waits_until_all_miners_are_ready() {
    let (server, virtual_clock) = (gateway().await, VirtualClock::default());
    let pages = [
        page(&[(1, "running"), (2, "warming")]),
        page(&[(1, "running"), (2, "warming")]),
        page(&[(1, "running"), (2, "idle")]),
    ];
    route(&server, "GET", LIST, pages.into()).await;
    assert_eq!(poll_gateway(&server, &virtual_clock).await, [1, 2]);
    assert_eq!(virtual_clock.waits(), [10.0, 10.0]);
}

#[tokio::test]
async fn miner_not_ready_in_time_is_omitted() {
    let (server, virtual_clock) = (gateway().await, VirtualClock::default());
    route(&server, "GET", LIST, vec![page(&[(1, "running"), (2, "warming"), (3, "idle")])]).await;
    assert_eq!(poll_gateway(&server, &virtual_clock).await, [1, 3]);
    assert!((virtual_clock.waits().iter().sum::<f64>() - 300.0).abs() < 0.1);
}

#[tokio::test]
async fn empty_arena_is_polled_until_the_timeout() {
    let (server, virtual_clock) = (gateway().await, VirtualClock::default());
    route(&server, "GET", LIST, vec![page(&[]), page(&[(9, "running")]), page(&[(2, "running")])])
        .await;
    assert_eq!(poll_gateway(&server, &virtual_clock).await, [2]);
    assert_eq!(virtual_clock.waits(), [10.0, 10.0]);
    let (server, virtual_clock) = (gateway().await, VirtualClock::default());
    route(&server, "GET", LIST, vec![page(&[])]).await;
    assert_eq!(poll_gateway(&server, &virtual_clock).await, [0_u16; 0]);
    assert_eq!(virtual_clock.waits().len(), 30);
}

#[tokio::test]
async fn ready_polls_are_at_least_1_s_apart() {
    let (server, virtual_clock) = (gateway().await, VirtualClock::default());
    route(&server, "GET", LIST, vec![page(&[(1, "warming")])]).await;
    let settings = ArenaSettings {
        status: "any".into(),
        ready_poll: Duration::ZERO,
        ready_timeout: Duration::from_millis(2_500),
        ..ArenaSettings::default()
    };
    let arena = Arena::with_time(config(&server.uri(), settings), virtual_clock.time()).unwrap();
    assert!(arena.miners(&registered(&[1])).await.unwrap().is_empty());
    assert_eq!(virtual_clock.waits(), [1.0, 1.0, 0.5]);
    assert_eq!(requests_to(&server, LIST).await.len(), 4);
}

/// Starts a gateway with an echoing miner for each of these uids.
async fn start_gateway_with_miners(listing: Listing, uids: &[u16]) -> RunningGateway {
    let running =
        RunningGateway::start(ArenaGatewayConfig { listing, ..crate::gateway::testing::config() })
            .await;
    for uid in uids {
        let url = parrot(*uid).await;
        assert!(running.submit(*uid, url.as_str()).await.unwrap().listed);
    }
    running
}

#[tokio::test]
async fn miners_are_played_through_our_gateway_and_directly() {
    for listing in [Listing::Gateway, Listing::Endpoints] {
        let fixture = start_gateway_with_miners(listing, &[1, 2, 4]).await;
        let virtual_clock = VirtualClock::default();
        let arena = Arena::with_time(
            config(fixture.url.as_str(), ArenaSettings::default()),
            virtual_clock.time(),
        )
        .unwrap();
        let miners = arena.miners(&registered(&[1, 2, 3])).await.unwrap();
        assert_eq!(
            miners.iter().map(|miner| miner.key.uid.0).collect::<Vec<_>>(),
            [1, 2],
            "{listing:?}"
        );
        for miner in &miners {
            for utterance in 0..2 {
                play(&*miner.connection, utterance, 5).await;
            }
        }
        assert!(virtual_clock.waits().is_empty());
    }
}

#[tokio::test]
async fn redirects_and_private_endpoints_are_refused() {
    let (server, redirect_target) = (gateway().await, MockServer::start().await);
    route(&server, "GET", LIST, vec![text_response(302, "")]).await;
    let virtual_clock = VirtualClock::default();
    let error = arena(&server.uri(), &virtual_clock).miners(&registered(&[1])).await.err().unwrap();
    assert!(error.to_string().contains("status=302"), "{error}");

    let server = gateway().await;
    let redirect =
        text_response(307, "").insert_header("location", format!("{}/x", redirect_target.uri()));
    route(&server, "POST", "/v1/predict", vec![redirect.clone()]).await;
    route(&server, "POST", "/runsync", vec![redirect]).await;
    let row = |uid: u16, provider: &str, path: &str| {
        let url = format!("{}{path}", server.uri());
        json!({ "hotkey": hotkey(uid), "status": "running", "provider": provider, "url": url })
    };
    let rows = [row(1, "gateway", "/runsync"), row(2, "other", "")];
    route(&server, "GET", LIST, vec![ok(json!({ "containers": rows }))]).await;
    let miners = arena(&server.uri(), &virtual_clock).miners(&registered(&[1, 2])).await.unwrap();
    assert_eq!(miners.len(), 2);
    for miner in &miners {
        let init = crate::gateway::testing::init(0);
        let error = miner.connection.init(init, Duration::from_secs(5)).await.unwrap_err();
        assert!(error.to_string().starts_with("307:"), "{error}");
    }
    assert!(redirect_target.received_requests().await.unwrap().is_empty());

    // In production, only the configured gateway may have a private address.
    let mut production =
        config(&server.uri(), ArenaSettings { status: "any".into(), ..ArenaSettings::default() });
    production.policy = super::testing::policy(false);
    let miners = Arena::with_time(production, virtual_clock.time())
        .unwrap()
        .miners(&registered(&[1, 2]))
        .await
        .unwrap();
    assert_eq!(miners.iter().map(|miner| miner.key.uid.0).collect::<Vec<_>>(), [1]);
}
