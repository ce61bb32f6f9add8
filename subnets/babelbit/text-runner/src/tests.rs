use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use taonet_babelbit_challenges::TextChallenge;
use taonet_babelbit_core::Rules;
use taonet_babelbit_core::records::{ChallengeType, MinerKey};
use taonet_babelbit_core::submission_api::ResultFile;
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

type Answer = Box<dyn Fn(&PredictedUtterance) -> Result<String, CallError> + Send + Sync>;

/// An in-process miner that records its requests.
pub(crate) struct Scripted {
    answer: Answer,
    asked: Mutex<Vec<PredictedUtterance>>,
}

impl TextConnection for Scripted {
    fn predict<'a>(
        &'a self,
        request: &'a PredictedUtterance,
        _: Duration,
    ) -> BoxFuture<'a, Result<String, CallError>> {
        self.asked.lock().unwrap().push(request.clone());
        std::future::ready((self.answer)(request)).boxed()
    }
}

pub(crate) fn scripted(
    answer: impl Fn(&PredictedUtterance) -> Result<String, CallError> + Send + Sync + 'static,
) -> Arc<Scripted> {
    Arc::new(Scripted { answer: Box::new(answer), asked: Mutex::default() })
}

pub(crate) fn failing() -> Arc<Scripted> {
    scripted(|_| Err(CallError::Timeout(Duration::from_secs(10))))
}

