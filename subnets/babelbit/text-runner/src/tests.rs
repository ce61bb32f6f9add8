use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use taonet_babelbit_challenges::TextChallenge;
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::records::{ChallengeType, MinerKey};
use taonet_babelbit_core::text::VectorOptions;
use taonet_babelbit_core::text_api::PredictedUtterance;
use taonet_babelbit_engine::client::{ChallengeKind, EngineClient, EngineOptions};
use taonet_babelbit_engine::server::{Engine, EngineConfig};
use taonet_babelbit_runner::{CallError, RunPaths};
use taonet_primitives::{Hotkey, Uid};
use taonet_speech::{EmbedError, Embedding, SentenceEmbedder};
use taonet_wallet::Keypair;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

mod arena;
mod budget;
mod dialogues;
mod engines;
mod failures;
mod reference;
mod submission;

pub(crate) const TEXT: &str = r#"{"challenge_uid": "text-1", "dialogues": [
    {"dialogue_uid": "a", "utterances": ["one two three", "", "four"]},
    {"dialogue_uid": "b", "utterances": ["five six"]}]}"#;

/// An embedder with one dimension per word of the tests.
pub(crate) struct WordVectors;

impl SentenceEmbedder for WordVectors {
    fn name(&self) -> &'static str {
        "words"
    }

    fn fingerprint(&self) -> &'static str {
        "words"
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        const WORDS: [&str; 6] = ["one", "two", "three", "four", "five", "six"];
        let vector = |text: &&str| {
            let counts =
                WORDS.map(|word| text.split(' ').filter(|other| *other == word).count() as f32);
            Embedding(counts.into())
        };
        Ok(texts.iter().map(vector).collect())
    }
}

type ResponseFn = Box<dyn Fn(&PredictedUtterance) -> Result<String, CallError> + Send + Sync>;

/// An in-process miner that records its requests.
pub(crate) struct ScriptedMiner {
    answer: ResponseFn,
    requests: Mutex<Vec<PredictedUtterance>>,
}

impl TextConnection for ScriptedMiner {
    fn predict<'a>(
        &'a self,
        request: &'a PredictedUtterance,
        _: Duration,
    ) -> BoxFuture<'a, Result<String, CallError>> {
        self.requests.lock().unwrap().push(request.clone());
        std::future::ready((self.answer)(request)).boxed()
    }
}

pub(crate) fn scripted(
    answer: impl Fn(&PredictedUtterance) -> Result<String, CallError> + Send + Sync + 'static,
) -> Arc<ScriptedMiner> {
    Arc::new(ScriptedMiner { answer: Box::new(answer), requests: Mutex::default() })
}

pub(crate) fn failing() -> Arc<ScriptedMiner> {
    scripted(|_| Err(CallError::Timeout(Duration::from_secs(10))))
}

pub(crate) fn miners(connections: &[&Arc<ScriptedMiner>]) -> Vec<TextMiner> {
    let miner = |(index, connection): (usize, &&Arc<ScriptedMiner>)| TextMiner {
        key: MinerKey {
            uid: Uid(index as u16 + 1),
            hotkey: Hotkey::from_bytes([index as u8 + 1; 32]),
        },
        name: None,
        connection: Arc::clone(connection) as _,
    };
    connections.iter().enumerate().map(miner).collect()
}

pub(crate) async fn engine(text: &str) -> EngineClient {
    let challenge = TextChallenge::parse("t.json", text).unwrap();
    let engine = Engine::new(EngineConfig::for_texts(vec![
        challenge.clone(),
        TextChallenge { uid: "solo".into(), ..challenge },
    ]));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = engine.unwrap().router().into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    client(&url)
}

fn client(url: &str) -> EngineClient {
    let options = EngineOptions {
        sleeper: Arc::new(|_| Box::pin(std::future::ready(()))),
        ..EngineOptions::default()
    };
    EngineClient::new(url, Arc::new(Keypair::from_uri("//Alice").unwrap()), options).unwrap()
}

