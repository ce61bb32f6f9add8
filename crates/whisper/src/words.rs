//! Word timestamps from token alignment, with faster-whisper's corrections.

use crate::align::Alignment;
use crate::segments::SegmentDraft;
use crate::vocabulary::trim;

/// Encoder positions per second.
pub(crate) const POSITIONS_PER_SECOND: f64 = 50.0;
/// Sentence-ending punctuation.
const SENTENCE_ENDS: &str = ".。!！?？";

/// A word with its time in seconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TimedWord {
    pub(crate) text: String,
    pub(crate) tokens: Vec<u32>,
    pub(crate) start: f64,
    pub(crate) end: f64,
    pub(crate) probability: f64,
}

/// Punctuation marks to merge with the neighbouring word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Punctuation<'a> {
    pub(crate) prepended: &'a str,
    pub(crate) appended: &'a str,
}

/// Computes word times within a window; the last of `words` is the end of text.
pub(crate) fn time_words(words: Vec<(String, Vec<u32>)>, alignment: &Alignment) -> Vec<TimedWord> {
    // Start of each token: its first pair in the path.
    let mut starts = Vec::new();
    let mut last = None;
    for &(token, position) in &alignment.path {
        if last != Some(token) {
            starts.push(position as f64 / POSITIONS_PER_SECOND);
            last = Some(token);
        }
    }
    let mut timed = Vec::with_capacity(words.len());
    let mut from = 0;
    let count = words.len().saturating_sub(1);
    for (text, tokens) in words.into_iter().take(count) {
        let to = from + tokens.len();
        let (Some(&start), Some(&end)) = (starts.get(from), starts.get(to)) else {
            return Vec::new();
        };
        let probabilities = alignment.probabilities.get(from..to).unwrap_or_default();
        let sum: f64 = probabilities.iter().map(|&probability| f64::from(probability)).sum();
        timed.push(TimedWord {
            text,
            tokens,
            start,
            end,
            probability: sum / probabilities.len().max(1) as f64,
        });
        from = to;
    }
    timed
}

/// Distributes the words of a window that begins at frame `seek` among its segments, and corrects
/// words that are too long. `last_speech` is the end of the preceding word. Segment times are
/// adjusted to those of their words.
pub(crate) fn attach_words(
    drafts: &mut [SegmentDraft],
    mut words: Vec<TimedWord>,
    seek: usize,
    end_of_text: u32,
    punctuation: Punctuation,
    mut last_speech: f64,
) {
    let (median, max_duration) = median_and_max_duration(&words);
    shorten_at_sentence_ends(&mut words, max_duration);
    merge_punctuation(&mut words, punctuation);
    // Divides as the reference does: multiplying by 0.01 rounds differently.
    let offset = seek as f64 / 100.0;
    let mut words = words.into_iter();
    for draft in drafts {
        let text_token_count = draft.tokens.iter().filter(|token| **token < end_of_text).count();
        let mut token_count = 0;
        let mut segment_words = Vec::new();
        while token_count < text_token_count {
            let Some(mut word) = words.next() else { break };
            token_count += word.tokens.len();
            if !word.text.is_empty() {
                word.start = round_to_hundredths(offset + word.start);
                word.end = round_to_hundredths(offset + word.end);
                segment_words.push(word);
            }
        }
        if !segment_words.is_empty() {
            correct_start(&mut segment_words, median, max_duration, last_speech);
            fit_segment(draft, &mut segment_words, median);
            last_speech = draft.end;
        }
        draft.words = segment_words;
    }
}

/// Returns the end of the last word, or without words the end of the last segment.
pub(crate) fn last_end(drafts: &[SegmentDraft]) -> Option<f64> {
    let word = drafts.iter().rev().find_map(|draft| draft.words.last());
    word.map(|word| word.end).or_else(|| drafts.last().map(|draft| draft.end))
}

