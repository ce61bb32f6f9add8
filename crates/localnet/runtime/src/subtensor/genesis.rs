//! Genesis configuration: the subnets that exist from the first block.

use frame_support::traits::Get;
use sp_runtime::AccountId32;
use substrate_fixed::types::I96F32;

use super::defaults::DefaultAccount;
use super::types::SubnetIdentityV3;
use super::{
    Burn, CommitRevealWeightsEnabled, Config, ImmunityPeriod, MaxAllowedUids, MaxAllowedValidators,
    MinAllowedWeights, MinBurn, NetworkMinLockCost, NetworkRateLimit, NetworksAdded, Pallet,
    SubnetAlphaOut, SubnetEmissionEnabled, SubnetIdentitiesV3, SubnetLocked, SubnetMovingPrice,
    SubnetOwner, SubnetOwnerHotkey, SubnetworkN, SubtokenEnabled, TargetRegistrationsPerInterval,
    Tempo, TokenSymbol, TotalNetworks, WeightsSetRateLimit, Yuma3On,
};
use crate::alpha_assets;
use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// Netuid of the first subnet after root. Genesis does not start this subnet.
const FIRST_SUBNET: NetUid = NetUid(1);
/// Netuid of Babelbit, the subnet of the speech contest.
const BABELBIT: NetUid = NetUid(59);
/// Tempo of root and of the first subnet, in blocks.
const ROOT_TEMPO: u16 = 100;
/// Tempo of Babelbit, in blocks.
const BABELBIT_TEMPO: u16 = 10;
/// Tempo of the subnets between the first one and Babelbit, in blocks, as on the real chain.
const DEFAULT_TEMPO: u16 = 360;

impl<T: Config> Pallet<T> {
    /// Creates root, the first subnet (without an owner, not started), Babelbit (started), and a
    /// dormant subnet for each netuid in between. `owner` owns all subnets except the first one;
    /// their owner hotkey is `hotkey`.
    pub(crate) fn build_genesis(owner: &AccountId32, hotkey: &AccountId32) {
        Self::build_root(owner, hotkey);
        Self::build_first_subnet();
        for netuid in FIRST_SUBNET.0.saturating_add(1)..BABELBIT.0 {
            Self::build_dormant(NetUid(netuid), owner, hotkey);
        }
        Self::build_babelbit(owner, hotkey);
        Self::recompute_total_issuance();
    }

    /// Creates root and the first subnet, as the reference's local network does: no hotkey has an
    /// owner, except the zero account itself.
    pub(crate) fn build_reference_genesis(owner: &AccountId32, hotkey: &AccountId32) {
        Self::build_root(owner, hotkey);
        Self::build_first_subnet();
        // The reference stores no values for these items.
        Burn::<T>::remove(FIRST_SUBNET);
        Yuma3On::<T>::remove(FIRST_SUBNET);
        Self::wake(FIRST_SUBNET);
        // Builds with a faucet do not limit the rate of new subnets.
        NetworkRateLimit::<T>::put(0);
        Self::recompute_total_issuance();
    }

    fn build_root(owner: &AccountId32, hotkey: &AccountId32) {
        let root = NetUid::ROOT;
        NetworksAdded::<T>::insert(root, true);
        TotalNetworks::<T>::put(1);
        SubnetworkN::<T>::insert(root, 0);
        Tempo::<T>::insert(root, ROOT_TEMPO);
        MaxAllowedUids::<T>::insert(root, 64);
        MaxAllowedValidators::<T>::insert(root, 64);
        MinAllowedWeights::<T>::insert(root, 0);
        TargetRegistrationsPerInterval::<T>::insert(root, 1);
        TokenSymbol::<T>::insert(root, "τ".as_bytes());
        SubtokenEnabled::<T>::insert(root, true);
        SubnetOwner::<T>::insert(root, owner);
        SubnetOwnerHotkey::<T>::insert(root, hotkey);
    }

    fn build_first_subnet() {
        let default_account = DefaultAccount::<T>::get();
        Self::own_hotkey(&default_account, &default_account).unwrap_or_default();
        Self::init_network(FIRST_SUBNET, &default_account, &default_account, ROOT_TEMPO);
        MinAllowedWeights::<T>::insert(FIRST_SUBNET, 0);
        // Without a stored value, the default of an older chain version applies, which differs from
        // that of new subnets.
        ImmunityPeriod::<T>::remove(FIRST_SUBNET);
        Self::init_pool(FIRST_SUBNET, TaoBalance(10_000_000_000), AlphaBalance(10_000_000_000));
        let stake = AlphaBalance(1_000_000_000);
        SubnetAlphaOut::<T>::insert(FIRST_SUBNET, stake);
        alpha_assets::Pallet::<T>::issue(FIRST_SUBNET, stake);
        Self::increase_stake(&default_account, &default_account, FIRST_SUBNET, stake);
        Burn::<T>::insert(FIRST_SUBNET, MinBurn::<T>::get(FIRST_SUBNET));
        Self::make_dormant(FIRST_SUBNET);
    }

    /// Creates a dormant subnet with the minimum lock cost, and with Babelbit's alpha price. Its
    /// registration price is at the minimum, so that blocks need not lower it.
    pub(crate) fn build_dormant(netuid: NetUid, owner: &AccountId32, hotkey: &AccountId32) {
        Self::own_hotkey(owner, hotkey).unwrap_or_default();
        Self::init_network(netuid, owner, hotkey, DEFAULT_TEMPO);
        Burn::<T>::insert(netuid, MinBurn::<T>::get(netuid));
        let lock_cost = NetworkMinLockCost::<T>::get();
        Self::init_pool(netuid, lock_cost, AlphaBalance(lock_cost.0.saturating_mul(10)));
        SubnetLocked::<T>::insert(netuid, lock_cost);
        Self::make_dormant(netuid);
    }

    fn build_babelbit(owner: &AccountId32, hotkey: &AccountId32) {
        Self::own_hotkey(owner, hotkey).unwrap_or_default();
        Self::init_network(BABELBIT, owner, hotkey, BABELBIT_TEMPO);
        CommitRevealWeightsEnabled::<T>::insert(BABELBIT, false);
        WeightsSetRateLimit::<T>::insert(BABELBIT, 0);
        Burn::<T>::insert(BABELBIT, MinBurn::<T>::get(BABELBIT));
        SubnetEmissionEnabled::<T>::insert(BABELBIT, true);
        // Price and moving price are 0.1 TAO per alpha; emission depends on the moving price.
        Self::init_pool(BABELBIT, TaoBalance(1_000_000_000_000), AlphaBalance(10_000_000_000_000));
        SubnetMovingPrice::<T>::insert(BABELBIT, I96F32::from_num(1) / 10);
        Self::start_subnet(BABELBIT);
        let identity = SubnetIdentityV3 { subnet_name: b"Babelbit".to_vec(), ..Default::default() };
        SubnetIdentitiesV3::<T>::insert(BABELBIT, identity);
    }
}
