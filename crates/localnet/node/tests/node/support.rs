//! Test helpers: start nodes, sign extrinsics by hand, send requests over HTTP.

use std::net::SocketAddr;

use codec::{Compact, Encode};
use serde_json::{Value, json};
use sp_core::{H256, Pair, sr25519};
use taonet_localnet::{Node, NodeConfig, NodeHandle};
use taonet_localnet_runtime::{AccountId, RuntimeCall, VERSION, genesis};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// The start time of every test chain.
pub(crate) const START: u64 = 1_700_000_000_000;

pub(crate) fn config() -> NodeConfig {
    let mut config = NodeConfig::new(genesis::genesis(&[]).unwrap());
    config.start = Some(START);
    config
}

pub(crate) async fn node() -> NodeHandle {
    Node::start(config()).await.unwrap()
}

pub(crate) fn pair(name: &str) -> sr25519::Pair {
    sr25519::Pair::from_string(&format!("//{name}"), None).unwrap()
}

pub(crate) fn account(name: &str) -> AccountId {
    AccountId::new(pair(name).public().0)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

pub(crate) fn unhex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap().trim_start_matches("0x")).unwrap()
}

/// The fields of a signed extrinsic, which tests may falsify.
#[derive(Clone)]
pub(crate) struct Signing {
    pub(crate) genesis: H256,
    pub(crate) nonce: u32,
    pub(crate) tip: u64,
    pub(crate) era: Vec<u8>,
    pub(crate) era_block: H256,
    pub(crate) spec_version: u32,
}

impl Signing {
    /// Creates the fields of an immortal extrinsic without a tip.
    pub(crate) fn new(genesis: H256, nonce: u32) -> Self {
        Self {
            genesis,
            nonce,
            tip: 0,
            era: vec![0],
            era_block: genesis,
            spec_version: VERSION.spec_version,
        }
    }

    pub(crate) fn sign(&self, name: &str, call: &RuntimeCall) -> Vec<u8> {
        let extra =
            [self.era.clone(), Compact(self.nonce).encode(), Compact(self.tip).encode(), vec![0]]
                .concat();
        let implicit =
            (self.spec_version, VERSION.transaction_version, self.genesis, self.era_block, 0u8)
                .encode();
        let payload = [call.encode(), extra.clone(), implicit].concat();
        let signature = if payload.len() > 256 {
            pair(name).sign(&sp_io::hashing::blake2_256(&payload))
        } else {
            pair(name).sign(&payload)
        };
        let signature_fields =
            [&[0x84, 0][..], &pair(name).public().0, &[1], &signature.0].concat();
        [signature_fields, extra, call.encode()].concat().encode()
    }
}

/// Returns an immortal, correctly signed extrinsic.
pub(crate) fn signed(node: &NodeHandle, name: &str, nonce: u32, call: &RuntimeCall) -> Vec<u8> {
    Signing::new(node.genesis(), nonce).sign(name, call)
}

pub(crate) fn remark(text: &str) -> RuntimeCall {
    RuntimeCall::System(frame_system::Call::remark { remark: text.as_bytes().to_vec() })
}

pub(crate) fn transfer(to: &str, rao: u64) -> RuntimeCall {
    let dest = sp_runtime::MultiAddress::Id(account(to));
    RuntimeCall::Balances(pallet_balances::Call::transfer_keep_alive { dest, value: rao })
}

/// Posts a body to a node, and returns status and body of the response.
pub(crate) async fn post(address: SocketAddr, body: &[u8]) -> (u16, String) {
    post_to(address, &address.to_string(), "", body).await
}

/// Posts a body like [`post`], with a custom host and additional headers, each ending in CRLF.
pub(crate) async fn post_to(
    address: SocketAddr,
    host: &str,
    headers: &str,
    body: &[u8],
) -> (u16, String) {
    post_on(TcpStream::connect(address).await.unwrap(), host, headers, body).await
}

/// Posts a body like [`post_to`], on an open connection.
pub(crate) async fn post_on(
    mut stream: TcpStream,
    host: &str,
    headers: &str,
    body: &[u8],
) -> (u16, String) {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // A server may respond and close before it has read a body that it refuses.
    let _ = stream.write_all(body).await;
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    let response = String::from_utf8_lossy(&response).into_owned();
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = if head.to_lowercase().contains("transfer-encoding: chunked") {
        dechunk(body)
    } else {
        body.to_owned()
    };
    (status, body)
}

fn dechunk(mut body: &str) -> String {
    let mut body_text = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        if length == 0 {
            break;
        }
        body_text.push_str(&rest[..length]);
        body = &rest[length + 2..];
    }
    body_text
}

/// Sends a request and returns its result or error.
pub(crate) async fn try_rpc(
    node: &NodeHandle,
    method: &str,
    params: Value,
) -> Result<Value, Value> {
    try_rpc_at(node.address(), method, params).await
}

/// Sends a request like [`try_rpc`] to a node in another process.
pub(crate) async fn try_rpc_at(
    address: SocketAddr,
    method: &str,
    params: Value,
) -> Result<Value, Value> {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let (_, body) = post(address, request.to_string().as_bytes()).await;
    let mut response: Value =
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{method}: {error}: {body}"));
    match response.get_mut("result") {
        Some(result) => Ok(result.take()),
        None => Err(response["error"].take()),
    }
}

pub(crate) async fn rpc(node: &NodeHandle, method: &str, params: Value) -> Value {
    try_rpc(node, method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
}

/// Returns the storage key of `System.Account` for a development account.
pub(crate) fn account_key(name: &str) -> Vec<u8> {
    let account = account(name).encode();
    let hash = sp_io::hashing::blake2_128(&account);
    [storage_key("System", "Account"), hash.to_vec(), account].concat()
}

pub(crate) fn storage_key(pallet: &str, item: &str) -> Vec<u8> {
    [sp_io::hashing::twox_128(pallet.as_bytes()), sp_io::hashing::twox_128(item.as_bytes())]
        .concat()
}

/// Opens a raw WebSocket, which can send malformed frames and leave responses unread.
pub(crate) async fn websocket(address: SocketAddr) -> TcpStream {
    let (stream, response) = upgrade(address, "").await;
    assert!(response.starts_with("HTTP/1.1 101"), "{response}");
    stream
}

/// Requests a WebSocket upgrade with additional headers, each ending in CRLF; returns the start of
/// the response.
pub(crate) async fn upgrade(address: SocketAddr, headers: &str) -> (TcpStream, String) {
    upgrade_on(TcpStream::connect(address).await.unwrap(), address, headers).await
}

/// Requests a WebSocket upgrade like [`upgrade`], on an open connection.
pub(crate) async fn upgrade_on(
    mut stream: TcpStream,
    address: SocketAddr,
    headers: &str,
) -> (TcpStream, String) {
    let upgrade = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{headers}\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    let mut head = [0; 64];
    stream.read_exact(&mut head).await.unwrap();
    (stream, String::from_utf8_lossy(&head).into_owned())
}

/// Opens a connection from another loopback address.
pub(crate) async fn connect_from(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

/// Returns a short text message as a client's WebSocket frame, with a mask of zeros.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    assert!(text.len() < 126, "{text} is too long for a short frame");
    [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat()
}
