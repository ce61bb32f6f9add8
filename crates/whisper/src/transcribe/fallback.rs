//! Temperature fallback: accepts a window's text, or decodes the window again at a higher
//! temperature.

use crate::options::Options;
use crate::search::Hypothesis;

/// Result of decoding at one temperature.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attempt {
    pub(super) tokens: Vec<u32>,
    pub(super) temperature: f64,
    pub(super) average_log_probability: f64,
    pub(super) compression_ratio: f64,
    pub(super) no_speech_probability: f32,
}

/// Decision on the latest attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Accept,
    Retry,
}

impl Attempt {
    /// Creates an attempt. Unlike the hypothesis' score, the average log probability includes the
    /// end of text in the length.
    pub(super) fn new(
        hypothesis: Hypothesis,
        no_speech_probability: f32,
        temperature: f64,
        compression_ratio: f64,
        length_penalty: f64,
    ) -> Self {
        let length = hypothesis.tokens.len() as f64;
        let total = f64::from(hypothesis.score) * length.powf(length_penalty);
        Self {
            tokens: hypothesis.tokens,
            temperature,
            average_log_probability: total / (length + 1.0),
            compression_ratio,
            no_speech_probability,
        }
    }

    fn is_repetitive(&self, options: &Options) -> bool {
        options
            .compression_ratio_threshold
            .is_some_and(|threshold| self.compression_ratio > threshold)
    }

    /// Returns whether an attempt is not repetitive: as in the reference, only if the threshold is
    /// set.
    fn is_varied(&self, options: &Options) -> bool {
        options.compression_ratio_threshold.is_some() && !self.is_repetitive(options)
    }

    fn is_uncertain(&self, options: &Options) -> bool {
        options.log_prob_threshold.is_some_and(|threshold| self.average_log_probability < threshold)
    }

    fn is_probably_silent(&self, options: &Options, threshold_factor: f64) -> bool {
        options.no_speech_threshold.is_some_and(|threshold| {
            f64::from(self.no_speech_probability) > threshold * threshold_factor
        })
    }
}

/// Decides on the latest attempt. An uncertain attempt in a probably silent window is accepted; any
/// other uncertain or repetitive attempt is retried.
pub(super) fn decide(options: &Options, attempts: &[Attempt]) -> Decision {
    let Some(attempt) = attempts.last() else { return Decision::Retry };
    let is_uncertain = attempt.is_uncertain(options);
    if is_uncertain && attempt.is_probably_silent(options, 1.0) {
        return Decision::Accept;
    }
    if is_uncertain || attempt.is_repetitive(options) { Decision::Retry } else { Decision::Accept }
}

/// Chooses an attempt: the latest if it is accepted. Otherwise chooses the most probable
/// non-repetitive attempt (the most probable of all if all are repetitive), and reports it with the
/// last temperature.
pub(super) fn choose(options: &Options, attempts: Vec<Attempt>) -> Option<Attempt> {
    if decide(options, &attempts) == Decision::Accept {
        return attempts.into_iter().next_back();
    }
    let temperature = attempts.last()?.temperature;
    let any_varied = attempts.iter().any(|attempt| attempt.is_varied(options));
    let mut best: Option<&Attempt> = None;
    for attempt in attempts.iter().filter(|attempt| !any_varied || attempt.is_varied(options)) {
        if best.is_none_or(|best| attempt.average_log_probability > best.average_log_probability) {
            best = Some(attempt);
        }
    }
    Some(Attempt { temperature, ..best?.clone() })
}

/// Returns whether to skip a window as silent: no speech is probable, and the text is uncertain. The
/// options' threshold of probability is multiplied by `threshold_factor`.
pub(super) fn is_silent(options: &Options, attempt: &Attempt, threshold_factor: f64) -> bool {
    let is_certain = options
        .log_prob_threshold
        .is_some_and(|threshold| attempt.average_log_probability > threshold);
    attempt.is_probably_silent(options, threshold_factor) && !is_certain
}

#[cfg(test)]
mod tests;
