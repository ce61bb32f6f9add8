use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use taonet_babelbit_core::scoring_api::{Contest, ScoreQuery};
use taonet_wallet::Keypair;
use taonet_wire::sorted_json;
use url::Url;

use taonet_http::{JsonCallError, JsonClient, parse_fields};
use taonet_service::{Clock, Sleeper, sleeper, system_clock, unix_time};

/// Timeout of one call, as in the reference.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Delays before the second and the third attempt.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// Maximum delay, regardless of the API's `Retry-After`.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Maximum size of a response in bytes; the rows of a full subnet take less than 100 kB.
const MAX_BODY: usize = 8 << 20;

/// Client for reading scores from the scoring API, for one hotkey.
#[derive(Clone)]
pub struct ScoresClient {
    http: JsonClient,
    keypair: Arc<Keypair>,
    clock: Clock,
    sleeper: Sleeper,
}

#[derive(Deserialize)]
struct ScoresResponse {
    scores: Vec<Value>,
}

impl ScoresClient {
    /// Creates a client for the API at `base`, which signs its requests with `keypair`.
    ///
    /// # Errors
    /// [`reqwest::Error`] when TLS initialisation fails.
    pub fn new(base: &Url, keypair: Arc<Keypair>) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: JsonClient::new(base, None, MAX_BODY)?,
            keypair,
            clock: system_clock(),
            sleeper: sleeper(),
        })
    }

    /// Replaces the clock and the sleeper.
    #[must_use]
    pub fn with_time(self, clock: Clock, sleeper: Sleeper) -> Self {
        Self { clock, sleeper, ..self }
    }

    /// Fetches the score rows of a challenge, for one contest or, without `contest`, for all. Makes
    /// up to three attempts if the API is unreachable or overloaded, or fails.
    ///
    /// # Errors
    /// [`JsonCallError`] of the last attempt.
    pub async fn rows(
        &self,
        challenge_uid: &str,
        contest: Option<Contest>,
    ) -> Result<Vec<Value>, JsonCallError> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let error = match self.attempt(challenge_uid, contest).await {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            let Some(pause) = pauses.next().filter(|_| error.is_retryable()) else {
                return Err(error);
            };
            let pause = pause.max(error.retry_after().unwrap_or_default()).min(MAX_PAUSE);
            tracing::info!(%error, pause_s = pause.as_secs_f64(), "cannot fetch scores from the scoring API, retrying");
            (self.sleeper)(pause).await;
        }
    }

    async fn attempt(
        &self,
        challenge_uid: &str,
        contest: Option<Contest>,
    ) -> Result<Vec<Value>, JsonCallError> {
        let unix_duration = unix_time((self.clock)());
        let mut query = ScoreQuery {
            hotkey: self.keypair.hotkey().to_string(),
            timestamp: i64::try_from(unix_duration.as_secs()).unwrap_or(i64::MAX),
            signature: String::new(),
            challenge_uid: challenge_uid.to_owned(),
            challenge_type: contest.map(|contest| contest.query_name().to_owned()),
        };
        query.signature = self.keypair.sign(sorted_json(&query.signed()).as_bytes()).to_bare_hex();
        let timestamp = query.timestamp.to_string();
        let mut pairs = vec![
            ("hotkey", query.hotkey.as_str()),
            ("timestamp", &timestamp),
            ("signature", &query.signature),
            ("challenge_uid", &query.challenge_uid),
        ];
        pairs.extend(query.challenge_type.as_deref().map(|kind| ("challenge_type", kind)));
        let answer: ScoresResponse =
            self.http.get("/v1/get_scores", &pairs, TIMEOUT).await.and_then(parse_fields)?;
        Ok(answer.scores)
    }
}

impl fmt::Debug for ScoresClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScoresClient")
            .field("hotkey", &self.keypair.hotkey())
            .finish_non_exhaustive()
    }
}
