use http::{Method, StatusCode};
use taonet_http::testing::listen;
use taonet_wallet::Keypair;
use taonet_wire::{Peer, Signer};

use super::*;
use crate::model::Silent;
use crate::ngram::Trainer;

/// A miner on a loopback port, with Alice as its client.
struct RunningMiner {
    url: String,
    peer: Peer,
    client: reqwest::Client,
    alice: Signer,
}

async fn start(model: impl TextModel + 'static) -> RunningMiner {
    let receiver = Keypair::from_uri("//Miner").unwrap().hotkey();
    serve(receiver, router(Arc::new(model), signed_requests(receiver).build())).await
}

async fn serve(receiver: Hotkey, router: Router) -> RunningMiner {
    let port = listen(router).await.port();
    RunningMiner {
        url: format!("http://127.0.0.1:{port}"),
        peer: Peer::new(receiver, "127.0.0.1", port).unwrap(),
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        alice: Signer::new(
            Keypair::from_uri("//Alice").unwrap(),
            "203.0.113.7",
            BabelbitScheme::axon(),
        ),
    }
}

async fn miner_with_trained_model() -> RunningMiner {
    let mut trainer = Trainer::new(3).unwrap();
    trainer.add("How are you today?").unwrap();
    start(trainer.finish(|_| ()).unwrap()).await
}

impl RunningMiner {
    async fn post(&self, body: impl Into<Bytes>, signed: bool) -> (StatusCode, Value) {
        let body = body.into();
        let mut request = self.client.post(format!("{}/predict", self.url)).body(body.clone());
        if signed {
            let (path, message) = (PREDICT_PATH, taonet_babelbit_core::text_api::PREDICT_MESSAGE);
            let timeout = Duration::from_secs(10);
            let headers = self
                .alice
                .headers(&self.peer, &Method::POST, path, message, timeout, &body)
                .unwrap();
            request = request.headers(headers);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}

fn body(prefix: &str) -> Value {
    json!({"index": "session", "step": 0, "prefix": prefix, "context": "Hello. EOF Hi.", "done": false,
        "prediction": "", "ground_truth": null, "evaluation": null})
}

#[tokio::test]
async fn prediction_includes_the_prefix() {
    let miner = miner_with_trained_model().await;
    let (status, answer) = miner.post(body("How are").to_string(), true).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({"prediction": "How are you today?"})));
    let (status, answer) =
        miner.post(r#"{"index": "s", "step": 3, "prefix": "Never heard"}"#, true).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({"prediction": "Never heard"})));
    let silent_miner = start(Silent).await;
    let (status, answer) = silent_miner.post(body("How").to_string(), true).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({"prediction": ""})));
}

#[tokio::test]
async fn unsigned_requests_are_refused() {
    let miner = miner_with_trained_model().await;
    let (status, _) = miner.post(body("How").to_string(), false).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn requests_need_no_signature_in_development_mode() {
    let mut trainer = Trainer::new(3).unwrap();
    trainer.add("How are you today?").unwrap();
    let receiver = Keypair::from_uri("//Miner").unwrap().hotkey();
    let miner = serve(receiver, unsigned_router(Arc::new(trainer.finish(|_| ()).unwrap()))).await;
    for signed in [false, true] {
        let (status, answer) = miner.post(body("How are").to_string(), signed).await;
        assert_eq!((status, answer), (StatusCode::OK, json!({"prediction": "How are you today?"})));
    }
    let (status, answer) = miner.post("{}", false).await;
    assert_eq!(
        (status, &answer["error"]),
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            &json!(format!(".: missing field `index` at line 1 column 2; hint: {TYPES}"))
        )
    );
    let (status, answer) = miner.post(vec![b' '; MAX_BODY + 1], false).await;
    let error = answer["error"].as_str().unwrap_or_default();
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(
        error.starts_with("the body is incomplete or larger than 1048576 bytes; hint: "),
        "{answer}"
    );
}

