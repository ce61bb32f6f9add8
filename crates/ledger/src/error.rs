use taonet_chain::weights::RowError;
use taonet_chain::{Block, ChainError};
use taonet_primitives::{BlockNumber, NetUid};
use taonet_timelock::{EncryptError, ScheduleError};

use crate::{LedgerError, State};

/// Why weights were not submitted. The chain's verdict on a submission is not an error: see
/// [`Submission`](crate::Submission).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The ledger failed, so nothing may be signed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A request to the chain failed.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// No round exists to encrypt the weights to.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Encrypting the weights failed.
    #[error(transparent)]
    Encrypt(#[from] EncryptError),
    /// The subnet has no epochs and accepts no weights.
    #[error("subnet {0} has no epochs (its tempo is 0): weights there count for nothing; wait until its tempo is set")]
    NoEpochs(NetUid),
    /// The subnet's commit-reveal version is unsupported.
    #[error(
        "subnet {netuid} wants weights by commit-reveal version {version}, which this program does not know: update it"
    )]
    UnknownCommitReveal {
        /// The netuid of the subnet.
        netuid: NetUid,
        /// The chain's `CommitRevealWeightsVersion`.
        version: u16,
    },
    /// The version key is below the subnet's minimum.
    #[error("subnet {netuid} takes weights of version {wanted} or later, not of version {given}: update the validator")]
    VersionKey {
        /// The netuid of the subnet.
        netuid: NetUid,
        /// The subnet's minimum.
        wanted: u64,
        /// The given version key.
        given: u64,
    },
    /// The chain would refuse the weights.
    #[error("subnet {netuid} does not take these weights; bring the scores within its limits first")]
    Limits {
        /// The netuid of the subnet.
        netuid: NetUid,
        /// The violated limit.
        source: RowError,
    },
    /// The first weights after a start are based on a stale state.
    #[error(
        "these weights follow from the state at block {state_block}, {age} blocks ago and more than the tempo of {tempo}: \
         after a start, evaluate the miners again before weights are set"
    )]
    StaleState {
        /// The block whose state the weights are based on.
        state_block: BlockNumber,
        /// The age of that state, in blocks.
        age: u32,
        /// The subnet's tempo, in blocks.
        tempo: u16,
    },
    /// The node does not serve the ledger's chain.
    #[error(
        "the node does not have block {0}, which was final when the ledger saw it: it is behind, or its chain was begun \
         anew. Wait for it, or use another ledger directory"
    )]
    AnotherChain(Block),
    /// The node is behind a block seen before: its epoch data is stale.
    #[error("the node's newest block is {head}, and block {seen} was seen before: wait until it has caught up")]
    Behind {
        /// The node's newest block.
        head: BlockNumber,
        /// The newest block seen.
        seen: BlockNumber,
    },
    /// The epoch has no intent.
    #[error("no weights were submitted for epoch {0} from here; submit them first")]
    NothingToRetry(u64),
    /// The time to submit or to reveal has passed.
    #[error("the time for this step is over: submit new weights in the current epoch")]
    TooLate,
    /// An extrinsic signed before may still take effect.
    #[error(
        "nothing is signed again: the extrinsic before it is {state} and may still be in a block up to {}; ask again after it",
        last_block.map_or_else(|| "the end of time".to_owned(), |block| block.to_string())
    )]
    Unsettled {
        /// The state of that extrinsic.
        state: State,
        /// The last block of its era.
        last_block: Option<BlockNumber>,
    },
}

impl SubmitError {
    /// Whether a retry of the same call may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Chain(error) => error.is_retryable(),
            Self::Unsettled { .. } | Self::Behind { .. } => true,
            _ => false,
        }
    }
}
