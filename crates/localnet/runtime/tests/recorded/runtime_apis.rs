//! Tests of the runtime API results that clients read.

use std::collections::BTreeMap;
use std::time::Instant;

use codec::{Compact, Decode, DecodeAll, Encode};
use sp_runtime::{AccountId32, PerU16};
use substrate_fixed::types::U64F64;
use taonet_localnet_runtime::genesis::genesis;
use taonet_localnet_runtime::info::delegate::DelegateInfo;
use taonet_localnet_runtime::info::dynamic::DynamicInfo;
use taonet_localnet_runtime::info::hyperparams::{
    HyperparamEntry, HyperparamValue, SubnetHyperparamsV2,
};
use taonet_localnet_runtime::info::metagraph::{Metagraph, SelectiveMetagraph};
use taonet_localnet_runtime::info::neuron::{NeuronInfo, NeuronInfoLite};
use taonet_localnet_runtime::info::stake::{StakeAvailability, StakeInfo};
use taonet_localnet_runtime::info::state::SubnetState;
use taonet_localnet_runtime::info::subnet::{SubnetInfo, SubnetInfov2};
use taonet_localnet_runtime::info::swap::{SimSwapResult, SubnetPrice};
use taonet_localnet_runtime::subtensor::{self, Pallet};
use taonet_localnet_runtime::types::{
    AlphaBalance, MechId, NetUid, NetUidStorageIndex, TaoBalance,
};
use taonet_localnet_runtime::{Runtime, api};

use crate::vectors::{self, bytes};

const FIRST: NetUid = NetUid(1);
const BABELBIT: NetUid = NetUid(59);
const MISSING_SUBNET: NetUid = NetUid(77);
const TAO: u64 = 1_000_000_000;

type Availability = BTreeMap<AccountId32, BTreeMap<NetUid, StakeAvailability>>;
type Delegated = Vec<(DelegateInfo, (Compact<NetUid>, Compact<AlphaBalance>))>;

fn call_api<Output: Decode>(method: &str, arguments: impl Encode) -> Output {
    let output = api::dispatch(method, &arguments.encode()).unwrap();
    Output::decode_all(&mut &output[..]).unwrap()
}

fn with_genesis_state<Output>(call_apis: impl FnOnce() -> Output) -> Output {
    sp_io::TestExternalities::new(genesis(&[]).unwrap()).execute_with(call_apis)
}

fn account(number: u16) -> AccountId32 {
    let [high, low] = number.to_be_bytes();
    let mut bytes = [7; 32];
    (bytes[0], bytes[1]) = (high, low);
    AccountId32::new(bytes)
}

/// Registers neurons in a subnet up to `count`, each with a stake and its own coldkey.
fn fill(netuid: NetUid, count: u16) {
    let start = subtensor::SubnetworkN::<Runtime>::get(netuid);
    let index = NetUidStorageIndex(netuid.0);
    for uid in start..count {
        let (hotkey, coldkey) = (account(uid), account(uid + 1_000));
        subtensor::Keys::<Runtime>::insert(netuid, uid, &hotkey);
        subtensor::Uids::<Runtime>::insert(netuid, &hotkey, uid);
        subtensor::IsNetworkMember::<Runtime>::insert(&hotkey, netuid, true);
        subtensor::Owner::<Runtime>::insert(&hotkey, &coldkey);
        Pallet::<Runtime>::increase_stake(
            &hotkey,
            &coldkey,
            netuid,
            AlphaBalance(u64::from(uid) * TAO),
        );
    }
    let column = 0..count;
    subtensor::SubnetworkN::<Runtime>::insert(netuid, count);
    subtensor::Active::<Runtime>::insert(netuid, vec![true; count.into()]);
    subtensor::ValidatorPermit::<Runtime>::insert(
        netuid,
        column.clone().map(|uid| uid % 2 == 1).collect::<Vec<_>>(),
    );
    subtensor::Emission::<Runtime>::insert(
        netuid,
        column.clone().map(|uid| AlphaBalance(uid.into())).collect::<Vec<_>>(),
    );
    subtensor::Incentive::<Runtime>::insert(
        index,
        column.clone().map(PerU16::from_parts).collect::<Vec<_>>(),
    );
    subtensor::LastUpdate::<Runtime>::insert(index, column.map(u64::from).collect::<Vec<_>>());
}

