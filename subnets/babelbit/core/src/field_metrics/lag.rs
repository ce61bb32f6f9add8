//! Average lagging.

use super::Milliseconds;
use super::ngrams::words;

/// The length against which delays are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetLength {
    /// The reference's number of words: AL, average lagging.
    Reference,
    /// The greater of the reference's and the reply's: LAAL, which does not reward a reply for saying too much.
    Adaptive,
}

/// How far the words lag behind an ideal speaker, who spreads the target evenly over the source. `delays` has a time for
/// each word of the reply.
///
/// Words after the first one at the source's end or later do not count. `None` without words, without a reference or
/// without a source.
pub fn average_lagging(
    delays: &[Milliseconds],
    source: Milliseconds,
    reference: &str,
    length: TargetLength,
) -> Option<Milliseconds> {
    let expected = words(reference).len();
    let target = match length {
        TargetLength::Reference => expected,
        TargetLength::Adaptive => expected.max(delays.len()),
    };
    let (first, source) = (delays.first()?, source.get());
    if expected == 0 || source <= 0.0 {
        return None;
    }
    if first.get() > source {
        return Some(*first);
    }
    let pace = source / target as f64;
    let counted = delays.iter().position(|delay| delay.get() >= source).map_or(delays.len(), |last| last + 1);
    let lags = delays.iter().take(counted).enumerate().map(|(word, delay)| delay.get() - word as f64 * pace);
    Milliseconds::new(lags.sum::<f64>() / counted as f64)
}
