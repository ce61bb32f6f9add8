//! Inputs of an epoch, read from storage.

use sp_runtime::{AccountId32, PerThing};
use taonet_consensus::{EpochInput, Row};
use taonet_primitives::Uid;

use super::InconsistentMaps;
use crate::subtensor::shares::weighted_root;
use crate::subtensor::types::ConsensusMode;
use crate::subtensor::{
    AlphaSigmoidSteepness, AlphaValues, BlockAtRegistration, Bonds, BondsMovingAverage,
    BondsPenalty, Config, ConsensusByMechanism, Kappa, Keys, LastMechansimStepBlock, LastUpdate,
    LiquidAlphaConsensusMode, LiquidAlphaOn, MaxAllowedValidators, Pallet, StakeThreshold,
    SubnetOwnerHotkey, SubnetworkN, TaoWeight, Tempo, Uids, ValidatorPermit, Weights, Yuma3On,
};
use crate::types::{MechId, NetUid, NetUidStorageIndex};

/// The neurons of a subnet, read once for all mechanisms. Lists are indexed by uid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neurons {
    /// Hotkey of each neuron.
    pub hotkeys: Vec<AccountId32>,
    /// Alpha with which each neuron validates, after children and parents.
    pub alpha: Vec<u64>,
    /// Weighted TAO on root with which each neuron validates, after children and parents.
    pub root: Vec<u64>,
    /// Registration block of each neuron.
    pub registration_blocks: Vec<u64>,
}

impl Neurons {
    /// Returns the total stake of each neuron: alpha plus weighted TAO.
    pub(in crate::subtensor) fn stake(&self) -> Vec<u64> {
        self.alpha.iter().zip(&self.root).map(|(alpha, root)| alpha.saturating_add(*root)).collect()
    }
}

impl<T: Config> Pallet<T> {
    /// Reads the neurons of a subnet.
    ///
    /// # Errors
    /// [`InconsistentMaps`] if the maps from uid to hotkey and from hotkey to uid do not match.
    pub fn neurons(netuid: NetUid) -> Result<Neurons, InconsistentMaps> {
        let n = SubnetworkN::<T>::get(netuid);
        let tao_weight = TaoWeight::<T>::get();
        let capacity = usize::from(n);
        let mut neurons = Neurons {
            hotkeys: Vec::with_capacity(capacity),
            alpha: Vec::with_capacity(capacity),
            root: Vec::with_capacity(capacity),
            registration_blocks: Vec::with_capacity(capacity),
        };
        for uid in 0..n {
            let hotkey = Keys::<T>::get(netuid, uid);
            if Uids::<T>::get(netuid, &hotkey) != Some(uid) {
                return Err(InconsistentMaps);
            }
            neurons.alpha.push(Self::inherited_stake(&hotkey, netuid, netuid).0);
            neurons.root.push(
                weighted_root(Self::inherited_stake(&hotkey, netuid, NetUid::ROOT), tao_weight).0,
            );
            neurons.registration_blocks.push(BlockAtRegistration::<T>::get(netuid, uid));
            neurons.hotkeys.push(hotkey);
        }
        Ok(neurons)
    }

    /// Returns the input of a mechanism's epoch at `block` with the given emission.
    pub fn epoch_input(
        netuid: NetUid,
        mecid: MechId,
        neurons: &Neurons,
        block: u64,
        emission: u64,
    ) -> EpochInput {
        let index = netuid.mechanism(mecid);
        let n = SubnetworkN::<T>::get(netuid);
        let owner = SubnetOwnerHotkey::<T>::get(netuid);
        let owner_uid = (0..)
            .map(Uid)
            .zip(&neurons.hotkeys)
            .find(|(_, hotkey)| **hotkey == owner)
            .map(|(uid, _)| uid);
        let (alpha_low, alpha_high) = AlphaValues::<T>::get(netuid);
        EpochInput {
            n,
            block,
            tempo: Tempo::<T>::get(netuid).into(),
            activity_cutoff: Self::activity_cutoff(netuid),
            last_mechanism_step: LastMechansimStepBlock::<T>::get(netuid),
            emission,
            stake: neurons.stake(),
            stake_threshold: StakeThreshold::<T>::get(),
            owner_uid,
            max_validators: MaxAllowedValidators::<T>::get(netuid),
            validator_permit: resize(ValidatorPermit::<T>::get(netuid), n),
            last_update: resize(LastUpdate::<T>::get(index), n),
            block_at_registration: neurons.registration_blocks.clone(),
            commit_blocks: Self::commit_blocks(netuid, mecid),
            weights: (0..n).map(|uid| row(Weights::<T>::get(index, uid))).collect(),
            bonds: (0..n).map(|uid| row(Bonds::<T>::get(index, uid))).collect(),
            kappa: Kappa::<T>::get(netuid),
            bonds_penalty: BondsPenalty::<T>::get(netuid),
            bonds_moving_average: BondsMovingAverage::<T>::get(netuid),
            yuma3: Yuma3On::<T>::get(netuid),
            liquid_alpha: LiquidAlphaOn::<T>::get(netuid),
            alpha_low,
            alpha_high,
            alpha_sigmoid_steepness: AlphaSigmoidSteepness::<T>::get(netuid),
            liquid_alpha_consensus: match LiquidAlphaConsensusMode::<T>::get(netuid) {
                ConsensusMode::Previous => Some(resize(previous_consensus::<T>(index), n)),
                ConsensusMode::Current | ConsensusMode::Auto => None,
            },
        }
    }
}

fn previous_consensus<T: Config>(index: NetUidStorageIndex) -> Vec<u16> {
    ConsensusByMechanism::<T>::get(index).into_iter().map(PerThing::deconstruct).collect()
}

/// Pads or truncates a stored list to the number of neurons: it can be outdated until the next
/// epoch.
fn resize<V: Clone + Default>(mut list: Vec<V>, n: u16) -> Vec<V> {
    list.resize(n.into(), V::default());
    list
}

fn row(entries: Vec<(u16, u16)>) -> Row {
    entries.into_iter().map(|(uid, value)| (Uid(uid), value)).collect()
}
