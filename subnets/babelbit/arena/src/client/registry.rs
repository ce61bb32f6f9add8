//! The gateway's registry of arena miners.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};
use taonet_babelbit_core::arena_api::GATEWAY_PROVIDER;
use taonet_wire::SignedClient;
use url::Url;

use super::auth::{TokenError, TokenScope, Tokens};
use super::registry_rows::{Listing, ListingBuilder};
use super::{ArenaConfig, ArenaTime};
use taonet_http::client::{bearer, join_path};
use taonet_http::{JsonCallError, JsonClient};

/// Pauses between attempts.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// Maximum pause, regardless of the gateway's `Retry-After`.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Maximum size of a response in bytes; the rows of a full subnet take less than 1 MB.
const MAX_BODY: usize = 8 << 20;
/// States requested for the setting `running`: `running`, and every state from which a miner can
/// return to it.
const RESUMABLE_STATES: [&str; 6] =
    ["running", "warming", "idle", "unhealthy", "unavailable", "stopped"];
/// Registry route of older gateways.
const LEGACY_PATH: &str = "/live_containers";

/// Why the registry is unavailable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The request to the registry failed.
    #[error("GET {path} {source}")]
    Call {
        /// Path of the route.
        path: String,
        /// The call's error.
        source: JsonCallError,
    },
    /// Getting a token failed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The response has neither containers nor miners.
    #[error("GET {path} returned an object with neither `containers` nor `miners`")]
    Shape {
        /// Path of the route.
        path: String,
    },
}

impl RegistryError {
    /// Whether a retry may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Call { source, .. } => source.is_retryable(),
            Self::Token(error) => error.is_retryable(),
            Self::Shape { .. } => false,
        }
    }

    fn status(&self) -> Option<(StatusCode, &str)> {
        match self {
            Self::Call { source: JsonCallError::Status { status, body, .. }, .. } => {
                Some((*status, body))
            }
            _ => None,
        }
    }

    fn refuses_token(&self) -> bool {
        self.status().is_some_and(|(status, body)| {
            let body = body.to_ascii_lowercase();
            status == StatusCode::UNAUTHORIZED
                && (body.contains("invalid_auth_token") || body.contains("auth token"))
        })
    }

    fn is_not_found(&self) -> bool {
        self.status().is_some_and(|(status, _)| status == StatusCode::NOT_FOUND)
    }
}

pub(super) struct Registry {
    http: JsonClient,
    client: SignedClient,
    tokens: Arc<Tokens>,
    scope: TokenScope,
    paths: Vec<String>,
    statuses: Vec<String>,
    window: String,
    timeout: Duration,
    /// Call route for miners without an endpoint.
    runsync: Url,
    predict_path: String,
    time: ArenaTime,
}

impl Registry {
    pub(super) fn new(
        config: &ArenaConfig,
        client: SignedClient,
        tokens: Arc<Tokens>,
        time: ArenaTime,
    ) -> Result<Self, reqwest::Error> {
        let settings = &config.settings;
        let auth_url = join_path(&config.gateway, &settings.auth_path).to_string();
        Ok(Self {
            http: JsonClient::new(&config.gateway, None, MAX_BODY)?,
            client,
            tokens,
            scope: TokenScope { auth_url, miner_hotkey: "discovery".to_owned(), uid: 0 },
            paths: candidates(&config.gateway, &settings.registry_path),
            statuses: statuses(&settings.status),
            window: settings.window_seconds.to_string(),
            timeout: settings.registry_timeout,
            runsync: join_path(&config.gateway, &settings.runsync_path),
            predict_path: config.predict_path.clone(),
            time,
        })
    }

    /// Lists the miners in any of the requested states.
    pub(super) async fn listing(&self) -> Result<Listing, RegistryError> {
        let mut paths = self.paths.as_slice();
        let mut rows = ListingBuilder::new(&self.predict_path);
        for status in &self.statuses {
            let (path, response) = self.page(&mut paths, status).await?;
            if let Some(Value::Array(containers)) = response.get("containers") {
                rows.add(containers);
            } else if let Some(Value::Array(miners)) = response.get("miners") {
                // This response format has no states: each request returns the same list.
                let miners: Vec<Value> =
                    miners.iter().map(|miner| self.gateway_row(miner)).collect();
                rows.add(&miners);
                break;
            } else {
                return Err(RegistryError::Shape { path });
            }
        }
        Ok(rows.into_listing())
    }

