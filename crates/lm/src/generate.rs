//! Token-by-token generation with log-probabilities.

use std::cmp::Ordering;

use crate::splitmix::SplitMix64;
use crate::{KvCache, LanguageModel, ModelError};

/// Sampling parameters of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Temperature: 0 always selects the likeliest token; higher values are more random.
    pub temperature: f64,
    /// Nucleus sampling: only the likeliest tokens with this total probability are candidates.
    pub top_p: f64,
    /// Number of likeliest tokens that are candidates; 0 means no limit.
    pub top_k: usize,
    /// Seed of the random draws.
    pub seed: u64,
    /// Maximum number of tokens in an answer.
    pub max_tokens: usize,
    /// Number of likeliest tokens to report at each step.
    pub top_logprobs: usize,
}

impl Default for Sampling {
    /// Returns the defaults: temperature 1, all tokens as candidates, at most 64 tokens.
    fn default() -> Self {
        Self { temperature: 1.0, top_p: 1.0, top_k: 0, seed: 0, max_tokens: 64, top_logprobs: 0 }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended the answer.
    Stop,
    /// The answer reached the maximum number of tokens or the end of the context.
    Length,
}

impl FinishReason {
    /// Returns the finish reason in OpenAI's protocol.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// A token of an answer with its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The token's ID in the vocabulary.
    pub token: u32,
    /// Natural log-probability of the token, regardless of the sampling parameters.
    pub logprob: f64,
    /// The likeliest tokens with their log-probabilities, the likeliest first.
    pub top: Vec<(u32, f64)>,
}

/// Sampler of one answer's tokens from the model's logits.
#[derive(Debug)]
pub(crate) struct Sampler {
    sampling: Sampling,
    generator: SplitMix64,
    tokens: usize,
    finish_reason: Option<FinishReason>,
}

impl Sampler {
    pub(crate) fn new(sampling: Sampling) -> Self {
        let finish_reason = (sampling.max_tokens == 0).then_some(FinishReason::Length);
        Self { generator: SplitMix64::new(sampling.seed), sampling, tokens: 0, finish_reason }
    }

    pub(crate) const fn finish_reason(&self) -> Option<FinishReason> {
        self.finish_reason
    }

    /// Draws the next token from these logits, or returns `None` at the end of the answer.
    /// `processed_tokens` is the number of tokens that the model has processed: an answer that
    /// fills the context ends.
    pub(crate) fn draw(
        &mut self,
        model: &LanguageModel,
        mut logits: Vec<f32>,
        processed_tokens: usize,
    ) -> Option<Step> {
        let vocabulary = model.vocabulary();
        vocabulary.mask_unused(&mut logits);
        let softmax = LogSoftmax::new(&logits);
        let top = match self.sampling.top_logprobs {
            0 => Vec::new(),
            count => likeliest(&softmax.logprobs(&logits), count),
        };
        // The first token must not be the end token. Other special tokens have no text, so that a
        // checker, which reads the text, could not tell where they were.
        let is_first = self.tokens == 0;
        let is_excluded = |token: u32| {
            if vocabulary.end_tokens().contains(&token) {
                is_first
            } else {
                vocabulary.is_special(token)
            }
        };
        let token = choose(&logits, &self.sampling, &mut self.generator, is_excluded);
        if vocabulary.end_tokens().contains(&token) {
            self.finish_reason = Some(FinishReason::Stop);
            return None;
        }
        self.tokens += 1;
        if self.tokens >= self.sampling.max_tokens
            || processed_tokens >= model.llama().config().context
        {
            self.finish_reason = Some(FinishReason::Length);
        }
        let logit = logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
        Some(Step { token, logprob: softmax.logprob(logit), top })
    }
}

/// An answer in progress: an iterator over its tokens.
#[derive(Debug)]
pub struct Generation<'a> {
    model: &'a LanguageModel,
    cache: KvCache,
    pending: Vec<u32>,
    sampler: Sampler,
}

impl<'a> Generation<'a> {
    pub(crate) fn new(model: &'a LanguageModel, prompt: Vec<u32>, sampling: Sampling) -> Self {
        Self { model, cache: KvCache::default(), pending: prompt, sampler: Sampler::new(sampling) }
    }

