//! Best candidates among the tokens of all beams.

use crate::kernel::max;

/// A candidate token to extend a beam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) beam: usize,
    pub(super) token: u32,
    pub(super) score: f32,
}

/// The best candidates in descending order of score; on a tie, the candidate found first ranks
/// higher.
pub(super) struct TopCandidates {
    best: Vec<Candidate>,
    count: usize,
}

/// Logits per block: most blocks contain no candidate and are skipped.
const BLOCK_LOGITS: usize = 256;

impl TopCandidates {
    pub(super) fn new(count: usize) -> Self {
        Self { best: Vec::with_capacity(count + 1), count }
    }

    /// Considers the tokens of one beam; `score` must be a non-decreasing function of the logit.
    pub(super) fn scan(&mut self, beam: usize, logits: &[f32], score: impl Fn(f32) -> f32) {
        for (block, logits) in logits.chunks(BLOCK_LOGITS).enumerate() {
            if self.is_full() && score(max(logits)) <= self.worst() {
                continue;
            }
            for (index, &logit) in logits.iter().enumerate() {
                let score = score(logit);
                if !self.is_full() || score > self.worst() {
                    self.insert(Candidate {
                        beam,
                        token: (block * BLOCK_LOGITS + index) as u32,
                        score,
                    });
                }
            }
        }
    }

    fn is_full(&self) -> bool {
        self.best.len() == self.count
    }

    fn worst(&self) -> f32 {
        self.best.last().map_or(f32::NEG_INFINITY, |candidate| candidate.score)
    }

    fn insert(&mut self, candidate: Candidate) {
        let at = self.best.partition_point(|other| other.score >= candidate.score);
        self.best.insert(at, candidate);
        self.best.truncate(self.count);
    }

    pub(super) fn into_sorted(self) -> Vec<Candidate> {
        self.best
    }
}
