//! Implementation of the runtime APIs.

#![allow(missing_docs, reason = "the macro generates undocumented items")]
#![allow(clippy::used_underscore_binding, reason = "the macro passes on unused arguments")]

use std::collections::BTreeMap;

use codec::Compact;
use frame_support::dispatch::{DispatchInfo, GetDispatchInfo};
use frame_support::traits::Get;
use frame_support::weights::Weight;
use sp_api::impl_runtime_apis;
use sp_consensus_aura::sr25519::AuthorityId as AuraId;
use sp_core::OpaqueMetadata;
use sp_runtime::traits::Block as BlockT;
use sp_runtime::transaction_validity::{TransactionSource, TransactionValidity};
use sp_runtime::{ApplyExtrinsicResult, ExtrinsicInclusionMode};
use sp_version::RuntimeVersion;

use substrate_fixed::types::U64F64;

use super::{
    AccountId, Balance, Block, Executive, InherentDataExt, Nonce, Runtime, RuntimeCall,
    SlotDuration, SubtensorModule, System, TransactionPayment, VERSION,
};
use crate::call_weights::guards;
use crate::info::apis as runtime_api;
use crate::info::basket::{
    self, BasketPosition, BasketSummary, BasketTradingStatus, BetaPosition, BetaPricing,
    BetaPricingPage,
};
use crate::info::delegate::DelegateInfo;
use crate::info::dynamic::DynamicInfo;
use crate::info::hyperparams::{self, HyperparamEntry, SubnetHyperparams, SubnetHyperparamsV2};
use crate::info::metagraph::{self, Metagraph, SelectiveMetagraph};
use crate::info::neuron::{NeuronInfo, NeuronInfoLite};
use crate::info::proxy::{self, ProxyFilterInfo, ProxyTypeInfo};
use crate::info::stake::{self, LockState, StakeAvailability, StakeInfo};
use crate::info::state::SubnetState;
use crate::info::subnet::{self, SubnetInfo, SubnetInfov2};
use crate::info::swap::{self, SimSwapResult, SubnetPrice};
use crate::subtensor;
use crate::types::{AlphaBalance, MechId, NetUid, TaoBalance};

/// Returns the dispatch information of a call, with the weight of the checks before it.
fn dispatch_info_with_checks(call: &RuntimeCall) -> DispatchInfo {
    DispatchInfo { extension_weight: guards::weight_of_call(call), ..call.get_dispatch_info() }
}

