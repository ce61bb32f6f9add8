use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequest as _, FromRequestParts, Request, State as Shared};
use axum::http::request::Parts;
use axum::middleware;
use axum::response::{IntoResponse as _, Json, Response};
use axum::routing::{get, post};
use axum::{RequestPartsExt as _, Router};
use serde_json::{Value, json};
use taonet_babelbit_core::arena_api::{
    AUTH_PATH, LIST_PATH, ListedContainer, ListedContainers, ListedMiner, ListedMiners,
    RUNSYNC_PATH, RunsyncRequest, SUBMIT_PATH, Submission, SubmissionResponse, TokenRequest,
    TokenResponse,
};
use taonet_primitives::Hotkey;
use taonet_wire::{Caller as Signer, SignedLayer};

use super::answer::{ApiError, Body, error_body};
use super::entries::{ListedEntry, Rules};
use super::{CachedList, Listing, State};
use taonet_http::{JsonService, subscriber, token_of};

type Gateway = Shared<Arc<State>>;

/// Lifetime of a cached list: short, since wins expire, and members join and leave.
const LIST_LIFETIME: Duration = Duration::from_secs(1);
/// Margin by which a request's timeout exceeds the miner's timeout.
const TIMEOUT_MARGIN: Duration = Duration::from_secs(15);

pub(super) fn router(state: Arc<State>, submissions: SignedLayer) -> Router {
    let timeout = state.config.call_timeout.saturating_add(TIMEOUT_MARGIN);
    let validators = Router::new()
        .route(AUTH_PATH, post(token))
        .route(LIST_PATH, get(list))
        .route(RUNSYNC_PATH, post(runsync));
    let submit = Router::new()
        .route(SUBMIT_PATH, post(submit))
        .route_layer(submissions)
        .route_layer(middleware::from_fn_with_state(Arc::clone(&state), admit_unauthenticated));
    let routes = Router::new()
        .merge(validators.clone())
        .nest("/v1", validators)
        .merge(submit)
        .route("/healthz", get(healthz))
        .with_state(state);
    let requests_total = "taonet_arena_gateway_requests_total";
    JsonService { requests_total, timeout: Some(timeout), error: error_body }.wrap(routes)
}

impl State {
    /// Returns the list of the arena's miners, which is cached for [`LIST_LIFETIME`], since every
    /// message needs it.
    ///
    /// # Errors
    /// [`ApiError::MembersUnknown`] while the registered members are unknown.
    pub(super) async fn listed(&self) -> Result<Arc<[ListedEntry]>, ApiError> {
        let (config, now, version) = (&self.config, self.now(), self.entries.version());
        let mut cached = self.listed.lock().await;
        if let Some(latest) = cached.as_ref()
            && latest.version == version
            && now.duration_since(latest.read_at).is_ok_and(|age| age < LIST_LIFETIME)
        {
            return Ok(Arc::clone(&latest.miners));
        }
        let rules =
            Rules { slots: config.slots, window: config.window, wins_needed: config.wins_needed };
        let miners: Arc<[ListedEntry]> = match &self.members {
            None => self.entries.listed(&rules, now, |_, claimed| Some(claimed)).await,
            Some(members) => {
                let uids = members.uids()?;
                self.entries.listed(&rules, now, |hotkey, _| uids.get(hotkey).copied()).await
            }
        }
        .into();
        metrics::gauge!("taonet_arena_gateway_listed").set(miners.len() as f64);
        *cached = Some(CachedList { version, read_at: now, miners: Arc::clone(&miners) });
        Ok(miners)
    }

    /// Returns the uid of a submitting miner: from the chain if known, else as claimed.
    fn resolve_uid(&self, hotkey: Hotkey, claimed: u16) -> Result<u16, ApiError> {
        match &self.members {
            None => Ok(claimed),
            Some(members) => {
                members.uids()?.get(&hotkey).copied().ok_or(ApiError::NotRegistered(hotkey))
            }
        }
    }

    fn admit_address(&self, parts: &Parts) -> Result<(), ApiError> {
        let address = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map(|ConnectInfo(address)| address.ip());
        let key = subscriber(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        self.auth_limit.admit(key, self.now()).map_err(|wait| ApiError::TooMany { wait })
    }

    fn admit_hotkey(&self, hotkey: Hotkey) -> Result<(), ApiError> {
        self.data_limit.admit(hotkey, self.now()).map_err(|wait| ApiError::TooMany { wait })
    }
}

/// Extractor of an unauthenticated caller, rate-limited by address.
struct UnauthenticatedCaller;

impl FromRequestParts<Arc<State>> for UnauthenticatedCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, ApiError> {
        state.admit_address(parts)?;
        Ok(Self)
    }
}