    /// Creates a row for a miner without an endpoint, which is called through the gateway.
    fn gateway_row(&self, miner: &Value) -> Value {
        let uid = miner.get("uid").cloned().unwrap_or_default();
        let name =
            format!("arena-miner-{}", uid.as_str().map_or_else(|| uid.to_string(), str::to_owned));
        json!({
            "miner_hotkey": miner.get("hotkey"), "miner_uid": uid, "status": "running", "provider": GATEWAY_PROVIDER,
            "endpoint_url": self.runsync.as_str(), "container_name": name,
        })
    }

    /// Fetches the miners with one status from the first path that the gateway supports, and
    /// removes the unsupported paths before it from `paths`.
    async fn page(
        &self,
        paths: &mut &[String],
        status: &str,
    ) -> Result<(String, Value), RegistryError> {
        loop {
            let (path, alternatives) = paths
                .split_first()
                .map_or(("/", &[][..]), |(path, alternatives)| (path.as_str(), alternatives));
            match self.get(path, status).await {
                Err(error) if error.is_not_found() && !alternatives.is_empty() => {
                    *paths = alternatives;
                }
                result => return result.map(|response| (path.to_owned(), response)),
            }
        }
    }

    /// Fetches a path, with up to three attempts if the gateway is unreachable, overloaded or
    /// failing; a rejected token is renewed once.
    async fn get(&self, path: &str, status: &str) -> Result<Value, RegistryError> {
        let mut pauses = PAUSES.into_iter();
        let mut is_renewed = false;
        loop {
            let error = match self.attempt(path, status).await {
                Ok(response) => return Ok(response),
                Err((error, Some(token))) if !is_renewed && error.refuses_token() => {
                    is_renewed = true;
                    self.tokens.forget(&self.scope, &token).await;
                    continue;
                }
                Err((error, _)) => error,
            };
            let Some(pause) = pauses.next().filter(|_| error.is_retryable()) else {
                return Err(error);
            };
            let retry_after = match &error {
                RegistryError::Call { source, .. } => source.retry_after().unwrap_or_default(),
                _ => Duration::ZERO,
            };
            tracing::info!(%error, "cannot list the arena's miners, retrying");
            self.time.sleep(pause.max(retry_after).min(MAX_PAUSE)).await;
        }
    }

    /// Makes one attempt. Returns the response, or the error with the token that was used.
    async fn attempt(
        &self,
        path: &str,
        status: &str,
    ) -> Result<Value, (RegistryError, Option<Arc<str>>)> {
        let token = self
            .tokens
            .get(&self.client, &self.scope)
            .await
            .map_err(|error| (error.into(), None))?;
        // Without a header, the gateway's token is not a valid header value.
        let header = bearer(&token).ok_or((RegistryError::Token(TokenError::NoToken), None))?;
        let query = [("window_seconds", self.window.as_str()), ("status", status)];
        let response = self.http.authorized(Some(header)).get(path, &query, self.timeout).await;
        response
            .map_err(|source| (RegistryError::Call { path: path.to_owned(), source }, Some(token)))
    }
}

/// Returns the candidate paths below `base`, in order: the configured one, then the same with `/v1`
/// added or removed. If the base ends with `/v1`, the only candidate is the path without `/v1`.
fn candidates(base: &Url, path: &str) -> Vec<String> {
    let path = normalise(path);
    let without_version =
        path.strip_prefix("/v1").filter(|after_version| after_version.starts_with('/'));
    if base.path().trim_end_matches('/').ends_with("/v1") {
        return vec![without_version.unwrap_or(&path).to_owned()];
    }
    let other = without_version.map_or_else(|| format!("/v1{path}"), str::to_owned);
    vec![path, other]
}

/// Normalises slashes; replaces the legacy route with its new name.
fn normalise(path: &str) -> String {
    let segments: Vec<_> = path.trim().split('/').filter(|segment| !segment.is_empty()).collect();
    let path = format!("/{}", segments.join("/"));
    match path.strip_suffix(LEGACY_PATH) {
        Some(base_path) => format!("{base_path}/list_arena_miners"),
        None => path,
    }
}

fn statuses(setting: &str) -> Vec<String> {
    let mut requested: Vec<String> = Vec::new();
    for status in setting.split(',').map(|status| status.trim().to_ascii_lowercase()) {
        if !status.is_empty() && !requested.contains(&status) {
            requested.push(status);
        }
    }
    match requested.as_slice() {
        [] => RESUMABLE_STATES.map(str::to_owned).to_vec(),
        [only] if only == "running" => RESUMABLE_STATES.map(str::to_owned).to_vec(),
        _ => requested,
    }
}

#[cfg(test)]
mod tests;
