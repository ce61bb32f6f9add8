//! Stake of coldkeys, and staking fees.

use std::collections::{BTreeMap, BTreeSet};

use codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use sp_runtime::AccountId32;
use substrate_fixed::types::U64F64;

use crate::subtensor::{
    AlphaDividendsPerSubnet, AlphaV2, Config, IsNetworkMember, Pallet, StakingHotkeys,
};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// The stake of a coldkey on a hotkey in a subnet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct StakeInfo {
    /// Hotkey that the stake is on.
    pub hotkey: AccountId32,
    /// Coldkey that owns the stake.
    pub coldkey: AccountId32,
    /// Netuid of the subnet.
    pub netuid: Compact<NetUid>,
    /// Amount of the stake, in alpha.
    pub stake: Compact<AlphaBalance>,
    /// Locked stake; always 0, as on the real chain: a lock is on the subnet, not on one stake.
    pub locked: Compact<u64>,
    /// Alpha dividends of the hotkey at the last epoch.
    pub emission: Compact<AlphaBalance>,
    /// TAO dividends; always 0, since root stake earns alpha.
    pub tao_emission: Compact<TaoBalance>,
    /// Drain; always 0, because the chain no longer uses it.
    pub drain: Compact<u64>,
    /// Whether the hotkey is registered on the subnet.
    pub is_registered: bool,
}

impl StakeInfo {
    /// Returns all stakes of a coldkey.
    pub fn of_coldkey<T: Config>(coldkey: &AccountId32) -> Vec<Self> {
        nonzero_stakes::<T>(coldkey)
            .map(|(hotkey, netuid, stake)| Self::new::<T>(hotkey, coldkey.clone(), netuid, stake))
            .collect()
    }

    /// Returns all stakes of each of several coldkeys.
    pub fn of_coldkeys<T: Config>(coldkeys: Vec<AccountId32>) -> Vec<(AccountId32, Vec<Self>)> {
        coldkeys
            .into_iter()
            .map(|coldkey| (coldkey.clone(), Self::of_coldkey::<T>(&coldkey)))
            .collect()
    }

    /// Returns the stake of a coldkey on a hotkey in a subnet, even if it is zero.
    pub fn of_hotkey_and_coldkey<T: Config>(
        hotkey: AccountId32,
        coldkey: AccountId32,
        netuid: NetUid,
    ) -> Self {
        let stake = Pallet::<T>::stake_of(&hotkey, &coldkey, netuid);
        Self::new::<T>(hotkey, coldkey, netuid, stake)
    }

    fn new<T: Config>(
        hotkey: AccountId32,
        coldkey: AccountId32,
        netuid: NetUid,
        stake: AlphaBalance,
    ) -> Self {
        Self {
            netuid: Compact(netuid),
            stake: Compact(stake),
            locked: Compact(0),
            emission: Compact(AlphaDividendsPerSubnet::<T>::get(netuid, &hotkey)),
            tao_emission: Compact(TaoBalance::ZERO),
            drain: Compact(0),
            is_registered: IsNetworkMember::<T>::get(&hotkey, netuid),
            hotkey,
            coldkey,
        }
    }
}

/// Total, locked and available stake of a coldkey in a subnet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct StakeAvailability {
    /// Total stake, in alpha.
    pub total: Compact<AlphaBalance>,
    /// Locked stake, in alpha.
    pub locked: Compact<AlphaBalance>,
    /// Stake that can be withdrawn, in alpha: neither locked nor collateral.
    pub available: Compact<AlphaBalance>,
}

impl StakeAvailability {
    fn of<T: Config>(coldkey: &AccountId32, netuid: NetUid, total: AlphaBalance) -> Self {
        let locked = Compact(Pallet::<T>::locked_alpha(coldkey, netuid));
        let available =
            Compact(total.saturating_sub(Pallet::<T>::unavailable_stake(coldkey, netuid)));
        Self { total: Compact(total), locked, available }
    }
}

/// Stake of a coldkey, by subnet.
pub type Availability = BTreeMap<NetUid, StakeAvailability>;

/// Returns the stake that coldkeys can withdraw in the subnets `netuids`, or in all subnets where
/// they have stake if `netuids` is `None`.
pub fn availability<T: Config>(
    coldkeys: Vec<AccountId32>,
    netuids: Option<Vec<NetUid>>,
) -> BTreeMap<AccountId32, Availability> {
    let requested_netuids: Option<BTreeSet<NetUid>> =
        netuids.map(|netuids| netuids.into_iter().collect());
    let mut by_coldkey = BTreeMap::new();
    for coldkey in coldkeys {
        let mut totals: BTreeMap<NetUid, AlphaBalance> = requested_netuids
            .iter()
            .flatten()
            .map(|netuid| (*netuid, AlphaBalance::ZERO))
            .collect();
        for (_, netuid, stake) in nonzero_stakes::<T>(&coldkey) {
            if requested_netuids
                .as_ref()
                .is_none_or(|requested_netuids| requested_netuids.contains(&netuid))
            {
                let total = totals.entry(netuid).or_default();
                *total = total.saturating_add(stake);
            }
        }
        let subnets = totals
            .into_iter()
            .map(|(netuid, total)| (netuid, StakeAvailability::of::<T>(&coldkey, netuid, total)));
        let subnets: Availability = subnets.collect();
        by_coldkey.insert(coldkey, subnets);
    }
    by_coldkey
}

/// A stake lock.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct LockState {
    /// Locked amount of alpha.
    pub locked_mass: AlphaBalance,
    /// The conviction: the locked stake, weighted by the time for which it has been locked.
    pub conviction: U64F64,
    /// Block of the lock's last update.
    pub last_update: u64,
}

/// Returns the lock of a coldkey on a subnet, rolled forward to the current block.
pub fn lock_of<T: Config>(coldkey: &AccountId32, netuid: NetUid) -> Option<LockState> {
    let (_, lock) = Pallet::<T>::lock_of(coldkey, netuid)?;
    Some(LockState {
        locked_mass: lock.locked_mass,
        conviction: lock.conviction,
        last_update: lock.last_update,
    })
}

/// Returns the non-zero stakes of a coldkey: hotkey, subnet, amount.
fn nonzero_stakes<T: Config>(
    coldkey: &AccountId32,
) -> impl Iterator<Item = (AccountId32, NetUid, AlphaBalance)> {
    StakingHotkeys::<T>::get(coldkey)
        .into_iter()
        .flat_map(move |hotkey| {
            AlphaV2::<T>::iter_key_prefix((hotkey.clone(), coldkey.clone())).map(move |netuid| {
                let stake = Pallet::<T>::stake_of(&hotkey, coldkey, netuid);
                (hotkey.clone(), netuid, stake)
            })
        })
        .filter(|(_, _, stake)| *stake > AlphaBalance::ZERO)
}