    /// Returns the finish reason; `None` while the answer is in progress.
    pub const fn finish_reason(&self) -> Option<FinishReason> {
        self.sampler.finish_reason()
    }

    fn step(&mut self) -> Result<Option<Step>, ModelError> {
        let logits = self.model.llama().next(&self.pending, &mut self.cache)?;
        let step = self.sampler.draw(self.model, logits, self.cache.tokens());
        self.pending = step.iter().map(|step| step.token).collect();
        Ok(step)
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Step, ModelError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finish_reason().is_some() {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.sampler.finish_reason = Some(FinishReason::Stop);
        }
        step.transpose()
    }
}

/// Converts logits to log-probabilities one by one.
struct LogSoftmax {
    max_logit: f32,
    /// Logarithm of the sum of all tokens' weights, of which the largest is 1.
    log_sum: f64,
}

impl LogSoftmax {
    fn new(logits: &[f32]) -> Self {
        let max_logit = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|logit| f64::from(logit - max_logit).exp()).sum();
        Self { max_logit, log_sum: sum.ln() }
    }

    /// Returns the log-probability of a token with this logit.
    fn logprob(&self, logit: f32) -> f64 {
        f64::from(logit - self.max_logit) - self.log_sum
    }

    fn logprobs(&self, logits: &[f32]) -> Vec<f64> {
        logits.iter().map(|logit| self.logprob(*logit)).collect()
    }
}

/// Computes the log-probabilities of logits.
pub(crate) fn log_softmax(logits: &[f32]) -> Vec<f64> {
    LogSoftmax::new(logits).logprobs(logits)
}

/// Returns the token with the largest logit, the first one of equal logits: greedy decoding.
pub fn greedy_token(logits: &[f32]) -> u32 {
    largest_of((0..).zip(logits))
}

/// Returns the token with the largest logit that is not excluded, the first one of equal logits.
fn likeliest_included(logits: &[f32], is_excluded: impl Fn(u32) -> bool) -> u32 {
    // Few tokens are excluded, so that it is usually the likeliest of all.
    let likeliest = greedy_token(logits);
    if !is_excluded(likeliest) {
        return likeliest;
    }
    largest_of((0..).zip(logits).filter(|(token, _)| !is_excluded(*token)))
}

fn largest_of<'a>(logits: impl Iterator<Item = (u32, &'a f32)>) -> u32 {
    let largest = logits
        .max_by(|(one_id, one), (other_id, other)| one.total_cmp(other).then(other_id.cmp(one_id)));
    largest.map_or(0, |(token, _)| token)
}

/// Returns the `count` likeliest tokens, the likeliest first.
pub(crate) fn likeliest(logprobs: &[f64], count: usize) -> Vec<(u32, f64)> {
    if count == 0 {
        return Vec::new();
    }
    let mut entries: Vec<(u32, f64)> = (0..).zip(logprobs.iter().copied()).collect();
    keep_largest(&mut entries, count);
    entries
}

/// Compares entries by descending value, and by token ID if they are equal.
fn descending(one: &(u32, f64), other: &(u32, f64)) -> Ordering {
    other.1.total_cmp(&one.1).then(one.0.cmp(&other.0))
}

/// Keeps the `count` largest entries, sorted in descending order; ties are sorted by token ID.
fn keep_largest(entries: &mut Vec<(u32, f64)>, count: usize) {
    if let Some(last) = count.checked_sub(1).filter(|last| *last < entries.len()) {
        entries.select_nth_unstable_by(last, descending);
        entries.truncate(count);
    }
    entries.sort_unstable_by(descending);
}

/// Entries in descending order. Only those that are read are sorted: a draw reads few of the many
/// tokens of a vocabulary.
struct LazilySorted {
    entries: Vec<(u32, f64)>,
    /// Number of entries that are sorted and before all others.
    sorted: usize,
}

impl LazilySorted {
    /// Number of entries that are sorted first.
    const FIRST_SORTED: usize = 64;

    const fn new(entries: Vec<(u32, f64)>) -> Self {
        Self { entries, sorted: 0 }
    }

