//! Connections: which are kept for further requests.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;

/// Response in chunks, which ends.
const COMPLETE: &str =
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n";
/// Response in chunks, which does not end.
const ENDLESS: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";

/// Starts a server that runs `serve` with each connection.
async fn serve_connections<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = peer(listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    peer
}

/// Reads a request, which is one packet; returns `false` at the end of the connection.
async fn read_request(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 4_096]).await, Ok(1..))
}

fn predict() -> Call {
    Call::new(Method::POST, "/v1/predict", "{}")
}

/// A server that sends the same response to each request.
struct RawServer {
    peer: Peer,
    /// Number of accepted connections.
    accepted: Arc<AtomicUsize>,
    /// Receives a message for each connection that has ended.
    closed: mpsc::UnboundedReceiver<()>,
}

impl RawServer {
    /// Starts a server that closes a connection after `max_responses` responses.
    async fn start(response: &'static str, max_responses: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = peer(listener.local_addr().unwrap());
        let accepted = Arc::<AtomicUsize>::default();
        let (closed_sender, closed) = mpsc::unbounded_channel();
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let closed_sender = closed_sender.clone();
                tokio::spawn(async move {
                    let mut buffer = [0; 4_096];
                    for _ in 0..max_responses {
                        // A request is one packet.
                        match stream.read(&mut buffer).await {
                            Ok(1..) => stream.write_all(response.as_bytes()).await.unwrap(),
                            _ => break,
                        }
                    }
                    drop(stream);
                    let _ = closed_sender.send(());
                });
            }
        });
        Self { peer, accepted, closed }
    }

    /// Reads the first chunk of a response, and drops the rest.
    async fn read_first(&self, client: &SignedClient) {
        let call = Call { retry: Retry::Never, ..Call::new(Method::POST, "/v1/predict", "{}") };
        let mut response = client.stream(&self.peer, &call).await.unwrap();
        assert_eq!(response.next().await.unwrap().unwrap(), "first");
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
        server.closed.recv().await.unwrap();
        assert_eq!(server.accepted(), expected);
    }
}

#[tokio::test]
async fn connection_that_the_peer_has_closed_is_replaced() {
    let (client, mut server) = (client(), RawServer::start(COMPLETE, 1).await);
    for expected in 1..4 {
        server.read_first(&client).await;
        server.closed.recv().await.unwrap();
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
    server.closed.recv().await.unwrap();
    server.read_first(&client).await;
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn connection_is_kept_after_each_form_of_response() {
    for (response, body) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst", "first"),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n\
            HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst",
            "first",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n\
            5\r\nfirst\r\n0\r\nx: y\r\n\r\n",
            "first",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n\
            2;x=y\r\nfi\r\n03\r\nrst\r\n0\r\n\r\n",
            "first",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: x, chunked\r\n\r\n\
            5\r\nfirst\r\n0\r\n\r\n",
            "first",
        ),
        (
            "HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n\
            5\r\nfirst\r\n0\r\n\r\n",
            "first",
        ),
        // The lines of the head end with line feeds alone.
        (
            "HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n\
            5\r\nfirst\r\n0\r\n\r\n",
            "first",
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ""),
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
    ] {
        let (client, server) = (client(), RawServer::start(response, usize::MAX).await);
        for _ in 0..3 {
            assert_eq!(client.call(&server.peer, &predict()).await.unwrap().body, body);
        }
        assert_eq!(server.accepted(), 1, "{response}");
    }
}

#[tokio::test]
async fn chunks_that_have_arrived_are_joined() {
    let response = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
        2\r\nfi\r\n3\r\nrst\r\n0\r\n\r\n";
    let (client, server) = (client(), RawServer::start(response, usize::MAX).await);
    server.read_first(&client).await;
    server.read_first(&client).await;
    assert_eq!(server.accepted(), 1);
}

/// The lines of the head end with line feeds alone; the `\r\n\r\n` after it could be taken for its
/// end. More chunks follow than the client joins.
#[tokio::test]
async fn connection_with_unread_chunks_is_closed() {
    let chunks = "1\r\na\r\n".repeat(129);
    let response = format!("HTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n0\r\n\r\n{chunks}");
    let (client, mut server) = (client(), RawServer::start(response.leak(), usize::MAX).await);
    for expected in 1..3 {
        let mut response = client.stream(&server.peer, &predict()).await.unwrap();
        assert!(response.next().await.is_none());
        drop(response);
        server.closed.recv().await.unwrap();
        assert_eq!(server.accepted(), expected);
    }
}

