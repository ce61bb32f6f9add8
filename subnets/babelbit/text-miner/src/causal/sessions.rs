//! Key-value caches of utterances, looked up by the prefix of tokens that they share with a prompt.
//!
//! A cache is independent of the engine's sessions: prompts with a common prefix share it,
//! regardless of caller and order.

use taonet_lm::{CausalModel, KvCache, ModelError};

/// The cache of one utterance.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Tokens of the cache: a prompt, and the tokens generated after it.
    tokens: Vec<u32>,
    /// Number of tokens of the prompt.
    prompt_tokens: usize,
    pub(super) cache: KvCache,
    /// Number of the last prompt that used the cache.
    last_used: u64,
}

impl Session {
    /// Processes tokens that follow those in the cache, and returns the logits after the last one.
    pub(super) fn read(
        &mut self,
        model: &CausalModel,
        tokens: &[u32],
    ) -> Result<Vec<f32>, ModelError> {
        let logits = model.next(tokens, &mut self.cache)?;
        self.tokens.extend(tokens);
        Ok(logits)
    }

    fn common_prefix(&self, prompt: &[u32]) -> usize {
        self.tokens.iter().zip(prompt).take_while(|(one, other)| one == other).count()
    }

    /// Whether a prompt continues the utterance, or repeats its beginning. Only a common prefix is
    /// required, because generated tokens may be wrong, and a deadline may have truncated the
    /// prompt.
    fn is_continued_by(&self, prompt: &[u32]) -> bool {
        let prefix = self.common_prefix(prompt);
        prefix == prompt.len() || prefix >= self.prompt_tokens.min(self.tokens.len())
    }
}

/// The key-value caches of utterances.
#[derive(Debug)]
pub(super) struct Sessions {
    entries: Vec<Session>,
    max_entries: usize,
    max_bytes: usize,
    prompts: u64,
}

impl Sessions {
    pub(super) const fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self { entries: Vec::new(), max_entries, max_bytes, prompts: 0 }
    }

    /// Returns the session for a prompt. Its cache holds the tokens shared with earlier prompts,
    /// except the last token of the prompt, which must be processed again to get the logits. The
    /// session is the last in the list.
    pub(super) fn open(&mut self, prompt: &[u32]) -> Result<&mut Session, ModelError> {
        self.prompts += 1;
        let max_prefix = prompt.len().saturating_sub(1);
        let best = self
            .entries
            .iter()
            .enumerate()
            .map(|(index, session)| (session.common_prefix(prompt).min(max_prefix), index))
            .max();
        let best = best.filter(|(prefix, _)| *prefix > 0);
        let mut session = match best.and_then(|(prefix, index)| {
            self.entries.get(index).map(|session| (prefix, index, session))
        }) {
            Some((prefix, index, session)) if session.is_continued_by(prompt) => {
                let mut session = self.entries.remove(index);
                session.cache.truncate(prefix);
                session.tokens.truncate(prefix);
                session
            }
            // The found utterance may continue, too.
            Some((prefix, _, session)) => Session {
                cache: session.cache.fork(prefix)?,
                tokens: session.tokens.iter().take(prefix).copied().collect(),
                ..Session::default()
            },
            None => Session::default(),
        };
        session.prompt_tokens = prompt.len();
        session.last_used = self.prompts;
        self.entries.push(session);
        self.shrink();
        // `shrink` keeps the session that was used last, and the last one stays the last.
        self.entries.last_mut().ok_or(ModelError::Tokens)
    }

    /// Drops the least recently used caches until the others are within the limits. The last one
    /// always stays.
    pub(super) fn shrink(&mut self) {
        while self.entries.len() > 1
            && (self.entries.len() > self.max_entries || self.bytes() > self.max_bytes)
        {
            let oldest = self
                .entries
                .iter()
                .enumerate()
                .min_by_key(|(_, session)| session.last_used)
                .map(|(index, _)| index);
            let Some(oldest) = oldest else { return };
            self.entries.remove(oldest);
        }
    }

    fn bytes(&self) -> usize {
        self.entries.iter().map(|session| session.cache.bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causal::tests::tiny_model;

    /// Opens the session of a prompt and processes the rest of the prompt, then one more token.
    /// Returns the number of cached tokens.
    fn open(sessions: &mut Sessions, model: &CausalModel, prompt: &[u32]) -> usize {
        let session = sessions.open(prompt).unwrap();
        let cached = session.cache.tokens();
        session.read(model, &prompt[cached..]).unwrap();
        session.read(model, &[7]).unwrap();
        assert_eq!(session.tokens.len(), session.cache.tokens());
        cached
    }

    /// Columns: prompt, number of cached tokens.
    #[test]
    fn prompts_with_a_common_prefix_share_the_cache() {
        let model = tiny_model();
        let mut sessions = Sessions::new(3, usize::MAX);
        let table: [(&[u32], usize); 11] = [
            (&[1, 2, 3], 0),
            // The next word of the utterance, then one that was generated before.
            (&[1, 2, 3, 4], 3),
            (&[1, 2, 3, 4, 7, 5], 5),
            // The same prompt again: its last token gives the logits.
            (&[1, 2, 3, 4, 7, 5], 5),
            // Another utterance of the same dialogue, in turns.
            (&[1, 2, 8], 2),
            (&[1, 2, 3, 4, 7, 5, 6], 6),
            (&[1, 2, 8, 9], 3),
            // A third and a fourth dialogue: the oldest is dropped.
            (&[20, 21], 0),
            (&[30, 31], 0),
            (&[1, 2, 8, 9, 10], 4),
            (&[1, 2, 3, 4, 7, 5, 6], 2),
        ];
        for (prompt, cached) in table {
            assert_eq!(open(&mut sessions, &model, prompt), cached, "{prompt:?}");
            assert!(sessions.entries.len() <= 3);
        }
    }

    #[test]
    fn shared_cache_has_the_logits_of_a_separate_cache() {
        let model = tiny_model();
        let mut sessions = Sessions::new(4, usize::MAX);
        for prompt in
            [&[1, 2, 3, 4][..], &[1, 2, 9], &[1, 2, 3, 4, 5], &[1, 2, 9, 8, 7, 6], &[1, 2, 3, 4]]
        {
            let session = sessions.open(prompt).unwrap();
            let cached = session.cache.tokens();
            let actual = session.read(&model, &prompt[cached..]).unwrap();
            let expected = model.next(prompt, &mut KvCache::default()).unwrap();
            for (actual, expected) in actual.iter().zip(expected) {
                assert!((actual - expected).abs() < 1e-4, "{prompt:?}: {actual} {expected}");
            }
        }
    }

    #[test]
    fn cached_sessions_have_a_memory_limit() {
        let model = tiny_model();
        let one = {
            let mut sessions = Sessions::new(1, usize::MAX);
            open(&mut sessions, &model, &[1, 2]);
            sessions.bytes()
        };
        let mut sessions = Sessions::new(100, 2 * one);
        for first in 10..20 {
            open(&mut sessions, &model, &[first, 2]);
            sessions.shrink();
            assert!(sessions.bytes() <= 2 * one, "{} of {}", sessions.bytes(), 2 * one);
        }
        assert_eq!(sessions.entries.len(), 2);
        // A cache that is larger than the bound is kept alone.
        let mut sessions = Sessions::new(100, 1);
        assert_eq!(
            (open(&mut sessions, &model, &[1, 2, 3]), open(&mut sessions, &model, &[1, 2, 3, 4])),
            (0, 3)
        );
    }
}
