use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use taonet_http::testing::listen;
use taonet_lm::server::router;
use taonet_lm::{EngineSettings, LanguageModel, Message, Sampling};
use taonet_nineteen_core::scoring::ScoringProfile;
use taonet_nineteen_images::{PaintRequest, Picture, paint, worker_answer};

use super::*;

mod spread;

fn model(layers: usize, seed: u64) -> Arc<LanguageModel> {
    Arc::new(LanguageModel::random("m", layers, seed).unwrap())
}

fn payload() -> Map<String, Value> {
    let messages = json!([{"role": "user", "content": "What is stan?"}]);
    let payload =
        json!({"messages": messages, "temperature": 0.7, "top_k": 5, "seed": 11, "max_tokens": 30});
    payload.as_object().unwrap().clone()
}

/// Returns the chunks of a miner's answer from this model, in the format of the endpoint.
fn answer(model: &LanguageModel, endpoint: Endpoint) -> Vec<Value> {
    let messages = [Message { role: "user".to_owned(), content: "What is stan?".to_owned() }];
    let prompt = match endpoint {
        Endpoint::Completions => model.completion_prompt("What is stan?").unwrap(),
        _ => model.chat_prompt(&messages, false).unwrap(),
    };
    // With random weights, some answers end at once: use the first seed with a longer answer.
    let sampling = (11..).map(|seed| Sampling {
        temperature: 0.7,
        top_k: 5,
        seed,
        max_tokens: 30,
        ..Sampling::default()
    });
    let is_long = |sampling: &Sampling| model.generate(prompt.clone(), *sampling).count() > 5;
    let sampling = sampling.take(100).find(is_long).unwrap();
    let chunk = |step: taonet_lm::Step| {
        let text = model.vocabulary().text(step.token);
        match endpoint {
            Endpoint::Completions => {
                json!({"choices": [{"text": text, "logprobs": {"token_logprobs": [step.logprob]}}]})
            }
            _ => {
                json!({"choices": [{"delta": {"content": text}, "logprobs": {"content": [{"logprob": step.logprob}]}}]})
            }
        }
    };
    model.generate(prompt, sampling).map(|step| chunk(step.unwrap())).collect()
}

fn reference(address: SocketAddr) -> OpenAiReference {
    let base = format!("http://{address}/v1").parse().unwrap();
    OpenAiReference::new(CheckingServer::new(&base, None, Duration::from_mins(1)).unwrap(), "m")
}

/// Starts a proxy of the model's server that does not support `prompt_logprobs`.
async fn without_prompt_logprobs(model: Arc<LanguageModel>, status: u16) -> SocketAddr {
    let inner = listen(router(model, EngineSettings::default()).unwrap()).await;
    let forward = move |path: &'static str| {
        move |Json(body): Json<Value>| async move {
            if body.get("prompt_logprobs").is_some() {
                let status = axum::http::StatusCode::from_u16(status).unwrap();
                return (status, Json(json!({"choices": []})));
            }
            let request = reqwest::Client::new().post(format!("http://{inner}{path}")).json(&body);
            (
                axum::http::StatusCode::OK,
                Json(request.send().await.unwrap().json::<Value>().await.unwrap()),
            )
        }
    };
    let chat = "/v1/chat/completions";
    let completions = "/v1/completions";
    listen(
        Router::new()
            .route(chat, post(forward(chat)))
            .route(completions, post(forward(completions))),
    )
    .await
}

async fn quality(
    model: &dyn ReferenceModel,
    endpoint: Endpoint,
    chunks: &[Value],
    profile: ScoringProfile,
) -> f64 {
    let mut payload = payload();
    if endpoint == Endpoint::Completions {
        payload.insert("prompt".to_owned(), "What is stan?".into());
    }
    check_text(model, endpoint, &payload, chunks, profile, |count| count / 2)
        .await
        .unwrap()
        .quality
        .unwrap()
}

