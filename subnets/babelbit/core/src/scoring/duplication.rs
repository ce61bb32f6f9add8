//! Duplication penalty: replies of similar meaning share one score, so that copying another miner
//! gains nothing.
//!
//! The final score of reply `i` is `raw_i · pressure_i^-gamma` with `pressure_i = 1 + Σ_j w_ij ·
//! p_j · rel_ij`, summed over all other replies `j` whose score is at least the minimum for
//! pressure:
//!
//! - `w_ij` is the similarity of the two replies, from 0 at the threshold to 1 for equal replies;
//! - `p_j` is the score of reply `j`;
//! - `rel_ij` is 1 if reply `j` scores at least as high as reply `i`, and falls linearly to 0 at a
//!   difference of epsilon.
//!
//! All arithmetic is in 32-bit floats, as in the reference system.

mod similarity;

use super::ScoreOptions;
use similarity::Similarities;

/// Unrounded outcome of the duplication step for one reply.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Duplication {
    /// Sanitised score before the step: finite, at least 0.
    pub raw_score: f32,
    /// Score after the step.
    pub final_score: f32,
    /// Ratio of `final_score` to `raw_score`.
    pub penalty_factor: f32,
    /// Duplicate pressure: `1 + Σ_j w_ij · p_j · rel_ij` over all other replies.
    pub duplicate_pressure: f32,
    /// Highest cosine to another reply, at least 0.
    pub max_peer_similarity: f32,
}

/// Lowers the score of each reply that duplicates another reply, unless the other score is lower by
/// epsilon or more.
///
/// Each reply is a pair of its score and the sentence vector of its text. Vectors need not have
/// unit length; an empty or zero vector, or one shorter than the longest, is similar to no other
/// vector. NaN and infinite components and scores count as 0.
pub fn duplication(replies: &[(f64, &[f32])], options: &ScoreOptions) -> Vec<Duplication> {
    let raw_scores: Vec<f32> =
        replies.iter().map(|(score, _)| finite_or_zero(*score as f32).max(0.0)).collect();
    let unpenalized = |raw_score| Duplication {
        raw_score,
        final_score: raw_score,
        penalty_factor: 1.0,
        duplicate_pressure: 1.0,
        max_peer_similarity: 0.0,
    };
    let mut rows: Vec<_> = raw_scores.iter().map(|score| unpenalized(*score)).collect();
    if raw_scores.len() < 2 {
        return rows;
    }
    let pressure_options = PressureOptions::new(options);
    let vectors: Vec<_> = replies.iter().map(|(_, vector)| *vector).collect();
    let similarities = Similarities::of(&vectors);
    for (i, row) in rows.iter_mut().enumerate() {
        let mut pressure = 0.0_f32;
        for (j, (similarity, score)) in similarities.row(i).iter().zip(&raw_scores).enumerate() {
            if i != j {
                row.max_peer_similarity = row.max_peer_similarity.max(*similarity);
                pressure += pressure_options.pressure(*similarity, *score, row.raw_score);
            }
        }
        row.duplicate_pressure = 1.0 + pressure;
        row.penalty_factor = row.duplicate_pressure.powf(-pressure_options.gamma);
        row.final_score = row.raw_score * row.penalty_factor;
    }
    rows
}

fn finite_or_zero(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

/// Parameters of the duplicate pressure between two replies.
struct PressureOptions {
    threshold: f32,
    min_score: f32,
    epsilon: f32,
    gamma: f32,
}

impl PressureOptions {
    fn new(options: &ScoreOptions) -> Self {
        Self {
            threshold: options.similarity_threshold() as f32,
            min_score: options.duplication_min_score_for_pressure.max(0.0) as f32,
            epsilon: options.duplication_score_epsilon as f32,
            gamma: options.duplication_gamma.max(0.0) as f32,
        }
    }

    fn pressure(&self, similarity: f32, peer_score: f32, own_score: f32) -> f32 {
        if similarity <= self.threshold || peer_score < self.min_score {
            return 0.0;
        }
        let weight = ((similarity - self.threshold) / (1.0 - self.threshold)).clamp(0.0, 1.0);
        let relative = if self.epsilon > 0.0 {
            ((peer_score - own_score + self.epsilon) / self.epsilon).clamp(0.0, 1.0)
        } else if peer_score >= own_score {
            1.0
        } else {
            0.0
        };
        weight * peer_score * relative
    }
}

#[cfg(test)]
mod tests;
