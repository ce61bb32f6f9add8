//! Shortening of phrases by an in-process language model, after the rules of
//! [`rewrite`](crate::rewrite).
//!
//! The rules rewrite every phrase first: they track the conversation, and their phrase is the
//! fallback. The model then proposes a phrase that says the same in fewer words. A proposal is
//! spoken only if a guard accepts it. The guard rejects proposals that are longer than the phrase,
//! repeat words, are in another language, change a number or a negation, or whose meaning differs:
//! a cosine of the sentence embeddings below [`MIN_SIMILARITY`].
//!
//! Each phrase has a time limit, within that of its frame, and the model starts no step that is
//! expected to end after it, so that no reply is late. One phrase is shortened at a time; phrases
//! of other utterances do not wait for the model, since waiting would block the miner's workers.
//! After a phrase that took too long, the rules alone rewrite the phrases of the next 10 s
//! ([`FAILURE_COOLDOWN`]): a model that is too slow for the machine delays one frame and not every
//! frame.
//!
//! Decoding is greedy: the same phrase always gives the same proposal. Only the time limit and the
//! other utterances decide whether there is one.

mod guard;
mod model;

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use taonet_lm::ModelError;
use taonet_speech::{EmbedError, SentenceEmbedder};

use self::guard::ProposalGuard;
use crate::metrics;
use crate::remote::{FAILURE_COOLDOWN, spoken_words};

pub use self::guard::MIN_SIMILARITY;
pub use self::model::ChatPhraseModel;

/// Minimum number of words of a phrase for the model: shorter phrases have little to leave out.
const MIN_PHRASE_WORDS: usize = 4;

/// A model's proposal of a shorter version of an English phrase of lowercase words without
/// punctuation. Other letter case and punctuation in the proposal are ignored. Blocks while the
/// model computes.
pub type Propose = Box<dyn Fn(&str, ProposalLimits) -> Result<String, ProposalError> + Send + Sync>;

/// Limits of a proposal.
#[derive(Debug, Clone, Copy)]
pub struct ProposalLimits {
    /// Maximum number of words. The model stops when it exceeds this number.
    pub max_words: usize,
    /// Time at which the model stops.
    pub deadline: Instant,
}

/// Why a model has no proposal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposalError {
    /// The deadline has passed, or would pass before the next step of the model ends.
    #[error("the time limit of the phrase has passed")]
    TooSlow,
    /// The proposal exceeds the maximum number of words.
    #[error("the proposal is longer than the phrase")]
    TooLong,
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Why the phrase of the rules is spoken instead of a proposal.
#[derive(Debug, thiserror::Error)]
enum Rejection {
    #[error("a phrase took too long in the last seconds")]
    Paused,
    #[error("the model shortens a phrase of another utterance")]
    Busy,
    #[error(transparent)]
    Proposal(#[from] ProposalError),
    #[error("the proposal repeats words")]
    Repetitive,
    #[error("the proposal is in another language")]
    ForeignLanguage,
    #[error("the proposal changes a number or a negation, or has another meaning")]
    MeaningChanged,
    #[error(transparent)]
    Embedding(#[from] EmbedError),
}

impl Rejection {
    /// Returns the outcome in the metrics.
    const fn label(&self) -> &'static str {
        match self {
            Self::Paused => "skipped",
            Self::Busy => "busy",
            Self::Proposal(ProposalError::TooSlow) => "timeout",
            Self::Proposal(ProposalError::TooLong) => "longer",
            Self::Repetitive => "repetitive",
            Self::ForeignLanguage => "language",
            Self::MeaningChanged => "meaning",
            Self::Proposal(ProposalError::Model(_)) | Self::Embedding(_) => "error",
        }
    }

    const fn is_failure(&self) -> bool {
        matches!(self, Self::Proposal(ProposalError::Model(_)) | Self::Embedding(_))
    }
}

/// The shortening stage of an interpreter: a language model and the guard of its proposals. All
/// utterances share it.
pub struct Shortener {
    propose: Propose,
    guard: ProposalGuard,
    phrase_limit: Duration,
    state: Mutex<ShortenerState>,
}

#[derive(Default)]
struct ShortenerState {
    /// Whether a phrase is being shortened.
    is_busy: bool,
    /// Time until which phrases are not shortened, after one that took too long.
    paused_until: Option<Instant>,
}

/// Exclusive use of the model, until it is dropped.
struct Permit<'a>(&'a Shortener);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.state().is_busy = false;
    }
}

