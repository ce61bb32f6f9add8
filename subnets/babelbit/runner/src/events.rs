use taonet_babelbit_core::records::ChallengeType;
use taonet_primitives::Uid;

/// Progress events of a run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RunEvent {
    /// A challenge starts.
    Challenge {
        /// ID of the challenge.
        challenge_uid: String,
        /// Contest of the challenge.
        challenge_type: ChallengeType,
        /// Number of utterances.
        utterances: usize,
        /// Total duration of source speech in seconds.
        source_sec: f64,
        /// Number of participating miners.
        miners: usize,
        /// Whether the challenge was started by an earlier run.
        resumed: bool,
    },
    /// A miner is skipped: it already has a score.
    AlreadyDone {
        /// Uid of the miner.
        miner: Uid,
    },
    /// A miner's reply to an utterance is complete.
    Played {
        /// Uid of the miner.
        miner: Uid,
        /// Position of the utterance.
        utterance_index: u32,
        /// Duration of the reply in seconds.
        reply_sec: f64,
    },
    /// A miner's reply to an utterance failed.
    Failed {
        /// Uid of the miner.
        miner: Uid,
        /// Position of the utterance.
        utterance_index: u32,
        /// Why the reply failed.
        error: String,
    },
    /// All replies to an utterance are scored.
    Scored {
        /// Position of the utterance.
        utterance_index: u32,
        /// Uid and score of each complete reply.
        scores: Vec<(Uid, f64)>,
    },
    /// A miner's result files are written.
    Written {
        /// Uid of the miner.
        miner: Uid,
        /// The miner's score in the challenge.
        score: f64,
    },
}

/// Observer of a run's events. Called concurrently from many tasks; must not block.
pub trait RunObserver: Send + Sync {
    /// Called for each event.
    fn observe(&self, event: RunEvent);
}

/// Ignores all events.
impl RunObserver for () {
    fn observe(&self, _: RunEvent) {}
}

impl<F: Fn(RunEvent) + Send + Sync> RunObserver for F {
    fn observe(&self, event: RunEvent) {
        self(event);
    }
}