impl_runtime_apis! {
    impl sp_api::Core<Block> for Runtime {
        fn version() -> RuntimeVersion {
            VERSION
        }

        fn execute_block(block: <Block as BlockT>::LazyBlock) {
            Executive::execute_block(block);
        }

        fn initialize_block(header: &<Block as BlockT>::Header) -> ExtrinsicInclusionMode {
            Executive::initialize_block(header)
        }
    }

    impl sp_api::Metadata<Block> for Runtime {
        fn metadata() -> OpaqueMetadata {
            OpaqueMetadata::new(Runtime::metadata().into())
        }

        fn metadata_at_version(version: u32) -> Option<OpaqueMetadata> {
            Runtime::metadata_at_version(version)
        }

        fn metadata_versions() -> Vec<u32> {
            Runtime::metadata_versions()
        }
    }

    impl sp_block_builder::BlockBuilder<Block> for Runtime {
        fn apply_extrinsic(extrinsic: <Block as BlockT>::Extrinsic) -> ApplyExtrinsicResult {
            Executive::apply_extrinsic(extrinsic)
        }

        fn finalize_block() -> <Block as BlockT>::Header {
            Executive::finalize_block()
        }

        fn inherent_extrinsics(data: sp_inherents::InherentData) -> Vec<<Block as BlockT>::Extrinsic> {
            data.create_extrinsics()
        }

        fn check_inherents(
            block: <Block as BlockT>::LazyBlock,
            data: sp_inherents::InherentData,
        ) -> sp_inherents::CheckInherentsResult {
            data.check_extrinsics(&block)
        }
    }

    impl sp_transaction_pool::runtime_api::TaggedTransactionQueue<Block> for Runtime {
        fn validate_transaction(
            source: TransactionSource,
            transaction: <Block as BlockT>::Extrinsic,
            block_hash: <Block as BlockT>::Hash,
        ) -> TransactionValidity {
            Executive::validate_transaction(source, transaction, block_hash)
        }
    }

    impl frame_system_rpc_runtime_api::AccountNonceApi<Block, AccountId, Nonce> for Runtime {
        fn account_nonce(account: AccountId) -> Nonce {
            System::account_nonce(account)
        }
    }

    impl pallet_transaction_payment_rpc_runtime_api::TransactionPaymentApi<Block, Balance> for Runtime {
        fn query_info(
            extrinsic: <Block as BlockT>::Extrinsic,
            length: u32,
        ) -> pallet_transaction_payment_rpc_runtime_api::RuntimeDispatchInfo<Balance> {
            TransactionPayment::query_info(extrinsic, length)
        }

        fn query_fee_details(
            extrinsic: <Block as BlockT>::Extrinsic,
            length: u32,
        ) -> pallet_transaction_payment::FeeDetails<Balance> {
            TransactionPayment::query_fee_details(extrinsic, length)
        }

        fn query_weight_to_fee(weight: Weight) -> Balance {
            TransactionPayment::weight_to_fee(weight)
        }

        fn query_length_to_fee(length: u32) -> Balance {
            TransactionPayment::length_to_fee(length)
        }
    }

    impl pallet_transaction_payment_rpc_runtime_api::TransactionPaymentCallApi<Block, Balance, RuntimeCall> for Runtime {
        fn query_call_info(
            call: RuntimeCall,
            length: u32,
        ) -> pallet_transaction_payment_rpc_runtime_api::RuntimeDispatchInfo<Balance> {
            let info = dispatch_info_with_checks(&call);
            let partial_fee = TransactionPayment::compute_fee(length, &info, 0);
            let weight = info.total_weight();
            pallet_transaction_payment_rpc_runtime_api::RuntimeDispatchInfo { weight, class: info.class, partial_fee }
        }

        fn query_call_fee_details(call: RuntimeCall, length: u32) -> pallet_transaction_payment::FeeDetails<Balance> {
            TransactionPayment::compute_fee_details(length, &dispatch_info_with_checks(&call), 0)
        }

        fn query_weight_to_fee(weight: Weight) -> Balance {
            TransactionPayment::weight_to_fee(weight)
        }

        fn query_length_to_fee(length: u32) -> Balance {
            TransactionPayment::length_to_fee(length)
        }
    }

    impl sp_consensus_aura::AuraApi<Block, AuraId> for Runtime {
        fn slot_duration() -> sp_consensus_aura::SlotDuration {
            sp_consensus_aura::SlotDuration::from_millis(SlotDuration::get())
        }

        fn authorities() -> Vec<AuraId> {
            pallet_aura::Authorities::<Runtime>::get().into_inner()
        }
    }

    impl runtime_api::NeuronInfoRuntimeApi<Block> for Runtime {
        fn get_neurons(netuid: NetUid) -> Vec<NeuronInfo> {
            NeuronInfo::all::<Runtime>(netuid)
        }

        fn get_neuron(netuid: NetUid, uid: u16) -> Option<NeuronInfo> {
            NeuronInfo::by_uid::<Runtime>(netuid, uid)
        }

        fn get_neurons_lite(netuid: NetUid) -> Vec<NeuronInfoLite> {
            NeuronInfoLite::all::<Runtime>(netuid)
        }

        fn get_neuron_lite(netuid: NetUid, uid: u16) -> Option<NeuronInfoLite> {
            NeuronInfoLite::by_uid::<Runtime>(netuid, uid)
        }
    }

    impl runtime_api::SubnetInfoRuntimeApi<Block> for Runtime {
        fn get_subnet_info(netuid: NetUid) -> Option<SubnetInfo> {
            SubnetInfo::read::<Runtime>(netuid)
        }

        fn get_subnets_info() -> Vec<Option<SubnetInfo>> {
            subnet::read_by_netuid::<Runtime, _>(SubnetInfo::read::<Runtime>)
        }

        fn get_subnet_info_v2(netuid: NetUid) -> Option<SubnetInfov2> {
            SubnetInfov2::read::<Runtime>(netuid)
        }

        fn get_subnets_info_v2() -> Vec<Option<SubnetInfov2>> {
            subnet::read_by_netuid::<Runtime, _>(SubnetInfov2::read::<Runtime>)
        }

        fn get_subnet_hyperparams(netuid: NetUid) -> Option<SubnetHyperparams> {
            SubnetHyperparams::read::<Runtime>(netuid)
        }

        fn get_subnet_hyperparams_v2(netuid: NetUid) -> Option<SubnetHyperparamsV2> {
            SubnetHyperparamsV2::read::<Runtime>(netuid)
        }

        fn get_all_dynamic_info() -> Vec<Option<DynamicInfo>> {
            SubtensorModule::all_netuids().into_iter().map(DynamicInfo::read::<Runtime>).collect()
        }

        fn get_all_metagraphs() -> Vec<Option<Metagraph>> {
            let subnets = SubtensorModule::all_netuids().into_iter();
            subnets.map(|netuid| Metagraph::read::<Runtime>(netuid, MechId(0))).collect()
        }

        fn get_metagraph(netuid: NetUid) -> Option<Metagraph> {
            Metagraph::read::<Runtime>(netuid, MechId(0))
        }

        fn get_all_mechagraphs() -> Vec<Option<Metagraph>> {
            let subnets = SubtensorModule::all_netuids().into_iter();
            subnets.flat_map(metagraph::all_mechanisms::<Runtime>).map(Some).collect()
        }

        fn get_mechagraph(netuid: NetUid, mecid: MechId) -> Option<Metagraph> {
            Metagraph::read::<Runtime>(netuid, mecid)
        }

        fn get_dynamic_info(netuid: NetUid) -> Option<DynamicInfo> {
            DynamicInfo::read::<Runtime>(netuid)
        }

        fn get_subnet_state(netuid: NetUid) -> Option<SubnetState> {
            SubnetState::read::<Runtime>(netuid)
        }

        fn get_selective_metagraph(netuid: NetUid, metagraph_indexes: Vec<u16>) -> Option<SelectiveMetagraph> {
            SelectiveMetagraph::read::<Runtime>(netuid, MechId(0), &metagraph_indexes)
        }


        fn get_coldkey_auto_stake_hotkey(coldkey: AccountId, netuid: NetUid) -> Option<AccountId> {
            crate::subtensor::AutoStakeDestination::<Runtime>::get(coldkey, netuid)
        }

        fn get_selective_mechagraph(
            netuid: NetUid,
            subid: MechId,
            metagraph_indexes: Vec<u16>,
        ) -> Option<SelectiveMetagraph> {
            SelectiveMetagraph::read::<Runtime>(netuid, subid, &metagraph_indexes)
        }

        fn get_subnet_to_prune() -> Option<NetUid> {
            SubtensorModule::network_to_dissolve()
        }

        fn get_subnet_account_id(netuid: NetUid) -> Option<AccountId> {
            subnet::account::<Runtime>(netuid)
        }

        fn get_next_epoch_start_block(netuid: NetUid) -> Option<u64> {
            SubtensorModule::subnet_exists(netuid).then(|| SubtensorModule::next_epoch_block(netuid)).flatten()
        }

        fn get_block_emission() -> TaoBalance {
            TaoBalance(subtensor::BlockEmission::<Runtime>::get())
        }

        fn get_subnet_hyperparams_v3(netuid: NetUid) -> Option<Vec<HyperparamEntry>> {
            hyperparams::entries::<Runtime>(netuid)
        }
    }

    impl runtime_api::DelegateInfoRuntimeApi<Block> for Runtime {
        fn get_delegates() -> Vec<DelegateInfo> {
            DelegateInfo::all::<Runtime>()
        }

        fn get_delegate(delegate_account: AccountId) -> Option<DelegateInfo> {
            DelegateInfo::by_hotkey::<Runtime>(delegate_account)
        }

        fn get_delegated(delegatee_account: AccountId) -> Vec<(DelegateInfo, (Compact<NetUid>, Compact<AlphaBalance>))> {
            DelegateInfo::of_staker::<Runtime>(&delegatee_account)
        }
    }

    impl runtime_api::StakeInfoRuntimeApi<Block> for Runtime {
        fn get_stake_info_for_coldkey(coldkey_account: AccountId) -> Vec<StakeInfo> {
            StakeInfo::of_coldkey::<Runtime>(&coldkey_account)
        }

        fn get_stake_info_for_coldkeys(coldkey_accounts: Vec<AccountId>) -> Vec<(AccountId, Vec<StakeInfo>)> {
            StakeInfo::of_coldkeys::<Runtime>(coldkey_accounts)
        }

        fn get_stake_info_for_hotkey_coldkey_netuid(
            hotkey_account: AccountId,
            coldkey_account: AccountId,
            netuid: NetUid,
        ) -> Option<StakeInfo> {
            Some(StakeInfo::of_hotkey_and_coldkey::<Runtime>(hotkey_account, coldkey_account, netuid))
        }

        fn get_stake_availability_for_coldkeys(
            coldkey_accounts: Vec<AccountId>,
            netuids: Option<Vec<NetUid>>,
        ) -> BTreeMap<AccountId, BTreeMap<NetUid, StakeAvailability>> {
            stake::availability::<Runtime>(coldkey_accounts, netuids)
        }

        fn get_stake_fee(
            origin: Option<(AccountId, NetUid)>,
            _origin_coldkey_account: AccountId,
            destination: Option<(AccountId, NetUid)>,
            _destination_coldkey_account: AccountId,
            amount: u64,
        ) -> u64 {
            destination.or(origin).map_or(0, |(_, netuid)| swap::fee::<Runtime>(netuid, amount))
        }

        fn get_coldkey_lock(coldkey: AccountId, netuid: NetUid) -> Option<LockState> {
            stake::lock_of::<Runtime>(&coldkey, netuid)
        }

        fn get_hotkey_conviction(hotkey: AccountId, netuid: NetUid) -> U64F64 {
            SubtensorModule::conviction_of(&hotkey, netuid)
        }

        fn get_most_convicted_hotkey_on_subnet(netuid: NetUid) -> Option<AccountId> {
            SubtensorModule::most_convicted_hotkey(netuid)
        }
    }

    impl runtime_api::SubnetRegistrationRuntimeApi<Block> for Runtime {
        fn get_network_registration_cost() -> TaoBalance {
            SubtensorModule::network_lock_cost()
        }
    }

    impl runtime_api::SwapRuntimeApi<Block> for Runtime {
        fn current_alpha_price(netuid: NetUid) -> u64 {
            swap::price::<Runtime>(netuid)
        }

        fn current_alpha_price_all() -> Vec<SubnetPrice> {
            let subnets = SubtensorModule::all_netuids().into_iter();
            subnets.map(|netuid| SubnetPrice { netuid, price: swap::price::<Runtime>(netuid) }).collect()
        }

        fn sim_swap_tao_for_alpha(netuid: NetUid, tao: TaoBalance) -> SimSwapResult {
            SimSwapResult::quote_buy::<Runtime>(netuid, tao)
        }

        fn sim_swap_alpha_for_tao(netuid: NetUid, alpha: AlphaBalance) -> SimSwapResult {
            SimSwapResult::quote_sell::<Runtime>(netuid, alpha)
        }
    }

    impl runtime_api::BetaBasketRuntimeApi<Block> for Runtime {
        fn get_root_basket_owed(coldkey: AccountId) -> TaoBalance {
            basket::owed::<Runtime>(&coldkey)
        }

        fn get_basket_payout(hotkey: AccountId, coldkey: AccountId) -> TaoBalance {
            basket::payout::<Runtime>(&hotkey, &coldkey)
        }

        fn get_validator_basket_nav(hotkey: AccountId) -> TaoBalance {
            SubtensorModule::basket_value(&hotkey)
        }

        fn get_validator_basket(hotkey: AccountId) -> Vec<(NetUid, AlphaBalance, TaoBalance)> {
            let holdings = BasketSummary::new::<Runtime>(hotkey).holdings;
            holdings.into_iter().map(|holding| (holding.netuid, holding.alpha, holding.spot_tao)).collect()
        }

        fn get_root_basket_total_nav() -> TaoBalance {
            let values = BasketSummary::all::<Runtime>().into_iter().map(|basket| basket.nav_tao);
            values.fold(TaoBalance::ZERO, TaoBalance::saturating_add)
        }

        fn get_validator_basket_summary(hotkey: AccountId) -> BasketSummary {
            BasketSummary::new::<Runtime>(hotkey)
        }

        fn get_all_validator_baskets() -> Vec<BasketSummary> {
            BasketSummary::all::<Runtime>()
        }

        fn get_root_basket_positions(coldkey: AccountId) -> Vec<(AccountId, u64, TaoBalance)> {
            let positions = BasketPosition::all::<Runtime>(&coldkey).into_iter();
            positions.map(|position| (position.hotkey, position.beta, position.value_tao)).collect()
        }

        fn get_basket_position(hotkey: AccountId, coldkey: AccountId) -> Option<BasketPosition> {
            BasketPosition::of::<Runtime>(hotkey, &coldkey)
        }

        fn get_root_basket_portfolio(coldkey: AccountId) -> Vec<BasketPosition> {
            BasketPosition::all::<Runtime>(&coldkey)
        }

        fn get_beta_pricing(_hotkey: AccountId) -> Option<BetaPricing> {
            None
        }

        fn get_all_beta_pricing(_start_after: Option<AccountId>, _limit: u32) -> BetaPricingPage {
            BetaPricingPage::default()
        }

        fn get_beta_index() -> (U64F64, U64F64) {
            Default::default()
        }

        fn get_beta_position(_hotkey: AccountId, _coldkey: AccountId) -> Option<BetaPosition> {
            None
        }

        fn get_beta_portfolio(_coldkey: AccountId) -> Vec<BetaPosition> {
            Vec::new()
        }

        fn get_basket_trading_status(_hotkey: AccountId) -> BasketTradingStatus {
            BasketTradingStatus::default()
        }
    }

    impl runtime_api::ProxyFilterRuntimeApi<Block> for Runtime {
        fn get_proxy_types() -> Vec<ProxyTypeInfo> {
            proxy::types()
        }

        fn get_proxy_filters(proxy_types: Option<Vec<u8>>) -> Vec<ProxyFilterInfo> {
            proxy::filters(proxy_types.as_deref())
        }

        fn get_proxy_filter(proxy_types: Option<Vec<u8>>) -> Vec<ProxyFilterInfo> {
            proxy::filters(proxy_types.as_deref())
        }
    }
}
