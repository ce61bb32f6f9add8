//! Scorer of all replies to an utterance: recognition, sentence embeddings and scoring rules in one
//! call.
//!
//! The score of a reply depends on how close the meaning of its transcript is to the reference, and
//! on how much the transcript resembles the other replies to the same utterance, which penalises
//! copies. Recognition takes nearly all of the time. It therefore starts as soon as a reply is
//! complete ([`BatchScorer::prepare`]), runs on a separate thread pool or another [`Backend`],
//! reuses cached transcripts of the same audio, and is skipped if the score is 0 regardless of the
//! transcript. [`BatchScorer::score`] then waits for the recognition in flight and computes the
//! scores.
//!
//! - [`BatchScorer`]: the scorer, created from a recogniser, an embedder, a [`TranscriptCache`] and
//!   scoring options. It is shared between tasks behind an `Arc`; its calls block, so async code
//!   must make them on blocking threads.
//! - [`Candidate`]: a complete reply, with its [`Audio`] in memory or on disk, and its arrival
//!   times.
//! - [`Backend`]: where replies are transcribed. [`transcribe`] does so on the calling thread,
//!   `taonet-babelbit-workers` on other machines.
//! - [`TranscriptCache`]: transcripts by the hash of the audio, in memory and in a file, for one
//!   recogniser.
//! - [`ScoringConditions`]: engines and options of a score. They are recorded with it, and
//!   [`ScoringConditions::differences`] explains why another machine computes a different score.
//! - [`score_pair`], [`score_batch_document`], [`score_text_document`] and
//!   [`compute_weights_document`]: the JSON documents of `bb score`, `bb score-batch`, `bb
//!   score-text` and `bb compute-weights`.
//!
//! A score depends on the frames of a reply and never on clocks: equal inputs have equal scores on
//! any machine with the same engines, except for the last digits of floating-point sums. The
//! formulas are in `taonet_babelbit_core::scoring`; this crate does not call miners and writes no
//! result files.
//!
//! Uses `taonet-speech` (recogniser, sentence embeddings), `taonet-babelbit-core` (the rules),
//! `taonet-amx` (whether the CPU has it), `taonet-service` and `taonet-primitives`. Used by
//! `taonet-babelbit-runner`, by `taonet-babelbit-workers`, which transcribe for it, by
//! `taonet-babelbit-audit` and `taonet-babelbit-dashboard`, and by `bb score` and the other scoring
//! commands.

mod backend;
mod batch;
mod cache;
mod candidate;
mod conditions;
mod input;
mod jobs;
mod vectors;

pub use backend::{Backend, TranscriptionCallback};
pub use batch::{BatchScorer, ScorerError, ScorerSettings};
pub use cache::{CacheError, TranscriptCache};
pub use candidate::{Audio, AudioHash, Candidate};
pub use conditions::{ConditionDifference, EngineIdentity, ScoringConditions};
pub use input::{
    BatchResults, InputError, Outcome, PairInput, Warning, compute_weights_document,
    score_batch_document, score_pair, score_text_document,
};
pub use jobs::{RecognizerStopped, Transcription, TranscriptionResult, transcribe};

#[cfg(test)]
mod tests;
