//! Average token delay.

use super::{Milliseconds, Piece, Playback};

/// Duration of a speech token in milliseconds, about that of a word.
const TOKEN_MS: f64 = 300.0;

/// Tokens of the source or of the reply, grouped by chunk.
#[derive(Default)]
struct ChunkedTokens {
    /// Time at which each token ends.
    ends: Vec<f64>,
    /// Number of tokens up to the end of each chunk.
    totals: Vec<usize>,
}

/// Computes the mean delay from the end of a source token to the end of the corresponding reply
/// token.
///
/// Source and reply are split into tokens of 300 ms, chunk by chunk. Reply token `t` corresponds to
/// token `t - lead` of the source, or to the last received source token if that is earlier.
/// `lead` is the number of tokens by which the reply led the source before the chunk. Returns
/// `None` for an empty reply.
pub fn average_token_delay(playback: &Playback) -> Option<Milliseconds> {
    let chunks = chunks(playback.pieces());
    let (mut source, mut reply) = (ChunkedTokens::default(), ChunkedTokens::default());
    let (mut previous_delay, mut reply_end) = (0.0, 0.0_f64);
    for chunk in &chunks {
        let delay = chunk.delay.get();
        let received = delay - previous_delay;
        previous_delay = delay;
        let mut end = source.ends.last().copied().unwrap_or(0.0);
        source.push(received, |duration| {
            end += duration;
            end
        });
        reply.push(chunk.duration.get(), |duration| {
            reply_end = reply_end.max(delay) + duration;
            reply_end
        });
    }
    let mut sum = 0.0;
    for chunk in 0..chunks.len() {
        let tokens_before = |tokens: &ChunkedTokens| {
            chunk.checked_sub(1).and_then(|last| tokens.totals.get(last).copied()).unwrap_or(0)
        };
        let lead = tokens_before(&reply).saturating_sub(tokens_before(&source));
        let source_tokens = source.totals.get(chunk).copied().unwrap_or(0);
        for token in tokens_before(&reply)..reply.totals.get(chunk).copied().unwrap_or(0) {
            let source_token = (token + 1 - lead).min(source_tokens);
            let end = source_token
                .checked_sub(1)
                .and_then(|index| source.ends.get(index).copied())
                .unwrap_or(0.0);
            sum += reply.ends.get(token).copied().unwrap_or(0.0) - end;
        }
    }
    if reply.ends.is_empty() { None } else { Milliseconds::new(sum / reply.ends.len() as f64) }
}

impl ChunkedTokens {
    /// Adds the tokens of a chunk; the last token may be shorter than the others. `end` maps a
    /// token's duration to the time of its end.
    fn push(&mut self, duration: f64, mut end: impl FnMut(f64) -> f64) {
        let remainder = duration.rem_euclid(TOKEN_MS);
        let full_tokens = ((duration - remainder) / TOKEN_MS).round().max(0.0) as usize;
        self.ends.extend(std::iter::repeat_n(TOKEN_MS, full_tokens).map(&mut end));
        if remainder > 0.0 {
            self.ends.push(end(remainder));
        }
        self.totals.push(self.ends.len());
    }
}

/// Merges consecutive pieces with the same delay into one chunk.
fn chunks(pieces: &[Piece]) -> Vec<Piece> {
    let mut chunks: Vec<Piece> = Vec::new();
    for piece in pieces {
        match chunks.last_mut() {
            Some(last) if last.delay == piece.delay => {
                last.duration = Milliseconds(last.duration.get() + piece.duration.get());
            }
            _ => chunks.push(*piece),
        }
    }
    chunks
}
