use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::Router;
use serde::{Deserialize, Serialize};
use serde_json::json;
use taonet_wire::{ClientConfig, DendriteScheme, Signer, SynapseClass};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

use super::*;
use crate::testing::{SumRequest, client, entry, key, listen};

const HANG_BODY: &[u8] = b"hang";

/// Serves a miner that returns the same bytes to every request, or never responds.
async fn miner(uid: u16, status: StatusCode, body: &'static [u8]) -> MinerEntry {
    let router = Router::new().fallback(move || async move {
        if body == HANG_BODY {
            std::future::pending::<()>().await;
        }
        (status, body)
    });
    entry(uid, key("//miner").hotkey(), listen(router).await.port())
}

/// Columns: status · body · outcome
#[tokio::test]
async fn replies_of_hostile_miners_are_errors() {
    let rows: [(StatusCode, &[u8], &str); 11] = [
        (StatusCode::OK, br#"{"a": 1, "b": 2, "sum": 3, "name": "Sum", "axon": {}}"#, "answered"),
        (StatusCode::OK, br#"{"a": 1, "b": 2, "sum": "three"}"#, "malformed"),
        (StatusCode::OK, br#"{"b": 2, "sum": 3}"#, "malformed"),
        (StatusCode::OK, br#"{"a": 1, "b": 3, "sum": 3}"#, "other_request"),
        (StatusCode::OK, b"[3]", "malformed"),
        (StatusCode::OK, b"\"\xff\xfe\"", "malformed"),
        (StatusCode::OK, b"", "malformed"),
        (StatusCode::OK, &[b' '; 2_000], "failed"),
        (StatusCode::FORBIDDEN, b"{}", "refused"),
        (StatusCode::TEMPORARY_REDIRECT, b"", "refused"),
        (StatusCode::OK, HANG_BODY, "timeout"),
    ];
    let mut miners = Vec::new();
    for (uid, (status, body, _)) in (0..).zip(rows) {
        miners.push(miner(uid, status, body).await);
    }
    // They are returned in the order of uids, not of the request.
    miners.reverse();
    let limits = QueryLimits {
        deadline: Duration::from_secs(3),
        max_response_bytes: 1_000,
        ..Default::default()
    };
    let replies =
        query(&client(key("//validator"), &[]), &miners, &SumRequest::ONE_AND_TWO, limits)
            .await
            .unwrap();
    assert_eq!(replies.len(), rows.len());
    for (uid, (reply, (_, body, expected))) in (0..).zip(replies.iter().zip(rows)) {
        let outcome = reply.response.as_ref().map_or_else(ReplyError::outcome, |_| "answered");
        let body = String::from_utf8_lossy(body);
        assert_eq!((reply.uid, outcome), (Uid(uid), expected), "{body:.80}: {:?}", reply.response);
    }
    assert_eq!(replies[0].response.as_ref().unwrap().sum, Some(3));
    let error = replies[3].response.as_ref().unwrap_err().to_string();
    assert_eq!(error, "the response is for another request: its field `b` differs");
}

/// Columns: header with a reason · body · reason
#[test]
fn refusal_reason_comes_from_headers_or_body() {
    let long_body = format!(r#"{{"message": "{}"}}"#, "x".repeat(1_000));
    for (header, body, expected) in [
        (Some("too busy"), r#"{"message": "other"}"#, "too busy"),
        (None, r#"{"message": "too busy"}"#, "too busy"),
        (None, r#"{"error": "Refused", "detail": "too busy"}"#, "too busy"),
        (None, r#"{"message": "one\nline\u001b[1m"}"#, "oneline[1m"),
        (None, long_body.as_str(), "x".repeat(MAX_REASON_CHARS).as_str()),
        (None, r#"{"message": 7}"#, ""),
        (None, "busy", ""),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(reason) = header {
            headers.insert("bt_header_axon_status_code", "503".parse().unwrap());
            headers.insert("bt_header_axon_status_message", reason.parse().unwrap());
        }
        let error = refusal_error(StatusCode::SERVICE_UNAVAILABLE, &headers, body.as_bytes());
        assert_eq!(error.to_string(), format!("status 503 Service Unavailable: {expected}"));
    }
}

/// Answers each request of a connection with the right response, which is sent twice.
async fn answer_twice(mut stream: TcpStream) {
    let mut received: Vec<u8> = Vec::new();
    while stream.read_buf(&mut received).await.is_ok_and(|count| count > 0) {
        // A request ends with the brace of its body.
        if received.last() != Some(&b'}') {
            continue;
        }
        let body = received.iter().rposition(|byte| *byte == b'{').unwrap();
        let SumRequest { a, b, .. } = serde_json::from_slice(&received[body..]).unwrap();
        received.clear();
        let body = json!({ "a": a, "b": b, "sum": a + b }).to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let response = format!("{head}{body}");
        if stream.write_all(response.repeat(2).as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The second response arrives on a connection whose next request has another right response.
#[tokio::test]
async fn second_response_does_not_answer_the_next_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let miners = [entry(0, key("//miner").hotkey(), listener.local_addr().unwrap().port())];
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_twice(stream));
        }
    });
    let client = client(key("//validator"), &[]);
    for a in 1..10 {
        let request = SumRequest { a, b: 1, sum: None };
        let replies = query(&client, &miners, &request, QueryLimits::default()).await.unwrap();
        match &replies[0].response {
            Ok(response) => assert_eq!(response.sum, Some(a + 1)),
            // The stray response was read, or has closed the connection.
            Err(ReplyError::OtherRequest { .. } | ReplyError::Call(_)) if a > 1 => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// A Python peer writes other forms of the same values.
#[tokio::test]
async fn response_with_the_same_values_in_another_form_is_accepted() {
    #[derive(Serialize, Deserialize)]
    struct Prompt {
        text: String,
        temperature: f64,
        answer: Option<String>,
    }

    impl Protocol for Prompt {
        fn class() -> SynapseClass {
            SynapseClass::new("Prompt").hash(["text", "temperature"])
        }
    }

    let body = br#"{"answer": "no", "temperature": 1e+16, "text": "\u00e9t\u00e9 \ud83d\ude00"}"#;
    let miners = [miner(0, StatusCode::OK, body).await];
    let signer =
        Signer::new(key("//validator"), "127.0.0.1", DendriteScheme::new().class(Prompt::class()));
    let client = SignedClient::new(signer, ClientConfig::default()).unwrap();
    let request = Prompt { text: "été 😀".to_owned(), temperature: 1e16, answer: None };
    let replies = query(&client, &miners, &request, QueryLimits::default()).await.unwrap();
    assert_eq!(replies[0].response.as_ref().unwrap().answer.as_deref(), Some("no"));
}

/// The hash names a field that the type does not have.
#[tokio::test]
async fn unsignable_request_fails_the_query() {
    #[derive(Serialize, Deserialize)]
    struct Prompt {
        prompt: String,
    }

    impl Protocol for Prompt {
        fn class() -> SynapseClass {
            SynapseClass::new("Prompt").hash(["promt"])
        }
    }

    let miners = [miner(0, StatusCode::OK, b"{}").await];
    let signer =
        Signer::new(key("//validator"), "127.0.0.1", DendriteScheme::new().class(Prompt::class()));
    let client = SignedClient::new(signer, ClientConfig::default()).unwrap();
    let request = Prompt { prompt: "hello".to_owned() };
    let error = query(&client, &miners, &request, QueryLimits::default()).await.err().unwrap();
    assert!(matches!(error, QueryError::Signing(SigningError::FieldMissing)), "{error:?}");
    let client_without_classes = crate::testing::client(key("//validator"), &[]);
    let error = query(&client_without_classes, &miners, &request, QueryLimits::default())
        .await
        .err()
        .unwrap();
    assert!(matches!(error, QueryError::Signing(SigningError::UnknownClass(_))), "{error:?}");
}

/// Columns: outcomes of the replies · outcome that they have in common
#[test]
fn failure_of_all_miners_is_recognised() {
    let reply = |outcome: &str| {
        let field = String::new();
        let response = match outcome {
            "answered" => Ok(SumRequest::ONE_AND_TWO),
            "other_request" => Err(ReplyError::OtherRequest { field }),
            "timeout" => Err(ReplyError::Call(CallError::Timeout { after: Duration::ZERO })),
            other => panic!("{other}"),
        };
        Reply { uid: Uid(0), hotkey: key("//miner").hotkey(), response, elapsed: Duration::ZERO }
    };
    for (outcomes, common) in [
        (&[][..], None),
        (&["timeout"], None),
        (&["timeout", "timeout", "timeout"], Some("timeout")),
        (&["timeout", "other_request"], None),
        (&["timeout", "answered"], None),
        (&["answered", "timeout", "timeout"], None),
        (&["answered", "answered"], None),
    ] {
        let replies: Vec<_> = outcomes.iter().copied().map(reply).collect();
        assert_eq!(common_failure(&replies), common, "{outcomes:?}");
    }
}

#[tokio::test]
async fn requests_run_concurrently_up_to_the_limit() {
    let (running, maximum) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    // The miner answers when three requests have arrived.
    let all = Arc::new(Barrier::new(3));
    let counters = (Arc::clone(&running), Arc::clone(&maximum));
    let router = Router::new().fallback(move || {
        let ((running, maximum), all) = (counters.clone(), Arc::clone(&all));
        async move {
            maximum.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            all.wait().await;
            running.fetch_sub(1, Ordering::SeqCst);
            SumRequest::THREE
        }
    });
    let address = listen(router).await;
    let miners: Vec<_> =
        (0..6).map(|uid| entry(uid, key("//miner").hotkey(), address.port())).collect();
    let limits =
        QueryLimits { concurrency: NonZeroUsize::new(3).unwrap(), ..QueryLimits::default() };
    let client = client(key("//validator"), &[]);
    let replies = query(&client, &miners, &SumRequest::ONE_AND_TWO, limits).await.unwrap();
    assert!(replies.iter().all(|reply| reply.response.is_ok()), "{replies:?}");
    assert_eq!(maximum.load(Ordering::SeqCst), 3);
    assert_eq!(
        query::<SumRequest>(&client, &[], &SumRequest::ONE_AND_TWO, limits).await.unwrap().len(),
        0,
        "no miners"
    );
}

/// With one request at a time, each waits for the timeout of the one before.
#[tokio::test]
async fn requests_wait_at_the_concurrency_limit() {
    let slow_miner = miner(0, StatusCode::OK, HANG_BODY).await;
    let limits = QueryLimits {
        deadline: Duration::from_millis(200),
        concurrency: NonZeroUsize::MIN,
        ..QueryLimits::default()
    };
    let miners: Vec<_> =
        (0..3).map(|uid| MinerEntry { uid: Uid(uid), ..slow_miner.clone() }).collect();
    let start = Instant::now();
    query(&client(key("//validator"), &[]), &miners, &SumRequest::ONE_AND_TWO, limits)
        .await
        .unwrap();
    assert!(
        start.elapsed() >= Duration::from_millis(600),
        "one after the other: {:?}",
        start.elapsed()
    );
}
