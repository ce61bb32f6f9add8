//! The table of administrative calls, ordered by index.

use frame_support::dispatch::DispatchClass;
use frame_support::pallet_prelude::*;
use frame_system::pallet_prelude::*;
use sp_runtime::PerU16;
use substrate_fixed::types::{I64F64, I96F32, U64F64};

use super::authority::{
    anyone, for_cutoff_factor, for_owner_hotkey, for_tempo, owner, owner_if, owner_of_any,
    owner_unlimited, root, root_of, root_of_any,
};
use crate::call_weights::admin_utils as call_weights;
use crate::subtensor::epoch_schedule::{CUTOFF_FACTORS, OWNER_TEMPOS};
use crate::subtensor::rate_limits::LimitedAction;
use crate::subtensor::types::{ConsensusMode, Hyperparameter, RecycleOrBurnEnum};
use crate::subtensor::{self, Event as SubtensorEvent};
use crate::types::{MechId, NetUid, TaoBalance};

/// Maximum weight of old bonds in their moving average that an owner may set, in parts of
/// 1 000 000.
const MAX_BONDS_MOVING_AVERAGE: u64 = 975_000;
/// Allowed reveal periods, in epochs.
const REVEAL_PERIODS: core::ops::RangeInclusive<u64> = 1..=100;
/// Allowed values of the number of an owner's hotkeys that are never pruned.
const IMMUNE_OWNER_UIDS: core::ops::RangeInclusive<u16> = 1..=10;
/// Minimum value of the activity cutoff, in blocks.
const MIN_ACTIVITY_CUTOFF: u16 = 360;
/// Maximum part of the registration price that is locked as collateral, in parts of 65 535.
const MAX_COLLATERAL_LOCK_SHARE: u16 = 62_258;

/// Returns the dispatch class of the call with this index.
const fn dispatch_class(index: u8) -> DispatchClass {
    match index {
        89 | 90 | 92 | 95 | 98 | 99 => DispatchClass::Operational,
        _ => DispatchClass::Normal,
    }
}

fn emit<T: subtensor::Config>(event: SubtensorEvent<T>) {
    subtensor::Pallet::<T>::deposit_event(event);
}

