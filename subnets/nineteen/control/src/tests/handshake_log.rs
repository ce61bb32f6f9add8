//! The log of handshakes that miners refuse, or that the validator refuses.

use axum::http::StatusCode;

use super::*;

/// Operators see at the default level which miner gets no requests, and why.
#[tokio::test]
async fn handshake_refused_by_a_miner_is_logged_once() {
    let (lines, _guard) = CapturedLog::start();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let client = FiberClient::new(
        key("//Alice"),
        Trust::Any,
        ClientConfig::default(),
        Arc::new(SystemClock),
    )
    .unwrap();
    let config = MarketConfig::from_toml(TASKS).unwrap();
    let refuses = Router::new().fallback(|| async { (StatusCode::FORBIDDEN, "too little stake") });
    let (address, hotkey) = (listen(refuses).await, key("//Bob").hotkey());
    let peer = Peer::new(hotkey, address.ip().to_string(), address.port()).unwrap();
    store.replace_nodes(&[(Uid(7), peer)], &[], 1).await.unwrap();
    let log = onboarding::HandshakeLog::default();
    lines.take();
    for expected in [1, 0] {
        let nodes = store.nodes().await.unwrap();
        let offers =
            onboarding::query_offers(&client, &log, &store, nodes, &config, u64::MAX, || 0.5)
                .await
                .unwrap();
        assert!(offers.is_empty());
        let text = lines.take();
        let warnings: Vec<&str> =
            text.lines().filter(|line| line.contains("handshake refused")).collect();
        assert_eq!(warnings.len(), expected, "{text}");
        for warning in warnings {
            for part in [
                " WARN ",
                "the miner gets no requests",
                "uid=7",
                &hotkey.to_string(),
                "403",
                "too little stake",
            ] {
                assert!(warning.contains(part), "{part}: {warning}");
            }
        }
    }
}
