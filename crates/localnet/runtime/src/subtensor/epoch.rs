//! The epoch of a subnet: reads storage, runs consensus, writes the results.

mod inputs;

use sp_runtime::PerU16;
use taonet_consensus::{EpochOutput, run};

use super::{
    Active, Bonds, Config, Consensus, ConsensusByMechanism, Dividends, Emission, Event, Incentive,
    LastMechansimStepBlock, MechanismCountCurrent, MechanismEmissionSplit, Pallet, PendingOwnerCut,
    PendingRootAlphaDivs, PendingServerEmission, PendingValidatorEmission, StakeWeight,
    ValidatorPermit, ValidatorTrust,
};
use crate::types::{AlphaBalance, MechId, NetUid};

pub use inputs::Neurons;

/// The storage maps of a subnet are inconsistent, so its epoch cannot be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InconsistentMaps;

/// Pending emission of an epoch, in alpha.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PendingEmission {
    /// Emission of the miners.
    pub(super) server: u64,
    /// Emission of the validators' alpha stake.
    pub(super) validator: u64,
    /// Emission of the validators' root stake.
    pub(super) root: u64,
    /// Emission of the owner.
    pub(super) owner: u64,
}

impl PendingEmission {
    /// Returns the emission distributed by consensus: all except the owner's cut.
    fn consensus_emission(&self) -> u64 {
        self.server.saturating_add(self.validator).saturating_add(self.root)
    }
}

/// Emission of each neuron in an epoch, by uid, summed over all mechanisms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct EpochEmission {
    /// Miner emission.
    pub(super) server: Vec<u64>,
    /// Validator emission, including that of root stake.
    pub(super) validator: Vec<u64>,
}

impl<T: Config> Pallet<T> {
    /// Runs the epoch of a subnet and distributes the pending emission.
    ///
    /// # Errors
    /// [`InconsistentMaps`]; the storage is then unchanged, and the emission stays pending.
    pub(super) fn run_epoch(netuid: NetUid, block: u64) -> Result<(), InconsistentMaps> {
        let neurons = Self::neurons(netuid)?;
        let mut pending = PendingEmission {
            server: PendingServerEmission::<T>::get(netuid).0,
            validator: PendingValidatorEmission::<T>::get(netuid).0,
            root: PendingRootAlphaDivs::<T>::get(netuid).0,
            owner: PendingOwnerCut::<T>::get(netuid).0,
        };
        let emissions = Self::emission_by_mechanism(netuid, pending.consensus_emission());
        let mut outputs = Vec::with_capacity(emissions.len());
        for (mecid, emission) in (0..).map(MechId).zip(emissions) {
            let input = Self::epoch_input(netuid, mecid, &neurons, block, emission);
            outputs.push(run(&input).map_err(|_| InconsistentMaps)?);
        }
        PendingServerEmission::<T>::remove(netuid);
        PendingValidatorEmission::<T>::remove(netuid);
        PendingRootAlphaDivs::<T>::remove(netuid);
        PendingOwnerCut::<T>::remove(netuid);
        LastMechansimStepBlock::<T>::insert(netuid, block);
        let earned = Self::store_epoch_outputs(netuid, outputs);
        if earned.server.iter().all(|&rao| rao == 0) {
            pending.validator =
                pending.validator.saturating_add(core::mem::take(&mut pending.server));
        }
        Self::update_voting_power(netuid, &neurons);
        Self::distribute_emission(netuid, &neurons, &earned, &pending);
        Ok(())
    }

    /// Returns the emission of each mechanism: by the owner's split, or in equal parts without one.
    /// The remainder goes to the first mechanism.
    fn emission_by_mechanism(netuid: NetUid, emission: u64) -> Vec<u64> {
        let mut emissions: Vec<u64> = Self::mechanism_split(netuid)
            .into_iter()
            .map(|part| (u128::from(emission) * u128::from(part) / u128::from(u16::MAX)) as u64)
            .collect();
        let assigned: u64 = emissions.iter().sum();
        if let Some(first) = emissions.first_mut() {
            *first = first.saturating_add(emission.saturating_sub(assigned));
        }
        emissions
    }

    /// Returns the emission split of the mechanisms, in parts of 65 535. Mechanisms beyond the
    /// owner's split receive nothing.
    fn mechanism_split(netuid: NetUid) -> Vec<u16> {
        let count = MechanismCountCurrent::<T>::get(netuid).0.max(1);
        let Some(mut split) = MechanismEmissionSplit::<T>::get(netuid) else {
            return vec![u16::MAX / u16::from(count); count.into()];
        };
        split.resize(count.into(), 0);
        split
    }

