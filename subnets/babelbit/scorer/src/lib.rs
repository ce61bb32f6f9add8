//! Scores all replies to an utterance: recognition, sentence vectors and the contest's rules in one call.
//!
//! Recognition is nearly all of the cost, so it starts as soon as a reply is complete ([`BatchScorer::prepare`]), runs
//! on a pool of its own, is never done twice for the same audio, and is left out where the score is 0 either way.
//! [`BatchScorer::score`] then waits for what is still under way and puts everything together.

mod batch;
mod cache;
mod candidate;
mod conditions;
mod input;
mod jobs;
mod vectors;

pub use batch::{BatchScorer, ScorerError, ScorerSettings};
pub use cache::{CacheError, TranscriptCache};
pub use candidate::{Audio, AudioHash, Candidate};
pub use conditions::{ConditionDifference, EngineIdentity, ScoringConditions};
pub use input::{
    BatchResults, InputError, Outcome, PairInput, Warning, compute_weights_document, score_batch_document, score_pair,
};
pub use jobs::Heard;

#[cfg(test)]
mod tests;