    /// Returns the entry of this rank.
    fn get(&mut self, rank: usize) -> Option<(u32, f64)> {
        while rank >= self.sorted {
            let remaining =
                self.entries.get_mut(self.sorted..).filter(|remaining| !remaining.is_empty())?;
            // Each time, a multiple of the sorted entries, so that a long read does not sort often.
            let count = (7 * self.sorted).max(Self::FIRST_SORTED).min(remaining.len());
            if count < remaining.len() {
                remaining.select_nth_unstable_by(count, descending);
            }
            if let Some(next) = remaining.get_mut(..count) {
                next.sort_unstable_by(descending);
            }
            self.sorted += count;
        }
        self.entries.get(rank).copied()
    }
}

/// Draws a token that is not excluded. Excluded tokens count among the `top_k` likeliest: a checker
/// expects each token among as many of all tokens.
fn choose(
    logits: &[f32],
    sampling: &Sampling,
    generator: &mut SplitMix64,
    is_excluded: impl Fn(u32) -> bool,
) -> u32 {
    if sampling.temperature <= 0.0 {
        return likeliest_included(logits, is_excluded);
    }
    let mut candidates: Vec<(u32, f64)> =
        (0..).zip(logits.iter().map(|logit| f64::from(*logit))).collect();
    if sampling.top_k > 0 {
        keep_largest(&mut candidates, sampling.top_k);
    }
    candidates.retain(|(token, _)| !is_excluded(*token));
    if candidates.is_empty() {
        return likeliest_included(logits, is_excluded);
    }
    let max_logit = candidates.iter().map(|(_, logit)| *logit).fold(f64::NEG_INFINITY, f64::max);
    let weight = |logit: f64| ((logit - max_logit) / sampling.temperature).exp();
    let sum: f64 = candidates.iter().map(|(_, logit)| weight(*logit)).sum();
    let (mut candidate_count, mut candidate_sum) = (candidates.len(), sum);
    let mut sorted_candidates = LazilySorted::new(candidates);
    if sampling.top_p < 1.0 {
        (candidate_count, candidate_sum) = (0, 0.0);
        while let Some((_, logit)) = sorted_candidates.get(candidate_count) {
            candidate_count += 1;
            candidate_sum += weight(logit);
            if candidate_sum >= sampling.top_p * sum {
                break;
            }
        }
    }
    let mut target = generator.uniform() * candidate_sum;
    for rank in 0..candidate_count {
        let Some((token, logit)) = sorted_candidates.get(rank) else { break };
        target -= weight(logit);
        if target < 0.0 {
            return token;
        }
    }
    sorted_candidates.get(0).map_or(0, |(token, _)| token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one() {
        let logprobs = log_softmax(&[1.0, 2.0, 1_000.0, -1_000.0]);
        let sum: f64 = logprobs.iter().map(|logprob| logprob.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-12);
        assert_eq!(
            likeliest(&logprobs, 2).iter().map(|(token, _)| *token).collect::<Vec<_>>(),
            [2, 1]
        );
    }

    /// Columns: logits · token
    #[test]
    fn greedy_token_is_the_first_of_the_largest() {
        for (logits, token) in [
            (&[][..], 0),
            (&[-1.0, 2.0, 1.0], 1),
            (&[0.5, 3.0, 3.0], 1),
            (&[f32::NEG_INFINITY, f32::NEG_INFINITY], 0),
        ] {
            assert_eq!(greedy_token(logits), token, "{logits:?}");
        }
    }

    /// Like `choose`, with all candidates sorted.
    fn choose_sorted(logits: &[f32], sampling: &Sampling, generator: &mut SplitMix64) -> u32 {
        let mut order: Vec<(u32, f64)> = (0..).zip(logits.iter().copied().map(f64::from)).collect();
        let candidates = if sampling.top_k == 0 { order.len() } else { sampling.top_k };
        keep_largest(&mut order, candidates);
        let largest = order[0].1;
        for (_, weight) in &mut order {
            *weight = ((*weight - largest) / sampling.temperature).exp();
        }
        let sum: f64 = order.iter().map(|(_, weight)| weight).sum();
        let mut kept_sum = 0.0_f64;
        order.retain(|(_, weight)| {
            let is_kept = kept_sum < sampling.top_p * sum;
            if is_kept {
                kept_sum += weight;
            }
            is_kept
        });
        let mut target = generator.uniform() * kept_sum;
        let selected = order.iter().find(|(_, weight)| {
            target -= weight;
            target < 0.0
        });
        selected.unwrap_or(&order[0]).0
    }

    #[test]
    fn sampling_equals_sampling_from_sorted_candidates() {
        // Some logits are equal.
        let mut generator = SplitMix64::new(3);
        let logits: Vec<f32> =
            (0..3_000).map(|_| (generator.normal() * 20.0).round() as f32 / 10.0).collect();
        for (temperature, top_p, top_k) in [
            (1.0, 1.0, 0),
            (0.7, 0.9, 0),
            (2.0, 0.999, 0),
            (0.3, 1.0, 0),
            (1.0, 0.5, 100),
            (1.5, 1.0, 1),
            (1.0, 1.0, 5_000),
        ] {
            let sampling = Sampling { temperature, top_p, top_k, ..Sampling::default() };
            let (mut generator, mut sorted_generator) = (SplitMix64::new(9), SplitMix64::new(9));
            for _ in 0..200 {
                assert_eq!(
                    choose(&logits, &sampling, &mut generator, |_| false),
                    choose_sorted(&logits, &sampling, &mut sorted_generator),
                    "{sampling:?}"
                );
            }
        }
    }

    #[test]
    fn sampling_options_restrict_the_candidates() {
        let logits = [0.0, 3.0, 2.0, 1.0];
        let count_draws = |sampling: Sampling| {
            let mut generator = SplitMix64::new(5);
            let mut counts = [0_u32; 4];
            for _ in 0..2_000 {
                counts[choose(&logits, &sampling, &mut generator, |_| false) as usize] += 1;
            }
            counts
        };
        let all_counts = count_draws(Sampling::default());
        assert!(
            all_counts.iter().all(|count| *count > 20)
                && all_counts[1] > all_counts[2]
                && all_counts[2] > all_counts[3],
            "{all_counts:?}"
        );
        assert_eq!(
            count_draws(Sampling { temperature: 0.0, ..Sampling::default() }),
            [0, 2_000, 0, 0]
        );
        let top_k_counts = count_draws(Sampling { top_k: 2, ..Sampling::default() });
        assert!(
            top_k_counts[0] == 0 && top_k_counts[3] == 0 && top_k_counts[2] > 0,
            "{top_k_counts:?}"
        );
        // The likeliest token has a probability of 0.64, the two likeliest together 0.88.
        let top_p_counts = count_draws(Sampling { top_p: 0.7, ..Sampling::default() });
        assert!(
            top_p_counts[0] == 0 && top_p_counts[3] == 0 && top_p_counts[2] > 0,
            "{top_p_counts:?}"
        );
    }

    /// Columns: temperature · top_k · excluded tokens · tokens that are drawn
    #[test]
    fn excluded_tokens_count_among_the_candidates() {
        let logits = [0.0, 3.0, 2.0, 1.0];
        for (temperature, top_k, excluded, expected) in [
            (1.0, 2, &[1][..], &[2][..]),
            (1.0, 3, &[1], &[2, 3]),
            (1.0, 0, &[1], &[0, 2, 3]),
            (0.0, 0, &[1], &[2]),
            // All candidates are excluded: the likeliest other token.
            (1.0, 2, &[1, 2], &[3]),
            (1.0, 1, &[1], &[2]),
        ] {
            let sampling = Sampling { temperature, top_k, ..Sampling::default() };
            let mut generator = SplitMix64::new(5);
            let mut drawn_tokens: Vec<u32> = (0..500)
                .map(|_| {
                    choose(&logits, &sampling, &mut generator, |token| excluded.contains(&token))
                })
                .collect();
            drawn_tokens.sort_unstable();
            drawn_tokens.dedup();
            assert_eq!(drawn_tokens, expected, "{sampling:?}, excluded: {excluded:?}");
        }
    }
}
