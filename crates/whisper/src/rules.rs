//! Logit filters: suppressed tokens and Whisper's timestamp rules, as in CTranslate2.

use crate::kernel::{log_sum_exp, max};
use crate::vocabulary::SpecialTokens;

/// Logit of a forbidden token.
pub(crate) const FORBIDDEN: f32 = f32::MIN;

/// Token rules of a window.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Tokens that are never allowed.
    pub(crate) suppressed: Vec<u32>,
    /// Tokens that are not allowed as the first token.
    pub(crate) suppressed_at_begin: Vec<u32>,
    pub(crate) end_of_text: u32,
    pub(crate) no_timestamps: u32,
    /// Latest timestamp token allowed as the first token.
    pub(crate) latest_first_timestamp: u32,
}

impl Rules {
    /// Creates the rules for a vocabulary; `latest_first_step` is the maximum first timestamp in
    /// steps of 20 ms.
    pub(crate) fn new(
        special: &SpecialTokens,
        suppressed: &[u32],
        suppressed_at_begin: &[u32],
        latest_first_step: u32,
    ) -> Self {
        Self {
            suppressed: suppressed.to_vec(),
            suppressed_at_begin: suppressed_at_begin.to_vec(),
            end_of_text: special.end_of_text,
            no_timestamps: special.no_timestamps,
            latest_first_timestamp: special.no_timestamps + 1 + latest_first_step,
        }
    }

    fn timestamp_begin(&self) -> u32 {
        self.no_timestamps + 1
    }

    fn is_timestamp(&self, token: u32) -> bool {
        token >= self.timestamp_begin()
    }

    /// Masks the logits of tokens that must not follow the tokens generated so far in this window.
    pub(crate) fn apply(&self, logits: &mut [f32], generated: &[u32]) {
        for token in &self.suppressed {
            forbid(logits, *token);
        }
        if generated.is_empty() {
            for token in &self.suppressed_at_begin {
                forbid(logits, *token);
            }
        }
        forbid(logits, self.no_timestamps);
        let begin = self.timestamp_begin() as usize;
        let end_of_text = self.end_of_text as usize;
        match generated {
            [] => {
                forbid_range(logits, 0, begin);
                forbid_range(logits, self.latest_first_timestamp as usize + 1, usize::MAX);
                return;
            }
            // Text must follow a pair of timestamps, or the first timestamp.
            [last] | [.., last, _]
                if self.is_timestamp(*last)
                    && generated.last().is_some_and(|token| self.is_timestamp(*token)) =>
            {
                forbid_range(logits, begin, usize::MAX);
                return;
            }
            // A single timestamp after text must be followed by an equal or later timestamp, or by
            // the end of text.
            [.., last] if self.is_timestamp(*last) => {
                forbid_range(logits, 0, end_of_text);
                forbid_range(logits, begin, *last as usize);
            }
            _ => {
                if let Some(latest) =
                    generated.iter().rev().find(|token| self.is_timestamp(**token))
                {
                    forbid_range(logits, begin, *latest as usize + 1);
                }
            }
        }
        if let Some((text, timestamps)) = logits.split_at_mut_checked(begin) {
            // Timestamps together are more probable than any other single token, so a timestamp
            // must follow.
            let (total, _) = log_sum_exp(timestamps);
            if total > max(text) {
                text.fill(FORBIDDEN);
            }
        }
    }
}

fn forbid(logits: &mut [f32], token: u32) {
    if let Some(logit) = logits.get_mut(token as usize) {
        *logit = FORBIDDEN;
    }
}

/// Forbids the tokens `from..to`, where `to` may exceed the vocabulary.
fn forbid_range(logits: &mut [f32], from: usize, to: usize) {
    let to = to.min(logits.len());
    if let Some(logits) = logits.get_mut(from.min(to)..to) {
        logits.fill(FORBIDDEN);
    }
}

#[cfg(test)]
mod tests;
