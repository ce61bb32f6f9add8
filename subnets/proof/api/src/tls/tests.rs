//! Clients that stop in the middle of a TLS handshake, a head or a body do not block other clients.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::routing::get;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

/// Number of addresses of the attackers, from 127.0.0.2 on.
const ADDRESSES: u8 = 8;
/// Number of attackers.
const ATTACKERS: u8 = 64;
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
const POST: &[u8] = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nhalf";

const LIMITS: ServeLimits = ServeLimits {
    connections: 24,
    connections_per_address: 8,
    header_timeout: Duration::from_mins(5),
    header_bytes: 32 * 1024,
    write_timeout: Duration::from_mins(5),
    drain: Duration::from_secs(10),
    linger: Duration::from_secs(2),
};

struct Server {
    address: SocketAddr,
    client: Arc<ClientConfig>,
    stop: Shutdown,
}

impl Server {
    async fn start(limits: ServeLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::self_signed(folder.path()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(identity.certificate()).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/", get(|| async { "here" }).post(|body: Bytes| async move { drop(body) }));
        let stop = Shutdown::new();
        let serving = stop.clone();
        stop.spawn("api", async move {
            serve_tls(listener, routes, &identity, limits, &serving).await.unwrap();
        });
        Self { address, client: Arc::new(client), stop }
    }

    fn hello(&self) -> Vec<u8> {
        let mut hello = Vec::new();
        ClientConnection::new(Arc::clone(&self.client), server_name())
            .unwrap()
            .write_tls(&mut hello)
            .unwrap();
        hello
    }
}

fn server_name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

async fn connect_tcp(host: u8, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(Ipv4Addr::new(127, 0, 0, host).into(), 0))?;
    socket.connect(address).await
}

async fn connect_tls(
    host: u8,
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(Arc::clone(config))
        .connect(server_name(), connect_tcp(host, address).await?)
        .await
}

/// Sends the first half of a message, and waits until the server closes the connection.
async fn send_incomplete(
    number: u8,
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    incomplete: &IncompleteData,
) -> io::Result<()> {
    let host = 2 + number % ADDRESSES;
    match incomplete {
        IncompleteData::Hello(bytes) => {
            let mut stream = connect_tcp(host, address).await?;
            stream.write_all(bytes).await?;
            // The server's part of the handshake.
            stream.read_to_end(&mut Vec::new()).await.map(drop)
        }
        IncompleteData::Request(bytes) => {
            let mut stream = connect_tls(host, address, config).await?;
            stream.write_all(bytes).await?;
            stream.flush().await?;
            stream.read_u8().await.map(drop)
        }
    }
}

#[derive(Debug, Clone)]
enum IncompleteData {
    Hello(Vec<u8>),
    Request(&'static [u8]),
}

/// Opens connections, and reopens each closed one, until the test ends.
fn attack(server: &Server, incomplete: &IncompleteData) -> JoinSet<()> {
    let mut attackers = JoinSet::new();
    for number in 0..ATTACKERS {
        let (address, client, incomplete) =
            (server.address, Arc::clone(&server.client), incomplete.clone());
        attackers.spawn(async move {
            loop {
                let _ = send_incomplete(number, address, &client, &incomplete).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    attackers
}

async fn get_page(server: &Server) -> io::Result<String> {
    let mut stream = connect_tls(1, server.address, &server.client).await?;
    stream.write_all(GET).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[test]
fn byte_order_mark_of_pem_files_is_ignored() {
    let directory = tempfile::tempdir().unwrap();
    let identity = Identity::self_signed(directory.path()).unwrap();
    let with_byte_order_mark = |name: &str| {
        let path = directory.path().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("\u{feff}{text}")).unwrap();
        path
    };
    let read = Identity::read(
        &with_byte_order_mark("api-certificate.pem"),
        &with_byte_order_mark("api-key.pem"),
    )
    .unwrap();
    assert_eq!(read.certificate(), identity.certificate());
    assert!(read.acceptor().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_are_replaced() {
    let server = Server::start(LIMITS).await;
    let hello = server.hello();
    let half_hello = IncompleteData::Hello(hello[..hello.len() / 2].to_vec());
    // The second leaves the handshake after the client's first message.
    for incomplete in [
        half_hello,
        IncompleteData::Hello(hello),
        IncompleteData::Request(&GET[..20]),
        IncompleteData::Request(POST),
    ] {
        let attackers = attack(&server, &incomplete);
        tokio::time::sleep(Duration::from_millis(500)).await;
        for _ in 0..20 {
            let start = Instant::now();
            let answer =
                get_page(&server).await.unwrap_or_else(|error| panic!("{incomplete:?}: {error}"));
            assert!(answer.ends_with("here"), "{incomplete:?}: {answer}");
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "{incomplete:?}: {:?}",
                start.elapsed()
            );
        }
        drop(attackers);
    }
    server.stop.request();
    assert_eq!(server.stop.finished().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_and_heads_time_out() {
    let limits = ServeLimits { header_timeout: Duration::from_millis(200), ..LIMITS };
    let server = Server::start(limits).await;
    let hello = server.hello();
    for incomplete in [
        IncompleteData::Hello(hello[..hello.len() / 2].to_vec()),
        IncompleteData::Request(&GET[..20]),
    ] {
        let start = Instant::now();
        let read = tokio::time::timeout(
            Duration::from_secs(20),
            send_incomplete(0, server.address, &server.client, &incomplete),
        );
        let _ended = read.await.unwrap_or_else(|_| panic!("{incomplete:?} is held"));
        assert!(start.elapsed() >= limits.header_timeout, "{incomplete:?}");
    }
    server.stop.request();
}
