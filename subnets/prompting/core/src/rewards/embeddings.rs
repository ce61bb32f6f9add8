use super::{Completion, Prompt, RewardModel};

/// Returns the cosine similarity of embeddings of unit length.
fn similarity(one: &[f32], other: &[f32]) -> f64 {
    one.iter().zip(other).map(|(one, other)| f64::from(*one) * f64::from(*other)).sum()
}

/// Reward for relevance: the cosine similarity of the embeddings of question and answer; opposite
/// meanings count as 0.
#[derive(Debug, Clone, Copy)]
pub struct Relevance;

impl RewardModel for Relevance {
    fn name(&self) -> &'static str {
        "relevance"
    }

    fn rewards(&self, prompt: &Prompt, completions: &[Completion]) -> Vec<f64> {
        let reward = |completion: &Completion| {
            similarity(&prompt.embedding, &completion.embedding).clamp(0.0, 1.0)
        };
        completions.iter().map(reward).collect()
    }
}

/// Reward for diversity: 1 less the similarity to the most similar answer of another miner. Copies
/// of an answer have the reward 0.
#[derive(Debug, Clone, Copy)]
pub struct Diversity;

impl RewardModel for Diversity {
    fn name(&self) -> &'static str {
        "diversity"
    }

    fn rewards(&self, _: &Prompt, completions: &[Completion]) -> Vec<f64> {
        let nearest = |index: usize, completion: &Completion| {
            let others = completions
                .iter()
                .enumerate()
                .filter(|(other, text)| *other != index && !text.is_empty());
            others
                .map(|(_, other)| similarity(&completion.embedding, &other.embedding))
                .fold(0.0, f64::max)
        };
        let reward = |(index, completion): (usize, &Completion)| {
            (1.0 - nearest(index, completion)).clamp(0.0, 1.0)
        };
        completions.iter().enumerate().map(reward).collect()
    }
}
