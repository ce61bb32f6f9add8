//! QUIC client tests with miners that violate the protocol.

use btlightning::HandshakeRequest;
use btlightning::types::read_frame;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{SendStream, ServerConfig};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use taonet_proof_core::handshake::{ALPN, encode_signature, fingerprint, response_text};
use tokio::time::{Instant, timeout};

use super::*;

const LIMITS: Limits = Limits {
    connect_timeout: LONG_TIMEOUT,
    max_in_flight_bytes: 1 << 20,
    transfer_timeout: Duration::from_millis(500),
};
/// Maximum size of an answer. It exceeds the memory for all answers.
const LIMIT: usize = 2 << 20;
const LONG_TIMEOUT: Duration = Duration::from_secs(20);

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

fn client(limits: Limits) -> QuicClient {
    QuicClient::bind_with(&key("//Alice"), limits).unwrap()
}

/// Runs a client beside a miner that never stops serving.
async fn run_beside_server<T>(
    client_task: impl Future<Output = T>,
    server_task: impl Future<Output = ()>,
) -> T {
    tokio::select! {
        actual = client_task => actual,
        () = server_task => unreachable!("the miner serves"),
    }
}

/// A miner's server with the key of `//Bob`.
struct FakeMiner {
    endpoint: Endpoint,
    fingerprint: String,
}

impl FakeMiner {
    fn start(has_key: bool) -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned()];
        let certificate =
            rcgen::CertificateParams::new(names).unwrap().self_signed(&pair).unwrap().der().clone();
        let pair = if has_key { pair } else { rcgen::KeyPair::generate().unwrap() };
        let provider = aws_lc_rs::default_provider();
        let signing = provider
            .key_provider
            .load_private_key(PrivatePkcs8KeyDer::from(pair.serialize_der()).into());
        let certified = CertifiedKey::new(vec![certificate.clone()], signing.unwrap());
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
        Self { endpoint, fingerprint: fingerprint(&certificate) }
    }

    fn peer(&self, uri: &str) -> Peer {
        Peer::new(key(uri).hotkey(), "127.0.0.1", self.endpoint.local_addr().unwrap().port())
            .unwrap()
    }

    async fn accept(&self) -> Connection {
        self.endpoint.accept().await.unwrap().await.unwrap()
    }

    /// Accepts the handshake of a connection.
    async fn accept_handshake(&self, connection: &Connection) {
        let (mut send, mut recv) = connection.accept_bi().await.unwrap();
        let (_, request) = read_frame(&mut recv, 4096).await.unwrap();
        let request: HandshakeRequest = rmp_serde::from_slice(&request).unwrap();
        let (bob, timestamp) = (key("//Bob"), unix_seconds());
        let miner = bob.hotkey().to_string();
        let text = response_text(
            &request.validator_hotkey,
            &miner,
            timestamp,
            &request.nonce,
            &self.fingerprint,
        );
        let response = btlightning::HandshakeResponse {
            miner_hotkey: miner,
            timestamp,
            signature: encode_signature(bob.sign(text.as_bytes()).as_bytes()),
            accepted: true,
            connection_id: String::new(),
            cert_fingerprint: Some(self.fingerprint.clone()),
        };
        let response = rmp_serde::to_vec(&response).unwrap();
        write_frame_and_finish(&mut send, MessageType::HandshakeResponse, &response).await.unwrap();
    }

    /// Reads a request, and returns the stream for its answer.
    async fn request(connection: &Connection) -> SendStream {
        let (send, mut recv) = connection.accept_bi().await.unwrap();
        read_frame(&mut recv, MIN_ANSWER_LIMIT_BYTES).await.unwrap();
        send
    }
}

/// Sends a request without content.
async fn request_proof(
    client: &QuicClient,
    peer: &Peer,
    time_limit: Duration,
) -> Result<QueryZkProofResponse, RequestError> {
    let message = QueryZkProofResponse::default();
    client.call(peer, QUERY_ZK_PROOF, &message, LIMIT, time_limit).await.map(|(answer, _)| answer)
}

