//! Hash commits of weights, and their reveals.

use codec::Encode;
use frame_support::pallet_prelude::*;
use sp_core::H256;
use sp_io::hashing::blake2_256;
use sp_runtime::AccountId32;

use super::super::{CommitRevealWeightsEnabled, Config, Error, Event, Pallet, WeightCommits};
use crate::types::{MechId, NetUid, NetUidStorageIndex};

/// Maximum number of unrevealed commits of a hotkey.
pub(super) const MAX_UNREVEALED: usize = 10;

impl<T: Config> Pallet<T> {
    pub(crate) fn do_commit_weights(
        who: &AccountId32,
        netuid: NetUid,
        commit_hash: H256,
    ) -> DispatchResult {
        Self::do_commit_mechanism_weights(who, netuid, MechId(0), commit_hash)
    }

    pub(crate) fn do_commit_mechanism_weights(
        who: &AccountId32,
        netuid: NetUid,
        mecid: MechId,
        commit_hash: H256,
    ) -> DispatchResult {
        let uid = Self::check_commit(who, netuid, mecid)?;
        let index = netuid.mechanism(mecid);
        let mut commits = WeightCommits::<T>::get(index, who).unwrap_or_default();
        commits.retain(|(_, epoch, ..)| !Self::is_expired(netuid, *epoch));
        ensure!(commits.len() < MAX_UNREVEALED, Error::<T>::TooManyUnrevealedCommits);
        commits.push((
            commit_hash,
            Self::epoch_index_now(netuid),
            Self::current_block(),
            Self::expected_reveal_block(netuid),
        ));
        WeightCommits::<T>::insert(index, who, commits);
        Self::record_last_update(netuid, index, uid);
        Self::deposit_event(Event::WeightsCommitted(who.clone(), index, commit_hash));
        Ok(())
    }

    pub(crate) fn do_reveal_weights(
        who: &AccountId32,
        netuid: NetUid,
        uids: &[u16],
        values: &[u16],
        salt: &[u16],
        version_key: u64,
    ) -> DispatchResult {
        Self::do_reveal_mechanism_weights(who, netuid, MechId(0), uids, values, salt, version_key)
    }

    /// Reveals weights, and removes their commit and the hotkey's older commits.
    ///
    /// # Errors
    /// `CommitRevealDisabled`, the errors of [`Self::check_reveal`] and [`Self::store_weights`].
    pub(crate) fn do_reveal_mechanism_weights(
        who: &AccountId32,
        netuid: NetUid,
        mecid: MechId,
        uids: &[u16],
        values: &[u16],
        salt: &[u16],
        version_key: u64,
    ) -> DispatchResult {
        ensure!(CommitRevealWeightsEnabled::<T>::get(netuid), Error::<T>::CommitRevealDisabled);
        let index = netuid.mechanism(mecid);
        let hash = commit_hash(who, index, uids, values, salt, version_key);
        let position = Self::check_reveal(who, netuid, mecid, hash)?;
        let later_commits = WeightCommits::<T>::get(index, who)
            .into_iter()
            .flatten()
            .skip(position + 1)
            .collect::<Vec<_>>();
        if later_commits.is_empty() {
            WeightCommits::<T>::remove(index, who);
        } else {
            WeightCommits::<T>::insert(index, who, later_commits);
        }
        Self::store_weights(who, netuid, mecid, uids, values, version_key)?;
        Self::deposit_event(Event::WeightsRevealed(who.clone(), index, hash));
        Ok(())
    }

    /// Validates a hash commit or a timelocked commit, without writing; returns the caller's uid.
    ///
    /// # Errors
    /// In this order: `MechanismDoesNotExist`, `CommitRevealDisabled`,
    /// `HotKeyNotRegisteredInSubNet`, `CommittingWeightsTooFast`.
    pub(super) fn check_commit(
        who: &AccountId32,
        netuid: NetUid,
        mecid: MechId,
    ) -> Result<u16, Error<T>> {
        Self::ensure_commits_enabled(netuid, mecid)?;
        let uid = Self::uid_of(netuid, who).ok_or(Error::<T>::HotKeyNotRegisteredInSubNet)?;
        ensure!(
            Self::weights_rate_allows(netuid, netuid.mechanism(mecid), uid),
            Error::<T>::CommittingWeightsTooFast
        );
        Ok(uid)
    }

    pub(super) fn ensure_commits_enabled(netuid: NetUid, mecid: MechId) -> Result<(), Error<T>> {
        Self::ensure_mechanism_exists(netuid, mecid)?;
        ensure!(CommitRevealWeightsEnabled::<T>::get(netuid), Error::<T>::CommitRevealDisabled);
        Ok(())
    }

    /// Finds the commit of a reveal, without writing; returns its index among the hotkey's commits.
    ///
    /// # Errors
    /// `NoWeightsCommitFound` if there is no commit to reveal, `ExpiredWeightCommit`,
    /// `InvalidRevealCommitHashNotMatch` if no commit has this hash, `RevealTooEarly`.
    pub(super) fn check_reveal(
        who: &AccountId32,
        netuid: NetUid,
        mecid: MechId,
        hash: H256,
    ) -> Result<usize, Error<T>> {
        let commits = WeightCommits::<T>::get(netuid.mechanism(mecid), who)
            .ok_or(Error::<T>::NoWeightsCommitFound)?;
        let open_position = commits.iter().position(|(committed_hash, epoch, ..)| {
            *committed_hash == hash && !Self::is_expired(netuid, *epoch)
        });
        let Some((position, (_, epoch, ..))) =
            open_position.and_then(|position| Some((position, commits.get(position)?)))
        else {
            return Err(if commits.iter().any(|(committed_hash, ..)| *committed_hash == hash) {
                Error::<T>::ExpiredWeightCommit
            } else if commits.iter().all(|(_, epoch, ..)| Self::is_expired(netuid, *epoch)) {
                Error::<T>::NoWeightsCommitFound
            } else {
                Error::<T>::InvalidRevealCommitHashNotMatch
            });
        };
        ensure!(Self::is_revealable(netuid, *epoch), Error::<T>::RevealTooEarly);
        Ok(position)
    }
}

/// Returns the hash of a commit: BLAKE2b-256 of the SCALE encoding of the data to reveal.
pub(super) fn commit_hash(
    who: &AccountId32,
    index: NetUidStorageIndex,
    uids: &[u16],
    values: &[u16],
    salt: &[u16],
    version_key: u64,
) -> H256 {
    H256(blake2_256(&(who, index, uids, values, salt, version_key).encode()))
}
