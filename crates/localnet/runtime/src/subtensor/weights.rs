//! Weight submissions. `batch` handles several submissions in one call, `commit` and `timelock`
//! commit weights, `window` computes the reveal window, and `precheck` refuses calls before they
//! enter a block.

mod batch;
mod commit;
mod precheck;
#[cfg(test)]
mod tests;
mod timelock;
mod window;

use frame_support::pallet_prelude::*;
use sp_runtime::AccountId32;
use taonet_consensus::vector::{is_max_limited, max_upscale_weights};

use super::{
    CommitRevealWeightsEnabled, Config, Error, Event, LastUpdate, MaxWeightsLimit,
    MechanismCountCurrent, MinAllowedWeights, NetworksAdded, Pallet, StakeThreshold,
    SubnetOwnerHotkey, ValidatorPermit, Weights, WeightsSetRateLimit, WeightsVersionKey,
};
use crate::types::{MechId, NetUid, NetUidStorageIndex};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_set_weights(
        who: &AccountId32,
        netuid: NetUid,
        dests: &[u16],
        weights: &[u16],
        version_key: u64,
    ) -> DispatchResult {
        Self::do_set_mechanism_weights(who, netuid, MechId(0), dests, weights, version_key)
    }

    pub(crate) fn do_set_mechanism_weights(
        who: &AccountId32,
        netuid: NetUid,
        mecid: MechId,
        dests: &[u16],
        weights: &[u16],
        version_key: u64,
    ) -> DispatchResult {
        Self::ensure_commits_disabled(netuid)?;
        Self::store_weights(who, netuid, mecid, dests, weights, version_key)
    }

    pub(super) fn ensure_commits_disabled(netuid: NetUid) -> Result<(), Error<T>> {
        ensure!(!CommitRevealWeightsEnabled::<T>::get(netuid), Error::<T>::CommitRevealEnabled);
        Ok(())
    }

    /// Validates and stores weights that were set or revealed. A reveal keeps `LastUpdate` at the
    /// block of its commit.
    ///
    /// # Errors
    /// The errors of [`Self::check_weights`].
    fn store_weights(
        who: &AccountId32,
        netuid: NetUid,
        mecid: MechId,
        uids: &[u16],
        values: &[u16],
        version_key: u64,
    ) -> DispatchResult {
        let uid = Self::check_weights(who, netuid, mecid, uids, values, version_key)?;
        let index = netuid.mechanism(mecid);
        let row: Vec<_> = uids.iter().copied().zip(max_upscale_weights(values)).collect();
        Weights::<T>::insert(index, uid, row);
        if !CommitRevealWeightsEnabled::<T>::get(netuid) {
            Self::record_last_update(netuid, index, uid);
        }
        Self::deposit_event(Event::WeightsSet(index, uid));
        Ok(())
    }

    /// Validates weights without writing; returns the caller's uid.
    ///
    /// # Errors
    /// In this order: `CanNotSetRootNetworkWeights`, `WeightVecNotEqualSize`,
    /// `MechanismDoesNotExist`, `UidsLengthExceedUidsInSubNet`, `HotKeyNotRegisteredInSubNet`,
    /// `NotEnoughStakeToSetWeights`, `IncorrectWeightVersionKey`, `SettingWeightsTooFast` (without
    /// commit-reveal), `NeuronNoValidatorPermit`, `DuplicateUids`, `UidVecContainInvalidOne`,
    /// `WeightVecLengthIsLow`, `MaxWeightExceeded`.
    fn check_weights(
        who: &AccountId32,
        netuid: NetUid,
        mecid: MechId,
        uids: &[u16],
        values: &[u16],
        version_key: u64,
    ) -> Result<u16, Error<T>> {
        ensure!(netuid != NetUid::ROOT, Error::<T>::CanNotSetRootNetworkWeights);
        ensure!(uids.len() == values.len(), Error::<T>::WeightVecNotEqualSize);
        Self::ensure_mechanism_exists(netuid, mecid)?;
        let neurons = Self::neuron_count(netuid);
        ensure!(uids.len() <= usize::from(neurons), Error::<T>::UidsLengthExceedUidsInSubNet);
        let uid = Self::uid_of(netuid, who).ok_or(Error::<T>::HotKeyNotRegisteredInSubNet)?;
        Self::ensure_stake_for_weights(who, netuid)?;
        let min_version = WeightsVersionKey::<T>::get(netuid);
        ensure!(
            min_version == 0 || version_key >= min_version,
            Error::<T>::IncorrectWeightVersionKey
        );
        ensure!(
            CommitRevealWeightsEnabled::<T>::get(netuid)
                || Self::weights_rate_allows(netuid, netuid.mechanism(mecid), uid),
            Error::<T>::SettingWeightsTooFast
        );
        let is_self_weight = uids == [uid];
        ensure!(
            is_self_weight || Self::can_set_weights(netuid, uid, who),
            Error::<T>::NeuronNoValidatorPermit
        );
        ensure!(are_unique(uids), Error::<T>::DuplicateUids);
        ensure!(uids.iter().all(|uid| *uid < neurons), Error::<T>::UidVecContainInvalidOne);
        let min_length = MinAllowedWeights::<T>::get(netuid).min(neurons);
        ensure!(
            is_self_weight || uids.len() >= usize::from(min_length),
            Error::<T>::WeightVecLengthIsLow
        );
        let limit = MaxWeightsLimit::<T>::get(netuid);
        ensure!(
            is_self_weight
                || limit == u16::MAX
                || is_max_limited(&max_upscale_weights(values), limit),
            Error::<T>::MaxWeightExceeded
        );
        Ok(uid)
    }

    pub(super) fn ensure_mechanism_exists(netuid: NetUid, mecid: MechId) -> Result<(), Error<T>> {
        let exists =
            NetworksAdded::<T>::get(netuid) && mecid < MechanismCountCurrent::<T>::get(netuid);
        ensure!(exists, Error::<T>::MechanismDoesNotExist);
        Ok(())
    }

    fn ensure_stake_for_weights(who: &AccountId32, netuid: NetUid) -> Result<(), Error<T>> {
        let stake = Self::weighted_stake(who, netuid);
        ensure!(stake.0 >= StakeThreshold::<T>::get(), Error::<T>::NotEnoughStakeToSetWeights);
        Ok(())
    }

    /// Whether the rate limit allows this neuron to set or commit weights.
    fn weights_rate_allows(netuid: NetUid, index: NetUidStorageIndex, uid: u16) -> bool {
        let last_update =
            LastUpdate::<T>::get(index).get(usize::from(uid)).copied().unwrap_or_default();
        Self::rate_allows(last_update, WeightsSetRateLimit::<T>::get(netuid))
    }

    /// Whether a neuron may set weights: it has a validator permit, or its hotkey is the subnet
    /// owner's.
    fn can_set_weights(netuid: NetUid, uid: u16, hotkey: &AccountId32) -> bool {
        SubnetOwnerHotkey::<T>::get(netuid) == *hotkey
            || ValidatorPermit::<T>::get(netuid).get(usize::from(uid)).copied().unwrap_or_default()
    }

    fn record_last_update(netuid: NetUid, index: NetUidStorageIndex, uid: u16) {
        Self::wake(netuid);
        LastUpdate::<T>::mutate(index, |updates| {
            if let Some(update) = updates.get_mut(usize::from(uid)) {
                *update = Self::current_block();
            }
        });
    }
}

fn are_unique(uids: &[u16]) -> bool {
    let mut sorted = uids.to_vec();
    sorted.sort_unstable();
    sorted.is_sorted_by(|a, b| a < b)
}
