//! Reward models: what completions of a prompt are worth.

mod blend;
mod embeddings;
mod likelihood;
mod text;

pub use blend::{Blend, BlendWeights, Reward};
pub use embeddings::{Diversity, Relevance};
pub use likelihood::Likelihood;
pub use text::{Length, Originality, Repetition};

/// A prompt that miners complete.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prompt {
    /// Texts of its messages.
    pub messages: Vec<String>,
    /// Embedding of its last message, of unit length.
    pub embedding: Vec<f32>,
}

/// A miner's completion of a prompt, with what the validator has computed from it. A miner that
/// gave none has an empty text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Completion {
    /// The text.
    pub text: String,
    /// Embedding of the text, of unit length.
    pub embedding: Vec<f32>,
    /// Log-probability of each token of the text after the prompt, under the validator's language
    /// model.
    pub logprobs: Vec<f64>,
    /// Time that the miner took, as a share of the deadline.
    pub elapsed: f64,
}

impl Completion {
    /// Whether the text has no words, so that it is worth nothing.
    pub fn is_empty(&self) -> bool {
        !self.text.contains(char::is_alphanumeric)
    }
}

/// A reward model: values completions under one aspect.
pub trait RewardModel: Send + Sync {
    /// Returns the name of the aspect in reports.
    fn name(&self) -> &'static str;

    /// Returns a number in `0.0..=1.0` for each completion, in their order.
    fn rewards(&self, prompt: &Prompt, completions: &[Completion]) -> Vec<f64>;
}

/// Reward for speed: 1 up to a tenth of the deadline, and less from there, to 0 at the deadline.
#[derive(Debug, Clone, Copy)]
pub struct Speed;

impl RewardModel for Speed {
    fn name(&self) -> &'static str {
        "speed"
    }

    fn rewards(&self, _: &Prompt, completions: &[Completion]) -> Vec<f64> {
        completions
            .iter()
            .map(|completion| ((1.0 - completion.elapsed) / 0.9).clamp(0.0, 1.0))
            .collect()
    }
}

#[cfg(test)]
mod tests;
