//! Wrong payloads, and failures of the backend.

use taonet_testing::CapturedLog;

use super::*;

#[tokio::test]
async fn invalid_payloads_are_reported() {
    let miner = miner_with_backend(Router::new(), config()).await;
    for (payload, status, detail) in [
        (json!([]), 422, "payload is not a JSON object"),
        (json!({}), 422, "model is missing or malformed"),
        (json!({"model": 7}), 422, "model is missing or malformed"),
        (json!({"model": "chat-a", "stream": "yes"}), 422, "stream is missing or malformed"),
        (json!({"model": "chat-c"}), 404, "model \"chat-c\" is not available"),
        // The miner returns client errors of the backend unchanged.
        (json!({"model": "chat-a"}), 404, "backend returned 404 Not Found"),
    ] {
        let response = post_payload(&miner, "/chat/completions", payload).await;
        assert_eq!(response.status(), status);
        let body: Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(body["detail"], detail);
    }
    let image = post_payload(&miner, "/text-to-image", json!({"model": "chat-a"})).await;
    assert_eq!(image.status(), StatusCode::NOT_FOUND, "route of another task type");
}

#[tokio::test]
async fn backend_failure_determines_the_status() {
    let short = Duration::from_millis(50);
    let short_deadlines = MinerConfig {
        deadlines: Deadlines { first_chunk: short, between_chunks: short, total: short },
        ..config()
    };
    let failing =
        miner_with_backend(chats(|| async { StatusCode::INTERNAL_SERVER_ERROR }), config()).await;
    let full =
        miner_with_backend(chats(|| async { StatusCode::TOO_MANY_REQUESTS }), config()).await;
    let garbage =
        miner_with_backend(chats(|| async { "\u{0}garbage\ndata: {}\ndata: [1]\n" }), config())
            .await;
    let silent = miner_with_backend(chats(std::future::pending::<()>), short_deadlines).await;
    // Even on a busy machine, the response's head arrives before the deadline.
    let later = Duration::from_secs(2);
    let long_first_deadline = MinerConfig {
        deadlines: Deadlines { first_chunk: later, between_chunks: short, total: later },
        ..config()
    };
    let without_content =
        miner_with_backend(chats(|| async { endless_body(Bytes::new()) }), long_first_deadline)
            .await;
    for (miner, status) in
        [(failing, 502), (full, 429), (garbage, 502), (silent, 504), (without_content, 502)]
    {
        assert_eq!(chat(&miner).await.status(), status);
    }
    // A stalled stream is aborted, so that the validator does not consider it complete.
    let short_chunk_deadline = MinerConfig {
        deadlines: Deadlines { between_chunks: short, ..Deadlines::default() },
        ..config()
    };
    let stalling = miner_with_backend(
        chats(|| async { endless_body(Bytes::from_static(CHUNK.as_bytes())) }),
        short_chunk_deadline,
    )
    .await;
    let response = chat(&stalling).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.is_err());
    let unreachable = Url::parse("http://127.0.0.1:9").unwrap();
    let unreachable = Miner::new(config(), Backend::new(&unreachable, None).unwrap(), None);
    assert_eq!(chat(&unreachable).await.status(), 502);
}

#[tokio::test]
async fn backend_error_is_logged_with_its_cause() {
    let (log, _guard) = CapturedLog::start();
    let event = |text: &str| format!("data: {text}\n\n");
    let (json, stream) = ("application/json", "text/event-stream");
    for (kind, body, status, cause) in [
        (
            stream,
            event(r#"{"error":{"message":"out of memory"}}"#),
            502,
            "backend reports an error: out of memory",
        ),
        (
            stream,
            event(r#"{"error":{"message":"too long","code":400}}"#),
            400,
            "backend reports an error: too long",
        ),
        (
            stream,
            event(r#"{"error":{"message":"full","code":"429"}}"#),
            429,
            "backend reports an error: full",
        ),
        (stream, event("{broken"), 502, "an event is not JSON: key must be a string"),
        (stream, String::new(), 502, "stream has no chunk"),
        (
            json,
            r#"{"error":{"message":"no such model","code":404}}"#.to_owned(),
            404,
            "no such model",
        ),
        (
            json,
            r#"{"choices":[{"message":{"content":"a"}}]}"#.to_owned(),
            502,
            "JSON document in place of a stream",
        ),
    ] {
        let miner = miner_with_backend(
            chats(move || async move { ([(CONTENT_TYPE, kind)], body) }),
            config(),
        )
        .await;
        let response = chat(&miner).await;
        assert_eq!(response.status(), status, "{cause}");
        let lines = log.take();
        assert!(lines.contains(cause) && lines.contains("WARN"), "{cause}: {lines}");
    }
    let failing = chats(|| async {
        (StatusCode::BAD_REQUEST, Json(json!({"error": {"message": "bad field"}})))
    });
    assert_eq!(chat(&miner_with_backend(failing, config()).await).await.status(), 400);
    // An error after the first text aborts the stream.
    let later = CHUNK.to_owned() + &event(r#"{"error":{"message":"died"}}"#);
    let miner = miner_with_backend(chats(move || async move { later }), config()).await;
    assert!(chat(&miner).await.into_body().collect().await.is_err());
    let lines = log.take();
    for cause in
        ["400 Bad Request: backend reports an error: bad field", "backend reports an error: died"]
    {
        assert!(lines.contains(cause), "{cause}: {lines}");
    }
}

/// The model's server may send status 429, or an error with this code in a response with status 200.
#[tokio::test]
async fn backend_at_its_limit_is_logged_once() {
    let (log, _guard) = CapturedLog::start();
    let in_band =
        miner_with_backend(chats(|| async { "data: {\"error\":{\"code\":429}}\n\n" }), config())
            .await;
    let by_status =
        miner_with_backend(chats(|| async { StatusCode::TOO_MANY_REQUESTS }), config()).await;
    for miner in [in_band, by_status] {
        for warnings in [1, 0] {
            assert_eq!(chat(&miner).await.status(), StatusCode::TOO_MANY_REQUESTS);
            let lines = log.take();
            assert_eq!(lines.matches("WARN").count(), warnings, "{lines}");
            assert_eq!(
                lines.matches("the backend is at its limit of requests").count(),
                warnings,
                "{lines}"
            );
        }
    }
}

/// Each miner of a process warns once.
#[tokio::test]
async fn text_without_log_probabilities_is_logged_once() {
    let (log, _guard) = CapturedLog::start();
    for _ in 0..2 {
        let miner =
            miner_with_backend(chats(|| async { format!("{CHUNK}data: [DONE]\n\n") }), config())
                .await;
        for (wants_logprobs, warnings) in [(false, 0), (true, 1), (true, 0)] {
            let payload = json!({"model": "chat-a", "messages": [], "stream": true, "logprobs": wants_logprobs});
            assert_eq!(text(post_payload(&miner, "/chat/completions", payload).await).await, CHUNK);
            let lines = log.take();
            assert_eq!(lines.matches("WARN").count(), warnings, "{lines}");
            assert_eq!(
                lines.matches("the backend sends text without log-probabilities").count(),
                warnings,
                "{lines}"
            );
        }
    }
}