pub(crate) async fn runner(directory: &tempfile::TempDir) -> TextRunner {
    let paths = RunPaths::in_directory(directory.path());
    TextRunner {
        ledger: open_ledger(&paths).await.unwrap(),
        paths,
        submit: true,
        challenge_type: ChallengeType::Main,
        main_challenge_uid: None,
        options: PlayOptions::default(),
        steps: None,
        embedder: Arc::new(WordVectors),
        vectors: VectorOptions::default(),
        rules: Rules::Reference,
    }
}

fn names(directory: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn every_prediction_request_has_prefix_and_context() {
    let directory = tempfile::tempdir().unwrap();
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let engine = engine(TEXT).await;
    let report =
        runner(&directory).await.run_once(&engine, &miners(&[&echo]), |_| ()).await.unwrap();
    assert_eq!(
        (report.outcome, report.dialogues, report.utterances),
        (TextOutcome::Finished, 2, 3)
    );
    let requests = echo.requests.lock().unwrap();
    let requests: Vec<_> =
        requests.iter().map(|r| (r.step, r.prefix.as_str(), r.context.as_str())).collect();
    assert_eq!(
        requests,
        [
            (0, "one", ""),
            (1, "one two", ""),
            (2, "one two three", ""),
            (0, "four", "one two three"),
            (0, "five", ""),
            (1, "five six", ""),
        ]
    );
}

#[tokio::test]
async fn files_have_the_names_and_fields_of_the_reference() {
    let directory = tempfile::tempdir().unwrap();
    let perfect_miner = scripted(|request| {
        let complete = ["one two three EOF", "four", "five six"];
        let actual = complete
            .iter()
            .find(|text| text.starts_with(request.prefix.split(' ').next().unwrap()));
        Ok(actual.copied().unwrap_or_default().to_owned())
    });
    let (silent_miner, failing_miner) = (scripted(|_| Ok(" ".to_owned())), failing());
    let engine = engine(TEXT).await;
    let runner = runner(&directory).await;
    let miners = miners(&[&perfect_miner, &silent_miner, &failing_miner]);
    let report = runner.run_once(&engine, &miners, |_| ()).await.unwrap();
    let scores: Vec<_> = report.miners.iter().map(|miner| (miner.score, miner.errors)).collect();
    assert_eq!(scores, [(Some(1.0), 0), (None, 0), (None, 5)]);

    let hotkey = miners[0].key.hotkey;
    let log = runner
        .paths
        .logs
        .join(format!("dialogue_run_text-1_type_main_miner_1__hk_{hotkey}__dlg_a.jsonl"));
    let lines: Vec<Value> = std::fs::read_to_string(log)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let complete = "one two three EOF";
    assert_eq!(
        lines,
        [
            json!({"event": "predicted", "utterance_index": 0, "step": 0, "prediction": complete, "challenge_type": "main"}),
            json!({"event": "predicted", "utterance_index": 0, "step": 1, "prediction": complete, "challenge_type": "main"}),
            json!({"event": "predicted", "utterance_index": 0, "step": 2, "prediction": complete, "challenge_type": "main"}),
            json!({"event": "utterance_complete", "utterance_index": 0, "ground_truth": "one two three",
                "challenge_type": "main"}),
            json!({"event": "predicted", "utterance_index": 1, "step": 0, "prediction": "four", "challenge_type": "main"}),
            json!({"event": "utterance_complete", "utterance_index": 1, "ground_truth": "four", "challenge_type": "main"}),
        ]
    );
    assert_eq!(names(&runner.paths.logs).len(), 6, "a log for each miner and dialogue");

    let scores = names(&runner.paths.scores);
    let timestamp = scores[0].strip_prefix("challenge_run_text-1_type_main_miner_1_run_").unwrap();
    let timestamp = timestamp.strip_suffix(".json").unwrap();
    assert_eq!(
        scores,
        [
            format!("challenge_run_text-1_type_main_miner_1_run_{timestamp}.json"),
            format!("dialogue_run_text-1_type_main_miner_1_dlg_a_run_{timestamp}-score.json"),
            format!("dialogue_run_text-1_type_main_miner_1_dlg_b_run_{timestamp}-score.json"),
        ]
    );
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(runner.paths.scores.join(name)).unwrap()).unwrap()
    };
    let run = json!({"challenge_uid": "text-1", "challenge_type": "main", "miner_uid": 1, "miner_hotkey": hotkey,
        "dialogues": [
            {"dialogue_uid": "a", "dialogue_average_u_best_early": 1.0, "dialogue_index": 0},
            {"dialogue_uid": "b", "dialogue_average_u_best_early": 1.0, "dialogue_index": 1}],
        "challenge_mean_U": 1.0});
    assert_eq!(read(&scores[0]), run);
    let score = read(&scores[1]);
    let keys: Vec<_> = score.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "log_file",
            "dialogue_uid",
            "utterances",
            "dialogue_summary",
            "challenge_uid",
            "challenge_type",
            "miner_uid",
            "miner_hotkey"
        ]
    );
    assert_eq!(score["utterances"][0]["steps"][1]["U_step"], json!(0.5));
    assert_eq!(score["utterances"][0]["steps"][0]["prediction"], json!("one two three"));

    let second_report = runner.run_once(&engine, &miners, |_| ()).await.unwrap();
    assert_eq!(second_report.outcome, TextOutcome::AlreadyDone);
}