/// Begins an answer of `size` bytes with its first `sent` bytes.
async fn begin_answer(stream: &mut SendStream, size: usize, sent: usize) {
    let header =
        [&[MessageType::SynapseResponse as u8][..], &u32::try_from(size).unwrap().to_be_bytes()]
            .concat();
    stream.write_all(&header).await.unwrap();
    stream.write_all(&vec![0; sent]).await.unwrap();
}

fn fault<T: std::fmt::Debug>(result: Result<T, RequestError>) -> Fault {
    match result {
        Err(RequestError::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    }
}

/// Returns an answer with this error.
fn error_answer(error: &str) -> Vec<u8> {
    let data = std::collections::HashMap::new();
    rmp_serde::to_vec(&SynapseResponse {
        success: false,
        data,
        timestamp: 0,
        error: Some(error.to_owned()),
    })
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_attempts_time_out() {
    let limits = Limits { connect_timeout: Duration::from_secs(2), ..LIMITS };
    let client = client(limits);
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let unreachable =
        Peer::new(key("//Bob").hotkey(), "127.0.0.1", silent.local_addr().unwrap().port()).unwrap();
    let start = Instant::now();
    assert_eq!(fault(request_proof(&client, &unreachable, LONG_TIMEOUT).await), Fault::Unreachable);
    assert!(
        (limits.connect_timeout..LONG_TIMEOUT / 2).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
    let second_start = Instant::now();
    assert_eq!(fault(request_proof(&client, &unreachable, LONG_TIMEOUT).await), Fault::Unreachable);
    assert!(
        second_start.elapsed() < limits.connect_timeout,
        "no second attempt at once: {:?}",
        second_start.elapsed()
    );

    // A miner that connects, and does not answer the signed handshake.
    let miner = FakeMiner::start(true);
    let server_task = async { drop((miner.accept().await, std::future::pending::<()>().await)) };
    let start = Instant::now();
    let actual = run_beside_server(
        async { request_proof(&client, &miner.peer("//Bob"), LONG_TIMEOUT).await },
        server_task,
    )
    .await;
    assert_eq!(fault(actual), Fault::Unreachable);
    assert!(
        (limits.connect_timeout..LONG_TIMEOUT / 2).contains(&start.elapsed()),
        "{:?}",
        start.elapsed()
    );
}

/// Large answers wait for memory; the response time and its timeout exclude that wait. Answers that
/// never end time out and release their memory.
#[tokio::test(flavor = "multi_thread")]
async fn response_timeout_excludes_wait_for_memory() {
    let (client, miner) = (client(LIMITS), FakeMiner::start(true));
    let peer = miner.peer("//Bob");
    let server_task = async {
        let connection = miner.accept().await;
        miner.accept_handshake(&connection).await;
        // The first two answers never end: one has all memory, the other is the one that may exceed
        // it.
        let mut connections = Vec::new();
        for _ in 0..2 {
            let mut stream = FakeMiner::request(&connection).await;
            begin_answer(&mut stream, LIMIT, 1 << 20).await;
            connections.push(stream);
        }
        let mut last = FakeMiner::request(&connection).await;
        let large_answer = error_answer(&"x".repeat(1 << 20));
        write_frame_and_finish(&mut last, MessageType::SynapseResponse, &large_answer)
            .await
            .unwrap();
        std::future::pending::<()>().await;
    };
    let client_task = async {
        let after = async |pause: u64, time_limit: Duration| {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let start = Instant::now();
            let message = QueryZkProofResponse::default();
            let answer = client
                .call::<QueryZkProofResponse>(&peer, QUERY_ZK_PROOF, &message, LIMIT, time_limit)
                .await;
            (fault(answer.map(|(answer, _)| answer)), start.elapsed())
        };
        // Connecting takes a while, after which waiting requests would be sent in any order.
        client.follow(&[ProofMiner { peer: peer.clone(), wire: Wire::Quic }]).await;
        tokio::join!(
            after(0, LONG_TIMEOUT),
            after(300, LONG_TIMEOUT),
            after(600, Duration::from_secs(1))
        )
    };
    let (first, second, (last, waited)) = run_beside_server(client_task, server_task).await;
    assert_eq!((first.0, second.0), (Fault::Timeout, Fault::Timeout));
    assert_eq!(last, Fault::Refused, "the answer was complete within its second");
    assert!(
        waited > Duration::from_millis(1_200) && waited < LONG_TIMEOUT / 2,
        "there was no memory for a while: {waited:?}"
    );
}

/// A miner that declares a large answer and sends little of it reserves no memory.
#[tokio::test(flavor = "multi_thread")]
async fn declared_size_reserves_no_memory() {
    let (client, miner) =
        (client(Limits { transfer_timeout: LONG_TIMEOUT, ..LIMITS }), FakeMiner::start(true));
    let all_held = tokio::sync::Notify::new();
    let peer = miner.peer("//Bob");
    let server_task = async {
        let connection = miner.accept().await;
        miner.accept_handshake(&connection).await;
        let mut connections = Vec::new();
        for _ in 0..8 {
            let mut stream = FakeMiner::request(&connection).await;
            begin_answer(&mut stream, LIMIT, 1_000).await;
            connections.push(stream);
        }
        all_held.notify_one();
        let mut last = FakeMiner::request(&connection).await;
        let large_answer = error_answer(&"x".repeat(1 << 20));
        write_frame_and_finish(&mut last, MessageType::SynapseResponse, &large_answer)
            .await
            .unwrap();
        std::future::pending::<()>().await;
    };
    let client_task = async {
        // Connecting takes a while, after which waiting requests would be sent in any order.
        client.follow(&[ProofMiner { peer: peer.clone(), wire: Wire::Quic }]).await;
        let mut waiting_requests = JoinSet::new();
        for _ in 0..8 {
            let (client, peer) = (QuicClient(Arc::clone(&client.0)), peer.clone());
            waiting_requests
                .spawn(async move { fault(request_proof(&client, &peer, LONG_TIMEOUT).await) });
        }
        all_held.notified().await;
        let last = fault(request_proof(&client, &peer, LONG_TIMEOUT).await);
        (last, waiting_requests.len(), waiting_requests.try_join_next().is_none())
    };
    let actual = run_beside_server(client_task, server_task).await;
    assert_eq!(actual, (Fault::Refused, 8, true), "the large answer does not wait for the others");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_bounded_in_size_and_time() {
    let (client, miner) = (client(LIMITS), FakeMiner::start(true));
    let peer = miner.peer("//Bob");
    let server_task = async {
        let connection = miner.accept().await;
        miner.accept_handshake(&connection).await;
        let mut large_stream = FakeMiner::request(&connection).await;
        begin_answer(&mut large_stream, LIMIT + 1, 0).await;
        let mut other_stream = FakeMiner::request(&connection).await;
        write_frame_and_finish(&mut other_stream, MessageType::StreamEnd, &error_answer("no"))
            .await
            .unwrap();
        let _none = FakeMiner::request(&connection).await;
        std::future::pending::<()>().await;
    };
    let client_task = async {
        [
            fault(request_proof(&client, &peer, LONG_TIMEOUT).await),
            fault(request_proof(&client, &peer, LONG_TIMEOUT).await),
            fault(request_proof(&client, &peer, Duration::from_millis(300)).await),
        ]
    };
    let actual = run_beside_server(client_task, server_task).await;
    assert_eq!(actual, [Fault::Malformed, Fault::Malformed, Fault::Timeout]);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_opened_by_miners_are_refused() {
    let (client, miner) = (client(LIMITS), FakeMiner::start(true));
    let peer = miner.peer("//Bob");
    let server_task = async {
        let connection = miner.accept().await;
        miner.accept_handshake(&connection).await;
        let mut stream = FakeMiner::request(&connection).await;
        for opened in [
            timeout(LIMITS.transfer_timeout, connection.open_uni()).await.map(drop),
            timeout(LIMITS.transfer_timeout, connection.open_bi()).await.map(drop),
        ] {
            assert!(opened.is_err(), "the miner opened a stream");
        }
        write_frame_and_finish(&mut stream, MessageType::SynapseResponse, &error_answer("no"))
            .await
            .unwrap();
        std::future::pending::<()>().await;
    };
    let actual = run_beside_server(request_proof(&client, &peer, LONG_TIMEOUT), server_task).await;
    assert_eq!(fault(actual), Fault::Refused);
}

/// Anyone can present the certificate of a miner, but not its key.
#[tokio::test(flavor = "multi_thread")]
async fn servers_need_the_key_of_their_certificate() {
    for has_key in [true, false] {
        let (client, miner) = (client(LIMITS), FakeMiner::start(has_key));
        let server_task = async {
            let Ok(connection) = miner.endpoint.accept().await.unwrap().await else {
                return std::future::pending().await;
            };
            if !has_key {
                // The server may complete its side before the client's alert arrives.
                connection.closed().await;
                return std::future::pending().await;
            }
            miner.accept_handshake(&connection).await;
            let mut stream = FakeMiner::request(&connection).await;
            write_frame_and_finish(&mut stream, MessageType::SynapseResponse, &error_answer("no"))
                .await
                .unwrap();
            std::future::pending::<()>().await;
        };
        let peer = miner.peer("//Bob");
        let actual =
            run_beside_server(request_proof(&client, &peer, LONG_TIMEOUT), server_task).await;
        let expected = if has_key { Fault::Refused } else { Fault::Unreachable };
        assert_eq!(fault(actual), expected, "{has_key}");
    }
}

/// Another hotkey at a miner's address is refused, and does not interrupt the miner's connection.
#[tokio::test(flavor = "multi_thread")]
async fn hotkeys_at_one_address_share_its_connection() {
    let (client, miner) = (client(LIMITS), FakeMiner::start(true));
    let server_task = async {
        let connection = miner.accept().await;
        for _ in 0..2 {
            miner.accept_handshake(&connection).await;
        }
        let mut stream = FakeMiner::request(&connection).await;
        write_frame_and_finish(
            &mut stream,
            MessageType::SynapseResponse,
            &error_answer("handler timed out"),
        )
        .await
        .unwrap();
        std::future::pending::<()>().await;
    };
    let (bob, stranger) = (miner.peer("//Bob"), miner.peer("//Charlie"));
    let client_task = async {
        [
            fault(request_proof(&client, &stranger, LONG_TIMEOUT).await),
            // At once, without another handshake.
            fault(request_proof(&client, &stranger, LONG_TIMEOUT).await),
            fault(request_proof(&client, &bob, LONG_TIMEOUT).await),
        ]
    };
    let actual = run_beside_server(client_task, server_task).await;
    assert_eq!(actual, [Fault::Refused, Fault::Refused, Fault::Timeout]);
}

/// A hotkey that was refused is tried again immediately when it returns to the list.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_removed_hotkeys_are_forgotten() {
    let (client, miner) = (client(LIMITS), FakeMiner::start(true));
    let handshakes = std::sync::atomic::AtomicUsize::new(0);
    let server_task = async {
        let connection = miner.accept().await;
        loop {
            miner.accept_handshake(&connection).await;
            handshakes.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    };
    let (bob, stranger) = (miner.peer("//Bob"), miner.peer("//Charlie"));
    let client_task = async {
        for _ in 0..2 {
            assert_eq!(
                fault(request_proof(&client, &stranger, LONG_TIMEOUT).await),
                Fault::Refused
            );
        }
        client.follow(&[ProofMiner { peer: bob, wire: Wire::Quic }]).await;
        assert_eq!(fault(request_proof(&client, &stranger, LONG_TIMEOUT).await), Fault::Refused);
    };
    run_beside_server(client_task, server_task).await;
    // One each for the stranger, Bob, and the stranger again.
    assert_eq!(handshakes.into_inner(), 3);
}