#[tokio::test]
async fn answer_of_the_same_model_passes_and_of_another_fails() {
    let own = model(4, 1);
    let server = listen(router(Arc::clone(&own), EngineSettings::default()).unwrap()).await;
    let (rejecting_server, ignoring_server) = (
        without_prompt_logprobs(Arc::clone(&own), 400).await,
        without_prompt_logprobs(Arc::clone(&own), 200).await,
    );
    let models: [Box<dyn ReferenceModel>; 4] = [
        Box::new(LocalReference::new(Arc::clone(&own))),
        Box::new(reference(server)),
        Box::new(reference(rejecting_server)),
        Box::new(reference(ignoring_server)),
    ];
    for endpoint in [Endpoint::Chat, Endpoint::Completions] {
        let (honest, cheat) = (answer(&own, endpoint), answer(&model(2, 9), endpoint));
        assert!(honest.len() > 5 && cheat.len() > 5);
        for (index, reference) in models.iter().enumerate() {
            for profile in [ScoringProfile::Reference, ScoringProfile::Later] {
                let good = quality(reference.as_ref(), endpoint, &honest, profile).await;
                let bad = quality(reference.as_ref(), endpoint, &cheat, profile).await;
                assert!(good == 1.0 && bad < 0.5, "{index} {endpoint:?} {profile:?}: {good} {bad}");
            }
        }
    }
}

#[tokio::test]
async fn answer_with_invented_probabilities_fails() {
    let own = model(4, 1);
    let reference = LocalReference::new(Arc::clone(&own));
    let mut chunks = answer(&own, Endpoint::Chat);
    for chunk in &mut chunks {
        chunk["choices"][0]["logprobs"]["content"][0]["logprob"] = json!(-9.0);
    }
    let actual = quality(&reference, Endpoint::Chat, &chunks, ScoringProfile::Reference).await;
    assert!(actual < 0.5, "{actual}");
}

#[tokio::test]
async fn malformed_answer_has_zero_quality() {
    let reference = LocalReference::new(model(2, 1));
    for chunks in [vec![], vec![json!({})], vec![json!({"choices": [{"delta": {"content": "a"}}]})]]
    {
        assert_eq!(
            quality(&reference, Endpoint::Chat, &chunks, ScoringProfile::Reference).await,
            0.0
        );
    }
    // The answer is longer than requested.
    let long = vec![answer(&model(2, 1), Endpoint::Chat)[0].clone(); 31];
    assert_eq!(quality(&reference, Endpoint::Chat, &long, ScoringProfile::Later).await, 0.0);
    // The chunk's text is not a token of the model.
    let unknown_token_chunk = json!({"choices": [{"delta": {"content": "notatoken"}, "logprobs": {"content": [{"logprob": -0.1}]}}]});
    assert_eq!(
        quality(&reference, Endpoint::Chat, &[unknown_token_chunk], ScoringProfile::Reference)
            .await,
        0.0
    );
}

/// A busy or broken checking server yields an error, never a score. In the reference, a busy server
/// returns the ID of the running job, whose score then counts for another miner.
#[tokio::test]
async fn failing_checking_server_gives_no_score() {
    let chunks = answer(&model(2, 1), Endpoint::Chat);
    for status in [409, 429, 500, 503] {
        let status = axum::http::StatusCode::from_u16(status).unwrap();
        let busy = move || async move { (status, "busy with another job") };
        let server = listen(Router::new().route("/v1/chat/completions", post(busy))).await;
        let (server, payload) = (reference(server), payload());
        let check = check_text(
            &server,
            Endpoint::Chat,
            &payload,
            &chunks,
            ScoringProfile::Reference,
            |_| 0,
        );
        let error = check.await.unwrap_err();
        assert!(matches!(error, CheckError::Refused { .. }) && !error.is_final(), "{error}");
    }
    let too_long =
        || async { (axum::http::StatusCode::BAD_REQUEST, "maximum context length exceeded") };
    let server =
        reference(listen(Router::new().route("/v1/chat/completions", post(too_long))).await);
    let result =
        check_text(&server, Endpoint::Chat, &payload(), &chunks, ScoringProfile::Reference, |_| 0)
            .await;
    assert!(result.unwrap_err().is_final());
    let garbage =
        listen(Router::new().route("/v1/chat/completions", post(|| async { "garbage" }))).await;
    let result = check_text(
        &reference(garbage),
        Endpoint::Chat,
        &payload(),
        &chunks,
        ScoringProfile::Reference,
        |_| 0,
    )
    .await;
    assert!(matches!(result, Err(CheckError::Malformed(_))), "{result:?}");
}

