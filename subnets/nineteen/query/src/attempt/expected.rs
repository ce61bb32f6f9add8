//! Properties of an answer that its request determines.

use serde_json::Value;
use taonet_nineteen_core::task::TaskType;
use taonet_nineteen_core::work::{embedding_work, image_work, text_work};

use crate::Payload;
use crate::embedding::ignored_dimensions;
use crate::failure::AttemptError;

/// Properties of an answer that its request determines, by the type of the task.
pub(super) enum ExpectedAnswer {
    /// A text. Its work depends on its length.
    Text,
    /// An image.
    Image {
        /// Work in denoising steps.
        work: f64,
    },
    /// Embeddings.
    Embedding {
        /// Work in tokens.
        work: f64,
        /// Requested number of dimensions.
        dimensions: Option<u64>,
    },
}

impl ExpectedAnswer {
    /// Returns what the payload of a request determines.
    pub(super) fn new(task_type: TaskType, payload: &Payload) -> Self {
        match task_type {
            TaskType::Text => Self::Text,
            TaskType::Image => {
                let steps = payload.get("steps").and_then(Value::as_u64).unwrap_or(1);
                Self::Image { work: image_work(u32::try_from(steps).unwrap_or(u32::MAX)) }
            }
            TaskType::Embedding => Self::Embedding {
                work: embedding_work(payload.shared_fields()),
                dimensions: payload.get("dimensions").and_then(Value::as_u64),
            },
        }
    }

    /// Whether the answer is a text.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Text)
    }

    /// Returns the work of an answer with this many characters of text, in tokens or steps.
    pub(super) fn work(&self, characters: usize) -> f64 {
        match self {
            Self::Text => text_work(characters),
            Self::Image { work } | Self::Embedding { work, .. } => *work,
        }
    }

    /// Checks an answer that is not streamed.
    pub(super) fn check(&self, answer: &Value) -> Result<(), AttemptError> {
        let is_valid = match self {
            Self::Text => has_entries(answer, "choices"),
            Self::Image { .. } => {
                let image = answer.get("image_b64").and_then(Value::as_str);
                image.is_some_and(|image| !image.is_empty())
                    || answer.get("is_nsfw") == Some(&Value::Bool(true))
            }
            Self::Embedding { .. } => has_entries(answer, "data"),
        };
        if !is_valid {
            return Err(AttemptError::InvalidBody("no image, embedding or choice"));
        }
        if let Self::Embedding { dimensions: Some(requested), .. } = self
            && let Some(dimensions) = ignored_dimensions(answer, *requested)
        {
            return Err(AttemptError::WrongDimensions(dimensions));
        }
        Ok(())
    }
}

/// Whether the field `name` is an array with at least one entry.
fn has_entries(answer: &Value, name: &str) -> bool {
    answer.get(name).and_then(Value::as_array).is_some_and(|entries| !entries.is_empty())
}
