//! Runtime API of delegates.

use std::collections::BTreeMap;

use codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use sp_runtime::{AccountId32, PerU16};

use super::columns::value_at;
use crate::subtensor::{
    AlphaV2, Config, Delegates, Emission, IsNetworkMember, Owner, Pallet, StakingHotkeys, Tempo,
    Uids, ValidatorPermit,
};
use crate::types::{AlphaBalance, NetUid};

/// Blocks per day at a block time of 12 seconds.
const BLOCKS_PER_DAY: u128 = 7_200;
/// 1 000 TAO, in rao.
const THOUSAND_TAO: u128 = 1_000_000_000_000;

/// Stake of a nominator, by subnet.
type Stakes = Vec<(Compact<NetUid>, Compact<u64>)>;

/// A delegate: a hotkey that accepts stake from nominators.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct DelegateInfo {
    /// Hotkey of the delegate.
    pub delegate_ss58: AccountId32,
    /// Take: the share of its nominators' dividends that the delegate keeps, in parts of 65 535.
    pub take: Compact<PerU16>,
    /// Nominators, each with its stake by subnet.
    pub nominators: Vec<(AccountId32, Stakes)>,
    /// Coldkey that owns the hotkey.
    pub owner_ss58: AccountId32,
    /// Subnets on which the hotkey is registered.
    pub registrations: Vec<Compact<NetUid>>,
    /// Subnets on which the hotkey has a validator permit.
    pub validator_permits: Vec<Compact<NetUid>>,
    /// Daily return on 1 000 TAO of root stake after the take, in rao.
    pub return_per_1000: Compact<u64>,
    /// Total daily return of the hotkey, in rao.
    pub total_daily_return: Compact<u64>,
}

impl DelegateInfo {
    /// Returns all delegates.
    pub fn all<T: Config>() -> Vec<Self> {
        Delegates::<T>::iter_keys().map(|hotkey| Self::read::<T>(hotkey, true)).collect()
    }

    /// Returns one delegate; `None` if the hotkey is not a delegate.
    pub fn by_hotkey<T: Config>(hotkey: AccountId32) -> Option<Self> {
        Delegates::<T>::contains_key(&hotkey).then(|| Self::read::<T>(hotkey, true))
    }

    /// Returns the delegates on which a coldkey has stake, once per subnet, with that stake. The
    /// delegates' lists of nominators are empty.
    #[allow(clippy::type_complexity, reason = "the result type of the real chain's API")]
    pub fn of_staker<T: Config>(
        coldkey: &AccountId32,
    ) -> Vec<(Self, (Compact<NetUid>, Compact<AlphaBalance>))> {
        let mut delegates = Vec::new();
        for hotkey in StakingHotkeys::<T>::get(coldkey) {
            if !Delegates::<T>::contains_key(&hotkey) {
                continue;
            }
            let mut info = None;
            for (netuid, _) in AlphaV2::<T>::iter_prefix((&hotkey, coldkey)) {
                let stake = Pallet::<T>::stake_of(&hotkey, coldkey, netuid);
                if stake > AlphaBalance::ZERO {
                    let info = info.get_or_insert_with(|| Self::read::<T>(hotkey.clone(), false));
                    delegates.push((info.clone(), (Compact(netuid), Compact(stake))));
                }
            }
        }
        delegates
    }

    fn read<T: Config>(hotkey: AccountId32, with_nominators: bool) -> Self {
        let mut registrations: Vec<NetUid> = IsNetworkMember::<T>::iter_prefix(&hotkey)
            .filter(|(_, member)| *member)
            .map(|(netuid, _)| netuid)
            .collect();
        registrations.sort();
        let mut validator_permits = Vec::new();
        let mut daily_return: u128 = 0;
        for netuid in registrations.iter().copied() {
            let Some(uid) = Uids::<T>::get(netuid, &hotkey) else { continue };
            if value_at(&ValidatorPermit::<T>::get(netuid), uid) {
                validator_permits.push(Compact(netuid));
            }
            let emission = u128::from(value_at(&Emission::<T>::get(netuid), uid).0);
            let daily_emission =
                (emission * BLOCKS_PER_DAY).checked_div(u128::from(Tempo::<T>::get(netuid)));
            daily_return = daily_return.saturating_add(daily_emission.unwrap_or(0));
        }
        let take = Delegates::<T>::get(&hotkey);
        let root_stake = Pallet::<T>::total_alpha(&hotkey, NetUid::ROOT);
        Self {
            take: Compact(take),
            nominators: if with_nominators { nominators::<T>(&hotkey) } else { Vec::new() },
            owner_ss58: Owner::<T>::get(&hotkey),
            registrations: registrations.into_iter().map(Compact).collect(),
            validator_permits,
            return_per_1000: Compact(return_per_1000(take, root_stake, daily_return)),
            total_daily_return: Compact(saturate_to_u64(daily_return)),
            delegate_ss58: hotkey,
        }
    }
}

/// Returns the nominators of a hotkey, with their stake by subnet.
fn nominators<T: Config>(hotkey: &AccountId32) -> Vec<(AccountId32, Stakes)> {
    let mut nominators: BTreeMap<AccountId32, Stakes> = BTreeMap::new();
    for ((coldkey, netuid), _) in AlphaV2::<T>::iter_prefix((hotkey,)) {
        let stake = Pallet::<T>::stake_of(hotkey, &coldkey, netuid);
        if stake > AlphaBalance::ZERO {
            nominators.entry(coldkey).or_default().push((Compact(netuid), Compact(stake.0)));
        }
    }
    nominators.into_iter().collect()
}

/// Returns the daily return on 1 000 TAO after the take, in rao, for a stake that earns
/// `daily_return` rao per day.
fn return_per_1000(take: PerU16, stake: AlphaBalance, daily_return: u128) -> u64 {
    let nominators_share = u128::from(u16::MAX.saturating_sub(take.deconstruct()));
    let per_thousand = daily_return.saturating_mul(nominators_share).saturating_mul(THOUSAND_TAO);
    saturate_to_u64(
        per_thousand.checked_div(u128::from(stake.0) * u128::from(u16::MAX)).unwrap_or(0),
    )
}

fn saturate_to_u64(rao: u128) -> u64 {
    u64::try_from(rao).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn return_per_1000_tao_deducts_the_take() {
        const TAO: u64 = 1_000_000_000;
        let take = PerU16::from_percent(18);
        let daily = u128::from(1_000 * TAO);
        let rao = return_per_1000(take, AlphaBalance(10_000 * TAO), daily);
        assert!(rao.abs_diff(82 * TAO) < TAO / 1_000, "{rao}");
        assert_eq!(return_per_1000(take, AlphaBalance::ZERO, daily), 0);
        assert_eq!(return_per_1000(PerU16::one(), AlphaBalance(TAO), daily), 0);
        assert_eq!(return_per_1000(take, AlphaBalance(1), u128::MAX), u64::MAX);
    }
}