async fn checking_server(router: Router) -> CheckingServer {
    let base = format!("http://{}", listen(router).await).parse().unwrap();
    CheckingServer::new(&base, None, Duration::from_mins(1)).unwrap()
}

async fn check(
    reference: &Reference,
    endpoint: Endpoint,
    payload: Value,
    answer: Value,
) -> CheckResult {
    let (payload, profile) = (payload.as_object().unwrap().clone(), ScoringProfile::Reference);
    reference.check(endpoint, &payload, &[answer], profile, |_| 0).await.unwrap()
}

fn picture(clip: [f64; 3], hash: &str) -> Value {
    let hashes = json!({
        "average_hash": hash, "perceptual_hash": hash, "difference_hash": hash, "color_hash": "07038000000",
    });
    json!({"image_b64": "aW1hZ2U=", "is_nsfw": false, "clip_embeddings": clip, "image_hashes": hashes})
}

/// The checking server is a painter. The requested image has quality 1, even if it is recompressed;
/// an image of another prompt or of fewer steps has less.
#[tokio::test]
async fn image_of_another_request_has_lower_quality() {
    let server = checking_server(taonet_nineteen_images::router()).await;
    let reference = Reference::Image(ImageReference::new(server, None));
    let request = |extra_fields: Value| {
        let mut request =
            json!({"prompt": "a red boat", "steps": 8, "width": 576, "height": 576, "seed": 7});
        request.as_object_mut().unwrap().extend(extra_fields.as_object().unwrap().clone());
        request
    };
    let painted = |endpoint, request: &Value| {
        paint(&PaintRequest::parse(endpoint, request.as_object().unwrap()).unwrap())
    };
    let photo = painted(Endpoint::TextToImage, &request(json!({"prompt": "hills"})));
    let image = |picture: &Picture| worker_answer(picture).unwrap()["image_b64"].clone();
    let pixel = |index: u32| if index % 576 < 288 { 255 } else { 0 };
    let mask = image(&Picture::from_grey(576, 576, (0..576 * 576).map(pixel).collect()).unwrap());
    let photo = image(&photo);
    for (endpoint, extra_fields) in [
        (Endpoint::TextToImage, json!({})),
        (Endpoint::ImageToImage, json!({"init_image": photo, "image_strength": 0.3})),
        (Endpoint::Inpaint, json!({"init_image": photo, "mask_image": mask})),
        (
            Endpoint::Avatar,
            json!({"init_image": photo, "ipadapter_strength": 0.3, "control_strength": 0.5}),
        ),
    ] {
        let request = request(extra_fields);
        let quality = async |picture: &Picture| {
            let answer = worker_answer(picture).unwrap();
            check(&reference, endpoint, request.clone(), answer).await.quality.unwrap()
        };
        let picture = painted(endpoint, &request);
        assert_eq!(quality(&picture).await, 1.0, "{endpoint:?}");
        let recompressed = Picture::decode(&picture.to_jpeg(85).unwrap()).unwrap();
        assert_eq!(quality(&recompressed).await, 1.0, "{endpoint:?}");
        for (field, value) in [("prompt", json!("a blue house")), ("steps", json!(5))] {
            let mut other = request.clone();
            other[field] = value;
            let quality = quality(&painted(endpoint, &other)).await;
            let is_lower =
                if endpoint == Endpoint::TextToImage { quality < 0.5 } else { quality < 1.0 };
            assert!(is_lower, "{endpoint:?} {field}: {quality}");
        }
    }
}

