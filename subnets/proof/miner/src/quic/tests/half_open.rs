//! Handshakes and messages that never complete, from several addresses, do not block other clients.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use btlightning::types::{read_frame, write_frame_and_finish};
use btlightning::{
    HandshakeRequest, HandshakeResponse, MessageType, SynapsePacket, SynapseResponse,
};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{
    AsyncUdpSocket, ClientConfig, Connection, EndpointConfig, RecvStream, Runtime, SendStream,
    TokioRuntime, UdpPoller,
};
use rustls::DigitallySignedStruct;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use taonet_proof_core::handshake::{encode_signature, request_text};

use super::*;

/// Number of addresses of the attackers, from 127.0.0.2 on.
const ADDRESSES: u8 = 8;
/// Number of attackers.
const ATTACKERS: u8 = 64;

const LIMITS: Limits = Limits {
    connections: 40,
    connections_per_address: 8,
    validators: 40,
    validators_per_address: 8,
    max_streams: 4,
    max_message_bytes: MIN_MESSAGE_LIMIT_BYTES,
    handshake_timeout: Duration::from_mins(5),
    transfer_timeout: Duration::from_mins(5),
};

/// Certificate verifier that accepts every certificate.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A socket that receives only Retry packets: its client proves its address, and never completes a
/// handshake.
#[derive(Debug)]
struct RetryOnlySocket(Arc<dyn AsyncUdpSocket>);

impl AsyncUdpSocket for RetryOnlySocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.0).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.0.try_send(transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = self.0.poll_recv(context, buffers, meta);
        if let Poll::Ready(Ok(count)) = received {
            for (buffer, meta) in buffers.iter().zip(meta.iter_mut()).take(count) {
                // The type of a packet with a long header, RFC 9000, section 17.2.
                if buffer[0] & 0b1011_0000 != 0b1011_0000 {
                    meta.len = 0;
                }
            }
        }
        received
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.0.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.0.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.0.may_fragment()
    }
}

fn endpoint(host: u8, only_retries: bool) -> Endpoint {
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, host), 0)).unwrap();
    let mut socket = TokioRuntime.wrap_udp_socket(socket).unwrap();
    if only_retries {
        socket = Arc::new(RetryOnlySocket(socket));
    }
    let runtime = Arc::new(TokioRuntime);
    let mut endpoint =
        Endpoint::new_with_abstract_socket(EndpointConfig::default(), None, socket, runtime)
            .unwrap();
    let mut tls =
        rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate))
            .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(
        QuicClientConfig::try_from(tls).unwrap(),
    )));
    endpoint
}

/// Completes the signed handshake of `//Attacker{number}`.
async fn authenticate(connection: &Connection, number: u8) -> Option<()> {
    let certificates =
        connection.peer_identity().unwrap().downcast::<Vec<CertificateDer<'static>>>().unwrap();
    let (keypair, fingerprint) =
        (key(&format!("//Attacker{number}")), fingerprint(&certificates[0]));
    let (validator_hotkey, timestamp) =
        (keypair.hotkey().to_string(), admission::unix_seconds(SystemTime::now()));
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let nonce = format!("{:032x}", since_epoch.as_nanos());
    let text = request_text(&validator_hotkey, timestamp, &nonce, &fingerprint);
    let signature = encode_signature(keypair.sign(text.as_bytes()).as_bytes());
    let request = HandshakeRequest { validator_hotkey, timestamp, nonce, signature };
    let (mut send, mut recv) = connection.open_bi().await.ok()?;
    let request = rmp_serde::to_vec(&request).unwrap();
    write_frame_and_finish(&mut send, MessageType::HandshakeRequest, &request).await.ok()?;
    let (_, response) = read_frame(&mut recv, 4096).await.ok()?;
    rmp_serde::from_slice::<HandshakeResponse>(&response).unwrap().accepted.then_some(())
}