    fn store_epoch_outputs(netuid: NetUid, outputs: Vec<EpochOutput>) -> EpochEmission {
        let permits = ValidatorPermit::<T>::get(netuid);
        for (mecid, output) in (0..).map(MechId).zip(&outputs) {
            let index = netuid.mechanism(mecid);
            Incentive::<T>::insert(index, proportions(&output.incentive));
            ConsensusByMechanism::<T>::insert(index, proportions(&output.consensus));
            let previous_permits = permits.iter().copied().chain(core::iter::repeat(false));
            for (uid, (had_permit, bonds)) in (0_u16..).zip(previous_permits.zip(&output.bonds)) {
                let has_permit =
                    output.new_validator_permit.get(usize::from(uid)).copied().unwrap_or_default();
                if has_permit {
                    let row: Vec<(u16, u16)> =
                        bonds.iter().map(|(bond_uid, bond)| (bond_uid.0, *bond)).collect();
                    Bonds::<T>::insert(index, uid, row);
                } else if had_permit {
                    Bonds::<T>::remove(index, uid);
                }
            }
            let emissions = output.server_emission.iter().copied().map(AlphaBalance).collect();
            Self::deposit_event(Event::IncentiveAlphaEmittedToMiners { netuid: index, emissions });
        }
        let combined = combine_outputs(outputs, &Self::mechanism_split(netuid));
        Active::<T>::insert(netuid, combined.active);
        Consensus::<T>::insert(netuid, proportions(&combined.consensus));
        Dividends::<T>::insert(netuid, proportions(&combined.dividends));
        ValidatorTrust::<T>::insert(netuid, proportions(&combined.validator_trust));
        ValidatorPermit::<T>::insert(netuid, combined.new_validator_permit);
        StakeWeight::<T>::insert(netuid, combined.stake_weight);
        let emission: Vec<AlphaBalance> = combined.emission.into_iter().map(AlphaBalance).collect();
        Emission::<T>::insert(netuid, emission);
        EpochEmission { server: combined.server_emission, validator: combined.validator_emission }
    }
}

fn proportions(parts: &[u16]) -> Vec<PerU16> {
    parts.iter().copied().map(PerU16::from_parts).collect()
}

/// Combines the results of all mechanisms: emission is summed, all else is averaged by the split.
/// Activity and permits depend on stake, which is the same in all of them.
fn combine_outputs(mut outputs: Vec<EpochOutput>, split: &[u16]) -> EpochOutput {
    if outputs.len() == 1
        && let Some(only) = outputs.pop()
    {
        return only;
    }
    EpochOutput {
        active: any_by_uid(&outputs, |output| &output.active),
        new_validator_permit: any_by_uid(&outputs, |output| &output.new_validator_permit),
        stake_weight: average_by_uid(&outputs, split, |output| &output.stake_weight),
        consensus: average_by_uid(&outputs, split, |output| &output.consensus),
        validator_trust: average_by_uid(&outputs, split, |output| &output.validator_trust),
        incentive: average_by_uid(&outputs, split, |output| &output.incentive),
        dividends: average_by_uid(&outputs, split, |output| &output.dividends),
        server_emission: sum_by_uid(&outputs, |output| &output.server_emission),
        validator_emission: sum_by_uid(&outputs, |output| &output.validator_emission),
        emission: sum_by_uid(&outputs, |output| &output.emission),
        bonds: Vec::new(),
    }
}

/// Returns the number of neurons.
fn neuron_count<V>(outputs: &[EpochOutput], field: fn(&EpochOutput) -> &Vec<V>) -> usize {
    outputs.iter().map(|output| field(output).len()).max().unwrap_or_default()
}

fn average_by_uid(
    outputs: &[EpochOutput],
    split: &[u16],
    field: fn(&EpochOutput) -> &Vec<u16>,
) -> Vec<u16> {
    let split_total = split.iter().map(|&part| u64::from(part)).sum::<u64>().max(1);
    (0..neuron_count(outputs, field))
        .map(|uid| {
            let weighted_outputs = outputs.iter().zip(split);
            let sum: u64 = weighted_outputs
                .map(|(output, &part)| u64::from(value_at(field(output), uid)) * u64::from(part))
                .sum();
            (sum / split_total) as u16
        })
        .collect()
}

fn sum_by_uid(outputs: &[EpochOutput], field: fn(&EpochOutput) -> &Vec<u64>) -> Vec<u64> {
    (0..neuron_count(outputs, field))
        .map(|uid| {
            outputs.iter().map(|output| value_at(field(output), uid)).fold(0, u64::saturating_add)
        })
        .collect()
}

fn any_by_uid(outputs: &[EpochOutput], field: fn(&EpochOutput) -> &Vec<bool>) -> Vec<bool> {
    (0..neuron_count(outputs, field))
        .map(|uid| outputs.iter().any(|output| value_at(field(output), uid)))
        .collect()
}

fn value_at<V: Copy + Default>(list: &[V], uid: usize) -> V {
    list.get(uid).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
