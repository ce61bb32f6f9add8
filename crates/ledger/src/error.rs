use std::time::Duration;

use taonet_chain::weights::RowError;
use taonet_chain::{Block, ChainError};
use taonet_primitives::{BlockNumber, MechId, NetUid};
use taonet_timelock::{EncryptError, ScheduleError};

use crate::form::MAX_CLOCK_DIFFERENCE;
use crate::{LedgerError, State};

/// Why weights were not submitted. A refusal by the chain is not an error: see
/// [`Submission`](crate::Submission).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The ledger failed. Nothing is signed without the ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A request to the chain failed.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Computing the beacon round for timelock encryption failed.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Encrypting the weights failed.
    #[error(transparent)]
    Encrypt(#[from] EncryptError),
    /// The subnet has no epochs and accepts no weights.
    #[error(
        "subnet {0} has no epochs (tempo 0), so weights have no effect; hint: wait until its tempo is set"
    )]
    NoEpochs(NetUid),
    /// The subnet's commit-reveal version is unsupported.
    #[error(
        "subnet {netuid} uses commit-reveal version {version}, which is unsupported; hint: update this program"
    )]
    UnknownCommitReveal {
        /// The netuid of the subnet.
        netuid: NetUid,
        /// The commit-reveal version of the subnet (storage item `CommitRevealWeightsVersion`).
        version: u16,
    },
    /// The version key is below the subnet's minimum.
    #[error(
        "subnet {netuid} requires version key {required} or higher, not {actual}; hint: update the validator"
    )]
    VersionKey {
        /// The netuid of the subnet.
        netuid: NetUid,
        /// The subnet's minimum version key.
        required: u64,
        /// The version key of the weights.
        actual: u64,
    },
    /// The weights violate a limit of the subnet, so the chain would refuse them.
    #[error("the weights violate the limits of subnet {netuid}; hint: adjust the scores")]
    Limits {
        /// The netuid of the subnet.
        netuid: NetUid,
        /// The violated limit.
        source: RowError,
    },
    /// The first weights after a start are based on state older than one tempo.
    #[error(
        "the weights are stale: they are based on block {state_block}, {age} blocks ago, more than the tempo of \
         {tempo}; hint: after a restart, evaluate the miners again before submitting weights"
    )]
    StaleState {
        /// The block whose state the weights are based on.
        state_block: BlockNumber,
        /// The age of that state, in blocks.
        age: u32,
        /// The subnet's tempo, in blocks.
        tempo: u16,
    },
    /// The node does not have a block that the ledger recorded as finalized.
    #[error(
        "the node does not have block {0}, which the ledger recorded as finalized: the node lags behind or serves a \
         different chain; hint: wait until the node has caught up, or use a different ledger directory"
    )]
    AnotherChain(Block),
    /// The node lags behind a block seen earlier, so its epoch data is stale.
    #[error(
        "the node lags behind: its newest block is {head}, but block {seen} was seen before; hint: wait until it has \
         caught up"
    )]
    Behind {
        /// The node's newest block.
        head: BlockNumber,
        /// The newest block seen.
        seen: BlockNumber,
    },
    /// The chain has newer weights of this hotkey than the ledger.
    #[error(
        "weights of this hotkey for the current epoch of subnet {netuid} (mechanism {mech}) are already on the chain, \
         since block {block}, but not in the weight ledger: the ledger is an older copy, or another program signs with \
         the hotkey; hint: use each hotkey with one ledger only; the next epoch's weights can be submitted"
    )]
    AlreadySubmitted {
        /// The netuid of the subnet.
        netuid: NetUid,
        /// The mechanism of the subnet.
        mech: MechId,
        /// The block that includes the weights, or a commit to them.
        block: BlockNumber,
    },
    /// The chain does not have the commit that a reveal is for.
    #[error(
        "the commit to the weights of epoch {epoch} of subnet {netuid} (mechanism {mech}) is no longer pending on the \
         chain: another program, or another copy of the weight ledger, has revealed it; hint: use each hotkey with one \
         ledger only"
    )]
    NotCommitted {
        /// The netuid of the subnet.
        netuid: NetUid,
        /// The mechanism of the subnet.
        mech: MechId,
        /// The epoch of the commit.
        epoch: u64,
    },
    /// The local clock and the chain's time differ too much to encrypt weights or a commitment to a
    /// future time.
    #[error(
        "the clock of this machine is {} s {} the time of the chain's newest block, more than the {} s that are \
         allowed for timelocked weights and commitments; hint: synchronise the clock, and check that the node has \
         caught up",
        difference.as_secs(), if *is_ahead { "ahead of" } else { "behind" }, MAX_CLOCK_DIFFERENCE.as_secs()
    )]
    ClockDifference {
        /// The absolute difference.
        difference: Duration,
        /// Whether the local clock is ahead of the chain's time.
        is_ahead: bool,
    },
    /// The ledger has no intent for the epoch.
    #[error("the ledger has no weights for epoch {0}; hint: submit them first")]
    NothingToRetry(u64),
    /// The epoch of the submission or the reveal is over, or has too few blocks left.
    #[error(
        "the window for this submission or reveal has passed; hint: submit new weights in the current epoch"
    )]
    TooLate,
    /// An extrinsic signed earlier may still take effect.
    #[error(
        "weights not signed again: the previous extrinsic (state: {state}) may still take effect {}; hint: try again \
         once its outcome is final",
        last_block.map_or_else(|| "in any later block".to_owned(), |block| format!("up to block {block}"))
    )]
    Unsettled {
        /// The state of the previous extrinsic.
        state: State,
        /// The last block in which the previous extrinsic is valid; `None` if it never expires.
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
