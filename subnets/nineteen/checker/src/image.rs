//! Check of image answers against the validator's own image server.

use serde_json::{Map, Value};
use taonet_nineteen_core::checker::image::{ImageAnswer, quality};
use taonet_nineteen_core::task::Endpoint;

use crate::{CheckError, CheckResult, CheckingServer};

/// An image server that the validator runs, with the routes of the reference's image workers:
/// `/text-to-image`, `/image-to-image`, `/avatar` and `/inpaint`. It generates the image from the
/// same request, and returns its hashes and its embedding.
#[derive(Debug, Clone)]
pub struct ImageReference {
    server: CheckingServer,
    model: Option<String>,
}

impl ImageReference {
    /// Creates a reference from an image server. `model` replaces the model in the requests, which
    /// is the task's name.
    pub const fn new(server: CheckingServer, model: Option<String>) -> Self {
        Self { server, model }
    }

    pub(crate) async fn check(
        &self,
        endpoint: Endpoint,
        payload: &Map<String, Value>,
        answer: &[Value],
    ) -> Result<CheckResult, CheckError> {
        let Some(image) = answer.first().and_then(parse_answer) else {
            return Ok(CheckResult::failed(&"malformed answer"));
        };
        let mut payload = payload.clone();
        if let (Some(model), true) = (&self.model, payload.contains_key("model")) {
            payload.insert("model".to_owned(), model.as_str().into());
        }
        let expected = self.server.post(endpoint.path(), &payload).await?;
        let expected =
            parse_answer(&expected).ok_or(CheckError::Malformed("is not an image answer"))?;
        Ok(match quality(&image, &expected) {
            Some(quality) => CheckResult {
                quality: Some(quality),
                reason: format!("image of quality {quality:.4}"),
            },
            None => CheckResult {
                quality: None,
                reason: "the checking server sent no hashes or no embedding".to_owned(),
            },
        })
    }
}

fn parse_answer(answer: &Value) -> Option<ImageAnswer> {
    serde_json::from_value(answer.clone()).ok()
}
