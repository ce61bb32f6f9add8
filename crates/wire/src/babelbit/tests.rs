use std::time::Duration;

use http::{HeaderValue, Request};
use proptest::prelude::*;
use taonet_wallet::{Keypair, Signature, verify};
use uuid::Uuid;

use super::*;
use crate::Peer;
use crate::headers::seconds_text;

const BODY: &[u8] = br#"{"kind": "predict", "session_id": "s1", "audio_b64": "", "in_eos": true}"#;
const BODY_SHA256: &str = "8db618b579f6667e1cbdf641d0704a326abae8d0e9a0037cff59ddc5c98f04c2";
const NOW: u64 = 1_800_000_000_000_000_000;

fn signed(scheme: BabelbitScheme) -> HeaderMap {
    let identity = Identity {
        keypair: Keypair::from_uri("//Alice").unwrap(),
        uuid: Uuid::from_u128(0x1234_5678_9abc_def0),
        external_ip: "203.0.113.7".into(),
    };
    let receiver = Keypair::from_uri("//Bob").unwrap().hotkey();
    let peer = Peer::new(receiver, "10.0.0.1", 8091).unwrap();
    let request = OutgoingRequest {
        peer: &peer,
        method: &http::Method::POST,
        path: "/v1/predict",
        name: "BBAudioMinerPredictPayload",
        timeout: Duration::from_secs(10),
        nonce: NOW,
        body: BODY,
    };
    scheme.sign(&identity, &request).unwrap()
}

fn head(headers: HeaderMap) -> Parts {
    let (mut head, ()) = Request::post("/v1/predict").body(()).unwrap().into_parts();
    head.headers = headers;
    head
}

fn claim_with(name: &'static str, value: &[u8]) -> Result<Claim, Refusal> {
    let mut headers = signed(BabelbitScheme::axon());
    headers.insert(name, HeaderValue::from_bytes(value).unwrap());
    BabelbitScheme::axon().claim(&head(headers))
}

