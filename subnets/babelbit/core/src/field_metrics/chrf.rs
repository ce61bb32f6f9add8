//! chrF as sacreBLEU computes it by default: character n-grams up to 6, no word n-grams, recall
//! weighted twice.

use super::TextPair;
use super::ngrams::{NgramCounts, is_space};

/// Maximum length of n-grams.
const MAX_ORDER: usize = 6;
/// Square of the weight of recall.
const BETA_SQUARED: f64 = 4.0;

/// Computes the chrF score of one pair or of a corpus, 0 to 100, from the n-grams of all pairs
/// together.
pub fn chrf<'a>(pairs: impl IntoIterator<Item = TextPair<'a>>) -> f64 {
    let mut orders = [NgramCounts::default(); MAX_ORDER];
    for pair in pairs {
        let (hypothesis, reference) = (characters(pair.hypothesis), characters(pair.reference));
        for (n, order) in (1..).zip(&mut orders) {
            let mut matches = NgramCounts::of(&hypothesis, &reference, n);
            if matches.reference == 0 {
                // The reference is too short for this order: ignore the hypothesis's n-grams.
                matches.hypothesis = 0;
            }
            order.add(matches);
        }
    }
    let counted_orders: Vec<_> =
        orders.into_iter().filter(|order| order.hypothesis > 0 && order.reference > 0).collect();
    let mean = |total_of: fn(&NgramCounts) -> u64| {
        let sum: f64 =
            counted_orders.iter().map(|order| order.matched as f64 / total_of(order) as f64).sum();
        sum / counted_orders.len().max(1) as f64
    };
    let (precision, recall) = (mean(|order| order.hypothesis), mean(|order| order.reference));
    if precision + recall == 0.0 {
        return 0.0;
    }
    100.0 * (1.0 + BETA_SQUARED) * precision * recall / (BETA_SQUARED * precision + recall)
}

/// Returns the text's characters without white space.
fn characters(text: &str) -> Vec<char> {
    text.chars().filter(|c| !is_space(*c)).collect()
}
