//! Scores of replies: `semantic_audio_v1`.
//!
//! A reply is transcribed, compared with the reference by meaning ([`accuracy()`]) and by speaking
//! rate, and graded by how soon it ended after the source ([`latency()`]); replies with the same
//! meaning share one score ([`duplication()`]). The score is the latency score if the reply passes
//! the accuracy gate and the speaking-rate gate, else 0.
//!
//! [`score_batch`] scores all replies to one utterance; [`score_one`] scores a single reply,
//! without the duplication step. The expensive work (recognition, sentence embeddings) happens
//! elsewhere: see [`Evidence`].

mod accuracy;
mod assess;
mod duplication;
mod error;
mod failed_gates;
mod latency;
mod mean;
mod options;
mod rate;
mod result;
mod timeline;

pub use accuracy::{LANGUAGE_CONFIDENCE_FLOOR, accuracy, speaks_other_language};
pub use assess::{BatchFailure, Evidence, Reply, score_batch, score_one};
pub use duplication::{Duplication, duplication};
pub use error::ScoreError;
pub use failed_gates::describe_failed_gates;
pub use latency::{Latency, latency};
pub use mean::{MIXED_METHODS, challenge_mean, common_method};
pub use options::{OptionsError, ScoreOptions};
pub use rate::{Rate, duration_rate, speech_rate};
pub use result::{
    DuplicatePenalty, Gate, LatencyRow, Margins, SCORE_METHOD, SCORE_METHOD_ERROR, ScoreResult,
    SpeechRate,
};
pub use timeline::{Timeline, Timing, effective_completion};
