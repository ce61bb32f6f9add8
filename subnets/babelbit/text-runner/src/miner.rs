use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_core::text_api::{PREDICT_MESSAGE, PredictedUtterance, PredictionResponse};
use taonet_babelbit_runner::{CallError, HttpMiner};

/// Maximum size of a response in bytes. A log has one prediction for each word, and the scoring API accepts 4 MiB.
const MAX_ANSWER: usize = 8 << 10;

/// A text miner that can be played: behind HTTP, or in process.
///
/// A call completes within `timeout` with a prediction or an error; dropping its future cancels it.
pub trait TextConnection: Send + Sync {
    /// Asks for the whole utterance.
    fn predict<'a>(
        &'a self,
        request: &'a PredictedUtterance,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<String, CallError>>;
}

impl TextConnection for HttpMiner {
    fn predict<'a>(
        &'a self,
        request: &'a PredictedUtterance,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<String, CallError>> {
        let answer = self.call::<PredictionResponse>(PREDICT_MESSAGE, serde_json::to_vec(request), timeout, MAX_ANSWER);
        async move { Ok(answer.await?.prediction) }.boxed()
    }
}

/// A miner of a text run.
#[derive(Clone)]
pub struct TextMiner {
    /// The miner's uid and hotkey.
    pub key: MinerKey,
    /// Name, for display.
    pub name: Option<String>,
    /// Connection to the miner.
    pub connection: Arc<dyn TextConnection>,
}

impl std::fmt::Debug for TextMiner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextMiner").field("uid", &self.key.uid).finish_non_exhaustive()
    }
}