#[test]
fn first_block_gives_the_recorded_results() {
    let Some(golden) = vectors::json("golden_spec461.json") else { return };
    let mut called = Vec::new();
    with_genesis_state(|| {
        for recorded in golden["runtime_calls"].as_array().unwrap() {
            let (api, method) =
                (recorded["api"].as_str().unwrap(), recorded["method"].as_str().unwrap());
            if api == "AccountNonceApi" {
                let alice = taonet_localnet_runtime::genesis::development_account("Alice").unwrap();
                frame_system::Pallet::<Runtime>::inc_account_nonce(alice);
            }
            let output =
                api::dispatch(&format!("{api}_{method}"), &bytes(&recorded["encoded_params_hex"]))
                    .unwrap();
            let mut expected = bytes(&recorded["raw_hex"]);
            if method == "get_neurons_lite" {
                // The recorded chain had run the first epochs of the subnet; ours has not.
                let mut neurons = Vec::<NeuronInfoLite>::decode_all(&mut &expected[..]).unwrap();
                neurons[0].active =
                    Vec::<NeuronInfoLite>::decode_all(&mut &output[..]).unwrap()[0].active;
                expected = neurons.encode();
            }
            assert_eq!(hex::encode(&output), hex::encode(expected), "{method}");
            called.push(method.to_owned());
        }
    });
    assert_eq!(called.len(), 4, "{called:?}");
}

#[test]
fn neuron_fields_come_from_their_columns() {
    with_genesis_state(|| {
        fill(FIRST, 8);
        subtensor::Weights::<Runtime>::insert(NetUidStorageIndex(1), 5, vec![(0, 0), (1, 7)]);
        subtensor::Bonds::<Runtime>::insert(NetUidStorageIndex(1), 5, vec![(2, 9), (3, 0)]);
        let neurons: Vec<NeuronInfo> = call_api("NeuronInfoRuntimeApi_get_neurons", FIRST);
        assert_eq!(neurons.len(), 8);
        let neuron = &neurons[5];
        assert_eq!((&neuron.hotkey, &neuron.coldkey), (&account(5), &account(1_005)));
        assert_eq!((neuron.uid, neuron.netuid), (Compact(5), Compact(FIRST)));
        assert_eq!(neuron.stake, [(account(1_005), Compact(AlphaBalance(5 * TAO)))]);
        assert_eq!(
            (neuron.emission, neuron.incentive),
            (Compact(AlphaBalance(5)), Compact(PerU16::from_parts(5)))
        );
        assert_eq!(
            (neuron.last_update, neuron.validator_permit, neuron.active),
            (Compact(5), true, true)
        );
        assert_eq!(
            (neuron.consensus, neuron.pruning_score),
            (Compact(PerU16::default()), Compact(u16::MAX))
        );
        assert_eq!(neuron.weights, [(Compact(1), Compact(7))]);
        assert_eq!(neuron.bonds, [(Compact(2), Compact(9))]);

        let one: Option<NeuronInfo> = call_api("NeuronInfoRuntimeApi_get_neuron", (FIRST, 5_u16));
        assert_eq!(one.as_ref(), Some(neuron));
        let lite: Option<NeuronInfoLite> =
            call_api("NeuronInfoRuntimeApi_get_neuron_lite", (FIRST, 5_u16));
        let all: Vec<NeuronInfoLite> = call_api("NeuronInfoRuntimeApi_get_neurons_lite", FIRST);
        assert_eq!(lite.as_ref(), all.get(5));
        for (netuid, uid) in [(FIRST, 8), (MISSING_SUBNET, 0)] {
            assert_eq!(
                call_api::<Option<NeuronInfo>>("NeuronInfoRuntimeApi_get_neuron", (netuid, uid)),
                None
            );
        }
        assert_eq!(
            call_api::<Vec<NeuronInfo>>("NeuronInfoRuntimeApi_get_neurons", MISSING_SUBNET),
            []
        );
    });
}

