use serde_json::{Value, json};
use taonet_wallet::verify;

use super::super::testing::{
    VirtualClock, body, client, gateway, key, ok, requests_to, route, text_response,
};
use super::*;

fn tokens(virtual_clock: &VirtualClock) -> Tokens {
    Tokens::new(Arc::new(key("//validator")), Duration::from_secs(5), virtual_clock.time())
}

fn scope(url: &str, uid: u16) -> TokenScope {
    TokenScope { auth_url: format!("{url}/auth/token"), miner_hotkey: "5M".into(), uid }
}

#[test]
fn token_request_signs_protocol_text() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let request = signed_request(&key("//validator"), Some(("5M", 7)), now);
    let expected = r#"1700000000000|1700000000000000000|{"miner_hotkey":"5M","uid":7}"#;
    assert_eq!(request.signed_text(&sorted_json(&request.signed_object())), expected);
    assert!(verify(
        &key("//validator").hotkey(),
        expected.as_bytes(),
        &request.signature.parse().unwrap()
    ));
    assert_eq!(request.signature.len(), 128);

    let request = signed_request(&key("//validator"), None, now);
    let expected = r#"1700000000000|1700000000000000000|{"scope":"gateway"}"#;
    assert_eq!(request.signed_text(&sorted_json(&request.signed_object())), expected);
    let request_json = serde_json::to_value(&request).unwrap();
    let fields: Vec<_> = request_json.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["hotkey", "timestamp_ms", "nonce", "signature"]);
}

#[tokio::test]
async fn refused_miner_token_falls_back_to_gateway_scope() {
    let server = wiremock::MockServer::start().await;
    route(
        &server,
        "POST",
        "/auth/token",
        vec![text_response(422, "which miner?"), ok(json!({ "token": "t" }))],
    )
    .await;
    let token =
        tokens(&VirtualClock::default()).get(&client(), &scope(&server.uri(), 7)).await.unwrap();
    assert_eq!(&*token, "t");
    let bodies: Vec<Value> = requests_to(&server, "/auth/token").await.iter().map(body).collect();
    assert_eq!((&bodies[0]["miner_hotkey"], &bodies[0]["uid"]), (&json!("5M"), &json!(7)));
    assert_eq!((bodies[1].get("miner_hotkey"), bodies[1].get("uid")), (None, None));
}

#[tokio::test]
async fn token_error_names_both_refusals() {
    let server = wiremock::MockServer::start().await;
    route(
        &server,
        "POST",
        "/auth/token",
        vec![text_response(403, "not you"), text_response(401, "nor so")],
    )
    .await;
    let error = tokens(&VirtualClock::default())
        .get(&client(), &scope(&server.uri(), 7))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot get a token from the gateway: 401:nor so; the request for a single miner failed too: 403:not you"
    );
    assert!(!error.is_retryable());
    let unreachable = tokens(&VirtualClock::default())
        .get(&client(), &scope("http://127.0.0.1:1", 7))
        .await
        .unwrap_err();
    assert!(unreachable.is_retryable(), "{unreachable}");
}

#[tokio::test]
async fn response_without_token_is_an_error() {
    for answer in [
        ok(json!({})),
        ok(json!([])),
        text_response(200, "<html>"),
        ok(json!({ "auth_token": "" })),
    ] {
        let server = wiremock::MockServer::start().await;
        route(&server, "POST", "/auth/token", vec![answer]).await;
        let error = tokens(&VirtualClock::default())
            .get(&client(), &scope(&server.uri(), 7))
            .await
            .unwrap_err();
        assert!(matches!(error, TokenError::NoToken), "{error}");
    }
}

/// Columns: lifetime in the response · time for which the token is used, both in seconds
#[tokio::test]
async fn token_is_reused_for_its_lifetime_of_at_least_30_s() {
    for (expires_in, used) in [(100, 100), (5, 30), (0, 30)] {
        let server = wiremock::MockServer::start().await;
        let answer =
            |n| ok(json!({ "auth_token": format!("token-{n}"), "expires_in": expires_in }));
        route(&server, "POST", "/auth/token", (0..3).map(answer).collect()).await;
        let virtual_clock = VirtualClock::default();
        let tokens = tokens(&virtual_clock);
        let get = async || tokens.get(&client(), &scope(&server.uri(), 7)).await.unwrap();
        assert_eq!(&*get().await, "token-0");
        virtual_clock.advance(Duration::from_secs(used - 1));
        assert_eq!(&*get().await, "token-0");
        virtual_clock.advance(Duration::from_secs(1));
        assert_eq!(&*get().await, "token-1", "{expires_in}");
    }
}

#[tokio::test]
async fn concurrent_callers_share_one_token_request_per_miner() {
    let server = gateway().await;
    let tokens = tokens(&VirtualClock::default());
    let (client, scope) = (client(), scope(&server.uri(), 7));
    let concurrent_tokens =
        futures::future::join_all((0..20).map(|_| tokens.get(&client, &scope))).await;
    assert!(concurrent_tokens.into_iter().all(|token| &*token.unwrap() == "token-0"));
    assert_eq!(requests_to(&server, "/auth/token").await.len(), 1);
    let other_scope = TokenScope { uid: 8, ..scope.clone() };
    assert_eq!(&*tokens.get(&client, &other_scope).await.unwrap(), "token-1");
    // A late rejection of the old token does not remove the new one.
    tokens.forget(&scope, "token-0").await;
    assert_eq!(&*tokens.get(&client, &scope).await.unwrap(), "token-2");
    tokens.forget(&scope, "token-0").await;
    assert_eq!(&*tokens.get(&client, &scope).await.unwrap(), "token-2");
}
