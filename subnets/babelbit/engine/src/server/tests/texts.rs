//! Tests of the text routes.

use super::*;

const TEXT: &str = r#"{"challenge_uid": "text-0", "dialogues": [
    {"dialogue_uid": "a", "utterances": ["Is it free?", ""]}, {"dialogue_uid": "b", "utterances": ["Bye."]}]}"#;

fn texts(count: usize) -> Vec<TextChallenge> {
    let number = |n| TextChallenge::parse("t.json", &TEXT.replace("text-0", &format!("text-{n}")));
    (0..count).map(|n| number(n).unwrap()).collect()
}

async fn start_server() -> (TestEngine, String) {
    let server = TestEngine::new(|config| config.texts = texts(2)).await;
    let token = server.token("//Alice").await;
    (server, token)
}

async fn start(server: &TestEngine, path: &str, token: &str) -> Value {
    server.send(Method::GET, path, token, json!(null)).await.json().await.unwrap()
}

async fn next(server: &TestEngine, path: &str, token: &str, session: &Value) -> Value {
    let body = json!({"session_id": session, "prediction": ""});
    server.send(Method::POST, path, token, body).await.json().await.unwrap()
}

#[tokio::test]
async fn words_are_revealed_one_by_one() {
    let (server, token) = start_server().await;
    let mut first = start(&server, "/start", &token).await;
    let session = first["session_id"].take();
    assert_eq!(
        first,
        json!({"session_id": null, "token": "Is", "done": false, "challenge_uid": "text-0", "dialogue_uid": "a",
            "dialogue_index": 0, "utterance_index": 0, "token_index": 0})
    );
    #[rustfmt::skip]
    let table = [
        ("it", "a", 0, 0, 1), ("free?", "a", 0, 0, 2), ("EOF", "a", 0, 0, 3), ("EOF", "a", 0, 1, 0),
        ("EOF EOF", "a", 0, 2, 0), ("Bye.", "b", 1, 0, 0), ("EOF", "b", 1, 0, 1), ("EOF EOF", "b", 1, 1, 0),
    ];
    for (text, dialogue_uid, dialogue, utterance, index) in table {
        assert_eq!(
            next(&server, "/next", &token, &session).await,
            json!({"token": text, "done": false, "challenge_uid": "text-0", "dialogue_uid": dialogue_uid,
                "dialogue_index": dialogue, "utterance_index": utterance, "token_index": index})
        );
    }
    for _ in 0..2 {
        let end = next(&server, "/next", &token, &session).await;
        assert_eq!((&end["token"], &end["done"]), (&json!(null), &json!(true)), "{end}");
    }
}

#[tokio::test]
async fn interleaved_sessions_have_separate_positions() {
    let (server, token) = start_server().await;
    let first = start(&server, "/start", &token).await["session_id"].clone();
    let second = start(&server, "/start", &token).await["session_id"].clone();
    for expected in ["it", "free?", "EOF"] {
        for session in [&first, &second] {
            assert_eq!(next(&server, "/next", &token, session).await["token"], json!(expected));
        }
    }
}

#[tokio::test]
async fn wrong_sessions_are_refused_as_the_reference_does() {
    let (server, token) = start_server().await;
    let bob = server.token("//Bob").await;
    let own_session = start(&server, "/start", &token).await["session_id"].clone();
    #[rustfmt::skip]
    let table = [
        (&token, json!({"session_id": "nothing"}), "the session is unknown or expired"),
        (&bob, json!({"session_id": own_session}), "the session is unknown or expired"),
        (&token, json!({"prediction": ""}), "session_id: missing"),
        (&token, json!([own_session]), "session_id: missing"),
        (&token, json!({"session_id": 7}), "session_id: expected a text"),
    ];
    for (token, body, detail) in table {
        let refused_response = server.send(Method::POST, "/next", token, body.clone()).await;
        assert_eq!(refused_response.status(), 400, "{body}");
        let answer: Value = refused_response.json().await.unwrap();
        assert_eq!(
            answer,
            json!({"error": "invalid or missing session_id", "detail": detail}),
            "{body}"
        );
    }
    server.test_clock.advance(900);
    let late_response = next(&server, "/next", &token, &own_session).await;
    assert_eq!(late_response["error"], "invalid or missing session_id");
    let without_token =
        server.send(Method::POST, "/next", "none", json!({"session_id": own_session})).await;
    assert_eq!(without_token.status(), 401);
}

#[tokio::test]
async fn text_engine_serves_its_solo_text() {
    let server = TestEngine::new(|config| {
        let clock = Arc::clone(&config.clock);
        *config = EngineConfig { clock, ..EngineConfig::for_texts(texts(2)) };
    })
    .await;
    server.engine.prepare().await.unwrap();
    let token = server.token("//Alice").await;
    let solo = start(&server, "/solo/start", &token).await;
    assert_eq!(solo["challenge_uid"], "text-1");
    assert_eq!(next(&server, "/solo/next", &token, &solo["session_id"]).await["token"], "it");
    let wrong_route = next(&server, "/next", &token, &solo["session_id"]).await;
    assert_eq!(
        wrong_route["detail"],
        "advance main sessions at /next, solo sessions at /solo/next"
    );
    let speech = server.send(Method::POST, "/source-audio/start", &token, json!(null)).await;
    assert_eq!(speech.status(), 404);
}

#[tokio::test]
async fn engine_without_texts_has_no_text_routes() {
    let server = TestEngine::new(|_| ()).await;
    let token = server.token("//Alice").await;
    assert_eq!(server.send(Method::GET, "/start", &token, json!(null)).await.status(), 404);
    let both_contests = EngineConfig {
        texts: vec![TextChallenge { uid: "challenge-0".to_owned(), ..texts(1)[0].clone() }],
        ..config()
    };
    assert_eq!(
        Engine::new(both_contests).unwrap_err().to_string(),
        "duplicate challenge uid challenge-0"
    );
}

#[tokio::test]
async fn client_plays_a_text_session() {
    let (server, _) = start_server().await;
    let client = server.client("//Alice");
    let first = client.start_text(ChallengeKind::Main).await.unwrap();
    let session = first.session_id.clone().unwrap();
    let mut texts = vec![first.text().unwrap().to_owned()];
    loop {
        let token = client.next_text(ChallengeKind::Main, &session).await.unwrap();
        if token.done {
            break;
        }
        texts.push(token.text().unwrap().to_owned());
    }
    assert_eq!(texts, ["Is", "it", "free?", "EOF", "EOF", "EOF EOF", "Bye.", "EOF", "EOF EOF"]);
    let error = client.next_text(ChallengeKind::Main, "nothing").await.unwrap_err();
    assert!(matches!(error, EngineError::InvalidSession), "{error}");
    assert_eq!(error.to_score_file_text(), "AudioChallengeError:Invalid session");
}
