//! The text-prediction contest: training, miner, engine, runner, demonstration.

mod page;
mod startup;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use taonet_babelbit_miner::testing::InferenceServer;

use crate::axon;
use crate::chain::BOB;
use crate::kill::address;
use crate::support::{
    Daemon, assert_described, bb, document, free_address, local_bb, refusal, repository,
    require_models, tao,
};

const SMALL_TALK: &str = r#"{"challenge_uid": "small-talk", "dialogues": [
    {"dialogue_uid": "bus", "utterances": ["Is this seat free?", "Yes, it is."]},
    {"dialogue_uid": "end", "utterances": ["Goodbye."]}]}"#;

/// Writes a text challenge, which is also a training file.
pub(crate) fn small_talk(folder: &Path) -> PathBuf {
    let path = folder.join("small-talk.json");
    std::fs::write(&path, SMALL_TALK).unwrap();
    path
}

/// `bb engine` with a text challenge.
pub(crate) fn text_engine(challenge: &Path) -> Daemon {
    Daemon::start(local_bb().arg("engine").arg(challenge))
}

/// A model trained on [`small_talk`].
fn trained(folder: &Path) -> PathBuf {
    let model = folder.join("ngram.model");
    let trained = bb()
        .args(["text", "train", "--json", "--output"])
        .arg(&model)
        .arg(small_talk(folder))
        .output();
    let trained = document(&trained.unwrap());
    assert_eq!((&trained["utterances"], &trained["words"]), (&json!(3), &json!(8)), "{trained}");
    model
}

/// `bb miner --contest text` with the key `//Bob`, trained on [`small_talk`].
pub(crate) fn text_miner(folder: &Path) -> Daemon {
    let model = trained(folder);
    Daemon::start(
        local_bb().args(["miner", "--contest", "text", "--key-uri", "//Bob", "--model"]).arg(model),
    )
}

fn miner<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["miners"].as_array().unwrap().iter().find(|miner| miner["name"] == name).unwrap()
}

#[test]
fn the_demonstration_ranks_the_trained_model_first() {
    require_models();
    let demo =
        document(&tao().args(["demo", "--contest", "text", "--once", "--json"]).output().unwrap());
    assert_eq!(demo["schema"], "taonet.demo-text/1");
    assert_eq!((&demo["dialogues"], &demo["utterances"]), (&json!(4), &json!(20)));
    let [trained, random, silent] = ["n-gram", "random", "silent"].map(|name| miner(&demo, name));
    let score = |miner: &Value| miner["score"].as_f64().unwrap();
    assert!(score(trained) > score(random) && score(random) > score(silent), "{demo}");
    assert_eq!(
        (score(silent), silent["weight"].as_f64().unwrap(), &silent["emission"]),
        (0.0, 0.0, &json!(0))
    );
    let ranked: Vec<_> =
        demo["miners"].as_array().unwrap().iter().map(|miner| &miner["name"]).collect();
    assert_eq!(ranked, ["n-gram", "random", "silent"]);
    assert_eq!(
        (&trained["weight_submitted"], &trained["weight_on_chain"]),
        (&json!(65_535), &json!(65_535)),
        "{demo}"
    );
    assert!(
        trained["incentive"].as_f64().unwrap() > random["incentive"].as_f64().unwrap(),
        "{demo}"
    );
    let weights: f64 = demo["miners"]
        .as_array()
        .unwrap()
        .iter()
        .map(|miner| miner["weight"].as_f64().unwrap())
        .sum();
    assert!((weights - 1.0).abs() < 1e-6, "{demo}");
}

