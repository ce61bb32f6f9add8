//! Timelocked commits: weights encrypted to a later round of the drand beacon.

use frame_support::pallet_prelude::*;
use sp_core::H256;
use sp_io::hashing::blake2_256;
use sp_runtime::AccountId32;

use super::super::{CommitRevealWeightsVersion, Config, Error, Event, MAX_COMMIT_LEN, Pallet, TimelockedWeightCommits};
use super::commit::MAX_UNREVEALED;
use crate::types::{MechId, NetUid};

impl<T: Config> Pallet<T> {
    pub(crate) fn do_commit_timelocked_weights(
        who: &AccountId32,
        netuid: NetUid,
        commit: BoundedVec<u8, ConstU32<MAX_COMMIT_LEN>>,
        reveal_round: u64,
        commit_reveal_version: u16,
    ) -> DispatchResult {
        let mecid = MechId(0);
        Self::do_commit_timelocked_mechanism_weights(who, netuid, mecid, commit, reveal_round, commit_reveal_version)
    }

    /// Commits timelocked weights of a mechanism. Every reveal round is accepted, because this chain does not reveal
    /// timelocked weights.
    pub(crate) fn do_commit_timelocked_mechanism_weights(
        who: &AccountId32,
        netuid: NetUid,
        mecid: MechId,
        commit: BoundedVec<u8, ConstU32<MAX_COMMIT_LEN>>,
        reveal_round: u64,
        commit_reveal_version: u16,
    ) -> DispatchResult {
        let uid = Self::check_timelocked_commit(who, netuid, mecid, commit_reveal_version)?;
        let index = netuid.mechanism(mecid);
        let hash = H256(blake2_256(&commit));
        TimelockedWeightCommits::<T>::try_mutate(index, Self::epoch_index_now(netuid), |commits| {
            let unrevealed = commits.iter().filter(|(committer, ..)| committer == who).count();
            ensure!(unrevealed < MAX_UNREVEALED, Error::<T>::TooManyUnrevealedCommits);
            commits.push((who.clone(), Self::current_block(), commit, reveal_round));
            Ok::<_, Error<T>>(())
        })?;
        Self::update_now(netuid, index, uid);
        Self::deposit_event(Event::TimelockedWeightsCommitted(who.clone(), index, hash, reveal_round));
        Ok(())
    }

    /// Validates a timelocked commit with the checks of [`Self::check_commit`]. The version is checked right after the
    /// check that commit-reveal is enabled.
    ///
    /// # Errors
    /// The errors of [`Self::check_commit`], and `IncorrectCommitRevealVersion`.
    fn check_timelocked_commit(
        who: &AccountId32,
        netuid: NetUid,
        mecid: MechId,
        version: u16,
    ) -> Result<u16, Error<T>> {
        Self::ensure_commits_enabled(netuid, mecid)?;
        ensure!(version == CommitRevealWeightsVersion::<T>::get(), Error::<T>::IncorrectCommitRevealVersion);
        Self::check_commit(who, netuid, mecid)
    }

    /// Removes timelocked commits whose reveal window has passed. Called at the start of each block, before its epochs.
    ///
    /// Due commits expire without being revealed: this chain does not decrypt weights with drand pulses.
    pub fn reveal_timelocked(subnets: &[NetUid]) {
        for &netuid in subnets {
            for index in Self::mechanisms(netuid) {
                let expired: Vec<u64> = TimelockedWeightCommits::<T>::iter_key_prefix(index)
                    .filter(|epoch| Self::is_expired(netuid, *epoch))
                    .collect();
                for epoch in expired {
                    TimelockedWeightCommits::<T>::remove(index, epoch);
                }
            }
        }
    }
}
