//! All settings: the item that each changes, and the authority that it requires.

use codec::Encode;
use sp_io::hashing::twox_128;
use substrate_fixed::types::{I64F64, I96F32};

use super::*;

/// Authority that a call requires: the subnet owner's or root's.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Caller {
    Owner,
    Root,
}

/// Returns all settings: a call, its authority, and the storage item of the Subtensor pallet that
/// receives its last argument.
#[allow(clippy::too_many_lines)] // A table.
fn settings() -> Vec<(Call<Runtime>, Caller, &'static str)> {
    use Caller::{Owner, Root};
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

/// Returns the keys and values of the Subtensor pallet's storage.
fn stored_entries() -> Vec<(Vec<u8>, Vec<u8>)> {
    let prefix = twox_128(b"SubtensorModule");
    let mut entries = Vec::new();
    let mut last = prefix.to_vec();
    while let Some(key) = sp_io::storage::next_key(&last).filter(|key| key.starts_with(&prefix)) {
        entries.push((key.clone(), sp_io::storage::get(&key).unwrap().to_vec()));
        last = key;
    }
    entries
}

#[test]
fn each_setting_changes_only_its_item() {
    let settings = settings();
    assert_eq!(settings.len(), 79);
    for (setter, _, item) in settings {
        with_owner_settings(|| {
            if item == "LiquidAlphaOn" {
                LiquidAlphaOn::<Runtime>::insert(BABELBIT, false);
            }
            let before = stored_entries();
            assert_eq!(as_root(&setter), "ok", "{setter:?}");
            let changed: Vec<_> =
                stored_entries().into_iter().filter(|entry| !before.contains(entry)).collect();
            let [(key, value)] = &changed[..] else {
                panic!("{setter:?} changed {} entries", changed.len())
            };
            assert_eq!(key[16..32], twox_128(item.as_bytes()), "{setter:?}");
            assert!(setter.encode().ends_with(value), "{setter:?}");
        });
    }
}

#[test]
fn settings_check_caller_freeze_window_and_rate_limit() {
    for (setter, by, item) in settings() {
        with_owner_settings(|| {
            assert_eq!(call(RuntimeOrigin::signed(key(3)), &setter), "BadOrigin", "{setter:?}");
            if by == Caller::Root {
                assert_eq!(as_owner(&setter), "BadOrigin", "{setter:?}");
                return;
            }
            AdminFreezeWindow::<Runtime>::put(20);
            assert_eq!(as_owner(&setter), "AdminActionProhibitedDuringWeightsWindow", "{setter:?}");
            assert_eq!(as_root(&setter), "ok", "{setter:?}");
            AdminFreezeWindow::<Runtime>::put(0);
            assert_eq!(as_owner(&setter), "ok", "{setter:?}");
            let is_unlimited = ["OwnerCutEnabled", "OwnerCutAutoLockEnabled"].contains(&item);
            assert_eq!(
                as_owner(&setter),
                if is_unlimited { "ok" } else { "TxRateLimitExceeded" },
                "{setter:?}"
            );
        });
    }
}
