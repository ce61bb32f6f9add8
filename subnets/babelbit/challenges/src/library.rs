use std::sync::{Arc, Mutex, PoisonError};

use taonet_speech::Synthesizer;
use tokio::sync::OnceCell;

use super::{BuildError, BuiltChallenge, Challenge};

/// Maximum number of challenges with cached audio, at about 1 MB per 20 s of speech.
const MAX_CACHED_CHALLENGES: usize = 16;

type Slot = Arc<OnceCell<Arc<BuiltChallenge>>>;

/// A list of challenges whose audio is built on first use and stored in an LRU cache.
pub struct ChallengeLibrary {
    challenges: Vec<Arc<Challenge>>,
    synthesizer: Arc<dyn Synthesizer>,
    /// Cached audio by position in the list, most recently used first.
    cache: Mutex<Vec<(usize, Slot)>>,
}

impl ChallengeLibrary {
    /// Creates a library of `challenges`, in this order.
    pub fn new(
        challenges: impl IntoIterator<Item = Challenge>,
        synthesizer: Arc<dyn Synthesizer>,
    ) -> Self {
        Self {
            challenges: challenges.into_iter().map(Arc::new).collect(),
            synthesizer,
            cache: Mutex::default(),
        }
    }

    /// Returns the number of challenges.
    pub fn len(&self) -> usize {
        self.challenges.len()
    }

    /// Whether the library is empty.
    pub fn is_empty(&self) -> bool {
        self.challenges.is_empty()
    }

    /// Returns the challenge at `position` modulo the library's length; `None` in an empty library.
    pub fn get(&self, position: usize) -> Option<&Arc<Challenge>> {
        self.challenges.get(position.checked_rem(self.len())?)
    }

    /// Returns the challenge at `position` modulo the library's length, with its audio; `None` in
    /// an empty library.
    ///
    /// Concurrent callers for the same challenge share one synthesis. The next call retries a
    /// failed synthesis.
    ///
    /// # Errors
    /// [`BuildError`] when the synthesis of an utterance fails.
    pub async fn get_or_build(
        &self,
        position: usize,
    ) -> Result<Option<Arc<BuiltChallenge>>, BuildError> {
        let Some(position) = position.checked_rem(self.len()) else { return Ok(None) };
        let Some(challenge) = self.challenges.get(position) else { return Ok(None) };
        let slot = self.slot(position);
        let build = || async {
            BuiltChallenge::build(Arc::clone(challenge), Arc::clone(&self.synthesizer))
                .await
                .map(Arc::new)
        };
        slot.get_or_try_init(build).await.cloned().map(Some)
    }

    fn slot(&self, position: usize) -> Slot {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match cache.iter().position(|(other, _)| *other == position) {
            Some(index) => cache.remove(index).1,
            None => Slot::default(),
        };
        cache.insert(0, (position, Arc::clone(&slot)));
        cache.truncate(MAX_CACHED_CHALLENGES);
        slot
    }
}
