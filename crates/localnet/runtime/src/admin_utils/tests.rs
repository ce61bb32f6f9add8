use codec::Encode;
use sp_io::hashing::twox_128;
use sp_runtime::PerU16;
use sp_runtime::traits::Dispatchable;
use substrate_fixed::types::{I64F64, I96F32, U64F64};

use super::{Call, Event};
use crate::runtime::{Runtime, RuntimeCall, RuntimeEvent, RuntimeOrigin, System};
use crate::subtensor::types::{ConsensusMode, RecycleOrBurnEnum};
use crate::subtensor::{
    AdminFreezeWindow, Event as SubtensorEvent, Incentive, LastUpdate, LiquidAlphaOn,
    MaxAllowedUids, MechanismCountCurrent, MechanismEmissionSplit, MinAllowedUids, MinChildkeyTake,
    SubnetOwner, SubnetOwnerHotkey, SubnetworkN, Tempo, Weights,
};
use crate::testing::{BABELBIT, Subtensor, account, chain, jump_to, key, last_event, outcome};
use crate::types::{MechId, NetUid, NetUidStorageIndex, TaoBalance};

/// Authority that a call requires: the subnet owner's or root's.
#[derive(Clone, Copy, Debug, PartialEq)]
enum RequiredOrigin {
    Owner,
    Root,
}

