use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{Stream, StreamExt as _, stream};
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use taonet_http::testing::listen;

use super::*;
use crate::line::MAX_BYTES;
use crate::model::MAX_ADDED_WORDS;
use crate::ngram::Trainer;

/// Deadline of a server that stalls.
const DEADLINE: Duration = Duration::from_secs(1);
/// Deadline of the other servers, which a busy machine does not reach.
const WAIT_TIMEOUT: Duration = Duration::from_mins(1);

/// Scripted response of a mock inference server.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// Streams these texts, then ends.
    Ends(&'static [&'static str]),
    /// Streams these texts, then sends no more data and keeps the connection open.
    Stalls(&'static [&'static str]),
    /// Streams the same text repeatedly, without an end.
    Repeats(&'static str),
    /// Streams a text, then an error.
    Breaks(&'static str),
    /// Ignores `stream` and sends one document.
    NotStreamed(&'static str),
    /// Refuses the request.
    Refuses,
}

fn event(document: &Value) -> String {
    format!("data: {document}\n\n")
}

fn text(text: &str) -> String {
    event(
        &json!({"object": "text_completion", "choices": [{"index": 0, "text": text, "finish_reason": null}]}),
    )
}

fn body(events: impl Stream<Item = String> + Send + 'static) -> Body {
    Body::from_stream(events.map(Ok::<_, Infallible>))
}

impl Answer {
    fn respond(self) -> Response {
        let texts = |texts: &'static [&'static str]| stream::iter(texts).map(|piece| text(piece));
        let body = match self {
            Self::Ends(pieces) => {
                let usage = event(&json!({"choices": [], "usage": {"completion_tokens": 3}}));
                let end = stream::iter([usage, "data: [DONE]\n\n".to_owned()]);
                body(texts(pieces).chain(end))
            }
            Self::Stalls(pieces) => body(texts(pieces).chain(stream::pending())),
            Self::Repeats(piece) => body(stream::repeat(piece).map(text)),
            Self::Breaks(piece) => {
                let error = event(&json!({"error": {"message": "out of memory"}}));
                body(stream::iter([text(piece), error]))
            }
            Self::NotStreamed(piece) => {
                return Json(json!({"choices": [{"text": piece}]})).into_response();
            }
            Self::Refuses => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        };
        ([(CONTENT_TYPE, "text/event-stream")], body).into_response()
    }
}

/// A server that records the requests for completions, with their `Authorization` headers.
#[derive(Clone)]
struct RecordingServer {
    answer: Answer,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

async fn completions(
    State(server): State<RecordingServer>,
    headers: http::HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let key = headers.get(AUTHORIZATION).map_or("", |value| value.to_str().unwrap());
    server.requests.lock().unwrap().push((key.to_owned(), body));
    server.answer.respond()
}

/// Starts a server and creates a model on it; the model's name comes from the server's list.
async fn backend(answer: Answer, fallback: bool) -> (Backend, RecordingServer) {
    backend_with(answer, CompletionOptions::default(), fallback).await
}

async fn backend_with(
    answer: Answer,
    options: CompletionOptions,
    fallback: bool,
) -> (Backend, RecordingServer) {
    let recording_server = RecordingServer { answer, requests: Arc::default() };
    let models = || async { Json(json!({"data": [{"id": "gpt2"}]})) };
    let router =
        Router::new().route("/v1/completions", post(completions)).route("/v1/models", get(models));
    let url = format!("http://{}/v1", listen(router.with_state(recording_server.clone())).await)
        .parse()
        .unwrap();
    let deadline = if matches!(answer, Answer::Stalls(_)) { DEADLINE } else { WAIT_TIMEOUT };
    let server = ModelServer::new(&url, Some("sk-1"), deadline).unwrap();
    let mut trainer = Trainer::new(3).unwrap();
    trainer.add("How are you doing today my friend").unwrap();
    let ngram = fallback.then(|| Arc::new(trainer.finish(|_| ()).unwrap()));
    (Backend::connect(server, None, options, ngram).await.unwrap(), recording_server)
}

/// Columns: answer of the server, prediction without and with an n-gram model.
#[tokio::test]
async fn words_before_the_deadline_are_completed_by_the_ngram_model() {
    let full_line = "How are you doing today my friend";
    let table = [
        (Answer::Ends(&[" you", " to", "day?"]), "How are you today?", "How are you today?"),
        // The line ends; the next one is not read.
        (
            Answer::Stalls(&[" you", " today?\nFine,", " thanks."]),
            "How are you today?",
            "How are you today?",
        ),
        (Answer::NotStreamed(" you?\nFine."), "How are you?", "How are you?"),
        (Answer::Ends(&["you", "?"]), "How are you?", "How are you?"),
        (Answer::Ends(&["?"]), "How are?", "How are?"),
        (Answer::Ends(&[]), "How are", "How are"),
        // "doi" may be a part of a word.
        (Answer::Stalls(&[" you", " doi"]), "How are you", full_line),
        (Answer::Stalls(&[" you "]), "How are you", full_line),
        (Answer::Stalls(&[" yo"]), "", full_line),
        (Answer::Stalls(&[]), "", full_line),
        (Answer::Breaks(" you doing so"), "How are you doing", full_line),
        (Answer::Refuses, "", full_line),
    ];
    for (answer, without, with) in table {
        for (fallback, expected) in [(false, without), (true, with)] {
            let start = Instant::now();
            let (backend, _) = backend(answer, fallback).await;
            let predicted = backend.predict("How are", "").await;
            assert_eq!(predicted, expected, "{answer:?}, n-gram model: {fallback}");
            assert!(start.elapsed() < WAIT_TIMEOUT / 2, "{answer:?} took {:?}", start.elapsed());
        }
    }
}

#[tokio::test]
async fn endless_stream_is_truncated() {
    let (backend, _) = backend(Answer::Repeats(" on"), false).await;
    let predicted = backend.predict("It goes", "").await;
    assert_eq!(predicted, format!("It goes{}", " on".repeat(MAX_ADDED_WORDS)));
    // Without white space, too.
    for (piece, text) in [("on", "on".repeat(MAX_BYTES / 2)), ("字", "字".repeat(MAX_BYTES / 3))]
    {
        let (backend, _) = self::backend(Answer::Repeats(piece), false).await;
        assert!(backend.predict("It goes", "").await == format!("It goes {text}"), "{piece}");
    }
}

#[tokio::test]
async fn prompt_contains_the_dialogue() {
    let (backend, stand_in) = backend(Answer::Ends(&[" you?"]), false).await;
    assert_eq!(backend.name(), "gpt2");
    backend.predict("How are", "Hello. EOF Hi.").await;
    let expected = json!({
        "model": "gpt2", "prompt": "Hello.\nHi.\nHow are", "max_tokens": 64, "temperature": 0, "stream": true,
    });
    assert_eq!(*stand_in.requests.lock().unwrap(), [("Bearer sk-1".to_owned(), expected)]);
}

#[tokio::test]
async fn completion_options_set_token_limit_and_fallback() {
    let fallback = Some("...".to_owned());
    let options = CompletionOptions { max_tokens: NonZeroU32::new(24).unwrap(), fallback };
    let (backend, stand_in) = backend_with(Answer::Ends(&[]), options, false).await;
    assert_eq!(backend.predict("How are", "").await, "How are...");
    assert_eq!(stand_in.requests.lock().unwrap()[0].1["max_tokens"], 24);
}

#[tokio::test]
async fn backend_without_models_needs_a_name() {
    let router = Router::new().route("/models", get(|| async { Json(json!({"data": []})) }));
    let url = format!("http://{}", listen(router).await).parse().unwrap();
    let server = ModelServer::new(&url, None, DEADLINE).unwrap();
    let error = Backend::connect(server.clone(), None, CompletionOptions::default(), None)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the backend lists no model\nhint: name the model with --backend-model"
    );
    Backend::connect(server, Some("any".to_owned()), CompletionOptions::default(), None)
        .await
        .unwrap();
    let unreachable =
        ModelServer::new(&"http://127.0.0.1:9/v1".parse().unwrap(), None, DEADLINE).unwrap();
    let error =
        Backend::connect(unreachable, None, CompletionOptions::default(), None).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot list the models of the backend: "), "{error}");
}
