use reqwest::StatusCode;
use serde_json::{Value, json};
use taonet_babelbit_core::engine_api::TextToken;

use super::{Call, ChallengeKind, EngineClient, EngineError, START_BACKOFF};

impl EngineClient {
    /// Starts a text session and returns its first token, which also names the current text
    /// challenge. Makes, by default, up to three attempts, 1 and 2 s apart.
    ///
    /// # Errors
    /// [`EngineError`] of the last attempt.
    pub async fn start_text(&self, kind: ChallengeKind) -> Result<TextToken, EngineError> {
        let call = match kind {
            ChallengeKind::Main => Call::StartText,
            ChallengeKind::Solo => Call::StartTextSolo,
        };
        self.call_text_with_retry(call, None).await
    }

    /// Fetches the next token of a text session, by default with up to three attempts, 1 and 2 s
    /// apart. The engine advances with each call: after a lost response, the next attempt skips a
    /// token, which [`TextToken::token_index`] and [`TextToken::utterance_index`] reveal.
    ///
    /// # Errors
    /// [`EngineError::InvalidSession`] when the engine does not know the session, else the last
    /// attempt's error.
    pub async fn next_text(
        &self,
        kind: ChallengeKind,
        session_id: &str,
    ) -> Result<TextToken, EngineError> {
        let call = match kind {
            ChallengeKind::Main => Call::NextText,
            ChallengeKind::Solo => Call::NextTextSolo,
        };
        self.call_text_with_retry(call, Some(json!({ "session_id": session_id, "prediction": "" })))
            .await
    }

    async fn call_text_with_retry(
        &self,
        call: Call,
        body: Option<Value>,
    ) -> Result<TextToken, EngineError> {
        let mut attempt = 1;
        loop {
            match self.call(call, body.clone()).await {
                Err(error)
                    if !error.is_auth() && error.status() == Some(StatusCode::BAD_REQUEST) =>
                {
                    return Err(EngineError::InvalidSession);
                }
                Err(error)
                    if attempt < self.options.start_attempts && !error.is_permanent_auth() =>
                {
                    tracing::warn!(attempt, %error, "text request to the engine failed, retrying");
                    let delay = START_BACKOFF.delay(attempt - 1);
                    let pause = delay
                        .max(error.retry_after().unwrap_or_default())
                        .min(self.options.max_backoff);
                    (self.options.sleeper)(pause).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }
}
