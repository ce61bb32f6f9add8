//! Scores all replies to an utterance: recognition, sentence embeddings and scoring rules in one call.
//!
//! Recognition is nearly all of the cost, so it starts as soon as a reply is complete ([`BatchScorer::prepare`]), runs
//! on a separate thread pool or another [`Backend`], is never repeated for the same audio, and is skipped if the score is
//! 0 either way. [`BatchScorer::score`] then waits for recognition in flight and computes the scores.
//!
//! Uses `taonet-speech` (recogniser, sentence embeddings) and `taonet-babelbit-core` (the rules). Used by the runner
//! and its workers, by `bb score` and by the audit.

mod backend;
mod batch;
mod cache;
mod candidate;
mod conditions;
mod input;
mod jobs;
mod vectors;

pub use backend::{Answer, Backend};
pub use batch::{BatchScorer, ScorerError, ScorerSettings};
pub use cache::{CacheError, TranscriptCache};
pub use candidate::{Audio, AudioHash, Candidate};
pub use conditions::{ConditionDifference, EngineIdentity, ScoringConditions};
pub use input::{
    BatchResults, InputError, Outcome, PairInput, Warning, compute_weights_document, score_batch_document, score_pair,
    score_text_document,
};
pub use jobs::{Heard, Hearing, transcribe};

#[cfg(test)]
mod tests;