#[tokio::test]
async fn images_are_compared_with_those_of_the_validator() {
    // The server returns the same hashes and embedding for each request.
    let paint_image = |Json(request): Json<Value>| async move {
        assert_eq!((&request["model"], &request["seed"]), (&json!("dreamshaper"), &json!(7)));
        Json(picture([0.1, 0.2, 0.3], "0123456789abcdef"))
    };
    let server = checking_server(Router::new().route("/text-to-image", post(paint_image))).await;
    let reference = Reference::Image(ImageReference::new(server, Some("dreamshaper".to_owned())));
    let request = json!({"prompt": "a cat", "seed": 7, "model": "dreamshaper-text-to-image"});
    let quality = async |answer| {
        check(&reference, Endpoint::TextToImage, request.clone(), answer).await.quality
    };
    assert_eq!(quality(picture([0.1, 0.2, 0.3], "0123456789abcdef")).await, Some(1.0));
    let other = quality(picture([0.3, -0.2, 0.1], "fedcba9876543210")).await;
    assert!(other.is_some_and(|quality| quality < 0.1), "{other:?}");
    assert_eq!(quality(json!({"image_b64": "aW1hZ2U=", "is_nsfw": false})).await, Some(0.0));
    assert_eq!(quality(json!({"image_b64": 7})).await, Some(0.0));
    // If the server returns no hashes and embedding, nothing can be compared.
    let without_hashes = || async { Json(json!({"image_b64": "aW1hZ2U=", "is_nsfw": false})) };
    let server = checking_server(Router::new().route("/avatar", post(without_hashes))).await;
    let reference = Reference::Image(ImageReference::new(server, None));
    let answer = picture([0.1, 0.2, 0.3], "0123456789abcdef");
    assert_eq!(
        check(&reference, Endpoint::Avatar, json!({"prompt": "a"}), answer.clone()).await.quality,
        None
    );
    // The server lacks the route.
    let missing = reference
        .check(Endpoint::Inpaint, &Map::new(), &[answer], ScoringProfile::Reference, |_| 0)
        .await
        .unwrap_err();
    assert!(missing.is_final(), "{missing}");
}

#[tokio::test]
async fn embeddings_are_compared_with_those_of_the_validator() {
    let own = model(2, 1);
    let address = listen(router(Arc::clone(&own), EngineSettings::default()).unwrap()).await;
    let base = format!("http://{address}/v1").parse().unwrap();
    let server = CheckingServer::new(&base, None, Duration::from_mins(1)).unwrap();
    let reference = Reference::Embedding(EmbeddingReference::new(server, "m"));
    let request = json!({"input": ["What is stan?", "The train is late."], "model": "embed"});
    let answer = |model: &LanguageModel, texts: [&str; 2]| {
        let entry = |index: usize| json!({"index": index, "embedding": model.embed(texts[index]).unwrap().0});
        json!({"data": [entry(0), entry(1)]})
    };
    let quality = async |answer| {
        check(&reference, Endpoint::Embeddings, request.clone(), answer).await.quality
    };
    let texts = ["What is stan?", "The train is late."];
    assert_eq!(quality(answer(&own, texts)).await, Some(1.0));
    // The second vector is of the first text, or both are of another model.
    assert_eq!(quality(answer(&own, [texts[0], texts[0]])).await, Some(0.0));
    assert_eq!(quality(answer(&model(2, 9), texts)).await, Some(0.0));
    assert_eq!(quality(json!({"data": []})).await, Some(0.0));
}
