//! Engines that are broken, send too much, or leave fields out.

use super::*;

/// Columns: response to `/start` · response to `/next` · error
#[tokio::test]
async fn broken_engine_leaves_no_scores() {
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
async fn overlong_utterance_is_omitted_and_the_others_are_scored() {
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
    let requests = echo.requests.lock().unwrap();
    let requests: Vec<_> = requests
        .iter()
        .map(|request| (request.prefix.as_str(), request.context.as_str()))
        .collect();
    assert_eq!(requests, [("one", ""), ("two", "one"), ("four", "one")]);
}

/// A dialogue that has only an overlong utterance, and one that follows without an end token.
#[tokio::test]
async fn overlong_utterance_ends_with_its_dialogue() {
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
async fn session_without_end_keeps_complete_utterances() {
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
async fn challenge_without_token_positions_is_played() {
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
    let requests = echo.requests.lock().unwrap();
    let prefixes: Vec<_> = requests.iter().map(|request| request.prefix.as_str()).collect();
    assert_eq!(prefixes, ["one", "one two", "three", "three four"]);
}
