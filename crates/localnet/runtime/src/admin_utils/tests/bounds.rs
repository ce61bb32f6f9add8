//! Bounds of values, and settings of subnets that are missing.

use super::*;
use crate::subtensor::{MechanismCountCurrent, MinChildkeyTake, SubnetworkN};
use crate::types::NetUid;

#[test]
fn only_checked_settings_refuse_missing_subnets() {
    with_owner_settings(|| {
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
        let default_owner = RuntimeOrigin::signed(SubnetOwner::<Runtime>::get(netuid));
        assert_eq!(call(default_owner, &Call::sudo_set_rho { netuid, rho: 1 }), "BadOrigin");
    });
}

#[test]
fn hyperparameters_out_of_bounds_are_refused() {
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
    with_owner_settings(|| {
        for (setter, expected) in cases {
            assert_eq!(as_root(&setter), expected, "{setter:?}");
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
fn settings_refuse_root_subnet_and_invalid_values() {
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
    with_owner_settings(|| {
        for (setter, expected) in cases {
            assert_eq!(as_root(&setter), expected, "{setter:?}");
        }
        let issuance = Call::sudo_set_total_issuance { total_issuance: TaoBalance(1) };
        assert_eq!(call(RuntimeOrigin::none(), &issuance), "Deprecated");
    });
}

#[test]
fn some_bounds_apply_to_owners_only() {
    with_owner_settings(|| {
        let average =
            Call::sudo_set_bonds_moving_average { netuid: BABELBIT, bonds_moving_average: 975_001 };
        let steepness = Call::sudo_set_alpha_sigmoid_steepness { netuid: BABELBIT, steepness: -1 };
        assert_eq!(as_owner(&average), "BondsMovingAverageMaxReached");
        assert_eq!(as_owner(&steepness), "NegativeSigmoidSteepness");
        assert_eq!((as_root(&average), as_root(&steepness)), ("ok".into(), "ok".into()));
    });
}