/// Opens a stream and sends half a message.
async fn send_half(connection: &Connection, kind: MessageType) -> Option<(SendStream, RecvStream)> {
    let (mut send, recv) = connection.open_bi().await.ok()?;
    // A message of 1 000 bytes.
    send.write_all(&[kind as u8, 0, 0, 3, 232, 1, 2, 3]).await.ok()?;
    Some((send, recv))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Attack {
    HalfTls,
    Silent,
    HalfHandshake,
    /// Messages after a signed handshake.
    HalfMessages,
}

impl Attack {
    /// Opens connections, and reopens each closed one, until the test ends.
    fn start(self, miner_address: SocketAddr) -> JoinSet<()> {
        let endpoints: Vec<_> =
            (2..2 + ADDRESSES).map(|host| endpoint(host, self == Self::HalfTls)).collect();
        let mut attackers = JoinSet::new();
        for number in 0..ATTACKERS {
            let endpoint = endpoints[usize::from(number % ADDRESSES)].clone();
            attackers.spawn(async move {
                loop {
                    if let Ok(connection) =
                        endpoint.connect(miner_address, "localhost").unwrap().await
                    {
                        let _streams = self.open_attack_streams(&connection, number).await;
                        connection.closed().await;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        }
        attackers
    }

    async fn open_attack_streams(
        self,
        connection: &Connection,
        number: u8,
    ) -> Option<Vec<(SendStream, RecvStream)>> {
        match self {
            Self::HalfTls | Self::Silent => Some(Vec::new()),
            Self::HalfHandshake => {
                Some(vec![send_half(connection, MessageType::HandshakeRequest).await?])
            }
            Self::HalfMessages => {
                authenticate(connection, number).await?;
                let mut streams = Vec::new();
                for _ in 0..LIMITS.max_streams {
                    streams.push(send_half(connection, MessageType::SynapsePacket).await?);
                }
                Some(streams)
            }
        }
    }
}

/// The server authenticates the client and answers it.
async fn is_answered(miner: &TestMiner, client: &LightningClient) -> bool {
    let request = QuicRequest { synapse_type: "none".to_owned(), data: HashMap::new() };
    let answer =
        client.query_axon_with_timeout(miner.axon.clone(), request, Duration::from_secs(20)).await;
    answer.is_ok_and(|answer| answer.error.as_deref() == Some("unrecognized synapse type"))
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_are_replaced() {
    for attack in [Attack::HalfTls, Attack::Silent, Attack::HalfHandshake, Attack::HalfMessages] {
        let miner = start_within(1, None, Behaviour::Honest, Some(LIMITS));
        let miner_address = SocketAddr::new(miner.axon.ip.parse().unwrap(), miner.axon.port);
        let open_client = client("//Alice").await;
        assert!(is_answered(&miner, &open_client).await, "{attack:?}");
        let attackers = attack.start(miner_address);
        tokio::time::sleep(Duration::from_secs(1)).await;
        for uri in ["//Charlie", "//Dave", "//Eve"] {
            let start = Instant::now();
            assert!(
                is_answered(&miner, &client(uri).await).await,
                "{attack:?}: {uri} is locked out"
            );
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "{attack:?}: {uri} waited {:?}",
                start.elapsed()
            );
        }
        for _ in 0..20 {
            assert!(
                is_answered(&miner, &open_client).await,
                "{attack:?}: an open connection is cut off"
            );
        }
        drop(attackers);
    }
}

/// At the limit, each new connection closes another one, so that the number of connections stays
/// constant.
#[tokio::test(flavor = "multi_thread")]
async fn new_connection_at_the_limit_closes_another() {
    let miner = start_within(1, None, Behaviour::Honest, Some(LIMITS));
    let miner_address = SocketAddr::new(miner.axon.ip.parse().unwrap(), miner.axon.port);
    let endpoints: Vec<_> = (2..2 + ADDRESSES).map(|host| endpoint(host, false)).collect();
    let mut connections = Vec::new();
    for number in 0..ATTACKERS {
        let endpoint = &endpoints[usize::from(number % ADDRESSES)];
        connections.push(endpoint.connect(miner_address, "localhost").unwrap().await.unwrap());
    }
    let start = Instant::now();
    loop {
        let open =
            connections.iter().filter(|connection| connection.close_reason().is_none()).count();
        if (open, miner.endpoint.open_connections()) == (LIMITS.connections, LIMITS.connections) {
            break;
        }
        let server_connections = miner.endpoint.open_connections();
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{open} open, {server_connections} at the server"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Connects to a server; returns both ends.
async fn connect(server: &Endpoint, client: &Endpoint) -> [Connection; 2] {
    let connecting = client.connect(server.local_addr().unwrap(), "localhost").unwrap();
    let accepting = async { server.accept().await.unwrap().await.unwrap() };
    let (opened, accepted) = tokio::join!(async { connecting.await.unwrap() }, accepting);
    [opened, accepted]
}

#[tokio::test(flavor = "multi_thread")]
async fn validator_keeps_its_connection_if_the_new_one_gets_no_slot() {
    let server =
        Endpoint::server(server_config().unwrap().0, "127.0.0.1:0".parse().unwrap()).unwrap();
    let (first_endpoint, second_endpoint) = (endpoint(2, false), endpoint(3, false));
    let validators = Arc::new(Validators::new(ConnectionSlots::new(2, 1)));
    let [_alice_end, alice] = connect(&server, &first_endpoint).await;
    let [_bob_end, bob] = connect(&server, &second_endpoint).await;
    let register =
        |uri: &str, connection: &Connection| validators.register(key(uri).hotkey(), connection);
    let alice_registration = register("//Alice", &alice).unwrap();
    let bob_registration = register("//Bob", &bob).unwrap();
    assert!(
        alice_registration.progress.complete() && bob_registration.progress.complete(),
        "both have a request in progress"
    );

    let [_refused_end, third_connection] = connect(&server, &second_endpoint).await;
    assert!(
        register("//Alice", &third_connection).is_none(),
        "Bob has the only slot of this address"
    );
    assert!(alice.close_reason().is_none() && alice_registration.progress.complete());

    let [_new_end, new] = connect(&server, &first_endpoint).await;
    let new_connection = register("//Alice", &new).unwrap();
    assert!(alice.close_reason().is_some() && bob.close_reason().is_none());
    drop(alice_registration);
    assert!(
        new_connection.progress.complete() && bob_registration.progress.complete(),
        "both have a slot"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn incomplete_handshakes_time_out() {
    let limits = Limits { handshake_timeout: Duration::from_secs(1), ..LIMITS };
    for attack in [Attack::HalfTls, Attack::Silent, Attack::HalfHandshake] {
        let miner = start_within(1, None, Behaviour::Honest, Some(limits));
        let miner_address = SocketAddr::new(miner.axon.ip.parse().unwrap(), miner.axon.port);
        let endpoint = endpoint(2, attack == Attack::HalfTls);
        let connecting = endpoint.connect(miner_address, "localhost").unwrap();
        let start = Instant::now();
        if attack == Attack::HalfTls {
            while miner.endpoint.open_connections() == 0 {
                assert!(start.elapsed() < Duration::from_secs(20), "{attack:?}: not connected");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            while miner.endpoint.open_connections() > 0 {
                assert!(start.elapsed() < Duration::from_secs(20), "{attack:?}: still connected");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        } else {
            let connection = connecting.await.unwrap();
            let _streams = attack.open_attack_streams(&connection, 0).await;
            let close_reason =
                tokio::time::timeout(Duration::from_secs(20), connection.closed()).await;
            let reason = close_reason.unwrap_or_else(|_| panic!("{attack:?}: still connected"));
            assert!(reason.to_string().contains("handshake timeout"), "{attack:?}: {reason}");
        }
        assert!(start.elapsed() >= limits.handshake_timeout, "{attack:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn incomplete_messages_time_out_and_the_connection_remains() {
    let limits = Limits { transfer_timeout: Duration::from_millis(500), ..LIMITS };
    let miner = start_within(1, None, Behaviour::Honest, Some(limits));
    let miner_address = SocketAddr::new(miner.axon.ip.parse().unwrap(), miner.axon.port);
    let connection = endpoint(2, false).connect(miner_address, "localhost").unwrap().await.unwrap();
    authenticate(&connection, 0).await.expect("the handshake is accepted");
    for _ in 0..2 * limits.max_streams {
        let (_send, mut recv) = send_half(&connection, MessageType::SynapsePacket).await.unwrap();
        let start = Instant::now();
        let read_result = tokio::time::timeout(Duration::from_secs(20), recv.read(&mut [0]))
            .await
            .expect("a timeout");
        assert!(
            matches!(read_result, Ok(None) | Err(quinn::ReadError::Reset(_))),
            "{read_result:?}"
        );
        assert!(start.elapsed() >= limits.transfer_timeout / 2);
    }
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let packet =
        SynapsePacket { synapse_type: "none".to_owned(), data: HashMap::new(), timestamp: 0 };
    let packet = rmp_serde::to_vec(&packet).unwrap();
    write_frame_and_finish(&mut send, MessageType::SynapsePacket, &packet).await.unwrap();
    let (_, answer) = read_frame(&mut recv, 4096).await.unwrap();
    let answer: SynapseResponse = rmp_serde::from_slice(&answer).unwrap();
    assert_eq!(answer.error.as_deref(), Some("unrecognized synapse type"));
}

#[tokio::test(flavor = "multi_thread")]
async fn request_before_the_handshake_is_refused() {
    let miner = start(1, None);
    let miner_address = SocketAddr::new(miner.axon.ip.parse().unwrap(), miner.axon.port);
    let connection = endpoint(2, false).connect(miner_address, "localhost").unwrap().await.unwrap();
    let send_query = async || {
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        let (synapse_type, data) = (QUERY_ZK_PROOF.to_owned(), HashMap::new());
        let packet =
            rmp_serde::to_vec(&SynapsePacket { synapse_type, data, timestamp: 0 }).unwrap();
        write_frame_and_finish(&mut send, MessageType::SynapsePacket, &packet).await.unwrap();
        let (_, answer) = read_frame(&mut recv, 4096).await.unwrap();
        rmp_serde::from_slice::<SynapseResponse>(&answer).unwrap().error.unwrap()
    };
    assert_eq!(send_query().await, "authentication failed");
    authenticate(&connection, 0).await.expect("the handshake is accepted");
    assert_eq!(send_query().await, "request processing failed");
}
