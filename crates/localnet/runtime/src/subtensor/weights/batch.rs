//! Weight submissions, commits and reveals of several subnets or epochs in one call.

use codec::Compact;
use frame_support::pallet_prelude::*;
use sp_core::H256;
use sp_runtime::AccountId32;

use super::super::{CommitRevealWeightsEnabled, Config, Error, Event, Pallet, WeightCommits};
use super::commit::commit_hash;
use crate::types::{MechId, NetUid};

/// Weights of one subnet: uids and their weights.
pub(in crate::subtensor) type CompactRow = Vec<(Compact<u16>, Compact<u16>)>;

impl<T: Config> Pallet<T> {
    /// Sets the weights of a hotkey on several subnets. If a subnet refuses its weights, the others
    /// are still processed.
    ///
    /// # Errors
    /// `InputLengthsUnequal`.
    pub(crate) fn do_batch_set_weights(
        who: &AccountId32,
        netuids: Vec<Compact<NetUid>>,
        weights: &[CompactRow],
        version_keys: &[Compact<u64>],
    ) -> DispatchResult {
        let lengths = [weights.len(), version_keys.len()];
        ensure!(
            lengths.iter().all(|length| *length == netuids.len()),
            Error::<T>::InputLengthsUnequal
        );
        let results =
            netuids.iter().zip(weights).zip(version_keys).map(|((netuid, row), version_key)| {
                let (uids, values): (Vec<u16>, Vec<u16>) =
                    row.iter().map(|(uid, weight)| (uid.0, weight.0)).unzip();
                (netuid.0, Self::do_set_weights(who, netuid.0, &uids, &values, version_key.0))
            });
        Self::report_failed_items(results.collect());
        Self::deposit_event(Event::BatchWeightsCompleted(netuids, who.clone()));
        Ok(())
    }

    /// Commits weights of a hotkey on several subnets. If a subnet refuses its commit, the others
    /// are still processed.
    ///
    /// # Errors
    /// `InputLengthsUnequal`.
    pub(crate) fn do_batch_commit_weights(
        who: &AccountId32,
        netuids: Vec<Compact<NetUid>>,
        commit_hashes: &[H256],
    ) -> DispatchResult {
        ensure!(netuids.len() == commit_hashes.len(), Error::<T>::InputLengthsUnequal);
        let results = netuids
            .iter()
            .zip(commit_hashes)
            .map(|(netuid, hash)| (netuid.0, Self::do_commit_weights(who, netuid.0, *hash)));
        Self::report_failed_items(results.collect());
        Self::deposit_event(Event::BatchWeightsCompleted(netuids, who.clone()));
        Ok(())
    }

    /// Reveals several commits of a hotkey on one subnet, or none if one of them cannot be
    /// revealed.
    ///
    /// # Errors
    /// `InputLengthsUnequal`, `CommitRevealDisabled`, `NoWeightsCommitFound`, for each commit
    /// `ExpiredWeightCommit`, `InvalidRevealCommitHashNotMatch` and `RevealTooEarly`, and the
    /// errors of [`Self::store_weights`].
    pub(crate) fn do_batch_reveal_weights(
        who: &AccountId32,
        netuid: NetUid,
        uids_list: &[Vec<u16>],
        values_list: &[Vec<u16>],
        salts_list: &[Vec<u16>],
        version_keys: &[u64],
    ) -> DispatchResult {
        let lengths = [values_list.len(), salts_list.len(), version_keys.len()];
        ensure!(
            lengths.iter().all(|length| *length == uids_list.len()),
            Error::<T>::InputLengthsUnequal
        );
        ensure!(CommitRevealWeightsEnabled::<T>::get(netuid), Error::<T>::CommitRevealDisabled);
        let index = netuid.mechanism(MechId(0));
        let commits =
            WeightCommits::<T>::get(index, who).ok_or(Error::<T>::NoWeightsCommitFound)?;
        let (expired, mut open_commits): (Vec<_>, Vec<_>) =
            commits.into_iter().partition(|(_, epoch, ..)| Self::is_expired(netuid, *epoch));
        let reveals: Vec<(&[u16], &[u16], u64, H256)> = uids_list
            .iter()
            .zip(values_list)
            .zip(salts_list.iter().zip(version_keys))
            .map(|((uids, values), (salt, &version_key))| {
                let hash = commit_hash(who, index, uids, values, salt, version_key);
                (uids.as_slice(), values.as_slice(), version_key, hash)
            })
            .collect();
        let missing_commit_error = |hash: H256| {
            if expired.iter().any(|(expired_hash, ..)| *expired_hash == hash) {
                Error::<T>::ExpiredWeightCommit
            } else {
                Error::<T>::InvalidRevealCommitHashNotMatch
            }
        };
        for (.., hash) in &reveals {
            let commit = open_commits
                .iter()
                .find(|(committed_hash, ..)| committed_hash == hash)
                .ok_or_else(|| missing_commit_error(*hash))?;
            ensure!(Self::is_revealable(netuid, commit.1), Error::<T>::RevealTooEarly);
        }
        let mut revealed = Vec::with_capacity(reveals.len());
        for (uids, values, version_key, hash) in reveals {
            let position = open_commits
                .iter()
                .position(|(committed_hash, ..)| *committed_hash == hash)
                .ok_or_else(|| missing_commit_error(hash))?;
            open_commits.remove(position);
            Self::store_weights(who, netuid, MechId(0), uids, values, version_key)?;
            revealed.push(hash);
        }
        if open_commits.is_empty() {
            WeightCommits::<T>::remove(index, who);
        } else {
            WeightCommits::<T>::insert(index, who, open_commits);
        }
        Self::deposit_event(Event::WeightsBatchRevealed(who.clone(), netuid, revealed));
        Ok(())
    }

    /// Emits an event for each item of a batch that failed.
    fn report_failed_items(results: Vec<(NetUid, DispatchResult)>) {
        let failed: Vec<(NetUid, DispatchError)> = results
            .into_iter()
            .filter_map(|(netuid, result)| Some((netuid, result.err()?)))
            .collect();
        if !failed.is_empty() {
            Self::deposit_event(Event::BatchCompletedWithErrors);
        }
        for (netuid, error) in failed {
            Self::deposit_event(Event::BatchWeightItemFailed(netuid, error));
        }
    }
}
