use std::time::Duration;

use futures::TryStreamExt as _;
use wiremock::matchers::{body_partial_json, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

fn conversation() -> Vec<Message> {
    vec![Message::new("system", "Be brief."), Message::new("user", "What is stan?")]
}

async fn answer_of(response: Value) -> Result<String, CompleteError> {
    let server = MockServer::start().await;
    let request = json!({ "model": "m", "max_tokens": 9, "messages": [
        { "role": "system", "content": "Be brief." }, { "role": "user", "content": "What is stan?" },
    ] });
    Mock::given(method("POST"))
        .and(path("/v1/chat/completions"))
        .and(body_partial_json(request))
        .respond_with(ResponseTemplate::new(200).set_body_json(response))
        .expect(1)
        .mount(&server)
        .await;
    let base = format!("{}/v1", server.uri()).parse().unwrap();
    let client = ModelServer::new(&base, None, Duration::from_secs(30)).unwrap();
    Completer::server(client, "m".to_owned(), 9).complete(&conversation()).await
}

#[tokio::test]
async fn server_gets_the_conversation_and_its_message_is_the_completion() {
    let response = json!({ "choices": [{ "message": { "role": "assistant", "content": "A word." } }], "id": "1" });
    assert_eq!(answer_of(response).await.unwrap(), "A word.");
    for response in
        [json!({ "choices": [] }), json!({ "choices": [{ "message": { "content": null } }] })]
    {
        assert!(matches!(answer_of(response).await, Err(CompleteError::NoMessage)));
    }
    assert!(matches!(answer_of(json!({ "choices": 7 })).await, Err(CompleteError::Server(_))));
}

#[tokio::test]
async fn completion_parts_are_the_events_of_the_server() {
    let delta = |text: &str| {
        format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": text } }] }))
    };
    let role = "data: {\"choices\": [{\"delta\": {\"role\": \"assistant\"}}]}\n\n".to_owned();
    let events =
        [role, delta("A "), delta(""), delta("word."), "data: [DONE]\n\n".to_owned()].concat();
    let response_body = json!({ "choices": [{ "message": { "content": "A word." } }] });
    let rows: [(ResponseTemplate, Option<&[&str]>); 4] = [
        (
            ResponseTemplate::new(200).set_body_raw(events, "text/event-stream"),
            Some(&["A ", "word."]),
        ),
        (ResponseTemplate::new(200).set_body_json(response_body), Some(&["A word."])),
        (ResponseTemplate::new(200).set_body_json(json!({ "choices": [] })), Some(&[])),
        (ResponseTemplate::new(503), None),
    ];
    for (response, expected) in rows {
        let server = MockServer::start().await;
        let mock = Mock::given(path("/v1/chat/completions"))
            .and(body_partial_json(json!({ "stream": true })));
        mock.respond_with(response).mount(&server).await;
        let base = format!("{}/v1", server.uri()).parse().unwrap();
        let client = ModelServer::new(&base, None, Duration::from_secs(30)).unwrap();
        let completer = Completer::server(client, "m".to_owned(), 9);
        let parts: Result<Vec<String>, BoxError> =
            completer.stream(&conversation()).await.unwrap().try_collect().await;
        match expected {
            Some(expected) => assert_eq!(parts.unwrap(), expected),
            None => assert!(parts.is_err(), "{parts:?}"),
        }
    }
}

#[tokio::test]
async fn in_process_model_answers_reproducibly() {
    let model = Arc::new(LanguageModel::random("m", 2, 1).unwrap());
    let completer = Completer::model(Arc::clone(&model), 12).unwrap();
    let answer = completer.complete(&conversation()).await.unwrap();
    assert!(!answer.is_empty());
    assert_eq!(completer.complete(&conversation()).await.unwrap(), answer);
    let parts: Vec<String> =
        completer.stream(&conversation()).await.unwrap().try_collect().await.unwrap();
    assert!(parts.len() > 1 && parts.concat().trim() == answer, "{parts:?}, expected {answer}");
    let long = [Message::new("user", "stan ".repeat(5_000))];
    assert!(completer.stream(&long).await.is_err());
    let error = completer.complete(&long).await.unwrap_err();
    assert!(matches!(error, CompleteError::Submit(SubmitError::Prompt(_))), "{error:?}");
}

#[tokio::test]
async fn next_tokens_come_from_the_language_model() {
    let model = Arc::new(LanguageModel::random("m", 2, 1).unwrap());
    let completer = Completer::model(Arc::clone(&model), 12).unwrap();
    let texts = ["The ferry leaves", "at half past"].map(str::to_owned);
    let request = NextTokens { texts: texts.to_vec(), ..NextTokens::default() };
    let predictions = predict_tokens(completer.clone(), request).await.unwrap().predictions;
    assert_eq!(predictions.len(), 2);
    for (text, prediction) in texts.iter().zip(predictions) {
        // Which token is judged makes no difference to the likeliest ones at its position.
        let judged =
            model.answer_probabilities(&model.completion_prompt(text).unwrap(), &[9], 3).unwrap();
        assert_eq!(prediction.len(), MAX_PREDICTIONS);
        for (token, logprob) in &judged[0].top {
            let token = model.vocabulary().text(*token);
            let (_, probability) = prediction.iter().find(|(other, _)| other == token).unwrap();
            assert!(
                (probability - logprob.exp()).abs() < 1e-3,
                "{text}: {token} in {prediction:?}"
            );
        }
    }
    let long = predict_tokens(
        completer,
        NextTokens { texts: vec!["stan ".repeat(5_000)], ..NextTokens::default() },
    )
    .await;
    let other = predict_tokens(Completer::canned(CannedAnswers::default()), NextTokens::default())
        .await
        .unwrap_err();
    assert!(long.is_err());
    assert_eq!(other, CompleteError::NoModel.to_synapse_error());
}

#[tokio::test]
async fn canned_answer_replies_to_the_last_message() {
    let completer = Completer::canned(CannedAnswers::built_in().unwrap());
    let question = [Message::new("user", "Who wrote Hamlet?")];
    let answer = completer.complete(&question).await.unwrap();
    assert!(answer.contains("Shakespeare"));
    let parts: Vec<String> =
        completer.stream(&question).await.unwrap().try_collect().await.unwrap();
    assert_eq!(parts, [answer]);
}
