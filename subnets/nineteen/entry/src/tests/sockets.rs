//! A gateway on a port, and requests whose bytes and connections a test controls.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use taonet_http::{ServeLimits, serve};
use taonet_service::Shutdown;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::market::TestGateway;

/// Timeout for what takes milliseconds on an idle machine.
pub(super) const LONG_TIMEOUT: Duration = Duration::from_secs(30);
/// Begins an interim response, which clients skip.
const CONTINUE_RESPONSE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A gateway that is served on a port, as by `tao nineteen`.
pub(super) struct ServedGateway {
    pub(super) address: SocketAddr,
    shutdown: Shutdown,
}

impl ServedGateway {
    pub(super) async fn start(gateway: &TestGateway, limits: ServeLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, router, shutdown) =
            (listener.local_addr().unwrap(), gateway.router.clone(), Shutdown::new());
        let stop = shutdown.clone();
        shutdown.spawn("http", async move { serve(listener, router, &stop, limits).await });
        Self { address, shutdown }
    }

    /// Stops the server, which must end its requests in time.
    pub(super) async fn stop(self) {
        self.shutdown.request();
        self.shutdown.finished().await.unwrap();
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Returns the bytes of a request, after which the server closes the connection.
pub(super) fn request(path: &str, key: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\
         x-request-id: mine\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head, body].concat().into_bytes()
}

/// A complete response.
#[derive(Debug)]
pub(super) struct RawResponse {
    pub(super) status: u16,
    pub(super) body: String,
}

impl RawResponse {
    /// Reads a response to the end of the connection.
    pub(super) async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let _ = timeout(LONG_TIMEOUT, stream.read_to_end(&mut bytes))
            .await
            .expect("the connection stays open");
        Self::parse(&bytes).unwrap_or_else(|| panic!("incomplete: {}", bytes.escape_ascii()))
    }

    /// Parses a response after any number of interim ones; `None` if it is incomplete.
    pub(super) fn parse(mut bytes: &[u8]) -> Option<Self> {
        while let Some(after) = bytes.strip_prefix(CONTINUE_RESPONSE) {
            bytes = after;
        }
        let end = memchr::memmem::find(bytes, b"\r\n\r\n")?;
        let (head, body) =
            (std::str::from_utf8(&bytes[..end]).unwrap().to_lowercase(), &bytes[end + 4..]);
        let status = head.strip_prefix("http/1.1 ")?.get(..3)?.parse().ok()?;
        let body = if head.contains("transfer-encoding: chunked") {
            join_chunks(body)?
        } else {
            body.to_vec()
        };
        let length = head
            .split("content-length: ")
            .nth(1)
            .map(|rest| rest.lines().next().unwrap().parse().unwrap());
        let is_complete = length.is_none_or(|length: usize| length == body.len());
        is_complete.then(|| Self { status, body: String::from_utf8(body).unwrap() })
    }
}

/// Returns the content of chunks; `None` if the last one is missing.
fn join_chunks(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let end = memchr::memmem::find(bytes, b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        let chunk = bytes.get(end + 2..end + 2 + size)?;
        bytes = bytes[end + 2 + size..].strip_prefix(b"\r\n")?;
        if size == 0 {
            return Some(content);
        }
        content.extend_from_slice(chunk);
    }
}
