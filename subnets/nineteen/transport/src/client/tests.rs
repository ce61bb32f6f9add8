use std::net::SocketAddr;

use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use taonet_http::testing::listen;
use taonet_wire::{ManualClock, Policy};

use super::*;
use crate::{FiberRules, MinerHandshake, RsaKey, routes, signed_requests};

const NOW: u64 = 1_795_239_890_000_000_000;

fn key(uri: &str) -> Keypair {
    Keypair::from_uri(uri).unwrap()
}

fn peer(uri: &str, address: SocketAddr) -> Peer {
    Peer::new(key(uri).hotkey(), address.ip().to_string(), address.port()).unwrap()
}

fn client(trust: Trust, clock: &Arc<ManualClock>) -> FiberClient {
    FiberClient::new(key("//Alice"), trust, ClientConfig::default(), clock.clone()).unwrap()
}

async fn miner(uri: &str, clock: &Arc<ManualClock>) -> SocketAddr {
    let echo = |Json(payload): Json<Value>| async move { Json(payload) };
    let sealed = Router::new().route("/capacity", post(echo));
    let signed = signed_requests(key(uri).hotkey(), FiberRules::Strict)
        .policy(Policy::open())
        .clock(clock.clone());
    let handshake = MinerHandshake::with_clock(
        key(uri),
        RsaKey::generate().unwrap(),
        FiberRules::Strict,
        clock.clone(),
    );
    listen(routes(handshake, signed.build(), sealed)).await
}

#[tokio::test]
async fn handshake_opens_a_usable_session() {
    let clock = Arc::new(ManualClock::at(NOW));
    let address = miner("//Bob", &clock).await;
    for trust in [Trust::Any, Trust::Signed] {
        // Processes of one validator never sign in the same nanosecond: advance the clock.
        clock.advance(Duration::from_secs(1));
        let client = client(trust, &clock);
        let session = client.handshake(&peer("//Bob", address)).await.unwrap();
        assert!(session.is_signed());
        assert_eq!(
            (session.id().len(), session.expires_at_ns()),
            (64, clock.now_ns() + 5 * 3_600 * 1_000_000_000)
        );
        let payload = json!({"task_configs": ["\u{e9}"]}).as_object().unwrap().clone();
        let send_payload = async |session: &Session| {
            let answer = client
                .send(session, "/capacity", payload.clone(), Duration::from_secs(5))
                .await
                .unwrap();
            let status = answer.status;
            let chunks: Vec<_> = futures::StreamExt::collect(answer).await;
            (status, chunks.into_iter().flat_map(Result::unwrap).collect::<Vec<u8>>())
        };
        let (status, body) = send_payload(&session).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            serde_json::from_slice::<Value>(&body).unwrap()["task_configs"],
            json!(["\u{e9}"])
        );
        // A different key with the same ID is rejected.
        let (id, signed) = (session.id().to_owned(), session.is_signed());
        let other = Session::restore(
            session.peer().clone(),
            id,
            FernetKey::random(),
            session.expires_at_ns(),
            signed,
        );
        assert_eq!(send_payload(&other).await.0, StatusCode::BAD_REQUEST);
    }
    // The key expires after five hours.
    clock.advance(Duration::from_secs(1));
    let client = client(Trust::Signed, &clock);
    let session = client.handshake(&peer("//Bob", address)).await.unwrap();
    clock.set(session.expires_at_ns());
    let answer =
        client.send(&session, "/capacity", Map::new(), Duration::from_secs(5)).await.unwrap();
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn wrong_clock_of_the_validator_has_no_lasting_effect() {
    let [clock, own] = [(); 2].map(|()| Arc::new(ManualClock::at(NOW)));
    let client = client(Trust::Signed, &own);
    let session = client.handshake(&peer("//Bob", miner("//Bob", &clock).await)).await.unwrap();
    let mut statuses = Vec::new();
    for clock_offset in [Duration::ZERO, Duration::from_hours(24), Duration::ZERO] {
        clock.advance(Duration::from_secs(1));
        own.set(clock.now_ns());
        own.advance(clock_offset);
        let answer = client.send(&session, "/capacity", Map::new(), Duration::from_secs(5)).await;
        statuses.push(answer.unwrap().status);
    }
    assert_eq!(statuses, [StatusCode::OK, StatusCode::UNAUTHORIZED, StatusCode::OK]);
}

