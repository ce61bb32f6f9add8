//! Rate limits. An action that never happened, recorded as block 0, is always allowed.

use frame_support::pallet_prelude::*;
use sp_runtime::AccountId32;

use super::types::{Hyperparameter, RateLimitKey};
use super::{
    Config, Error, LastRateLimitedBlock, OwnerHyperparamRateLimit, Pallet, Tempo,
    TransactionKeyLastBlock, TxChildkeyTakeRateLimit, WeightsVersionKeyRateLimit,
};
use crate::types::NetUid;

/// A rate-limited action on a subnet: of its owner, or of a hotkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitedAction {
    /// Changing a hyperparameter: once every `OwnerHyperparamRateLimit` epochs.
    Hyperparameter(Hyperparameter),
    /// Changing the weights version key: once every `WeightsVersionKeyRateLimit` epochs.
    WeightsVersion,
    /// Changing the tempo: once every 360 blocks.
    Tempo,
    /// Changing the number of mechanisms: once per block, as on a chain with fast blocks.
    MechanismCount,
    /// Changing the emission split: once per block, as on a chain with fast blocks.
    MechanismSplit,
    /// Trimming neurons: once per block.
    Trimming,
    /// Changing the owner's hotkey: once every 50 400 blocks.
    OwnerHotkey,
    /// Changing the children of a hotkey: once every 150 blocks.
    Children,
    /// Raising the child key take of a hotkey: once every `TxChildkeyTakeRateLimit` blocks.
    ChildkeyTake,
}

impl From<Hyperparameter> for LimitedAction {
    fn from(hyperparameter: Hyperparameter) -> Self {
        Self::Hyperparameter(hyperparameter)
    }
}

/// Storage location of the block at which an action last happened.
enum RecordLocation<AccountId> {
    Keyed(RateLimitKey<AccountId>),
    Transaction(u16),
}

impl LimitedAction {
    /// Returns the rate limit of the action, in blocks.
    fn interval<T: Config>(self, netuid: NetUid) -> u64 {
        let tempo = u64::from(Tempo::<T>::get(netuid));
        match self {
            Self::Hyperparameter(_) => {
                tempo.saturating_mul(OwnerHyperparamRateLimit::<T>::get().into())
            }
            Self::WeightsVersion => tempo.saturating_mul(WeightsVersionKeyRateLimit::<T>::get()),
            Self::Tempo => 360,
            Self::MechanismCount | Self::MechanismSplit | Self::Trimming => 1,
            Self::OwnerHotkey => 50_400,
            Self::Children => 150,
            Self::ChildkeyTake => TxChildkeyTakeRateLimit::<T>::get(),
        }
    }

    // The transaction type numbers are those of the real chain.
    fn record_location(self, netuid: NetUid) -> RecordLocation<AccountId32> {
        match self {
            Self::Hyperparameter(hyperparameter) => {
                RecordLocation::Keyed(RateLimitKey::OwnerHyperparamUpdate(netuid, hyperparameter))
            }
            Self::OwnerHotkey => RecordLocation::Keyed(RateLimitKey::SetSNOwnerHotkey(netuid)),
            Self::WeightsVersion => RecordLocation::Transaction(4),
            Self::MechanismCount => RecordLocation::Transaction(7),
            Self::MechanismSplit => RecordLocation::Transaction(8),
            Self::Trimming => RecordLocation::Transaction(9),
            Self::Tempo => RecordLocation::Transaction(11),
            Self::Children => RecordLocation::Transaction(0),
            Self::ChildkeyTake => RecordLocation::Transaction(1),
        }
    }
}

impl<T: Config> Pallet<T> {
    /// Whether a rate limit of `interval` blocks allows an action that last happened at block
    /// `last_block` (0: never).
    pub fn rate_allows(last_block: u64, interval: u64) -> bool {
        last_block == 0 || Self::current_block().saturating_sub(last_block) >= interval
    }

    /// Whether a rate limit of `interval` blocks allows the action of this key now.
    pub fn key_rate_allows(key: &RateLimitKey<AccountId32>, interval: u64) -> bool {
        Self::rate_allows(LastRateLimitedBlock::<T>::get(key), interval)
    }

    /// Records the action of this key at the current block.
    pub fn record_rate_limited(key: &RateLimitKey<AccountId32>) {
        LastRateLimitedBlock::<T>::insert(key, Self::current_block());
    }

    /// Checks the freeze window and the rate limit of an owner's action.
    ///
    /// # Errors
    /// `AdminActionProhibitedDuringWeightsWindow` in the freeze window, `TxRateLimitExceeded`
    /// within the rate limit.
    pub fn ensure_action_allowed(
        owner: &AccountId32,
        netuid: NetUid,
        action: LimitedAction,
    ) -> DispatchResult {
        ensure!(
            !Self::is_in_freeze_window(netuid),
            Error::<T>::AdminActionProhibitedDuringWeightsWindow
        );
        Self::ensure_within_rate(owner, netuid, action)
    }

    /// Checks the rate limit of an action, but not the freeze window.
    ///
    /// # Errors
    /// `TxRateLimitExceeded`.
    pub fn ensure_within_rate(
        key: &AccountId32,
        netuid: NetUid,
        action: LimitedAction,
    ) -> DispatchResult {
        ensure!(Self::is_action_within_rate(key, netuid, action), Error::<T>::TxRateLimitExceeded);
        Ok(())
    }

    /// Whether the rate limit of an action allows it now.
    pub fn is_action_within_rate(key: &AccountId32, netuid: NetUid, action: LimitedAction) -> bool {
        let last_block = match action.record_location(netuid) {
            RecordLocation::Keyed(key) => LastRateLimitedBlock::<T>::get(key),
            RecordLocation::Transaction(kind) => {
                TransactionKeyLastBlock::<T>::get((key, netuid, kind))
            }
        };
        Self::rate_allows(last_block, action.interval::<T>(netuid))
    }

    /// Removes the records of all rate-limited actions on a subnet, which would limit the next
    /// subnet of this netuid.
    pub(super) fn remove_rate_limits(netuid: NetUid) {
        let keys =
            LastRateLimitedBlock::<T>::iter_keys().filter(|key| key.netuid() == Some(netuid));
        keys.collect::<Vec<_>>().into_iter().for_each(LastRateLimitedBlock::<T>::remove);
        let keys = TransactionKeyLastBlock::<T>::iter_keys()
            .filter(|(_, key_netuid, _)| *key_netuid == netuid);
        keys.collect::<Vec<_>>().into_iter().for_each(TransactionKeyLastBlock::<T>::remove);
    }

    /// Records an action at the current block.
    pub fn record_action(key: &AccountId32, netuid: NetUid, action: LimitedAction) {
        match action.record_location(netuid) {
            RecordLocation::Keyed(key) => Self::record_rate_limited(&key),
            RecordLocation::Transaction(kind) => {
                TransactionKeyLastBlock::<T>::insert((key, netuid, kind), Self::current_block());
            }
        }
    }
}
