//! Timelocked commits: weights encrypted to a later round of the drand beacon, and their reveals.

#[cfg(test)]
mod tests;

use frame_support::pallet_prelude::*;
use sp_core::H256;
use sp_io::hashing::blake2_256;
use sp_runtime::AccountId32;
use taonet_primitives::Hotkey;
use taonet_timelock::{Ciphertext, WeightsPayload};

use super::super::{
    CommitRevealWeightsVersion, Config, Error, Event, MAX_COMMIT_LEN, MechanismCountCurrent,
    Pallet, TimelockedWeightCommits,
};
use super::commit::MAX_UNREVEALED;
use crate::drand::{LastStoredRound, Pulse, Pulses};
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
        Self::do_commit_timelocked_mechanism_weights(
            who,
            netuid,
            mecid,
            commit,
            reveal_round,
            commit_reveal_version,
        )
    }

    /// Commits timelocked weights of a mechanism.
    pub(crate) fn do_commit_timelocked_mechanism_weights(
        who: &AccountId32,
        netuid: NetUid,
        mecid: MechId,
        commit: BoundedVec<u8, ConstU32<MAX_COMMIT_LEN>>,
        reveal_round: u64,
        commit_reveal_version: u16,
    ) -> DispatchResult {
        let uid =
            Self::check_timelocked_commit(who, netuid, mecid, reveal_round, commit_reveal_version)?;
        let index = netuid.mechanism(mecid);
        let hash = H256(blake2_256(&commit));
        TimelockedWeightCommits::<T>::try_mutate(
            index,
            Self::epoch_index_now(netuid),
            |commits| {
                let unrevealed = commits.iter().filter(|(committer, ..)| committer == who).count();
                ensure!(unrevealed < MAX_UNREVEALED, Error::<T>::TooManyUnrevealedCommits);
                commits.push((who.clone(), Self::current_block(), commit, reveal_round));
                Ok::<_, Error<T>>(())
            },
        )?;
        Self::record_last_update(netuid, index, uid);
        Self::deposit_event(Event::TimelockedWeightsCommitted(
            who.clone(),
            index,
            hash,
            reveal_round,
        ));
        Ok(())
    }

    /// Validates a timelocked commit with the checks of [`Self::check_commit`]. The version and the
    /// round are checked right after the check that commit-reveal is enabled.
    ///
    /// # Errors
    /// The errors of [`Self::check_commit`], `IncorrectCommitRevealVersion` and
    /// `InvalidRevealRound`.
    fn check_timelocked_commit(
        who: &AccountId32,
        netuid: NetUid,
        mecid: MechId,
        reveal_round: u64,
        version: u16,
    ) -> Result<u16, Error<T>> {
        Self::ensure_commits_enabled(netuid, mecid)?;
        ensure!(
            version == CommitRevealWeightsVersion::<T>::get(),
            Error::<T>::IncorrectCommitRevealVersion
        );
        Self::ensure_round_is_open(reveal_round)?;
        Self::check_commit(who, netuid, mecid)
    }

    /// Refuses rounds before the latest stored one: their pulses decrypt the weights at once.
    pub(super) fn ensure_round_is_open(reveal_round: u64) -> Result<(), Error<T>> {
        ensure!(reveal_round >= LastStoredRound::<T>::get(), Error::<T>::InvalidRevealRound);
        Ok(())
    }

    /// Reveals the timelocked commits whose reveal window has begun and whose pulse is stored, and
    /// removes those whose window has passed. Called at the start of each block, before its epochs.
    pub fn reveal_timelocked(subnets: &[NetUid]) {
        for &netuid in subnets {
            for mecid in (0..MechanismCountCurrent::<T>::get(netuid).0).map(MechId) {
                let index = netuid.mechanism(mecid);
                for epoch in
                    TimelockedWeightCommits::<T>::iter_key_prefix(index).collect::<Vec<_>>()
                {
                    if Self::is_expired(netuid, epoch) {
                        TimelockedWeightCommits::<T>::remove(index, epoch);
                    } else if Self::is_revealable(netuid, epoch) {
                        Self::reveal_commits_of(netuid, mecid, epoch);
                    }
                }
            }
        }
    }

    /// Reveals the timelocked commits of an epoch whose pulse is stored, in the order of the
    /// commits; the others stay. A commit that the pulse does not decrypt, or whose weights cannot
    /// be set, is removed without effect, as on the real chain.
    fn reveal_commits_of(netuid: NetUid, mecid: MechId, epoch: u64) {
        let index = netuid.mechanism(mecid);
        let (mut revealable, mut pending) = (Vec::new(), Vec::new());
        for commit in TimelockedWeightCommits::<T>::get(index, epoch) {
            match Pulses::<T>::get(commit.3) {
                Some(pulse) => revealable.push((commit, pulse)),
                None => pending.push(commit),
            }
        }
        if revealable.is_empty() {
            return;
        }
        if pending.is_empty() {
            TimelockedWeightCommits::<T>::remove(index, epoch);
        } else {
            TimelockedWeightCommits::<T>::insert(index, epoch, pending);
        }
        for ((who, _, ciphertext, _), pulse) in revealable {
            let Some(WeightsPayload { uids, values, version_key, .. }) =
                decrypt(&who, &ciphertext, &pulse)
            else {
                continue;
            };
            let uids: Vec<u16> = uids.into_iter().map(|uid| uid.0).collect();
            if Self::store_weights(&who, netuid, mecid, &uids, &values, version_key).is_ok() {
                Self::deposit_event(Event::TimelockedWeightsRevealed(index, who));
            }
        }
    }
}

/// Decrypts a hotkey's commit with the pulse of its round; `None` if the commit is malformed,
/// belongs to another round or has the weights of another hotkey.
fn decrypt(who: &AccountId32, commit: &[u8], pulse: &Pulse) -> Option<WeightsPayload> {
    let ciphertext = Ciphertext::read(&mut &*commit).ok()?;
    let plaintext = ciphertext.decrypt(&pulse.decryption_key()?).ok()?;
    WeightsPayload::from_commit(Hotkey::from_bytes(who.clone().into()), &plaintext).ok()
}
