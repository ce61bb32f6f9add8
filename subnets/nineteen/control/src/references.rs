//! References of the tasks, against which the validator checks their answers.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use taonet_nineteen_checker::{
    CheckingServer, EmbeddingReference, ImageReference, OpenAiReference, Reference, ReferenceModel,
};
use taonet_nineteen_core::Task;
use taonet_nineteen_core::task::TaskType;

/// The validator's own models, against which it checks the answers.
///
/// The reference of a task is derived from the task's definition, so that a task that is added or
/// changed while the validator runs is checked like any other.
#[derive(Clone, Default)]
pub struct References {
    text: Option<TextSource>,
    images: Option<CheckingServer>,
    embeddings: Option<CheckingServer>,
}

#[derive(Clone)]
enum TextSource {
    /// One model for all tasks.
    Model(Arc<dyn ReferenceModel>),
    /// A server with the models of all tasks, and a model name that replaces the tasks' names.
    Server(CheckingServer, Option<String>),
}

impl References {
    /// Returns references that use one model for all text tasks.
    pub fn for_all(model: Arc<dyn ReferenceModel>) -> Self {
        Self { text: Some(TextSource::Model(model)), ..Self::default() }
    }

    /// Checks text tasks with the models of an OpenAI-compatible server. The model of a task is
    /// `model`, else the task's `load_model_config.model`, else the task's name.
    #[must_use]
    pub fn with_text_server(mut self, server: CheckingServer, model: Option<String>) -> Self {
        self.text = Some(TextSource::Server(server, model));
        self
    }

    /// Checks image tasks with an image server. The model in its requests is the task's
    /// `load_model_config.model`, else the task's name, as in the miners' requests.
    #[must_use]
    pub fn with_image_server(mut self, server: CheckingServer) -> Self {
        self.images = Some(server);
        self
    }

    /// Checks embedding tasks with the models of an OpenAI-compatible server. The model of a task
    /// is its `load_model_config.model`, else the task's name.
    #[must_use]
    pub fn with_embedding_server(mut self, server: CheckingServer) -> Self {
        self.embeddings = Some(server);
        self
    }

    /// Returns the reference of a task; `None` if no model or server checks tasks of its type.
    pub fn for_task(&self, task: &Task) -> Option<Reference> {
        let configured =
            task.orchestrator_server_config.load_model_config.get("model").and_then(Value::as_str);
        let model = configured.unwrap_or(task.task.as_str());
        Some(match task.task_type {
            TaskType::Text => Reference::Text(match self.text.as_ref()? {
                TextSource::Model(model) => Arc::clone(model),
                TextSource::Server(server, model_override) => Arc::new(OpenAiReference::new(
                    server.clone(),
                    model_override.as_deref().unwrap_or(model),
                )),
            }),
            TaskType::Image => Reference::Image(ImageReference::new(
                self.images.clone()?,
                configured.map(str::to_owned),
            )),
            TaskType::Embedding => {
                Reference::Embedding(EmbeddingReference::new(self.embeddings.clone()?, model))
            }
        })
    }
}

impl fmt::Debug for References {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("References")
            .field("text", &self.text.is_some())
            .field("images", &self.images.is_some())
            .field("embeddings", &self.embeddings.is_some())
            .finish()
    }
}
