//! Creation, identity and start of subnets.

use frame_support::pallet_prelude::*;
use frame_support::traits::fungible::Inspect;
use frame_support::traits::tokens::{Fortitude, Preservation};
use frame_system::ensure_signed_or_root;
use frame_system::pallet_prelude::OriginFor;
use sp_runtime::AccountId32;
use substrate_fixed::types::{I64F64, U64F64};

use super::types::{RateLimitKey, SubnetIdentityV3};
use super::{
    Burn, CommitRevealWeightsEnabled, Config, Error, Event, FirstEmissionBlockNumber,
    ImmunityPeriod, LastEpochBlock, LastRateLimitedBlock, MaxAllowedUids, MaxAllowedValidators,
    MinAllowedWeights, NetworkLastLockCost, NetworkLockReductionInterval, NetworkMinLockCost,
    NetworkRateLimit, NetworkRegisteredAt, NetworkRegistrationAllowed, NetworksAdded, Pallet,
    StartCallDelay, SubnetEmaTaoFlow, SubnetEmissionEnabled, SubnetIdentitiesV3, SubnetLimit,
    SubnetLocked, SubnetMechanism, SubnetOwner, SubnetOwnerHotkey, SubnetworkN, SubtokenEnabled,
    Tempo, TokenSymbol, TotalNetworks, Yuma3On,
};
use crate::types::{AlphaBalance, NetUid, TaoBalance};

mod dissolve;
mod symbols;

/// Mechanism of a subnet whose alpha is priced by its pool.
const DYNAMIC_MECHANISM: u16 = 1;

impl<T: Config> Pallet<T> {
    /// Returns all existing subnets, root included, ordered by netuid.
    pub fn all_netuids() -> Vec<NetUid> {
        let mut netuids: Vec<NetUid> = NetworksAdded::<T>::iter()
            .filter_map(|(netuid, added)| added.then_some(netuid))
            .collect();
        netuids.sort_unstable();
        netuids
    }

    /// Whether a subnet exists.
    pub fn subnet_exists(netuid: NetUid) -> bool {
        NetworksAdded::<T>::get(netuid)
    }

    /// Returns the current cost of creating a subnet, in rao. After a creation, the cost doubles,
    /// and then falls linearly by the last cost every `NetworkLockReductionInterval` blocks. Before
    /// the first creation, it falls from the last cost itself. The cost is at least
    /// `NetworkMinLockCost`.
    pub fn network_lock_cost() -> TaoBalance {
        let last_cost = NetworkLastLockCost::<T>::get().0;
        let last_block = LastRateLimitedBlock::<T>::get(RateLimitKey::NetworkLastRegistered);
        let factor = if last_block == 0 { 1 } else { 2 };
        let reduction_per_block =
            last_cost.checked_div(NetworkLockReductionInterval::<T>::get()).unwrap_or_default();
        let reduction =
            reduction_per_block.saturating_mul(Self::current_block().saturating_sub(last_block));
        TaoBalance(last_cost.saturating_mul(factor).saturating_sub(reduction))
            .max(NetworkMinLockCost::<T>::get())
    }

    /// Whether the rate limit of subnet creation allows a subnet to be created now.
    pub fn may_create_network() -> bool {
        Self::key_rate_allows(&RateLimitKey::NetworkLastRegistered, NetworkRateLimit::<T>::get())
    }

    /// Whether a coldkey can pay an amount without its account being removed.
    pub(crate) fn can_pay(coldkey: &AccountId32, amount: TaoBalance) -> bool {
        T::Currency::reducible_balance(coldkey, Preservation::Preserve, Fortitude::Polite)
            >= amount.0
    }

    /// Checks that a call comes from root or from the owner of a subnet.
    ///
    /// # Errors
    /// `BadOrigin`.
    pub(crate) fn ensure_owner_or_root(origin: OriginFor<T>, netuid: NetUid) -> DispatchResult {
        if let Some(who) = ensure_signed_or_root(origin)? {
            ensure!(SubnetOwner::<T>::try_get(netuid) == Ok(who), DispatchError::BadOrigin);
        }
        Self::wake(netuid);
        Ok(())
    }

