use taonet_babelbit_core::records::ChallengeType;
use taonet_primitives::Uid;

/// What happens during a run, as it happens.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RunEvent {
    /// A challenge is about to be played.
    Challenge {
        /// Its name.
        challenge_uid: String,
        /// Its contest.
        challenge_type: ChallengeType,
        /// Number of utterances.
        utterances: usize,
        /// Seconds of source speech in all.
        source_sec: f64,
        /// Miners that take part.
        miners: usize,
        /// Whether an earlier run began it.
        resumed: bool,
    },
    /// A miner takes no part: its score stands already.
    AlreadyDone {
        /// The miner.
        miner: Uid,
    },
    /// A miner's reply to an utterance is complete.
    Played {
        /// The miner.
        miner: Uid,
        /// The utterance.
        utterance_index: u32,
        /// Seconds of speech in the reply.
        reply_sec: f64,
    },
    /// A miner's reply to an utterance failed.
    Failed {
        /// The miner.
        miner: Uid,
        /// The utterance.
        utterance_index: u32,
        /// Why.
        error: String,
    },
    /// All replies to an utterance are scored.
    Scored {
        /// The utterance.
        utterance_index: u32,
        /// Miner and score of each complete reply.
        scores: Vec<(Uid, f64)>,
    },
    /// A miner's result files are written.
    Written {
        /// The miner.
        miner: Uid,
        /// Its score in the challenge.
        score: f64,
    },
}

/// Is told what happens during a run. Calls come from many tasks and must not block.
pub trait RunObserver: Send + Sync {
    /// Something happened.
    fn observe(&self, event: RunEvent);
}

/// Looks away.
impl RunObserver for () {
    fn observe(&self, _: RunEvent) {}
}

impl<F: Fn(RunEvent) + Send + Sync> RunObserver for F {
    fn observe(&self, event: RunEvent) {
        self(event);
    }
}
