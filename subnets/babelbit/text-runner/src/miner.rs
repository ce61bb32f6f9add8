use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_core::text_api::{PREDICT_MESSAGE, PredictedUtterance, PredictionResponse};
use taonet_babelbit_runner::{CallError, HttpMiner};

/// Maximum size of a miner's response in bytes: a log, with one prediction per word, should stay
/// below the scoring API's limit of 4 MiB.
pub const MAX_PREDICTION_BYTES: usize = 8 << 10;

/// Maximum size of a miner's predictions in a session in bytes. A session is held in memory:
/// without a limit, a few miners with long predictions could exhaust it.
pub const MAX_SESSION_BYTES: usize = 8 << 20;

/// A connection to a text miner, over HTTP or in process.
///
/// A call returns a prediction or an error within `timeout`; dropping the future cancels the call.
pub trait TextConnection: Send + Sync {
    /// Requests a prediction of the complete utterance.
    fn predict<'a>(
        &'a self,
        request: &'a PredictedUtterance,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<String, CallError>>;

    /// Whether the miner is ready for a session, which is checked before arena rounds. A connection
    /// without a health check counts as healthy.
    fn is_healthy(&self, _timeout: Duration) -> BoxFuture<'_, bool> {
        std::future::ready(true).boxed()
    }
}

impl TextConnection for HttpMiner {
    fn predict<'a>(
        &'a self,
        request: &'a PredictedUtterance,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<String, CallError>> {
        let body = serde_json::to_vec(request);
        let answer =
            self.call::<PredictionResponse>(PREDICT_MESSAGE, body, timeout, MAX_PREDICTION_BYTES);
        async move { Ok(answer.await?.prediction) }.boxed()
    }
}

/// A miner that takes part in a text run.
#[derive(Clone)]
pub struct TextMiner {
    /// Uid and hotkey of the miner.
    pub key: MinerKey,
    /// Display name.
    pub name: Option<String>,
    /// Connection to the miner.
    pub connection: Arc<dyn TextConnection>,
}

impl std::fmt::Debug for TextMiner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextMiner").field("uid", &self.key.uid).finish_non_exhaustive()
    }
}