/// Returns all settings: a call, its authority, and the storage item of the Subtensor pallet that
/// receives its last argument.
#[allow(clippy::too_many_lines)] // A table.
fn settings() -> Vec<(Call<Runtime>, RequiredOrigin, &'static str)> {
    use RequiredOrigin::{Owner, Root};
    let netuid = BABELBIT;
    let take = PerU16::from_parts(77);
    let burn = TaoBalance(777_000_000);
    let twice = U64F64::from_num(2);
    vec![
        (Call::sudo_set_default_take { default_take: take }, Root, "MaxDelegateTake"),
        (Call::sudo_set_tx_rate_limit { tx_rate_limit: 7 }, Root, "TxRateLimit"),
        (
            Call::sudo_set_serving_rate_limit { netuid, serving_rate_limit: 7 },
            Owner,
            "ServingRateLimit",
        ),
        (Call::sudo_set_min_difficulty { netuid, min_difficulty: 7 }, Root, "MinDifficulty"),
        (Call::sudo_set_max_difficulty { netuid, max_difficulty: 7 }, Owner, "MaxDifficulty"),
        (
            Call::sudo_set_weights_version_key { netuid, weights_version_key: 7 },
            Owner,
            "WeightsVersionKey",
        ),
        (
            Call::sudo_set_weights_set_rate_limit { netuid, weights_set_rate_limit: 7 },
            Root,
            "WeightsSetRateLimit",
        ),
        (
            Call::sudo_set_adjustment_interval { netuid, adjustment_interval: 7 },
            Root,
            "AdjustmentInterval",
        ),
        (Call::sudo_set_adjustment_alpha { netuid, adjustment_alpha: 7 }, Owner, "AdjustmentAlpha"),
        (Call::sudo_set_immunity_period { netuid, immunity_period: 7 }, Owner, "ImmunityPeriod"),
        (
            Call::sudo_set_min_allowed_weights { netuid, min_allowed_weights: 7 },
            Owner,
            "MinAllowedWeights",
        ),
        (Call::sudo_set_max_allowed_uids { netuid, max_allowed_uids: 77 }, Owner, "MaxAllowedUids"),
        (Call::sudo_set_kappa { netuid, kappa: 7 }, Root, "Kappa"),
        (Call::sudo_set_rho { netuid, rho: 7 }, Owner, "Rho"),
        (Call::sudo_set_activity_cutoff { netuid, activity_cutoff: 777 }, Owner, "ActivityCutoff"),
        (
            Call::sudo_set_network_registration_allowed { netuid, registration_allowed: false },
            Root,
            "NetworkRegistrationAllowed",
        ),
        (
            Call::sudo_set_target_registrations_per_interval {
                netuid,
                target_registrations_per_interval: 7,
            },
            Root,
            "TargetRegistrationsPerInterval",
        ),
        (Call::sudo_set_min_burn { netuid, min_burn: burn }, Owner, "MinBurn"),
        (Call::sudo_set_max_burn { netuid, max_burn: burn }, Owner, "MaxBurn"),
        (Call::sudo_set_difficulty { netuid, difficulty: 7 }, Root, "Difficulty"),
        (
            Call::sudo_set_max_allowed_validators { netuid, max_allowed_validators: 7 },
            Root,
            "MaxAllowedValidators",
        ),
        (
            Call::sudo_set_bonds_moving_average { netuid, bonds_moving_average: 7 },
            Owner,
            "BondsMovingAverage",
        ),
        (
            Call::sudo_set_max_registrations_per_block { netuid, max_registrations_per_block: 7 },
            Root,
            "MaxRegistrationsPerBlock",
        ),
        (Call::sudo_set_subnet_owner_cut { subnet_owner_cut: 7 }, Root, "SubnetOwnerCut"),
        (Call::sudo_set_ck_burn { burn: 7 }, Root, "CKBurn"),
        (
            Call::sudo_set_coldkey_swap_announcement_delay { duration: 7 },
            Root,
            "ColdkeySwapAnnouncementDelay",
        ),
        (
            Call::sudo_set_coldkey_swap_reannouncement_delay { duration: 7 },
            Root,
            "ColdkeySwapReannouncementDelay",
        ),
        (
            Call::sudo_set_dissolve_network_schedule_duration { duration: 7 },
            Root,
            "DissolveNetworkScheduleDuration",
        ),
        (
            Call::sudo_set_owner_cut_auto_lock_enabled { netuid, enabled: true },
            Owner,
            "OwnerCutAutoLockEnabled",
        ),
        (
            Call::sudo_set_tao_flow_cutoff { flow_cutoff: I64F64::from_num(7) },
            Root,
            "TaoFlowCutoff",
        ),
        (
            Call::sudo_set_tao_flow_normalization_exponent { exponent: twice },
            Root,
            "FlowNormExponent",
        ),
        (
            Call::sudo_set_tao_flow_smoothing_factor { smoothing_factor: 7 },
            Root,
            "FlowEmaSmoothingFactor",
        ),
        (Call::sudo_set_net_tao_flow_enabled { enabled: false }, Root, "NetTaoFlowEnabled"),
        (Call::sudo_set_emission_bar_quantile { quantile: twice / 4 }, Root, "EmissionBarQuantile"),
        (Call::sudo_set_emission_gate_exponent { exponent: twice }, Root, "EmissionGateExponent"),
        (Call::sudo_set_emission_bar_rank { rank: 7 }, Root, "EmissionBarRank"),
        (Call::sudo_set_network_rate_limit { rate_limit: 7 }, Root, "NetworkRateLimit"),
        (
            Call::sudo_set_network_immunity_period { immunity_period: 7 },
            Root,
            "NetworkImmunityPeriod",
        ),
        (Call::sudo_set_network_min_lock_cost { lock_cost: burn }, Root, "NetworkMinLockCost"),
        (Call::sudo_set_subnet_limit { max_subnets: 7 }, Root, "SubnetLimit"),
        (
            Call::sudo_set_lock_reduction_interval { interval: 7 },
            Root,
            "NetworkLockReductionInterval",
        ),
        (
            Call::sudo_set_rao_recycled { netuid, rao_recycled: burn },
            Root,
            "RAORecycledForRegistration",
        ),
        (Call::sudo_set_stake_threshold { min_stake: 7 }, Root, "StakeThreshold"),
        (
            Call::sudo_set_nominator_min_required_stake { min_stake: 7 },
            Root,
            "NominatorMinRequiredStake",
        ),
        (
            Call::sudo_set_tx_delegate_take_rate_limit { tx_rate_limit: 7 },
            Root,
            "TxDelegateTakeRateLimit",
        ),
        (Call::sudo_set_min_delegate_take { take }, Root, "MinDelegateTake"),
        (
            Call::sudo_set_commit_reveal_weights_enabled { netuid, enabled: true },
            Owner,
            "CommitRevealWeightsEnabled",
        ),
        (Call::sudo_set_liquid_alpha_enabled { netuid, enabled: true }, Owner, "LiquidAlphaOn"),
        (
            Call::sudo_set_alpha_values { netuid, alpha_low: 2_000, alpha_high: 3_000 },
            Owner,
            "AlphaValues",
        ),
        (
            Call::sudo_set_commit_reveal_weights_interval { netuid, interval: 7 },
            Owner,
            "RevealPeriodEpochs",
        ),
        (Call::sudo_set_bonds_penalty { netuid, bonds_penalty: 7 }, Owner, "BondsPenalty"),
        (Call::sudo_set_toggle_transfer { netuid, toggle: false }, Owner, "TransferToggle"),
        (
            Call::sudo_set_subnet_moving_alpha { alpha: I96F32::from_num(7) },
            Root,
            "SubnetMovingAlpha",
        ),
        (
            Call::sudo_set_ema_price_halving_period { netuid, ema_halving: 7 },
            Root,
            "EMAPriceHalvingBlocks",
        ),
        (
            Call::sudo_set_subtoken_enabled { netuid, subtoken_enabled: false },
            Root,
            "SubtokenEnabled",
        ),
        (
            Call::sudo_set_alpha_sigmoid_steepness { netuid, steepness: 7 },
            Owner,
            "AlphaSigmoidSteepness",
        ),
        (Call::sudo_set_yuma3_enabled { netuid, enabled: false }, Owner, "Yuma3On"),
        (Call::sudo_set_bonds_reset_enabled { netuid, enabled: true }, Owner, "BondsResetOn"),
        (Call::sudo_set_commit_reveal_version { version: 7 }, Root, "CommitRevealWeightsVersion"),
        (
            Call::sudo_set_owner_immune_neuron_limit { netuid, immune_neurons: 7 },
            Owner,
            "ImmuneOwnerUidsLimit",
        ),
        (Call::sudo_set_admin_freeze_window { window: 7 }, Root, "AdminFreezeWindow"),
        (Call::sudo_set_owner_hparam_rate_limit { epochs: 7 }, Root, "OwnerHyperparamRateLimit"),
        (
            Call::sudo_set_mechanism_emission_split { netuid, maybe_split: Some(vec![65_535]) },
            Owner,
            "MechanismEmissionSplit",
        ),
        (Call::sudo_trim_to_max_allowed_uids { netuid, max_n: 77 }, Owner, "MaxAllowedUids"),
        (Call::sudo_set_min_allowed_uids { netuid, min_allowed_uids: 0 }, Root, "MinAllowedUids"),
        (
            Call::sudo_set_recycle_or_burn { netuid, recycle_or_burn: RecycleOrBurnEnum::Recycle },
            Owner,
            "RecycleOrBurn",
        ),
        (Call::sudo_set_min_non_immune_uids { netuid, min: 7 }, Root, "MinNonImmuneUids"),
        (Call::sudo_set_start_call_delay { delay: 7 }, Root, "StartCallDelay"),
        (
            Call::sudo_set_max_mechanism_count { max_mechanism_count: MechId(7) },
            Root,
            "MaxMechanismCount",
        ),
        (Call::sudo_set_burn_half_life { netuid, burn_half_life: 7 }, Owner, "BurnHalfLife"),
        (
            Call::sudo_set_burn_increase_mult { netuid, burn_increase_mult: twice },
            Owner,
            "BurnIncreaseMult",
        ),
        (Call::sudo_set_owner_cut_enabled { netuid, enabled: false }, Owner, "OwnerCutEnabled"),
        (
            Call::sudo_set_collateral_lock_share { netuid, lock_share: 7 },
            Owner,
            "CollateralLockShare",
        ),
        (
            Call::sudo_set_collateral_drain_ratio { netuid, drain_ratio: twice },
            Owner,
            "CollateralDrainRatio",
        ),
        (
            Call::sudo_set_min_childkey_take_per_subnet { netuid, take },
            Owner,
            "MinChildkeyTakePerSubnet",
        ),
        (
            Call::sudo_set_subnet_emission_enabled { netuid, enabled: false },
            Root,
            "SubnetEmissionEnabled",
        ),
        (
            Call::sudo_set_max_epochs_per_block { max_epochs_per_block: 7 },
            Root,
            "MaxEpochsPerBlock",
        ),
        (
            Call::sudo_set_activity_cutoff_factor { netuid, factor_milli: 7_000 },
            Owner,
            "ActivityCutoffFactorMilli",
        ),
        (
            Call::sudo_set_liquid_alpha_consensus_mode { netuid, mode: ConsensusMode::Previous },
            Owner,
            "LiquidAlphaConsensusMode",
        ),
    ]
}

