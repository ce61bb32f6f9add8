//! QUIC connections that never complete the signed handshake, and the response time of others.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use btlightning::{CallbackSigner, LightningClient, QuicAxonInfo, QuicRequest};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use taonet_wallet::Keypair;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::attack::{ATTACKER_ADDRESSES, ATTACKERS, IMMEDIATE_REOPENERS, TLS_REOPEN_DELAY, p99};
use crate::axon::BOB;

/// Data that attackers send after the TLS handshake: nothing, or the header of a message of 1 000
/// bytes and its beginning.
const HALVES: [(&str, &[u8]); 2] =
    [("nothing", &[]), ("half a handshake", &[1, 0, 0, 3, 232, 1, 2, 3])];
/// Number of new clients during each attack. The miner accepts 30 handshakes a minute from an
/// address.
const CLIENTS: usize = 10;
/// Maximum time of a new client from its first packet to its first answer, both handshakes
/// included. QUIC sends a lost first packet again after one, three and seven seconds.
const FIRST_CONNECTION_TIMEOUT: Duration = Duration::from_secs(9);

/// The miner of //Bob answers a client within `max_latency`, and new clients within
/// [`FIRST_CONNECTION_TIMEOUT`], despite thousands of half-open connections.
#[track_caller]
pub(crate) fn assert_responds_within(max_latency: Duration, address: SocketAddr) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (case, half) in HALVES {
        runtime.block_on(async {
            send_request(&client().await, address).await;
            let attack = attack(address, half).await;
            assert_eq!(
                attack.answered.load(Ordering::Relaxed),
                0,
                "{case} is answered, so nothing is held"
            );
            for _ in 0..CLIENTS {
                let start = Instant::now();
                send_request(&client().await, address).await;
                assert!(
                    start.elapsed() < FIRST_CONNECTION_TIMEOUT,
                    "a new client waited {:?} while others sent {case}",
                    start.elapsed()
                );
            }
            // The new clients have the same hotkey, so each replaced the connection before it.
            let last = client().await;
            send_request(&last, address).await;
            let response_time = async || {
                let start = Instant::now();
                send_request(&last, address).await;
                Some(start.elapsed())
            };
            let p99 = p99(max_latency, response_time).await;
            assert!(p99 < max_latency, "{p99:?} over QUIC while others sent {case}");
        });
    }
}

/// Starts a validator's QUIC client with the key of //Alice.
async fn client() -> LightningClient {
    let keypair = Keypair::from_uri("//Alice").unwrap();
    let mut client = LightningClient::new(keypair.hotkey().to_string());
    client.set_signer(Box::new(CallbackSigner::new(move |text: &[u8]| {
        Ok(keypair.sign(text).as_bytes().to_vec())
    })));
    client.create_endpoint().await.unwrap();
    client
}

/// Sends a request that the miner refuses without a proof.
async fn send_request(client: &LightningClient, address: SocketAddr) {
    let axon = QuicAxonInfo::new(BOB.to_owned(), address.ip().to_string(), address.port(), 4);
    let request = QuicRequest { synapse_type: "none".to_owned(), data: HashMap::new() };
    let response =
        client.query_axon_with_timeout(axon, request, Duration::from_secs(10)).await.unwrap();
    assert_eq!(response.error.as_deref(), Some("unrecognized synapse type"));
}

/// Open connections; closed on drop.
struct Attack {
    _attackers: JoinSet<()>,
    /// Number of connections with a response, which are not half-open.
    answered: Arc<AtomicUsize>,
}

/// Opens connections that send `half` of a signed handshake, and reopens closed ones.
async fn attack(to: SocketAddr, half: &'static [u8]) -> Attack {
    let mut tls =
        rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate))
            .with_no_client_auth();
    tls.alpn_protocols = vec![b"btlightning".to_vec()];
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoints: Vec<Endpoint> = (0..ATTACKER_ADDRESSES)
        .map(|number| {
            let from = Ipv4Addr::new(127, 0, 0, 2 + number as u8);
            let mut endpoint = Endpoint::client(SocketAddr::new(from.into(), 0)).unwrap();
            endpoint.set_default_client_config(config.clone());
            endpoint
        })
        .collect();
    let (opened_connections, answered_count) =
        (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut attackers = JoinSet::new();
    for number in 0..ATTACKERS {
        let endpoint = endpoints[usize::from(number % ATTACKER_ADDRESSES)].clone();
        let (opened_connections, answered_count) =
            (opened_connections.clone(), answered_count.clone());
        attackers.spawn(async move {
            loop {
                match endpoint.connect(to, "localhost").unwrap().await {
                    Ok(connection) => {
                        opened_connections.add_permits(1);
                        if let Ok((mut send, mut recv)) = connection.open_bi().await {
                            let _ = send.write_all(half).await;
                            let is_answered =
                                recv.read(&mut [0]).await.is_ok_and(|bytes| bytes.is_some());
                            answered_count.fetch_add(is_answered.into(), Ordering::Relaxed);
                        }
                    }
                    // The server closed the connection during the handshake.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
                if number >= IMMEDIATE_REOPENERS {
                    tokio::time::sleep(TLS_REOPEN_DELAY).await;
                }
            }
        });
    }
    // All connections were open once.
    let all = opened_connections.acquire_many(ATTACKERS.into());
    drop(
        timeout(Duration::from_mins(2), all)
            .await
            .expect("the connections are not accepted")
            .unwrap(),
    );
    Attack { _attackers: attackers, answered: answered_count }
}

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

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