/// Returns the median word duration, at most 0.7 s, and the maximum duration of a word at a
/// boundary: twice that median.
fn median_and_max_duration(words: &[TimedWord]) -> (f64, f64) {
    let mut durations: Vec<f64> = words
        .iter()
        .map(|word| word.end - word.start)
        .filter(|duration| *duration != 0.0)
        .collect();
    durations.sort_by(f64::total_cmp);
    let middle = durations.len() / 2;
    let median =
        match (durations.get(middle), middle.checked_sub(1).and_then(|index| durations.get(index)))
        {
            (Some(upper), Some(lower)) if durations.len().is_multiple_of(2) => {
                f64::midpoint(*lower, *upper)
            }
            (Some(median), _) => *median,
            _ => 0.0,
        };
    let median = median.min(0.7);
    (median, median * 2.0)
}

#[allow(clippy::float_cmp)] // Same comparison as in the reference.
fn shorten_at_sentence_ends(words: &mut [TimedWord], max_duration: f64) {
    if words.iter().all(|word| word.end == word.start) {
        return;
    }
    let mut previous_ends_sentence = None;
    for word in words {
        // Like Python's `in`: any substring of the marks, including the empty text.
        let ends_sentence = SENTENCE_ENDS.contains(&word.text);
        if let Some(previous_ends) = previous_ends_sentence
            && word.end - word.start > max_duration
        {
            if ends_sentence {
                word.end = word.start + max_duration;
            } else if previous_ends {
                word.start = word.end - max_duration;
            }
        }
        previous_ends_sentence = Some(ends_sentence);
    }
}

/// Merges punctuation with the next or previous word; merged entries remain with an empty text.
pub(crate) fn merge_punctuation(words: &mut [TimedWord], punctuation: Punctuation) {
    let mut following = words.len().saturating_sub(1);
    for previous in (0..following).rev() {
        let Some((head, tail)) = words.split_at_mut_checked(following) else { return };
        let (Some(first), Some(second)) = (head.get_mut(previous), tail.first_mut()) else {
            return;
        };
        if first.text.starts_with(' ') && punctuation.prepended.contains(trim(&first.text)) {
            second.text.insert_str(0, &std::mem::take(&mut first.text));
            second.tokens.splice(0..0, std::mem::take(&mut first.tokens));
        } else {
            following = previous;
        }
    }
    let mut previous = 0;
    for following in 1..words.len() {
        let Some((head, tail)) = words.split_at_mut_checked(following) else { return };
        let (Some(first), Some(second)) = (head.get_mut(previous), tail.first_mut()) else {
            return;
        };
        if !first.text.ends_with(' ') && punctuation.appended.contains(second.text.as_str()) {
            first.text.push_str(&std::mem::take(&mut second.text));
            first.tokens.append(&mut second.tokens);
        } else {
            previous = following;
        }
    }
}

/// Shortens each of the first two words after a pause to at most twice the median duration.
fn correct_start(words: &mut [TimedWord], median: f64, max_duration: f64, last_speech: f64) {
    let Some((first, others)) = words.split_first_mut() else { return };
    let second = others.first_mut();
    let is_after_pause = first.end - last_speech > median * 4.0;
    let both_too_long =
        second.as_ref().is_some_and(|second| second.end - first.start > max_duration * 2.0);
    if !is_after_pause || !(first.end - first.start > max_duration || both_too_long) {
        return;
    }
    if let Some(second) = second
        && second.end - second.start > max_duration
    {
        let boundary = (second.end / 2.0).max(second.end - max_duration);
        first.end = boundary;
        second.start = boundary;
    }
    first.start = (first.end - max_duration).max(0.0);
}

/// Fits segment and word times at both ends of a segment. If the outer word extends more than 0.5 s
/// beyond the segment, the word is shortened; otherwise the segment takes the word's time.
fn fit_segment(draft: &mut SegmentDraft, words: &mut [TimedWord], median: f64) {
    if let Some(first) = words.first_mut() {
        if draft.start < first.end && draft.start - 0.5 > first.start {
            first.start = (first.end - median).min(draft.start).max(0.0);
        } else {
            draft.start = first.start;
        }
    }
    if let Some(last) = words.last_mut() {
        if draft.end > last.start && draft.end + 0.5 < last.end {
            last.end = (last.start + median).max(draft.end);
        } else {
            draft.end = last.end;
        }
    }
}

/// Rounds to two decimals as numpy does.
pub(crate) fn round_to_hundredths(seconds: f64) -> f64 {
    (seconds * 100.0).round_ties_even() / 100.0
}

#[cfg(test)]
mod tests;