fn call(origin: RuntimeOrigin, call: &Call<Runtime>) -> String {
    let call = RuntimeCall::from(call.clone());
    outcome(call.dispatch(origin).map(|_| ()).map_err(|failure| failure.error))
}

fn as_root(what: &Call<Runtime>) -> String {
    call(RuntimeOrigin::root(), what)
}

fn as_owner(what: &Call<Runtime>) -> String {
    call(RuntimeOrigin::signed(SubnetOwner::<Runtime>::get(BABELBIT)), what)
}

/// Returns the keys and values of the Subtensor pallet's storage.
fn stored() -> Vec<(Vec<u8>, Vec<u8>)> {
    let prefix = twox_128(b"SubtensorModule");
    let mut actual = Vec::new();
    let mut last = prefix.to_vec();
    while let Some(key) = sp_io::storage::next_key(&last).filter(|key| key.starts_with(&prefix)) {
        actual.push((key.clone(), sp_io::storage::get(&key).unwrap().to_vec()));
        last = key;
    }
    actual
}

/// Runs a test with a subnet whose owner may change settings.
fn settled(test: impl FnOnce()) {
    chain(|| {
        jump_to(50);
        AdminFreezeWindow::<Runtime>::put(0);
        LiquidAlphaOn::<Runtime>::insert(BABELBIT, true);
        MinAllowedUids::<Runtime>::insert(BABELBIT, 8);
        test();
    });
}

