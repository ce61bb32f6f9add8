//! Check of embeddings against the validator's own server.

use serde_json::{Map, Value};
use taonet_nineteen_core::checker::embedding::{parse_vectors, quality, similarity};

use crate::{CheckError, CheckResult, CheckingServer};

/// A model on an OpenAI-compatible embedding server that the validator runs.
#[derive(Debug, Clone)]
pub struct EmbeddingReference {
    server: CheckingServer,
    model: String,
}

impl EmbeddingReference {
    /// Creates a reference from the model with this name on a server.
    pub fn new(server: CheckingServer, model: impl Into<String>) -> Self {
        Self { server, model: model.into() }
    }

    pub(crate) async fn check(
        &self,
        payload: &Map<String, Value>,
        answer: &[Value],
    ) -> Result<CheckResult, CheckError> {
        let texts = payload
            .get("input")
            .and_then(Value::as_array)
            .ok_or(CheckError::MalformedSample("no input"))?;
        let Some(returned) = answer.first().and_then(|answer| parse_vectors(answer, texts.len()))
        else {
            return Ok(CheckResult::failed(&"malformed answer"));
        };
        let mut request = payload.clone();
        request.insert("model".to_owned(), self.model.as_str().into());
        let expected = self.server.post("/embeddings", &request).await?;
        let expected = parse_vectors(&expected, texts.len())
            .ok_or(CheckError::Malformed("has no vector for some texts"))?;
        let similarity = similarity(&returned, &expected);
        Ok(CheckResult {
            quality: Some(quality(similarity)),
            reason: format!("cosine similarity {similarity:.4}"),
        })
    }
}
