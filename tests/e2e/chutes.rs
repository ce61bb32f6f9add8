//! `bb push` and the other commands for chutes, against a server that checks every request.

pub(crate) mod program;

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use taonet_babelbit_miner::testing::InferenceServer;

use self::program::Account;
use crate::chain::{BABELBIT, BOB};
use crate::support::{bb, document, local_bb, refusal, require_models, stderr};
use crate::text_contest::small_talk;
use crate::text_rounds::{Network, engine};

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";
const NAME: &str = "al-Babelbit-0123456789ab";
const SLUG: &str = "alice-al-babelbit-0123456789ab";
const CHUTES_KEY: &str = "cpk_very.secret";
const HUB_KEY: &str = "hf_very.secret";

/// The Hugging Face hub, the Chutes API and a chute. Each request must have the right key or signature, and body.
#[derive(Clone, Default)]
pub(crate) struct Cloud {
    /// Method and path of every request.
    asked: Arc<Mutex<Vec<String>>>,
    /// Whether the chute is deployed.
    is_deployed: Arc<Mutex<bool>>,
    /// Whether the image of the chute is missing.
    lacks_image: Arc<Mutex<bool>>,
    /// Body of the last deployment.
    deployment: Arc<Mutex<Value>>,
    /// The account on Chutes that was registered last.
    account: Arc<Mutex<Account>>,
}

impl Cloud {
    pub(crate) fn serve() -> (Self, InferenceServer) {
        let cloud = Self::default();
        let server = InferenceServer::serve(Router::new().fallback(answer).with_state(cloud.clone()));
        (cloud, server)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn chute(&self) -> Value {
        json!({
            "chute_id": "c-1", "name": NAME, "slug": SLUG, "revision": REVISION, "hot": *self.is_deployed.lock().unwrap(),
            "version": "v-1", "created_at": "2026-01-01T00:00:00", "cord_ref_id": "r-1",
        })
    }

    /// Deploys a chute.
    fn deploy(&self, chute: Value) -> (u16, Value) {
        *self.deployment.lock().unwrap() = chute;
        *self.is_deployed.lock().unwrap() = true;
        (200, self.chute())
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each route of both services")]
    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> (u16, Value) {
        let key = headers.get("authorization").map(|key| key.to_str().unwrap()).unwrap_or_default();
        let expected = match path {
            path if path.starts_with("/api/") || path.contains(".git/") => format!("Bearer {HUB_KEY}"),
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
                let files = json();
                let names: Vec<_> =
                    files["files"].as_array().unwrap().iter().map(|file| file["path"].clone()).collect();
                assert_eq!(names, ["config.json", "model.safetensors"]);
                let mode = |name: &Value| {
                    let is_large = name.as_str().unwrap().ends_with(".safetensors");
                    json!({ "path": name, "uploadMode": if is_large { "lfs" } else { "regular" } })
                };
                (200, json!({ "files": names.iter().map(mode).collect::<Vec<_>>() }))
            }
            ("POST", "/al/Babelbit-default.git/info/lfs/objects/batch") => {
                let object = json()["objects"][0].clone();
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
                let keys: Vec<Value> = std::str::from_utf8(body)
                    .unwrap()
                    .lines()
                    .map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].clone())
                    .collect();
                assert_eq!(keys, ["header", "file", "lfsFile"]);
                (200, json!({ "commitOid": REVISION }))
            }
            (
                "GET",
                "/api/models/al/Babelbit-default"
                | "/api/models/al/Babelbit-default/revision/0123456789abcdef0123456789abcdef01234567",
            ) => (200, json!({ "sha": REVISION, "gated": false })),
            ("GET", "/ping") => (200, json!({})),
            ("GET", "/images/babelbit:0123456789ab") if *self.lacks_image.lock().unwrap() => {
                (404, json!({ "detail": "Image not found" }))
            }
            ("GET", "/images/babelbit:0123456789ab") => (200, json!({ "image_id": "i" })),
            ("GET", "/chutes/") => {
                let items = if *self.is_deployed.lock().unwrap() { vec![self.chute()] } else { Vec::new() };
                let cord = json!({
                    "function": "predict", "stream": false, "public_api_method": "POST", "public_api_path": "/predict",
                });
                (200, json!({ "total": items.len(), "items": items, "cord_refs": { "r-1": [cord] } }))
            }
            ("POST", "/chutes/") => {
                let chute = json();
                let told = (&chute["name"], &chute["image"], &chute["revision"], &chute["public"], &chute["ref_str"]);
                assert_eq!(
                    told,
                    (
                        &json!(NAME),
                        &json!("babelbit:0123456789ab"),
                        &json!(REVISION),
                        &json!(false),
                        &json!("my_chute:chute")
                    )
                );
                self.deploy(chute)
            }
            ("POST", "/chutes/share") => {
                assert_eq!(json()["chute_id_or_name"], "c-1");
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
            ("POST", path) if path == format!("/chute/{SLUG}/health") || path == "/local/health" => {
                (200, json!({ "status": "healthy", "model": "al/Babelbit-default", "model_loaded": true }))
            }
            ("POST", path) if path == format!("/chute/{SLUG}/predict") || path == "/local/predict" => {
                let mut utterance = json();
                // The reference's fields, all of them.
                for field in ["index", "step", "prefix", "context", "done", "prediction", "ground_truth", "evaluation"]
                {
                    assert!(utterance.get(field).is_some(), "{field}");
                }
                utterance["prediction"] = format!("{} today", utterance["prefix"].as_str().unwrap()).into();
                (
                    200,
                    json!({ "success": true, "model": "m", "utterance": utterance, "context_used": "", "complete": false }),
                )
            }
            (method, path) => panic!("unexpected request {method} {path}"),
        }
    }
}

