//! Tasks that miners serve and validators check.

mod name;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use taonet_primitives::Seconds;

pub use name::{TaskName, TaskNameError};

/// Type of a task: it determines the unit of work and the miners that serve it.
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
    /// `/chat/completions`
    #[serde(rename = "/chat/completions")]
    Chat,
    /// `/completions`
    #[serde(rename = "/completions")]
    Completions,
    /// `/embeddings`
    #[serde(rename = "/embeddings")]
    Embeddings,
    /// `/text-to-image`
    #[serde(rename = "/text-to-image")]
    TextToImage,
    /// `/image-to-image`
    #[serde(rename = "/image-to-image")]
    ImageToImage,
    /// `/avatar`
    #[serde(rename = "/avatar")]
    Avatar,
    /// `/inpaint`
    #[serde(rename = "/inpaint")]
    Inpaint,
    /// `/upscale`
    #[serde(rename = "/upscale")]
    Upscale,
    /// `/clip-embeddings`
    #[serde(rename = "/clip-embeddings")]
    ClipEmbeddings,
}

impl Endpoint {
    /// All endpoints.
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

/// Configuration of the checking server, sent to it unchanged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckerConfig {
    /// Type of the server that repeats requests: `llm_server` or `image_server`.
    pub server_needed: ServerKind,
    /// Options of the model, such as `model`, `half_precision`, `tokenizer`, `max_model_len`, `gpu_utilization`.
    #[serde(default)]
    pub load_model_config: Map<String, Value>,
    /// The comparison to run.
    pub checking_function: CheckingFunction,
}

/// Type of the server that repeats requests.
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
    /// Log-probabilities of sampled tokens: [`crate::checker::text`].
    CheckTextResult,
    /// Hashes and embeddings: [`crate::checker::image`].
    CheckImageResult,
}

/// Generator of synthetic requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyntheticConfig {
    /// Name of the generator.
    pub func: String,
    /// Arguments of the generator.
    #[serde(default)]
    pub kwargs: Map<String, Value>,
}

/// Price of a task for buyers, in credits per 1 000 tokens or steps. A request costs whole credits, rounded up.
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
        let thousandths =
            u128::from(input_tokens) * u128::from(self.input) + u128::from(output_tokens) * u128::from(self.output);
        i64::try_from(thousandths.div_ceil(1_000)).unwrap_or(i64::MAX)
    }

    /// Returns the price of an image, in credits.
    pub fn image(&self, steps: u64) -> i64 {
        let thousandths = u128::from(steps) * u128::from(self.step);
        i64::try_from(thousandths.div_ceil(1_000)).unwrap_or(i64::MAX)
    }
}

/// A task. The field names are those of the reference's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Id of the task, such as `chat-llama-3-1-8b`.
    pub task: TaskName,
    /// Type of the task.
    pub task_type: TaskType,
    /// Maximum accepted capacity per period, in tokens (text, embedding) or steps (image).
    pub max_capacity: f64,
    /// Assumed volume of a synthetic request, in the same unit.
    pub volume_to_requests_conversion: f64,
    /// Share of the incentive, before normalisation.
    pub weight: f64,
    /// Timeout for the first byte, and for each subsequent one.
    pub timeout: Seconds,
    /// Whether the answer is streamed.
    pub is_stream: bool,
    /// Route on the miner.
    pub endpoint: Endpoint,
    /// Configuration of the server that checks the task's results.
    pub orchestrator_server_config: CheckerConfig,
    /// Generator of the task's synthetic requests.
    pub synthetic_generation_config: SyntheticConfig,
    /// Price for buyers.
    #[serde(default)]
    pub price: Price,
    /// Whether the task is offered and scored.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Public description of the model for miners; default: the checker's options to load it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_info: Option<Map<String, Value>>,
}

const fn enabled() -> bool {
    true
}

/// Public view of a task, for miners and the statistics service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublicTask {
    /// Id of the task.
    pub task: TaskName,
    /// Type of the task.
    pub task_type: TaskType,
    /// Maximum accepted capacity per period, in tokens or steps.
    pub max_capacity: f64,
    /// Public description of the model, or the options to load it.
    #[serde(default)]
    pub model_config: Option<Map<String, Value>>,
    /// Route on the miner.
    pub endpoint: Endpoint,
    /// Normalised share of the incentive.
    pub weight: f64,
    /// Timeout of requests to a miner.
    pub timeout: Seconds,
}

/// Model option that the public view omits.
const PRIVATE_OPTION: &str = "gpu_utilization";

impl Task {
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
        }
    }

    /// Returns the checking server's configuration, sent with each of the task's results.
    pub fn checker_document(&self) -> Value {
        let config = &self.orchestrator_server_config;
        let options = Some(&config.load_model_config).filter(|options| !options.is_empty());
        serde_json::json!({
            "server_needed": config.server_needed,
            "load_model_config": options,
            "checking_function": config.checking_function,
            "task": self.task,
            "endpoint": self.endpoint,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Price;
    use crate::MarketConfig;

    #[test]
    fn prices_are_whole_credits_rounded_up() {
        let price = Price { input: 100, output: 400, step: 5_000 };
        for (input, output, credits) in [(0, 0, 0), (1, 0, 1), (10, 0, 1), (11, 0, 2), (1_000, 1_000, 500)] {
            assert_eq!(price.text(input, output), credits, "{input} {output}");
        }
        assert_eq!(price.image(8), 40);
        assert_eq!(price.text(u64::MAX, u64::MAX), i64::MAX);
    }

    #[test]
    fn miners_are_not_told_how_we_load_a_model() {
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
        // §11.9: the public view does not affect the checker's configuration.
        assert_eq!(task.checker_document()["load_model_config"]["gpu_utilization"], 0.65);
        let image = config.task("avatar").unwrap();
        assert_eq!(image.public().model_config, image.model_info);
        assert_eq!(image.checker_document()["load_model_config"], json!(null));
    }
}