#[tokio::test]
async fn response_in_small_packets_is_read() {
    let peer = serve_connections(move |mut stream| async move {
        stream.set_nodelay(true).unwrap();
        while read_request(&mut stream).await {
            for byte in COMPLETE.as_bytes() {
                stream.write_all(std::slice::from_ref(byte)).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    let client = client();
    for _ in 0..3 {
        assert_eq!(client.call(&peer, &predict()).await.unwrap().body, "first");
    }
}

/// The head of the response and its chunks are separate packets.
#[tokio::test]
async fn chunks_are_read_until_the_end_of_the_connection() {
    let peer = serve_connections(move |mut stream| async move {
        assert!(read_request(&mut stream).await);
        let (head, chunk) = ENDLESS.split_at(ENDLESS.find("5\r\n").unwrap());
        for packet in [head, chunk] {
            stream.write_all(packet.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let mut response = client().stream(&peer, &predict()).await.unwrap();
    assert_eq!(response.next().await.unwrap().unwrap(), "first");
    let error = response.next().await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::ConnectionLost(_)), "{error}");
    assert!(response.next().await.is_none());
}

#[tokio::test]
async fn connection_is_closed_after_its_last_response() {
    for response in [
        "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nfirst",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nfirst",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
        5\r\nfirst\r\n0\r\n\r\n",
        // Without a length, the end of the connection would be that of the body.
        "HTTP/1.1 200 OK\r\n\r\nfirst",
        // The bytes after the response are not the next one.
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst\
        HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n\
        HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
        // The next chunk is malformed.
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\nx\r\n0\r\n\r\n",
    ] {
        let (client, mut server) = (client(), RawServer::start(response, usize::MAX).await);
        for expected in 1..3 {
            server.read_first(&client).await;
            server.closed.recv().await.unwrap();
            assert_eq!(server.accepted(), expected, "{response}");
        }
    }
}

#[tokio::test]
async fn bytes_on_an_idle_connection_are_not_a_response() {
    let (response_sender, mut response_sent) = mpsc::unbounded_channel();
    let peer = serve_connections(move |mut stream| {
        let response_sender = response_sender.clone();
        async move {
            while read_request(&mut stream).await {
                stream.write_all(COMPLETE.as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
                let forged_response = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
                let _ = stream.write_all(forged_response).await;
                let _ = response_sender.send(());
            }
        }
    })
    .await;
    let client = client();
    for _ in 0..3 {
        assert_eq!(client.call(&peer, &predict()).await.unwrap().body, "first");
        response_sent.recv().await.unwrap();
        // The runtime must notice the bytes.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The peer may have executed it.
#[tokio::test]
async fn request_that_the_peer_has_read_is_not_sent_again() {
    let requests = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&requests);
    let peer = serve_connections(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            assert!(read_request(&mut stream).await);
            count.fetch_add(1, Ordering::SeqCst);
            stream.write_all(COMPLETE.as_bytes()).await.unwrap();
            if read_request(&mut stream).await {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let client = client();
    client.call(&peer, &predict()).await.unwrap();
    let error = client.call(&peer, &predict()).await.unwrap_err();
    assert!(matches!(error, CallError::ConnectionLost(_)), "{error}");
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn all_connections_that_the_peer_has_closed_are_replaced() {
    let (client, mut server) = (client(), RawServer::start(COMPLETE, 1).await);
    futures::future::join_all((0..4).map(|_| server.read_first(&client))).await;
    for _ in 0..4 {
        server.closed.recv().await.unwrap();
    }
    // The runtime must notice the ends.
    tokio::time::sleep(Duration::from_millis(20)).await;
    server.read_first(&client).await;
    assert_eq!(server.accepted(), 5);
}

#[tokio::test]
async fn timeout_closes_the_connection() {
    let (closed_sender, mut closed) = mpsc::unbounded_channel();
    let peer = serve_connections(move |mut stream| {
        let closed_sender = closed_sender.clone();
        async move {
            assert!(read_request(&mut stream).await);
            stream.write_all(COMPLETE.as_bytes()).await.unwrap();
            // Further requests get no response.
            while read_request(&mut stream).await {}
            let _ = closed_sender.send(());
        }
    })
    .await;
    let client = client();
    for _ in 0..2 {
        client.call(&peer, &predict()).await.unwrap();
        let call = Call { deadline: Duration::from_millis(50), ..predict() };
        assert!(client.call(&peer, &call).await.unwrap_err().is_timeout());
        closed.recv().await.unwrap();
    }
}

#[tokio::test]
async fn old_idle_connections_are_closed() {
    let (client, mut server) = (client(), RawServer::start(COMPLETE, usize::MAX).await);
    server.read_first(&client).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_mins(1)).await;
    tokio::time::resume();
    server.closed.recv().await.unwrap();
    server.read_first(&client).await;
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn many_small_chunks_yield_to_other_tasks() {
    let chunks = "1\r\nx\r\n".repeat(5_000);
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let response = format!("{head}{chunks}0\r\n\r\n").leak();
    let (client, server) = (client(), RawServer::start(response, usize::MAX).await);
    let mut response = client.stream(&server.peer, &predict()).await.unwrap();
    // All chunks must arrive, so that none is awaited.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (mut length, mut pending_polls) = (0, 0);
    loop {
        let next = std::future::poll_fn(|context| {
            let next = response.poll_next_unpin(context);
            pending_polls += u32::from(next.is_pending());
            next
        });
        let Some(chunk) = next.await else { break };
        length += chunk.unwrap().len();
    }
    assert_eq!(length, 5_000);
    assert!(pending_polls > 20, "{pending_polls}");
}