#[test]
fn each_setting_changes_its_own_item() {
    let settings = settings();
    assert_eq!(settings.len(), 79);
    for (what, _, item) in settings {
        settled(|| {
            if item == "LiquidAlphaOn" {
                LiquidAlphaOn::<Runtime>::insert(BABELBIT, false);
            }
            let before = stored();
            assert_eq!(as_root(&what), "ok", "{what:?}");
            let changed: Vec<_> =
                stored().into_iter().filter(|entry| !before.contains(entry)).collect();
            let [(key, value)] = &changed[..] else {
                panic!("{what:?} changed {} entries", changed.len())
            };
            assert_eq!(key[16..32], twox_128(item.as_bytes()), "{what:?}");
            assert!(what.encode().ends_with(value), "{what:?}");
        });
    }
}

#[test]
fn only_owners_change_settings_of_their_subnet() {
    for (what, by, item) in settings() {
        settled(|| {
            assert_eq!(call(RuntimeOrigin::signed(key(3)), &what), "BadOrigin", "{what:?}");
            if by == RequiredOrigin::Root {
                assert_eq!(as_owner(&what), "BadOrigin", "{what:?}");
                return;
            }
            AdminFreezeWindow::<Runtime>::put(20);
            assert_eq!(as_owner(&what), "AdminActionProhibitedDuringWeightsWindow", "{what:?}");
            assert_eq!(as_root(&what), "ok", "{what:?}");
            AdminFreezeWindow::<Runtime>::put(0);
            assert_eq!(as_owner(&what), "ok", "{what:?}");
            let is_unlimited = ["OwnerCutEnabled", "OwnerCutAutoLockEnabled"].contains(&item);
            assert_eq!(
                as_owner(&what),
                if is_unlimited { "ok" } else { "TxRateLimitExceeded" },
                "{what:?}"
            );
        });
    }
}