#[test]
fn metagraph_fields_can_be_selected() {
    with_genesis_state(|| {
        fill(FIRST, 6);
        let metagraph: Metagraph =
            call_api::<Option<_>>("SubnetInfoRuntimeApi_get_metagraph", FIRST).unwrap();
        assert_eq!(
            (metagraph.netuid, metagraph.num_uids, metagraph.tempo),
            (Compact(FIRST), Compact(6), Compact(100))
        );
        assert_eq!(
            (metagraph.hotkeys.len(), metagraph.axons.len(), metagraph.collateral_min.len()),
            (6, 6, 6)
        );
        assert_eq!(
            (metagraph.pruning_score.len(), metagraph.trust.len(), metagraph.rank.len()),
            (0, 0, 0)
        );
        assert_eq!(metagraph.total_stake[5], Compact(TaoBalance(5 * TAO)));

        let select = |numbers: &[u16]| -> SelectiveMetagraph {
            call_api::<Option<_>>("SubnetInfoRuntimeApi_get_selective_metagraph", (FIRST, numbers))
                .unwrap()
        };
        let selected = select(&[8, 52, 72, 73, 76, 77, 128, u16::MAX, 8]);
        assert_eq!(
            (selected.tempo, selected.hotkeys),
            (Some(metagraph.tempo), Some(metagraph.hotkeys.clone()))
        );
        assert_eq!(
            selected.validators,
            Some([1, 3, 5].map(Compact).to_vec()),
            "the largest stake last"
        );
        assert_eq!(
            (selected.commitments, selected.collateral_earned),
            (Some(Vec::new()), Some(metagraph.collateral_earned.clone()))
        );
        assert_eq!((selected.name, selected.axons, selected.collateral_locked), (None, None, None));

        // Each index selects one field, in the order of the struct; field 0 is always included.
        for number in 1..77 {
            assert_ne!(select(&[number]), select(&[]), "field {number}");
        }
        assert_eq!(select(&[0]), select(&[]));
        let everything = select(&(0..77).collect::<Vec<_>>());
        assert_eq!(
            (everything.netuid, everything.total_stake),
            (metagraph.netuid, Some(metagraph.total_stake))
        );

        let missing = |netuid, mecid| {
            call_api::<Option<Metagraph>>("SubnetInfoRuntimeApi_get_mechagraph", (netuid, mecid))
        };
        assert!(missing(FIRST, MechId(0)).is_some());
        assert_eq!((missing(MISSING_SUBNET, MechId(0)), missing(FIRST, MechId(1))), (None, None));
    });
}

#[test]
fn metagraph_of_mechanism_has_its_own_columns() {
    with_genesis_state(|| {
        fill(FIRST, 2);
        subtensor::MechanismCountCurrent::<Runtime>::insert(FIRST, MechId(2));
        subtensor::LastUpdate::<Runtime>::insert(FIRST.mechanism(MechId(1)), vec![40_u64, 41]);
        let second: Option<Metagraph> =
            call_api("SubnetInfoRuntimeApi_get_mechagraph", (FIRST, MechId(1)));
        assert_eq!(second.unwrap().last_update, [Compact(40), Compact(41)]);
        let all: Vec<Option<Metagraph>> = call_api("SubnetInfoRuntimeApi_get_all_mechagraphs", ());
        assert_eq!(all.len(), 61, "one for each subnet, two for the first");
        let all: Vec<Option<Metagraph>> = call_api("SubnetInfoRuntimeApi_get_all_metagraphs", ());
        assert_eq!(all.len(), 60);
    });
}

