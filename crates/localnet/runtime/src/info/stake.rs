//! Who staked what, and what staking costs.

use std::collections::{BTreeMap, BTreeSet};

use codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use sp_runtime::AccountId32;
use substrate_fixed::types::U64F64;

use crate::subtensor::{AlphaDividendsPerSubnet, AlphaV2, Config, IsNetworkMember, Pallet, StakingHotkeys};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// The stake of a coldkey on a hotkey in a subnet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct StakeInfo {
    /// On whom.
    pub hotkey: AccountId32,
    /// Whose.
    pub coldkey: AccountId32,
    /// Where.
    pub netuid: Compact<NetUid>,
    /// How much.
    pub stake: Compact<AlphaBalance>,
    /// 0: this chain locks no stake.
    pub locked: Compact<u64>,
    /// What the hotkey earned as dividends at the last epoch.
    pub emission: Compact<AlphaBalance>,
    /// 0: root stake earns alpha.
    pub tao_emission: Compact<TaoBalance>,
    /// 0: no longer used.
    pub drain: Compact<u64>,
    /// Whether the hotkey is registered there.
    pub is_registered: bool,
}

impl StakeInfo {
    /// All stakes of a coldkey.
    pub fn of_coldkey<T: Config>(coldkey: &AccountId32) -> Vec<Self> {
        held::<T>(coldkey)
            .map(|(hotkey, netuid, stake)| Self::new::<T>(hotkey, coldkey.clone(), netuid, stake))
            .collect()
    }

    /// All stakes of several coldkeys.
    pub fn of_coldkeys<T: Config>(coldkeys: Vec<AccountId32>) -> Vec<(AccountId32, Vec<Self>)> {
        coldkeys.into_iter().map(|coldkey| (coldkey.clone(), Self::of_coldkey::<T>(&coldkey))).collect()
    }

    /// One stake, nothing included.
    pub fn one<T: Config>(hotkey: AccountId32, coldkey: AccountId32, netuid: NetUid) -> Self {
        let stake = Pallet::<T>::stake_of(&hotkey, &coldkey, netuid);
        Self::new::<T>(hotkey, coldkey, netuid, stake)
    }

    fn new<T: Config>(hotkey: AccountId32, coldkey: AccountId32, netuid: NetUid, stake: AlphaBalance) -> Self {
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

/// How much of a coldkey's stake in a subnet can be taken out.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct StakeAvailability {
    /// All of it.
    pub total: Compact<AlphaBalance>,
    /// 0: this chain locks no stake.
    pub locked: Compact<AlphaBalance>,
    /// The rest.
    pub available: Compact<AlphaBalance>,
}

impl StakeAvailability {
    const fn all_of(total: AlphaBalance) -> Self {
        Self { total: Compact(total), locked: Compact(AlphaBalance::ZERO), available: Compact(total) }
    }
}

/// Stake of a coldkey, by subnet.
pub type Availability = BTreeMap<NetUid, StakeAvailability>;

/// What coldkeys can take out, in these subnets or in all where they have stake.
pub fn availability<T: Config>(
    coldkeys: Vec<AccountId32>,
    netuids: Option<Vec<NetUid>>,
) -> BTreeMap<AccountId32, Availability> {
    let wanted: Option<BTreeSet<NetUid>> = netuids.map(|netuids| netuids.into_iter().collect());
    let mut coldkeys_found = BTreeMap::new();
    for coldkey in coldkeys {
        let mut totals: BTreeMap<NetUid, AlphaBalance> =
            wanted.iter().flatten().map(|netuid| (*netuid, AlphaBalance::ZERO)).collect();
        for (_, netuid, stake) in held::<T>(&coldkey) {
            if wanted.as_ref().is_none_or(|wanted| wanted.contains(&netuid)) {
                let total = totals.entry(netuid).or_default();
                *total = total.saturating_add(stake);
            }
        }
        let subnets = totals.into_iter().map(|(netuid, total)| (netuid, StakeAvailability::all_of(total)));
        coldkeys_found.insert(coldkey, subnets.collect());
    }
    coldkeys_found
}

/// Stake that cannot be taken out yet. This chain has none.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct LockState {
    /// How much.
    pub locked_mass: AlphaBalance,
    /// How long it has been so.
    pub conviction: U64F64,
    /// When that was computed.
    pub last_update: u64,
}

/// The stakes of a coldkey that are not nothing: hotkey, subnet, amount.
fn held<T: Config>(coldkey: &AccountId32) -> impl Iterator<Item = (AccountId32, NetUid, AlphaBalance)> {
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
