use taonet_babelbit_core::records::ChallengeType;
use taonet_primitives::Uid;

/// Progress events of a run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RunEvent {
    /// The run starts a challenge.
    Challenge {
        /// ID of the challenge.
        challenge_uid: String,
        /// Title of the challenge; `None` if the engine sent none.
        title: Option<String>,
        /// Contest of the challenge.
        challenge_type: ChallengeType,
        /// Number of utterances in the challenge.
        utterances: usize,
        /// Total duration of source speech in seconds.
        source_sec: f64,
        /// Number of participating miners.
        miners: usize,
        /// Whether an earlier run started the challenge.
        resumed: bool,
    },
    /// The run skips a miner that already has a score.
    AlreadyDone {
        /// Uid of the miner.
        miner: Uid,
    },
    /// A miner's reply to an utterance is complete.
    Played {
        /// Uid of the miner.
        miner: Uid,
        /// Position of the utterance in the challenge, from 0.
        utterance_index: u32,
        /// Duration of the reply in seconds.
        reply_sec: f64,
    },
    /// A miner's reply to an utterance failed.
    Failed {
        /// Uid of the miner.
        miner: Uid,
        /// Position of the utterance in the challenge, from 0.
        utterance_index: u32,
        /// Why the reply failed.
        error: String,
    },
    /// All replies to an utterance are scored.
    Scored {
        /// Position of the utterance in the challenge, from 0.
        utterance_index: u32,
        /// Pairs of miner uid and score, one for each complete reply.
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

/// Receives the events of a run. Many tasks call it concurrently, so it must not block.
pub trait RunObserver: Send + Sync {
    /// Handles one event.
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
