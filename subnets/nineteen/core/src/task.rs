//! Tasks that miners serve and validators check.

mod name;

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use taonet_primitives::Seconds;

pub use name::{TaskName, TaskNameError};

/// Type of a task, which determines the task's unit of work and which miners serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskType {
    /// Chat and completions; work in tokens.
    Text,
    /// Images; work in denoising steps.
    Image,
    /// Embeddings; work in tokens.
    Embedding,
}

/// A route of a miner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Endpoint {
    /// Chat completions: `/chat/completions`.
    #[serde(rename = "/chat/completions")]
    Chat,
    /// Text completions: `/completions`.
    #[serde(rename = "/completions")]
    Completions,
    /// Embeddings of texts: `/embeddings`.
    #[serde(rename = "/embeddings")]
    Embeddings,
    /// Images from a prompt: `/text-to-image`.
    #[serde(rename = "/text-to-image")]
    TextToImage,
    /// Images from a prompt and an image: `/image-to-image`.
    #[serde(rename = "/image-to-image")]
    ImageToImage,
    /// Avatars from an image of a face: `/avatar`.
    #[serde(rename = "/avatar")]
    Avatar,
    /// Images with a masked part replaced: `/inpaint`.
    #[serde(rename = "/inpaint")]
    Inpaint,
    /// Upscaled images: `/upscale`.
    #[serde(rename = "/upscale")]
    Upscale,
    /// CLIP embeddings of images: `/clip-embeddings`.
    #[serde(rename = "/clip-embeddings")]
    ClipEmbeddings,
}

impl Endpoint {
    /// Every route that a miner may serve.
    pub const ALL: [Self; 9] = [
        Self::Chat,
        Self::Completions,
        Self::Embeddings,
        Self::TextToImage,
        Self::ImageToImage,
        Self::Avatar,
        Self::Inpaint,
        Self::Upscale,
        Self::ClipEmbeddings,
    ];

    /// Returns the path, with its leading `/`.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Completions => "/completions",
            Self::Embeddings => "/embeddings",
            Self::TextToImage => "/text-to-image",
            Self::ImageToImage => "/image-to-image",
            Self::Avatar => "/avatar",
            Self::Inpaint => "/inpaint",
            Self::Upscale => "/upscale",
            Self::ClipEmbeddings => "/clip-embeddings",
        }
    }

    /// Returns the task type of the route.
    pub const fn task_type(self) -> TaskType {
        match self {
            Self::Chat | Self::Completions => TaskType::Text,
            Self::Embeddings => TaskType::Embedding,
            _ => TaskType::Image,
        }
    }
}

/// Configuration of the server that checks the answers of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckerConfig {
    /// Type of the checking server: `llm_server` or `image_server`.
    pub server_needed: ServerKind,
    /// Options of the model, such as `model`, `half_precision`, `tokenizer`, `max_model_len`,
    /// `gpu_utilization`.
    #[serde(default)]
    pub load_model_config: Map<String, Value>,
    /// Comparison that the checker runs.
    pub checking_function: CheckingFunction,
}

/// Type of a checking server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerKind {
    /// Server of language models.
    LlmServer,
    /// Server of image models.
    ImageServer,
}

/// Comparison that a checker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckingFunction {
    /// Compares log-probabilities of sampled tokens ([`crate::checker::text`]), or, for embedding
    /// tasks, vectors ([`crate::checker::embedding`]).
    CheckTextResult,
    /// Compares hashes and embeddings of images: [`crate::checker::image`].
    CheckImageResult,
}

/// Generator of a task's synthetic requests, with its arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyntheticConfig {
    /// Generator, which must be that of the task's route.
    pub func: Generator,
    /// Arguments of the generator.
    #[serde(default)]
    pub kwargs: Map<String, Value>,
}

/// Generator of synthetic requests. The names are those of the reference, where it has the
/// generator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Generator {
    /// Conversations.
    #[serde(rename = "generate_chat_synthetic")]
    Chat,
    /// Prompts to complete.
    #[serde(rename = "generate_completion_synthetic", alias = "generate_chat_comp_synthetic")]
    Completion,
    /// Texts to embed.
    #[serde(rename = "generate_embedding_synthetic")]
    Embedding,
    /// Descriptions of images.
    #[serde(rename = "generate_text_to_image_synthetic")]
    TextToImage,
    /// Images to change.
    #[serde(rename = "generate_image_to_image_synthetic")]
    ImageToImage,
    /// Images with a masked part.
    #[serde(rename = "generate_inpaint_synthetic")]
    Inpaint,
    /// Images of a face.
    #[serde(rename = "generate_avatar_synthetic")]
    Avatar,
}

