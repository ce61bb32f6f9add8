use super::{
    Completion, Diversity, Length, Likelihood, Originality, Prompt, Relevance, Repetition,
    RewardModel, Speed,
};

/// The reward of a completion, with what it consists of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reward {
    /// The reward, in `0.0..=1.0`.
    pub total: f64,
    /// The rewards of the single aspects by name: first those that are averaged, then the factors.
    pub parts: Vec<(&'static str, f64)>,
}

/// Weights of the reward models that a [`Blend`] averages. Only their ratios count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlendWeights {
    /// Weight of relevance.
    pub relevance: f64,
    /// Weight of the length.
    pub length: f64,
    /// Weight of diversity.
    pub diversity: f64,
    /// Weight of the likelihood under the validator's language model; without one, it does not
    /// count.
    pub likelihood: f64,
}

impl Default for BlendWeights {
    /// Returns the weights of the subnet: relevance counts 4, length 2, diversity 1 and likelihood
    /// 3.
    fn default() -> Self {
        Self { relevance: 4.0, length: 2.0, diversity: 1.0, likelihood: 3.0 }
    }
}

/// Several reward models as one: the weighted mean of some, multiplied by others. An aspect without
/// which an answer has no value, such as originality, is a factor.
#[derive(Default)]
pub struct Blend {
    means: Vec<(f64, Box<dyn RewardModel>)>,
    factors: Vec<Box<dyn RewardModel>>,
}

impl Blend {
    /// Creates the blend of the subnet: the weighted mean of relevance, length, diversity and, if
    /// the validator has a language model, likelihood; originality, repetition and speed are
    /// factors.
    pub fn standard(weights: BlendWeights, has_language_model: bool) -> Self {
        let BlendWeights { relevance, length, diversity, likelihood } = weights;
        let blend = Self::default()
            .mean(relevance, Relevance)
            .mean(length, Length::default())
            .mean(diversity, Diversity);
        let blend = if has_language_model { blend.mean(likelihood, Likelihood) } else { blend };
        blend.factor(Originality).factor(Repetition).factor(Speed)
    }

    /// Adds a model to the weighted mean. A weight that is not positive counts as 0.
    #[must_use]
    pub fn mean(mut self, weight: f64, model: impl RewardModel + 'static) -> Self {
        self.means.push((weight.max(0.0), Box::new(model)));
        self
    }

    /// Adds a factor.
    #[must_use]
    pub fn factor(mut self, model: impl RewardModel + 'static) -> Self {
        self.factors.push(Box::new(model));
        self
    }

    /// Returns the reward of each completion, in their order. An empty completion is worth 0.
    pub fn rewards(&self, prompt: &Prompt, completions: &[Completion]) -> Vec<Reward> {
        let sum: f64 = self.means.iter().map(|(weight, _)| weight).sum();
        let mut rewards = vec![Reward::default(); completions.len()];
        for (weight, model) in &self.means {
            for (reward, value) in
                rewards.iter_mut().zip(clamped_rewards(model.as_ref(), prompt, completions))
            {
                reward.total += if sum > 0.0 { weight * value / sum } else { 0.0 };
                reward.parts.push((model.name(), value));
            }
        }
        for model in &self.factors {
            for (reward, value) in
                rewards.iter_mut().zip(clamped_rewards(model.as_ref(), prompt, completions))
            {
                reward.total *= value;
                reward.parts.push((model.name(), value));
            }
        }
        rewards
    }
}

/// Returns the values of a model within their range; those of empty completions are 0.
fn clamped_rewards(
    model: &dyn RewardModel,
    prompt: &Prompt,
    completions: &[Completion],
) -> Vec<f64> {
    let rewarded_completions = model.rewards(prompt, completions).into_iter().zip(completions);
    let clamp = |value: f64| if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) };
    rewarded_completions
        .map(|(value, completion)| if completion.is_empty() { 0.0 } else { clamp(value) })
        .collect()
}

impl std::fmt::Debug for Blend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let means: Vec<_> =
            self.means.iter().map(|(weight, model)| (model.name(), weight)).collect();
        let factors: Vec<_> = self.factors.iter().map(|model| model.name()).collect();
        f.debug_struct("Blend").field("means", &means).field("factors", &factors).finish()
    }
}
