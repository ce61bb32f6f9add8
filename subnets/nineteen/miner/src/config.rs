use std::str::FromStr;
use std::time::Duration;

use taonet_nineteen_core::task::{Endpoint, TaskType};
use taonet_nineteen_core::{MarketConfig, TaskName};

/// Configuration of a miner: tasks, concurrency and timeouts.
#[derive(Debug, Clone, PartialEq)]
pub struct MinerConfig {
    /// Type of the tasks; a miner serves tasks of one type only.
    pub task_type: TaskType,
    /// Tasks that the miner serves.
    pub served: Vec<ServedTask>,
    /// Maximum number of concurrent requests; further requests get HTTP status 429.
    pub concurrency: usize,
    /// Timeouts for responses of the backend.
    pub deadlines: Deadlines,
}

/// A task that a miner serves.
#[derive(Debug, Clone, PartialEq)]
pub struct ServedTask {
    /// Name of the task in validators' requests.
    pub task: TaskName,
    /// Name of the model at the backend; default: the task's name.
    pub model: Option<String>,
    /// Capacity shared by all validators, in the task's unit per period; default: the validators'
    /// maximum.
    pub capacity: Option<f64>,
}

impl ServedTask {
    /// Returns the task's endpoint: that of the default task with this name, or that with which the
    /// name ends, as in `dreamshaper-inpaint`.
    pub(crate) fn endpoint(&self, defaults: &MarketConfig) -> Option<Endpoint> {
        let name = self.task.as_str();
        let is_named = |endpoint: &Endpoint| {
            let suffix = endpoint.path().trim_start_matches('/').replace('/', "-");
            name.strip_suffix(suffix.as_str())
                .is_some_and(|start| start.is_empty() || start.ends_with('-'))
        };
        let configured = defaults.task(name).map(|task| task.endpoint);
        configured.or_else(|| Endpoint::ALL.into_iter().find(is_named))
    }
}

/// Timeouts for responses of the miner's backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Timeout for the first chunk of a stream, or for a complete response that is not streamed.
    pub first_chunk: Duration,
    /// Maximum time between two chunks.
    pub between_chunks: Duration,
    /// Timeout for a complete stream.
    pub total: Duration,
}

impl Default for Deadlines {
    /// Returns timeouts of 30 s to the first chunk, 10 s between chunks and 15 minutes in total, as
    /// long as a validator waits.
    fn default() -> Self {
        Self {
            first_chunk: Duration::from_secs(30),
            between_chunks: Duration::from_secs(10),
            total: Duration::from_mins(15),
        }
    }
}

/// Why the text of a [`ServedTask`] cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServedTaskError {
    /// The task's name is malformed.
    #[error(transparent)]
    Task(#[from] taonet_nineteen_core::task::TaskNameError),
    /// The capacity is not a number above 0.
    #[error("capacity {0:?} is not a number above 0")]
    Capacity(String),
}

impl FromStr for ServedTask {
    type Err = ServedTaskError;

    /// Parses `TASK[@CAPACITY][=MODEL]`, such as
    /// `chat-llama-3-1-8b@60000=unsloth/Meta-Llama-3.1-8B-Instruct`.
    fn from_str(text: &str) -> Result<Self, ServedTaskError> {
        let (name, model) = match text.split_once('=') {
            Some((name, model)) => (name, Some(model.to_owned()).filter(|model| !model.is_empty())),
            None => (text, None),
        };
        let (task, capacity) = match name.split_once('@') {
            Some((task, capacity)) => (task, Some(capacity)),
            None => (name, None),
        };
        let number = |text: &str| {
            let number =
                text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
            number.ok_or_else(|| ServedTaskError::Capacity(text.to_owned()))
        };
        Ok(Self { task: task.parse()?, model, capacity: capacity.map(number).transpose()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_name_selects_endpoint() {
        let defaults = MarketConfig::default();
        for (name, endpoint) in [
            ("avatar", Some(Endpoint::Avatar)),
            ("chat-llama-3-1-8b", Some(Endpoint::Chat)),
            ("dreamshaper-inpaint", Some(Endpoint::Inpaint)),
            ("inpaint", Some(Endpoint::Inpaint)),
            ("my-image-to-image", Some(Endpoint::ImageToImage)),
            ("notinpaint", None),
            ("chat-mine", None),
        ] {
            assert_eq!(name.parse::<ServedTask>().unwrap().endpoint(&defaults), endpoint, "{name}");
        }
    }

    #[test]
    fn served_task_is_parsed_with_model_and_capacity() {
        let served = |task: &str, model: Option<&str>, capacity| ServedTask {
            task: task.parse().unwrap(),
            model: model.map(str::to_owned),
            capacity,
        };
        for (text, expected) in [
            ("chat", served("chat", None, None)),
            ("chat=a/b=c@d", served("chat", Some("a/b=c@d"), None)),
            ("chat@600", served("chat", None, Some(600.0))),
            ("chat@6e4=m", served("chat", Some("m"), Some(60_000.0))),
            ("chat=", served("chat", None, None)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", "@5", "chat@", "chat@0", "chat@-1", "chat@nan", "chat@many", "a b"] {
            assert!(text.parse::<ServedTask>().is_err(), "{text}");
        }
    }
}