impl Generator {
    /// Returns the generator of a route's requests; `None` if the route has none.
    pub const fn for_endpoint(endpoint: Endpoint) -> Option<Self> {
        match endpoint {
            Endpoint::Chat => Some(Self::Chat),
            Endpoint::Completions => Some(Self::Completion),
            Endpoint::Embeddings => Some(Self::Embedding),
            Endpoint::TextToImage => Some(Self::TextToImage),
            Endpoint::ImageToImage => Some(Self::ImageToImage),
            Endpoint::Inpaint => Some(Self::Inpaint),
            Endpoint::Avatar => Some(Self::Avatar),
            Endpoint::Upscale | Endpoint::ClipEmbeddings => None,
        }
    }
}

/// Price of a task for buyers, in credits per 1 000 tokens or steps. The charge for each request is
/// rounded up to a full credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Price {
    /// Credits per 1 000 input tokens.
    pub input: u32,
    /// Credits per 1 000 output tokens.
    pub output: u32,
    /// Credits per 1 000 denoising steps.
    pub step: u32,
}

impl Price {
    /// Returns the price of a text result, in credits.
    pub fn text(&self, input_tokens: u64, output_tokens: u64) -> i64 {
        let thousandths = u128::from(input_tokens) * u128::from(self.input)
            + u128::from(output_tokens) * u128::from(self.output);
        i64::try_from(thousandths.div_ceil(1_000)).unwrap_or(i64::MAX)
    }

    /// Returns the price of an image, in credits.
    pub fn image(&self, steps: u64) -> i64 {
        let thousandths = u128::from(steps) * u128::from(self.step);
        i64::try_from(thousandths.div_ceil(1_000)).unwrap_or(i64::MAX)
    }
}

/// A task of the market. The field names are those of the reference's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// ID of the task, such as `chat-llama-3-1-8b`.
    pub task: TaskName,
    /// Type of the task.
    pub task_type: TaskType,
    /// Maximum accepted capacity per period, in tokens (text, embedding) or steps (image).
    pub max_capacity: f64,
    /// Assumed volume of a synthetic request, in tokens or steps.
    pub volume_to_requests_conversion: f64,
    /// Share of the incentive, before normalisation.
    pub weight: f64,
    /// Timeout for the first chunk of an answer, and between two chunks.
    pub timeout: Seconds,
    /// Whether miners stream the answer.
    pub is_stream: bool,
    /// Route that miners serve for the task.
    pub endpoint: Endpoint,
    /// Configuration of the server that checks the task's results.
    pub orchestrator_server_config: CheckerConfig,
    /// Generator of the task's synthetic requests.
    pub synthetic_generation_config: SyntheticConfig,
    /// Price that buyers pay.
    #[serde(default)]
    pub price: Price,
    /// Whether the validator offers and scores the task.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Whether a sample of the answers is checked. Without checks, the task's miners earn no
    /// weight. A validator without a checking server for the task replaces the value with `false`.
    #[serde(default = "enabled")]
    pub checked: bool,
    /// Public description of the model for miners; default: the checker's `load_model_config`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_info: Option<Map<String, Value>>,
    /// Maximum number of tokens of an answer to a buyer's request that sets none; default: the
    /// rest of the model's context, up to 4 096.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_max_tokens: Option<NonZeroU32>,
    /// Number of tokens for which an image in a chat is charged; default: the model reads no
    /// images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_tokens: Option<NonZeroU32>,
}

const fn enabled() -> bool {
    true
}

/// Public view of a task, for miners and the statistics service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublicTask {
    /// ID of the task.
    pub task: TaskName,
    /// Type of the task.
    pub task_type: TaskType,
    /// Maximum accepted capacity per period, in tokens or steps.
    pub max_capacity: f64,
    /// Public description of the model, or the options with which the checker loads the model.
    #[serde(default)]
    pub model_config: Option<Map<String, Value>>,
    /// Route that miners serve for the task.
    pub endpoint: Endpoint,
    /// Share of the incentive, as configured.
    pub weight: f64,
    /// Timeout for the first chunk of an answer, and between two chunks.
    pub timeout: Seconds,
    /// Number of tokens for which an image in a chat is charged; absent if the task's model reads
    /// no images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_tokens: Option<NonZeroU32>,
}

/// Model option that the public view omits.
const PRIVATE_OPTION: &str = "gpu_utilization";

impl Task {
    /// Returns the length of the model's context in tokens, if the configuration has the option
    /// `max_model_len`.
    pub fn context_length(&self) -> Option<u64> {
        let length =
            |options: &Map<String, Value>| options.get("max_model_len").and_then(Value::as_u64);
        length(&self.orchestrator_server_config.load_model_config)
            .or_else(|| self.model_info.as_ref().and_then(length))
    }

    /// Returns the tokenizer of the task's model, if the configuration names one
    /// (`load_model_config.tokenizer`): a path, or the name of a hub repository.
    pub fn tokenizer(&self) -> Option<&str> {
        self.orchestrator_server_config.load_model_config.get("tokenizer")?.as_str()
    }