impl Shortener {
    /// Default time limit of a phrase.
    pub const LIMIT: Duration = Duration::from_millis(800);

    /// Creates a stage with a time limit of `phrase_limit` for each phrase. `embedder` compares the
    /// meaning of phrases and proposals.
    pub fn new(
        propose: Propose,
        embedder: Arc<dyn SentenceEmbedder>,
        phrase_limit: Duration,
    ) -> Self {
        Self { propose, guard: ProposalGuard::new(embedder), phrase_limit, state: Mutex::default() }
    }

    /// Returns the words to speak for a phrase of the rules: the model's proposal if the guard
    /// accepts it, otherwise the phrase itself. Returns by `deadline`: the model starts no step
    /// that is expected to end later. Only the comparison of meanings can take a few milliseconds
    /// more.
    pub(crate) fn shorten(&self, phrase: Vec<String>, deadline: Instant) -> Vec<String> {
        if phrase.len() < MIN_PHRASE_WORDS {
            return phrase;
        }
        let start = Instant::now();
        let result = self.attempt(&phrase, deadline.min(start + self.phrase_limit));
        metrics::record_shortening(
            result.as_ref().map_or_else(Rejection::label, |_| "complete"),
            start.elapsed(),
        );
        match result {
            Ok(shorter) => shorter,
            Err(rejection) => {
                if rejection.is_failure() {
                    tracing::warn!(error = &rejection as &dyn Error, "language model failed");
                } else {
                    tracing::debug!(reason = %rejection, phrase = phrase.join(" "), "phrase not shortened");
                }
                phrase
            }
        }
    }

    fn attempt(&self, phrase: &[String], deadline: Instant) -> Result<Vec<String>, Rejection> {
        let _permit = self.acquire()?;
        // Too little time is not a sign of a slow model if other phrases of the frame have used it.
        let had_time = Instant::now() + self.phrase_limit / 2 <= deadline;
        let result = self.accepted_proposal(phrase, deadline);
        if had_time && matches!(result, Err(Rejection::Proposal(ProposalError::TooSlow))) {
            tracing::warn!(
                limit_sec = self.phrase_limit.as_secs_f64(),
                pause_sec = FAILURE_COOLDOWN.as_secs(),
                "language model is too slow; the rules alone rewrite the phrases during the pause"
            );
            self.state().paused_until = Some(Instant::now() + FAILURE_COOLDOWN);
        }
        result
    }

    fn accepted_proposal(
        &self,
        phrase: &[String],
        deadline: Instant,
    ) -> Result<Vec<String>, Rejection> {
        let limits = ProposalLimits { max_words: phrase.len(), deadline };
        let proposal = spoken_words(&(self.propose)(&phrase.join(" "), limits)?);
        self.guard.check(phrase, &proposal)?;
        if Instant::now() > deadline {
            return Err(ProposalError::TooSlow.into());
        }
        Ok(proposal)
    }

    /// Acquires the model, unless it is in use or paused.
    fn acquire(&self) -> Result<Permit<'_>, Rejection> {
        let mut state = self.state();
        if state.paused_until.is_some_and(|until| Instant::now() < until) {
            return Err(Rejection::Paused);
        }
        if std::mem::replace(&mut state.is_busy, true) {
            return Err(Rejection::Busy);
        }
        drop(state);
        Ok(Permit(self))
    }

    fn state(&self) -> MutexGuard<'_, ShortenerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