#[test]
fn subnet_methods_return_all_subnets() {
    with_genesis_state(|| {
        fill(FIRST, 3);
        let info: SubnetInfo =
            call_api::<Option<_>>("SubnetInfoRuntimeApi_get_subnet_info", FIRST).unwrap();
        assert_eq!(
            (info.subnetwork_n, info.tempo, info.emission_values),
            (Compact(3), Compact(100), Compact(0))
        );
        let all: Vec<Option<SubnetInfov2>> =
            call_api("SubnetInfoRuntimeApi_get_subnets_info_v2", ());
        let present: Vec<_> = all.iter().flatten().map(|info| info.netuid.0.0).collect();
        assert_eq!(present, (0..60).collect::<Vec<_>>());
        let dynamic: Vec<Option<DynamicInfo>> =
            call_api("SubnetInfoRuntimeApi_get_all_dynamic_info", ());
        let names: Vec<String> = dynamic
            .iter()
            .flatten()
            .map(|info| info.subnet_name.iter().map(|c| char::from(c.0)).collect())
            .collect();
        assert_eq!(
            (names.len(), &names[0], &names[1], &names[59]),
            (60, &"root".into(), &"unknown".into(), &"Babelbit".into())
        );
        // Clients index this list by number.
        let numbers = dynamic.iter().flatten().map(|info| info.netuid.0.0);
        assert_eq!(numbers.collect::<Vec<_>>(), (0..60).collect::<Vec<_>>());
        let state: SubnetState =
            call_api::<Option<_>>("SubnetInfoRuntimeApi_get_subnet_state", FIRST).unwrap();
        assert_eq!((state.hotkeys.len(), state.last_update), (3, [0, 1, 2].map(Compact).to_vec()));

        let second: SubnetHyperparamsV2 =
            call_api::<Option<_>>("SubnetInfoRuntimeApi_get_subnet_hyperparams_v2", FIRST).unwrap();
        assert_eq!(
            (second.yuma_version, second.alpha_sigmoid_steepness.to_num::<i32>()),
            (Compact(3), 1_000)
        );
        let third: Vec<HyperparamEntry> =
            call_api::<Option<_>>("SubnetInfoRuntimeApi_get_subnet_hyperparams_v3", FIRST).unwrap();
        assert_eq!(third.len(), 33);
        let value = |name: &str| {
            third.iter().find(|entry| entry.name == name.as_bytes()).unwrap().value.clone()
        };
        assert_eq!(value("tempo"), HyperparamValue::U16(Compact(100)));
        assert_eq!(value("activity_cutoff"), HyperparamValue::U64(Compact(1_388)));
        assert_eq!(value("yuma_version"), HyperparamValue::U16(Compact(3)));
        assert_eq!(value("min_burn"), HyperparamValue::TaoBalance(Compact(TaoBalance(500_000))));

        let account: Option<AccountId32> =
            call_api("SubnetInfoRuntimeApi_get_subnet_account_id", FIRST);
        assert_eq!(&<[u8; 32]>::from(account.unwrap())[..14], b"modlsubtensr\x01\0");
        assert!(
            call_api::<Option<u64>>("SubnetInfoRuntimeApi_get_next_epoch_start_block", BABELBIT)
                .is_some()
        );
        assert_eq!(
            call_api::<TaoBalance>("SubnetInfoRuntimeApi_get_block_emission", ()),
            TaoBalance(TAO)
        );
        let cost: TaoBalance =
            call_api("SubnetRegistrationRuntimeApi_get_network_registration_cost", ());
        assert_eq!(cost, TaoBalance(1_000 * TAO));
        for method in [
            "get_subnet_info",
            "get_subnet_hyperparams_v3",
            "get_dynamic_info",
            "get_subnet_state",
            "get_subnet_account_id",
        ] {
            let output =
                api::dispatch(&format!("SubnetInfoRuntimeApi_{method}"), &MISSING_SUBNET.encode())
                    .unwrap();
            assert_eq!(output, [0], "{method}");
        }
    });
}

