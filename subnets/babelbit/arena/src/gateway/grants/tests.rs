use taonet_wallet::Keypair;

use super::super::testing::{config, key};
use super::*;
use crate::client::signed_request;

fn grants() -> Grants {
    Grants::open(&config(), None).unwrap()
}

fn at(seconds: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(1_700_000_000.0 + seconds)
}

fn request(key: &Keypair, now: SystemTime) -> TokenRequest {
    signed_request(key, Some(("5M", 7)), now)
}

fn refusal_message(grants: &Grants, request: &TokenRequest, now: SystemTime) -> String {
    grants.grant(request, now).unwrap_err().to_string()
}

#[test]
fn both_request_forms_get_a_token() {
    let (grants, alice) = (grants(), key("//Alice"));
    for (miner, second) in [(Some(("5M", 7)), 0.0), (None, 1.0), (Some(("discovery", 0)), 2.0)] {
        let answer = grants.grant(&signed_request(&alice, miner, at(second)), at(second)).unwrap();
        assert_eq!(answer.expires_in, 1_800);
        assert_eq!(grants.owner(&answer.auth_token, at(10.0)).unwrap(), alice.hotkey());
        assert!(grants.owner(&answer.auth_token, at(1_900.0)).is_err());
    }
    assert!(grants.owner("", at(10.0)).is_err());
}

#[test]
fn token_request_with_changed_field_is_refused() {
    let (grants, alice, bob) = (grants(), key("//Alice"), key("//Bob"));
    let good = || request(&alice, at(0.0));
    let not_signed = "the signature does not match the request and the hotkey";
    for (change, expected_message) in [
        ((|r| r.hotkey = key("//Bob").hotkey().to_string()) as fn(&mut TokenRequest), not_signed),
        (|r| r.uid = Some(8), not_signed),
        (|r| r.miner_hotkey = Some("5N".into()), not_signed),
        (|r| (r.uid, r.miner_hotkey) = (None, None), not_signed),
        (|r| r.timestamp_ms += 1, not_signed),
        (|r| r.nonce = "1700000000000000001".into(), not_signed),
        (|r| r.uid = None, "uid: set both miner_hotkey and uid, or neither"),
        (|r| r.nonce = "soon".into(), "nonce: invalid digit found in string"),
    ] {
        let mut request = good();
        change(&mut request);
        assert_eq!(refusal_message(&grants, &request, at(0.0)), expected_message);
    }
    assert!(
        refusal_message(&grants, &TokenRequest { hotkey: "5x".into(), ..good() }, at(0.0))
            .starts_with("hotkey: ")
    );
    assert!(
        refusal_message(&grants, &TokenRequest { signature: "ff".into(), ..good() }, at(0.0))
            .starts_with("signature: ")
    );
    grants.grant(&good(), at(0.0)).unwrap();
    grants.grant(&request(&bob, at(0.0)), at(0.0)).unwrap();
}

#[test]
fn stale_and_replayed_token_requests_are_refused() {
    let (grants, alice) = (grants(), key("//Alice"));
    for (signed, accepted) in [(-61.0, false), (-59.0, true), (2.0, true), (4.0, false)] {
        assert_eq!(
            grants.grant(&request(&alice, at(signed)), at(0.0)).is_ok(),
            accepted,
            "{signed}"
        );
    }
    let once = request(&alice, at(0.5));
    grants.grant(&once, at(1.0)).unwrap();
    assert_eq!(
        refusal_message(&grants, &once, at(2.0)),
        "replayed request: it was already accepted"
    );
    assert!(refusal_message(&grants, &once, at(100.0)).starts_with("invalid signature timestamp"));
}

#[test]
fn replayed_request_is_refused_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (path, alice) = (folder.path().join("tokens.log"), key("//Alice"));
    let now = SystemTime::now();
    let open = |now: SystemTime| {
        Grants::open(
            &ArenaGatewayConfig { clock: std::sync::Arc::new(move || now), ..config() },
            Some(&path),
        )
        .unwrap()
    };
    // At the first start, requests signed earlier are rejected.
    let first = open(now);
    assert!(
        refusal_message(&first, &request(&alice, now), now)
            .starts_with("invalid signature timestamp")
    );
    let later = now + Duration::from_secs(5);
    let once = request(&alice, later);
    first.grant(&once, later).unwrap();
    drop(first);
    let second = open(later);
    assert_eq!(refusal_message(&second, &once, later), "replayed request: it was already accepted");
    second.grant(&request(&alice, later + Duration::from_millis(1)), later).unwrap();
}

#[test]
fn only_validators_on_the_list_get_tokens() {
    let (alice, bob) = (key("//Alice"), key("//Bob"));
    let config = ArenaGatewayConfig { allowed: Some([alice.hotkey()].into()), ..config() };
    let grants = Grants::open(&config, None).unwrap();
    grants.grant(&request(&alice, at(0.0)), at(0.0)).unwrap();
    assert_eq!(
        refusal_message(&grants, &request(&bob, at(0.0)), at(0.0)),
        "the hotkey is not on the gateway's allowlist"
    );
}
