//! Reader of the metagraph's fields.

use std::collections::BTreeMap;

use codec::{Compact, Encode};
use sp_runtime::AccountId32;

use crate::commitments;
use crate::info::columns::LazyNeurons;
use crate::info::{compact, compact_text};
use crate::subtensor::types::{AxonInfo, ChainIdentityV2, MinerCollateralState};
use crate::subtensor::{
    AlphaDividendsPerSubnet, Axons, Config, IdentitiesV2, MechanismCountCurrent, MinerCollateral,
    NetworksAdded, StakeThreshold, ValidatorPermit,
};
use crate::types::{AlphaBalance, MechId, NetUid, NetUidStorageIndex, TaoBalance};

/// Reads the fields of a mechanism's metagraph. Data shared by several fields is read once, lazily.
pub(super) struct MetagraphReader {
    pub(super) netuid: NetUid,
    pub(super) index: NetUidStorageIndex,
    pub(super) neurons: LazyNeurons,
}

impl MetagraphReader {
    /// Creates the reader of a mechanism; `None` if the subnet or the mechanism does not exist.
    pub(super) fn new<T: Config>(netuid: NetUid, mecid: MechId) -> Option<Self> {
        let mechanism_exists =
            NetworksAdded::<T>::get(netuid) && mecid < MechanismCountCurrent::<T>::get(netuid);
        mechanism_exists.then(|| Self {
            netuid,
            index: netuid.mechanism(mecid),
            neurons: LazyNeurons::new(netuid),
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
        let key_pairs = self
            .neurons
            .hotkeys::<T>()
            .iter()
            .cloned()
            .zip(self.neurons.coldkeys::<T>().iter().cloned());
        compact(key_pairs.map(|key_pair| states.get(&key_pair).map_or(AlphaBalance::ZERO, &amount)))
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
        commitments
            .map(|(hotkey, commitment)| (hotkey, compact_text(&commitment.encode())))
            .collect()
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
                let source = MetagraphReader::new::<Runtime>(BABELBIT, MechId(0)).unwrap();
                source.validators::<Runtime>().into_iter().map(|uid| uid.0).collect::<Vec<_>>()
            };
            let count = LazyNeurons::new(BABELBIT).hotkeys::<Runtime>().len();
            ValidatorPermit::<Runtime>::insert(BABELBIT, vec![true; count]);
            let first = u16::try_from(count).unwrap() - 4;
            assert_eq!(uids(), [first + 1, first + 2, first]);
            // The threshold itself is not enough.
            let stake =
                LazyNeurons::new(BABELBIT).stakes::<Runtime>().total[usize::from(first) + 1];
            StakeThreshold::<Runtime>::put(stake.0);
            assert_eq!(uids(), [first + 2, first]);
        });
    }
}
