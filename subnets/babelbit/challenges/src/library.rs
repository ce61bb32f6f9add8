use std::sync::{Arc, Mutex, PoisonError};

use taonet_speech::Synthesizer;
use tokio::sync::OnceCell;

use super::{BuildError, BuiltChallenge, Challenge};

/// Challenges whose sound is kept, at about 1 MB for 20 s of speech.
const KEPT: usize = 16;

type Slot = Arc<OnceCell<Arc<BuiltChallenge>>>;

/// A list of challenges whose sound is made on first use and then kept; the least recently used are forgotten.
pub struct ChallengeLibrary {
    challenges: Vec<Arc<Challenge>>,
    synthesizer: Arc<dyn Synthesizer>,
    /// Positions in the list with their sound, the most recently used first.
    built: Mutex<Vec<(usize, Slot)>>,
}

impl ChallengeLibrary {
    /// A library of `challenges`, in this order.
    pub fn new(challenges: impl IntoIterator<Item = Challenge>, synthesizer: Arc<dyn Synthesizer>) -> Self {
        Self { challenges: challenges.into_iter().map(Arc::new).collect(), synthesizer, built: Mutex::default() }
    }

    /// How many challenges there are.
    pub fn len(&self) -> usize {
        self.challenges.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.challenges.is_empty()
    }

    /// The challenge at `position`, counted round and round; none in an empty library.
    pub fn get(&self, position: usize) -> Option<&Arc<Challenge>> {
        self.challenges.get(position.checked_rem(self.len())?)
    }

    /// The challenge at `position`, counted round and round, with its sound; none in an empty library.
    ///
    /// Callers that ask for the same challenge at once wait for one synthesis. A failed one is tried again next time.
    ///
    /// # Errors
    /// [`BuildError`] when an utterance could not be spoken.
    pub async fn built(&self, position: usize) -> Result<Option<Arc<BuiltChallenge>>, BuildError> {
        let Some(position) = position.checked_rem(self.len()) else { return Ok(None) };
        let Some(challenge) = self.challenges.get(position) else { return Ok(None) };
        let slot = self.slot(position);
        let build = || async {
            BuiltChallenge::build(Arc::clone(challenge), Arc::clone(&self.synthesizer)).await.map(Arc::new)
        };
        slot.get_or_try_init(build).await.cloned().map(Some)
    }

    fn slot(&self, position: usize) -> Slot {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match built.iter().position(|(other, _)| *other == position) {
            Some(index) => built.remove(index).1,
            None => Slot::default(),
        };
        built.insert(0, (position, Arc::clone(&slot)));
        built.truncate(KEPT);
        slot
    }
}