#[test]
fn each_fault_of_an_owner_shows_in_the_order_of_the_real_chain() {
    settled(|| {
        let netuid = BABELBIT;
        let rho = Call::sudo_set_rho { netuid, rho: 1 };
        let cutoff = |factor_milli| Call::sudo_set_activity_cutoff_factor { netuid, factor_milli };
        let tempo = |tempo| Call::sudo_set_tempo { netuid, tempo };
        assert_eq!(as_owner(&rho), "ok");
        assert_eq!(as_owner(&cutoff(2_000)), "ok");
        AdminFreezeWindow::<Runtime>::put(20);
        assert_eq!(as_owner(&rho), "TxRateLimitExceeded");
        assert_eq!(as_owner(&cutoff(2_000)), "AdminActionProhibitedDuringWeightsWindow");
        assert_eq!(as_owner(&cutoff(0)), "ActivityCutoffFactorMilliOutOfBounds");
        assert_eq!(as_owner(&tempo(360)), "AdminActionProhibitedDuringWeightsWindow");
        assert_eq!(as_owner(&tempo(359)), "TempoOutOfBounds");
    });
}

#[test]
fn the_owner_hotkey_changes_at_any_time_once_in_some_blocks() {
    settled(|| {
        AdminFreezeWindow::<Runtime>::put(20);
        let set = |number| Call::sudo_set_sn_owner_hotkey { netuid: BABELBIT, hotkey: key(number) };
        assert_eq!(call(RuntimeOrigin::signed(key(3)), &set(9)), "BadOrigin");
        assert_eq!(as_owner(&set(9)), "ok");
        assert_eq!(SubnetOwnerHotkey::<Runtime>::get(BABELBIT), key(9));
        assert_eq!(
            (as_owner(&set(8)), as_root(&set(8))),
            ("TxRateLimitExceeded".into(), "TxRateLimitExceeded".into())
        );
        jump_to(50 + 50_400);
        assert_eq!(as_root(&set(8)), "ok");
        assert_eq!(as_owner(&set(7)), "TxRateLimitExceeded");
        assert_eq!(SubnetOwnerHotkey::<Runtime>::get(BABELBIT), key(8));
    });
}

#[test]
fn settings_of_missing_subnets_are_refused() {
    settled(|| {
        let netuid = NetUid(77);
        assert_eq!(as_root(&Call::sudo_set_kappa { netuid, kappa: 1 }), "SubnetDoesNotExist");
        assert_eq!(as_root(&Call::sudo_set_rho { netuid, rho: 1 }), "SubnetDoesNotExist");
        assert_eq!(as_root(&Call::sudo_set_tempo { netuid, tempo: 1 }), "SubnetNotExists");
        assert_eq!(
            as_root(&Call::sudo_set_sn_owner_hotkey { netuid, hotkey: key(9) }),
            "SubnetNotExists"
        );
        let no_mechanism = "MechanismDoesNotExist";
        let mechanism_count = MechId(1);
        assert_eq!(
            as_root(&Call::sudo_set_mechanism_count { netuid, mechanism_count }),
            no_mechanism
        );
        assert_eq!(
            as_root(&Call::sudo_set_mechanism_emission_split { netuid, maybe_split: None }),
            no_mechanism
        );
        assert_eq!(
            as_root(&Call::sudo_trim_to_max_allowed_uids { netuid, max_n: 77 }),
            "SubnetNotExists"
        );
        let alphas = Call::sudo_set_alpha_values { netuid, alpha_low: 2_000, alpha_high: 3_000 };
        assert_eq!(as_root(&alphas), "LiquidAlphaDisabled");
        for unchecked in [
            Call::sudo_set_serving_rate_limit { netuid, serving_rate_limit: 1 },
            Call::sudo_set_liquid_alpha_enabled { netuid, enabled: true },
            Call::sudo_set_liquid_alpha_consensus_mode { netuid, mode: ConsensusMode::Previous },
            Call::sudo_set_toggle_transfer { netuid, toggle: false },
            Call::sudo_set_subtoken_enabled { netuid, subtoken_enabled: true },
            Call::sudo_set_yuma3_enabled { netuid, enabled: true },
            Call::sudo_set_bonds_reset_enabled { netuid, enabled: true },
            Call::sudo_set_owner_immune_neuron_limit { netuid, immune_neurons: 1 },
            Call::sudo_set_recycle_or_burn { netuid, recycle_or_burn: RecycleOrBurnEnum::Recycle },
            Call::sudo_set_network_registration_allowed { netuid, registration_allowed: false },
            Call::sudo_set_ema_price_halving_period { netuid, ema_halving: 1 },
            Call::sudo_set_min_non_immune_uids { netuid, min: 1 },
            Call::sudo_set_activity_cutoff_factor { netuid, factor_milli: 1_000 },
        ] {
            assert_eq!(as_root(&unchecked), "ok", "{unchecked:?}");
        }
        assert!(!Subtensor::is_awake(netuid));
        let nobody = RuntimeOrigin::signed(SubnetOwner::<Runtime>::get(netuid));
        assert_eq!(call(nobody, &Call::sudo_set_rho { netuid, rho: 1 }), "BadOrigin");
    });
}