/// Runs `bb runner` once with the miner of `//Bob`, and returns its report.
fn play(engine: &Daemon, miner: &Daemon, folder: &Path) -> Value {
    let miners = folder.join("miners.json");
    let entry =
        json!([{ "uid": 7, "hotkey": BOB, "address": address(miner.url()), "name": "trained" }]);
    std::fs::write(&miners, entry.to_string()).unwrap();
    let mut runner = local_bb();
    runner.args([
        "runner",
        "--contest",
        "text",
        "--once",
        "--json",
        "--key-uri",
        "//Alice",
        "--engine",
        engine.url(),
    ]);
    runner.arg("--miners").arg(&miners).arg("--keep").arg(folder.join("kept"));
    runner.env("BB_ENABLE_VALIDATION_SUBMISSIONS", "0");
    document(&runner.output().unwrap())
}

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
fn a_completion_server_predicts_and_its_key_stays_secret() {
    require_models();
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
    let report = play(&engine, &miner, folder.path());
    assert_eq!(
        (&report["outcome"], &report["utterances"]),
        (&json!("finished"), &json!(3)),
        "{report}"
    );
    let score = report["miners"][0]["score"].as_f64().unwrap();
    assert!(score > 0.9, "the server knows every utterance: {report}");
    assert!(!miner.log().contains("sk-quite-secret"));
}

/// Model and variables of a language model.
const LANGUAGE_MODELS: [(&str, &[(&str, &str)]); 3] = [
    ("gpt2", &[]),
    ("llama", &[("MINER_LOAD_IN_8BIT", "1")]),
    ("gpt2-q4_0.gguf", &[("MINER_DEVICE", "cpu"), ("MINER_LOAD_IN_8BIT", "1")]),
];

#[test]
fn a_language_model_predicts_and_keeps_its_caches() {
    require_models();
    let folder = tempfile::tempdir().unwrap();
    let engine = text_engine(&small_talk(folder.path()));
    for (model, variables) in LANGUAGE_MODELS {
        let mut miner = local_bb();
        miner
            .args(["miner", "--contest", "text", "--key-uri", "//Bob"])
            .envs(variables.iter().copied());
        miner.env("MINER_MODEL_ID", repository("vectors/lm").join(model));
        let miner = Daemon::start(&mut miner);
        let address = miner.url().trim_start_matches("http://");
        let count = |kind: &str| {
            let metrics = axon::get(address, "/metrics");
            assert_described(&metrics, "text miner");
            let name = format!("taonet_text_miner_lm_tokens_total{{kind=\"{kind}\"}} ");
            let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
            line.unwrap_or_else(|| panic!("{name}: {metrics}")).parse::<f64>().unwrap()
        };
        // The warm-up counts too.
        let (read, reused) = (count("read"), count("reused"));
        let results = folder.path().join(model);
        std::fs::create_dir(&results).unwrap();
        let report = play(&engine, &miner, &results);
        assert_eq!(
            (&report["outcome"], &report["utterances"]),
            (&json!("finished"), &json!(3)),
            "{report}"
        );
        assert_eq!(report["miners"][0]["errors"], json!(0), "{report}");
        let health: Value = serde_json::from_str(&axon::get(address, "/healthz")).unwrap();
        assert_eq!(health["model"], model, "{health}");
        // Most of a prompt is known from the word before.
        let (read, reused) = (count("read") - read, count("reused") - reused);
        assert!(reused > read && read > 0.0, "{reused} reused, {read} read");
        let log = miner.log();
        assert_eq!(
            log.contains("the file is already quantised"),
            Path::new(model).extension().is_some_and(|extension| extension == "gguf"),
            "{log}"
        );
    }
}

