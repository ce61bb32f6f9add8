//! Runtime API declarations, under the real chain's names.

#![allow(clippy::type_complexity, reason = "the result types are those of the real chain")]

use std::collections::BTreeMap;

use codec::Compact;
use sp_runtime::AccountId32 as AccountId;
use substrate_fixed::types::U64F64;

use super::basket::{
    BasketPosition, BasketSummary, BasketTradingStatus, BetaPosition, BetaPricing, BetaPricingPage,
};
use super::delegate::DelegateInfo;
use super::dynamic::DynamicInfo;
use super::hyperparams::{HyperparamEntry, SubnetHyperparams, SubnetHyperparamsV2};
use super::metagraph::{Metagraph, SelectiveMetagraph};
use super::neuron::{NeuronInfo, NeuronInfoLite};
use super::proxy::{ProxyFilterInfo, ProxyTypeInfo};
use super::stake::{LockState, StakeAvailability, StakeInfo};
use super::state::SubnetState;
use super::subnet::{SubnetInfo, SubnetInfov2};
use super::swap::{SimSwapResult, SubnetPrice};
use crate::types::{AlphaBalance, MechId, NetUid, TaoBalance};

sp_api::decl_runtime_apis! {
    /// Runtime API of delegates.
    pub trait DelegateInfoRuntimeApi {
        /// Returns all delegates.
        fn get_delegates() -> Vec<DelegateInfo>;
        /// Returns the delegate with this hotkey; `None` if the hotkey is not a delegate.
        fn get_delegate(delegate_account: AccountId) -> Option<DelegateInfo>;
        /// Returns the delegates on which a coldkey has stake, once per subnet, with that stake.
        fn get_delegated(delegatee_account: AccountId) -> Vec<(DelegateInfo, (Compact<NetUid>, Compact<AlphaBalance>))>;
    }

    /// Runtime API of neurons.
    pub trait NeuronInfoRuntimeApi {
        /// Returns all neurons of a subnet.
        fn get_neurons(netuid: NetUid) -> Vec<NeuronInfo>;
        /// Returns the neuron of a subnet with this uid.
        fn get_neuron(netuid: NetUid, uid: u16) -> Option<NeuronInfo>;
        /// Returns all neurons of a subnet, without weights and bonds.
        fn get_neurons_lite(netuid: NetUid) -> Vec<NeuronInfoLite>;
        /// Returns the neuron of a subnet with this uid, without weights and bonds.
        fn get_neuron_lite(netuid: NetUid, uid: u16) -> Option<NeuronInfoLite>;
    }

    /// Runtime API of subnets.
    #[api_version(2)]
    pub trait SubnetInfoRuntimeApi {
        /// Returns the summary of a subnet.
        fn get_subnet_info(netuid: NetUid) -> Option<SubnetInfo>;
        /// Returns the summaries of all subnets, by netuid; `None` for unused netuids.
        fn get_subnets_info() -> Vec<Option<SubnetInfo>>;
        /// Returns the summary of a subnet, with its identity.
        fn get_subnet_info_v2(netuid: NetUid) -> Option<SubnetInfov2>;
        /// Returns the summaries of all subnets, with identities; `None` for unused netuids.
        fn get_subnets_info_v2() -> Vec<Option<SubnetInfov2>>;
        /// Returns a subnet's hyperparameters in the layout of the oldest clients.
        fn get_subnet_hyperparams(netuid: NetUid) -> Option<SubnetHyperparams>;
        /// Returns a subnet's hyperparameters in the layout of bittensor 9.
        fn get_subnet_hyperparams_v2(netuid: NetUid) -> Option<SubnetHyperparamsV2>;
        /// Returns the dynamic info of all subnets: each subnet with its pool.
        fn get_all_dynamic_info() -> Vec<Option<DynamicInfo>>;
        /// Returns the metagraphs of all subnets.
        fn get_all_metagraphs() -> Vec<Option<Metagraph>>;
        /// Returns the metagraph of a subnet.
        fn get_metagraph(netuid: NetUid) -> Option<Metagraph>;
        /// Returns the metagraphs of all mechanisms of all subnets.
        fn get_all_mechagraphs() -> Vec<Option<Metagraph>>;
        /// Returns the metagraph of one mechanism of a subnet.
        fn get_mechagraph(netuid: NetUid, mecid: MechId) -> Option<Metagraph>;
        /// Returns the dynamic info of a subnet: the subnet with its pool.
        fn get_dynamic_info(netuid: NetUid) -> Option<DynamicInfo>;
        /// Returns the state of a subnet's neurons, as one list per property.
        fn get_subnet_state(netuid: NetUid) -> Option<SubnetState>;
        /// Returns the fields of a subnet's metagraph that have these indices.
        fn get_selective_metagraph(netuid: NetUid, metagraph_indexes: Vec<u16>) -> Option<SelectiveMetagraph>;
        /// Returns the hotkey on which the emission of a coldkey's miners on a subnet is staked
        /// automatically.
        fn get_coldkey_auto_stake_hotkey(coldkey: AccountId, netuid: NetUid) -> Option<AccountId>;
        /// Returns the fields of a mechanism's metagraph that have these indices.
        fn get_selective_mechagraph(
            netuid: NetUid,
            subid: MechId,
            metagraph_indexes: Vec<u16>,
        ) -> Option<SelectiveMetagraph>;
        /// Returns the subnet that would be dissolved to create the next one.
        fn get_subnet_to_prune() -> Option<NetUid>;
        /// Returns the account that holds a subnet's own TAO.
        fn get_subnet_account_id(netuid: NetUid) -> Option<AccountId>;
        /// Returns the block of a subnet's next epoch.
        fn get_next_epoch_start_block(netuid: NetUid) -> Option<u64>;
        /// Returns the TAO issued per block, in rao.
        fn get_block_emission() -> TaoBalance;
        /// Returns a subnet's hyperparameters with their names.
        fn get_subnet_hyperparams_v3(netuid: NetUid) -> Option<Vec<HyperparamEntry>>;
    }

    /// Runtime API of stake.
    pub trait StakeInfoRuntimeApi {
        /// Returns all stakes of a coldkey.
        fn get_stake_info_for_coldkey(coldkey_account: AccountId) -> Vec<StakeInfo>;
        /// Returns all stakes of several coldkeys.
        fn get_stake_info_for_coldkeys(coldkey_accounts: Vec<AccountId>) -> Vec<(AccountId, Vec<StakeInfo>)>;
        /// Returns the stake of a coldkey on a hotkey in a subnet.
        fn get_stake_info_for_hotkey_coldkey_netuid(
            hotkey_account: AccountId,
            coldkey_account: AccountId,
            netuid: NetUid,
        ) -> Option<StakeInfo>;
        /// Returns the stake that coldkeys can withdraw, by subnet.
        fn get_stake_availability_for_coldkeys(
            coldkey_accounts: Vec<AccountId>,
            netuids: Option<Vec<NetUid>>,
        ) -> BTreeMap<AccountId, BTreeMap<NetUid, StakeAvailability>>;
        /// Returns the fee for adding, removing or moving stake, in rao.
        fn get_stake_fee(
            origin: Option<(AccountId, NetUid)>,
            origin_coldkey_account: AccountId,
            destination: Option<(AccountId, NetUid)>,
            destination_coldkey_account: AccountId,
            amount: u64,
        ) -> u64;
        /// Returns the lock of a coldkey's stake in a subnet; `None` if no stake is locked.
        fn get_coldkey_lock(coldkey: AccountId, netuid: NetUid) -> Option<LockState>;
        /// Returns the conviction of a hotkey: its locked stake, weighted by the time for which it
        /// has been locked.
        fn get_hotkey_conviction(hotkey: AccountId, netuid: NetUid) -> U64F64;
        /// Returns the hotkey with the highest conviction on a subnet.
        fn get_most_convicted_hotkey_on_subnet(netuid: NetUid) -> Option<AccountId>;
    }

    /// Runtime API of subnet creation.
    pub trait SubnetRegistrationRuntimeApi {
        /// Returns the current cost of creating a subnet, in rao.
        fn get_network_registration_cost() -> TaoBalance;
    }

    /// Runtime API of root baskets.
    #[api_version(4)]
    pub trait BetaBasketRuntimeApi {
        /// Returns the TAO that a coldkey would receive for its shares in all baskets, in rao.
        fn get_root_basket_owed(coldkey: AccountId) -> TaoBalance;
        /// Returns the TAO that a coldkey would receive for its shares in one basket, in rao.
        fn get_basket_payout(hotkey: AccountId, coldkey: AccountId) -> TaoBalance;
        /// Returns the net asset value of a validator's basket, in rao.
        fn get_validator_basket_nav(hotkey: AccountId) -> TaoBalance;
        /// Returns the holdings of a validator's basket: netuid, alpha, value in rao.
        fn get_validator_basket(hotkey: AccountId) -> Vec<(NetUid, AlphaBalance, TaoBalance)>;
        /// Returns the total net asset value of all baskets, in rao.
        fn get_root_basket_total_nav() -> TaoBalance;
        /// Returns the summary of a validator's basket.
        fn get_validator_basket_summary(hotkey: AccountId) -> BasketSummary;
        /// Returns the summaries of all baskets.
        fn get_all_validator_baskets() -> Vec<BasketSummary>;
        /// Returns a coldkey's shares in all baskets: validator hotkey, number of shares, value in
        /// rao.
        fn get_root_basket_positions(coldkey: AccountId) -> Vec<(AccountId, u64, TaoBalance)>;
        /// Returns a coldkey's shares in one basket.
        fn get_basket_position(hotkey: AccountId, coldkey: AccountId) -> Option<BasketPosition>;
        /// Returns a coldkey's shares in all baskets.
        fn get_root_basket_portfolio(coldkey: AccountId) -> Vec<BasketPosition>;
        /// Returns the price of the shares in a validator's basket.
        fn get_beta_pricing(hotkey: AccountId) -> Option<BetaPricing>;
        /// Returns one page of the share prices of all baskets: at most `limit` baskets, after the
        /// hotkey `start_after`.
        fn get_all_beta_pricing(start_after: Option<AccountId>, limit: u32) -> BetaPricingPage;
        /// Returns the performance index of the baskets, and the index of the stakers' total
        /// return.
        fn get_beta_index() -> (U64F64, U64F64);
        /// Returns a coldkey's position in one basket, in display units.
        fn get_beta_position(hotkey: AccountId, coldkey: AccountId) -> Option<BetaPosition>;
        /// Returns a coldkey's positions in all baskets, in display units.
        fn get_beta_portfolio(coldkey: AccountId) -> Vec<BetaPosition>;
        /// Returns the trading status of a validator's basket.
        fn get_basket_trading_status(hotkey: AccountId) -> BasketTradingStatus;
    }

    /// Runtime API of proxy types.
    pub trait ProxyFilterRuntimeApi {
        /// Returns all proxy types.
        fn get_proxy_types() -> Vec<ProxyTypeInfo>;
        /// Returns the calls that proxy types allow: of the types with these indices, or of all
        /// types.
        fn get_proxy_filters(proxy_types: Option<Vec<u8>>) -> Vec<ProxyFilterInfo>;
        /// Returns the same as `get_proxy_filters`, under the name that SDK 10 uses.
        fn get_proxy_filter(proxy_types: Option<Vec<u8>>) -> Vec<ProxyFilterInfo>;
    }

    /// Runtime API of alpha prices and trades.
    pub trait SwapRuntimeApi {
        /// Returns the price of one alpha of a subnet, in rao.
        fn current_alpha_price(netuid: NetUid) -> u64;
        /// Returns the alpha prices of all subnets, in rao.
        fn current_alpha_price_all() -> Vec<SubnetPrice>;
        /// Simulates a purchase of alpha for TAO.
        fn sim_swap_tao_for_alpha(netuid: NetUid, tao: TaoBalance) -> SimSwapResult;
        /// Simulates a sale of alpha for TAO.
        fn sim_swap_alpha_for_tao(netuid: NetUid, alpha: AlphaBalance) -> SimSwapResult;
    }
}
