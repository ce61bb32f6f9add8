//! Word error rate.

use super::TextPair;
use super::ngrams::words;

/// Computes the word error rate: substituted, deleted and inserted words in percent of the
/// reference words; 0 if there are no reference words.
///
/// Texts are compared unchanged, with punctuation and case, as in SimulEval.
pub fn word_error_rate<'a>(pairs: impl IntoIterator<Item = TextPair<'a>>) -> f64 {
    let (mut errors, mut reference_words) = (0, 0);
    for pair in pairs {
        let (hypothesis, reference) = (words(pair.hypothesis), words(pair.reference));
        errors += edit_distance(&hypothesis, &reference);
        reference_words += reference.len();
    }
    if reference_words == 0 { 0.0 } else { 100.0 * errors as f64 / reference_words as f64 }
}

/// Returns the word-level edit distance: the least number of substitutions, deletions and
/// insertions.
fn edit_distance(from: &[&str], to: &[&str]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in (1..).zip(from) {
        let mut diagonal = i - 1;
        let mut left_cell = i;
        let mut cells = row.iter_mut();
        if let Some(first) = cells.next() {
            *first = i;
        }
        for (cell, b) in cells.zip(to) {
            let best = (diagonal + usize::from(a != b)).min(*cell + 1).min(left_cell + 1);
            diagonal = std::mem::replace(cell, best);
            left_cell = best;
        }
    }
    row.last().copied().unwrap_or(0)
}