/// Repeats the reference's test: six words, five errors.
#[tokio::test]
async fn five_errors_end_the_session_with_the_revealed_words() {
    let directory = tempfile::tempdir().unwrap();
    let text = r#"{"dialogues": [{"utterances": ["In my practice, I often admit that I am wrong.", "More."]}]}"#;
    let (once, failing_miner) = (
        scripted(|request| {
            if request.step == 0 {
                Ok("In my practice".into())
            } else {
                Err(CallError::InvalidPayloadType)
            }
        }),
        failing(),
    );
    let engine = engine(text).await;
    let mut tokens = 0;
    let runner = runner(&directory).await;
    let report =
        runner.run_once(&engine, &miners(&[&failing_miner]), |_| tokens += 1).await.unwrap();
    assert_eq!((report.outcome, tokens, report.miners[0].errors), (TextOutcome::EndedEarly, 6, 5));
    let log =
        std::fs::read_to_string(runner.paths.logs.join(&names(&runner.paths.logs)[0])).unwrap();
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["ground_truth"], "In my practice, I often admit");
    assert_eq!(log.lines().count(), 6);

    // A success resets the count, so the session ends one word later.
    let mut tokens = 0;
    let report =
        runner.run_once(&engine, &miners(&[&failing_miner, &once]), |_| tokens += 1).await.unwrap();
    assert_eq!((report.outcome, tokens), (TextOutcome::EndedEarly, 7));
}

#[tokio::test]
async fn solo_round_plays_the_solo_challenge() {
    let directory = tempfile::tempdir().unwrap();
    let runner = TextRunner {
        challenge_type: ChallengeType::Solo,
        options: PlayOptions { stream: ChallengeKind::Solo, ..PlayOptions::default() },
        ..runner(&directory).await
    };
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let report = runner.run_once(&engine(TEXT).await, &miners(&[&echo]), |_| ()).await.unwrap();
    assert_eq!(report.challenge_uid.as_deref(), Some("solo"));
    assert!(
        names(&runner.paths.logs)[0].contains("_type_solo_"),
        "{:?}",
        names(&runner.paths.logs)
    );
    // A prediction of only the first of two or three words is partially similar.
    assert!(
        report.miners[0].score.is_some_and(|score| score > 0.4 && score < 1.0),
        "{:?}",
        report.miners
    );
}

/// An engine with these responses.
async fn engine_of(first: &Value, tokens: &[Value]) -> MockServer {
    let server = MockServer::start().await;
    let auth = json!({"challenge": "c", "timestamp": 1, "access_token": "t"});
    let json = |body: &Value| ResponseTemplate::new(200).set_body_json(body);
    for route in ["/auth", "/auth/verify"] {
        Mock::given(method("POST")).and(path(route)).respond_with(json(&auth)).mount(&server).await;
    }
    Mock::given(method("GET")).and(path("/start")).respond_with(json(first)).mount(&server).await;
    for token in tokens {
        let next = Mock::given(method("POST")).and(path("/next")).respond_with(json(token));
        next.up_to_n_times(1).mount(&server).await;
    }
    let end = json(&json!({ "done": true }));
    Mock::given(method("POST")).and(path("/next")).respond_with(end).mount(&server).await;
    server
}
