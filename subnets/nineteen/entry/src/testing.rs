//! Parsers of buyers' requests, for fuzz targets.

use serde_json::{Map, Value};
use taonet_nineteen_core::task::Endpoint;

use crate::embedding::EmbeddingRequest;
use crate::image::ImageRequest;
use crate::request::TextRequest;
use crate::{messages, responses};

/// Parses a body as a request to each route. Returns the miners' payloads of the routes that accept
/// it.
pub fn payloads(body: &[u8]) -> Vec<Map<String, Value>> {
    let texts = [
        TextRequest::parse_chat(body),
        TextRequest::parse_completion(body),
        responses::parse(body).map(|(request, _)| request),
        messages::parse_count(body),
    ];
    let images =
        [ImageRequest::parse_generation(body), ImageRequest::parse_edit(body)].into_iter().chain(
            [Endpoint::TextToImage, Endpoint::ImageToImage, Endpoint::Inpaint, Endpoint::Avatar]
                .map(|endpoint| ImageRequest::parse_reference(body, endpoint)),
        );
    let texts = texts.into_iter().flatten().map(|request| request.payload.into_map());
    let embeddings =
        EmbeddingRequest::parse(body).into_iter().map(|request| request.payload.into_map());
    texts
        .chain(embeddings)
        .chain(images.flatten().map(|request| request.payload.into_map()))
        .collect()
}