#[test]
fn babelbit_headers_match_a_recorded_validator() {
    let headers = signed(BabelbitScheme::axon());
    let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
    let bob = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";
    for (name, value) in [
        ("content-type", "application/json"),
        ("bt_header_dendrite_nonce", "1800000000000000000"),
        ("bt_header_dendrite_hotkey", alice),
        ("bt_header_dendrite_uuid", "00000000-0000-0000-1234-56789abcdef0"),
        ("bt_header_dendrite_ip", "203.0.113.7"),
        ("bt_header_dendrite_version", "7002000"),
        ("bt_header_axon_hotkey", bob),
        ("bt_header_axon_ip", "10.0.0.1"),
        ("bt_header_axon_port", "8091"),
        ("timeout", "10.0"),
        ("name", "BBAudioMinerPredictPayload"),
        ("computed_body_hash", ""),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert_eq!(headers.len(), 13, "and the signature");
    assert_eq!(signed(BabelbitScheme::managed())["computed_body_hash"], BODY_SHA256);

    let signature: Signature =
        headers["bt_header_dendrite_signature"].to_str().unwrap().parse().unwrap();
    let text = format!("1800000000000000000.{alice}.{bob}.00000000-0000-0000-1234-56789abcdef0.");
    assert!(verify(&alice.parse().unwrap(), text.as_bytes(), &signature));
}

#[test]
fn timeouts_are_formatted_like_python_floats() {
    for (milliseconds, text) in
        [(10_000, "10.0"), (500, "0.5"), (12_250, "12.25"), (100, "0.1"), (0, "0.0")]
    {
        assert_eq!(seconds_text(Duration::from_millis(milliseconds)), text);
    }
}

#[test]
fn signature_covers_the_body_only_by_its_hash() {
    let (axon, managed) = (signed(BabelbitScheme::axon()), signed(BabelbitScheme::managed()));
    let scheme = BabelbitScheme::axon();
    let message = |headers: &HeaderMap, body: &[u8]| {
        let head = head(headers.clone());
        let claim = scheme.claim(&head)?;
        scheme.check_body(&head, &claim, body).and_then(|()| scheme.message(&head, &claim, body))
    };
    assert!(message(&axon, b"anything").is_ok());
    let other_spaces = br#"{"kind":"predict","session_id":"s1","audio_b64":"","in_eos":true}"#;
    assert!(message(&managed, BODY).unwrap().ends_with(BODY_SHA256.as_bytes()));
    assert!(message(&managed, other_spaces).is_ok());
    let other_order = br#"{"session_id":"s1","kind":"predict","audio_b64":"","in_eos":true}"#;
    for body in [b"".as_slice(), b"{", b"{}", other_order] {
        assert_eq!(message(&managed, body), Err(Refusal::BodyMismatch));
    }
    // The hash of the raw bytes is accepted too, JSON or not.
    let mut raw_claim = axon;
    raw_claim
        .insert(BODY_HASH, HeaderValue::try_from(hex::encode(Sha256::digest(b"\x00raw"))).unwrap());
    assert!(message(&raw_claim, b"\x00raw").is_ok());
    assert_eq!(message(&raw_claim, b"\x00row"), Err(Refusal::BodyMismatch));
}

#[test]
fn each_missing_header_is_reported() {
    for name in [NONCE, SENDER, SIGNATURE, UUID, RECEIVER] {
        let mut headers = signed(BabelbitScheme::axon());
        headers.remove(name);
        assert_eq!(BabelbitScheme::axon().claim(&head(headers)), Err(Refusal::Missing(name)));
        assert_eq!(claim_with(name, b""), Err(Refusal::Missing(name)));
    }
    for name in [BODY_HASH, TIMEOUT, SENDER_IP, RECEIVER_IP, NAME] {
        let mut headers = signed(BabelbitScheme::axon());
        headers.remove(name);
        assert!(BabelbitScheme::axon().claim(&head(headers)).is_ok(), "{name} may be absent");
    }
}

#[test]
fn duplicate_headers_are_refused() {
    let scheme = BabelbitScheme::axon();
    for name in
        [NONCE, SENDER, SIGNATURE, UUID, RECEIVER, BODY_HASH, TIMEOUT].into_iter().chain(UNSIGNED)
    {
        let mut headers = signed(scheme);
        let value = headers[name].clone();
        headers.append(name, value);
        assert_eq!(scheme.claim(&head(headers)), Err(Refusal::Duplicate(name)));
    }
}

#[test]
fn malformed_header_values_are_refused() {
    let hash = BODY_SHA256.to_uppercase();
    let long_uuid = "a".repeat(65);
    for (name, value) in [
        (NONCE, "-1"),
        (NONCE, "+1"),
        (NONCE, "01"),
        (NONCE, "1.5"),
        (NONCE, "0x1"),
        (NONCE, " 1"),
        (NONCE, "18446744073709551616"),
        (SENDER, "5Grw"),
        (SENDER, "alice"),
        (RECEIVER, "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694tz"),
        (SIGNATURE, "0x"),
        (SIGNATURE, "0x1234"),
        (SIGNATURE, "signature"),
        (UUID, "a.b"),
        (UUID, "g"),
        (UUID, &long_uuid),
        (BODY_HASH, "1234"),
        (BODY_HASH, &hash),
        (TIMEOUT, "soon"),
        (TIMEOUT, "-1.0"),
        (TIMEOUT, "nan"),
        (TIMEOUT, "inf"),
        (TIMEOUT, "1e300"),
    ] {
        assert_eq!(
            claim_with(name, value.as_bytes()),
            Err(Refusal::Malformed(name)),
            "{name}: {value}"
        );
    }
    assert_eq!(claim_with(NAME, b"\xe9"), Err(Refusal::Malformed(NAME)));
}

#[test]
fn line_break_in_header_value_is_refused() {
    let identity = Identity {
        keypair: Keypair::from_uri("//Alice").unwrap(),
        uuid: Uuid::nil(),
        external_ip: "1.2.3.4\r\nx: y".into(),
    };
    let peer = Peer::new(identity.keypair.hotkey(), "10.0.0.1", 1).unwrap();
    let request = OutgoingRequest {
        peer: &peer,
        method: &http::Method::POST,
        path: "/",
        name: "X",
        timeout: Duration::ZERO,
        nonce: 1,
        body: b"",
    };
    assert_eq!(
        BabelbitScheme::axon().sign(&identity, &request),
        Err(SigningError::Header(SENDER_IP))
    );
    assert!(matches!(
        BabelbitScheme::managed().sign(&identity, &request),
        Err(SigningError::Body(_))
    ));
}

proptest! {
    #[test]
    fn random_header_value_never_panics(index in 0_usize..7, value in prop::collection::vec(0x20_u8..=0xff, 0..80)) {
        prop_assume!(!value.contains(&0x7f));
        let name = [NONCE, SENDER, SIGNATURE, UUID, RECEIVER, BODY_HASH, TIMEOUT][index];
        if let Ok(claim) = claim_with(name, &value) {
            // Accepted headers always leave exactly four dots in the signed text.
            let head = head(HeaderMap::new());
            let text = BabelbitScheme::axon().message(&head, &Claim { body_hash: None, ..claim }, b"");
            prop_assert_eq!(text.unwrap().split(|byte| *byte == b'.').count(), 5);
        }
    }

    #[test]
    fn nonces_and_uuids_round_trip(number: u64, id: u128) {
        let text = number.to_string();
        prop_assert_eq!(claim_with(NONCE, text.as_bytes()).map(|claim| claim.nonce), Ok(number));
        let text = Uuid::from_u128(id).to_string();
        prop_assert_eq!(claim_with(UUID, text.as_bytes()).map(|claim| claim.uuid), Ok(Some(text)));
    }
}
