//! Forced alignment: the most likely path of a known text through the label frames.
#![allow(
    clippy::indexing_slicing,
    reason = "all indices are within the tables of states and frames"
)]

use std::ops::Range;

use super::labels;

/// The pruning threshold: states this much less likely (natural logarithm) than the best state of
/// their frame are dropped. Pruning bounds the work for long recordings; the best path of a text
/// decoded from the same probabilities stays far within the threshold.
const PRUNING_THRESHOLD: f64 = 200.0;
const LOG_ZERO: f64 = f64::NEG_INFINITY;

/// An alignment of a text with the label frames.
pub(super) struct Alignment {
    /// The label frames of each word, from its first letter to its last.
    pub(super) words: Vec<Range<usize>>,
    /// The mean probability of the path's labels.
    pub(super) confidence: f32,
}

/// Aligns words (as labels, without spaces) with rows of label probabilities (natural logarithms).
pub(super) fn align(rows: &[f32], words: &[Vec<u8>]) -> Alignment {
    // Blank, letter, blank, letter ... blank: odd states are the labels of the text.
    let mut states = vec![labels::BLANK];
    let mut spans = Vec::with_capacity(words.len());
    for word in words {
        if states.len() > 1 {
            states.extend([labels::SPACE, labels::BLANK]);
        }
        let first = states.len();
        states.extend(word.iter().flat_map(|&label| [label, labels::BLANK]));
        spans.push(first..states.len() - 1);
    }
    let path = best_path(rows, &states, PRUNING_THRESHOLD)
        .or_else(|| best_path(rows, &states, f64::INFINITY))
        .unwrap_or_default();

    let sum: f32 = rows
        .chunks_exact(labels::COUNT)
        .zip(&path)
        .map(|(row, &state)| row[usize::from(states[state])].exp())
        .sum();
    let words = spans.iter().map(|span| {
        // A word's frames may include blanks between its letters, but none before its first or
        // after its last letter.
        let start = path.partition_point(|&state| state < span.start);
        let end = path.partition_point(|&state| state < span.end);
        start..end
    });
    Alignment { words: words.collect(), confidence: sum / path.len().max(1) as f32 }
}

