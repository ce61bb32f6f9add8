//! Prefix beam search over label probabilities, restricted to words of the lexicon.
#![allow(
    clippy::indexing_slicing,
    reason = "rows have the label count; hypotheses index tables of this module"
)]

use std::cmp::Ordering;
use std::collections::HashMap;

use super::config::Decoder;
use super::labels;
use super::lexicon::{Lexicon, NodeId, WordId};

/// A finite stand-in for the logarithm of zero, so that sums with it stay comparable.
const LOG_ZERO: f64 = -1e30;
/// ID of the empty history.
const EMPTY_HISTORY: u32 = 0;

/// The identity of a hypothesis: words so far, letters of the current word, last label.
#[derive(Clone, Copy, PartialEq, Eq)]
struct HypothesisKey {
    history: u32,
    node: NodeId,
    last_label: u8,
}

#[derive(Clone, Copy)]
struct Hypothesis {
    key: HypothesisKey,
    /// Natural logarithm of the total probability of all paths that end in a blank.
    blank_score: f64,
    /// Natural logarithm of the total probability of all other paths.
    label_score: f64,
    /// Sum of the rewards of the words so far.
    word_rewards: f64,
    /// `ln(exp(blank_score) + exp(label_score))`, set once all paths are added.
    total: f64,
}

/// Word sequences as a tree with shared prefixes: equal sequences have equal IDs.
struct Histories {
    parents: Vec<(u32, WordId)>,
    ids: HashMap<(u32, WordId), u32>,
}

impl Histories {
    fn extend(&mut self, history: u32, word: WordId) -> u32 {
        *self.ids.entry((history, word)).or_insert_with(|| {
            self.parents.push((history, word));
            self.parents.len() as u32
        })
    }

    fn words(&self, mut history: u32) -> Vec<WordId> {
        let mut words = Vec::new();
        while history != EMPTY_HISTORY {
            let (parent, word) = self.parents[history as usize - 1];
            words.push(word);
            history = parent;
        }
        words.reverse();
        words
    }
}

/// The hypotheses of one frame, by key. Slots of earlier frames become stale instead of being
/// cleared.
struct Candidates {
    list: Vec<Hypothesis>,
    slots: Vec<(u32, u32)>,
    frame: u32,
}

/// Orders pairs of score and index: the highest score first, of equal ones the lowest index.
fn best_first(a: &(f64, u32), b: &(f64, u32)) -> Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

impl Candidates {
    /// Creates a table for at most `count` hypotheses per frame.
    fn new(count: usize) -> Self {
        Self {
            list: Vec::with_capacity(count),
            slots: vec![(0, 0); (2 * count).next_power_of_two()],
            frame: 0,
        }
    }

    fn next_frame(&mut self) {
        self.list.clear();
        self.frame += 1;
    }