pub(crate) fn miners(connections: &[&Arc<Scripted>]) -> Vec<TextMiner> {
    let miner = |(index, connection): (usize, &&Arc<Scripted>)| TextMiner {
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
    let paths = RunPaths::below(directory.path());
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
async fn every_word_is_asked_with_its_prefix_and_context() {
    let directory = tempfile::tempdir().unwrap();
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let engine = engine(TEXT).await;
    let report =
        runner(&directory).await.run_once(&engine, &miners(&[&echo]), |_| ()).await.unwrap();
    assert_eq!(
        (report.outcome, report.dialogues, report.utterances),
        (TextOutcome::Finished, 2, 3)
    );
    let asked = echo.asked.lock().unwrap();
    let asked: Vec<_> =
        asked.iter().map(|r| (r.step, r.prefix.as_str(), r.context.as_str())).collect();
    assert_eq!(
        asked,
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
    let oracle = scripted(|request| {
        let complete = ["one two three EOF", "four", "five six"];
        let actual = complete
            .iter()
            .find(|text| text.starts_with(request.prefix.split(' ').next().unwrap()));
        Ok(actual.copied().unwrap_or_default().to_owned())
    });
    let (silent, broken) = (scripted(|_| Ok(" ".to_owned())), failing());
    let engine = engine(TEXT).await;
    let runner = runner(&directory).await;
    let miners = miners(&[&oracle, &silent, &broken]);
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
    let stamp = scores[0].strip_prefix("challenge_run_text-1_type_main_miner_1_run_").unwrap();
    let stamp = stamp.strip_suffix(".json").unwrap();
    assert_eq!(
        scores,
        [
            format!("challenge_run_text-1_type_main_miner_1_run_{stamp}.json"),
            format!("dialogue_run_text-1_type_main_miner_1_dlg_a_run_{stamp}-score.json"),
            format!("dialogue_run_text-1_type_main_miner_1_dlg_b_run_{stamp}-score.json"),
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

    let again = runner.run_once(&engine, &miners, |_| ()).await.unwrap();
    assert_eq!(again.outcome, TextOutcome::AlreadyDone);
}

/// Repeats the reference's test: six words, five errors.
#[tokio::test]
async fn five_errors_end_the_session_with_the_revealed_words() {
    let directory = tempfile::tempdir().unwrap();
    let text = r#"{"dialogues": [{"utterances": ["In my practice, I often admit that I am wrong.", "More."]}]}"#;
    let (once, broken) = (
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
    let report = runner.run_once(&engine, &miners(&[&broken]), |_| tokens += 1).await.unwrap();
    assert_eq!((report.outcome, tokens, report.miners[0].errors), (TextOutcome::EndedEarly, 6, 5));
    let log =
        std::fs::read_to_string(runner.paths.logs.join(&names(&runner.paths.logs)[0])).unwrap();
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["ground_truth"], "In my practice, I often admit");
    assert_eq!(log.lines().count(), 6);

    // A success resets the count, so the session ends one word later.
    let mut tokens = 0;
    let report =
        runner.run_once(&engine, &miners(&[&broken, &once]), |_| tokens += 1).await.unwrap();
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

/// Columns: responses of the engine after `/start` · error
#[tokio::test]
async fn a_broken_engine_leaves_no_scores() {
    for (start, next, expected) in [
        (
            json!({"token": "one", "done": false}),
            json!({}),
            "the engine's first token has no session_id",
        ),
        (
            json!({"session_id": "s", "token": "one"}),
            json!({"done": false}),
            "the engine sent no token before the end",
        ),
        (
            json!({"session_id": "s", "token": "one"}),
            json!({"token": "three", "token_index": 2}),
            r#"the engine skipped a token before "three""#,
        ),
        (
            json!({"session_id": "s", "token": "one"}),
            json!({"token": "four", "utterance_index": 1}),
            r#"the engine skipped a token before "four""#,
        ),
        (
            json!({"session_id": "s", "token": "one"}),
            json!({"token": "EOF", "token_index": 2}),
            r#"the engine skipped a token before "EOF""#,
        ),
        (
            json!({"session_id": "s", "token": "one"}),
            json!({"token": 1}),
            "Failed to advance text session: invalid payload",
        ),
    ] {
        let server = MockServer::start().await;
        let auth = json!({"challenge": "c", "timestamp": 1, "access_token": "t"});
        let json = |body: &Value| ResponseTemplate::new(200).set_body_json(body);
        for route in ["/auth", "/auth/verify"] {
            Mock::given(method("POST"))
                .and(path(route))
                .respond_with(json(&auth))
                .mount(&server)
                .await;
        }
        Mock::given(method("GET"))
            .and(path("/start"))
            .respond_with(json(&start))
            .mount(&server)
            .await;
        Mock::given(method("POST"))
            .and(path("/next"))
            .respond_with(json(&next))
            .mount(&server)
            .await;
        let directory = tempfile::tempdir().unwrap();
        let echo = scripted(|request| Ok(request.prefix.clone()));
        let runner = runner(&directory).await;
        let error =
            runner.run_once(&client(&server.uri()), &miners(&[&echo]), |_| ()).await.unwrap_err();
        assert!(error.to_string().starts_with(expected), "{expected}: {error}");
        assert!(names(&runner.paths.scores).is_empty());
    }
}

/// An engine that only sends the fields of `first`, then these tokens.
async fn minimal_engine(first: &Value, tokens: &[&str]) -> MockServer {
    let tokens: Vec<Value> = tokens.iter().map(|token| json!({ "token": token })).collect();
    engine_of(first, &tokens).await
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

/// Columns: uid of the challenge · uid in the report · uid in the names of files
#[tokio::test]
async fn challenges_with_any_uid_are_played() {
    let long = "u".repeat(300);
    let rows = [
        (json!(null), None, "unknown".to_owned()),
        (json!(""), None, "unknown".to_owned()),
        (json!(long), Some(long.clone()), format!("{}-8b5089b4", "u".repeat(63))),
        (json!("../x"), Some("../x".to_owned()), "___x".to_owned()),
    ];
    for (uid, reported, named) in rows {
        let first = json!({"session_id": "s", "token": "one", "challenge_uid": uid});
        let server = minimal_engine(&first, &["EOF EOF"]).await;
        let directory = tempfile::tempdir().unwrap();
        let echo = scripted(|request| Ok(request.prefix.clone()));
        let runner = runner(&directory).await;
        let report =
            runner.run_once(&client(&server.uri()), &miners(&[&echo]), |_| ()).await.unwrap();
        assert_eq!((report.outcome, report.challenge_uid), (TextOutcome::Finished, reported));
        let files = [names(&runner.paths.logs), names(&runner.paths.scores)].concat();
        assert_eq!(files.len(), 3, "{files:?}");
        assert!(
            files.iter().all(|name| name.contains(&format!("_run_{named}_type_main_miner_1_"))),
            "{files:?}"
        );
    }
}

#[tokio::test]
async fn an_overlong_utterance_is_omitted_and_the_others_are_scored() {
    let long = "x".repeat(5_000);
    let first = json!({"session_id": "s", "token": "one"});
    let token =
        |(token, utterance): (&str, u32)| json!({ "token": token, "utterance_index": utterance });
    let tokens = [
        ("EOF", 0),
        ("two", 1),
        (long.as_str(), 1),
        ("three", 1),
        ("EOF", 1),
        ("four", 2),
        ("EOF EOF", 2),
    ];
    let server = engine_of(&first, &tokens.map(token)).await;
    let directory = tempfile::tempdir().unwrap();
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let report = runner(&directory)
        .await
        .run_once(&client(&server.uri()), &miners(&[&echo]), |_| ())
        .await
        .unwrap();
    assert_eq!(
        (report.outcome, report.dialogues, report.utterances),
        (TextOutcome::Finished, 1, 2)
    );
    assert_eq!(report.miners[0].score, Some(1.0));
    assert_eq!(report.omitted.len(), 1);
    assert_eq!(
        report.omitted[0].to_string(),
        "utterance 1 of dialogue \"unknown\" has 5005 bytes, the limit is 4096; hint: split the utterance in the \
         engine's challenge"
    );
    let asked = echo.asked.lock().unwrap();
    let asked: Vec<_> =
        asked.iter().map(|request| (request.prefix.as_str(), request.context.as_str())).collect();
    assert_eq!(asked, [("one", ""), ("two", "one"), ("four", "one")]);
}

/// A dialogue that has only an overlong utterance, and one that follows without an end token.
#[tokio::test]
async fn an_overlong_utterance_ends_with_its_dialogue() {
    let long = "x".repeat(5_000);
    let token = |token: &str, dialogue: u32| {
        let uid = format!("d{dialogue}");
        json!({"token": token, "dialogue_uid": uid, "dialogue_index": dialogue})
    };
    let first = json!({"session_id": "s", "token": long, "dialogue_uid": "d0"});
    let server = engine_of(&first, &[token("more", 0), token("one", 1), token("EOF EOF", 1)]).await;
    let directory = tempfile::tempdir().unwrap();
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let report = runner(&directory)
        .await
        .run_once(&client(&server.uri()), &miners(&[&echo]), |_| ())
        .await
        .unwrap();
    assert_eq!((report.dialogues, report.utterances, report.miners[0].score), (1, 1, Some(1.0)));
    assert_eq!(report.omitted[0].dialogue_uid, "d0");
}

#[tokio::test]
async fn a_session_without_end_keeps_its_whole_utterances() {
    let first = json!({"session_id": "s", "token": "one"});
    let server = minimal_engine(&first, &["two", "EOF", "three", "four", "five", "six"]).await;
    let (engine, echo) = (client(&server.uri()), scripted(|request| Ok(request.prefix.clone())));
    engine.authenticate_with_retry().await.unwrap();
    let first = engine.start_text(ChallengeKind::Main).await.unwrap();
    let played = crate::play::play_up_to(
        5,
        &engine,
        first,
        &miners(&[&echo]),
        &PlayOptions::default(),
        None,
        |_| (),
    )
    .await;
    let played = played.unwrap();
    assert!(played.ended_early);
    let utterances: Vec<_> =
        played.dialogues[0].utterances.iter().map(|utterance| utterance.words.join(" ")).collect();
    assert_eq!(utterances, ["one two"]);
}

#[tokio::test]
async fn an_engine_without_positions_is_played() {
    let server = minimal_engine(
        &json!({"session_id": "s", "token": "one"}),
        &["two", "EOF", "three", "four", "EOF EOF"],
    )
    .await;
    let directory = tempfile::tempdir().unwrap();
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let report = runner(&directory)
        .await
        .run_once(&client(&server.uri()), &miners(&[&echo]), |_| ())
        .await
        .unwrap();
    assert_eq!((report.outcome, report.utterances), (TextOutcome::Finished, 2));
    let asked = echo.asked.lock().unwrap();
    let prefixes: Vec<_> = asked.iter().map(|request| request.prefix.as_str()).collect();
    assert_eq!(prefixes, ["one", "one two", "three", "three four"]);
}

#[tokio::test]
async fn a_miner_whose_files_cannot_be_written_does_not_affect_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let echo = scripted(|request| Ok(request.prefix.clone()));
    let (engine, runner, miners) =
        (engine(TEXT).await, runner(&directory).await, miners(&[&echo, &echo]));
    let hotkey = miners[0].key.hotkey;
    let blocked = format!("dialogue_run_text-1_type_main_miner_1__hk_{hotkey}__dlg_b.jsonl");
    std::fs::create_dir_all(runner.paths.logs.join(blocked)).unwrap();
    let report = runner.run_once(&engine, &miners, |_| ()).await.unwrap();
    let [broken, complete] = &report.miners[..] else { panic!("{report:?}") };
    assert_eq!((broken.score, broken.dialogue_scores.len()), (Some(broken.dialogue_scores[0]), 1));
    assert_ne!(broken.score, complete.score);
    let error = broken.unwritten.as_ref().unwrap();
    assert!(error.contains("os error"), "the operating system's error is passed on: {error}");
    assert_eq!(
        (complete.score.is_some(), complete.dialogue_scores.len(), &complete.unwritten),
        (true, 2, &None)
    );
    let means = report.files.iter().filter(|file| file.file == ResultFile::ChallengeScore);
    assert_eq!(means.map(|file| file.miner).collect::<Vec<_>>(), [miners[0].key, miners[1].key]);
}

/// An embedder that fails for texts with one of these words.
struct FailingEmbedder(&'static [&'static str]);

impl SentenceEmbedder for FailingEmbedder {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn fingerprint(&self) -> &'static str {
        "failing"
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        let is_failing = |text: &&str| text.split(' ').any(|word| self.0.contains(&word));
        if texts.iter().any(is_failing) {
            return Err(EmbedError::Tokenizer("expected by the test".to_owned()));
        }
        WordVectors.embed(texts)
    }
}

#[tokio::test]
async fn a_dialogue_that_cannot_be_scored_is_skipped_and_the_others_are_averaged() {
    let directory = tempfile::tempdir().unwrap();
    // Predicts the rest of one utterance of each dialogue.
    let oracle = scripted(|request| {
        let complete =
            if request.prefix == "one" { "one two three" } else { request.prefix.as_str() };
        Ok(complete.to_owned())
    });
    let (engine, miners) = (engine(TEXT).await, miners(&[&oracle]));
    let all_fail = TextRunner {
        embedder: Arc::new(FailingEmbedder(&["one", "five"])),
        ..runner(&directory).await
    };
    let error = all_fail.run_once(&engine, &miners, |_| ()).await.unwrap_err();
    assert!(matches!(error, TextRunError::Score(_)), "{error}");
    assert!(names(&all_fail.paths.scores).is_empty());

    let one_fails = TextRunner { embedder: Arc::new(FailingEmbedder(&["five"])), ..all_fail };
    let report = one_fails.run_once(&engine, &miners, |_| ()).await.unwrap();
    assert_eq!((report.outcome, report.dialogues), (TextOutcome::Finished, 2));
    let unscored: Vec<_> =
        report.unscored.iter().map(|dialogue| dialogue.dialogue_uid.as_str()).collect();
    assert_eq!(unscored, ["b"]);
    assert_eq!(
        (report.miners[0].score, &report.miners[0].dialogue_scores),
        (Some(1.0), &vec![1.0])
    );
    assert_eq!((names(&one_fails.paths.logs).len(), names(&one_fails.paths.scores).len()), (2, 2));
    let again = one_fails.run_once(&engine, &miners, |_| ()).await.unwrap();
    assert_eq!(again.outcome, TextOutcome::AlreadyDone);
}
