//! Changed requests of each client library, through the gateway's routes: no response is a server
//! error, no stream breaks off, and the books balance.

mod mutator;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::StatusCode;
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use taonet_testing::is_exhaustive;
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::market::TestGateway;
use super::peers::{recorded_requests, start_gateway};
use mutator::Mutation;

/// Number of changed requests of a client.
const SAMPLE_COUNT: u64 = 250;
/// The same in `./test --all`.
const EXHAUSTIVE_COUNT: u64 = 10_000;
/// Number of requests at the same time: together with their choices, they find enough slots.
const MAX_CONCURRENT: usize = 4;
/// Texts of events that report an interrupted answer.
const INTERRUPTED: [&str; 3] = ["\"code\":\"no_answer\"", "event: response.failed", "event: error"];

/// Sends a request; returns the status and the complete body.
async fn send(gateway: &TestGateway, mutation: &Mutation) -> (StatusCode, String) {
    let exchange = async {
        let response =
            gateway.router.clone().oneshot(mutation.request(&gateway.key)).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    timeout(Duration::from_mins(1), exchange)
        .await
        .unwrap_or_else(|_| panic!("no response within a minute: {mutation}"))
}

/// Asserts that a response is an answer, or an error of the buyer's with a message.
fn check(status: StatusCode, body: &str, mutation: &Mutation) {
    assert!(status.is_success() || status.is_client_error(), "{status} {body}\n{mutation}");
    if status.is_success() {
        assert!(!INTERRUPTED.iter().any(|event| body.contains(event)), "{body}\n{mutation}");
        return;
    }
    let error: Value =
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}\n{mutation}"));
    assert!(error["error"]["message"].is_string(), "{body}\n{mutation}");
}

/// Sends the recorded requests of a client, and mutated copies of them.
async fn send_mutated_requests(client: &str) {
    let (requests, gateway) = (recorded_requests(client), start_gateway().await);
    let mut answers = 0;
    for request in &requests {
        let mutation = Mutation::unchanged(request);
        let (status, body) = send(&gateway, &mutation).await;
        check(status, &body, &mutation);
        answers += usize::from(status.is_success());
    }
    // The others are errors that the contract tests provoke.
    assert!(answers * 4 >= requests.len() * 3, "{answers} of {}", requests.len());
    let count = if is_exhaustive() { EXHAUSTIVE_COUNT } else { SAMPLE_COUNT };
    let changed = (0..count).map(|number| {
        let mutation = Mutation::random(&requests, &mut StdRng::seed_from_u64(number));
        let gateway = &gateway;
        async move {
            let (status, body) = send(gateway, &mutation).await;
            check(status, &body, &mutation);
            status
        }
    });
    let statuses: Vec<_> =
        futures::stream::iter(changed).buffer_unordered(MAX_CONCURRENT).collect().await;
    let mut counts = BTreeMap::new();
    for status in statuses {
        *counts.entry(status.as_u16()).or_insert(0) += 1;
    }
    println!("{client}: {counts:?}");
    assert!(counts.contains_key(&200) && counts.contains_key(&400), "{counts:?}");
    timeout(Duration::from_mins(2), gateway.wait_until_settled())
        .await
        .expect("a request is still in flight");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_requests_of_openais_python_client_are_answered_or_refused() {
    send_mutated_requests("openai-python").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_requests_of_openais_node_client_are_answered_or_refused() {
    send_mutated_requests("openai-node").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_requests_of_anthropics_client_are_answered_or_refused() {
    send_mutated_requests("anthropic").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_requests_of_litellm_are_answered_or_refused() {
    send_mutated_requests("litellm").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_requests_of_langchain_are_answered_or_refused() {
    send_mutated_requests("langchain").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_requests_of_llm_are_answered_or_refused() {
    send_mutated_requests("llm").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_requests_of_the_ai_sdk_are_answered_or_refused() {
    send_mutated_requests("ai-sdk").await;
}
