//! Incentive mechanisms of a subnet.

use super::{
    Bonds, Config, ConsensusByMechanism, Incentive, LastUpdate, MechanismCountCurrent,
    MechanismEmissionSplit, Pallet, TimelockedWeightCommits, WeightCommits, Weights,
};
use crate::types::{MechId, NetUid};

impl<T: Config> Pallet<T> {
    /// Adds empty mechanisms, or removes the last ones with all their storage, and resets the
    /// emission split.
    pub fn set_mechanism_count(netuid: NetUid, count: MechId) {
        let old_count = MechanismCountCurrent::<T>::get(netuid);
        if old_count == count {
            return;
        }
        let neurons = usize::from(Self::neuron_count(netuid));
        for mecid in old_count.0..count.0 {
            let index = netuid.mechanism(MechId(mecid));
            LastUpdate::<T>::insert(index, vec![0; neurons]);
            Incentive::<T>::insert(index, vec![sp_runtime::PerU16::default(); neurons]);
        }
        for mecid in count.0..old_count.0 {
            let index = netuid.mechanism(MechId(mecid));
            LastUpdate::<T>::remove(index);
            Incentive::<T>::remove(index);
            ConsensusByMechanism::<T>::remove(index);
            // There is at most one row per neuron, so one call clears all.
            let _ = Weights::<T>::clear_prefix(index, u32::MAX, None);
            let _ = Bonds::<T>::clear_prefix(index, u32::MAX, None);
            let _ = WeightCommits::<T>::clear_prefix(index, u32::MAX, None);
            let _ = TimelockedWeightCommits::<T>::clear_prefix(index, u32::MAX, None);
        }
        MechanismCountCurrent::<T>::insert(netuid, count);
        MechanismEmissionSplit::<T>::remove(netuid);
    }
}
