use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, FromRequest as _, Request, State as Shared};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{Json, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::scoring_api::{Contest, ScoreQuery, ScoresResponse};
use taonet_http::{BodyLimits, buffer_body};
use taonet_primitives::Hotkey;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use super::State;
use super::answer::answer;
use super::artifacts::{ArtifactError, PartialUpload};
use super::error::{ApiError, error_json};
use super::multipart::Form;
use super::record::{NewSubmission, PutOutcome, SubmissionKey};
use super::store::StoreError;
use super::verify::{SignedSubmission, check_fresh, verify_query};
use taonet_babelbit_core::records::MinerKey;
use taonet_babelbit_core::records::is_safe_name;
use taonet_http::{JsonService, subscriber};

/// Maximum size of a form without its file, in bytes: the signed metadata and the headers of the
/// parts.
const FORM_OVERHEAD: u64 = 1 << 20;
/// Maximum size of the signed metadata in bytes.
const MAX_METADATA: usize = 256 << 10;

/// Timeout for receiving a submission's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

type Api = Shared<Arc<State>>;

pub(super) fn router(state: &Arc<State>) -> Router {
    let limits = &state.limits;
    let with_timeout =
        |timeout| TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, timeout);
    let max_form = usize::try_from(limits.max_artifact_bytes.saturating_add(FORM_OVERHEAD))
        .unwrap_or(usize::MAX);
    let files = Router::new()
        .route("/v1/submit-artifact", post(submit_artifact))
        .layer(RequestBodyLimitLayer::new(max_form))
        // The timeout includes waiting for a concurrency permit.
        .layer(with_timeout(limits.request_timeout * 10));
    // Separate concurrency limits, so that slow submissions do not block reads of scores.
    let with_limits = |routes: Router<Arc<State>>| {
        let bodies = BodyLimits::new(
            limits.max_body_bytes,
            BODY_TIMEOUT,
            limits.concurrency * limits.max_body_bytes,
        );
        routes
            // A request takes a concurrency slot only after its body has arrived, so slow bodies
            // block no slots.
            .layer(GlobalConcurrencyLimitLayer::new(limits.concurrency))
            .layer(middleware::from_fn_with_state(bodies, buffer_body))
            .layer(with_timeout(limits.request_timeout))
    };
    let texts = with_limits(Router::new().route("/v1/submit", post(submit)));
    let queries = with_limits(Router::new().route("/v1/get_scores", get(get_scores)));
    let routes = files
        .merge(texts)
        .merge(queries)
        .layer(middleware::from_fn_with_state(Arc::clone(state), admit_address))
        .route("/healthz", get(healthz).layer(with_timeout(limits.request_timeout)))
        .with_state(Arc::clone(state));
    JsonService {
        requests_total: "taonet_scoring_api_requests_total",
        timeout: None,
        error: error_json,
    }
    .wrap(routes)
}

/// Limits the request rate per address, because signature verification is expensive.
async fn admit_address(
    Shared(state): Api,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let address =
        peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |ConnectInfo(peer)| subscriber(peer.ip()));
    state.per_address.admit(address, state.now()).map_err(|wait| ApiError::TooMany { wait })?;
    Ok(next.run(request).await)
}

async fn healthz(Shared(state): Api) -> Result<Json<Value>, ApiError> {
    state.store.ping().await?;
    Ok(Json(json!({ "ok": true })))
}

/// Checks age, signer and rate of a request with a valid signature. Admits `readers` besides
/// validators.
fn admit(
    state: &State,
    hotkey: &Hotkey,
    timestamp: i64,
    readers: &BTreeSet<Hotkey>,
) -> Result<(), ApiError> {
    check_fresh(timestamp, state.now(), state.limits.window)?;
    if !readers.contains(hotkey) {
        state.validators.admit(hotkey)?;
    }
    state.per_validator.admit(*hotkey, state.now()).map_err(|wait| ApiError::TooMany { wait })
}

fn stored_response(new: &NewSubmission, stored: bool) -> Json<Value> {
    metrics::counter!("taonet_scoring_api_submissions_total", "kind" => new.key.kind.as_str())
        .increment(1);
    Json(json!({ "success": true, "stored": stored }))
}

async fn submit(Shared(state): Api, request: Request) -> Result<Json<Value>, ApiError> {
    let body = Bytes::from_request(request, &()).await.map_err(|rejection| ApiError::Body {
        status: rejection.status(),
        text: rejection.body_text(),
    })?;
    let signed = SignedSubmission::read(&body)?;
    admit(&state, &signed.validator, signed.timestamp, &BTreeSet::new())?;
    let new = signed.validate(state.now())?;
    if new.key.kind.is_artifact() {
        return Err(ApiError::Route { kind: new.key.kind.as_str(), route: "/v1/submit-artifact" });
    }
    let outcome = state.store.put(&new).await?;
    Ok(stored_response(&new, outcome != PutOutcome::Outdated))
}

