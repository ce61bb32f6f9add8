//! Decoding of one window as in CTranslate2: beam search at temperature 0, best-of-n sampling above
//! it.

use std::sync::Arc;

use crate::decoder::{Cache, EncoderMemory, Row, Slot};
use crate::kernel::{log_sum_exp, softmax};
use crate::rules::Rules;

mod random;
mod top;

use random::Random;
use top::{Candidate, TopCandidates};

/// Decoding strategy of a window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Strategy {
    /// Beam search over a number of beams until `round(beams · patience)` hypotheses are complete.
    Beam { beams: usize, patience: f32 },
    /// Independent samples at a temperature, from seeded random numbers.
    Sample { count: usize, temperature: f32, seed: u64 },
}

/// A finished sequence of tokens with its score.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hypothesis {
    /// Tokens after the prompt, without the end of text.
    pub(crate) tokens: Vec<u32>,
    /// Sum of log probabilities, including the end of text, divided by length ^ penalty.
    pub(crate) score: f32,
}

/// Input and limits of a search.
pub(crate) struct SearchTask {
    pub(crate) memory: Arc<EncoderMemory>,
    pub(crate) prompt: Vec<u32>,
    /// Position of the start-of-transcript token in the prompt.
    pub(crate) transcript_start: usize,
    pub(crate) rules: Arc<Rules>,
    pub(crate) strategy: Strategy,
    pub(crate) length_penalty: f32,
    /// Maximum number of generated tokens, including the end of text.
    pub(crate) max_tokens: usize,
    /// Token whose probability at the start-of-transcript token is the no-speech probability.
    pub(crate) no_speech_token: u32,
}

struct Beam {
    tokens: Vec<u32>,
    slots: Vec<Slot>,
    score: f32,
}

/// Step-by-step decoding of one window. Cache slots are released at the end.
pub(crate) struct Search {
    task: SearchTask,
    beams: Vec<Beam>,
    ended: Vec<Hypothesis>,
    step: usize,
    /// Whether the best candidate of some step so far was complete.
    top_beam_finished: bool,
    no_speech_probability: f32,
    random: Random,
}

impl Search {
    pub(crate) fn new(task: SearchTask) -> Self {
        let seed = if let Strategy::Sample { seed, .. } = task.strategy { seed } else { 0 };
        Self {
            task,
            beams: vec![Beam { tokens: Vec::new(), slots: Vec::new(), score: 0.0 }],
            ended: Vec::new(),
            step: 0,
            top_beam_finished: false,
            no_speech_probability: 0.0,
            random: Random::new(seed),
        }
    }

    /// Returns the input and limits of this search.
    #[cfg(test)]
    pub(crate) fn task(&self) -> &SearchTask {
        &self.task
    }

    /// Returns the window's cross-attention keys and values.
    pub(crate) fn memory(&self) -> &Arc<EncoderMemory> {
        &self.task.memory
    }

    /// Appends the rows of the next step to `rows`, and the indices of the rows that need logits to
    /// `logit_rows`. The first step decodes the complete prompt.
    pub(crate) fn rows(
        &mut self,
        cache: &mut Cache,
        memory: usize,
        rows: &mut Vec<Row>,
        logit_rows: &mut Vec<usize>,
    ) {
        if self.step == 0 {
            for (position, &token) in self.task.prompt.iter().enumerate() {
                for beam in &mut self.beams {
                    beam.slots.push(cache.allocate());
                    if position == self.task.transcript_start
                        || position + 1 == self.task.prompt.len()
                    {
                        logit_rows.push(rows.len());
                    }
                    rows.push(Row { token, position, memory, slots: beam.slots.clone() });
                }
            }
            return;
        }
        for beam in &mut self.beams {
            beam.slots.push(cache.allocate());
            logit_rows.push(rows.len());
            let token = beam.tokens.last().copied().unwrap_or(0);
            let position = self.task.prompt.len() + self.step - 1;
            rows.push(Row { token, position, memory, slots: beam.slots.clone() });
        }
    }

    /// Advances the search by the logits of the requested rows; each row has one logit for each of
    /// the `tokens` tokens of the vocabulary. Returns the best hypothesis and the no-speech
    /// probability once the search is complete.
    pub(crate) fn advance(
        &mut self,
        cache: &mut Cache,
        mut logits: &mut [f32],
        tokens: usize,
    ) -> Option<(Hypothesis, f32)> {
        if self.step == 0 {
            let no_speech_token = self.task.no_speech_token as usize;
            if let Some((start, _)) = logits.split_at_mut_checked(tokens) {
                let (total, _) = log_sum_exp(start);
                self.no_speech_probability =
                    start.get(no_speech_token).map_or(0.0, |logit| (logit - total).exp());
            }
            if self.task.transcript_start + 1 < self.task.prompt.len() {
                logits = logits.split_at_mut_checked(tokens).map(|(_, next_rows)| next_rows)?;
            }
        }
        for (beam, logits) in self.beams.iter().zip(logits.chunks_exact_mut(tokens)) {
            self.task.rules.apply(logits, &beam.tokens);
        }
        let is_last = self.step + 1 >= self.task.max_tokens;
        let is_done = match self.task.strategy {
            Strategy::Beam { beams, patience } => {
                self.advance_beams(cache, logits, tokens, beams, patience, is_last)
            }
            Strategy::Sample { count, temperature, .. } => {
                self.advance_samples(cache, logits, tokens, count, temperature, is_last)
            }
        };
        self.step += 1;
        if !is_done {
            return None;
        }
        self.release(cache);
        let best = self.ended.iter().max_by(|a, b| a.score.total_cmp(&b.score))?;
        // On a tie, the earliest hypothesis is best.
        let best =
            self.ended.iter().find(|hypothesis| hypothesis.score.total_cmp(&best.score).is_eq())?;
        Some((best.clone(), self.no_speech_probability))
    }