    /// Returns whether a buyer's `model` names the task: by its name, optionally with underscores,
    /// without the prefix `chat-` or without the suffix for the route, or by the name of its model.
    pub fn is_named(&self, model: &str) -> bool {
        let (task_name, path) = (self.task.as_str(), self.endpoint.path());
        let is_name = |name: &str| equals_with_hyphens(name, model, b'_');
        let without_suffix = task_name
            .split_at_checked(task_name.len().saturating_sub(path.len()))
            .filter(|(_, suffix)| equals_with_hyphens(suffix, path, b'/'));
        let is_model = |options: &Map<String, Value>| {
            options.get("model").and_then(Value::as_str) == Some(model)
        };
        is_name(task_name)
            || task_name.strip_prefix("chat-").is_some_and(is_name)
            || without_suffix.is_some_and(|(name, _)| is_name(name))
            || is_model(&self.orchestrator_server_config.load_model_config)
            || self.model_info.as_ref().is_some_and(is_model)
    }

    /// Returns the public view of the task.
    pub fn public(&self) -> PublicTask {
        let model_config = self.model_info.clone().unwrap_or_else(|| {
            let mut options = self.orchestrator_server_config.load_model_config.clone();
            options.shift_remove(PRIVATE_OPTION);
            options
        });
        PublicTask {
            task: self.task.clone(),
            task_type: self.task_type,
            max_capacity: self.max_capacity,
            model_config: Some(model_config).filter(|options| !options.is_empty()),
            endpoint: self.endpoint,
            weight: self.weight,
            timeout: self.timeout,
            image_tokens: self.image_tokens,
        }
    }
}

/// Returns whether a name equals a text with hyphens in place of `separator`.
fn equals_with_hyphens(name: &str, text: &str, separator: u8) -> bool {
    name.bytes().eq(text.bytes().map(|byte| if byte == separator { b'-' } else { byte }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Price;
    use crate::MarketConfig;

    #[test]
    fn prices_are_whole_credits_rounded_up() {
        let price = Price { input: 100, output: 400, step: 5_000 };
        for (input, output, credits) in
            [(0, 0, 0), (1, 0, 1), (10, 0, 1), (11, 0, 2), (1_000, 1_000, 500)]
        {
            assert_eq!(price.text(input, output), credits, "{input} {output}");
        }
        assert_eq!(price.image(8), 40);
        assert_eq!(price.text(u64::MAX, u64::MAX), i64::MAX);
    }

    #[test]
    fn public_view_marks_vision_models() {
        let mut task = MarketConfig::default().task("chat-llama-3-2-3b").unwrap().clone();
        assert_eq!(serde_json::to_value(task.public()).unwrap().get("image_tokens"), None);
        task.image_tokens = std::num::NonZeroU32::new(700);
        assert_eq!(serde_json::to_value(task.public()).unwrap()["image_tokens"], json!(700));
    }

    proptest::proptest! {
        /// A price is the exact one, rounded up, or the largest number.
        #[test]
        fn price_is_exact_or_saturates(input: u64, output: u64, prices: [u32; 3]) {
            let [per_input, per_output, step] = prices.map(u128::from);
            let price = Price { input: prices[0], output: prices[1], step: prices[2] };
            let text = u128::from(input) * per_input + u128::from(output) * per_output;
            for (credits, thousandths) in
                [(price.text(input, output), text), (price.image(output), u128::from(output) * step)]
            {
                let credits = u128::try_from(credits).unwrap();
                let is_saturated = credits == u128::from(i64::MAX.unsigned_abs());
                proptest::prop_assert!(credits * 1_000 >= thousandths || is_saturated);
                proptest::prop_assert!(credits == 0 || (credits - 1) * 1_000 < thousandths);
            }
        }
    }

    /// Miners do not see how the checker loads a model.
    #[test]
    fn public_view_omits_checker_configuration() {
        let config = MarketConfig::default();
        let task = config.task("chat-llama-3-2-3b").unwrap();
        let public = serde_json::to_value(task.public()).unwrap();
        assert_eq!(
            public,
            json!({
                "task": "chat-llama-3-2-3b",
                "task_type": "text",
                "max_capacity": 120_000.0,
                "model_config": {
                    "model": "unsloth/Llama-3.2-3B-Instruct",
                    "half_precision": true,
                    "tokenizer": "tau-vision/llama-tokenizer-fix",
                    "max_model_len": 20000,
                },
                "endpoint": "/chat/completions",
                "weight": 0.05,
                "timeout": 2.0,
            })
        );
        assert_eq!(task.orchestrator_server_config.load_model_config["gpu_utilization"], 0.65);
        let image = config.task("avatar").unwrap();
        assert_eq!(image.public().model_config, image.model_info);
    }
}
