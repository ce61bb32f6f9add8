use taonet_chain::weights::RowError;
use taonet_chain::{Block, ChainError};
use taonet_primitives::{BlockNumber, NetUid};
use taonet_timelock::{EncryptError, ScheduleError};

use crate::{LedgerError, State};

/// Why weights were not submitted. What the chain says of a submission is no error: see [`Submission`](crate::Submission).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The ledger failed, so that nothing may be signed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The chain could not be asked.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// There is no round to encrypt the weights to.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The weights cannot be encrypted.
    #[error(transparent)]
    Encrypt(#[from] EncryptError),
    /// A subnet without epochs takes no weights.
    #[error("subnet {0} has no epochs (its tempo is 0): weights there count for nothing; wait until its tempo is set")]
    NoEpochs(NetUid),
    /// The chain hides weights in a way that this program does not know.
    #[error(
        "subnet {netuid} wants weights by commit-reveal version {version}, which this program does not know: update it"
    )]
    UnknownCommitReveal {
        /// The subnet.
        netuid: NetUid,
        /// The chain's `CommitRevealWeightsVersion`.
        version: u16,
    },
    /// The chain would refuse the version key.
    #[error("subnet {netuid} takes weights of version {wanted} or later, not of version {given}: update the validator")]
    VersionKey {
        /// The subnet.
        netuid: NetUid,
        /// The subnet's lowest.
        wanted: u64,
        /// The one that was given.
        given: u64,
    },
    /// The chain would refuse the weights.
    #[error("subnet {netuid} does not take these weights; bring the scores within its limits first")]
    Limits {
        /// The subnet.
        netuid: NetUid,
        /// What it has against them.
        source: RowError,
    },
    /// The first weights after a start follow from a state of too long ago.
    #[error(
        "these weights follow from the state at block {state_block}, {age} blocks ago and more than the tempo of {tempo}: \
         after a start, evaluate the miners again before weights are set"
    )]
    StaleState {
        /// The block that the weights follow from.
        state_block: BlockNumber,
        /// How long ago that is, in blocks.
        age: u32,
        /// The subnet's tempo, in blocks.
        tempo: u16,
    },
    /// The chain is not the one that the ledger is about.
    #[error(
        "the node does not have block {0}, which was final when the ledger saw it: it is behind, or its chain was begun \
         anew. Wait for it, or use another ledger directory"
    )]
    AnotherChain(Block),
    /// The node is behind what was seen before: what it says of epochs is of the past.
    #[error("the node's newest block is {head}, and block {seen} was seen before: wait until it has caught up")]
    Behind {
        /// Its newest block.
        head: BlockNumber,
        /// The newest that was seen.
        seen: BlockNumber,
    },
    /// There is no intent for the epoch.
    #[error("no weights were submitted for epoch {0} from here; submit them first")]
    NothingToRetry(u64),
    /// The time is over.
    #[error("the time for this step is over: submit new weights in the current epoch")]
    TooLate,
    /// What was signed before may still have its effect.
    #[error(
        "nothing is signed again: the extrinsic before it is {state} and may still be in a block up to {}; ask again after it",
        last_block.map_or_else(|| "the end of time".to_owned(), |block| block.to_string())
    )]
    Unsettled {
        /// How far that one has come.
        state: State,
        /// The end of its era.
        last_block: Option<BlockNumber>,
    },
}

impl SubmitError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Chain(error) => error.is_retryable(),
            Self::Unsettled { .. } | Self::Behind { .. } => true,
            _ => false,
        }
    }
}