#[tokio::test]
async fn health_is_public() {
    let miner = miner_with_trained_model().await;
    for path in ["/healthz", "/health"] {
        let answer = miner.client.get(format!("{}{path}", miner.url)).send().await.unwrap();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(
            answer,
            json!({"status": "healthy", "model": "n-gram", "model_loaded": true}),
            "{path}"
        );
    }
}

/// A model that has failed.
struct FailingModel;

#[async_trait::async_trait]
impl TextModel for FailingModel {
    fn name(&self) -> &'static str {
        "failed"
    }

    fn is_loaded(&self) -> bool {
        false
    }

    async fn predict(&self, _: &str, _: &str) -> String {
        String::new()
    }
}

#[tokio::test]
async fn failed_model_is_unhealthy() {
    let miner = start(FailingModel).await;
    let answer = miner.client.get(format!("{}/healthz", miner.url)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(answer, json!({"status": "unhealthy", "model": "failed", "model_loaded": false}));
}

const OBJECT: &str = "send one object with the fields index, step and prefix";
const TYPES: &str =
    "index, prefix and context are texts, and step is the number of revealed words, minus 1";

/// Columns: body, status, start of the error, start of its hint.
#[tokio::test]
async fn invalid_request_error_names_the_field() {
    let miner = miner_with_trained_model().await;
    let modified = |field: &str, value: Value| {
        let mut body = body("How");
        body[field] = value;
        body.to_string().into_bytes()
    };
    #[rustfmt::skip]
    let table: [(Vec<u8>, u16, &str, &str); 16] = [
        (b"".to_vec(), 400, "the body is not JSON: EOF", OBJECT),
        (b"{\"index\": \"s".to_vec(), 400, "the body is not JSON: EOF", OBJECT),
        (b"{} {}".to_vec(), 422, ".: missing field `index`", TYPES),
        (b"{\"index\": \"\xff\"}".to_vec(), 400, "the body is not UTF-8 from byte 11", "encode the texts as UTF-8"),
        (b"[1, 2]".to_vec(), 422, ".: invalid type: sequence, expected an object", TYPES),
        (br#"["s", 0, "How are"]"#.to_vec(), 422, ".: invalid type: sequence, expected an object", TYPES),
        (br#"["s", 0"#.to_vec(), 422, ".: invalid type: sequence, expected an object", TYPES),
        (b"7".to_vec(), 422, ".: invalid type: integer `7`, expected an object", TYPES),
        (b"{}".to_vec(), 422, ".: missing field `index`", TYPES),
        (modified("index", json!(7)), 422, "index: invalid type: integer `7`, expected a string", TYPES),
        (modified("step", json!("0")), 422, "step: invalid type", TYPES),
        (modified("step", json!(-1)), 422, "step: invalid value", TYPES),
        (modified("step", json!(1e0)), 422, "step: invalid type", TYPES),
        (modified("prefix", json!(null)), 422, "prefix: invalid type", TYPES),
        (modified("evaluation", json!({"earliness": "x"})), 422, "evaluation.earliness: invalid type", TYPES),
        (modified("prefix", json!("a ".repeat(50_000))), 413, "prefix has 100000 bytes, the limit is 65536",
            "send only the revealed words of the current utterance"),
    ];
    for (body, expected, text, hint) in table {
        let (status, answer) = miner.post(body.clone(), true).await;
        let error = answer["error"].as_str().unwrap_or_default();
        let excerpt = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let (problem, remedy) = error.split_once("; hint: ").unwrap_or((error, ""));
        let is_expected =
            status == expected && problem.starts_with(text) && remedy.starts_with(hint);
        assert!(is_expected, "{excerpt}: {status} {answer}");
    }
    let (status, _) = miner.post(vec![b' '; MAX_BODY + 1], true).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn warm_up_needs_no_vocabulary() {
    warm_up(&Silent).await;
    let mut trainer = Trainer::new(3).unwrap();
    trainer.add("a b c").unwrap();
    warm_up(&trainer.finish(|_| ()).unwrap()).await;
}
