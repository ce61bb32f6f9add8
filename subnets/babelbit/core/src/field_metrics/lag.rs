//! Average lagging.

use super::Milliseconds;
use super::ngrams::words;

/// Target length in words for average lagging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetLength {
    /// Length of the reference: average lagging (AL).
    Reference,
    /// Length of the longer of reference and reply: length-adaptive average lagging (LAAL), which
    /// does not reward overlong replies.
    Adaptive,
}

/// Computes the mean lag of the words behind an ideal speaker, who spreads the target length evenly
/// over the source. `delays` has the time at which each word of the reply is heard.
///
/// Only the words up to the first one at or after the end of the source count. Returns `None` if
/// the reply has no words, the reference is empty or the source has no duration.
pub fn average_lagging(
    delays: &[Milliseconds],
    source: Milliseconds,
    reference: &str,
    length: TargetLength,
) -> Option<Milliseconds> {
    let reference_words = words(reference).len();
    let target = match length {
        TargetLength::Reference => reference_words,
        TargetLength::Adaptive => reference_words.max(delays.len()),
    };
    let (first, source) = (delays.first()?, source.get());
    if reference_words == 0 || source <= 0.0 {
        return None;
    }
    if first.get() > source {
        return Some(*first);
    }
    let word_duration = source / target as f64;
    let counted_words =
        delays.iter().position(|delay| delay.get() >= source).map_or(delays.len(), |last| last + 1);
    let lags = delays
        .iter()
        .take(counted_words)
        .enumerate()
        .map(|(word, delay)| delay.get() - word as f64 * word_duration);
    Milliseconds::new(lags.sum::<f64>() / counted_words as f64)
}
