//! Reveal window of a commit: the epoch that is `RevealPeriodEpochs` epochs after the commit's
//! epoch.

use super::super::{
    CommitRevealWeightsEnabled, Config, Pallet, RevealPeriodEpochs, Tempo, TimelockedWeightCommits,
    WeightCommits,
};
use crate::types::{MechId, NetUid};

impl<T: Config> Pallet<T> {
    /// Returns the epoch in which a commit of epoch `commit_epoch` can be revealed.
    fn reveal_epoch(netuid: NetUid, commit_epoch: u64) -> u64 {
        commit_epoch.saturating_add(RevealPeriodEpochs::<T>::get(netuid))
    }

    /// Whether a commit of epoch `commit_epoch` can be revealed now.
    pub(super) fn is_revealable(netuid: NetUid, commit_epoch: u64) -> bool {
        Self::epoch_index_now(netuid) == Self::reveal_epoch(netuid, commit_epoch)
    }

    /// Whether the reveal window of a commit of epoch `commit_epoch` has passed.
    pub(super) fn is_expired(netuid: NetUid, commit_epoch: u64) -> bool {
        Self::epoch_index_now(netuid) > Self::reveal_epoch(netuid, commit_epoch)
    }

    /// Returns the expected first block of the reveal window of a commit made now, with the current
    /// tempo; the largest block number if the tempo is 0.
    pub(super) fn expected_reveal_block(netuid: NetUid) -> u64 {
        let later_epochs = RevealPeriodEpochs::<T>::get(netuid).saturating_sub(1);
        let later_blocks = later_epochs.saturating_mul(Tempo::<T>::get(netuid).into());
        Self::next_epoch_block(netuid).map_or(u64::MAX, |next| next.saturating_add(later_blocks))
    }

    /// Returns the block of each neuron's oldest commit that has not expired; `None` if
    /// commit-reveal is disabled. An epoch ignores weights on a neuron that registered after this
    /// block.
    pub fn commit_blocks(netuid: NetUid, mecid: MechId) -> Option<Vec<Option<u64>>> {
        if !CommitRevealWeightsEnabled::<T>::get(netuid) {
            return None;
        }
        let index = netuid.mechanism(mecid);
        let hash_commits = WeightCommits::<T>::iter_prefix(index).flat_map(|(who, commits)| {
            commits.into_iter().map(move |(_, epoch, block, _)| (who.clone(), epoch, block))
        });
        let timelocked_commits =
            TimelockedWeightCommits::<T>::iter_prefix(index).flat_map(|(epoch, commits)| {
                commits.into_iter().map(move |(who, block, ..)| (who, epoch, block))
            });
        let mut oldest_blocks = vec![None; Self::neuron_count(netuid).into()];
        for (who, epoch, block) in hash_commits.chain(timelocked_commits) {
            if Self::is_expired(netuid, epoch) {
                continue;
            }
            if let Some(oldest_block) =
                Self::uid_of(netuid, &who).and_then(|uid| oldest_blocks.get_mut(usize::from(uid)))
            {
                *oldest_block =
                    Some(oldest_block.map_or(block, |oldest_block: u64| oldest_block.min(block)));
            }
        }
        Some(oldest_blocks)
    }
}
