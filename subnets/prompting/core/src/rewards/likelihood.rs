use super::{Completion, Prompt, RewardModel};

/// Reward for plausible text: the geometric mean of its tokens' probabilities under the validator's
/// language model, which is the inverse of its perplexity. A text without tokens has the reward 0.
#[derive(Debug, Clone, Copy)]
pub struct Likelihood;

impl RewardModel for Likelihood {
    fn name(&self) -> &'static str {
        "likelihood"
    }

    fn rewards(&self, _: &Prompt, completions: &[Completion]) -> Vec<f64> {
        let reward = |completion: &Completion| {
            let logprobs = &completion.logprobs;
            if logprobs.is_empty() || logprobs.iter().any(|logprob| logprob.is_nan()) {
                return 0.0;
            }
            (logprobs.iter().sum::<f64>() / logprobs.len() as f64).exp().clamp(0.0, 1.0)
        };
        completions.iter().map(reward).collect()
    }
}