#[test]
fn stakes_are_returned_by_coldkey() {
    with_genesis_state(|| {
        fill(FIRST, 3);
        let (hotkey, coldkey) = (account(2), account(1_002));
        Pallet::<Runtime>::increase_stake(&hotkey, &coldkey, NetUid::ROOT, AlphaBalance(4 * TAO));
        let stakes: Vec<StakeInfo> =
            call_api("StakeInfoRuntimeApi_get_stake_info_for_coldkey", &coldkey);
        let balances: BTreeMap<_, _> = stakes
            .iter()
            .map(|stake| (stake.netuid.0, (stake.stake.0, stake.is_registered)))
            .collect();
        let expected = [
            (NetUid::ROOT, (AlphaBalance(4 * TAO), false)),
            (FIRST, (AlphaBalance(2 * TAO), true)),
        ];
        assert_eq!(balances, BTreeMap::from(expected));
        let many_stakes: Vec<(AccountId32, Vec<StakeInfo>)> = call_api(
            "StakeInfoRuntimeApi_get_stake_info_for_coldkeys",
            vec![coldkey.clone(), account(9)],
        );
        assert_eq!(many_stakes, [(coldkey.clone(), stakes), (account(9), Vec::new())]);

        let available = |netuids: Option<Vec<NetUid>>| -> BTreeMap<NetUid, u64> {
            let method = "StakeInfoRuntimeApi_get_stake_availability_for_coldkeys";
            let mut all: Availability = call_api(method, (vec![coldkey.clone()], netuids));
            let subnets = all.remove(&coldkey).unwrap().into_iter();
            subnets
                .map(|(netuid, stake)| {
                    assert_eq!(
                        (stake.total, stake.locked.0),
                        (stake.available, AlphaBalance::ZERO)
                    );
                    (netuid, stake.total.0.0)
                })
                .collect()
        };
        assert_eq!(available(None), BTreeMap::from([(NetUid::ROOT, 4 * TAO), (FIRST, 2 * TAO)]));
        assert_eq!(
            available(Some(vec![FIRST, MISSING_SUBNET])),
            BTreeMap::from([(FIRST, 2 * TAO), (MISSING_SUBNET, 0)])
        );

        let fee = |netuid: NetUid| -> u64 {
            let stake = (
                None::<(AccountId32, NetUid)>,
                &coldkey,
                Some((&hotkey, netuid)),
                &coldkey,
                65_535_000_u64,
            );
            call_api("StakeInfoRuntimeApi_get_stake_fee", stake)
        };
        assert_eq!((fee(NetUid::ROOT), fee(FIRST)), (0, 33_000));
        let lock =
            api::dispatch("StakeInfoRuntimeApi_get_coldkey_lock", &(&coldkey, FIRST).encode())
                .unwrap();
        assert_eq!(lock, [0]);
    });
}

#[test]
fn delegates_are_returned_with_their_stakers() {
    with_genesis_state(|| {
        fill(FIRST, 3);
        let (hotkey, coldkey, staker) = (account(1), account(1_001), account(2_000));
        assert_eq!(
            call_api::<Option<DelegateInfo>>("DelegateInfoRuntimeApi_get_delegate", &hotkey),
            None
        );
        subtensor::Delegates::<Runtime>::insert(&hotkey, PerU16::from_percent(10));
        Pallet::<Runtime>::increase_stake(&hotkey, &staker, NetUid::ROOT, AlphaBalance(TAO));
        let delegate: DelegateInfo =
            call_api::<Option<_>>("DelegateInfoRuntimeApi_get_delegate", &hotkey).unwrap();
        assert_eq!(
            (&delegate.owner_ss58, delegate.take),
            (&coldkey, Compact(PerU16::from_percent(10)))
        );
        assert_eq!(
            (&delegate.registrations, &delegate.validator_permits),
            (&vec![Compact(FIRST)], &vec![Compact(FIRST)])
        );
        let stakers: BTreeMap<_, _> = delegate.nominators.iter().cloned().collect();
        assert_eq!(stakers[&staker], [(Compact(NetUid::ROOT), Compact(TAO))]);
        assert_eq!(stakers[&coldkey], [(Compact(FIRST), Compact(TAO))]);
        assert_eq!(delegate.total_daily_return, Compact(72), "one rao per 100 blocks");
        let all: Vec<DelegateInfo> = call_api("DelegateInfoRuntimeApi_get_delegates", ());
        assert!(all.contains(&delegate));
        let delegated: Delegated = call_api("DelegateInfoRuntimeApi_get_delegated", &staker);
        let without_stakers = DelegateInfo { nominators: Vec::new(), ..delegate };
        assert_eq!(
            delegated,
            [(without_stakers, (Compact(NetUid::ROOT), Compact(AlphaBalance(TAO))))]
        );
    });
}

