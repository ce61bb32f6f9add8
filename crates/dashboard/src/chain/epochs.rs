//! The results of the subnet's latest epochs, read from the node's state at the block of each
//! epoch.

use taonet_chain::{At, Block, Chain, ChainError, Detail, Metagraph, Schedule, WeightRow};
use taonet_primitives::{Alpha, BlockNumber, Hotkey, MechId, NetUid};

/// Maximum number of epochs in memory.
pub(super) const MAX_EPOCHS: usize = 32;

/// The results of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EpochResults {
    /// Number of the epoch, counted from the registration of the subnet.
    pub(super) index: u64,
    /// The block in which the epoch ran.
    pub(super) block: BlockNumber,
    /// The block at which the results were read.
    pub(super) read_at: Block,
    /// The neurons, in the order of their uids.
    pub(super) neurons: Vec<NeuronResults>,
}

/// The results of a neuron in an epoch. Shares are parts of 65535.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NeuronResults {
    pub(super) hotkey: Hotkey,
    pub(super) consensus: u16,
    pub(super) incentive: u16,
    pub(super) dividends: u16,
    pub(super) emission: Alpha,
    pub(super) bonds: WeightRow,
}

impl EpochResults {
    fn new(schedule: &Schedule, metagraph: Metagraph) -> Self {
        let read_at = metagraph.block;
        let mut bonds = metagraph.bonds.unwrap_or_default().into_iter();
        let neurons = metagraph.neurons.into_iter().map(|neuron| NeuronResults {
            hotkey: neuron.hotkey,
            consensus: neuron.consensus,
            incentive: neuron.incentive,
            dividends: neuron.dividends,
            emission: neuron.emission,
            bonds: bonds.next().unwrap_or_default(),
        });
        Self {
            index: schedule.epoch_index,
            block: schedule.last_epoch,
            read_at,
            neurons: neurons.collect(),
        }
    }

    /// Returns the results of a neuron; `None` if another neuron had the uid, or none.
    pub(super) fn neuron_results(&self, uid: u16, hotkey: &Hotkey) -> Option<&NeuronResults> {
        self.neurons.get(usize::from(uid)).filter(|results| results.hotkey == *hotkey)
    }
}

/// Reads the results of the epochs after the epoch `newest_index`, newest first, and the current
/// schedule. Stops at the first epoch whose state the node has pruned.
///
/// # Errors
/// [`ChainError`] if the schedule or the latest epoch cannot be read.
pub(super) async fn read_after(
    newest_index: Option<u64>,
    chain: &dyn Chain,
    netuid: NetUid,
) -> Result<(Schedule, Vec<EpochResults>), ChainError> {
    let current = chain.weight_rules(netuid, At::Finalized).await?.schedule;
    let (mut schedule, mut epochs) = (current, Vec::new());
    while epochs.len() < MAX_EPOCHS && schedule.epoch_index > newest_index.unwrap_or_default() {
        let block = schedule.last_epoch;
        let metagraph = match metagraph(chain, netuid, block.into()).await {
            // The results stay in the state until the next epoch.
            Err(ChainError::NoSuchBlock(_)) if epochs.is_empty() => {
                metagraph(chain, netuid, At::Finalized).await?
            }
            Err(error) if epochs.is_empty() => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "the node has no state of earlier epochs");
                break;
            }
            Ok(metagraph) => metagraph,
        };
        epochs.push(EpochResults::new(&schedule, metagraph));
        let earlier = match block.get() {
            0 => break,
            number => BlockNumber::new(number.saturating_sub(1)),
        };
        match chain.weight_rules(netuid, earlier.into()).await {
            Ok(rules) if rules.schedule.epoch_index < schedule.epoch_index => {
                schedule = rules.schedule;
            }
            Ok(_) => break,
            Err(error) => {
                tracing::debug!(%error, "the node has no state of earlier epochs");
                break;
            }
        }
    }
    Ok((current, epochs))
}

async fn metagraph(chain: &dyn Chain, netuid: NetUid, at: At) -> Result<Metagraph, ChainError> {
    chain.metagraph(netuid, MechId(0), Detail::Full, at).await
}
