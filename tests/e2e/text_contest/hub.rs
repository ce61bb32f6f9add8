//! A language model that a text miner downloads from a hub.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_RANGE, LOCATION, RANGE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use taonet_babelbit_miner::testing::InferenceServer;

use super::{run_challenge, small_talk, text_engine};
use crate::axon;
use crate::support::{Daemon, local_bb, refusal, repository, require_sentence_model};

/// Token of the [`Hub`]'s only caller.
pub(crate) const HUB_TOKEN: &str = "hf_very.secret";

/// A hub that has the model of vectors/lm/gpt2 under the name openai-community/gpt2. Its storage
/// for large files interrupts the first download.
pub(crate) struct Hub {
    server: InferenceServer,
    storage: Storage,
    _files: InferenceServer,
}

impl Hub {
    pub(crate) fn serve() -> Self {
        let storage = Storage::default();
        let files =
            InferenceServer::serve(Router::new().fallback(stored_file).with_state(storage.clone()));
        let weights = format!("{}/weights", files.url());
        let server = InferenceServer::serve(Router::new().fallback(hub_file).with_state(weights));
        Self { server, storage, _files: files }
    }

    pub(crate) fn url(&self) -> &str {
        self.server.url().trim_end_matches("/v1")
    }
}

/// The storage of a [`Hub`]: the offset of each download.
#[derive(Clone, Default)]
struct Storage {
    offsets: Arc<Mutex<Vec<usize>>>,
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

async fn hub_file(State(weights): State<String>, headers: HeaderMap, uri: Uri) -> Response {
    if headers
        .get(AUTHORIZATION)
        .is_none_or(|token| token.to_str().unwrap() != format!("Bearer {HUB_TOKEN}"))
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let content = |name: &str| std::fs::read(repository("vectors/lm/gpt2").join(name)).unwrap();
    if uri.path() == "/api/models/openai-community/gpt2/revision/main" {
        let file = |name: &str| {
            let content = content(name);
            let sha256 = hex::encode(Sha256::digest(&content));
            json!({ "rfilename": name, "size": content.len(), "lfs": { "sha256": sha256, "size": content.len() } })
        };
        let siblings = ["config.json", "model.safetensors", "tokenizer.json"].map(file);
        return Json(json!({ "sha": COMMIT, "siblings": siblings })).into_response();
    }
    match uri.path().strip_prefix(&format!("/openai-community/gpt2/resolve/{COMMIT}/")) {
        Some("model.safetensors") => (StatusCode::FOUND, [(LOCATION, weights)]).into_response(),
        Some(name) => content(name).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn stored_file(
    State(storage): State<Storage>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    assert!(!headers.contains_key(AUTHORIZATION), "the storage must not get the token");
    if method == Method::HEAD {
        return StatusCode::OK.into_response();
    }
    let range = headers.get(RANGE).map(|range| range.to_str().unwrap());
    let from = range.map_or(0, |range| {
        range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap()
    });
    storage.offsets.lock().unwrap().push(from);
    let content = std::fs::read(repository("vectors/lm/gpt2/model.safetensors")).unwrap();
    if from > 0 {
        let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
        return (StatusCode::PARTIAL_CONTENT, [(CONTENT_RANGE, range)], content[from..].to_vec())
            .into_response();
    }
    let half = Bytes::copy_from_slice(&content[..content.len() / 2]);
    // The pause lets the first half arrive before the connection breaks.
    let broken = stream::iter([Ok(half)]).chain(stream::once(async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Err(std::io::Error::other("broken"))
    }));
    Body::from_stream(broken).into_response()
}

#[test]
fn language_model_is_downloaded_from_the_hub() {
    require_sentence_model();
    let hub = Hub::serve();
    let folder = tempfile::tempdir().unwrap();
    let engine = text_engine(&small_talk(folder.path()));
    let miner = || {
        let mut miner = local_bb();
        miner.args(["-vvv", "miner", "--contest", "text", "--key-uri", "//Bob"]);
        miner.env("HF_ENDPOINT", hub.url()).env("BB_MODELS_DIR", folder.path().join("models"));
        miner
    };
    let mut gated_miner = miner();
    let gated_error =
        refusal(&gated_miner.args(["--lm", "hub:openai-community/gpt2"]).output().unwrap(), 1);
    assert!(
        gated_error.contains("no public model openai-community/gpt2")
            && gated_error.contains("HF_TOKEN"),
        "{gated_error}"
    );

    let mut first = miner();
    let first =
        Daemon::start(first.args(["--lm", "hub:openai-community/gpt2"]).env("HF_TOKEN", HUB_TOKEN));
    let report = run_challenge(&engine, &first, folder.path());
    assert_eq!(
        (&report["outcome"], &report["miners"][0]["errors"]),
        (&json!("finished"), &json!(0)),
        "{report}"
    );
    let health = axon::get(first.url().trim_start_matches("http://"), "/healthz");
    assert_eq!(serde_json::from_str::<Value>(&health).unwrap()["model"], "openai-community/gpt2");
    let offsets = hub.storage.offsets.lock().unwrap().clone();
    assert!(
        offsets.len() == 2 && offsets[0] == 0 && offsets[1] > 0,
        "the second request continues: {offsets:?}"
    );
    assert!(!first.log().contains(HUB_TOKEN));
    drop(first);

    // Without the hub, the complete download is used. The reference's variable needs no prefix.
    let mut again = miner();
    again.env("HF_ENDPOINT", "http://127.0.0.1:9").env("MINER_MODEL_ID", "openai-community/gpt2");
    let again = Daemon::start(&mut again);
    assert!(again.log().contains("the model's last download is used"), "{}", again.log());
}