#[test]
fn trade_quotes_state_fee_and_slippage() {
    with_genesis_state(|| {
        let prices: Vec<SubnetPrice> = call_api("SwapRuntimeApi_current_alpha_price_all", ());
        let prices: Vec<_> = prices.iter().map(|price| (price.netuid.0, price.price)).collect();
        assert_eq!(prices.len(), 60);
        // One tenth has no finite binary representation; the result is rounded down, as on the
        // chain.
        assert_eq!([prices[0], prices[1], prices[59]], [(0, TAO), (1, TAO), (59, TAO / 10 - 1)]);
        assert_eq!(call_api::<u64>("SwapRuntimeApi_current_alpha_price", BABELBIT), TAO / 10 - 1);

        let bought: SimSwapResult =
            call_api("SwapRuntimeApi_sim_swap_tao_for_alpha", (BABELBIT, TaoBalance(65_535_000)));
        assert_eq!(
            (bought.tao_fee, bought.tao_amount),
            (TaoBalance(33_000), TaoBalance(65_502_000))
        );
        assert_eq!((bought.alpha_fee, bought.tao_slippage), (AlphaBalance::ZERO, TaoBalance::ZERO));
        assert_eq!(bought.alpha_amount.0 + bought.alpha_slippage.0, 655_350_000);
        assert!(bought.alpha_amount.0 < 655_020_000);
        let sold: SimSwapResult =
            call_api("SwapRuntimeApi_sim_swap_alpha_for_tao", (BABELBIT, AlphaBalance(65_535_000)));
        assert_eq!(
            (sold.alpha_fee, sold.alpha_amount),
            (AlphaBalance(33_000), AlphaBalance(65_502_000))
        );
        assert_eq!(sold.tao_amount.0 + sold.tao_slippage.0, 6_553_499);
        let root: SimSwapResult =
            call_api("SwapRuntimeApi_sim_swap_tao_for_alpha", (NetUid::ROOT, TaoBalance(TAO)));
        assert_eq!((root.alpha_amount, root.tao_fee), (AlphaBalance(TAO), TaoBalance::ZERO));
        let too_much: SimSwapResult =
            call_api("SwapRuntimeApi_sim_swap_tao_for_alpha", (FIRST, TaoBalance(u64::MAX)));
        assert_eq!(too_much, SimSwapResult::default());
    });
}

#[test]
fn baskets_and_locks_are_initially_empty() {
    with_genesis_state(|| {
        let account = account(3);
        assert_eq!(
            call_api::<TaoBalance>("BetaBasketRuntimeApi_get_root_basket_owed", &account),
            TaoBalance::ZERO
        );
        let positions: Vec<(AccountId32, u64, TaoBalance)> =
            call_api("BetaBasketRuntimeApi_get_root_basket_positions", &account);
        assert_eq!(positions, []);
        let baskets = api::dispatch("BetaBasketRuntimeApi_get_all_validator_baskets", &[]).unwrap();
        assert_eq!(baskets, [0]);
        assert_eq!(
            call_api::<U64F64>("StakeInfoRuntimeApi_get_hotkey_conviction", (&account, FIRST)),
            U64F64::default()
        );
        assert_eq!(api::dispatch("NeuronInfoRuntimeApi_get_nothing", &[]), None);
    });
}

/// Clients call this method after every block; over JSON-RPC it must take less than 15 ms in a
/// release build.
#[test]
fn neurons_of_a_full_subnet_are_encoded() {
    with_genesis_state(|| {
        fill(FIRST, 256);
        let start = Instant::now();
        let output =
            api::dispatch("NeuronInfoRuntimeApi_get_neurons_lite", &FIRST.encode()).unwrap();
        println!("256 neurons: {} bytes in {:?}", output.len(), start.elapsed());
        assert_eq!(Vec::<NeuronInfoLite>::decode_all(&mut &output[..]).unwrap().len(), 256);
    });
}
