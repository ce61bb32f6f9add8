//! Runtime API declarations, under the real chain's names.

#![allow(clippy::type_complexity, reason = "the answers are the real chain's")]

use std::collections::BTreeMap;

use codec::Compact;
use sp_runtime::AccountId32 as AccountId;
use substrate_fixed::types::U64F64;

use super::basket::{BasketPosition, BasketSummary, BasketTradingStatus, BetaPosition, BetaPricing, BetaPricingPage};
use super::delegate::DelegateInfo;
use super::dynamic::DynamicInfo;
use super::hyperparams::{HyperparamEntry, SubnetHyperparams, SubnetHyperparamsV2};
use super::metagraph::{Metagraph, SelectiveMetagraph};
use super::neuron::{NeuronInfo, NeuronInfoLite};
use super::stake::{LockState, StakeAvailability, StakeInfo};
use super::state::SubnetState;
use super::subnet::{SubnetInfo, SubnetInfov2};
use super::swap::{SimSwapResult, SubnetPrice};
use crate::types::{AlphaBalance, MechId, NetUid, TaoBalance};

sp_api::decl_runtime_apis! {
    /// Runtime API of delegates.
    pub trait DelegateInfoRuntimeApi {
        /// All delegates.
        fn get_delegates() -> Vec<DelegateInfo>;
        /// One delegate.
        fn get_delegate(delegate_account: AccountId) -> Option<DelegateInfo>;
        /// The delegates of a coldkey, with its stake on each.
        fn get_delegated(delegatee_account: AccountId) -> Vec<(DelegateInfo, (Compact<NetUid>, Compact<AlphaBalance>))>;
    }

    /// Runtime API of neurons.
    pub trait NeuronInfoRuntimeApi {
        /// All neurons of a subnet.
        fn get_neurons(netuid: NetUid) -> Vec<NeuronInfo>;
        /// One neuron.
        fn get_neuron(netuid: NetUid, uid: u16) -> Option<NeuronInfo>;
        /// All neurons of a subnet, without weights and bonds.
        fn get_neurons_lite(netuid: NetUid) -> Vec<NeuronInfoLite>;
        /// One neuron, without weights and bonds.
        fn get_neuron_lite(netuid: NetUid, uid: u16) -> Option<NeuronInfoLite>;
    }

    /// Runtime API of subnets.
    #[api_version(2)]
    pub trait SubnetInfoRuntimeApi {
        /// Summary of a subnet.
        fn get_subnet_info(netuid: NetUid) -> Option<SubnetInfo>;
        /// Summaries of all subnets, by netuid; `None` for unused netuids.
        fn get_subnets_info() -> Vec<Option<SubnetInfo>>;
        /// Summary of a subnet, with its identity.
        fn get_subnet_info_v2(netuid: NetUid) -> Option<SubnetInfov2>;
        /// Summaries of all subnets, with identities; `None` for unused netuids.
        fn get_subnets_info_v2() -> Vec<Option<SubnetInfov2>>;
        /// Hyperparameters in the layout of the oldest clients.
        fn get_subnet_hyperparams(netuid: NetUid) -> Option<SubnetHyperparams>;
        /// Hyperparameters in the layout of bittensor 9.
        fn get_subnet_hyperparams_v2(netuid: NetUid) -> Option<SubnetHyperparamsV2>;
        /// All subnets with their pools.
        fn get_all_dynamic_info() -> Vec<Option<DynamicInfo>>;
        /// All metagraphs.
        fn get_all_metagraphs() -> Vec<Option<Metagraph>>;
        /// A metagraph.
        fn get_metagraph(netuid: NetUid) -> Option<Metagraph>;
        /// The metagraphs of all mechanisms of all subnets.
        fn get_all_mechagraphs() -> Vec<Option<Metagraph>>;
        /// The metagraph of a mechanism.
        fn get_mechagraph(netuid: NetUid, mecid: MechId) -> Option<Metagraph>;
        /// A subnet with its pool.
        fn get_dynamic_info(netuid: NetUid) -> Option<DynamicInfo>;
        /// The neurons of a subnet as columns.
        fn get_subnet_state(netuid: NetUid) -> Option<SubnetState>;
        /// Some fields of a metagraph.
        fn get_selective_metagraph(netuid: NetUid, metagraph_indexes: Vec<u16>) -> Option<SelectiveMetagraph>;
        /// The hotkey on which a coldkey's miner emission is staked automatically.
        fn get_coldkey_auto_stake_hotkey(coldkey: AccountId, netuid: NetUid) -> Option<AccountId>;
        /// Some fields of the metagraph of a mechanism.
        fn get_selective_mechagraph(
            netuid: NetUid,
            subid: MechId,
            metagraph_indexes: Vec<u16>,
        ) -> Option<SelectiveMetagraph>;
        /// The subnet that would be dissolved for the next one.
        fn get_subnet_to_prune() -> Option<NetUid>;
        /// The account that holds a subnet's own TAO.
        fn get_subnet_account_id(netuid: NetUid) -> Option<AccountId>;
        /// The block of the next epoch.
        fn get_next_epoch_start_block(netuid: NetUid) -> Option<u64>;
        /// TAO issued per block.
        fn get_block_emission() -> TaoBalance;
        /// Hyperparameters with their names.
        fn get_subnet_hyperparams_v3(netuid: NetUid) -> Option<Vec<HyperparamEntry>>;
    }

    /// Runtime API of stake.
    pub trait StakeInfoRuntimeApi {
        /// All stakes of a coldkey.
        fn get_stake_info_for_coldkey(coldkey_account: AccountId) -> Vec<StakeInfo>;
        /// All stakes of several coldkeys.
        fn get_stake_info_for_coldkeys(coldkey_accounts: Vec<AccountId>) -> Vec<(AccountId, Vec<StakeInfo>)>;
        /// One stake.
        fn get_stake_info_for_hotkey_coldkey_netuid(
            hotkey_account: AccountId,
            coldkey_account: AccountId,
            netuid: NetUid,
        ) -> Option<StakeInfo>;
        /// Stake that coldkeys can withdraw.
        fn get_stake_availability_for_coldkeys(
            coldkey_accounts: Vec<AccountId>,
            netuids: Option<Vec<NetUid>>,
        ) -> BTreeMap<AccountId, BTreeMap<NetUid, StakeAvailability>>;
        /// The fee of a stake, unstake or move, in rao.
        fn get_stake_fee(
            origin: Option<(AccountId, NetUid)>,
            origin_coldkey_account: AccountId,
            destination: Option<(AccountId, NetUid)>,
            destination_coldkey_account: AccountId,
            amount: u64,
        ) -> u64;
        /// A lock of a coldkey's stake.
        fn get_coldkey_lock(coldkey: AccountId, netuid: NetUid) -> Option<LockState>;
        /// Conviction of a hotkey: how long its stake is locked.
        fn get_hotkey_conviction(hotkey: AccountId, netuid: NetUid) -> U64F64;
        /// The hotkey with the longest locks.
        fn get_most_convicted_hotkey_on_subnet(netuid: NetUid) -> Option<AccountId>;
    }

    /// Runtime API of subnet creation.
    pub trait SubnetRegistrationRuntimeApi {
        /// The current cost of creating a subnet.
        fn get_network_registration_cost() -> TaoBalance;
    }

    /// Runtime API of root baskets.
    #[api_version(4)]
    pub trait BetaBasketRuntimeApi {
        /// TAO that baskets owe a coldkey.
        fn get_root_basket_owed(coldkey: AccountId) -> TaoBalance;
        /// TAO that one basket owes a coldkey.
        fn get_basket_payout(hotkey: AccountId, coldkey: AccountId) -> TaoBalance;
        /// A basket's value.
        fn get_validator_basket_nav(hotkey: AccountId) -> TaoBalance;
        /// Holdings of a basket.
        fn get_validator_basket(hotkey: AccountId) -> Vec<(NetUid, AlphaBalance, TaoBalance)>;
        /// The value of all baskets.
        fn get_root_basket_total_nav() -> TaoBalance;
        /// Summary of a basket.
        fn get_validator_basket_summary(hotkey: AccountId) -> BasketSummary;
        /// Summaries of all baskets.
        fn get_all_validator_baskets() -> Vec<BasketSummary>;
        /// A coldkey's shares: validator, shares, value.
        fn get_root_basket_positions(coldkey: AccountId) -> Vec<(AccountId, u64, TaoBalance)>;
        /// One share.
        fn get_basket_position(hotkey: AccountId, coldkey: AccountId) -> Option<BasketPosition>;
        /// All shares of a coldkey.
        fn get_root_basket_portfolio(coldkey: AccountId) -> Vec<BasketPosition>;
        /// The price of a basket's shares.
        fn get_beta_pricing(hotkey: AccountId) -> Option<BetaPricing>;
        /// Prices of all baskets' shares, paginated.
        fn get_all_beta_pricing(start_after: Option<AccountId>, limit: u32) -> BetaPricingPage;
        /// The indices of baskets and of stake.
        fn get_beta_index() -> (U64F64, U64F64);
        /// One position in display units.
        fn get_beta_position(hotkey: AccountId, coldkey: AccountId) -> Option<BetaPosition>;
        /// All positions of a coldkey in display units.
        fn get_beta_portfolio(coldkey: AccountId) -> Vec<BetaPosition>;
        /// Trading status of a validator's basket.
        fn get_basket_trading_status(hotkey: AccountId) -> BasketTradingStatus;
    }

    /// Runtime API of alpha prices and trades.
    pub trait SwapRuntimeApi {
        /// Price of one alpha of a subnet, in rao.
        fn current_alpha_price(netuid: NetUid) -> u64;
        /// Alpha prices of all subnets.
        fn current_alpha_price_all() -> Vec<SubnetPrice>;
        /// Simulated purchase of alpha for TAO.
        fn sim_swap_tao_for_alpha(netuid: NetUid, tao: TaoBalance) -> SimSwapResult;
        /// Simulated sale of alpha.
        fn sim_swap_alpha_for_tao(netuid: NetUid, alpha: AlphaBalance) -> SimSwapResult;
    }
}
