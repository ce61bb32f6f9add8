use serde::{Deserialize, Serialize};
use taonet_primitives::Transcript;

use super::{
    Milliseconds, Playback, TargetLength, TextPair, average_lagging, average_token_delay, chrf,
    corpus_bleu, sentence_bleu, word_error_rate,
};
use crate::rounding::{round_to, round6};

/// Metrics of one reply. Times are in milliseconds with 3 decimals, null if the reply has no words
/// or no audio.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UtteranceMetrics {
    /// Word error rate in percent, 6 decimals.
    pub wer: f64,
    /// Sentence BLEU, 0 to 100, 6 decimals.
    pub bleu: f64,
    /// Sentence chrF, 0 to 100, 6 decimals.
    pub chrf: f64,
    /// Average lagging (AL), from the ends of words.
    pub al_ms: Option<f64>,
    /// Length-adaptive average lagging (LAAL), from the ends of words.
    pub laal_ms: Option<f64>,
    /// Average token delay (ATD).
    pub atd_ms: Option<f64>,
}

impl UtteranceMetrics {
    /// Computes the metrics of a transcribed reply.
    pub fn of(
        transcript: &Transcript,
        reference: &str,
        playback: &Playback,
        source: Milliseconds,
    ) -> Self {
        let pair = TextPair { hypothesis: &transcript.text, reference };
        let delays = playback.word_delays(&transcript.words);
        let lagging = |length| average_lagging(&delays, source, reference, length).map(rounded);
        Self {
            wer: round6(word_error_rate([pair])),
            bleu: round6(sentence_bleu(pair)),
            chrf: round6(chrf([pair])),
            al_ms: lagging(TargetLength::Reference),
            laal_ms: lagging(TargetLength::Adaptive),
            atd_ms: average_token_delay(playback).map(rounded),
        }
    }
}

/// Metrics of a miner's replies in one challenge: text metrics over all replies together, and means
/// of the latency metrics in milliseconds with 3 decimals, null if no reply has the metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChallengeMetrics {
    /// Word error rate in percent, 6 decimals.
    pub wer: f64,
    /// Corpus BLEU, 0 to 100, 6 decimals.
    pub bleu: f64,
    /// Corpus chrF, 0 to 100, 6 decimals.
    pub chrf: f64,
    /// Mean of the replies' average lagging.
    pub al_ms: Option<f64>,
    /// Mean of the replies' length-adaptive average lagging.
    pub laal_ms: Option<f64>,
    /// Mean of the replies' average token delay.
    pub atd_ms: Option<f64>,
    /// Number of transcribed replies.
    pub replies: usize,
}

impl ChallengeMetrics {
    /// Combines the metrics of the transcribed replies; `None` if there are no replies.
    pub fn of(replies: &[(TextPair<'_>, UtteranceMetrics)]) -> Option<Self> {
        let pairs = || replies.iter().map(|(pair, _)| *pair);
        let mean = |time: fn(&UtteranceMetrics) -> Option<f64>| {
            let times: Vec<_> = replies.iter().filter_map(|(_, metrics)| time(metrics)).collect();
            (!times.is_empty()).then(|| round_to(times.iter().sum::<f64>() / times.len() as f64, 3))
        };
        (!replies.is_empty()).then(|| Self {
            wer: round6(word_error_rate(pairs())),
            bleu: round6(corpus_bleu(pairs())),
            chrf: round6(chrf(pairs())),
            al_ms: mean(|metrics| metrics.al_ms),
            laal_ms: mean(|metrics| metrics.laal_ms),
            atd_ms: mean(|metrics| metrics.atd_ms),
            replies: replies.len(),
        })
    }
}

fn rounded(time: Milliseconds) -> f64 {
    round_to(time.get(), 3)
}
