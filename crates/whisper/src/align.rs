//! Token timestamps from the cross-attention of the alignment heads.
#![allow(clippy::indexing_slicing)] // Numeric loops over rows and positions whose bounds are set here.

use crate::TranscribeError;
use crate::decoder::{Cache, Capture, Memory, POSITIONS, Row};
use crate::encoder::Buffers;
use crate::kernel::{log_sum_exp, median, softmax};
use crate::model::Model;

mod path;

pub(crate) use path::shortest_path;

/// Number of rows of logits computed at a time, to bound memory.
const BLOCK: usize = 32;

/// Alignment of a window's text tokens with its audio.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Alignment {
    /// Pairs of token index and encoder position, in chronological order.
    pub(crate) path: Vec<(usize, usize)>,
    /// Probability of each text token.
    pub(crate) probabilities: Vec<f32>,
}

impl Model {
    /// Aligns text tokens with the first `frames` frames of a window.
    pub(crate) fn align(
        &self,
        buffers: &mut Buffers,
        cache: &mut Cache,
        memory: &Memory,
        start: &[u32],
        text: &[u32],
        frames: usize,
    ) -> Result<Alignment, TranscribeError> {
        let special = self.vocabulary.special();
        let mut tokens = start.to_vec();
        tokens.push(special.no_timestamps);
        tokens.extend_from_slice(text);
        tokens.push(special.end_of_text);
        tokens.truncate(self.decoder.context());
        let slots: Vec<_> = tokens.iter().map(|_| cache.take()).collect();
        let rows: Vec<Row> = tokens
            .iter()
            .enumerate()
            .map(|(position, &token)| Row { token, position, memory: 0, slots: slots[..=position].to_vec() })
            .collect();
        let heads = &self.config.alignment_heads;
        let mut capture = Capture { heads, scores: vec![Vec::new(); heads.len()] };
        let states = self.decoder.forward(&buffers.gemm.clone(), buffers, cache, &[memory], &rows, Some(&mut capture));
        cache.release(&slots);
        let states = states?;
        let width = self.decoder.width();
        let first = start.len() * width;
        let probabilities = self.probabilities(buffers, &states[first..first + text.len() * width], text)?;
        let positions = frames / 2;
        if positions == 0 {
            return Ok(Alignment { path: Vec::new(), probabilities });
        }
        let matrix = weights(capture.scores, tokens.len(), start.len(), text.len() + 1, positions);
        Ok(Alignment { path: shortest_path(&matrix, text.len() + 1, positions), probabilities })
    }

    /// Returns the probability of each token among all text tokens, given the decoder state before the token.
    fn probabilities(
        &self,
        buffers: &mut Buffers,
        states: &[f32],
        tokens: &[u32],
    ) -> Result<Vec<f32>, TranscribeError> {
        let end_of_text = self.vocabulary.special().end_of_text as usize;
        let mut probabilities = Vec::with_capacity(tokens.len());
        for (states, tokens) in states.chunks(BLOCK * self.decoder.width()).zip(tokens.chunks(BLOCK)) {
            self.decoder.logits(&buffers.gemm.clone(), buffers, states)?;
            for (logits, &token) in buffers.logits.chunks_exact(self.decoder.tokens()).zip(tokens) {
                let (total, _) = log_sum_exp(&logits[..end_of_text]);
                probabilities.push(logits.get(token as usize).map_or(0.0, |logit| (logit - total).exp()));
            }
        }
        Ok(probabilities)
    }
}

/// Returns the mean attention weights over all heads, normalised over all `count` tokens and median-filtered over time,
/// for `rows` rows starting at row `first`.
fn weights(scores: Vec<Vec<f32>>, count: usize, first: usize, rows: usize, positions: usize) -> Vec<f32> {
    let mut mean = vec![0.0; rows * positions];
    let heads = scores.len().max(1) as f32;
    let mut filtered = vec![0.0; positions];
    for mut head in scores {
        let mut sums = vec![(0.0f32, 0.0f32); positions];
        for row in head.chunks_exact_mut(POSITIONS) {
            softmax(&mut row[..positions]);
            for (sum, value) in sums.iter_mut().zip(&*row) {
                sum.0 += value;
            }
        }
        for sum in &mut sums {
            sum.0 /= count as f32;
        }
        for row in head.chunks_exact(POSITIONS) {
            for (sum, value) in sums.iter_mut().zip(row) {
                sum.1 += (value - sum.0) * (value - sum.0);
            }
        }
        let rows = head.chunks_exact_mut(POSITIONS).skip(first).zip(mean.chunks_exact_mut(positions));
        for (row, mean) in rows {
            let row = &mut row[..positions];
            for (value, (average, squares)) in row.iter_mut().zip(&sums) {
                *value = (*value - average) / (squares / count as f32).sqrt();
            }
            median(row, &mut filtered);
            for (mean, value) in mean.iter_mut().zip(&filtered) {
                *mean += value / heads;
            }
        }
    }
    mean
}
