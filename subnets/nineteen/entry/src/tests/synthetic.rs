//! Synthetic requests, compared with buyers' requests.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Map, Value};
use taonet_nineteen_control::synthetic::payload;
use taonet_nineteen_core::task::Endpoint;
use taonet_nineteen_core::{MarketConfig, Task};

use crate::embedding::EmbeddingRequest;
use crate::image::ImageRequest;
use crate::request::TextRequest;

/// Returns the payload that miners get for a buyer's request with these fields. As [`crate::sale`],
/// sets the model.
fn miner_payload(task: &Task, mut fields: Map<String, Value>) -> Map<String, Value> {
    let name = task.task.to_string();
    // Names in the buyers' interface.
    if let Some(mask) = fields.shift_remove("mask_image") {
        fields.insert("mask".to_owned(), mask);
    }
    for added in ["stream", "top_k"] {
        fields.shift_remove(added);
    }
    let body = |fields: &Map<String, Value>| serde_json::to_vec(fields).unwrap();
    match task.endpoint {
        Endpoint::Chat => TextRequest::parse_chat(&body(&fields)).unwrap().payload.into_map(),
        Endpoint::Completions => {
            TextRequest::parse_completion(&body(&fields)).unwrap().payload.into_map()
        }
        Endpoint::Embeddings => EmbeddingRequest::parse(&body(&fields)).unwrap().payload.into_map(),
        endpoint => {
            let request = ImageRequest::parse_reference(&body(&fields), endpoint).unwrap();
            let mut payload = request.payload;
            payload.model = request.model.map(|_| name);
            payload.into_map()
        }
    }
}

/// Each synthetic request is one that a buyer could send: the gateway makes the same payload of it,
/// byte for byte, except for the seed, which it maps to another one. Miners cannot recognise it.
#[test]
fn synthetic_requests_are_indistinguishable_from_buyer_requests() {
    let mut task = MarketConfig::default().task("chat-llama-3-1-8b").unwrap().clone();
    let mut random = StdRng::seed_from_u64(1);
    for endpoint in [
        Endpoint::Chat,
        Endpoint::Completions,
        Endpoint::Embeddings,
        Endpoint::TextToImage,
        Endpoint::ImageToImage,
        Endpoint::Avatar,
        Endpoint::Inpaint,
    ] {
        task.endpoint = endpoint;
        let rounds = if matches!(endpoint.path(), "/image-to-image" | "/avatar" | "/inpaint") {
            1
        } else {
            100
        };
        let may_be_unnamed = matches!(endpoint, Endpoint::Avatar | Endpoint::Inpaint);
        for names_task in (0..rounds).map(|_| true).chain(may_be_unnamed.then_some(false)) {
            let mut synthetic_payload = payload(&task, None, names_task, &mut random).unwrap();
            let mut buyer_payload = miner_payload(&task, synthetic_payload.clone());
            let (seed, buyer_seed) =
                (synthetic_payload.shift_remove("seed"), buyer_payload.shift_remove("seed"));
            assert_eq!(buyer_seed.is_some(), seed.is_some());
            assert_eq!(
                Value::from(synthetic_payload).to_string(),
                Value::from(buyer_payload).to_string(),
                "{endpoint:?}"
            );
        }
    }
}
