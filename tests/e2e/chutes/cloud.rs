//! A server in place of the Hugging Face hub, the Chutes API and a chute.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use taonet_babelbit_miner::testing::InferenceServer;

use super::program::{self, Account};
use super::{CHUTES_KEY, HUB_KEY, NAME, REVISION, SLUG};

/// SHA-256 of the weights in [`super::model`].
const WEIGHTS: &str = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c";
/// Status of a complete image.
const BUILT: &str = "built and pushed";

/// The Hugging Face hub, the Chutes API and a chute. Each request must have the right key or
/// signature, and body.
#[derive(Clone, Default)]
pub(crate) struct Cloud {
    /// Method and path of every request.
    requests: Arc<Mutex<Vec<String>>>,
    /// Name of the chute.
    pub(super) name: Arc<Mutex<&'static str>>,
    /// Whether the chute is deployed.
    pub(super) is_deployed: Arc<Mutex<bool>>,
    /// Status of the chute's image; `None` if there is no image.
    pub(super) image: Arc<Mutex<Option<&'static str>>>,
    /// Body of the last deployment.
    pub(super) deployment: Arc<Mutex<Value>>,
    /// The account on Chutes that was registered last.
    pub(super) account: Arc<Mutex<Account>>,
}

impl Cloud {
    pub(crate) fn serve() -> (Self, InferenceServer) {
        let cloud = Self::default();
        *cloud.image.lock().unwrap() = Some(BUILT);
        *cloud.name.lock().unwrap() = NAME;
        let server =
            InferenceServer::serve(Router::new().fallback(answer).with_state(cloud.clone()));
        (cloud, server)
    }

    /// Removes the image of the chute.
    pub(crate) fn remove_image(&self) {
        *self.image.lock().unwrap() = None;
    }

    pub(super) fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    fn chute(&self) -> Value {
        json!({
            "chute_id": "c-1", "name": *self.name.lock().unwrap(), "slug": SLUG, "revision": REVISION, "hot": *self.is_deployed.lock().unwrap(),
            "version": "v-1", "created_at": "2026-01-01T00:00:00", "cord_ref_id": "r-1",
        })
    }

