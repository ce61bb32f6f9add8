//! Test servers: an inference server with OpenAI's API whose models are the embedded recogniser,
//! the rewriting rules and espeak-ng.
#![allow(
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::{Value, json};
use taonet_http::ModelServer;
use taonet_speech::{
    CtcRecognizer, Espeak, Recognizer as _, SampleFormat, Synthesizer as _, Voice, Wav,
    resample_for_recognition,
};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::remote::{RemoteModel, parse_message};
use crate::rewrite::{Context, Rewriter};

/// An inference server on a loopback port, until it is dropped.
pub struct InferenceServer {
    url: String,
    runtime: Runtime,
}

impl InferenceServer {
    /// Starts a server with the engines of a miner. The routes of the stages in `stalled` (`stt`,
    /// `llm`, `tts`) never respond.
    pub fn start(stalled: &'static [&'static str]) -> Self {
        Self::with(stalled, Duration::ZERO)
    }

    /// Starts a server like [`Self::start`] whose routes all respond, each after a delay.
    pub fn slow(delay: Duration) -> Self {
        Self::with(&[], delay)
    }

    fn with(stalled: &'static [&'static str], delay: Duration) -> Self {
        let engines = Engines {
            stalled,
            delay,
            recognizer: CtcRecognizer::embedded().unwrap(),
            rewriter: Rewriter::builtin().unwrap(),
            espeak: Espeak::find().unwrap(),
        };
        let router = Router::new()
            .route("/v1/audio/transcriptions", post(transcribe))
            .route("/v1/chat/completions", post(chat))
            .route("/v1/audio/speech", post(speak));
        Self::serve(router.with_state(Arc::new(engines)))
    }

    /// Serves any routes.
    pub fn serve(router: Router) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, runtime }
    }

    /// Returns the base URL, with `/v1`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns a model of the server.
    pub fn model(&self, deadline: Duration) -> RemoteModel {
        let server = ModelServer::new(&self.url.parse().unwrap(), None, deadline).unwrap();
        RemoteModel { server, model: "model".to_owned(), runtime: self.runtime.handle().clone() }
    }
}

struct Engines {
    stalled: &'static [&'static str],
    delay: Duration,
    recognizer: CtcRecognizer,
    rewriter: Rewriter,
    espeak: Espeak,
}

impl Engines {
    async fn stall(&self, stage: &str) {
        if self.stalled.contains(&stage) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(self.delay).await;
    }
}

async fn transcribe(State(engines): State<Arc<Engines>>, body: Bytes) -> Json<Value> {
    engines.stall("stt").await;
    let transcription = tokio::task::spawn_blocking(move || {
        let wav = Wav::decode(file_part(&body)).unwrap();
        engines.recognizer.recognize(&resample_for_recognition(&wav.pcm)).unwrap().transcript
    });
    let transcript = transcription.await.unwrap();
    Json(
        json!({ "task": "transcribe", "language": "english", "text": transcript.text, "words": transcript.words }),
    )
}

/// Returns the last part of a multipart form.
fn file_part(form: &[u8]) -> &[u8] {
    let find =
        |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).position(|window| window == text);
    let start = find(form, b"name=\"file\"").unwrap();
    let start = start + find(&form[start..], b"\r\n\r\n").unwrap() + 4;
    let end = form.windows(4).rposition(|window| window == b"\r\n--").unwrap();
    &form[start..end]
}

/// Replays the conversation with the rewriting rules, and streams the words.
async fn chat(
    State(engines): State<Arc<Engines>>,
    Json(request): Json<Value>,
) -> impl IntoResponse {
    engines.stall("llm").await;
    let (mut context, mut words) = (Context::default(), Vec::new());
    for message in request["messages"].as_array().unwrap() {
        if message["role"] == "user" {
            let (source_phrase, is_start, is_last) =
                parse_message(message["content"].as_str().unwrap());
            words = engines.rewriter.rewrite(&mut context, &source_phrase, is_start, is_last);
        }
    }
    assert_eq!(request["stream"], true);
    if words.is_empty() {
        words.push("-".to_owned());
    }
    let events = words.iter().map(|word| chat_event(&format!("{word} ")));
    (
        [(CONTENT_TYPE, "text/event-stream")],
        events.chain(["data: [DONE]\n\n".to_owned()]).collect::<String>(),
    )
}

/// Formats a piece of a completion as an event of the stream.
pub(crate) fn chat_event(content: &str) -> String {
    let event = json!({ "choices": [{ "index": 0, "delta": { "content": content }, "finish_reason": null }] });
    format!("data: {event}\n\n")
}

async fn speak(
    State(engines): State<Arc<Engines>>,
    Json(request): Json<Value>,
) -> impl IntoResponse {
    engines.stall("tts").await;
    assert_eq!(request["response_format"], "wav");
    let synthesis = tokio::task::spawn_blocking(move || {
        let words_per_minute = (request["speed"].as_f64().unwrap() * 150.0).round() as u16;
        let voice = Voice {
            name: request["voice"].as_str().unwrap().to_owned(),
            words_per_minute,
            pitch: 50,
        };
        let speech = engines.espeak.speak(request["input"].as_str().unwrap(), &voice).unwrap();
        Wav::encode(&speech, SampleFormat::S16).unwrap()
    });
    ([(CONTENT_TYPE, "audio/wav")], synthesis.await.unwrap())
}
