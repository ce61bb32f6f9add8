//! Refusal of weight calls at the pool, before they take block space.

use codec::Compact;
use frame_support::pallet_prelude::*;
use sp_runtime::AccountId32;

use super::super::{Call, CommitRevealWeightsEnabled, Config, Error, Pallet};
use super::commit::commit_hash;
use crate::types::{MechId, NetUid};

impl<T: Config> Pallet<T> {
    /// Validates weight calls at the pool, without writing. All other calls pass. Weight calls with
    /// errors that are not listed here pass too, and fail when a block executes them.
    ///
    /// # Errors
    /// `NotEnoughStakeToSetWeights`; for batches `InputLengthsUnequal`; for timelocked commits
    /// `InvalidRevealRound`; for hash commits `CommittingWeightsTooFast`; for weights without
    /// commit-reveal `SettingWeightsTooFast`; for reveals `NoWeightsCommitFound`,
    /// `InvalidRevealCommitHashNotMatch`, `ExpiredWeightCommit`, `RevealTooEarly`.
    pub fn precheck_weights(who: &AccountId32, call: &Call<T>) -> Result<(), Error<T>> {
        let main_mechanism = MechId(0);
        match call {
            Call::set_weights { netuid, .. } => Self::precheck_set(who, *netuid, main_mechanism),
            Call::set_mechanism_weights { netuid, mecid, .. } => {
                Self::precheck_set(who, *netuid, *mecid)
            }
            Call::commit_weights { netuid, .. } => {
                Self::precheck_commit(who, *netuid, main_mechanism)
            }
            Call::commit_mechanism_weights { netuid, mecid, .. } => {
                Self::precheck_commit(who, *netuid, *mecid)
            }
            Call::commit_timelocked_weights { netuid, reveal_round, .. }
            | Call::commit_timelocked_mechanism_weights { netuid, reveal_round, .. }
            | Call::commit_crv3_mechanism_weights { netuid, reveal_round, .. } => {
                Self::ensure_stake_for_weights(who, *netuid)?;
                Self::ensure_round_is_open(*reveal_round)
            }
            Call::reveal_weights { netuid, uids, values, salt, version_key } => {
                Self::precheck_reveal(
                    who,
                    *netuid,
                    main_mechanism,
                    (uids, values, salt, *version_key),
                )
            }
            Call::reveal_mechanism_weights { netuid, mecid, uids, values, salt, version_key } => {
                Self::precheck_reveal(who, *netuid, *mecid, (uids, values, salt, *version_key))
            }
            Call::batch_set_weights { netuids, weights, version_keys } => {
                Self::precheck_batch(who, netuids, &[weights.len(), version_keys.len()])
            }
            Call::batch_commit_weights { netuids, commit_hashes } => {
                Self::precheck_batch(who, netuids, &[commit_hashes.len()])
            }
            Call::batch_reveal_weights {
                netuid,
                uids_list,
                values_list,
                salts_list,
                version_keys,
            } => {
                let lengths = [values_list.len(), salts_list.len(), version_keys.len()];
                ensure!(
                    lengths.iter().all(|length| *length == uids_list.len()),
                    Error::<T>::InputLengthsUnequal
                );
                Self::ensure_stake_for_weights(who, *netuid)?;
                let index = netuid.mechanism(main_mechanism);
                let reveals =
                    uids_list.iter().zip(values_list).zip(salts_list.iter().zip(version_keys));
                for ((uids, values), (salt, version_key)) in reveals {
                    let hash = commit_hash(who, index, uids, values, salt, *version_key);
                    Self::check_reveal(who, *netuid, main_mechanism, hash)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn precheck_batch(
        who: &AccountId32,
        netuids: &[Compact<NetUid>],
        lengths: &[usize],
    ) -> Result<(), Error<T>> {
        ensure!(
            lengths.iter().all(|length| *length == netuids.len()),
            Error::<T>::InputLengthsUnequal
        );
        netuids.iter().try_for_each(|netuid| Self::ensure_stake_for_weights(who, netuid.0))
    }

    fn precheck_set(who: &AccountId32, netuid: NetUid, mecid: MechId) -> Result<(), Error<T>> {
        Self::ensure_stake_for_weights(who, netuid)?;
        if CommitRevealWeightsEnabled::<T>::get(netuid) {
            return Ok(());
        }
        Self::precheck_rate(who, netuid, mecid, Error::<T>::SettingWeightsTooFast)
    }

    fn precheck_commit(who: &AccountId32, netuid: NetUid, mecid: MechId) -> Result<(), Error<T>> {
        Self::ensure_stake_for_weights(who, netuid)?;
        Self::precheck_rate(who, netuid, mecid, Error::<T>::CommittingWeightsTooFast)
    }

    fn precheck_rate(
        who: &AccountId32,
        netuid: NetUid,
        mecid: MechId,
        rate_error: Error<T>,
    ) -> Result<(), Error<T>> {
        let Some(uid) = Self::uid_of(netuid, who) else { return Ok(()) };
        ensure!(Self::weights_rate_allows(netuid, netuid.mechanism(mecid), uid), rate_error);
        Ok(())
    }

    fn precheck_reveal(
        who: &AccountId32,
        netuid: NetUid,
        mecid: MechId,
        (uids, values, salt, version_key): (&[u16], &[u16], &[u16], u64),
    ) -> Result<(), Error<T>> {
        Self::ensure_stake_for_weights(who, netuid)?;
        let hash = commit_hash(who, netuid.mechanism(mecid), uids, values, salt, version_key);
        Self::check_reveal(who, netuid, mecid, hash)?;
        Ok(())
    }
}
