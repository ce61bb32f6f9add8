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
    grants.issue_token(request, now).unwrap_err().to_string()
}

#[test]
fn miner_and_gateway_scopes_get_tokens() {
    let (grants, alice) = (grants(), key("//Alice"));
    for (miner, second) in [(Some(("5M", 7)), 0.0), (None, 1.0), (Some(("discovery", 0)), 2.0)] {
        let answer =
            grants.issue_token(&signed_request(&alice, miner, at(second)), at(second)).unwrap();
        assert_eq!(answer.expires_in, 1_800);
        assert_eq!(grants.owner(&answer.auth_token, at(10.0)).unwrap(), alice.hotkey());
        assert!(grants.owner(&answer.auth_token, at(1_900.0)).is_err());
    }
    assert!(grants.owner("", at(10.0)).is_err());
}

#[test]
fn token_request_with_changed_field_is_refused() {
    let (grants, alice, bob) = (grants(), key("//Alice"), key("//Bob"));
    let valid_request = || request(&alice, at(0.0));
    let wrong_signature = "the signature does not match the request and the hotkey";
    for (change, expected_message) in [
        (
            (|r| r.hotkey = key("//Bob").hotkey().to_string()) as fn(&mut TokenRequest),
            wrong_signature,
        ),
        (|r| r.uid = Some(8), wrong_signature),
        (|r| r.miner_hotkey = Some("5N".into()), wrong_signature),
        (|r| (r.uid, r.miner_hotkey) = (None, None), wrong_signature),
        (|r| r.timestamp_ms += 1, wrong_signature),
        (|r| r.nonce = "1700000000000000001".into(), wrong_signature),
        (|r| r.uid = None, "uid: set both miner_hotkey and uid, or neither"),
        (|r| r.nonce = "soon".into(), "nonce: invalid digit found in string"),
    ] {
        let mut request = valid_request();
        change(&mut request);
        assert_eq!(refusal_message(&grants, &request, at(0.0)), expected_message);
    }
    assert!(
        refusal_message(&grants, &TokenRequest { hotkey: "5x".into(), ..valid_request() }, at(0.0))
            .starts_with("hotkey: ")
    );
    assert!(
        refusal_message(
            &grants,
            &TokenRequest { signature: "ff".into(), ..valid_request() },
            at(0.0)
        )
        .starts_with("signature: ")
    );
    grants.issue_token(&valid_request(), at(0.0)).unwrap();
    grants.issue_token(&request(&bob, at(0.0)), at(0.0)).unwrap();
}

#[test]
fn stale_and_replayed_token_requests_are_refused() {
    let (grants, alice) = (grants(), key("//Alice"));
    for (signed, accepted) in [(-61.0, false), (-59.0, true), (2.0, true), (4.0, false)] {
        assert_eq!(
            grants.issue_token(&request(&alice, at(signed)), at(0.0)).is_ok(),
            accepted,
            "{signed}"
        );
    }
    let signed_once = request(&alice, at(0.5));
    grants.issue_token(&signed_once, at(1.0)).unwrap();
    assert_eq!(
        refusal_message(&grants, &signed_once, at(2.0)),
        "replayed request: it was already accepted"
    );
    assert!(
        refusal_message(&grants, &signed_once, at(100.0))
            .starts_with("invalid signature timestamp")
    );
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
    let signed_once = request(&alice, later);
    first.issue_token(&signed_once, later).unwrap();
    drop(first);
    let second = open(later);
    assert_eq!(
        refusal_message(&second, &signed_once, later),
        "replayed request: it was already accepted"
    );
    second.issue_token(&request(&alice, later + Duration::from_millis(1)), later).unwrap();
}

#[test]
fn only_validators_on_the_list_get_tokens() {
    let (alice, bob) = (key("//Alice"), key("//Bob"));
    let config = ArenaGatewayConfig { allowed: Some([alice.hotkey()].into()), ..config() };
    let grants = Grants::open(&config, None).unwrap();
    grants.issue_token(&request(&alice, at(0.0)), at(0.0)).unwrap();
    assert_eq!(
        refusal_message(&grants, &request(&bob, at(0.0)), at(0.0)),
        "the hotkey is not on the gateway's allowlist"
    );
}
