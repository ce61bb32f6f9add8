use super::super::testing::{
    VirtualClock, client, config, gateway, hotkey, key, ok, requests_to, route, text_response,
};
use super::*;
use crate::ArenaSettings;

const LIST: &str = "/list_arena_miners";

fn registry(base: &str, settings: ArenaSettings, virtual_clock: &VirtualClock) -> Registry {
    let config = config(base, settings);
    let tokens =
        Tokens::new(Arc::new(key("//validator")), Duration::from_secs(5), virtual_clock.time());
    Registry::new(&config, client(), Arc::new(tokens), virtual_clock.time()).unwrap()
}

fn default_registry(base: &str) -> Registry {
    registry(base, ArenaSettings::default(), &VirtualClock::default())
}

fn container(uid: u16) -> Value {
    json!({ "miner_hotkey": hotkey(uid), "miner_uid": uid, "status": "running", "endpoint_url": "http://9.9.9.9:1" })
}

/// Columns: base · setting · candidates, in order
#[test]
fn list_path_is_normalised_and_has_an_alternative_version() {
    for (base, path, expected) in [
        ("https://gw/", "/list_arena_miners", &["/list_arena_miners", "/v1/list_arena_miners"][..]),
        ("https://gw", "list_arena_miners", &["/list_arena_miners", "/v1/list_arena_miners"]),
        (
            "https://gw",
            "//v1//list_arena_miners/",
            &["/v1/list_arena_miners", "/list_arena_miners"],
        ),
        ("https://gw", "/live_containers", &["/list_arena_miners", "/v1/list_arena_miners"]),
        ("https://gw", "/v1/live_containers", &["/v1/list_arena_miners", "/list_arena_miners"]),
        ("https://gw/v1", "/list_arena_miners", &["/list_arena_miners"]),
        ("https://gw/v1/", "/v1/list_arena_miners", &["/list_arena_miners"]),
        ("https://gw/api/v1", "/v1/live_containers", &["/list_arena_miners"]),
        ("https://gw/api", "/v1x/list", &["/v1x/list", "/v1/v1x/list"]),
    ] {
        assert_eq!(candidates(&base.parse().unwrap(), path), expected, "{base} {path}");
    }
}

/// Columns: setting · requested states, in order
#[test]
fn status_running_requests_all_resumable_states() {
    for (setting, expected) in [
        ("running", &RESUMABLE_STATES[..]),
        (" Running ", &RESUMABLE_STATES),
        ("", &RESUMABLE_STATES),
        ("idle", &["idle"]),
        ("running,idle", &["running", "idle"]),
        (" idle , ,running, idle", &["idle", "running"]),
    ] {
        assert_eq!(statuses(setting), expected, "{setting}");
    }
}

#[tokio::test]
async fn lists_of_all_states_are_requested_with_a_token_and_merged() {
    let server = gateway().await;
    let pages = [
        vec![container(1)],
        vec![container(2), container(1)],
        vec![],
        vec![json!({})],
        vec![json!({})],
        vec![],
    ];
    route(&server, "GET", LIST, pages.map(|page| ok(json!({ "containers": page }))).into()).await;
    let listing = default_registry(&server.uri()).listing().await.unwrap();
    let hotkeys: Vec<_> = listing.rows.iter().map(|row| row.hotkey.clone()).collect();
    assert_eq!((hotkeys, listing.malformed), (vec![hotkey(1), hotkey(2)], 1));
    let requests = requests_to(&server, LIST).await;
    let queries: Vec<_> =
        requests.iter().map(|request| request.url.query().unwrap().to_owned()).collect();
    assert_eq!(
        queries,
        RESUMABLE_STATES.map(|status| format!("window_seconds=86000&status={status}"))
    );
    assert!(requests.iter().all(|request| request.headers["authorization"] == "Bearer token-0"));
    // Discovery has a separate token.
    let auth = requests_to(&server, "/auth/token").await;
    let auth: Value = serde_json::from_slice(&auth[0].body).unwrap();
    assert_eq!((&auth["miner_hotkey"], &auth["uid"]), (&json!("discovery"), &json!(0)));
}

#[tokio::test]
async fn miner_list_without_routes_uses_the_gateway_and_one_request() {
    let server = gateway().await;
    let miners = json!([{ "hotkey": hotkey(1), "uid": 1 }, { "hotkey": hotkey(2), "uid": "2" }, { "uid": 3 }, 7]);
    route(&server, "GET", LIST, vec![ok(json!({ "miners": miners, "count": 4 }))]).await;
    let listing = default_registry(&server.uri()).listing().await.unwrap();
    assert_eq!((listing.rows.len(), listing.malformed), (2, 2));
    for (row, uid) in listing.rows.iter().zip(1..) {
        assert_eq!(
            (row.uid, row.status.as_str(), row.provider.as_str()),
            (Some(uid), "running", "gateway")
        );
        assert_eq!(row.endpoint.as_str(), format!("{}/runsync", server.uri()));
    }
    assert_eq!(requests_to(&server, LIST).await.len(), 1);
}

