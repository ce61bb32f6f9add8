//! Scoring of challenges that are played at the same time, deferred until none is playing: scoring
//! would take processor time from a miner on the same machine.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use taonet_babelbit_core::reference::Reference;
use taonet_babelbit_core::scoring::{BatchFailure, ScoreResult};
use taonet_babelbit_runner::{ReplyScorer, RunEvent, RunObserver};
use taonet_babelbit_scorer::{AudioHash, Candidate, ScoringConditions, Transcription};

/// The number of challenges that are playing.
#[derive(Default)]
pub(super) struct PlayCounter {
    playing: Mutex<usize>,
    idle: Condvar,
}

impl PlayCounter {
    /// Counts a challenge of one utterance until its reply has ended, or until the value is
    /// dropped.
    pub(super) fn start(self: &Arc<Self>) -> PlayObserver {
        *self.playing() += 1;
        PlayObserver(Mutex::new(Some(PlayGuard(Arc::clone(self)))))
    }

    /// Blocks until no challenge is playing.
    fn wait_until_idle(&self) {
        let playing = self.idle.wait_while(self.playing(), |playing| *playing > 0);
        drop(playing.unwrap_or_else(PoisonError::into_inner));
    }

    fn playing(&self) -> MutexGuard<'_, usize> {
        // No code can panic during an update of the number.
        self.playing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A challenge in the count, which its drop reduces.
struct PlayGuard(Arc<PlayCounter>);

impl Drop for PlayGuard {
    fn drop(&mut self) {
        *self.0.playing() -= 1;
        self.0.idle.notify_all();
    }
}

/// Observer of a run that counts its challenge as playing until the reply has ended.
pub(super) struct PlayObserver(Mutex<Option<PlayGuard>>);

impl RunObserver for PlayObserver {
    fn observe(&self, event: RunEvent) {
        if matches!(event, RunEvent::Played { .. } | RunEvent::Failed { .. }) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

/// A scorer that works only while no challenge is playing.
pub(super) struct DeferredScorer {
    scorer: Arc<dyn ReplyScorer>,
    counter: Arc<PlayCounter>,
}

impl DeferredScorer {
    pub(super) const fn new(scorer: Arc<dyn ReplyScorer>, counter: Arc<PlayCounter>) -> Self {
        Self { scorer, counter }
    }
}

impl ReplyScorer for DeferredScorer {
    /// Does nothing: the reply is recognised when it is scored.
    fn prepare(&self, _: &Candidate) {}

    fn score(
        &self,
        reference: Result<&Reference, &BatchFailure>,
        candidates: &[Candidate],
    ) -> Vec<ScoreResult> {
        self.counter.wait_until_idle();
        self.scorer.score(reference, candidates)
    }

    fn conditions(&self) -> Option<ScoringConditions> {
        self.scorer.conditions()
    }

    fn cached_transcript(&self, audio: AudioHash) -> Option<Arc<Transcription>> {
        self.scorer.cached_transcript(audio)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use taonet_primitives::Uid;

    use super::*;

    #[test]
    fn scoring_waits_for_the_last_reply() {
        let counter = Arc::new(PlayCounter::default());
        let [first, second, third] = std::array::from_fn(|_| counter.start());
        let scoring_counter = Arc::clone(&counter);
        let scorer = std::thread::spawn(move || scoring_counter.wait_until_idle());
        let played_event =
            |reply_sec| RunEvent::Played { miner: Uid(0), utterance_index: 0, reply_sec };
        first.observe(played_event(1.0));
        // Further events of a challenge that has been played do not count.
        first.observe(RunEvent::Scored { utterance_index: 0, scores: Vec::new() });
        first.observe(played_event(1.0));
        let error = "timeout".to_owned();
        second.observe(RunEvent::Failed { miner: Uid(0), utterance_index: 0, error });
        std::thread::sleep(Duration::from_millis(20));
        assert!(!scorer.is_finished());
        // A cancelled challenge is not awaited.
        drop(third);
        scorer.join().unwrap();
        assert_eq!(*counter.playing(), 0);
    }
}