/// Returns the state of each frame on the best path; `None` if the recording has too few frames for
/// the text.
fn best_path(rows: &[f32], states: &[u8], pruning_threshold: f64) -> Option<Vec<usize>> {
    let count = states.len();
    let (mut scores, mut next) = (vec![LOG_ZERO; count], vec![LOG_ZERO; count]);
    scores[0] = 0.0;
    // Back-pointers per frame, for the states from `first` on; a path begins in state 0 or 1.
    let mut steps: Vec<(usize, Vec<u8>)> = Vec::with_capacity(rows.len() / labels::COUNT);
    let mut active = 0..1;
    for row in rows.chunks_exact(labels::COUNT) {
        let max_step = if steps.is_empty() { 1 } else { 2 };
        let range = active.start..(active.end + max_step).min(count);
        let mut back_pointers = Vec::with_capacity(range.len());
        let mut best = LOG_ZERO;
        for state in range.clone() {
            let label = states[state];
            let mut best_source = (scores[state], 0);
            if state >= 1 && scores[state - 1] > best_source.0 {
                best_source = (scores[state - 1], 1);
            }
            // A blank can be skipped only between different labels.
            let skips = state >= 2 && label != labels::BLANK && label != states[state - 2];
            if skips && scores[state - 2] > best_source.0 {
                best_source = (scores[state - 2], 2);
            }
            next[state] = best_source.0 + f64::from(row[usize::from(label)]);
            best = best.max(next[state]);
            back_pointers.push(best_source.1);
        }
        steps.push((range.start, back_pointers));
        scores[active].fill(LOG_ZERO);
        std::mem::swap(&mut scores, &mut next);
        let mut reachable = range.clone().filter(|state| {
            scores[*state] > LOG_ZERO && scores[*state] >= best - pruning_threshold
        });
        let first = reachable.next()?;
        let last = reachable.next_back().unwrap_or(first);
        scores[range.start..first].fill(LOG_ZERO);
        scores[last + 1..range.end].fill(LOG_ZERO);
        active = first..last + 1;
    }
    let mut state = match count {
        1 => 0,
        _ if scores[count - 1] >= scores[count - 2] => count - 1,
        _ => count - 2,
    };
    if scores[state] == LOG_ZERO {
        return None;
    }
    let mut path = Vec::with_capacity(steps.len());
    for (first, back_pointers) in steps.iter().rev() {
        path.push(state);
        state -= usize::from(back_pointers[state - first]);
    }
    path.reverse();
    Some(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::labels::tests::{labels_of, rows};
    use super::*;

    #[test]
    fn aligned_word_spans_first_to_last_letter() {
        let words = [labels_of("an"), labels_of("egg")];
        let alignment = align(&rows("__aa_n_ e_gg_g__"), &words);
        assert_eq!(alignment.words, [2..6, 8..14]);
        assert!(alignment.confidence > 0.9);
    }

    #[test]
    fn alignment_without_words_is_empty() {
        let alignment = align(&rows("____"), &[]);
        assert!(alignment.words.is_empty() && alignment.confidence > 0.9);
        assert!(align(&[], &[]).words.is_empty());
    }

    #[test]
    fn text_longer_than_the_recording_has_empty_words() {
        assert!(align(&rows("a"), &[labels_of("abc")]).words.iter().all(Range::is_empty));
    }

    #[test]
    fn narrow_alignment_window_finds_the_same_path() {
        let text = "the_ fo_g__ came___ do_wn_ o__n_ the_ coa__st".repeat(5);
        let probabilities = rows(&text);
        let mut states = vec![labels::BLANK];
        for letter in text.replace('_', "").bytes() {
            states.extend([labels::from_byte(letter).unwrap_or(labels::SPACE), labels::BLANK]);
        }
        let unlimited_path = best_path(&probabilities, &states, f64::INFINITY);
        assert!(unlimited_path.is_some());
        assert_eq!(best_path(&probabilities, &states, 20.0), unlimited_path);
    }

    /// Finds the best score over all paths by exhaustive search.
    fn search(rows: &[f32], states: &[u8], from: usize) -> f64 {
        let Some((row, rest)) = rows.split_at_checked(labels::COUNT) else {
            return if from + 2 >= states.len() { 0.0 } else { LOG_ZERO };
        };
        let mut best = LOG_ZERO;
        for to in from..states.len().min(from + 3) {
            if to < from + 2 || (states[to] != labels::BLANK && states[to] != states[from]) {
                best = best.max(f64::from(row[usize::from(states[to])]) + search(rest, states, to));
            }
        }
        best
    }

    proptest! {
        #[test]
        fn alignment_path_has_the_highest_score(
            values in prop::collection::vec(-9.0_f32..0.0, 6 * labels::COUNT),
            word in "[ab]{1,3}",
        ) {
            let mut states = vec![labels::BLANK];
            states.extend(labels_of(&word).into_iter().flat_map(|label| [label, labels::BLANK]));
            let first = &values[..labels::COUNT];
            let start = |state: usize| f64::from(first[usize::from(states[state])]);
            let best = (0..2).map(|state| start(state) + search(&values[labels::COUNT..], &states, state));
            let best = best.fold(LOG_ZERO, f64::max);
            let path = best_path(&values, &states, PRUNING_THRESHOLD);
            let score = path.map(|path| {
                let rows = values.chunks_exact(labels::COUNT);
                rows.zip(path).map(|(row, state)| f64::from(row[usize::from(states[state])])).sum::<f64>()
            });
            match score {
                Some(score) => prop_assert!((score - best).abs() < 1e-9, "{score} {best}"),
                None => prop_assert!(best == LOG_ZERO),
            }
        }
    }
}
