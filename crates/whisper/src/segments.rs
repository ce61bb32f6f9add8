//! Splitting of a window into segments at the decoder's timestamps.

use crate::mel::FRAMES_PER_SECOND;
use crate::words::TimedWord;

/// Seconds per timestamp step.
const STEP: f64 = 0.02;
/// Frames per timestamp step.
const FRAMES_PER_STEP: usize = 2;

/// A segment whose times may still change when its words are attached.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SegmentDraft {
    pub(crate) start: f64,
    pub(crate) end: f64,
    pub(crate) tokens: Vec<u32>,
    pub(crate) words: Vec<TimedWord>,
}

/// The segments of a window, and the start of the next window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SplitWindow {
    pub(crate) drafts: Vec<SegmentDraft>,
    /// Frame at which the next window begins.
    pub(crate) seek: usize,
    /// Whether the tokens end in a single timestamp: no speech follows.
    pub(crate) ends_in_timestamp: bool,
}

/// Returns the start of a frame in seconds.
pub(crate) fn seconds(frame: usize) -> f64 {
    const SECONDS_PER_FRAME: f64 = 1.0 / FRAMES_PER_SECOND as f64;
    frame as f64 * SECONDS_PER_FRAME
}

/// Returns the time of a timestamp token in seconds, where `begin` is the token of 0.00 s.
fn elapsed(begin: u32, token: u32) -> f64 {
    f64::from(token.saturating_sub(begin)) * STEP
}

/// Splits the tokens of a window into segments. The window begins at frame `seek` and has `size`
/// frames; `begin` is the timestamp token of 0.00 s.
pub(crate) fn split(tokens: &[u32], begin: u32, seek: usize, size: usize) -> SplitWindow {
    let offset = seconds(seek);
    let ends_in_timestamp = matches!(tokens, [.., text, last] if *text < begin && *last >= begin);
    let mut boundaries: Vec<usize> = tokens
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair.iter().all(|&token| token >= begin))
        .map(|(index, _)| index + 1)
        .collect();
    if boundaries.is_empty() {
        let last = tokens.iter().copied().rfind(|&token| token >= begin);
        let duration = match last {
            Some(token) if token != begin => elapsed(begin, token),
            _ => seconds(size),
        };
        let draft = SegmentDraft {
            start: offset,
            end: offset + duration,
            tokens: tokens.to_vec(),
            words: Vec::new(),
        };
        return SplitWindow { drafts: vec![draft], seek: seek + size, ends_in_timestamp };
    }
    if ends_in_timestamp {
        boundaries.push(tokens.len());
    }
    let mut drafts = Vec::with_capacity(boundaries.len());
    let mut from = 0;
    for boundary in boundaries {
        let tokens = tokens.get(from..boundary).unwrap_or_default();
        if let [first, .., last] | [first @ last] = tokens {
            drafts.push(SegmentDraft {
                start: offset + elapsed(begin, *first),
                end: offset + elapsed(begin, *last),
                tokens: tokens.to_vec(),
                words: Vec::new(),
            });
        }
        from = boundary;
    }
    let seek = if ends_in_timestamp {
        seek + size
    } else {
        // Text after the last pair of timestamps is incomplete: the next window begins there.
        let last =
            from.checked_sub(1).and_then(|index| tokens.get(index)).copied().unwrap_or(begin);
        seek + (last.saturating_sub(begin)) as usize * FRAMES_PER_STEP
    };
    SplitWindow { drafts, seek, ends_in_timestamp }
}

#[cfg(test)]
mod tests;