    /// Releases all cache slots.
    pub(crate) fn release(&mut self, cache: &mut Cache) {
        for beam in self.beams.drain(..) {
            cache.release(&beam.slots);
        }
    }

    fn finish(&mut self, tokens: Vec<u32>, score: f32) {
        let score = score / (tokens.len() as f32).powf(self.task.length_penalty);
        self.ended.push(Hypothesis { tokens, score });
    }

    #[allow(clippy::float_cmp)] // Same comparison as in the reference.
    fn advance_beams(
        &mut self,
        cache: &mut Cache,
        logits: &[f32],
        tokens: usize,
        beams: usize,
        patience: f32,
        is_last: bool,
    ) -> bool {
        // Twice as many candidates as beams: if half of them are complete, the others continue.
        let mut top = TopCandidates::new(2 * beams);
        for (index, (beam, logits)) in
            self.beams.iter().zip(logits.chunks_exact(tokens)).enumerate()
        {
            let (total, _) = log_sum_exp(logits);
            top.scan(index, logits, |logit| (logit - total) + beam.score);
        }
        let candidates = top.into_sorted();
        let end_of_text = self.task.rules.end_of_text;
        let mut next_spare = beams;
        let mut survivors = Vec::with_capacity(beams);
        let mut ended = Vec::new();
        for (k, candidate) in candidates.iter().take(beams).enumerate() {
            let mut next = k;
            if candidate.token == end_of_text || is_last {
                self.top_beam_finished |= k == 0;
                ended.push(*candidate);
                let replacement = candidates
                    .iter()
                    .enumerate()
                    .skip(next_spare)
                    .find(|(_, candidate)| candidate.token != end_of_text);
                if let Some((index, _)) = replacement {
                    next = index;
                    next_spare = index + 1;
                }
            }
            survivors.extend(candidates.get(next).copied());
        }
        for candidate in ended {
            let mut tokens = self.tokens_of(candidate);
            if candidate.token == end_of_text {
                tokens.pop();
            }
            self.finish(tokens, candidate.score);
        }
        // One beam is the reference's greedy search, which ignores patience.
        let needed_count =
            if beams == 1 { 1 } else { ((beams as f32 * patience).round() as usize).max(1) };
        // Without a length penalty nothing can overtake the first beam.
        let is_decided = self.task.length_penalty == 0.0 && beams > 1;
        let is_done =
            if is_decided { self.top_beam_finished } else { self.ended.len() >= needed_count };
        if is_last || is_done {
            return true;
        }
        self.replace_beams(cache, &survivors);
        false
    }

    fn advance_samples(
        &mut self,
        cache: &mut Cache,
        logits: &mut [f32],
        tokens: usize,
        count: usize,
        temperature: f32,
        is_last: bool,
    ) -> bool {
        let draw_count = if self.step == 0 { count } else { 1 };
        let mut survivors = Vec::with_capacity(count);
        let mut ended = Vec::new();
        for (index, logits) in logits.chunks_exact_mut(tokens).enumerate() {
            let (total, _) = log_sum_exp(logits);
            let mut weights: Vec<f32> =
                logits.iter().map(|logit| (logit - total) / temperature).collect();
            softmax(&mut weights);
            for _ in 0..draw_count {
                let token = self.random.choose(&weights);
                let score = self.beams.get(index).map_or(0.0, |beam| beam.score)
                    + logits.get(token).map_or(0.0, |logit| logit - total);
                let candidate = Candidate { beam: index, token: token as u32, score };
                let is_end = candidate.token == self.task.rules.end_of_text;
                if is_end || is_last { ended.push(candidate) } else { survivors.push(candidate) }
            }
        }
        for candidate in ended {
            let mut tokens = self.tokens_of(candidate);
            if candidate.token == self.task.rules.end_of_text {
                tokens.pop();
            }
            self.finish(tokens, candidate.score);
        }
        self.replace_beams(cache, &survivors);
        self.beams.is_empty()
    }

    fn tokens_of(&self, candidate: Candidate) -> Vec<u32> {
        let mut tokens =
            self.beams.get(candidate.beam).map(|beam| beam.tokens.clone()).unwrap_or_default();
        tokens.push(candidate.token);
        tokens
    }

    /// Replaces the beams with the surviving candidates.
    fn replace_beams(&mut self, cache: &mut Cache, survivors: &[Candidate]) {
        let beams = survivors
            .iter()
            .map(|candidate| {
                let slots = self
                    .beams
                    .get(candidate.beam)
                    .map(|beam| beam.slots.clone())
                    .unwrap_or_default();
                cache.retain(&slots);
                Beam { tokens: self.tokens_of(*candidate), slots, score: candidate.score }
            })
            .collect();
        for beam in std::mem::replace(&mut self.beams, beams) {
            cache.release(&beam.slots);
        }
    }
}

#[cfg(test)]
mod tests;