async fn answer(State(cloud): State<Cloud>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let target = uri.path().to_owned();
    cloud.asked.lock().unwrap().push(format!("{method} {uri}"));
    let (status, answer) = cloud.answer(&method, &target, &headers, &body);
    let status = StatusCode::from_u16(status).unwrap();
    match answer {
        Value::Null => status.into_response(),
        Value::String(text) => (status, [(CONTENT_TYPE, "text/event-stream")], text).into_response(),
        answer => (status, axum::Json(answer)).into_response(),
    }
}

/// A command with accounts at this server.
pub(crate) fn with_accounts<'a>(command: &'a mut Command, server: &InferenceServer) -> &'a mut Command {
    let url = server.url().trim_end_matches("/v1");
    command.env("CHUTES_API_URL", url).env("HF_ENDPOINT", url);
    command.env("CHUTES_MINER_BASE_URL_TEMPLATE", format!("{url}/chute/{{slug}}"));
    command.env("CHUTES_USERNAME", "alice").env("CHUTES_API_KEY", CHUTES_KEY);
    command.env("HUGGINGFACE_USERNAME", "al").env("HUGGINGFACE_API_KEY", HUB_KEY)
}

/// A model's directory.
pub(crate) fn model(folder: &Path) -> String {
    let model = folder.join("model");
    std::fs::create_dir_all(&model).unwrap();
    std::fs::write(model.join("config.json"), "{}").unwrap();
    std::fs::write(model.join("model.safetensors"), "weights").unwrap();
    model.display().to_string()
}

#[track_caller]
fn no_key_in(text: &str) {
    assert!(!text.contains("very.secret"), "{text}");
}

