//! Routes of the page.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Request};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use taonet_dashboard::{Page, Site, View};
use taonet_http::{BodyLimits, read_json};
use taonet_primitives::Uid;
use taonet_speech::{bytes_to_samples, samples_to_bytes};

use super::error::TryError;
use super::trial::Trial;
use super::upload::{Speech, Upload, decode};
use super::{TrySection, page};

/// Maximum size of an uploaded form in bytes: 30 s of stereo at 48 kHz with 32-bit samples.
const MAX_UPLOAD_BYTES: usize = 12 << 20;
/// Maximum size of a request with samples in bytes: 2 s.
const MAX_SAMPLE_BYTES: usize = 2 * 24_000 * 4;
/// Timeout for receiving a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// Timeout of an upload, with the reply of the miner.
const UPLOAD_TIMEOUT: Duration = Duration::from_mins(2);

const SCRIPT: &str = include_str!("../../assets/try.js");
const MICROPHONE: &str = include_str!("../../assets/microphone.js");

/// Limits on the bodies of requests.
pub(super) struct RouteBodyLimits {
    small: BodyLimits,
    samples: BodyLimits,
    uploads: BodyLimits,
}

impl Default for RouteBodyLimits {
    fn default() -> Self {
        Self {
            small: BodyLimits::new(1_024, BODY_TIMEOUT, 0),
            samples: BodyLimits::new(MAX_SAMPLE_BYTES, BODY_TIMEOUT, 4 * MAX_SAMPLE_BYTES),
            uploads: BodyLimits::new(MAX_UPLOAD_BYTES, BODY_TIMEOUT, 2 * MAX_UPLOAD_BYTES),
        }
    }
}

pub(super) fn router(section: &Arc<TrySection>) -> Router<Site> {
    let [form, uploads, starts, sounds, captions, results, recordings, samples] =
        std::array::from_fn(|_| Arc::clone(section));
    let form = move |view: View| async move { page::form(&form, &view, None) };
    let upload =
        move |view: View, request: Request| async move { upload(&uploads, &view, request).await };
    let start = move |request: Request| async move { start(&starts, request).await };
    let sound = move |view: View, Path(id): Path<String>, request: Request| async move {
        sound(&sounds, &view, &id, request).await
    };
    let captions = move |Path(id): Path<String>| async move { caption(&captions, &id).await };
    let result = move |view: View, Path(id): Path<String>| async move {
        result(&results, &view, &id).into_response()
    };
    let recording = move |view: View, Path((id, file)): Path<(String, String)>| async move {
        recording(&recordings, &view, &id, &file).into_response()
    };
    let sample = move |view: View, Path(language): Path<String>| async move {
        sample(&samples, &view, &language).into_response()
    };
    Router::new()
        .route("/try", get(form).post(upload))
        .route("/try/visits", post(start))
        .route("/try/visits/{id}/sound", post(sound))
        .route("/try/visits/{id}/captions", get(captions))
        .route("/try/results/{id}", get(result))
        .route("/try/results/{id}/{file}", get(recording))
        .route("/try/samples/{language}", get(sample))
        .route("/try/try.js", get(|| async { script(SCRIPT) }))
        .route("/try/microphone.js", get(|| async { script(MICROPHONE) }))
}

fn script(text: &'static str) -> Response {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], text).into_response()
}

/// Interprets an uploaded recording, and redirects to the result.
async fn upload(section: &TrySection, view: &View, request: Request) -> Response {
    let interpreted = tokio::time::timeout(UPLOAD_TIMEOUT, interpret(section, request)).await;
    match interpreted.unwrap_or(Err(TryError::Timeout(UPLOAD_TIMEOUT))) {
        Ok(trial) => {
            let result = [(LOCATION, result_path(view, &trial))];
            (StatusCode::SEE_OTHER, result).into_response()
        }
        Err(error) => (error.status(), page::form(section, view, Some(&error))).into_response(),
    }
}

async fn interpret(section: &TrySection, request: Request) -> Result<Arc<Trial>, TryError> {
    let (head, body) = request.into_parts();
    let content_type =
        head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = section.bodies.uploads.read(body).await?;
    let Upload { miner, allows_storage, speech } =
        Upload::parse(content_type, body.bytes.clone()).await?;
    let file = match speech {
        Speech::File(file) => file,
        Speech::Sample(language) => section.sample(&language).ok_or(TryError::UnknownSample)?,
    };
    let samples = tokio::task::spawn_blocking(move || decode(&file))
        .await
        .map_err(|_| TryError::Internal)??;
    drop(body);
    let visit = section.open(miner, allows_storage).await?;
    visit.send(&samples, true).await?;
    section.finish_visit(&visit).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StartRequest {
    miner: Uid,
    keep: bool,
}

/// Opens a visit; returns its ID.
async fn start(section: &TrySection, request: Request) -> Result<Json<Value>, TryError> {
    let StartRequest { miner, keep } =
        read_json(request, &section.bodies.small).await.map_err(TryError::Json)?;
    let visit = section.open(miner, keep).await?;
    Ok(Json(json!({ "visit": section.visits.add(visit) })))
}

/// Sends samples of the visitor to the miner; returns samples of the reply, and after the last
/// samples the transcripts and the path of the result.
async fn sound(
    section: &TrySection,
    view: &View,
    id: &str,
    request: Request,
) -> Result<Json<Value>, TryError> {
    let visit = section.visits.find(id)?;
    let is_last = view.param("last").is_some();
    let body = section.bodies.samples.read(request.into_body()).await?;
    let sanitize = |sample: f32| if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 };
    let samples: Vec<f32> = bytes_to_samples(&body.bytes)?.into_iter().map(sanitize).collect();
    drop(body);
    let reply_samples = visit.send(&samples, is_last).await;
    // A miner that failed once has lost the session.
    if matches!(reply_samples, Err(TryError::Play(_))) {
        section.visits.remove(id);
    }
    let audio = STANDARD.encode(samples_to_bytes(&reply_samples?));
    if !is_last {
        return Ok(Json(json!({ "audio": audio })));
    }
    let trial = section.finish_visit(&visit).await;
    section.visits.remove(id);
    let trial = trial?;
    let result = result_path(view, &trial);
    Ok(Json(
        json!({ "audio": audio, "heard": trial.source_transcript.text, "said": trial.reply_transcript.text, "result": result }),
    ))
}

/// Returns the captions of a visit so far.
async fn caption(section: &TrySection, id: &str) -> Result<Json<Value>, TryError> {
    let visit = section.visits.find(id)?;
    Ok(Json(section.caption(&visit).await))
}

fn result_path(view: &View, trial: &Trial) -> String {
    view.href(&format!("/try/results/{}", trial.id))
}

fn result(section: &TrySection, view: &View, id: &str) -> Page {
    let trial = section.trials.find(id).ok_or_else(|| view.missing("This result"))?;
    Ok(page::result(view, &trial))
}

fn sample(section: &TrySection, view: &View, language: &str) -> Page {
    let wav = section.sample(language).ok_or_else(|| view.missing("This sample"))?;
    Ok(wav_response(wav))
}

fn wav_response(wav: Bytes) -> Response {
    ([(CONTENT_TYPE, "audio/wav")], wav).into_response()
}

fn recording(section: &TrySection, view: &View, id: &str, file: &str) -> Page {
    let trial = section.trials.find(id).ok_or_else(|| view.missing("This recording"))?;
    let wav: Bytes = match file {
        "source.wav" => trial.source.clone(),
        "reply.wav" => trial.reply.clone(),
        _ => return Err(view.missing("This recording")),
    };
    Ok(wav_response(wav))
}