/// Columns: variables · status · part of the error
#[test]
fn wrong_variables_of_a_language_model_are_explained() {
    let table = [
        (&[("MINER_DEVICE", "gpu")][..], 2, "MINER_DEVICE=gpu: expected cpu, cuda or mps"),
        (&[("MINER_DEVICE", "cuda")], 1, "device cuda is not available"),
        (&[("MINER_LOAD_IN_4BIT", "maybe")], 2, "MINER_LOAD_IN_4BIT=maybe: expected 1 or 0"),
        (&[("MINER_LOAD_IN_8BIT", "1"), ("MINER_LOAD_IN_4BIT", "1")], 2, "hint: unset one of them"),
    ];
    for (variables, status, text) in table {
        let mut miner = local_bb();
        miner
            .args(["miner", "--contest", "text", "--key-uri", "//Bob"])
            .envs(variables.iter().copied());
        let error = refusal(
            &miner.env("MINER_MODEL_ID", repository("vectors/lm/gpt2")).output().unwrap(),
            status,
        );
        assert!(error.contains(text), "{variables:?}: {error}");
    }
}

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
fn a_language_model_comes_from_the_hub() {
    require_models();
    let hub = Hub::serve();
    let folder = tempfile::tempdir().unwrap();
    let engine = text_engine(&small_talk(folder.path()));
    let miner = || {
        let mut miner = local_bb();
        miner.args(["-vvv", "miner", "--contest", "text", "--key-uri", "//Bob"]);
        miner.env("HF_ENDPOINT", hub.url()).env("BB_MODELS_DIR", folder.path().join("models"));
        miner
    };
    let mut gated = miner();
    let gated = refusal(&gated.args(["--lm", "hub:openai-community/gpt2"]).output().unwrap(), 1);
    assert!(
        gated.contains("no public model openai-community/gpt2") && gated.contains("HF_TOKEN"),
        "{gated}"
    );

    let mut first = miner();
    let first =
        Daemon::start(first.args(["--lm", "hub:openai-community/gpt2"]).env("HF_TOKEN", HUB_TOKEN));
    let report = play(&engine, &first, folder.path());
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

#[test]
fn in_development_mode_requests_need_no_signature() {
    let folder = tempfile::tempdir().unwrap();
    let model = trained(folder.path());
    let miner = |network: &str, mode: &str| {
        let mut miner = bb();
        miner.args(["miner", "--contest", "text", "--key-uri", "//Bob", "--model"]).arg(&model);
        miner.env("BITTENSOR_SUBTENSOR_ENDPOINT", network).env("MINER_DEV_MODE", mode);
        miner
    };
    let request = json!({ "index": "s", "step": 0, "prefix": "Is this" }).to_string();
    for (mode, expected) in [("0", "HTTP/1.1 401"), ("1", "HTTP/1.1 200")] {
        let miner = Daemon::start(&mut miner("local", mode));
        let answer = axon::post(miner.url().trim_start_matches("http://"), "/predict", &request);
        assert!(answer.starts_with(expected), "{answer}");
        assert_eq!(
            answer.contains(r#"{"prediction":"Is this seat free?"}"#),
            mode == "1",
            "{answer}"
        );
        // Health needs no signature in either mode.
        let health = axon::get(miner.url().trim_start_matches("http://"), "/healthz");
        assert!(health.contains(r#""status":"healthy""#), "{health}");
    }
    let refused = refusal(&miner("finney", "1").output().unwrap(), 2);
    assert!(refused.contains("MINER_DEV_MODE") && refused.contains("hint: unset it"), "{refused}");
    let refused = refusal(&miner("local", "1").args(["--allow", BOB]).output().unwrap(), 2);
    assert!(refused.contains("check signatures, which MINER_DEV_MODE disables"), "{refused}");
}

#[test]
fn a_miner_listens_on_the_port_of_its_variable() {
    let folder = tempfile::tempdir().unwrap();
    let model = trained(folder.path());
    let miner = || {
        let mut miner = local_bb();
        miner.args(["miner", "--contest", "text", "--key-uri", "//Bob", "--model"]).arg(&model);
        miner
    };
    let address = free_address();
    let port = address.rsplit(':').next().unwrap();
    let daemon = Daemon::launch(miner().env("MINER_AXON_PORT", port));
    assert_eq!(daemon.url(), format!("http://0.0.0.0:{port}"));
    assert!(axon::get(&address, "/healthz").contains(r#""status":"healthy""#));
    drop(daemon);
    // Without signatures, it is not public.
    let unsigned = Daemon::launch(miner().env("MINER_AXON_PORT", port).env("MINER_DEV_MODE", "1"));
    assert_eq!(unsigned.url(), format!("http://{address}"));
    let other = free_address();
    let daemon = Daemon::start_at(miner().env("MINER_AXON_PORT", port), &other);
    assert_eq!(daemon.url(), format!("http://{other}"), "the option wins");
}

#[test]
fn settings_come_from_the_file_of_the_working_directory() {
    let folder = tempfile::tempdir().unwrap();
    trained(folder.path());
    let (address, file) = (free_address(), folder.path().join(".env"));
    let port = address.rsplit(':').next().unwrap();
    let port_and_mode = format!("export MINER_AXON_PORT={port} # public\nMINER_DEV_MODE='1'\n");
    std::fs::write(&file, format!("# Miner\nBITTENSOR_SUBTENSOR_ENDPOINT=local\n{port_and_mode}"))
        .unwrap();
    let in_directory = |program: fn() -> Command, words: &[&str]| {
        let mut command = program();
        command.args(words).current_dir(folder.path());
        command
    };
    let words =
        ["-vv", "miner", "--contest", "text", "--key-uri", "//Bob", "--model", "ngram.model"];
    let miner = Daemon::launch(&mut in_directory(bb, &words));
    assert_eq!(miner.url(), format!("http://{address}"));
    assert!(
        miner.log().contains("settings read") && miner.log().contains(".env"),
        "{}",
        miner.log()
    );
    // The environment wins, also with a blank value.
    let mut show = in_directory(bb, &["config", "show", "--json"]);
    let printed =
        document(&show.env("MINER_AXON_PORT", "1").env("MINER_DEV_MODE", "").output().unwrap());
    let setting = |name: &str| {
        let settings = printed["settings"].as_array().unwrap();
        let setting = settings.iter().find(|setting| setting["name"] == name).unwrap();
        [&setting["value"], &setting["origin"]].map(|text| text.as_str().unwrap().to_owned())
    };
    assert_eq!(setting("BITTENSOR_SUBTENSOR_ENDPOINT"), ["local", ".env"]);
    assert_eq!(setting("MINER_AXON_PORT"), ["1", "environment"]);
    assert_eq!(setting("MINER_DEV_MODE"), ["0", "default"]);
    // A malformed line is named without its text; programs other than `bb` do not read the file.
    std::fs::write(&file, "MINER_AXON_PORT=8091\nsk-quite-secret\n").unwrap();
    for words in [&["config", "check"][..], &["register-axon"]] {
        let error = refusal(&in_directory(bb, words).output().unwrap(), 2);
        assert!(
            error.contains(".env: line 2: expected NAME=VALUE") && !error.contains("secret"),
            "{error}"
        );
    }
    document(&in_directory(tao, &["models", "list", "--json"]).output().unwrap());
    refusal(&in_directory(tao, &["babelbit", "config", "check"]).output().unwrap(), 2);
}

#[test]
fn a_trained_miner_is_played_and_its_scores_can_be_recomputed() {
    require_models();
    let folder = tempfile::tempdir().unwrap();
    let challenge = small_talk(folder.path());
    let (engine, miner) = (text_engine(&challenge), text_miner(folder.path()));
    let run = || play(&engine, &miner, folder.path());
    let report = run();
    assert_eq!(
        (&report["outcome"], &report["utterances"]),
        (&json!("finished"), &json!(3)),
        "{report}"
    );
    let score = report["miners"][0]["score"].as_f64().unwrap();
    assert!(score > 0.9, "it has learned every utterance: {report}");
    assert_eq!(run()["outcome"], "already_done");

    // `bb score-text` without sentence vectors finds the same steps in the log.
    let log = folder.path().join(format!(
        "kept/logs/dialogue_run_small-talk_type_main_miner_7__hk_{BOB}__dlg_bus.jsonl"
    ));
    let events: Vec<Value> = std::fs::read_to_string(log)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let file = folder.path().join("events.json");
    std::fs::write(&file, json!({ "events": events, "lex_weight": 1.0 }).to_string()).unwrap();
    let scored = document(&bb().arg("score-text").arg(&file).output().unwrap());
    assert_eq!(scored["utterances"][0]["total_steps"], 4);
    assert_eq!(scored["utterances"][0]["steps"][0]["prediction"], "Is this seat free?");
    assert_eq!(scored["utterances"][0]["U_best"], 1.0);
}

/// arguments · status · part of the error
#[test]
fn text_contest_usage_errors_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (nonsense, cut) = (
        path("nonsense.model", "x"),
        path("cut.json", r#"{"dialogues": [{"utterances": ["a", "b"#),
    );
    let output = folder.path().join("new.model").display().to_string();
    let empty = folder.path().join("empty").display().to_string();
    std::fs::create_dir(&empty).unwrap();
    let missing_path = folder.path().join("nowhere/new.model").display().to_string();
    let challenge =
        repository("subnets/babelbit/challenges/01-the-late-train.json").display().to_string();
    #[rustfmt::skip]
    let table: [(&[&str], i32, &str); 38] = [
        (&["miner", "--stt", "vosk", "--key-uri", "//Bob"], 2, "phrases, whisper"),
        (&["miner", "--stt", "whisper", "--stt-url", "http://127.0.0.1:9/v1", "--key-uri", "//Bob"], 2, "cannot be used with"),
        (&["miner", "--stt", "whisper", "--profile", "mumbler", "--key-uri", "//Bob"], 2, "hint: use --profile interpreter"),
        (&["miner", "--stt", "whisper", "--contest", "text", "--key-uri", "//Bob"], 2, "for speech miners"),
        (&["miner", "--contest", "text", "--lm", "gpt2", "--backend-url", "http://127.0.0.1:9/v1", "--key-uri", "//Bob"], 2, "cannot be used with"),
        (&["miner", "--contest", "text", "--lm", "no-such-model", "--key-uri", "//Bob"], 1, "no-such-model does not exist"),
        (&["miner", "--contest", "text", "--lm", "hub:al/../x", "--key-uri", "//Bob"], 2, "expected hub: and OWNER/NAME"),
        (&["miner", "--contest", "text", "--lm", &nonsense, "--key-uri", "//Bob"], 1, "nonsense.model: header: "),
        (&["miner", "--contest", "text", "--lm", &empty, "--key-uri", "//Bob"], 1, "hint: a model is a GGUF file"),
        (&["miner", "--contest", "text", "--lm", &empty, "--lm-sessions", "0", "--key-uri", "//Bob"], 2, "--lm-sessions"),
        (&["miner", "--contest", "text", "--key-uri", "//Bob"], 2, "--model <FILE>"),
        (&["miner", "--model", &nonsense, "--key-uri", "//Bob"], 2, "hint: add --contest text"),
        (&["miner", "--contest", "text", "--model", &nonsense, "--key-uri", "//Bob"], 1, "not an n-gram model"),
        (&["miner", "--contest", "text", "--model", "missing.model", "--key-uri", "//Bob"], 1, "cannot read missing.model"),
        (&["miner", "--contest", "text", "--backend-url", "http://127.0.0.1:9/v1", "--key-uri", "//Bob"], 3, "hint: name the model with --backend-model"),
        (&["miner", "--contest", "text", "--backend-url", "127.0.0.1:9", "--key-uri", "//Bob"], 2, "expected an http or https URL"),
        (&["miner", "--contest", "text", "--tts-url", "http://127.0.0.1:9/v1", "--key-uri", "//Bob"], 2, "for speech miners"),
        (&["miner", "--contest", "text", "--frame-timeout", "2", "--key-uri", "//Bob"], 2, "for speech miners"),
        (&["miner", "--contest", "text", "--profile", "parrot", "--model", &nonsense, "--key-uri", "//Bob"], 2, "is for speech miners"),
        (&["miner", "--contest", "text", "--server-timeout", "2", "--model", &nonsense, "--key-uri", "//Bob"], 2, "no effect on an n-gram model"),
        (&["miner", "--contest", "text", "--lm-memory", "2", "--model", &nonsense, "--key-uri", "//Bob"], 2, "hint: add --lm"),
        (&["miner", "--lm-sessions", "2", "--key-uri", "//Bob"], 2, "hint: add --contest text"),
        (&["miner", "--server-timeout", "2", "--key-uri", "//Bob"], 2, "limit calls to inference servers"),
        (&["miner", "--stt", "whisper", "--frame-timeout", "2", "--key-uri", "//Bob"], 2, "limit calls to inference servers"),
        (&["miner", "--backend-url", "http://127.0.0.1:9/v1", "--key-uri", "//Bob"], 2, "hint: add --contest text"),
        (&["miner", "--backend-model", "gpt2", "--key-uri", "//Bob"], 2, "--backend-url <URL>"),
        (&["miner", "--llm-url", "http://127.0.0.1:9/v1", "--key-uri", "//Bob"], 2, "--llm-model <NAME>"),
        (&["miner", "--profile", "parrot", "--stt-url", "http://127.0.0.1:9/v1", "--key-uri", "//Bob"], 2, "hint: use --profile interpreter or patient"),
        (&["miner", "--server-timeout", "0", "--key-uri", "//Bob"], 2, "above 0 and at most 600"),
        (&["miner", "--tts-url", "http://127.0.0.1:9/v1", "--tts-timeout", "3", "--key-uri", "//Bob"], 2, "hint: validators wait 3 s"),
        (&["miner", "--tts-timeout", "3", "--key-uri", "//Bob"], 2, "--tts-url <URL>"),
        (&["runner", "--contest", "text", "--once", "--metrics", "--key-uri", "//Alice"], 2, "--metrics with --once shows metrics of the speech contest"),
        (&["runner", "--contest", "text", "--once", "--no-gates", "--key-uri", "//Alice"], 2, "--no-gates is for the speech contest"),
        (&["text", "train", &cut, "--output", &output], 1, "cut.json: the file is truncated: EOF while parsing a string at line 1"),
        (&["text", "train", "missing.txt", "--output", &output], 1, "cannot read missing.txt"),
        (&["text", "train", &cut, "--output", &output, "--context", "7"], 2, "expected a number from 1 to 6"),
        // The output is checked before the training.
        (&["text", "train", &cut, "--output", &empty], 1, "empty is a directory"),
        (&["text", "train", &cut, "--output", &missing_path], 1, "nowhere is not a directory"),
    ];
    for (arguments, status, text) in table {
        let mut command = local_bb();
        command.args(arguments);
        if arguments[0] == "miner" {
            // Another test may have the default port.
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let error = refusal(&command.output().unwrap(), status);
        assert!(error.contains(text), "{arguments:?}: {error}");
    }
    assert!(!folder.path().join("new.model").exists(), "nothing is written");
    // A model that exists stays as it is.
    let existing = trained(folder.path());
    let before = std::fs::read(&existing).unwrap();
    let retrain = bb().args(["text", "train", &cut, "--output"]).arg(&existing).output().unwrap();
    assert!(refusal(&retrain, 1).contains("hint: download or copy it again"));
    assert!(std::fs::read(&existing).unwrap() == before, "the model has changed");
    let speech =
        tao().args(["demo", "--contest", "text", "--challenge", &challenge]).output().unwrap();
    assert!(refusal(&speech, 2).contains("not a text challenge"));
}
