//! Idle WebSockets do not exhaust the connection slots.

use std::net::SocketAddr;
use std::time::Duration;

use jsonrpsee::core::client::{ClientT as _, Subscription, SubscriptionClientT as _};
use jsonrpsee::rpc_params;
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};
use serde_json::{Value, json};
use taonet_localnet::{Node, NodeHandle, RpcLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{config, connect_from, frame, node, post_on, upgrade_on};

async fn websocket_from(from: &str, to: SocketAddr) -> TcpStream {
    let (mut stream, response) = upgrade_on(connect_from(from, to).await, to, "").await;
    assert!(response.starts_with("HTTP/1.1 101"), "{response}");
    let mut head = response.into_bytes();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream
}

fn request() -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "system_name", "params": []}).to_string()
}

/// Sends a request from another address, and returns the HTTP status.
async fn status_from(from: &str, to: SocketAddr) -> u16 {
    let stream = connect_from(from, to).await;
    timeout(Duration::from_secs(20), post_on(stream, &to.to_string(), "", request().as_bytes()))
        .await
        .unwrap()
        .0
}

/// Sends a request over a WebSocket, and waits for its response; the node may send pings first.
async fn request_on(stream: &mut TcpStream) {
    stream.write_all(&frame(&request())).await.unwrap();
    let mut received = Vec::new();
    while !String::from_utf8_lossy(&received).contains("\"result\"") {
        let read = timeout(Duration::from_secs(20), stream.read_buf(&mut received))
            .await
            .unwrap()
            .unwrap();
        assert_ne!(read, 0, "closed after {received:?}");
    }
}

/// Whether the node closes the connection; it may send pings first.
async fn is_closed(stream: &mut TcpStream) -> bool {
    timeout(Duration::from_secs(20), stream.read_to_end(&mut Vec::new())).await.is_ok()
}

async fn start_node_with(connections: u32, connections_per_address: u32) -> NodeHandle {
    let mut config = config();
    config.rpc = RpcLimits { connections, connections_per_address, ..config.rpc };
    Node::start(config).await.unwrap()
}

async fn subscribe_heads(node: &NodeHandle) -> (WsClient, Subscription<Value>) {
    let client = WsClientBuilder::default().build(node.url()).await.unwrap();
    let subscription = client
        .subscribe("chain_subscribeNewHeads", rpc_params![], "chain_unsubscribeNewHeads")
        .await
        .unwrap();
    (client, subscription)
}

async fn expect_notification(subscription: &mut Subscription<Value>) {
    timeout(Duration::from_secs(20), subscription.next()).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn idle_websockets_are_evicted_for_new_connections() {
    let node = node().await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(websocket_from("127.0.0.1", node.address()).await);
    }
    for from in ["127.0.0.7", "127.0.0.1"] {
        assert_eq!(status_from(from, node.address()).await, 200, "{from}");
        websocket_from(from, node.address()).await;
    }
    assert!(is_closed(&mut idle[0]).await, "the oldest connection was not evicted");
    node.stop().await;
}

#[tokio::test]
async fn websockets_in_use_are_not_evicted() {
    let node = start_node_with(3, 3).await;
    let (client, mut subscription) = subscribe_heads(&node).await;
    expect_notification(&mut subscription).await;
    let mut first = websocket_from("127.0.0.1", node.address()).await;
    let mut second = websocket_from("127.0.0.1", node.address()).await;
    // A request makes the first connection more recently active than the second one.
    request_on(&mut first).await;
    for _ in 0..2 {
        assert_eq!(status_from("127.0.0.1", node.address()).await, 200);
    }
    assert!(is_closed(&mut second).await);
    // Requests on the first connection are still answered.
    request_on(&mut first).await;
    node.mine(1).await.unwrap();
    expect_notification(&mut subscription).await;
    assert_eq!(
        client.request::<Value, _>("system_chain", rpc_params![]).await.unwrap(),
        "Bittensor"
    );
    node.stop().await;
}

#[tokio::test]
async fn connection_is_refused_when_pool_is_full() {
    let node = start_node_with(2, 2).await;
    let (first, mut heads) = subscribe_heads(&node).await;
    let (_second, _heads) = subscribe_heads(&node).await;
    assert_eq!(status_from("127.0.0.7", node.address()).await, 429);
    let (_, response) =
        upgrade_on(connect_from("127.0.0.7", node.address()).await, node.address(), "").await;
    assert!(response.starts_with("HTTP/1.1 429"), "{response}");
    expect_notification(&mut heads).await;
    // A WebSocket without a subscription is evicted.
    heads.unsubscribe().await.unwrap();
    let _: Value = first.request("system_chain", rpc_params![]).await.unwrap();
    timeout(Duration::from_secs(20), async {
        while status_from("127.0.0.7", node.address()).await != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    node.stop().await;
}

#[tokio::test]
async fn connections_per_address_are_limited() {
    let node = start_node_with(3, 2).await;
    let (_first, _heads) = subscribe_heads(&node).await;
    let (_second, _more_heads) = subscribe_heads(&node).await;
    assert_eq!(status_from("127.0.0.1", node.address()).await, 429);
    assert_eq!(status_from("127.0.0.7", node.address()).await, 200);
    node.stop().await;
}
