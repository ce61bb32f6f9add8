use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;

async fn post(path: &str, body: &Value) -> (StatusCode, String) {
    let model = Arc::new(LanguageModel::random("small", 2, 1).unwrap());
    let request = axum::http::Request::post(path).body(Body::from(body.to_string())).unwrap();
    let response =
        router(model, EngineSettings::default()).unwrap().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

fn chat(extra_fields: &Value) -> Value {
    let mut body = json!({
        "model": "small", "messages": [{"role": "user", "content": "stan"}], "max_tokens": 6, "seed": 3, "top_k": 5,
        "logprobs": true, "top_logprobs": 5,
    });
    body.as_object_mut().unwrap().extend(extra_fields.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn streamed_and_complete_responses_are_equal() {
    let (status, complete) = post("/v1/chat/completions", &chat(&json!({}))).await;
    let complete: Value = serde_json::from_str(&complete).unwrap();
    assert_eq!(status, 200);
    let options = json!({"stream": true, "stream_options": {"include_usage": true}});
    let (_, stream) = post("/v1/chat/completions", &chat(&options)).await;
    let events: Vec<_> =
        stream.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    let (last, chunks) = events.split_last().unwrap();
    assert_eq!(*last, "[DONE]");
    let chunks: Vec<Value> =
        chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect();
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk.pointer("/choices/0/delta/content")?.as_str())
        .collect();
    assert_eq!(complete["choices"][0]["message"]["content"], text);
    assert_eq!(chunks.last().unwrap()["usage"], complete["usage"]);
    assert_eq!(
        chunks[chunks.len() - 2]["choices"][0]["finish_reason"],
        complete["choices"][0]["finish_reason"]
    );
    assert_eq!(
        chunks[0].pointer("/choices/0/logprobs/content/0"),
        complete.pointer("/choices/0/logprobs/content/0")
    );
}

#[tokio::test]
async fn prompt_log_probabilities_are_returned() {
    let (_, response) = post("/v1/chat/completions", &chat(&json!({}))).await;
    let response: Value = serde_json::from_str(&response).unwrap();
    let content = response.pointer("/choices/0/message/content").unwrap().as_str().unwrap();
    let generated = response.pointer("/choices/0/logprobs/content").unwrap().as_array().unwrap();
    let messages =
        json!([{"role": "user", "content": "stan"}, {"role": "assistant", "content": content}]);
    let options = json!({"messages": messages, "continue_final_message": true, "prompt_logprobs": 5, "max_tokens": 1});
    let (_, scored) = post("/v1/chat/completions", &chat(&options)).await;
    let scored: Value = serde_json::from_str(&scored).unwrap();
    let positions = scored["prompt_logprobs"].as_array().unwrap();
    assert_eq!(positions[0], Value::Null);
    for (generated, position) in
        generated.iter().zip(&positions[positions.len() - generated.len()..])
    {
        let scored_token = position.as_object().unwrap().values().next().unwrap();
        assert_eq!(scored_token["decoded_token"], generated["token"]);
        let difference =
            scored_token["logprob"].as_f64().unwrap() - generated["logprob"].as_f64().unwrap();
        assert!(difference.abs() < 1e-3, "{difference}");
    }
}

#[tokio::test]
async fn text_completions_have_their_own_format() {
    let body = json!({"prompt": "stan", "max_tokens": 3, "temperature": 0, "logprobs": 2});
    let (status, response) = post("/v1/completions", &body).await;
    let response: Value = serde_json::from_str(&response).unwrap();
    assert_eq!((status, &response["object"]), (StatusCode::OK, &json!("text_completion")));
    let logprobs = &response["choices"][0]["logprobs"];
    assert_eq!(
        logprobs["tokens"].as_array().unwrap().len(),
        logprobs["token_logprobs"].as_array().unwrap().len()
    );
}

#[tokio::test]
async fn invalid_field_is_named_in_the_error() {
    for (path, body, param) in [
        ("/v1/chat/completions", json!({}), json!("messages")),
        ("/v1/chat/completions", json!([]), json!(null)),
        ("/v1/chat/completions", chat(&json!({"messages": []})), json!("messages")),
        (
            "/v1/chat/completions",
            chat(&json!({"messages": [{"role": "user", "content": 7}]})),
            json!("messages"),
        ),
        ("/v1/chat/completions", chat(&json!({"temperature": 3})), json!("temperature")),
        ("/v1/chat/completions", chat(&json!({"stop": "a"})), json!("stop")),
        ("/v1/chat/completions", chat(&json!({"min_tokens": 2})), json!("min_tokens")),
        ("/v1/chat/completions", chat(&json!({"ignore_eos": true})), json!("ignore_eos")),
        (
            "/v1/chat/completions",
            chat(&json!({"skip_special_tokens": false})),
            json!("skip_special_tokens"),
        ),
        (
            "/v1/chat/completions",
            chat(
                &json!({"min_tokens": 0, "ignore_eos": false, "structured_outputs": {"regex": "a"}}),
            ),
            json!("structured_outputs"),
        ),
        ("/v1/chat/completions", chat(&json!({"n": 2})), json!("n")),
        ("/v1/chat/completions", chat(&json!({"stream": 1})), json!("stream")),
        ("/v1/completions", json!({"prompt": ["a"]}), json!("prompt")),
    ] {
        let (status, response) = post(path, &body).await;
        let response: Value = serde_json::from_str(&response).unwrap();
        assert_eq!(
            (status, &response["error"]["param"]),
            (StatusCode::BAD_REQUEST, &param),
            "{body}"
        );
    }
    let long = chat(&json!({"messages": [{"role": "user", "content": "~".repeat(5_000)}]}));
    assert_eq!(post("/v1/chat/completions", &long).await.0, 400);
}

#[tokio::test]
async fn embeddings_have_both_encodings() {
    let embed = async |input: Value, format: &str| {
        post(
            "/v1/embeddings",
            &json!({"model": "small", "input": input, "encoding_format": format}),
        )
        .await
    };
    let (status, response) = embed(json!(["stan", "tron in", "stan"]), "float").await;
    let response: Value = serde_json::from_str(&response).unwrap();
    assert_eq!((status, &response["object"]), (StatusCode::OK, &json!("list")));
    let data = response["data"].as_array().unwrap();
    let vector = |index: usize| -> Vec<f64> {
        assert_eq!(data[index]["index"], index);
        data[index]["embedding"]
            .as_array()
            .unwrap()
            .iter()
            .map(|number| number.as_f64().unwrap())
            .collect()
    };
    let cosine = |one: usize, other: usize| -> f64 {
        vector(one).iter().zip(vector(other)).map(|(a, b)| a * b).sum()
    };
    assert!((cosine(0, 0) - 1.0).abs() < 1e-5 && (cosine(0, 2) - 1.0).abs() < 1e-5);
    assert!(cosine(0, 1) < 0.99, "{}", cosine(0, 1));
    // Each of the three texts has the BOS token and one to three tokens of text.
    let tokens = response["usage"]["prompt_tokens"].as_u64().unwrap();
    assert_eq!(response["usage"]["total_tokens"], tokens);
    assert!((6..=12).contains(&tokens), "{tokens}");
    let (_, encoded) = embed(json!("stan"), "base64").await;
    let encoded: Value = serde_json::from_str(&encoded).unwrap();
    let encoded = encoded["data"][0]["embedding"].as_str().unwrap();
    assert_eq!(encoded.len(), (vector(0).len() * 4).div_ceil(3) * 4);
    for (body, param) in [
        (json!({"model": "small"}), "input"),
        (json!({"input": []}), "input"),
        (json!({"input": [1, 2]}), "input"),
        (json!({"input": ""}), "input"),
        (json!({"input": "a", "encoding_format": "int8"}), "encoding_format"),
        (json!({"input": "a", "dimensions": 7}), "dimensions"),
        (json!({"input": "~".repeat(5_000)}), "input"),
    ] {
        let (status, response) = post("/v1/embeddings", &body).await;
        let response: Value = serde_json::from_str(&response).unwrap();
        assert_eq!(
            (status, &response["error"]["param"]),
            (StatusCode::BAD_REQUEST, &json!(param)),
            "{response}"
        );
    }
}
