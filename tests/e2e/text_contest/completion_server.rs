//! A text miner whose predictions come from a completion server.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use taonet_babelbit_miner::testing::InferenceServer;

use super::{SMALL_TALK, run_challenge, small_talk, text_engine};
use crate::support::{Daemon, local_bb, require_sentence_model};

/// Completes the last line of the prompt from [`SMALL_TALK`], in pieces of three letters, then
/// continues with another line without end.
async fn complete(headers: HeaderMap, Json(request): Json<Value>) -> impl IntoResponse {
    assert_eq!(headers[AUTHORIZATION], "Bearer sk-quite-secret");
    assert_eq!((&request["model"], &request["stream"]), (&json!("parrot"), &json!(true)));
    let prompt = request["prompt"].as_str().unwrap();
    let line = prompt.lines().last().unwrap_or_default();
    let challenge: Value = serde_json::from_str(SMALL_TALK).unwrap();
    let dialogues = challenge["dialogues"].as_array().unwrap().iter();
    let mut utterances = dialogues.flat_map(|dialogue| dialogue["utterances"].as_array().unwrap());
    let remainder =
        utterances.find_map(|text| text.as_str().unwrap().strip_prefix(line)).unwrap_or_default();
    let letters: Vec<char> = format!("{remainder}\n").chars().collect();
    let pieces: Vec<String> = letters.chunks(3).map(|piece| piece.iter().collect()).collect();
    let endless = stream::repeat("on and on ".to_owned());
    let events = stream::iter(pieces).chain(endless).map(|text| {
        let event = json!({ "choices": [{ "index": 0, "text": text, "finish_reason": null }] });
        Ok::<_, std::convert::Infallible>(format!("data: {event}\n\n"))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events))
}

#[test]
fn completion_server_predicts_and_its_key_stays_secret() {
    require_sentence_model();
    let models = || async { Json(json!({ "object": "list", "data": [{ "id": "parrot" }] })) };
    let routes =
        Router::new().route("/v1/completions", post(complete)).route("/v1/models", get(models));
    let server = InferenceServer::serve(routes);
    let folder = tempfile::tempdir().unwrap();
    let engine = text_engine(&small_talk(folder.path()));
    let mut miner = local_bb();
    miner.args([
        "-vvv",
        "miner",
        "--contest",
        "text",
        "--key-uri",
        "//Bob",
        "--backend-url",
        server.url(),
    ]);
    let miner = Daemon::start(miner.env("BB_MINER_BACKEND_API_KEY", "sk-quite-secret"));
    let report = run_challenge(&engine, &miner, folder.path());
    assert_eq!(
        (&report["outcome"], &report["utterances"]),
        (&json!("finished"), &json!(3)),
        "{report}"
    );
    let score = report["miners"][0]["score"].as_f64().unwrap();
    assert!(score > 0.9, "the server knows every utterance: {report}");
    assert!(!miner.log().contains("sk-quite-secret"));
}
