//! Margin of a beam search over another result.

use std::collections::HashMap;

use super::*;
use crate::decoder::Slot;
use crate::kernel::log_sum_exp;
use crate::search::{Search, SearchTask, Strategy};

/// Margin of a beam search over another hypothesis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Margin {
    /// Step at which the search decided against the other hypothesis.
    pub(super) step: usize,
    /// Smallest change of a candidate's log probability that gives the other hypothesis a chance.
    pub(super) score: f32,
}

/// A hypothesis, followed from step to step.
struct TrackedHypothesis {
    /// Tokens, including the end of text unless the hypothesis has the maximum length.
    tokens: Vec<u32>,
    /// Sum of the log probabilities so far.
    score: f32,
    /// Step from which the hypothesis differs from the other one.
    different: usize,
    /// Smallest lead since that step over the best candidate that was dropped in the same step.
    lead: f32,
    /// Step at which the hypothesis left the beams, and its distance to the last candidate that was
    /// kept.
    left: Option<Margin>,
    has_ended: bool,
}

impl TrackedHypothesis {
    fn new(tokens: &[u32], different: usize, task: &SearchTask) -> Self {
        let mut tokens = tokens.to_vec();
        if tokens.len() < task.max_tokens {
            tokens.push(task.rules.end_of_text);
        }
        Self { tokens, score: 0.0, different, lead: f32::INFINITY, left: None, has_ended: false }
    }

    /// Notes the score of the hypothesis at a step. `rivals` are the scores of the candidates that
    /// compete for the same `beams` places, itself included, in descending order.
    fn advance(&mut self, step: usize, score: f32, rivals: &[f32], beams: usize) {
        self.score = score;
        self.has_ended = step + 1 == self.tokens.len();
        if score < rivals[beams - 1] {
            self.left = Some(Margin { step, score: rivals[beams - 1] - score });
        } else if step >= self.different {
            // An earlier step would remove both hypotheses.
            self.lead = self.lead.min(score - rivals[beams]);
        }
    }
}

/// Repeats a beam search with the result `ours`, and measures how close it was to `theirs`.
///
/// - If `theirs` left the beams: its distance to the last candidate that was kept.
/// - If the search ended before `theirs` did: the smallest lead with which another hypothesis
///   ended; or, if smaller, the smallest change that removes `ours` from the beams.
/// - If `theirs` ended with a lower score: the difference of the scores; or, if smaller, the
///   smallest change that removes `ours` from the beams or ends the search before it.
pub(super) fn margin(model: &Model, task: SearchTask, ours: &[u32], theirs: &[u32]) -> Margin {
    let Strategy::Beam { beams, .. } = task.strategy else { panic!("samples are random") };
    let (rules, prompt, longest) = (task.rules.clone(), task.prompt.len(), task.max_tokens);
    let different = ours.iter().zip(theirs).take_while(|(ours, theirs)| ours == theirs).count();
    let [mut ours_followed, mut theirs_followed] =
        [ours, theirs].map(|tokens| TrackedHypothesis::new(tokens, different, &task));
    let (mut buffers, mut cache) = (model.buffers(), model.decoder.cache());
    let (gemm, width, tokens) =
        (buffers.gemm.clone(), model.decoder.width(), model.decoder.tokens());
    let mut search = Search::new(task);
    let mut token_of: HashMap<Slot, u32> = HashMap::new();
    let mut scores: HashMap<Vec<u32>, f32> = HashMap::from([(Vec::new(), 0.0)]);
    // The smallest change that lets one more hypothesis end at some step, and the smallest that
    // prevents an end.
    let (mut one_more, mut one_less) = (f32::INFINITY, f32::INFINITY);
    for step in 0.. {
        let (mut rows, mut logit_rows) = (Vec::new(), Vec::new());
        search.rows(&mut cache, 0, &mut rows, &mut logit_rows);
        token_of.extend(rows.iter().map(|row| (*row.slots.last().unwrap(), row.token)));
        let memory = search.memory().clone();
        let states = model
            .decoder
            .forward(&gemm, &mut buffers, &mut cache, &[&memory], &rows, None)
            .unwrap();
        let selected_states: Vec<f32> =
            logit_rows.iter().flat_map(|row| states[row * width..][..width].to_vec()).collect();
        model.decoder.logits(&gemm, &mut buffers, &selected_states).unwrap();

        let mut candidates: Vec<(Vec<u32>, f32)> = Vec::new();
        // The first step has one beam, in the last row; another row is for the no-speech
        // probability.
        let first = if step == 0 { logit_rows.len() - 1 } else { 0 };
        for (row, logits) in logit_rows.iter().zip(buffers.logits.chunks_exact(tokens)).skip(first)
        {
            let path: Vec<u32> =
                rows[*row].slots[prompt..].iter().map(|slot| token_of[slot]).collect();
            let mut logits = logits.to_vec();
            rules.apply(&mut logits, &path);
            let (total, _) = log_sum_exp(&logits);
            let extended = |token| path.iter().copied().chain([token]).collect();
            candidates.extend(
                (0..)
                    .zip(&logits)
                    .map(|(token, logit)| (extended(token), logit - total + scores[&path])),
            );
        }
        candidates.sort_by(|a, b| b.1.total_cmp(&a.1));
        let ends = |path: &[u32]| step + 1 == longest || path.ends_with(&[rules.end_of_text]);
        let all: Vec<f32> = candidates.iter().map(|(_, score)| *score).collect();
        let open: Vec<f32> =
            candidates.iter().filter(|(path, _)| !ends(path)).map(|(_, score)| *score).collect();
        for (path, score) in &candidates {
            for hypothesis in [&mut ours_followed, &mut theirs_followed] {
                if hypothesis.left.is_none() && hypothesis.tokens.starts_with(path) {
                    hypothesis.advance(step, *score, if ends(path) { &all } else { &open }, beams);
                }
            }
            if ends(path) {
                if *score < all[beams - 1] {
                    one_more = one_more.min(all[beams - 1] - score);
                } else {
                    one_less = one_less.min(score - all[beams]);
                }
            }
        }
        scores = candidates.into_iter().take(2 * beams).collect();
        if let Some((hypothesis, _)) = search.advance(&mut cache, &mut buffers.logits, tokens) {
            assert_eq!(hypothesis.tokens, ours, "the search is not repeatable");
            break;
        }
    }
    if let Some(left) = theirs_followed.left {
        return left;
    }
    if !theirs_followed.has_ended {
        return if ours_followed.lead < one_less {
            Margin { step: different, score: ours_followed.lead }
        } else {
            Margin { step: ours_followed.tokens.len() - 1, score: one_less }
        };
    }
    let mean = |score: f32, tokens: &[u32]| score / tokens.len() as f32;
    let lower = (mean(ours_followed.score, ours) - mean(theirs_followed.score, theirs))
        * ours.len().max(theirs.len()) as f32;
    let removed = if ours.len() > theirs.len() {
        ours_followed.lead.min(one_more)
    } else {
        ours_followed.lead
    };
    Margin { step: different, score: lower.min(removed) }
}