    fn add(&mut self, key: HypothesisKey, blank_score: f64, label_score: f64, word_rewards: f64) {
        let packed_key = (u64::from(key.history) << 32 | u64::from(key.node))
            ^ (u64::from(key.last_label) << 59);
        let mask = self.slots.len() - 1;
        let mut slot = (packed_key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & mask;
        loop {
            let (frame, index) = self.slots[slot];
            if frame != self.frame {
                self.slots[slot] = (self.frame, self.list.len() as u32);
                self.list.push(Hypothesis {
                    key,
                    blank_score,
                    label_score,
                    word_rewards,
                    total: LOG_ZERO,
                });
                return;
            }
            let hypothesis = &mut self.list[index as usize];
            if hypothesis.key == key {
                hypothesis.blank_score = log_add(hypothesis.blank_score, blank_score);
                hypothesis.label_score = log_add(hypothesis.label_score, label_score);
                return;
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Selects the `width` best hypotheses, best first; ties go to the first one found.
    fn select_best(
        &mut self,
        width: usize,
        ranking: &mut Vec<(f64, u32)>,
        beam: &mut Vec<Hypothesis>,
    ) {
        ranking.clear();
        for (i, hypothesis) in self.list.iter_mut().enumerate() {
            hypothesis.total = log_add(hypothesis.blank_score, hypothesis.label_score);
            ranking.push((hypothesis.total + hypothesis.word_rewards, i as u32));
        }
        if ranking.len() > width {
            ranking.select_nth_unstable_by(width, best_first);
            ranking.truncate(width);
        }
        ranking.sort_unstable_by(best_first);
        beam.clear();
        beam.extend(ranking.iter().map(|&(_, i)| self.list[i as usize]));
    }
}

/// Finds the most likely words for rows of label probabilities (natural logarithms).
pub(super) fn search(rows: &[f32], lexicon: &Lexicon, settings: &Decoder) -> Vec<WordId> {
    let mut histories = Histories { parents: Vec::new(), ids: HashMap::new() };
    let mut candidates = Candidates::new((settings.beam + 1) * (labels::COUNT + 1));
    let mut ranking = Vec::new();
    let start = HypothesisKey { history: EMPTY_HISTORY, node: 0, last_label: labels::BLANK };
    let mut beam = vec![Hypothesis {
        key: start,
        blank_score: 0.0,
        label_score: LOG_ZERO,
        word_rewards: 0.0,
        total: 0.0,
    }];
    let mut likely_labels = Vec::with_capacity(labels::COUNT);

    for row in rows.chunks_exact(labels::COUNT) {
        candidates.next_frame();
        likely_labels.clear();
        likely_labels.extend(
            (1..labels::COUNT as u8)
                .filter(|&label| row[usize::from(label)] > settings.label_cut_ln),
        );
        for &Hypothesis { key, blank_score, label_score, word_rewards, total } in &beam {
            candidates.add(
                key,
                total + f64::from(row[usize::from(labels::BLANK)]),
                LOG_ZERO,
                word_rewards,
            );
            let repeat_score = row[usize::from(key.last_label)];
            if key.last_label != labels::BLANK && repeat_score > settings.label_cut_ln {
                candidates.add(key, LOG_ZERO, label_score + f64::from(repeat_score), word_rewards);
            }
            for &next in &likely_labels {
                // A repeated label is a new letter only after a blank.
                let prefix_score = if next == key.last_label { blank_score } else { total };
                let score = prefix_score + f64::from(row[usize::from(next)]);
                if score <= LOG_ZERO {
                    continue;
                }
                if next != labels::SPACE {
                    if let Some(node) = lexicon.child(key.node, next) {
                        candidates.add(
                            HypothesisKey { node, last_label: next, ..key },
                            LOG_ZERO,
                            score,
                            word_rewards,
                        );
                    }
                } else if key.node != 0 {
                    if let Some((word, reward)) = lexicon.word_at(key.node) {
                        let history = histories.extend(key.history, word);
                        candidates.add(
                            HypothesisKey { history, node: 0, last_label: next },
                            LOG_ZERO,
                            score,
                            word_rewards + reward,
                        );
                    }
                } else if key.last_label == labels::BLANK {
                    candidates.add(
                        HypothesisKey { last_label: next, ..key },
                        LOG_ZERO,
                        score,
                        word_rewards,
                    );
                }
            }
        }
        candidates.select_best(settings.beam, &mut ranking, &mut beam);
    }
    best_complete_words(&beam, &mut histories, lexicon)
}

/// Returns the words of the best hypothesis that ends with a complete word. If there is none, as in
/// truncated speech, returns the complete words of the best hypothesis.
fn best_complete_words(
    beam: &[Hypothesis],
    histories: &mut Histories,
    lexicon: &Lexicon,
) -> Vec<WordId> {
    let mut best =
        (LOG_ZERO, beam.first().map_or(EMPTY_HISTORY, |hypothesis| hypothesis.key.history), None);
    for Hypothesis { key, word_rewards, total, .. } in beam {
        let last = lexicon.word_at(key.node);
        if key.node != 0 && last.is_none() {
            continue;
        }
        let score = total + word_rewards + last.map_or(0.0, |(_, reward)| reward);
        if score > best.0 {
            best = (score, key.history, last);
        }
    }
    let (_, history, last) = best;
    let history = last.map_or(history, |(word, _)| histories.extend(history, word));
    histories.words(history)
}

/// Computes `ln(exp(a) + exp(b))`.
fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a < b { (b, a) } else { (a, b) };
    if low <= LOG_ZERO { high } else { high + (low - high).exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::super::labels::tests::rows;
    use super::*;

    const WORDS: &str = "a 300\nant 700\nbet 700\nbetter 700\ncan't 700\nhe 400\nhen 800\n";

    fn decoded_text(frames: &str) -> String {
        let settings = Decoder { alpha: 0.8, beta: 2.0, beam: 40, label_cut_ln: -9.0 };
        let lexicon = Lexicon::parse(WORDS, settings.alpha, settings.beta).unwrap();
        let words = search(&rows(frames), &lexicon, &settings);
        words.into_iter().map(|word| lexicon.spelling(word)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn repeats_and_blanks_are_dropped() {
        assert_eq!(decoded_text("__bb_ee_tt__"), "bet");
        assert_eq!(decoded_text("_he__ _aa_  ca_n_'_t_"), "he a can't");
        assert_eq!(decoded_text("  _he"), "he");
    }

    #[test]
    fn double_letter_needs_a_blank() {
        assert_eq!(decoded_text("bet_ter"), "better");
        assert_eq!(decoded_text("bet_"), "bet");
    }

    #[test]
    fn only_words_of_the_lexicon_are_recognised() {
        assert_eq!(decoded_text("_ett_"), "bet");
        assert_eq!(decoded_text("hez_"), "he");
    }

    #[test]
    fn empty_and_blank_inputs_have_no_text() {
        assert_eq!(decoded_text(""), "");
        assert_eq!(decoded_text("______"), "");
    }

    #[test]
    fn log_add_is_the_logarithm_of_the_sum() {
        assert!((log_add(0.25_f64.ln(), 0.5_f64.ln()) - 0.75_f64.ln()).abs() < 1e-12);
        assert!((log_add(LOG_ZERO, -3.0) + 3.0).abs() < 1e-12);
        assert!(log_add(LOG_ZERO, LOG_ZERO) <= LOG_ZERO);
    }
}