pallet_of_calls! {
    /// Sets the maximum delegate take, in parts of 65 535.
    1: sudo_set_default_take(default_take: PerU16) by root() {
        subtensor::MaxDelegateTake::<T>::put(default_take);
        emit::<T>(SubtensorEvent::MaxDelegateTakeSet(default_take));
    }
    /// Sets the minimum interval between a coldkey's swaps of hotkeys, in blocks.
    2: sudo_set_tx_rate_limit(tx_rate_limit: u64) by root() {
        subtensor::TxRateLimit::<T>::put(tx_rate_limit);
        emit::<T>(SubtensorEvent::TxRateLimitSet(tx_rate_limit));
    }
    /// Sets the minimum interval between a neuron's endpoint announcements, in blocks.
    3: sudo_set_serving_rate_limit(netuid: NetUid, serving_rate_limit: u64)
        by owner_of_any(netuid, Hyperparameter::ServingRateLimit) {
        subtensor::ServingRateLimit::<T>::insert(netuid, serving_rate_limit);
        emit::<T>(SubtensorEvent::ServingRateLimitSet(netuid, serving_rate_limit));
    }
    /// Sets the minimum proof-of-work difficulty.
    4: sudo_set_min_difficulty(netuid: NetUid, min_difficulty: u64) by root_of(netuid) {
        subtensor::MinDifficulty::<T>::insert(netuid, min_difficulty);
        emit::<T>(SubtensorEvent::MinDifficultySet(netuid, min_difficulty));
    }
    /// Sets the maximum proof-of-work difficulty.
    5: sudo_set_max_difficulty(netuid: NetUid, max_difficulty: u64) by owner(netuid, Hyperparameter::MaxDifficulty) {
        subtensor::MaxDifficulty::<T>::insert(netuid, max_difficulty);
        emit::<T>(SubtensorEvent::MaxDifficultySet(netuid, max_difficulty));
    }
    /// Sets the minimum version key of a weight submission.
    6: sudo_set_weights_version_key(netuid: NetUid, weights_version_key: u64)
        by owner(netuid, LimitedAction::WeightsVersion) {
        subtensor::WeightsVersionKey::<T>::insert(netuid, weights_version_key);
        emit::<T>(SubtensorEvent::WeightsVersionKeySet(netuid, weights_version_key));
    }
    /// Sets the minimum interval between a neuron's weight submissions, in blocks.
    7: sudo_set_weights_set_rate_limit(netuid: NetUid, weights_set_rate_limit: u64) by root_of(netuid) {
        subtensor::WeightsSetRateLimit::<T>::insert(netuid, weights_set_rate_limit);
        emit::<T>(SubtensorEvent::WeightsSetRateLimitSet(netuid, weights_set_rate_limit));
    }
    /// Sets the interval between registration adjustments, in blocks; stored for clients, without
    /// effect.
    8: sudo_set_adjustment_interval(netuid: NetUid, adjustment_interval: u16) by root_of(netuid) {
        subtensor::AdjustmentInterval::<T>::insert(netuid, adjustment_interval);
        emit::<T>(SubtensorEvent::AdjustmentIntervalSet(netuid, adjustment_interval));
    }
    /// Sets the smoothing factor of registration adjustments; stored for clients, without effect.
    9: sudo_set_adjustment_alpha(netuid: NetUid, adjustment_alpha: u64)
        by owner(netuid, Hyperparameter::AdjustmentAlpha) {
        subtensor::AdjustmentAlpha::<T>::insert(netuid, adjustment_alpha);
        emit::<T>(SubtensorEvent::AdjustmentAlphaSet(netuid, adjustment_alpha));
    }
    /// Sets the immunity period of a subnet's new neurons, in blocks.
    13: sudo_set_immunity_period(netuid: NetUid, immunity_period: u16)
        by owner(netuid, Hyperparameter::ImmunityPeriod) {
        subtensor::ImmunityPeriod::<T>::insert(netuid, immunity_period);
        emit::<T>(SubtensorEvent::ImmunityPeriodSet(netuid, immunity_period));
    }
    /// Sets the minimum number of weights that a validator must set.
    14: sudo_set_min_allowed_weights(netuid: NetUid, min_allowed_weights: u16)
        by owner(netuid, Hyperparameter::MinAllowedWeights) {
        subtensor::MinAllowedWeights::<T>::insert(netuid, min_allowed_weights);
        emit::<T>(SubtensorEvent::MinAllowedWeightSet(netuid, min_allowed_weights));
    }
    /// Sets the maximum number of neurons of a subnet.
    15: sudo_set_max_allowed_uids(netuid: NetUid, max_allowed_uids: u16)
        by owner(netuid, Hyperparameter::MaxAllowedUids) {
        Self::check_max_allowed_uids(netuid, max_allowed_uids)?;
        subtensor::MaxAllowedUids::<T>::insert(netuid, max_allowed_uids);
        emit::<T>(SubtensorEvent::MaxAllowedUidsSet(netuid, max_allowed_uids));
    }
    /// Sets kappa: the share of stake that must support a weight, in parts of 65 535.
    16: sudo_set_kappa(netuid: NetUid, kappa: u16) by root_of(netuid) {
        subtensor::Kappa::<T>::insert(netuid, kappa);
        emit::<T>(SubtensorEvent::KappaSet(netuid, kappa));
    }
    /// Sets rho, the steepness of an older consensus formula; stored for clients, without effect.
    17: sudo_set_rho(netuid: NetUid, rho: u16) by owner(netuid, Hyperparameter::Rho) {
        subtensor::Rho::<T>::insert(netuid, rho);
        emit::<T>(SubtensorEvent::RhoSet(netuid, rho));
    }
    /// Deprecated: stored for clients, without effect. The activity cutoff is derived from the
    /// tempo and a factor.
    18: sudo_set_activity_cutoff(netuid: NetUid, activity_cutoff: u16)
        by owner(netuid, Hyperparameter::ActivityCutoff) {
        ensure!(activity_cutoff >= MIN_ACTIVITY_CUTOFF, subtensor::Error::<T>::ActivityCutoffTooLow);
        subtensor::ActivityCutoff::<T>::insert(netuid, activity_cutoff);
        emit::<T>(SubtensorEvent::ActivityCutoffSet(netuid, activity_cutoff));
    }
    /// Enables or disables registration of neurons.
    19: sudo_set_network_registration_allowed(netuid: NetUid, registration_allowed: bool) by root_of_any(netuid) {
        subtensor::NetworkRegistrationAllowed::<T>::insert(netuid, registration_allowed);
        emit::<T>(SubtensorEvent::RegistrationAllowed(netuid, registration_allowed));
    }
    /// Deprecated and always refused: proof-of-work registration is unsupported.
    20: sudo_set_network_pow_registration_allowed(netuid: NetUid, registration_allowed: bool) by anyone() {
        Self::refuse((netuid, registration_allowed), Error::POWRegistrationDisabled)?;
    }
    /// Sets the target number of registrations per interval.
    21: sudo_set_target_registrations_per_interval(netuid: NetUid, target_registrations_per_interval: u16)
        by root_of(netuid) {
        subtensor::TargetRegistrationsPerInterval::<T>::insert(netuid, target_registrations_per_interval);
        emit::<T>(SubtensorEvent::RegistrationPerIntervalSet(netuid, target_registrations_per_interval));
    }
    /// Sets the minimum registration price, in rao.
    22: sudo_set_min_burn(netuid: NetUid, min_burn: TaoBalance) by owner(netuid, Hyperparameter::MinBurn) {
        Self::check_min_burn(netuid, min_burn)?;
        subtensor::MinBurn::<T>::insert(netuid, min_burn);
        emit::<T>(SubtensorEvent::MinBurnSet(netuid, min_burn));
    }
    /// Sets the maximum registration price, in rao.
    23: sudo_set_max_burn(netuid: NetUid, max_burn: TaoBalance) by owner(netuid, Hyperparameter::MaxBurn) {
        Self::check_max_burn(netuid, max_burn)?;
        subtensor::MaxBurn::<T>::insert(netuid, max_burn);
        emit::<T>(SubtensorEvent::MaxBurnSet(netuid, max_burn));
    }
    /// Sets the proof-of-work difficulty.
    24: sudo_set_difficulty(netuid: NetUid, difficulty: u64) by root_of(netuid) {
        subtensor::Difficulty::<T>::insert(netuid, difficulty);
        emit::<T>(SubtensorEvent::DifficultySet(netuid, difficulty));
    }
    /// Sets the maximum number of validator permits of a subnet.
    25: sudo_set_max_allowed_validators(netuid: NetUid, max_allowed_validators: u16) by root_of(netuid) {
        let max = subtensor::MaxAllowedUids::<T>::get(netuid);
        ensure!(max_allowed_validators <= max, Error::<T>::MaxValidatorsLargerThanMaxUIds);
        subtensor::MaxAllowedValidators::<T>::insert(netuid, max_allowed_validators);
        emit::<T>(SubtensorEvent::MaxAllowedValidatorsSet(netuid, max_allowed_validators));
    }
    /// Sets the weight of old bonds in their moving average, in parts of 1 000 000.
    26: sudo_set_bonds_moving_average(netuid: NetUid, bonds_moving_average: u64)
        by owner_if(
            bonds_moving_average <= MAX_BONDS_MOVING_AVERAGE,
            Error::<T>::BondsMovingAverageMaxReached,
            netuid,
            Hyperparameter::BondsMovingAverage
        ) {
        subtensor::BondsMovingAverage::<T>::insert(netuid, bonds_moving_average);
        emit::<T>(SubtensorEvent::BondsMovingAverageSet(netuid, bonds_moving_average));
    }
    /// Sets the maximum number of registrations per block.
    27: sudo_set_max_registrations_per_block(netuid: NetUid, max_registrations_per_block: u16) by root_of(netuid) {
        subtensor::MaxRegistrationsPerBlock::<T>::insert(netuid, max_registrations_per_block);
        emit::<T>(SubtensorEvent::MaxRegistrationsPerBlockSet(netuid, max_registrations_per_block));
    }
    /// Sets the owners' cut of their subnets' emission, in parts of 65 535.
    28: sudo_set_subnet_owner_cut(subnet_owner_cut: u16) by root() {
        subtensor::SubnetOwnerCut::<T>::put(subnet_owner_cut);
        emit::<T>(SubtensorEvent::SubnetOwnerCutSet(subnet_owner_cut));
    }
    /// Sets the minimum interval between creations of subnets, in blocks.
    29: sudo_set_network_rate_limit(rate_limit: u64) by root() {
        subtensor::NetworkRateLimit::<T>::put(rate_limit);
        emit::<T>(SubtensorEvent::NetworkRateLimitSet(rate_limit));
    }
    /// Sets a subnet's tempo, and restarts its epoch cycle. Owners may set 360 to 50 400 blocks.
    30: sudo_set_tempo(netuid: NetUid, tempo: u16) by for_tempo(netuid, OWNER_TEMPOS.contains(&tempo)) {
        subtensor::Pallet::<T>::restart_with_tempo(netuid, tempo);
    }
    /// Deprecated and always refused.
    33: sudo_set_total_issuance(total_issuance: TaoBalance) by anyone() {
        Self::refuse(total_issuance, Error::Deprecated)?;
    }
    /// Sets the immunity period of new subnets, in blocks.
    35: sudo_set_network_immunity_period(immunity_period: u64) by root() {
        subtensor::NetworkImmunityPeriod::<T>::put(immunity_period);
        emit::<T>(SubtensorEvent::NetworkImmunityPeriodSet(immunity_period));
    }
    /// Sets the minimum cost of creating a subnet, in rao.
    36: sudo_set_network_min_lock_cost(lock_cost: TaoBalance) by root() {
        subtensor::NetworkMinLockCost::<T>::put(lock_cost);
        emit::<T>(SubtensorEvent::NetworkMinLockCostSet(lock_cost));
    }
    /// Sets the maximum number of subnets.
    37: sudo_set_subnet_limit(max_subnets: u16) by root() {
        subtensor::SubnetLimit::<T>::put(max_subnets);
        emit::<T>(SubtensorEvent::SubnetLimitSet(max_subnets));
    }
    /// Sets the interval over which the cost of creating a subnet falls, in blocks.
    38: sudo_set_lock_reduction_interval(interval: u64) by root() {
        subtensor::NetworkLockReductionInterval::<T>::put(interval);
        emit::<T>(SubtensorEvent::NetworkLockCostReductionIntervalSet(interval));
    }
    /// Sets the total TAO paid for registrations on a subnet, in rao.
    39: sudo_set_rao_recycled(netuid: NetUid, rao_recycled: TaoBalance) by root_of(netuid) {
        subtensor::RAORecycledForRegistration::<T>::insert(netuid, rao_recycled);
        emit::<T>(SubtensorEvent::RAORecycledForRegistrationSet(netuid, rao_recycled));
    }
    /// Sets the minimum stake that a hotkey needs to set weights, in rao.
    42: sudo_set_stake_threshold(min_stake: u64) by root() {
        subtensor::StakeThreshold::<T>::put(min_stake);
        emit::<T>(SubtensorEvent::StakeThresholdSet(min_stake));
    }
    /// Sets the minimum stake of a nominator, in rao. If it rises, smaller stakes are sold.
    43: sudo_set_nominator_min_required_stake(min_stake: u64) by root() {
        subtensor::Pallet::<T>::set_nominator_min_required_stake(min_stake);
    }
    /// Sets the minimum interval between increases of a hotkey's take, in blocks.
    45: sudo_set_tx_delegate_take_rate_limit(tx_rate_limit: u64) by root() {
        subtensor::TxDelegateTakeRateLimit::<T>::put(tx_rate_limit);
        emit::<T>(SubtensorEvent::TxDelegateTakeRateLimitSet(tx_rate_limit));
    }
    /// Sets the minimum delegate take, in parts of 65 535.
    46: sudo_set_min_delegate_take(take: PerU16) by root() {
        subtensor::MinDelegateTake::<T>::put(take);
        emit::<T>(SubtensorEvent::MinDelegateTakeSet(take));
    }
    /// Enables or disables commit-reveal of weights.
    49: sudo_set_commit_reveal_weights_enabled(netuid: NetUid, enabled: bool)
        by owner(netuid, Hyperparameter::CommitRevealEnabled) {
        subtensor::CommitRevealWeightsEnabled::<T>::insert(netuid, enabled);
        emit::<T>(SubtensorEvent::CommitRevealEnabled(netuid, enabled));
    }
    /// Enables or disables liquid alpha.
    50: sudo_set_liquid_alpha_enabled(netuid: NetUid, enabled: bool)
        by owner_of_any(netuid, Hyperparameter::LiquidAlphaEnabled) {
        subtensor::LiquidAlphaOn::<T>::insert(netuid, enabled);
    }
    /// Sets the lower and upper bound of liquid alpha, in parts of 65 535.
    51: sudo_set_alpha_values(netuid: NetUid, alpha_low: u16, alpha_high: u16)
        by owner_of_any(netuid, Hyperparameter::AlphaValues) {
        Self::set_alpha_values(netuid, alpha_low, alpha_high)?;
    }
    /// Sets the delay of the dissolution of a subnet, in blocks; stored for clients: dissolution
    /// has no delay.
    55: sudo_set_dissolve_network_schedule_duration(duration: u32) by root() {
        subtensor::DissolveNetworkScheduleDuration::<T>::put(duration);
        emit::<T>(SubtensorEvent::DissolveNetworkScheduleDurationSet(duration));
    }
    /// Sets the reveal period of committed weights, in epochs.
    57: sudo_set_commit_reveal_weights_interval(netuid: NetUid, interval: u64)
        by owner(netuid, Hyperparameter::WeightCommitInterval) {
        ensure!(interval <= *REVEAL_PERIODS.end(), subtensor::Error::<T>::RevealPeriodTooLarge);
        ensure!(interval >= *REVEAL_PERIODS.start(), subtensor::Error::<T>::RevealPeriodTooSmall);
        subtensor::RevealPeriodEpochs::<T>::insert(netuid, interval);
        emit::<T>(SubtensorEvent::CommitRevealPeriodsSet(netuid, interval));
    }
    /// Sets the bonds penalty, in parts of 65 535: the reduction of weights above consensus before
    /// they become bonds.
    60: sudo_set_bonds_penalty(netuid: NetUid, bonds_penalty: u16) by owner(netuid, Hyperparameter::BondsPenalty) {
        subtensor::BondsPenalty::<T>::insert(netuid, bonds_penalty);
        emit::<T>(SubtensorEvent::BondsPenaltySet(netuid, bonds_penalty));
    }
    /// Enables or disables stake transfers to other coldkeys on a subnet.
    61: sudo_set_toggle_transfer(netuid: NetUid, toggle: bool)
        by owner_of_any(netuid, Hyperparameter::TransferEnabled) {
        subtensor::TransferToggle::<T>::insert(netuid, toggle);
        emit::<T>(SubtensorEvent::TransferToggle(netuid, toggle));
    }
    /// Sets the smoothing factor of the subnets' moving prices.
    63: sudo_set_subnet_moving_alpha(alpha: I96F32) by root() {
        subtensor::SubnetMovingAlpha::<T>::put(alpha);
    }
    /// Sets the halving period of a subnet's moving price, in blocks.
    65: sudo_set_ema_price_halving_period(netuid: NetUid, ema_halving: u64) by root_of_any(netuid) {
        subtensor::EMAPriceHalvingBlocks::<T>::insert(netuid, ema_halving);
    }
    /// Enables or disables trading of a subnet's alpha.
    66: sudo_set_subtoken_enabled(netuid: NetUid, subtoken_enabled: bool) by root_of_any(netuid) {
        subtensor::SubtokenEnabled::<T>::insert(netuid, subtoken_enabled);
    }
    /// Sets the hotkey of a subnet's owner.
    67: sudo_set_sn_owner_hotkey(netuid: NetUid, hotkey: T::AccountId) by for_owner_hotkey(netuid) {
        subtensor::Pallet::<T>::set_owner_hotkey(netuid, hotkey)?;
    }
    /// Sets the steepness of liquid alpha's curve, in hundredths.
    68: sudo_set_alpha_sigmoid_steepness(netuid: NetUid, steepness: i16)
        by owner_if(steepness >= 0, Error::<T>::NegativeSigmoidSteepness, netuid, Hyperparameter::AlphaSigmoidSteepness) {
        subtensor::AlphaSigmoidSteepness::<T>::insert(netuid, steepness);
        emit::<T>(SubtensorEvent::AlphaSigmoidSteepnessSet(netuid, steepness));
    }
    /// Enables or disables Yuma 3.
    69: sudo_set_yuma3_enabled(netuid: NetUid, enabled: bool) by owner_of_any(netuid, Hyperparameter::Yuma3Enabled) {
        subtensor::Yuma3On::<T>::insert(netuid, enabled);
        Self::deposit_event(Event::Yuma3EnableToggled { netuid, enabled });
    }
    /// Enables or disables bond resets by miners.
    70: sudo_set_bonds_reset_enabled(netuid: NetUid, enabled: bool)
        by owner_of_any(netuid, Hyperparameter::BondsResetEnabled) {
        subtensor::BondsResetOn::<T>::insert(netuid, enabled);
        emit::<T>(SubtensorEvent::BondsResetOnSet(netuid, enabled));
        Self::deposit_event(Event::BondsResetToggled { netuid, enabled });
    }
    /// Sets the accepted version of timelocked commits.
    71: sudo_set_commit_reveal_version(version: u16) by root() {
        subtensor::CommitRevealWeightsVersion::<T>::put(version);
        emit::<T>(SubtensorEvent::CommitRevealVersionSet(version));
    }
    /// Sets the maximum number of the owner's hotkeys that are never pruned.
    72: sudo_set_owner_immune_neuron_limit(netuid: NetUid, immune_neurons: u16)
        by owner_of_any(netuid, Hyperparameter::ImmuneNeuronLimit) {
        ensure!(IMMUNE_OWNER_UIDS.contains(&immune_neurons), subtensor::Error::<T>::InvalidValue);
        subtensor::ImmuneOwnerUidsLimit::<T>::insert(netuid, immune_neurons);
    }
    /// Sets the part of the dividends of parents with another owner that is recycled, in parts of
    /// 2⁶⁴.
    73: sudo_set_ck_burn(burn: u64) by root() {
        subtensor::CKBurn::<T>::put(burn);
    }
    /// Sets the length of the freeze window before an epoch, in blocks. Within it, owners cannot
    /// change settings.
    74: sudo_set_admin_freeze_window(window: u16) by root() {
        subtensor::AdminFreezeWindow::<T>::put(window);
        emit::<T>(SubtensorEvent::AdminFreezeWindowSet(window));
    }
    /// Sets the minimum interval between an owner's changes to one setting, in epochs.
    75: sudo_set_owner_hparam_rate_limit(epochs: u16) by root() {
        subtensor::OwnerHyperparamRateLimit::<T>::put(epochs);
        emit::<T>(SubtensorEvent::OwnerHyperparamRateLimitSet(epochs));
    }
    /// Sets the number of mechanisms of a subnet.
    76: sudo_set_mechanism_count(netuid: NetUid, mechanism_count: MechId)
        by owner_of_any(netuid, LimitedAction::MechanismCount) {
        Self::check_mechanism_count(netuid, mechanism_count)?;
        subtensor::Pallet::<T>::set_mechanism_count(netuid, mechanism_count);
    }
    /// Sets how a subnet's emission is split among its mechanisms, in parts of 65 535.
    77: sudo_set_mechanism_emission_split(netuid: NetUid, maybe_split: Option<Vec<u16>>)
        by owner_of_any(netuid, LimitedAction::MechanismSplit) {
        Self::set_emission_split(netuid, maybe_split)?;
    }
    /// Trims a subnet to a maximum number of neurons, by removing the neurons with the lowest
    /// emission.
    78: sudo_trim_to_max_allowed_uids(netuid: NetUid, max_n: u16) by owner_of_any(netuid, LimitedAction::Trimming) {
        subtensor::Pallet::<T>::trim_to_max_allowed_uids(netuid, max_n)?;
    }
    /// Sets the lower limit for a subnet's maximum number of neurons.
    79: sudo_set_min_allowed_uids(netuid: NetUid, min_allowed_uids: u16) by root_of(netuid) {
        Self::check_min_allowed_uids(netuid, min_allowed_uids)?;
        subtensor::MinAllowedUids::<T>::insert(netuid, min_allowed_uids);
        emit::<T>(SubtensorEvent::MinAllowedUidsSet(netuid, min_allowed_uids));
    }
    /// Sets whether emission withheld from the owner's miners is recycled or burned.
    80: sudo_set_recycle_or_burn(netuid: NetUid, recycle_or_burn: RecycleOrBurnEnum)
        by owner_of_any(netuid, Hyperparameter::RecycleOrBurn) {
        subtensor::RecycleOrBurn::<T>::insert(netuid, recycle_or_burn);
    }
    /// Sets the TAO flow below which a subnet receives no emission; stored for clients: emission
    /// does not follow flows.
    81: sudo_set_tao_flow_cutoff(flow_cutoff: I64F64) by root() {
        subtensor::TaoFlowCutoff::<T>::put(flow_cutoff);
    }
    /// Sets the exponent applied to TAO flows, within `1..=2`; stored for clients: emission does
    /// not follow flows.
    82: sudo_set_tao_flow_normalization_exponent(exponent: U64F64) by root() {
        ensure!((U64F64::from_num(1)..=U64F64::from_num(2)).contains(&exponent), Error::<T>::InvalidValue);
        subtensor::FlowNormExponent::<T>::put(exponent);
    }
    /// Sets the smoothing factor of TAO flows; stored for clients: emission does not follow flows.
    83: sudo_set_tao_flow_smoothing_factor(smoothing_factor: u64) by root() {
        subtensor::FlowEmaSmoothingFactor::<T>::put(smoothing_factor);
    }
    /// Sets the minimum number of non-immune neurons of a subnet.
    84: sudo_set_min_non_immune_uids(netuid: NetUid, min: u16) by root_of_any(netuid) {
        subtensor::MinNonImmuneUids::<T>::insert(netuid, min);
        emit::<T>(SubtensorEvent::MinNonImmuneUidsSet(netuid, min));
    }
    /// Sets the delay before an owner can start a subnet, in blocks.
    85: sudo_set_start_call_delay(delay: u64) by root() {
        subtensor::StartCallDelay::<T>::put(delay);
        emit::<T>(SubtensorEvent::StartCallDelaySet(delay));
    }
    /// Sets the delay between announcement and coldkey swap, in blocks.
    86: sudo_set_coldkey_swap_announcement_delay(duration: u32) by root() {
        subtensor::ColdkeySwapAnnouncementDelay::<T>::put(duration);
        emit::<T>(SubtensorEvent::ColdkeySwapAnnouncementDelaySet(duration));
    }
    /// Sets the delay before a coldkey swap can be announced again, in blocks.
    87: sudo_set_coldkey_swap_reannouncement_delay(duration: u32) by root() {
        subtensor::ColdkeySwapReannouncementDelay::<T>::put(duration);
        emit::<T>(SubtensorEvent::ColdkeySwapReannouncementDelaySet(duration));
    }
    /// Sets the maximum number of mechanisms of a subnet.
    88: sudo_set_max_mechanism_count(max_mechanism_count: MechId) by root() {
        Self::check_max_mechanism_count(max_mechanism_count)?;
        subtensor::MaxMechanismCount::<T>::put(max_mechanism_count);
    }
    /// Sets the half-life of a subnet's registration price, in blocks.
    89: sudo_set_burn_half_life(netuid: NetUid, burn_half_life: u16) by owner(netuid, Hyperparameter::BurnHalfLife) {
        Self::check_burn_half_life(netuid, burn_half_life)?;
        subtensor::BurnHalfLife::<T>::insert(netuid, burn_half_life);
        emit::<T>(SubtensorEvent::BurnHalfLifeSet { netuid, burn_half_life });
        Self::deposit_event(Event::BurnHalfLifeSet { netuid, burn_half_life });
    }
    /// Sets the factor by which a registration raises the registration price, within `1..=3`.
    90: sudo_set_burn_increase_mult(netuid: NetUid, burn_increase_mult: U64F64)
        by owner(netuid, Hyperparameter::BurnIncreaseMult) {
        Self::ensure_not_root(netuid)?;
        ensure!((U64F64::from_num(1)..=U64F64::from_num(3)).contains(&burn_increase_mult), Error::<T>::InvalidValue);
        subtensor::BurnIncreaseMult::<T>::insert(netuid, burn_increase_mult);
        emit::<T>(SubtensorEvent::BurnIncreaseMultSet { netuid, burn_increase_mult });
        Self::deposit_event(Event::BurnIncreaseMultSet { netuid, burn_increase_mult });
    }
    /// Sets whether TAO flows are measured net of protocol flows; stored for clients: emission does
    /// not follow flows.
    91: sudo_set_net_tao_flow_enabled(enabled: bool) by root() {
        subtensor::NetTaoFlowEnabled::<T>::put(enabled);
    }
    /// Enables or disables the owner's cut of a subnet's emission.
    92: sudo_set_owner_cut_enabled(netuid: NetUid, enabled: bool) by owner_unlimited(netuid) {
        Self::ensure_not_root(netuid)?;
        subtensor::OwnerCutEnabled::<T>::insert(netuid, enabled);
    }
    /// Sets the minimum child key take on a subnet, in parts of 65 535.
    93: sudo_set_min_childkey_take_per_subnet(netuid: NetUid, take: PerU16)
        by owner(netuid, Hyperparameter::MinChildkeyTake) {
        Self::check_childkey_take(take)?;
        subtensor::MinChildkeyTakePerSubnet::<T>::insert(netuid, take);
        emit::<T>(SubtensorEvent::MinChildKeyTakePerSubnetSet(netuid, take));
    }
    /// Enables or disables TAO emission to a subnet.
    94: sudo_set_subnet_emission_enabled(netuid: NetUid, enabled: bool) by root_of(netuid) {
        Self::ensure_not_root(netuid)?;
        subtensor::SubnetEmissionEnabled::<T>::insert(netuid, enabled);
        Self::deposit_event(Event::SubnetEmissionEnabledSet { netuid, enabled });
    }
    /// Sets whether the owner's cut of a subnet's emission is locked.
    95: sudo_set_owner_cut_auto_lock_enabled(netuid: NetUid, enabled: bool) by owner_unlimited(netuid) {
        Self::ensure_not_root(netuid)?;
        subtensor::OwnerCutAutoLockEnabled::<T>::insert(netuid, enabled);
    }
    /// Sets the maximum number of epochs per block.
    96: sudo_set_max_epochs_per_block(max_epochs_per_block: u8) by root() {
        ensure!(max_epochs_per_block > 0, Error::<T>::ValueNotInBounds);
        subtensor::MaxEpochsPerBlock::<T>::put(max_epochs_per_block);
        emit::<T>(SubtensorEvent::MaxEpochsPerBlockSet(max_epochs_per_block));
    }
    /// Sets the activity cutoff factor, in thousandths of an epoch.
    97: sudo_set_activity_cutoff_factor(netuid: NetUid, factor_milli: u32)
        by for_cutoff_factor(netuid, CUTOFF_FACTORS.contains(&factor_milli)) {
        subtensor::Pallet::<T>::set_activity_cutoff_factor_within_bounds(netuid, factor_milli)?;
    }
    /// Sets the part of the registration price that is locked as collateral, in parts of 65 535; at
    /// most 95 %.
    98: sudo_set_collateral_lock_share(netuid: NetUid, lock_share: u16)
        by owner(netuid, Hyperparameter::CollateralLockShare) {
        Self::ensure_not_root(netuid)?;
        ensure!(lock_share <= MAX_COLLATERAL_LOCK_SHARE, Error::<T>::CollateralLockShareTooHigh);
        subtensor::CollateralLockShare::<T>::insert(netuid, lock_share);
        Self::deposit_event(Event::CollateralLockShareSet { netuid, lock_share });
    }
    /// Sets the alpha of a miner's collateral that is released per alpha of emission, above 0 and
    /// at most 10.
    99: sudo_set_collateral_drain_ratio(netuid: NetUid, drain_ratio: U64F64)
        by owner(netuid, Hyperparameter::CollateralDrainRatio) {
        Self::ensure_not_root(netuid)?;
        let is_allowed = drain_ratio > U64F64::from_num(0) && drain_ratio <= U64F64::from_num(10);
        ensure!(is_allowed, Error::<T>::CollateralDrainRatioOutOfBounds);
        subtensor::CollateralDrainRatio::<T>::insert(netuid, drain_ratio);
        Self::deposit_event(Event::CollateralDrainRatioSet { netuid, drain_ratio });
    }
    /// Sets the sum of the shares at and above the emission bar, between 0 and 1. It applies if the
    /// bar's rank is 0.
    100: sudo_set_emission_bar_quantile(quantile: U64F64) by root() {
        let is_fraction = quantile > U64F64::from_num(0) && quantile < U64F64::from_num(1);
        ensure!(is_fraction, Error::<T>::InvalidValue);
        subtensor::EmissionBarQuantile::<T>::put(quantile);
    }
    /// Sets the steepness of the emission gate, within `1..=8`.
    101: sudo_set_emission_gate_exponent(exponent: U64F64) by root() {
        ensure!((U64F64::from_num(1)..=U64F64::from_num(8)).contains(&exponent), Error::<T>::InvalidValue);
        subtensor::EmissionGateExponent::<T>::put(exponent);
    }
    /// Sets the rank of the share that becomes the emission bar; with 0, the quantile determines
    /// the bar.
    102: sudo_set_emission_bar_rank(rank: u16) by root() {
        subtensor::EmissionBarRank::<T>::put(rank);
    }
    /// Sets which epoch's consensus liquid alpha compares weights with.
    104: sudo_set_liquid_alpha_consensus_mode(netuid: NetUid, mode: ConsensusMode)
        by owner_of_any(netuid, Hyperparameter::LiquidAlphaConsensusMode) {
        subtensor::LiquidAlphaConsensusMode::<T>::insert(netuid, mode);
        emit::<T>(SubtensorEvent::LiquidAlphaConsensusModeSet(netuid, mode));
    }
}