async fn admit_unauthenticated(
    Shared(state): Gateway,
    request: Request,
    next: middleware::Next,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    state.admit_address(&parts)?;
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// Extractor of a caller with a valid token in the header, rate-limited by hotkey.
struct Caller(Hotkey);

impl FromRequestParts<Arc<State>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, ApiError> {
        let token = token_of(&parts.headers).ok_or(ApiError::Token)?;
        let hotkey = state.grants.owner(token, state.now())?;
        state.admit_hotkey(hotkey)?;
        Ok(Self(hotkey))
    }
}

async fn healthz(Shared(state): Gateway) -> Json<Value> {
    Json(json!({ "status": "ok", "hotkey": state.config.keypair.hotkey() }))
}

async fn token(
    Shared(state): Gateway,
    _: UnauthenticatedCaller,
    Body(request): Body<TokenRequest>,
) -> Result<Json<TokenResponse>, ApiError> {
    state.grants.issue_token(&request, state.now()).map(Json)
}

/// Lists the arena's miners. The query is ignored: the list does not depend on a time window, and
/// every miner counts as running.
async fn list(Shared(state): Gateway, _: Caller) -> Result<Response, ApiError> {
    let listed = state.listed().await?;
    let count = listed.len();
    Ok(match state.config.listing {
        Listing::Gateway => {
            let miner = |listed: &ListedEntry| ListedMiner {
                hotkey: listed.hotkey.to_string(),
                uid: listed.uid,
            };
            Json(ListedMiners { miners: listed.iter().map(miner).collect(), count }).into_response()
        }
        Listing::Endpoints => {
            let container = |listed: &ListedEntry| ListedContainer {
                miner_hotkey: listed.hotkey.to_string(),
                miner_uid: listed.uid,
                status: "running".to_owned(),
                provider: "miner".to_owned(),
                endpoint_url: listed.endpoint_url.clone(),
                container_name: format!("arena-miner-{}", listed.uid),
            };
            Json(ListedContainers { containers: listed.iter().map(container).collect(), count })
                .into_response()
        }
    })
}

/// Forwards a message. The token may be in a header, which is checked before the body is read, or
/// in the body.
async fn runsync(Shared(state): Gateway, request: Request) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let header_token = match token_of(&parts.headers) {
        Some(_) => Some(parts.extract_with_state::<Caller, _>(&state).await?.0),
        None => None,
    };
    let request = Request::from_parts(parts.clone(), body);
    let Body(request) = Body::<RunsyncRequest>::from_request(request, &state).await?;
    let caller = match (header_token, &request.auth_token) {
        (Some(caller), _) => caller,
        (None, token) => {
            let owner = token.as_deref().map(|token| state.grants.owner(token, state.now()));
            let Some(Ok(caller)) = owner else {
                // Guessed tokens count against the address's rate limit.
                state.admit_address(&parts)?;
                return Err(ApiError::Token);
            };
            state.admit_hotkey(caller)?;
            caller
        }
    };
    state.forward(caller, request).await
}

async fn submit(
    Shared(state): Gateway,
    signer: Signer,
    Body(submission): Body<Submission>,
) -> Result<Json<SubmissionResponse>, ApiError> {
    let hotkey = signer.hotkey;
    let address = state.config.policy.resolve_managed(&submission.endpoint_url)?;
    let uid = state.resolve_uid(hotkey, submission.uid)?;
    let submission = Submission { endpoint_url: address.url().to_string(), uid };
    let now = state.now();
    state.entries.submit(hotkey, &submission, now).await.map_err(|error| {
        tracing::error!(%error, "cannot store a submission");
        ApiError::StorageFailed
    })?;
    let listed = state.listed().await?.iter().any(|listed| listed.hotkey == hotkey);
    let wins = state.entries.record(&hotkey, now, state.config.window).await.wins;
    tracing::info!(%hotkey, uid, endpoint = submission.endpoint_url, listed, wins, "arena entry submitted");
    let hotkey = hotkey.to_string();
    Ok(Json(SubmissionResponse { hotkey, endpoint_url: submission.endpoint_url, listed, wins }))
}
