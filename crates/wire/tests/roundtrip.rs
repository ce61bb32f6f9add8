//! A server accepts what a client signs: any body, any path, every scheme.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like the tests themselves")]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::{Value, json};
use taonet_wallet::{CryptoType, Keypair};
use taonet_wire::{
    BabelbitScheme, BtauthScheme, Caller, DendriteScheme, Limits, ManualClock, Peer, Policy,
    Scheme, SignedLayer, Signer, SynapseClass,
};
use tower::ServiceExt;

const NOW: u64 = 1_800_000_000_000_000_000;

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());

/// Signs and sends a request; returns what the handler received: the caller's address, a line feed,
/// the body.
fn exchange<S: Scheme + Clone>(
    scheme: &S,
    signer: &Keypair,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Vec<u8> {
    let bob = Keypair::from_uri("//Bob").unwrap().hotkey();
    let clock = Arc::new(ManualClock::at(NOW));
    let peer = Peer::new(bob, "10.0.0.1", 8091).unwrap();
    let signer = Signer::with_clock(
        signer.clone(),
        "203.0.113.7",
        scheme.clone(),
        Arc::clone(&clock) as Arc<_>,
    );
    let headers =
        signer.headers(&peer, method, path, "Echo", Duration::from_secs(1), body).unwrap();
    let handler = |caller: Caller, body: bytes::Bytes| async move {
        [format!("{}\n", caller.hotkey).into_bytes(), body.to_vec()].concat()
    };
    let layer =
        SignedLayer::with_clock(bob, scheme.clone(), Limits::default(), Policy::open(), clock);
    let router = Router::new().fallback(handler).layer(layer);
    let mut request =
        Request::builder().method(method).uri(path).body(Body::from(body.to_vec())).unwrap();
    *request.headers_mut() = headers;
    RUNTIME.block_on(async {
        let response = router.oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes().to_vec()
    })
}

fn expected(signer: &Keypair, body: &[u8]) -> Vec<u8> {
    [format!("{}\n", signer.hotkey()).as_bytes(), body].concat()
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn btauth_requests_round_trip(
        seed: [u8; 32],
        ed25519: bool,
        body: Vec<u8>,
        path in "/[!$-;=?-Z_a-z~]{0,60}",
        method in prop::sample::select(vec![Method::GET, Method::POST, Method::PUT, Method::DELETE]),
    ) {
        let crypto_type = if ed25519 { CryptoType::Ed25519 } else { CryptoType::Sr25519 };
        let signer = Keypair::from_seed_with(&seed, crypto_type);
        let received = exchange(&BtauthScheme::new(), &signer, &method, &path, &body);
        prop_assert_eq!(received, expected(&signer, &body));
    }

    #[test]
    fn babelbit_requests_round_trip(seed: [u8; 32], body: Vec<u8>, value in json_value()) {
        let signer = Keypair::from_seed(&seed);
        let received = exchange(&BabelbitScheme::axon(), &signer, &Method::POST, "/v1/predict", &body);
        prop_assert_eq!(received, expected(&signer, &body));
        let body = format!("{value:#}");
        let received = exchange(&BabelbitScheme::managed(), &signer, &Method::POST, "/v1/predict", body.as_bytes());
        prop_assert_eq!(received, expected(&signer, body.as_bytes()));
    }

    #[test]
    fn dendrite_requests_round_trip(seed: [u8; 32], prompt: String, value in json_value(), pretty: bool) {
        let scheme = DendriteScheme::new().class(SynapseClass::new("Echo").hash(["prompt", "value"]));
        let signer = Keypair::from_seed(&seed);
        let body = json!({"prompt": prompt, "value": value, "rest": [prompt]});
        let body = if pretty { format!("{body:#}") } else { body.to_string() };
        let received = exchange(&scheme, &signer, &Method::POST, "/Echo", body.as_bytes());
        prop_assert_eq!(received, expected(&signer, body.as_bytes()));
    }
}
