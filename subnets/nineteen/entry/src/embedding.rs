//! Requests to `/v1/embeddings`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use taonet_nineteen_core::payload::EmbeddingPayload;

use crate::GatewayError;
use crate::request::Fields;

/// Maximum number of texts in a request.
const MAX_TEXTS: usize = 2_048;
/// Maximum number of dimensions of a vector.
const MAX_DIMENSIONS: u64 = 65_536;

/// A parsed embedding request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EmbeddingRequest {
    pub(crate) payload: EmbeddingPayload,
    /// Whether to return vectors as base64-encoded 32-bit floats, as OpenAI's clients request by
    /// default.
    is_base64: bool,
}

impl EmbeddingRequest {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, GatewayError> {
        let mut fields = Fields::parse(body)?;
        let texts = match fields.take("input") {
            // LangChain's default. The ids are those of OpenAI's tokenizers, which no task's model
            // has.
            Some(Value::Array(tokens)) if tokens.iter().any(is_tokens) => {
                let message = "input must be texts, not tokens; hint: with LangChain's OpenAIEmbeddings, set \
                               check_embedding_ctx_length=False";
                return Err(GatewayError::field("input", message));
            }
            Some(Value::String(text)) => Some(vec![text]),
            Some(Value::Array(texts)) => {
                texts.iter().map(|text| text.as_str().map(str::to_owned)).collect()
            }
            _ => None,
        };
        let is_within_limits = |texts: &Vec<String>| {
            (1..=MAX_TEXTS).contains(&texts.len()) && texts.iter().all(|text| !text.is_empty())
        };
        let input = texts.filter(is_within_limits).ok_or_else(|| {
            GatewayError::field(
                "input",
                "input must be a non-empty string or an array of 1..=2048 non-empty strings",
            )
        })?;
        let is_base64 = match fields.take("encoding_format") {
            None => false,
            Some(Value::String(format)) if format == "float" => false,
            Some(Value::String(format)) if format == "base64" => true,
            Some(_) => {
                return Err(GatewayError::field(
                    "encoding_format",
                    "encoding_format must be float or base64",
                ));
            }
        };
        let dimensions = fields.take_integer("dimensions", 1, MAX_DIMENSIONS)?;
        let extra_fields = dimensions
            .map(|dimensions| ("dimensions".to_owned(), dimensions.into()))
            .into_iter()
            .collect();
        let model = fields.take_model()?;
        fields.reject_remaining()?;
        Ok(Self { payload: EmbeddingPayload { input, model, extra_fields }, is_base64 })
    }

    /// Converts a miner's answer to OpenAI's format; returns `None` if a vector is missing or has
    /// the wrong length.
    pub(crate) fn document(&self, answer: &Value, model: &str, tokens: u64) -> Option<Value> {
        let mut vectors_by_index = vec![None; self.payload.input.len()];
        for entry in answer.get("data")?.as_array()? {
            let index = usize::try_from(entry.get("index")?.as_u64()?).ok()?;
            let components = entry.get("embedding")?.as_array()?;
            let components = components.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>()?;
            *vectors_by_index.get_mut(index)? = Some(components);
        }
        let vectors = vectors_by_index.into_iter().collect::<Option<Vec<_>>>()?;
        let dimensions = vectors.first()?.len();
        let requested_dimensions =
            self.payload.extra_fields.get("dimensions").and_then(Value::as_u64);
        if dimensions == 0
            || vectors.iter().any(|vector| vector.len() != dimensions)
            || requested_dimensions.is_some_and(|requested_dimensions| {
                u64::try_from(dimensions).ok() != Some(requested_dimensions)
            })
        {
            return None;
        }
        let entry = |(index, vector): (usize, Vec<f64>)| {
            let embedding = if self.is_base64 {
                let bytes: Vec<u8> =
                    vector.iter().flat_map(|component| (*component as f32).to_le_bytes()).collect();
                Value::from(STANDARD.encode(bytes))
            } else {
                Value::from(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        };
        let data: Vec<_> = vectors.into_iter().enumerate().map(entry).collect();
        let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
        let fields: Map<String, Value> = [
            ("object", json!("list")),
            ("data", data.into()),
            ("model", model.into()),
            ("usage", usage),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect();
        Some(fields.into())
    }
}

/// Returns whether an element of `input` is a token, or an array of tokens.
fn is_tokens(element: &Value) -> bool {
    element.is_number()
        || element.as_array().is_some_and(|tokens| tokens.iter().all(Value::is_number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &Value) -> Result<EmbeddingRequest, GatewayError> {
        EmbeddingRequest::parse(body.to_string().as_bytes())
    }

    #[test]
    fn invalid_field_is_named_in_the_error() {
        for (body, param) in [
            (json!({"model": "a"}), "input"),
            (json!({"model": "a", "input": []}), "input"),
            (json!({"model": "a", "input": [[1, 2]]}), "input"),
            (json!({"model": "a", "input": ["a", ""]}), "input"),
            (json!({"input": "a"}), "model"),
            (json!({"model": "a", "input": "a", "encoding_format": "int8"}), "encoding_format"),
            (json!({"model": "a", "input": "a", "dimensions": 0}), "dimensions"),
            (json!({"model": "a", "input": "a", "truncate": true}), "truncate"),
        ] {
            let error = parse(&body).unwrap_err();
            assert!(
                matches!(&error, GatewayError::InvalidField { param: found, .. } if found == param),
                "{error:?}"
            );
        }
    }

    #[test]
    fn token_ids_as_input_are_refused_with_a_hint() {
        for input in [json!([1, 2]), json!([[1, 2], [3]])] {
            let error = parse(&json!({"model": "a", "input": input})).unwrap_err();
            assert!(error.to_string().contains("check_embedding_ctx_length=False"), "{error}");
        }
    }

    #[test]
    fn embeddings_are_returned_in_the_order_of_the_inputs() {
        let request = parse(&json!({"model": "a", "input": ["x", "y"], "user": "me"})).unwrap();
        let entry = |index: u64, embedding: Value| json!({"index": index, "embedding": embedding});
        // The miner's vectors are out of order.
        let answer = json!({"data": [entry(1, json!([3, 4])), entry(0, json!([0.5, 2]))], "usage": {"prompt_tokens": 9}});
        let document = request.document(&answer, "task", 1).unwrap();
        assert_eq!(
            document["data"][0],
            json!({"object": "embedding", "index": 0, "embedding": [0.5, 2.0]})
        );
        assert_eq!(document["usage"], json!({"prompt_tokens": 1, "total_tokens": 1}));
        for bad in [
            json!({}),
            json!({"data": [entry(0, json!([1]))]}),
            json!({"data": [entry(0, json!([1])), entry(1, json!([1, 2]))]}),
            json!({"data": [entry(0, json!([1])), entry(2, json!([1]))]}),
            json!({"data": [entry(0, json!(["a"])), entry(1, json!([1]))]}),
            json!({"data": [entry(0, json!([])), entry(1, json!([]))]}),
        ] {
            assert_eq!(request.document(&bad, "task", 1), None, "{bad}");
        }
        let base64_request =
            parse(&json!({"model": "a", "input": "x", "encoding_format": "base64"})).unwrap();
        let document =
            base64_request.document(&json!({"data": [entry(0, json!([1.0]))]}), "task", 1).unwrap();
        assert_eq!(document["data"][0]["embedding"], "AACAPw==");
        let sized_request = parse(&json!({"model": "a", "input": "x", "dimensions": 2})).unwrap();
        assert_eq!(
            sized_request.document(&json!({"data": [entry(0, json!([1.0]))]}), "task", 1),
            None
        );
    }
}
