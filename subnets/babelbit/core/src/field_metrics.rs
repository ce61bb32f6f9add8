//! Standard metrics of simultaneous speech translation: text quality and latency. They are not part
//! of the score. `bb bench interpret` reports them for any recordings.
//!
//! Word error rate and the latency metrics follow SimulEval 1.1.4, BLEU and chrF follow sacreBLEU 2.6.0,
//! both with default options. `vectors/field-metrics` holds results of these programs.
//! `docs/metrics.md` states the formulas.

mod bleu;
mod chrf;
mod error_rate;
mod lag;
mod ngrams;
mod playback;
mod record;
mod token_delay;

pub use bleu::{corpus_bleu, sentence_bleu};
pub use chrf::chrf;
pub use error_rate::word_error_rate;
pub use lag::{TargetLength, average_lagging};
pub use playback::{Milliseconds, Piece, Playback};
pub use record::{ChallengeMetrics, UtteranceMetrics};
pub use token_delay::average_token_delay;

/// Transcript of a reply, and its reference text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextPair<'a> {
    /// Transcript of the reply.
    pub hypothesis: &'a str,
    /// Reference text.
    pub reference: &'a str,
}

#[cfg(test)]
mod tests;