#[test]
fn an_owner_changes_a_setting_again_after_some_epochs() {
    settled(|| {
        Tempo::<Runtime>::insert(BABELBIT, 10);
        let rho = Call::sudo_set_rho { netuid: BABELBIT, rho: 1 };
        let version =
            Call::sudo_set_weights_version_key { netuid: BABELBIT, weights_version_key: 1 };
        assert_eq!((as_owner(&rho), as_owner(&version)), ("ok".into(), "ok".into()));
        for (block, of_rho, of_version) in [
            (69, "TxRateLimitExceeded", "TxRateLimitExceeded"),
            (70, "ok", "TxRateLimitExceeded"),
            (99, "ok", "TxRateLimitExceeded"),
            (100, "TxRateLimitExceeded", "ok"),
        ] {
            jump_to(block);
            assert_eq!(as_owner(&version), of_version, "{block}");
            assert_eq!(as_owner(&rho), of_rho, "{block}");
        }
    });
}

#[test]
fn values_out_of_bounds_are_refused() {
    let netuid = BABELBIT;
    let mult = |value: f64| Call::sudo_set_burn_increase_mult {
        netuid,
        burn_increase_mult: U64F64::from_num(value),
    };
    let half_life = |burn_half_life| Call::sudo_set_burn_half_life { netuid, burn_half_life };
    let min_burn = |rao| Call::sudo_set_min_burn { netuid, min_burn: TaoBalance(rao) };
    let max_burn = |rao| Call::sudo_set_max_burn { netuid, max_burn: TaoBalance(rao) };
    let interval = |interval| Call::sudo_set_commit_reveal_weights_interval { netuid, interval };
    let alphas =
        |alpha_low, alpha_high| Call::sudo_set_alpha_values { netuid, alpha_low, alpha_high };
    let max_uids = |max_allowed_uids| Call::sudo_set_max_allowed_uids { netuid, max_allowed_uids };
    let min_uids = |min_allowed_uids| Call::sudo_set_min_allowed_uids { netuid, min_allowed_uids };
    let validators = |max_allowed_validators| Call::sudo_set_max_allowed_validators {
        netuid,
        max_allowed_validators,
    };
    let immune =
        |immune_neurons| Call::sudo_set_owner_immune_neuron_limit { netuid, immune_neurons };
    let take = |parts| Call::sudo_set_min_childkey_take_per_subnet {
        netuid,
        take: PerU16::from_parts(parts),
    };
    let mechanisms =
        |count| Call::sudo_set_mechanism_count { netuid, mechanism_count: MechId(count) };
    let split = |parts: &[u16]| Call::sudo_set_mechanism_emission_split {
        netuid,
        maybe_split: Some(parts.to_vec()),
    };
    let cutoff = |factor_milli| Call::sudo_set_activity_cutoff_factor { netuid, factor_milli };
    let root = NetUid::ROOT;
    let cases = [
        (mult(0.99), "InvalidValue"),
        (mult(1.0), "ok"),
        (mult(3.0), "ok"),
        (mult(3.01), "InvalidValue"),
        (half_life(0), "InvalidValue"),
        (half_life(1), "ok"),
        (half_life(36_100), "ok"),
        (half_life(36_101), "InvalidValue"),
        (min_burn(1_000_000_000), "ValueNotInBounds"),
        (min_burn(999_999_999), "ok"),
        (max_burn(100_000_000), "ValueNotInBounds"),
        (max_burn(999_999_999), "ValueNotInBounds"),
        (max_burn(1_000_000_000), "ok"),
        (min_burn(100_000_000), "ok"),
        (max_burn(200_000_000), "ok"),
        (min_burn(200_000_000), "ValueNotInBounds"),
        (interval(0), "RevealPeriodTooSmall"),
        (interval(100), "ok"),
        (interval(101), "RevealPeriodTooLarge"),
        (alphas(1_638, 1_637), "AlphaHighTooLow"),
        (alphas(1_637, 1_638), "AlphaLowOutOfRange"),
        (alphas(1_639, 1_638), "AlphaLowOutOfRange"),
        (alphas(1_638, 1_638), "ok"),
        (max_uids(7), "MaxAllowedUidsLessThanMinAllowedUids"),
        (max_uids(257), "MaxAllowedUidsGreaterThanDefaultMaxAllowedUids"),
        (max_uids(8), "ok"),
        (min_uids(9), "MinAllowedUidsGreaterThanMaxAllowedUids"),
        (min_uids(8), "MinAllowedUidsGreaterThanMaxAllowedUids"),
        (min_uids(1), "MinAllowedUidsGreaterThanCurrentUids"),
        (min_uids(0), "ok"),
        (validators(9), "MaxValidatorsLargerThanMaxUIds"),
        (validators(8), "ok"),
        (immune(0), "InvalidValue"),
        (immune(10), "ok"),
        (immune(11), "InvalidValue"),
        (take(11_797), "InvalidValue"),
        (take(11_796), "ok"),
        (mechanisms(0), "InvalidValue"),
        (mechanisms(3), "InvalidValue"),
        (mechanisms(2), "ok"),
        (split(&[65_535, 0, 0]), "InvalidValue"),
        (split(&[65_534, 0]), "InvalidValue"),
        (split(&[65_535, 65_535]), "InvalidValue"),
        (split(&[]), "InvalidValue"),
        (split(&[30_000, 35_535]), "ok"),
        (split(&[65_535]), "ok"),
        (max_uids(129), "TooManyUIDsPerMechanism"),
        (max_uids(128), "ok"),
        (cutoff(999), "ActivityCutoffFactorMilliOutOfBounds"),
        (cutoff(50_000), "ok"),
        (cutoff(50_001), "ActivityCutoffFactorMilliOutOfBounds"),
        (
            Call::sudo_set_owner_cut_enabled { netuid: root, enabled: true },
            "NotPermittedOnRootSubnet",
        ),
        (
            Call::sudo_set_subnet_emission_enabled { netuid: root, enabled: true },
            "NotPermittedOnRootSubnet",
        ),
        (
            Call::sudo_set_network_pow_registration_allowed { netuid, registration_allowed: true },
            "POWRegistrationDisabled",
        ),
        (Call::sudo_set_liquid_alpha_enabled { netuid, enabled: false }, "ok"),
        (alphas(2_000, 3_000), "LiquidAlphaDisabled"),
    ];
    settled(|| {
        for (what, expected) in cases {
            assert_eq!(as_root(&what), expected, "{what:?}");
        }
        MinChildkeyTake::<Runtime>::put(PerU16::from_parts(5));
        assert_eq!((as_root(&take(4)), as_root(&take(5))), ("InvalidValue".into(), "ok".into()));
        SubnetworkN::<Runtime>::insert(BABELBIT, 100);
        assert_eq!(as_root(&max_uids(99)), "MaxAllowedUIdsLessThanCurrentUIds");
        MaxAllowedUids::<Runtime>::insert(BABELBIT, 256);
        MechanismCountCurrent::<Runtime>::insert(BABELBIT, MechId(1));
        assert_eq!(as_root(&mechanisms(2)), "TooManyUIDsPerMechanism");
    });
}

