//! How often something may be done. An action that never happened, remembered as block 0, is always allowed.

use frame_support::pallet_prelude::*;
use sp_runtime::AccountId32;

use super::types::{Hyperparameter, RateLimitKey};
use super::{
    Config, Error, LastRateLimitedBlock, OwnerHyperparamRateLimit, Pallet, Tempo, TransactionKeyLastBlock,
    WeightsVersionKeyRateLimit,
};
use crate::types::NetUid;

/// What the owner of a subnet may do only so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerAction {
    /// Change a hyper-parameter: once every `OwnerHyperparamRateLimit` epochs.
    Hyperparameter(Hyperparameter),
    /// Change the version of weights: once every `WeightsVersionKeyRateLimit` epochs.
    WeightsVersion,
    /// Change the tempo: once every 360 blocks.
    Tempo,
    /// Change the number of mechanisms: once a block, as on a chain of fast blocks.
    MechanismCount,
    /// Change how mechanisms share emission: once a block, as on a chain of fast blocks.
    MechanismSplit,
    /// Remove neurons: once a block.
    Trimming,
    /// Name another hotkey: once every 50 400 blocks.
    OwnerHotkey,
}

impl From<Hyperparameter> for OwnerAction {
    fn from(which: Hyperparameter) -> Self {
        Self::Hyperparameter(which)
    }
}

/// Where the last block of an action is remembered.
enum Memory<AccountId> {
    Keyed(RateLimitKey<AccountId>),
    Transaction(u16),
}

impl OwnerAction {
    /// Blocks that must lie between two such actions.
    fn blocks<T: Config>(self, netuid: NetUid) -> u64 {
        let tempo = u64::from(Tempo::<T>::get(netuid));
        match self {
            Self::Hyperparameter(_) => tempo.saturating_mul(OwnerHyperparamRateLimit::<T>::get().into()),
            Self::WeightsVersion => tempo.saturating_mul(WeightsVersionKeyRateLimit::<T>::get()),
            Self::Tempo => 360,
            Self::MechanismCount | Self::MechanismSplit | Self::Trimming => 1,
            Self::OwnerHotkey => 50_400,
        }
    }

    // The numbers of the real chain's kinds of transactions; that of the tempo was not recorded, and is ours.
    fn memory(self, netuid: NetUid) -> Memory<AccountId32> {
        match self {
            Self::Hyperparameter(which) => Memory::Keyed(RateLimitKey::OwnerHyperparamUpdate(netuid, which)),
            Self::OwnerHotkey => Memory::Keyed(RateLimitKey::SetSNOwnerHotkey(netuid)),
            Self::WeightsVersion => Memory::Transaction(4),
            Self::MechanismCount => Memory::Transaction(7),
            Self::MechanismSplit => Memory::Transaction(8),
            Self::Trimming => Memory::Transaction(9),
            Self::Tempo => Memory::Transaction(100),
        }
    }
}

impl<T: Config> Pallet<T> {
    /// Whether an action that last happened at block `last` (0: never) may happen now, `blocks` being the least distance.
    pub fn rate_allows(last: u64, blocks: u64) -> bool {
        last == 0 || Self::current_block().saturating_sub(last) >= blocks
    }

    /// Whether the action of this key may happen now, `blocks` being the least distance from its last time.
    pub fn key_rate_allows(key: &RateLimitKey<AccountId32>, blocks: u64) -> bool {
        Self::rate_allows(LastRateLimitedBlock::<T>::get(key), blocks)
    }

    /// Remembers that the action of this key happens now.
    pub fn record_rate_limited(key: &RateLimitKey<AccountId32>) {
        LastRateLimitedBlock::<T>::insert(key, Self::current_block());
    }

    /// Refuses what the owner of a subnet may not do now.
    ///
    /// # Errors
    /// `AdminActionProhibitedDuringWeightsWindow` when an epoch is near, `TxRateLimitExceeded` when the owner did it too
    /// recently.
    pub fn ensure_owner_may(owner: &AccountId32, netuid: NetUid, action: OwnerAction) -> DispatchResult {
        ensure!(!Self::in_freeze_window(netuid), Error::<T>::AdminActionProhibitedDuringWeightsWindow);
        Self::ensure_within_rate(owner, netuid, action)
    }

    /// Refuses what the owner did too recently, however near an epoch is.
    ///
    /// # Errors
    /// `TxRateLimitExceeded`.
    pub fn ensure_within_rate(owner: &AccountId32, netuid: NetUid, action: OwnerAction) -> DispatchResult {
        let last = match action.memory(netuid) {
            Memory::Keyed(key) => LastRateLimitedBlock::<T>::get(key),
            Memory::Transaction(kind) => TransactionKeyLastBlock::<T>::get((owner, netuid, kind)),
        };
        ensure!(Self::rate_allows(last, action.blocks::<T>(netuid)), Error::<T>::TxRateLimitExceeded);
        Ok(())
    }

    /// Remembers that the owner does this now.
    pub fn record_owner_action(owner: &AccountId32, netuid: NetUid, action: OwnerAction) {
        match action.memory(netuid) {
            Memory::Keyed(key) => Self::record_rate_limited(&key),
            Memory::Transaction(kind) => {
                TransactionKeyLastBlock::<T>::insert((owner, netuid, kind), Self::current_block());
            }
        }
    }
}