#[tokio::test]
async fn refused_token_is_renewed_once() {
    let no_miners = || ok(json!({ "miners": [] }));
    for (refusal, renewed) in [
        (r#"{"detail":"invalid_auth_token"}"#, true),
        ("bad Auth Token", true),
        ("who are you?", false),
    ] {
        let server = gateway().await;
        route(&server, "GET", LIST, vec![text_response(401, refusal), no_miners()]).await;
        let outcome = default_registry(&server.uri()).listing().await;
        assert_eq!(outcome.is_ok(), renewed, "{refusal}");
        let tokens: Vec<_> = requests_to(&server, LIST)
            .await
            .iter()
            .map(|request| request.headers["authorization"].clone())
            .collect();
        let expected =
            if renewed { &["Bearer token-0", "Bearer token-1"][..] } else { &["Bearer token-0"] };
        assert_eq!(tokens, expected, "{refusal}");
    }
    let server = gateway().await;
    route(&server, "GET", LIST, vec![text_response(401, "invalid_auth_token")]).await;
    default_registry(&server.uri()).listing().await.unwrap_err();
    assert_eq!(requests_to(&server, LIST).await.len(), 2);
}

#[tokio::test]
async fn alternative_path_is_tried_after_404() {
    let server = gateway().await;
    route(
        &server,
        "GET",
        "/v1/list_arena_miners",
        vec![ok(json!({ "containers": [container(1)] }))],
    )
    .await;
    let settings = ArenaSettings { status: "running,idle".into(), ..ArenaSettings::default() };
    let listing =
        registry(&server.uri(), settings, &VirtualClock::default()).listing().await.unwrap();
    assert_eq!(listing.rows.len(), 1);
    // The first path is not requested again.
    assert_eq!(requests_to(&server, LIST).await.len(), 1);
    assert_eq!(requests_to(&server, "/v1/list_arena_miners").await.len(), 2);

    let server = gateway().await;
    let error = default_registry(&server.uri()).listing().await.unwrap_err().to_string();
    assert!(error.contains("GET /v1/list_arena_miners failed status=404"), "{error}");
}

#[tokio::test]
async fn versioned_base_url_is_not_changed() {
    let server = gateway().await;
    route(&server, "POST", "/v1/auth/token", vec![ok(json!({ "token": "t" }))]).await;
    route(
        &server,
        "GET",
        "/v1/list_arena_miners",
        vec![ok(json!({ "miners": [{ "hotkey": "5M", "uid": 1 }] }))],
    )
    .await;
    let settings =
        ArenaSettings { registry_path: "/v1/list_arena_miners".into(), ..ArenaSettings::default() };
    let listing = registry(&format!("{}/v1/", server.uri()), settings, &VirtualClock::default())
        .listing()
        .await
        .unwrap();
    assert_eq!(listing.rows[0].endpoint.path(), "/v1/runsync");
    let paths: Vec<_> =
        server.received_requests().await.unwrap().iter().map(|r| r.url.path().to_owned()).collect();
    assert_eq!(paths, ["/v1/auth/token", "/v1/list_arena_miners"]);
}

/// Columns: response · attempts · error
#[tokio::test]
async fn response_without_miner_list_is_an_error() {
    let long_body = "x".repeat(400);
    for (answer, attempts, expected_message) in [
        (text_response(500, &long_body), 3, format!("status=500 body={}", "x".repeat(300))),
        (text_response(429, "slow down"), 3, "status=429".into()),
        (text_response(403, "no"), 1, "status=403 body=no".into()),
        (text_response(302, ""), 1, "status=302".into()),
        (text_response(200, "<html>"), 3, "returned invalid json".into()),
        (ok(json!([])), 3, "returned invalid json".into()),
        (ok(json!({ "rows": [] })), 1, "neither `containers` nor `miners`".into()),
        (ok(json!({ "containers": "none" })), 1, "neither `containers` nor `miners`".into()),
    ] {
        let (server, virtual_clock) = (gateway().await, VirtualClock::default());
        route(&server, "GET", LIST, vec![answer]).await;
        let error = registry(&server.uri(), ArenaSettings::default(), &virtual_clock)
            .listing()
            .await
            .unwrap_err();
        assert!(error.to_string().contains(&expected_message), "{error}");
        assert_eq!(requests_to(&server, LIST).await.len(), attempts, "{error}");
        assert_eq!(virtual_clock.waits().len(), attempts - 1);
        assert!(error.to_string().len() < 500);
    }
}
