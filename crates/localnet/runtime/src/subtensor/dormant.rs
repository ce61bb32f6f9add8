//! Dormant subnets, which no call has used yet.
//!
//! The genesis state contains every netuid up to Babelbit's, because clients index lists of subnets
//! by netuid. All subnets but Babelbit are dormant: blocks skip them, and their epochs, which have
//! no emission, do not run. The first call that uses a dormant subnet activates it, with the
//! schedule that it would have had without being dormant.

use frame_support::storage::unhashed;

use super::{
    BlocksSinceLastStep, Config, LastEpochBlock, LastMechansimStepBlock, Pallet, SubnetEpochIndex,
    Tempo,
};
use crate::types::NetUid;

/// Storage key of the list of subnets that are not dormant. It is not in the metadata: the real
/// chain has no such item.
const AWAKE_SUBNETS_KEY: &[u8] = b":awake_subnets";

/// Position of a subnet in its cycle of epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Block of the last epoch.
    pub last_epoch: u64,
    /// Number of blocks since the subnet's last epoch.
    pub blocks_since_epoch: u64,
    /// Number of epochs so far.
    pub index: u64,
}

impl<T: Config> Pallet<T> {
    /// Returns the subnets that are not dormant, ordered by netuid, without root.
    pub fn awake_netuids() -> Vec<NetUid> {
        unhashed::get_or_default(AWAKE_SUBNETS_KEY)
    }

    /// Whether a subnet is not dormant.
    pub fn is_awake(netuid: NetUid) -> bool {
        Self::awake_netuids().binary_search(&netuid).is_ok()
    }

    /// Wakes a subnet: from the next block on, each block's work includes it. Its epochs continue
    /// as if it had never been dormant.
    pub fn wake(netuid: NetUid) {
        let mut awake = Self::awake_netuids();
        let Err(position) = awake.binary_search(&netuid) else { return };
        if netuid == NetUid::ROOT {
            return;
        }
        let Schedule { last_epoch, blocks_since_epoch, index } = Self::schedule(netuid);
        LastEpochBlock::<T>::insert(netuid, last_epoch);
        BlocksSinceLastStep::<T>::insert(netuid, blocks_since_epoch);
        if index > SubnetEpochIndex::<T>::get(netuid) {
            SubnetEpochIndex::<T>::insert(netuid, index);
            LastMechansimStepBlock::<T>::insert(netuid, last_epoch);
        }
        awake.insert(position, netuid);
        unhashed::put(AWAKE_SUBNETS_KEY, &awake);
    }

    /// Makes a subnet dormant, so that blocks skip it.
    pub(super) fn make_dormant(netuid: NetUid) {
        let mut awake = Self::awake_netuids();
        awake.retain(|other| *other != netuid);
        unhashed::put(AWAKE_SUBNETS_KEY, &awake);
    }

    /// Returns the position of a subnet in its cycle of epochs; for a dormant subnet it is
    /// computed.
    pub fn schedule(netuid: NetUid) -> Schedule {
        let last_epoch = LastEpochBlock::<T>::get(netuid);
        let index = SubnetEpochIndex::<T>::get(netuid);
        if netuid == NetUid::ROOT || Self::is_awake(netuid) {
            return Schedule {
                last_epoch,
                blocks_since_epoch: BlocksSinceLastStep::<T>::get(netuid),
                index,
            };
        }
        let tempo = u64::from(Tempo::<T>::get(netuid));
        let blocks = Self::current_block().saturating_sub(last_epoch);
        let missed = blocks.checked_div(tempo).unwrap_or_default();
        let last_epoch = last_epoch.saturating_add(missed.saturating_mul(tempo));
        Schedule {
            last_epoch,
            blocks_since_epoch: Self::current_block().saturating_sub(last_epoch),
            index: index.saturating_add(missed),
        }
    }
}

#[cfg(test)]
mod tests;
