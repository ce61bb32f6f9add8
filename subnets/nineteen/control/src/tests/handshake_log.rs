//! The log of handshakes that miners refuse, or that the validator refuses.

use std::io::Write;
use std::sync::{LazyLock, Mutex};

use axum::http::StatusCode;

use super::*;

/// Captured log lines of the current thread, shared by its clones.
#[derive(Clone, Default)]
pub(super) struct LogLines(Arc<Mutex<Vec<u8>>>);

/// Second dispatcher of the process. With one dispatcher, tracing asks only the current thread whether a new log
/// statement is enabled, so another test's thread, which has no log, would disable the statement for all threads.
static SECOND: LazyLock<tracing::Dispatch> =
    LazyLock::new(|| tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default()));

impl LogLines {
    /// Captures the log of the current thread, from level info, until the guard is dropped.
    pub(super) fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        LazyLock::force(&SECOND);
        let lines = Self::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    /// Returns the lines since the last call.
    pub(super) fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Operators see at the default level which miner gets no requests, and why.
#[tokio::test]
async fn handshake_refused_by_a_miner_is_warned_of_once() {
    let (lines, _guard) = LogLines::capture();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let client = FiberClient::new(key("//Alice"), Trust::Any, ClientConfig::default(), Arc::new(SystemClock)).unwrap();
    let config = MarketConfig::from_toml(TASKS).unwrap();
    let refuses = Router::new().fallback(|| async { (StatusCode::FORBIDDEN, "too little stake") });
    let (address, hotkey) = (listen(refuses).await, key("//Bob").hotkey());
    let peer = Peer::new(hotkey, address.ip().to_string(), address.port()).unwrap();
    store.replace_nodes(&[(Uid(7), peer)], 1).await.unwrap();
    let log = onboarding::HandshakeLog::default();
    lines.take();
    for expected in [1, 0] {
        let nodes = store.nodes().await.unwrap();
        let offers = onboarding::offers(&client, &log, &store, nodes, &config, u64::MAX, || 0.5).await.unwrap();
        assert!(offers.is_empty());
        let text = lines.take();
        let warnings: Vec<&str> = text.lines().filter(|line| line.contains("handshake refused")).collect();
        assert_eq!(warnings.len(), expected, "{text}");
        for warning in warnings {
            for part in
                [" WARN ", "the miner gets no requests", "uid=7", &hotkey.to_string(), "403", "too little stake"]
            {
                assert!(warning.contains(part), "{part}: {warning}");
            }
        }
    }
}
