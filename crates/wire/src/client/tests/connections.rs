//! Connections: which are kept for further requests.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;

/// Response in chunks, which ends.
const COMPLETE: &str =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n";
/// Response in chunks, which does not end.
const ENDLESS: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";

/// A server that sends the same response to each request.
struct RawServer {
    peer: Peer,
    /// Number of accepted connections.
    accepted: Arc<AtomicUsize>,
    /// Receives a message for each connection that has ended.
    ended: mpsc::UnboundedReceiver<()>,
}

impl RawServer {
    /// Starts a server that closes a connection after `most` responses.
    async fn start(response: &'static str, most: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = peer(listener.local_addr().unwrap());
        let accepted = Arc::<AtomicUsize>::default();
        let (ends, ended) = mpsc::unbounded_channel();
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let ends = ends.clone();
                tokio::spawn(async move {
                    let mut buffer = [0; 4_096];
                    for _ in 0..most {
                        // A request is one packet.
                        match stream.read(&mut buffer).await {
                            Ok(1..) => stream.write_all(response.as_bytes()).await.unwrap(),
                            _ => break,
                        }
                    }
                    drop(stream);
                    let _ = ends.send(());
                });
            }
        });
        Self { peer, accepted, ended }
    }

    /// Reads the first chunk of a response, and drops the rest.
    async fn read_first(&self, client: &SignedClient) {
        let call = Call { retry: Retry::Never, ..Call::new(Method::POST, "/v1/predict", "{}") };
        let mut answer = client.stream(&self.peer, &call).await.unwrap();
        assert_eq!(answer.next().await.unwrap().unwrap(), "first");
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn connection_is_kept_after_a_complete_response() {
    let (client, server) = (client(), RawServer::start(COMPLETE, usize::MAX).await);
    let call = Call::new(Method::POST, "/v1/predict", "{}");
    for _ in 0..3 {
        assert_eq!(client.call(&server.peer, &call).await.unwrap().body, "first");
    }
    // The end of the response has arrived with its first chunk.
    server.read_first(&client).await;
    server.read_first(&client).await;
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn dropping_an_incomplete_response_closes_its_connection() {
    let (client, mut server) = (client(), RawServer::start(ENDLESS, usize::MAX).await);
    for expected in 1..3 {
        server.read_first(&client).await;
        server.ended.recv().await.unwrap();
        assert_eq!(server.accepted(), expected);
    }
}

#[tokio::test]
async fn connection_that_the_peer_has_closed_is_replaced() {
    let (client, mut server) = (client(), RawServer::start(COMPLETE, 1).await);
    for expected in 1..4 {
        server.read_first(&client).await;
        server.ended.recv().await.unwrap();
        // The runtime must notice the end.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(server.accepted(), expected);
    }
}

#[tokio::test]
async fn idle_connections_are_limited() {
    let signer = Signer::new(key("//Alice"), "127.0.0.1", BabelbitScheme::axon());
    let config = ClientConfig { idle_per_host: 1, ..ClientConfig::default() };
    let client = SignedClient::new(signer, config).unwrap();
    let mut server = RawServer::start(COMPLETE, usize::MAX).await;
    let calls = (0..2).map(|_| server.read_first(&client));
    futures::future::join_all(calls).await;
    assert_eq!(server.accepted(), 2);
    // One of both is closed, and the other one serves further requests.
    server.ended.recv().await.unwrap();
    server.read_first(&client).await;
    assert_eq!(server.accepted(), 2);
}
