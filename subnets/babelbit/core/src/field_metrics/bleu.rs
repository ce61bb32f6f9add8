//! BLEU as sacreBLEU computes it by default: the tokenizer `13a`, n-grams up to 4, exponential
//! smoothing.

use super::TextPair;
use super::ngrams::{NgramCounts, is_space, words};

/// Maximum length of n-grams.
const MAX_ORDER: usize = 4;

/// Computes the BLEU score of a corpus, 0 to 100, from the n-grams of all pairs together.
pub fn corpus_bleu<'a>(pairs: impl IntoIterator<Item = TextPair<'a>>) -> f64 {
    Statistics::of(pairs).score(false)
}

/// Computes the BLEU score of one pair, 0 to 100. N-gram lengths for which the hypothesis is too
/// short are omitted.
pub fn sentence_bleu(pair: TextPair<'_>) -> f64 {
    Statistics::of([pair]).score(true)
}

/// Counts of words and n-grams from which BLEU is computed.
#[derive(Default)]
struct Statistics {
    hypothesis: u64,
    reference: u64,
    orders: [NgramCounts; MAX_ORDER],
}

impl Statistics {
    fn of<'a>(pairs: impl IntoIterator<Item = TextPair<'a>>) -> Self {
        let mut sum = Self::default();
        for pair in pairs {
            let (hypothesis, reference) = (tokenize(pair.hypothesis), tokenize(pair.reference));
            let (hypothesis, reference) = (words(&hypothesis), words(&reference));
            sum.hypothesis += hypothesis.len() as u64;
            sum.reference += reference.len() as u64;
            for (n, order) in (1..).zip(&mut sum.orders) {
                order.add(NgramCounts::of(&hypothesis, &reference, n));
            }
        }
        sum
    }

    /// Returns the geometric mean of the precisions with the brevity penalty. With
    /// `effective_order`, n-gram lengths for which the hypothesis is too short are omitted; without
    /// it, they make the score 0.
    fn score(&self, effective_order: bool) -> f64 {
        if self.orders.iter().all(|order| order.matched == 0) {
            return 0.0;
        }
        let (mut log_sum, mut orders, mut smoothing) = (0.0, 0, 1.0);
        for order in self.orders {
            if order.hypothesis == 0 {
                break;
            }
            let matches = if order.matched == 0 {
                // Each order without a match counts half as much as the one before.
                smoothing *= 2.0;
                1.0 / smoothing
            } else {
                order.matched as f64
            };
            log_sum += (100.0 * matches / order.hypothesis as f64).ln();
            orders += 1;
        }
        if orders < MAX_ORDER && !effective_order {
            return 0.0;
        }
        let brevity_penalty = if self.hypothesis < self.reference {
            (1.0 - self.reference as f64 / self.hypothesis as f64).exp()
        } else {
            1.0
        };
        brevity_penalty * (log_sum / orders as f64).exp()
    }
}

/// Applies the tokenizer of mteval-v13a, as used by WMT.
fn tokenize(text: &str) -> String {
    let text = text.trim_end_matches(is_space);
    let text = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    let text = text
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
        .replace("&lt;", "<")
        .replace("&gt;", ">");
    let mut spaced = String::from(" ");
    for c in text.chars() {
        if is_symbol(c) {
            spaced.extend([' ', c, ' ']);
        } else {
            spaced.push(c);
        }
    }
    spaced.push(' ');
    let is_digit = |c: char| c.is_ascii_digit();
    let is_punctuation = |c: char| matches!(c, '.' | ',');
    let spaced = replace_pairs(&spaced, |a, b| {
        (!is_digit(a) && is_punctuation(b)).then(|| format!("{a} {b} "))
    });
    let spaced = replace_pairs(&spaced, |a, b| {
        (is_punctuation(a) && !is_digit(b)).then(|| format!(" {a} {b}"))
    });
    replace_pairs(&spaced, |a, b| (is_digit(a) && b == '-').then(|| format!("{a} {b} ")))
}

/// Whether an ASCII symbol is always a separate token: all but the apostrophe, comma, hyphen and
/// full stop.
fn is_symbol(c: char) -> bool {
    matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/')
}

/// Replaces pairs of adjacent characters from left to right; replaced pairs do not overlap.
fn replace_pairs(text: &str, replace: impl Fn(char, char) -> Option<String>) -> String {
    let mut result = String::with_capacity(text.len() * 2);
    let mut characters = text.chars().peekable();
    while let Some(first) = characters.next() {
        match characters.peek().and_then(|second| replace(first, *second)) {
            Some(replacement) => {
                result.push_str(&replacement);
                characters.next();
            }
            None => result.push(first),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: text · tokens
    #[test]
    fn punctuation_is_tokenised_except_within_numbers() {
        for (text, tokens) in [
            ("Hello, world!", "Hello , world !"),
            ("It costs 1,200.50 dollars.", "It costs 1,200.50 dollars ."),
            ("don't stop...", "don't stop . . ."),
            ("in 1990-95 (at most)", "in 1990 - 95 ( at most )"),
            ("well-known &quot;fact&quot;", "well-known \" fact \""),
            ("a line-\nbreak", "a linebreak"),
            ("", ""),
        ] {
            assert_eq!(words(&tokenize(text)).join(" "), tokens, "{text}");
        }
    }
}