#[test]
fn a_pushed_model_is_found_and_played_by_the_runner() {
    require_models();
    let network = Network::start();
    let folder = tempfile::tempdir().unwrap();
    let (cloud, server) = Cloud::serve();
    let path = model(folder.path());
    let push = |arguments: &[&str]| {
        let mut command = local_bb();
        command.args(["-vvv", "push", "--json", "--yes", "--key-uri", "//Bob"]).args(arguments);
        with_accounts(&mut command, &server).env("BT_CHAIN_ENDPOINT", network.chain.url()).output().unwrap()
    };
    let pushed = push(&["--model-path", &path, "--share-with", "validator-one"]);
    let told = document(&pushed);
    no_key_in(&stderr(&pushed));
    assert_eq!(told["schema"], "taonet.push/1");
    assert_eq!((&told["revision"], &told["chute_id"], &told["slug"]), (&json!(REVISION), &json!("c-1"), &json!(SLUG)));
    assert_eq!(
        (&told["commitment"]["hotkey"], &told["extrinsic"]["success"], &told["warmed_up"]),
        (&json!(BOB), &json!(true), &json!(true))
    );
    assert_eq!(
        cloud.asked(),
        [
            "POST /api/repos/create",
            "POST /api/models/al/Babelbit-default/preupload/main",
            "POST /al/Babelbit-default.git/info/lfs/objects/batch",
            "PUT /storage",
            "POST /api/models/al/Babelbit-default/commit/main",
            &format!("GET /chutes/?name={NAME}&limit=100"),
            "GET /images/babelbit:0123456789ab",
            "POST /chutes/?accept_fee=true",
            "POST /chutes/share",
            "GET /chutes/warmup/c-1",
        ]
    );
    let commitments = network.chain.ask(&["commitment", "get", BOB, "--netuid", BABELBIT]);
    let text: Value = serde_json::from_str(commitments["commitments"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, told["commitment"]);

    // A second push of the same revision changes nothing that stands.
    document(&push(&["--revision", REVISION, "--no-commit", "--no-warmup"]));
    let asked = cloud.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");

    // The runner reads the commitment, checks model and chute, and plays the chute.
    let engine = engine(folder.path());
    small_talk(folder.path());
    let mut runner = network.runner(&engine, &folder.path().join("kept"));
    runner.args(["--once", "-vvv"]).env("BB_ENABLE_VALIDATION_SUBMISSIONS", "0");
    let played = with_accounts(&mut runner, &server).output().unwrap();
    no_key_in(&stderr(&played));
    let report = document(&played);
    assert_eq!((&report["outcome"], &report["miners"][0]["hotkey"]), (&json!("finished"), &json!(BOB)), "{report}");
    assert_eq!(report["miners"][0]["errors"], 0);
    let asked = cloud.asked();
    assert!(
        asked.contains(&format!("POST /chute/{SLUG}/predict")) && asked.contains(&"GET /chutes/c-1".to_owned()),
        "{asked:?}"
    );
    // Without a key for Chutes, the miner cannot be called.
    let mut runner = network.runner(&engine, &folder.path().join("other"));
    let keyless = runner.args(["--once"]).output().unwrap();
    let error = refusal(&keyless, 1);
    assert!(error.contains("CHUTES_API_KEY is not set") && error.contains("no miner on subnet 59"), "{error}");
}

/// Without an image, a push uploads the model, and says how to go on.
#[test]
fn a_push_without_an_image_names_the_next_commands() {
    let folder = tempfile::tempdir().unwrap();
    let (cloud, server) = Cloud::serve();
    *cloud.lacks_image.lock().unwrap() = true;
    let path = model(folder.path());
    let push = |arguments: &[&str]| {
        let mut command = local_bb();
        command.args(["push", "--no-commit", "--no-warmup", "--yes"]).args(arguments);
        with_accounts(&mut command, &server).output().unwrap()
    };
    let error = refusal(&push(&["--model-path", &path]), 1);
    for text in [
        "Chutes has no image babelbit:0123456789ab".to_owned(),
        format!("`bb generate-chute-script --revision {REVISION}`"),
        "`chutes build my_chute:chute --wait`".to_owned(),
        format!("`bb push --revision {REVISION}`"),
        "Image not found".to_owned(),
    ] {
        assert!(error.contains(&text), "{text}: {error}");
    }
    let asked = cloud.asked();
    assert!(asked.contains(&"POST /api/models/al/Babelbit-default/commit/main".to_owned()), "{asked:?}");
    assert!(!*cloud.is_deployed.lock().unwrap());
    // Once the image is built, the uploaded revision is deployed.
    *cloud.lacks_image.lock().unwrap() = false;
    assert!(push(&["--revision", REVISION]).status.success());
    assert!(*cloud.is_deployed.lock().unwrap());
}

#[test]
fn a_chute_is_named_called_and_deleted() {
    let (cloud, server) = Cloud::serve();
    let run = |arguments: &[&str]| {
        let mut command = bb();
        command.arg("-vvv").args(arguments).args(["--revision", REVISION]);
        let output = with_accounts(&mut command, &server).output().unwrap();
        no_key_in(&stderr(&output));
        output
    };
    let guess = document(&run(&["chute-slug", "--json"]));
    assert_eq!((&guess["slug"], &guess["deployed"]), (&json!(SLUG), &json!(false)));
    assert!(refusal(&run(&["delete-chute", "--yes"]), 1).contains("is deployed"));
    *cloud.is_deployed.lock().unwrap() = true;
    let output = run(&["chute-slug"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("{SLUG} c-1"));

    let ping = document(&run(&["ping-chute", "--json"]));
    assert_eq!(
        (&ping["health"]["status"], &ping["predictions"][4]["prediction"]),
        (&json!("healthy"), &json!("Hi - how are you today"))
    );
    let calls = cloud.asked().iter().filter(|asked| asked.starts_with("POST /chute/")).count();
    assert_eq!(calls, 6, "the health and five predictions");

    // A chute on this machine gets no API key, and Chutes is not asked for it.
    let local = format!("{}/local", server.url().trim_end_matches("/v1"));
    let ping = document(&run(&["ping-chute", "--json", "--local", &local]));
    assert_eq!((&ping["slug"], &ping["health"]["status"]), (&Value::Null, &json!("healthy")));
    assert_eq!(cloud.asked(), [&["POST /local/health"][..], &["POST /local/predict"; 5]].concat());

    let mut logs = bb();
    let logs = with_accounts(logs.args(["-vvv", "chute-logs", "--instance-id", "i-1"]), &server).output().unwrap();
    no_key_in(&stderr(&logs));
    assert_eq!(String::from_utf8_lossy(&logs.stdout), "loading the model\nready\n");
    let dry = document(&run(&["delete-chute", "--dry-run"]));
    assert!(dry["requests"][0]["url"].as_str().unwrap().ends_with("/chutes/c-1"), "{dry}");
    assert!(*cloud.is_deployed.lock().unwrap(), "nothing is deleted");
    assert!(refusal(&run(&["delete-chute"]), 2).contains("hint: pass --yes"));
    assert!(run(&["delete-chute", "--yes"]).status.success());
    assert!(!*cloud.is_deployed.lock().unwrap());
}

#[test]
fn a_dry_run_sends_nothing_and_shows_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let (cloud, server) = Cloud::serve();
    let path = model(folder.path());
    let mut command = local_bb();
    command.args(["push", "--dry-run", "--key-uri", "//Bob", "--share-with", "validator-one", "--model-path", &path]);
    let output = with_accounts(&mut command, &server).output().unwrap();
    let told = document(&output);
    no_key_in(&format!("{told} {}", stderr(&output)));
    let requests: Vec<_> =
        told["requests"].as_array().unwrap().iter().map(|request| request["request"].as_str().unwrap()).collect();
    assert_eq!(
        requests,
        [
            "create the repository",
            "prepare the upload",
            "commit the files",
            "get the image",
            "list the chutes",
            "deploy the chute",
            "share the chute",
            "warm up the chute",
        ]
    );
    assert_eq!(
        (&told["commitment"]["model"], &told["commitment"]["hotkey"]),
        (&json!("al/Babelbit-default"), &json!(BOB))
    );
    assert_eq!(cloud.asked(), [""; 0]);
}

#[test]
fn the_script_of_a_chute_is_python() {
    let folder = tempfile::tempdir().unwrap();
    let (cloud, server) = Cloud::serve();
    let script = folder.path().join("my_chute.py");
    let mut command = bb();
    command.args(["generate-chute-script", "--revision", REVISION, "--output"]).arg(&script);
    assert!(with_accounts(&mut command, &server).output().unwrap().status.success());
    let text = std::fs::read_to_string(&script).unwrap();
    assert!(text.contains(REVISION) && text.contains("public_api_path=\"/predict\""));
    no_key_in(&text);
    assert_eq!(cloud.asked(), [""; 0]);
    let mut parsed = Command::new("python3");
    parsed.args(["-c", "import ast, sys; ast.parse(open(sys.argv[1]).read())"]).arg(&script);
    let parsed = parsed.output().unwrap();
    assert!(parsed.status.success(), "{}", stderr(&parsed));
}

/// arguments · variables · status · part of the error
#[test]
fn wrong_use_is_explained() {
    type Row<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], i32, &'a str);

    let (_, server) = Cloud::serve();
    let folder = tempfile::tempdir().unwrap();
    let path = model(folder.path());
    #[rustfmt::skip]
    let table: [Row<'_>; 12] = [
        (&["chute-slug", "--revision", "main"], &[], 2, "expected 40 hex digits"),
        (&["chute-slug", "--revision", REVISION], &[("HUGGINGFACE_USERNAME", "")], 2, "HUGGINGFACE_USERNAME is not set"),
        (&["chute-slug", "--revision", REVISION], &[("CHUTES_API_URL", "http://127.0.0.1:9")], 3, "cannot list the chutes"),
        (&["ping-chute", "--revision", REVISION, "--local", "127.0.0.1:8000"], &[], 2, "expected an http or https URL"),
        (&["chute-logs", "--instance-id", "i-1"], &[("CHUTES_API_KEY", "")], 4, "hint: set CHUTES_API_KEY"),
        (&["delete-chute", "--yes", "--revision", REVISION], &[("CHUTES_API_KEY", "")], 4, "hint: set CHUTES_API_KEY"),
        (&["push", "--key-uri", "//Bob"], &[], 2, "--model-path <DIR>"),
        (&["push", "--key-uri", "//Bob", "--model-path", &path, "--revision", REVISION], &[], 2, "cannot be used with"),
        (&["push", "--no-commit", "--model-path", "missing"], &[], 1, "cannot read missing"),
        (&["push", "--no-commit", "--model-path", &path], &[("HUGGINGFACE_API_KEY", "")], 4, "hint: set HUGGINGFACE_API_KEY"),
        (&["push", "--no-commit", "--model", "al", "--model-path", &path], &[], 2, "expected OWNER/NAME"),
        (&["generate-chute-script", "--revision", REVISION, "--template", "missing"], &[], 1, "has none of setup.py"),
    ];
    for (arguments, variables, status, text) in table {
        let mut command = local_bb();
        let command = with_accounts(command.args(arguments), &server).envs(variables.iter().copied());
        let error = refusal(&command.output().unwrap(), status);
        assert!(error.contains(text), "{arguments:?}: {error}");
        no_key_in(&error);
    }
}