    /// Deploys a chute.
    pub(super) fn deploy(&self, chute: Value) -> (u16, Value) {
        *self.deployment.lock().unwrap() = chute;
        *self.is_deployed.lock().unwrap() = true;
        (200, self.chute())
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each route of both services")]
    fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> (u16, Value) {
        let key = headers.get("authorization").map(|key| key.to_str().unwrap()).unwrap_or_default();
        let expected = match path {
            path if path.starts_with("/api/") || path.contains(".git/") => {
                format!("Bearer {HUB_KEY}")
            }
            path if path.starts_with("/chute/") => format!("Bearer {CHUTES_KEY}"),
            path if path.starts_with("/local/") => String::new(),
            "/storage" => String::new(),
            _ => CHUTES_KEY.to_owned(),
        };
        // The flag of a gated model is read without a key.
        let is_public = ["/ping", "/api/models/al/Babelbit-default"].contains(&path);
        let is_signed = headers.contains_key("x-chutes-signature");
        assert!(key == expected || is_public || is_signed, "{method} {path}: {key}");
        if is_signed && let Some(answer) = self.answer_signed(method, path, headers, body) {
            return answer;
        }
        let json = || serde_json::from_slice::<Value>(body).unwrap();
        match (method.as_str(), path) {
            ("POST", "/api/repos/create") => {
                assert_eq!(
                    json(),
                    json!({ "type": "model", "organization": "al", "name": "Babelbit-default", "private": false })
                );
                (200, json!({ "url": "x" }))
            }
            ("POST", "/api/models/al/Babelbit-default/preupload/main") => {
                assert_eq!(
                    json(),
                    json!({ "files": [
                        { "path": "config.json", "size": 2, "sample": "e30=" },
                        { "path": "model.safetensors", "size": 7, "sample": "d2VpZ2h0cw==" },
                    ] })
                );
                (
                    200,
                    json!({ "files": [
                        { "path": "config.json", "uploadMode": "regular" },
                        { "path": "model.safetensors", "uploadMode": "lfs" },
                    ] }),
                )
            }
            ("POST", "/al/Babelbit-default.git/info/lfs/objects/batch") => {
                let object = json!({ "oid": WEIGHTS, "size": 7 });
                assert_eq!(
                    json(),
                    json!({ "operation": "upload", "transfers": ["basic"], "hash_algo": "sha256", "objects": [object] })
                );
                let host = headers["host"].to_str().unwrap();
                let upload = json!({ "href": format!("http://{host}/storage") });
                (
                    200,
                    json!({ "objects": [{ "oid": object["oid"], "size": object["size"], "actions": { "upload": upload } }] }),
                )
            }
            ("PUT", "/storage") => {
                assert_eq!(body, b"weights");
                (200, Value::Null)
            }
            ("POST", "/api/models/al/Babelbit-default/commit/main") => {
                let lines: Value =
                    std::str::from_utf8(body).unwrap().lines().map(document_of).collect();
                assert_eq!(
                    lines,
                    json!([
                        { "key": "header", "value": { "summary": "Upload of bb push", "description": "" } },
                        { "key": "file", "value": { "path": "config.json", "encoding": "base64", "content": "e30=" } },
                        { "key": "lfsFile", "value": {
                            "path": "model.safetensors", "algo": "sha256", "oid": WEIGHTS, "size": 7,
                        } },
                    ])
                );
                (200, json!({ "commitOid": REVISION }))
            }
            (
                "GET",
                "/api/models/al/Babelbit-default"
                | "/api/models/al/Babelbit-default/revision/0123456789abcdef0123456789abcdef01234567",
            ) => (200, json!({ "sha": REVISION, "gated": false })),
            ("GET", "/ping") => (200, json!({})),
            ("GET", "/images/babelbit:0123456789ab") => match *self.image.lock().unwrap() {
                Some(status) => (200, json!({ "image_id": "i-1", "status": status })),
                None => (404, json!({ "detail": "Image not found" })),
            },
            ("POST", "/images/") => {
                self.account.lock().unwrap().image = Some(program::image(body));
                *self.image.lock().unwrap() = Some("pending build");
                (202, json!({ "image_id": "i-1", "status": "pending build" }))
            }
            ("GET", "/images/i-1/logs") => {
                *self.image.lock().unwrap() = Some(BUILT);
                (200, json!(program::BUILD_LOG))
            }
            ("GET", "/chutes/") => {
                let items =
                    if *self.is_deployed.lock().unwrap() { vec![self.chute()] } else { Vec::new() };
                let cord = json!({
                    "function": "predict", "stream": false, "public_api_method": "POST", "public_api_path": "/predict",
                });
                (
                    200,
                    json!({ "total": items.len(), "items": items, "cord_refs": { "r-1": [cord] } }),
                )
            }
            ("POST", "/chutes/") => {
                let mut chute = json();
                let code = chute["code"].take();
                assert!(
                    code.as_str().unwrap().contains(&format!("HF_REPO_REVISION = \"{REVISION}\"")),
                    "{code}"
                );
                let cord = |name: &str| {
                    json!({
                        "method": "POST", "path": format!("/{name}"), "function": name, "stream": false,
                        "passthrough": false, "public_api_path": format!("/{name}"), "public_api_method": "POST",
                    })
                };
                assert_eq!(
                    chute,
                    json!({
                        "name": NAME, "image": "babelbit:0123456789ab", "public": false, "code": null,
                        "filename": "my_chute.py", "ref_str": "my_chute:chute", "revision": REVISION, "concurrency": 4,
                        "tagline": "Babelbit text miner, al/Babelbit-default",
                        "readme": format!("al/Babelbit-default {REVISION}"),
                        "node_selector": { "gpu_count": 1, "min_vram_gb_per_gpu": 16 },
                        "cords": [cord("health"), cord("predict")],
                    })
                );
                chute["code"] = code;
                self.deploy(chute)
            }
            ("POST", "/chutes/share") => {
                assert_eq!(
                    json(),
                    json!({ "chute_id_or_name": "c-1", "user_id_or_name": "validator-account" })
                );
                (200, Value::Null)
            }
            ("GET", "/chutes/c-1") => (200, self.chute()),
            ("GET", "/chutes/warmup/c-1") => (200, json!({ "status": "cold" })),
            ("GET", path) if path.starts_with("/instances/") && path.ends_with("/logs") => {
                (200, json!("data: loading the model\n\ndata: ready\n\n"))
            }
            ("DELETE", "/chutes/c-1") => {
                *self.is_deployed.lock().unwrap() = false;
                (200, json!({ "chute_id": "c-1", "deleted": true }))
            }
            ("POST", path)
                if path == format!("/chute/{SLUG}/health") || path == "/local/health" =>
            {
                (
                    200,
                    json!({ "status": "healthy", "model": "al/Babelbit-default", "model_loaded": true }),
                )
            }
            ("POST", path)
                if path == format!("/chute/{SLUG}/predict") || path == "/local/predict" =>
            {
                let mut utterance = json();
                // The reference's fields, all of them.
                for field in [
                    "index",
                    "step",
                    "prefix",
                    "context",
                    "done",
                    "prediction",
                    "ground_truth",
                    "evaluation",
                ] {
                    assert!(utterance.get(field).is_some(), "{field}");
                }
                utterance["prediction"] =
                    format!("{} today", utterance["prefix"].as_str().unwrap()).into();
                (
                    200,
                    json!({ "success": true, "model": "m", "utterance": utterance, "context_used": "", "complete": false }),
                )
            }
            (method, path) => panic!("unexpected request {method} {path}"),
        }
    }
}

/// Reads a line of a commit.
fn document_of(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

async fn answer(
    State(cloud): State<Cloud>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = uri.path().to_owned();
    cloud.requests.lock().unwrap().push(format!("{method} {uri}"));
    let (status, answer) = cloud.answer(&method, &target, &headers, &body);
    let status = StatusCode::from_u16(status).unwrap();
    match answer {
        Value::Null => status.into_response(),
        Value::String(text) => {
            (status, [(CONTENT_TYPE, "text/event-stream")], text).into_response()
        }
        answer => (status, axum::Json(answer)).into_response(),
    }
}