async fn submit_artifact(
    Shared(state): Api,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let content_type =
        headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let mut form = Form::new(content_type, body)?;
    form.next_part("metadata").await?;
    let metadata = form.read_part("metadata", MAX_METADATA).await?;
    let signed = SignedSubmission::read(&metadata)?;
    admit(&state, &signed.validator, signed.timestamp, &BTreeSet::new())?;
    // Only uploads of validators take a concurrency slot, so that slow forms of other callers block
    // no slots.
    let _permit = state.files.acquire().await;
    let size = signed.data("file_size").and_then(Value::as_u64);
    let name = signed.data("file_name").and_then(Value::as_str).unwrap_or("artifact").to_owned();
    if !is_safe_name(&name) {
        return Err(ApiError::Field {
            field: "data.file_name",
            expected: "at most 128 letters, digits, - _ .",
        });
    }
    let mut new = signed.validate(state.now())?;
    if !new.key.kind.is_artifact() {
        return Err(ApiError::Route { kind: new.key.kind.as_str(), route: "/v1/submit" });
    }
    form.next_part("file").await?;
    // The signature does not cover the file: a replayed request must not replace it.
    let is_newer =
        state.store.signed_at(&new.key).await?.is_none_or(|signed| signed < new.signed_unix);
    let (limit, mut incoming) = (state.limits.max_artifact_bytes, state.artifacts.receive()?);
    while let Some(chunk) = form.chunk().await? {
        if incoming.bytes + chunk.len() as u64 > limit {
            return Err(ApiError::TooLarge { limit });
        }
        state.artifacts.add(&mut incoming, &chunk).await?;
    }
    if let Some(declared_size) = size.filter(|declared_size| *declared_size != incoming.bytes) {
        return Err(ApiError::OtherSize { declared: declared_size, received: incoming.bytes });
    }
    if !is_newer {
        return Ok(stored_response(&new, false));
    }
    new.artifact = Some(storage_path(&new.key, &name));
    let (uploads, store) =
        (state.uploads.clone(), store_artifact(Arc::clone(&state), incoming, new.clone()));
    // A spawned task survives the disconnection of its client.
    let outcome = uploads.spawn(store).await.map_err(ArtifactError::Task)??;
    Ok(stored_response(&new, outcome != PutOutcome::Outdated))
}

/// Stores a file and its row. Then removes the file that no row refers to: the replaced file, or
/// the new one if its row was not stored. If the outcome is unknown, both files remain, and
/// `retention` later removes the orphaned one.
async fn store_artifact(
    state: Arc<State>,
    incoming: PartialUpload,
    new: NewSubmission,
) -> Result<PutOutcome, ApiError> {
    let (bytes, path) = (incoming.bytes, new.artifact.clone().unwrap_or_default());
    state.artifacts.store(incoming, &path).await?;
    let outcome = state.store.put(&new).await;
    let orphaned = match &outcome {
        Ok(PutOutcome::Stored { replaced }) => {
            metrics::counter!("taonet_scoring_api_artifact_bytes_total").increment(bytes);
            replaced.clone()
        }
        Err(StoreError::UnknownOutcome(_)) => None,
        Ok(PutOutcome::Outdated) | Err(_) => Some(path),
    };
    if let Some(orphaned) = orphaned
        && let Err(error) = state.artifacts.remove(&orphaned).await
    {
        tracing::warn!(file = orphaned, %error, "cannot remove an orphaned file");
    }
    Ok(outcome?)
}

/// Returns the path of a stored file, composed of the submission's key, a random number and the
/// file's name. With the random number, concurrent uploads of the same file do not overwrite each
/// other.
fn storage_path(key: &SubmissionKey, name: &str) -> String {
    let SubmissionKey { validator, challenge_uid, challenge_type, miner_uid, .. } = key;
    let uid = taonet_primitives::Uid(*miner_uid);
    let miner = key
        .miner_hotkey
        .map_or_else(|| format!("miner_{uid}"), |hotkey| MinerKey { uid, hotkey }.directory());
    let upload: u64 = rand::random();
    format!("{challenge_uid}/{challenge_type}/{validator}/{miner}/{upload:016x}-{name}")
}

async fn get_scores(Shared(state): Api, uri: Uri) -> Result<Json<ScoresResponse>, ApiError> {
    let query = read_query(uri.query().unwrap_or_default())?;
    if !is_safe_name(&query.challenge_uid) {
        return Err(ApiError::Field {
            field: "challenge_uid",
            expected: "at most 128 letters, digits, - _ .",
        });
    }
    let hotkey = verify_query(&query)?;
    admit(&state, &hotkey, query.timestamp, &state.limits.readers)?;
    let contest = match query.challenge_type.as_deref() {
        None => None,
        Some(name) => match Contest::from_query_name(name).or_else(|| Contest::from_row_name(name))
        {
            Some(Contest::Main) => Some(ChallengeType::Main),
            Some(Contest::Arena) => Some(ChallengeType::Arena),
            None => {
                return Err(ApiError::Field {
                    field: "challenge_type",
                    expected: "qualifying or arena",
                });
            }
        },
    };
    let scores = state.store.scores(&query.challenge_uid, contest).await?;
    Ok(Json(answer(&query.challenge_uid, scores, state.validators.stake())))
}

fn read_query(text: &str) -> Result<ScoreQuery, ApiError> {
    let mut pairs = HashMap::new();
    for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
        if pairs.insert(name, value).is_some() {
            return Err(ApiError::Field {
                field: "query",
                expected: "each query parameter at most once",
            });
        }
    }
    let mut required = |name: &'static str| {
        let value = pairs.remove(name).map(std::borrow::Cow::into_owned);
        value.ok_or(ApiError::Field { field: name, expected: "a query parameter" })
    };
    let timestamp = required("timestamp")?;
    Ok(ScoreQuery {
        hotkey: required("hotkey")?,
        timestamp: timestamp.parse().map_err(|_| ApiError::Field {
            field: "timestamp",
            expected: "a Unix time in seconds",
        })?,
        signature: required("signature")?,
        challenge_uid: required("challenge_uid")?,
        challenge_type: required("challenge_type").ok(),
    })
}