    /// Creates a subnet with initial values; the owner's hotkey becomes neuron 0. Its pool is empty
    /// and it is not started.
    pub fn init_network(
        netuid: NetUid,
        owner_coldkey: &AccountId32,
        owner_hotkey: &AccountId32,
        tempo: u16,
    ) {
        let block = Self::current_block();
        NetworksAdded::<T>::insert(netuid, true);
        TotalNetworks::<T>::mutate(|count| *count = count.saturating_add(1));
        NetworkRegisteredAt::<T>::insert(netuid, block);
        SubnetworkN::<T>::insert(netuid, 0);
        Tempo::<T>::insert(netuid, tempo);
        let cycle_position = u64::from(netuid.0).checked_rem(u64::from(tempo)).unwrap_or_default();
        LastEpochBlock::<T>::insert(netuid, block.saturating_sub(cycle_position));
        NetworkRegistrationAllowed::<T>::insert(netuid, true);
        MaxAllowedUids::<T>::insert(netuid, 256);
        MaxAllowedValidators::<T>::insert(netuid, 64);
        MinAllowedWeights::<T>::insert(netuid, 1);
        ImmunityPeriod::<T>::insert(netuid, 5_000);
        CommitRevealWeightsEnabled::<T>::insert(netuid, true);
        Yuma3On::<T>::insert(netuid, true);
        SubnetEmissionEnabled::<T>::insert(netuid, false);
        Burn::<T>::insert(netuid, TaoBalance(1_000_000_000));
        SubnetMechanism::<T>::insert(netuid, DYNAMIC_MECHANISM);
        SubnetEmaTaoFlow::<T>::insert(netuid, (block, I64F64::from_num(0)));
        TokenSymbol::<T>::insert(netuid, Self::free_symbol(netuid));
        SubnetOwner::<T>::insert(netuid, owner_coldkey);
        SubnetOwnerHotkey::<T>::insert(netuid, owner_hotkey);
        Self::append_neuron(netuid, owner_hotkey);
        Self::wake(netuid);
    }

    /// Starts a subnet at the next block: emission begins and its alpha can be bought.
    pub(crate) fn start_subnet(netuid: NetUid) -> u64 {
        let first_emission_block = Self::current_block().saturating_add(1);
        FirstEmissionBlockNumber::<T>::insert(netuid, first_emission_block);
        SubtokenEnabled::<T>::insert(netuid, true);
        Self::wake(netuid);
        first_emission_block
    }

    pub(crate) fn do_register_network(who: &AccountId32, hotkey: &AccountId32) -> DispatchResult {
        Self::do_register_network_with_identity(who, hotkey, None)
    }

    pub(crate) fn do_register_network_with_identity(
        who: &AccountId32,
        hotkey: &AccountId32,
        identity: Option<SubnetIdentityV3>,
    ) -> DispatchResult {
        Self::create_network(who, hotkey, identity).map(|_| ())
    }

    /// Creates a subnet of a coldkey, which pays the lock cost.
    ///
    /// # Errors
    /// In this order: `NonAssociatedColdKey`, `CannotUseSystemAccount`,
    /// `NetworkTxRateLimitExceeded`, `InvalidIdentity`, `SubnetLimitReached`,
    /// `CannotAffordLockCost`.
    pub(super) fn create_network(
        who: &AccountId32,
        hotkey: &AccountId32,
        identity: Option<SubnetIdentityV3>,
    ) -> Result<NetUid, DispatchError> {
        ensure!(
            !Self::hotkey_exists(hotkey) || Self::owns(who, hotkey),
            Error::<T>::NonAssociatedColdKey
        );
        Self::ensure_not_subnet_account(hotkey)?;
        ensure!(Self::may_create_network(), Error::<T>::NetworkTxRateLimitExceeded);
        ensure!(identity.as_ref().is_none_or(is_valid_identity), Error::<T>::InvalidIdentity);
        let netuid_to_dissolve =
            if Self::all_netuids().iter().filter(|netuid| **netuid != NetUid::ROOT).count()
                >= usize::from(SubnetLimit::<T>::get())
            {
                Some(Self::network_to_dissolve().ok_or(Error::<T>::SubnetLimitReached)?)
            } else {
                None
            };
        let lock_cost = Self::network_lock_cost();
        ensure!(Self::can_pay(who, lock_cost), Error::<T>::CannotAffordLockCost);

        // Read before the dissolution: the dissolved subnet is included.
        let price = Self::median_alpha_price();
        Self::charge(who, lock_cost.0)?;
        NetworkLastLockCost::<T>::put(lock_cost);
        Self::record_rate_limited(&RateLimitKey::NetworkLastRegistered);
        let netuid = match netuid_to_dissolve {
            Some(netuid) => {
                Self::remove_subnet(netuid);
                netuid
            }
            None => Self::free_netuid(),
        };
        Self::own_hotkey(who, hotkey)?;
        // A subnet without a stored tempo has the default one.
        Self::init_network(netuid, who, hotkey, Tempo::<T>::get(netuid));
        let alpha = U64F64::from_num(lock_cost.0)
            .checked_div(price)
            .map_or(lock_cost.0, U64F64::saturating_to_num);
        Self::init_pool(netuid, lock_cost, AlphaBalance(alpha));
        SubnetLocked::<T>::insert(netuid, lock_cost);
        Self::deposit_event(Event::NetworkAdded(netuid, DYNAMIC_MECHANISM));
        Self::delegate_to_owner_of_new_subnet(netuid);
        if let Some(identity) = identity {
            SubnetIdentitiesV3::<T>::insert(netuid, identity);
            Self::deposit_event(Event::SubnetIdentitySet(netuid));
        }
        Ok(netuid)
    }