#[test]
fn settings_reject_root_subnet_and_invalid_values() {
    let (netuid, root) = (BABELBIT, NetUid::ROOT);
    let max_mechanisms =
        |count| Call::sudo_set_max_mechanism_count { max_mechanism_count: MechId(count) };
    let cases = [
        (
            Call::sudo_set_burn_half_life { netuid: root, burn_half_life: 1 },
            "NotPermittedOnRootSubnet",
        ),
        (
            Call::sudo_set_burn_increase_mult {
                netuid: root,
                burn_increase_mult: U64F64::from_num(1),
            },
            "NotPermittedOnRootSubnet",
        ),
        (Call::sudo_set_max_epochs_per_block { max_epochs_per_block: 0 }, "ValueNotInBounds"),
        (Call::sudo_set_max_epochs_per_block { max_epochs_per_block: 1 }, "ok"),
        (max_mechanisms(0), "InvalidValue"),
        (max_mechanisms(1), "ok"),
        (max_mechanisms(16), "ok"),
        (max_mechanisms(17), "InvalidValue"),
        (Call::sudo_set_activity_cutoff { netuid, activity_cutoff: 359 }, "ActivityCutoffTooLow"),
        (Call::sudo_set_activity_cutoff { netuid, activity_cutoff: 360 }, "ok"),
        (Call::sudo_set_total_issuance { total_issuance: TaoBalance(1) }, "Deprecated"),
    ];
    settled(|| {
        for (what, expected) in cases {
            assert_eq!(as_root(&what), expected, "{what:?}");
        }
        let issuance = Call::sudo_set_total_issuance { total_issuance: TaoBalance(1) };
        assert_eq!(call(RuntimeOrigin::none(), &issuance), "Deprecated");
    });
}