/// The handshake rejects keys that the miner's hotkey did not sign: the exchange uses plain HTTP.
#[tokio::test]
async fn key_not_signed_by_the_miner_is_rejected() {
    let clock = Arc::new(ManualClock::at(NOW));
    let bob = miner("//Bob", &clock).await;
    let shake_hands = async |trust, peer: &Peer| client(trust, &clock).handshake(peer).await;
    // Bob's server impersonates Charlie's.
    for trust in [Trust::Any, Trust::Signed] {
        let error = shake_hands(trust, &peer("//Charlie", bob)).await.unwrap_err();
        assert!(matches!(error, HandshakeError::Forged), "{error}");
    }
    // A man in the middle replaces Bob's key.
    let (own, theirs) = (RsaKey::generate().unwrap(), bob_key_message(&clock));
    let message = PublicKeyMessage { public_key: own.public_pem().to_owned(), ..theirs.0 };
    let forged = listen(publish(message, Some(theirs.1))).await;
    assert!(matches!(
        shake_hands(Trust::Any, &peer("//Bob", forged)).await,
        Err(HandshakeError::Forged)
    ));
    // A replay of an old key that Bob signed.
    let old = bob_key_message(&clock);
    let replayed = listen(publish(old.0, Some(old.1))).await;
    clock.advance(Duration::from_secs(121));
    assert!(matches!(
        shake_hands(Trust::Signed, &peer("//Bob", replayed)).await,
        Err(HandshakeError::Clock)
    ));
    // Bob's key is genuine, but the exchange is not confirmed.
    let now = bob_key_message(&clock);
    let unconfirmed = listen(publish(now.0, Some(now.1))).await;
    assert!(matches!(
        shake_hands(Trust::Any, &peer("//Bob", unconfirmed)).await,
        Err(HandshakeError::Forged)
    ));
}

#[tokio::test]
async fn unsigned_miners_are_trusted_only_by_option() {
    let clock = Arc::new(ManualClock::at(NOW));
    let fiber = listen(publish(bob_key_message(&clock).0, None)).await;
    let session = client(Trust::Any, &clock).handshake(&peer("//Bob", fiber)).await.unwrap();
    assert!(!session.is_signed());
    let error = client(Trust::Signed, &clock).handshake(&peer("//Bob", fiber)).await.unwrap_err();
    assert!(matches!(error, HandshakeError::Unsigned), "{error}");
    // Bob has signed before: somebody may have removed the signature.
    let error =
        client(Trust::Any, &clock).handshake_with_signer(&peer("//Bob", fiber)).await.unwrap_err();
    assert!(matches!(error, HandshakeError::Unsigned), "{error}");
}

#[tokio::test]
async fn refused_and_malformed_handshakes_are_errors() {
    let clock = Arc::new(ManualClock::at(NOW));
    let shake_hands = async |router: Router| {
        let address = listen(router).await;
        client(Trust::Any, &clock).handshake(&peer("//Bob", address)).await.unwrap_err()
    };
    let missing_route = shake_hands(Router::new()).await;
    assert!(
        matches!(missing_route, HandshakeError::Refused { status: StatusCode::NOT_FOUND, .. }),
        "{missing_route}"
    );
    let text_key =
        shake_hands(Router::new().route("/public-encryption-key", get(|| async { "hello" }))).await;
    assert!(matches!(text_key, HandshakeError::Malformed), "{text_key}");
    let keyless = PublicKeyMessage { public_key: "hello".to_owned(), timestamp: 0.0 };
    let keyless = shake_hands(publish(keyless, None)).await;
    assert!(matches!(keyless, HandshakeError::Key(RsaError::Key)), "{keyless}");
    let huge = shake_hands(
        Router::new().route("/public-encryption-key", get(|| async { "x".repeat(1 << 20) })),
    )
    .await;
    assert!(matches!(huge, HandshakeError::Call(CallError::TooLarge { .. })), "{huge}");
}

fn bob_key_message(clock: &Arc<ManualClock>) -> (PublicKeyMessage, Signature) {
    let rsa = RsaKey::generate().unwrap();
    MinerHandshake::with_clock(key("//Bob"), rsa, FiberRules::Strict, clock.clone()).public_key()
}

/// Returns the routes of a server that publishes a key and accepts every symmetric key without
/// confirmation.
fn publish(message: PublicKeyMessage, signature: Option<Signature>) -> Router {
    let headers: HeaderMap = signature
        .map(|signature| {
            (http::HeaderName::from_static(KEY_SIGNATURE), signature.to_string().parse().unwrap())
        })
        .into_iter()
        .collect();
    let exchanged = || async { Json(json!({"status": "ok"})) };
    Router::new()
        .route("/public-encryption-key", get(move || async move { (headers, Json(message)) }))
        .route("/exchange-symmetric-key", post(exchanged))
}
