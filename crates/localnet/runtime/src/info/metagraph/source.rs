//! Source of the metagraph's fields.

use std::collections::BTreeMap;

use codec::{Compact, Encode};
use sp_runtime::AccountId32;

use crate::commitments;
use crate::info::columns::Neurons;
use crate::info::{compact, text};
use crate::subtensor::types::{AxonInfo, ChainIdentityV2, MinerCollateralState};
use crate::subtensor::{
    AlphaDividendsPerSubnet, Axons, Config, IdentitiesV2, MechanismCountCurrent, MinerCollateral,
    NetworksAdded, StakeThreshold, ValidatorPermit,
};
use crate::types::{AlphaBalance, MechId, NetUid, NetUidStorageIndex, TaoBalance};

/// Reads the fields of a mechanism's metagraph. Data shared by several fields is read once, lazily.
pub(super) struct Source {
    pub(super) netuid: NetUid,
    pub(super) index: NetUidStorageIndex,
    pub(super) neurons: Neurons,
}

impl Source {
    /// Creates the source of a mechanism; `None` if the subnet or the mechanism does not exist.
    pub(super) fn of<T: Config>(netuid: NetUid, mecid: MechId) -> Option<Self> {
        let exists =
            NetworksAdded::<T>::get(netuid) && mecid < MechanismCountCurrent::<T>::get(netuid);
        exists.then(|| Self {
            netuid,
            index: netuid.mechanism(mecid),
            neurons: Neurons::of(netuid),
        })
    }

    pub(super) fn identities<T: Config>(&self) -> Vec<Option<ChainIdentityV2>> {
        self.neurons.coldkeys::<T>().iter().map(IdentitiesV2::<T>::get).collect()
    }

    pub(super) fn axons<T: Config>(&self) -> Vec<AxonInfo> {
        let hotkeys = self.neurons.hotkeys::<T>().iter();
        hotkeys.map(|hotkey| Axons::<T>::get(self.netuid, hotkey).unwrap_or_default()).collect()
    }

    /// Returns the alpha dividends of each hotkey at the last epoch.
    pub(super) fn alpha_dividends<T: Config>(&self) -> Vec<(AccountId32, Compact<AlphaBalance>)> {
        let hotkeys = self.neurons.hotkeys::<T>().iter();
        hotkeys
            .map(|hotkey| {
                (hotkey.clone(), Compact(AlphaDividendsPerSubnet::<T>::get(self.netuid, hotkey)))
            })
            .collect()
    }

    /// Returns zero for each hotkey: root stake earns alpha, never TAO.
    pub(super) fn tao_dividends<T: Config>(&self) -> Vec<(AccountId32, Compact<TaoBalance>)> {
        let hotkeys = self.neurons.hotkeys::<T>().iter();
        hotkeys.map(|hotkey| (hotkey.clone(), Compact(TaoBalance::ZERO))).collect()
    }

    /// Returns an amount of each neuron's collateral, by uid.
    pub(super) fn collateral<T: Config>(
        &self,
        amount: impl Fn(&MinerCollateralState) -> AlphaBalance,
    ) -> Vec<Compact<AlphaBalance>> {
        let states: BTreeMap<(AccountId32, AccountId32), MinerCollateralState> =
            MinerCollateral::<T>::iter_prefix((self.netuid,)).collect();
        let owners = self
            .neurons
            .hotkeys::<T>()
            .iter()
            .cloned()
            .zip(self.neurons.coldkeys::<T>().iter().cloned());
        compact(owners.map(|owner| states.get(&owner).map_or(AlphaBalance::ZERO, &amount)))
    }

    /// Returns the uids of the neurons with a validator permit and more stake than the threshold,
    /// by ascending stake, then by the bytes of the uid, as the storage map of hotkeys is read
    /// (`get_validators` in the published source).
    pub(super) fn validators<T: Config>(&self) -> Vec<Compact<u16>> {
        let threshold = StakeThreshold::<T>::get();
        let stakes = self.neurons.stakes::<T>().total.iter();
        let mut validators: Vec<_> = (0_u16..)
            .zip(ValidatorPermit::<T>::get(self.netuid))
            .zip(stakes)
            .filter(|((_, permit), stake)| *permit && stake.0 > threshold)
            .map(|((uid, _), stake)| (uid, *stake))
            .collect();
        validators.sort_by_key(|(uid, stake)| (*stake, uid.to_le_bytes()));
        compact(validators.into_iter().map(|(uid, _)| uid))
    }

    /// Returns the commitment of each hotkey, in its stored encoding.
    pub(super) fn commitments<T: commitments::Config>(
        &self,
    ) -> Vec<(AccountId32, Vec<Compact<u8>>)> {
        let commitments = commitments::CommitmentOf::<T>::iter_prefix(self.netuid);
        commitments.map(|(hotkey, commitment)| (hotkey, text(&commitment.encode()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Runtime;
    use crate::subtensor::{Call, MaxBurn};
    use crate::testing::{BABELBIT, account, at_first_block, jump_to, key, send};

    #[test]
    fn validators_are_listed_by_ascending_stake_above_the_threshold() {
        at_first_block(|| {
            let bob = account("Bob");
            MaxBurn::<Runtime>::insert(BABELBIT, TaoBalance(1_000_000_000));
            // Neurons with 30, 10, 20 and no TAO of stake.
            for (hotkey, tao) in [(1, 30), (2, 10), (3, 20), (4, 0)] {
                jump_to(u32::from(hotkey as u16) * 1_000);
                send(&bob, Call::burned_register { netuid: BABELBIT, hotkey: key(hotkey) })
                    .unwrap();
                if tao > 0 {
                    let amount_staked = TaoBalance(tao * 1_000_000_000);
                    send(
                        &bob,
                        Call::add_stake { hotkey: key(hotkey), netuid: BABELBIT, amount_staked },
                    )
                    .unwrap();
                }
            }
            let uids = || {
                let source = Source::of::<Runtime>(BABELBIT, MechId(0)).unwrap();
                source.validators::<Runtime>().into_iter().map(|uid| uid.0).collect::<Vec<_>>()
            };
            let count = Neurons::of(BABELBIT).hotkeys::<Runtime>().len();
            ValidatorPermit::<Runtime>::insert(BABELBIT, vec![true; count]);
            let first = u16::try_from(count).unwrap() - 4;
            assert_eq!(uids(), [first + 1, first + 2, first]);
            // The threshold itself is not enough.
            let stake = Neurons::of(BABELBIT).stakes::<Runtime>().total[usize::from(first) + 1];
            StakeThreshold::<Runtime>::put(stake.0);
            assert_eq!(uids(), [first + 2, first]);
        });
    }
}