#[test]
fn activity_cutoff_of_earlier_versions_is_stored_without_effect() {
    settled(|| {
        let cutoff = Subtensor::activity_cutoff(BABELBIT);
        let set = Call::sudo_set_activity_cutoff { netuid: BABELBIT, activity_cutoff: 360 };
        assert_eq!(as_owner(&set), "ok");
        assert_eq!(last_event(), SubtensorEvent::ActivityCutoffSet(BABELBIT, 360));
        assert_eq!(Subtensor::activity_cutoff(BABELBIT), cutoff);
        assert_eq!(as_owner(&set), "TxRateLimitExceeded");
    });
}

#[test]
fn some_bounds_are_for_owners_only() {
    settled(|| {
        let average =
            Call::sudo_set_bonds_moving_average { netuid: BABELBIT, bonds_moving_average: 975_001 };
        let steepness = Call::sudo_set_alpha_sigmoid_steepness { netuid: BABELBIT, steepness: -1 };
        assert_eq!(as_owner(&average), "BondsMovingAverageMaxReached");
        assert_eq!(as_owner(&steepness), "NegativeSigmoidSteepness");
        assert_eq!((as_root(&average), as_root(&steepness)), ("ok".into(), "ok".into()));
    });
}

#[test]
fn new_mechanism_is_empty_and_removed_mechanism_leaves_no_state() {
    settled(|| {
        let set = |count| {
            as_root(&Call::sudo_set_mechanism_count {
                netuid: BABELBIT,
                mechanism_count: MechId(count),
            })
        };
        let second = NetUidStorageIndex(BABELBIT.0 + 4_096);
        MaxAllowedUids::<Runtime>::insert(BABELBIT, 128);
        Subtensor::append_neuron(BABELBIT, &key(1));
        let neurons = usize::from(Subtensor::neuron_count(BABELBIT));
        MechanismEmissionSplit::<Runtime>::insert(BABELBIT, vec![65_535]);
        assert_eq!(set(2), "ok");
        assert_eq!(LastUpdate::<Runtime>::get(second), vec![0; neurons]);
        assert_eq!(Incentive::<Runtime>::get(second).len(), neurons);
        assert_eq!(MechanismEmissionSplit::<Runtime>::get(BABELBIT), None);
        Weights::<Runtime>::insert(second, 1, vec![(0, 1)]);
        assert_eq!(set(1), "ok");
        assert_eq!(Weights::<Runtime>::iter_prefix(second).count(), 0);
        assert!(!LastUpdate::<Runtime>::contains_key(second));
    });
}

#[test]
fn the_sudo_key_sends_settings_by_its_own_pallet() {
    settled(|| {
        let inner = Call::sudo_set_yuma3_enabled { netuid: BABELBIT, enabled: false };
        let sudo = RuntimeCall::Sudo(pallet_sudo::Call::sudo { call: Box::new(inner.into()) });
        sudo.dispatch(RuntimeOrigin::signed(account("Alice"))).unwrap();
        let told = RuntimeEvent::AdminUtils(Event::Yuma3EnableToggled {
            netuid: BABELBIT,
            enabled: false,
        });
        assert!(System::events().iter().any(|record| record.event == told));
    });
}
