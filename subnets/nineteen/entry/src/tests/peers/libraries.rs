//! Tests of the gateway with libraries for models of many providers: LiteLLM, LangChain, Vercel's
//! AI SDK and llm.

use std::process::Command;

use serde_json::{Value, json};
use taonet_testing::peer_directory;

use super::{PNG, ServedGateway, manifest_path};

const WORDS: &str = "word word word ";

/// Returns the results of a client's Python script in the environment of all these libraries;
/// `None` if it is not installed.
async fn run_library(client: &str, script: &str) -> Option<Value> {
    let peer = peer_directory("clients")?;
    let served = ServedGateway::start().await;
    let mut buyer = Command::new(peer.join("bin/python"));
    buyer.arg(manifest_path("src/tests/peers").join(script));
    let results = tokio::task::block_in_place(|| served.run_buyer(client, &mut buyer));
    served.stop().await;
    Some(results)
}

#[tokio::test(flavor = "multi_thread")]
async fn litellm_is_compatible() {
    let Some(results) = run_library("litellm", "litellm_buyer.py").await else { return };
    let tool = json!(["tool_calls", "c1", "weather", "{\"town\":\"Ulm\"}"]);
    let expected = json!({
        "chat": [WORDS, "stop", 9],
        "stream": ["word word ", "length", 6, 2],
        "tool": tool,
        "streamed_tool": tool,
        "after_tool": WORDS,
        "object": "{\"town\":\"Ulm\"}",
        "vision": WORDS,
        "choices": [WORDS, WORDS],
        "response": ["completed", WORDS],
        "message": ["end_turn", WORDS],
        "embedding": [[0.5, 0.5], [1.5, 1.5]],
        "image": PNG,
        "anthropic": WORDS,
        "anthropic_tool": tool,
        "retried": WORDS,
        "errors": [
            ["AuthenticationError", 401],
            ["NotFoundError", 404],
            ["BadRequestError", 400],
            ["RateLimitError", 429],
        ],
    });
    assert_eq!(results, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn langchain_is_compatible() {
    let Some(results) = run_library("langchain", "langchain_buyer.py").await else { return };
    let call = json!([["c1", "weather", {"town": "Ulm"}]]);
    let model = json!({
        "chat": [WORDS, [6, 3]],
        "stream": [WORDS, [6, 3]],
        "batch": [WORDS, WORDS],
        "tool": call,
        "streamed_tool": call,
        "after_tool": WORDS,
        "after_parts": WORDS,
        "vision": [WORDS, [107, 3]],
        "object": "Ulm",
        "called_object": "Ulm",
    });
    let expected = json!({
        "chat": model,
        "responses": model,
        "anthropic": model,
        "retried": WORDS,
        "embedding": [[[0.5, 0.5], [1.5, 1.5]], [0.5, 0.5]],
        "errors": [
            ["OpenAIAuthenticationError", 401],
            ["OpenAIModelNotFoundError", 404],
            ["OpenAIInvalidRequestError", 400],
            ["AnthropicAuthenticationError", 401],
            ["AnthropicModelNotFoundError", 404],
        ],
    });
    assert_eq!(results, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn llm_tool_is_compatible() {
    let Some(results) = run_library("llm", "llm_buyer.py").await else { return };
    let model = json!({
        "conversation": [[WORDS, 6, 3], [WORDS, 20, 3]],
        "whole": [WORDS, 6, 3],
        "chunks": ["word ", "word ", "word "],
        "object": "{\"town\":\"Ulm\"}",
        "tool": [WORDS, [1, 0]],
        "vision": WORDS,
    });
    let expected = json!({
        "chat": model,
        "response": model,
        "completion": "word word ",
        "errors": [["AuthenticationError", 401], ["NotFoundError", 404]],
    });
    assert_eq!(results, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn vercel_ai_sdk_is_compatible() {
    let Some(peer) = peer_directory("ai-sdk") else { return };
    let served = ServedGateway::start().await;
    let mut buyer = Command::new("node");
    buyer.arg(manifest_path("src/tests/peers/ai_sdk_buyer.mjs")).arg(peer);
    let results = tokio::task::block_in_place(|| served.run_buyer("ai-sdk", &mut buyer));
    let object = json!({"town": "Ulm"});
    let model = json!({
        "conversation": [[WORDS, "stop", 6, 3], [WORDS, "stop", 20, 3]],
        "stream": ["word word ", "length", 6, 2],
        "tool": ["c1", "weather", object],
        "loop": [2, WORDS],
        "streamed_loop": [2, WORDS],
        "object": object,
        "streamed_object": object,
        "vision": WORDS,
    });
    let expected = json!({
        "chat": model,
        "responses": model,
        "anthropic": model,
        "reasoning": WORDS,
        "retried": WORDS,
        "completion": "word word ",
        "embedding": [[0.5, 0.5], [1.5, 1.5]],
        "image": PNG,
        "errors": [[401, false], [404, false], [404, false]],
    });
    assert_eq!(results, expected);
    served.stop().await;
}