    /// Makes a hotkey the owner hotkey of a subnet.
    ///
    /// # Errors
    /// `CannotUseSystemAccount` if the hotkey is the account of a subnet.
    pub(crate) fn set_owner_hotkey(netuid: NetUid, hotkey: AccountId32) -> DispatchResult {
        Self::ensure_not_subnet_account(&hotkey)?;
        Self::change_owner_hotkey_of_locks(netuid, &hotkey);
        SubnetOwnerHotkey::<T>::insert(netuid, &hotkey);
        Self::deposit_event(Event::SubnetOwnerHotkeySet(netuid, hotkey));
        Ok(())
    }

    /// Returns the lowest unused netuid.
    fn free_netuid() -> NetUid {
        (1..u16::MAX)
            .map(NetUid)
            .find(|&netuid| !Self::subnet_exists(netuid))
            .unwrap_or(NetUid(u16::MAX))
    }

    /// Returns the median alpha price of all subnets with a price, in TAO; 1 if there are none.
    fn median_alpha_price() -> U64F64 {
        let mut prices: Vec<U64F64> = Self::all_netuids()
            .into_iter()
            .filter(|netuid| *netuid != NetUid::ROOT)
            .map(Self::alpha_price)
            .filter(|price| *price > 0)
            .collect();
        prices.sort_unstable();
        let middle = prices.len() / 2;
        match (prices.get(middle.wrapping_sub(1)), prices.get(middle)) {
            (Some(lower), Some(upper)) if prices.len().is_multiple_of(2) => {
                lower.saturating_add(*upper) / 2
            }
            (_, Some(price)) => *price,
            (_, None) => U64F64::from_num(1),
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn do_set_subnet_identity(
        who: &AccountId32,
        netuid: NetUid,
        subnet_name: Vec<u8>,
        github_repo: Vec<u8>,
        subnet_contact: Vec<u8>,
        subnet_url: Vec<u8>,
        discord: Vec<u8>,
        description: Vec<u8>,
        logo_url: Vec<u8>,
        additional: Vec<u8>,
    ) -> DispatchResult {
        ensure!(Self::subnet_exists(netuid), Error::<T>::SubnetNotExists);
        ensure!(SubnetOwner::<T>::get(netuid) == *who, Error::<T>::NotSubnetOwner);
        let identity = SubnetIdentityV3 {
            subnet_name,
            github_repo,
            subnet_contact,
            subnet_url,
            discord,
            description,
            logo_url,
            additional,
        };
        ensure!(is_valid_identity(&identity), Error::<T>::InvalidIdentity);
        SubnetIdentitiesV3::<T>::insert(netuid, identity);
        Self::deposit_event(Event::SubnetIdentitySet(netuid));
        Ok(())
    }

    pub(crate) fn do_start_call(who: &AccountId32, netuid: NetUid) -> DispatchResult {
        ensure!(SubnetOwner::<T>::get(netuid) == *who, DispatchError::BadOrigin);
        ensure!(
            FirstEmissionBlockNumber::<T>::get(netuid).is_none(),
            Error::<T>::FirstEmissionBlockNumberAlreadySet
        );
        let earliest =
            NetworkRegisteredAt::<T>::get(netuid).saturating_add(StartCallDelay::<T>::get());
        ensure!(Self::current_block() >= earliest, Error::<T>::StartCallNotReady);
        let first_emission_block = Self::start_subnet(netuid);
        Self::deposit_event(Event::FirstEmissionBlockNumberSet(netuid, first_emission_block));
        Ok(())
    }
}

/// Whether all fields of an identity are within their maximum lengths: 256 bytes for name and
/// Discord channel, 1 024 for the others.
fn is_valid_identity(identity: &SubnetIdentityV3) -> bool {
    let SubnetIdentityV3 {
        subnet_name,
        github_repo,
        subnet_contact,
        subnet_url,
        discord,
        description,
        logo_url,
        additional,
    } = identity;
    [subnet_name, discord].iter().all(|field| field.len() <= 256)
        && [github_repo, subnet_contact, subnet_url, description, logo_url, additional]
            .iter()
            .all(|field| field.len() <= 1_024)
}

#[cfg(test)]
mod tests;
