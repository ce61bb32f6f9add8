//! Hyperparameters of a subnet, in the layouts of three client versions.

use codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use substrate_fixed::types::{I32F32, U64F64};

use crate::subtensor::{
    ActivityCutoffFactorMilli, AdjustmentAlpha, AdjustmentInterval, AlphaSigmoidSteepness,
    AlphaValues, BondsMovingAverage, BondsResetOn, BurnHalfLife, BurnIncreaseMult,
    CommitRevealWeightsEnabled, Config, Difficulty, ImmunityPeriod, Kappa, LiquidAlphaOn,
    MaxAllowedValidators, MaxBurn, MaxDifficulty, MaxRegistrationsPerBlock, MaxWeightsLimit,
    MinAllowedWeights, MinBurn, MinChildkeyTakePerSubnet, MinDifficulty,
    NetworkRegistrationAllowed, NetworksAdded, OwnerCutEnabled, Pallet, RevealPeriodEpochs, Rho,
    ServingRateLimit, SubtokenEnabled, TargetRegistrationsPerInterval, Tempo, TransferToggle,
    WeightsSetRateLimit, WeightsVersionKey, Yuma3On,
};
use crate::types::{NetUid, TaoBalance};

macro_rules! hyperparams {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $read:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
        pub struct $name {
            /// Rho, the steepness of an older consensus formula; unused, stored for clients.
            pub rho: Compact<u16>,
            /// Kappa: the share of stake that must support a weight, in parts of 65 535.
            pub kappa: Compact<u16>,
            /// Immunity period of new neurons, in blocks.
            pub immunity_period: Compact<u16>,
            /// Minimum number of weights that a validator must set.
            pub min_allowed_weights: Compact<u16>,
            /// Maximum weight after normalisation, in parts of 65 535.
            pub max_weights_limit: Compact<u16>,
            /// Tempo of the subnet: the number of blocks per epoch.
            pub tempo: Compact<u16>,
            /// Minimum proof-of-work difficulty; unused, stored for clients.
            pub min_difficulty: Compact<u64>,
            /// Maximum proof-of-work difficulty; unused, stored for clients.
            pub max_difficulty: Compact<u64>,
            /// Minimum version key of a weight submission.
            pub weights_version: Compact<u64>,
            /// Minimum interval between a neuron's weight submissions, in blocks.
            pub weights_rate_limit: Compact<u64>,
            /// Interval between registration adjustments, in blocks; unused, stored for clients.
            pub adjustment_interval: Compact<u16>,
            /// Number of blocks without a weight submission after which a validator is inactive.
            pub activity_cutoff: Compact<u64>,
            /// Whether registration is enabled.
            pub registration_allowed: bool,
            /// Target number of registrations per interval; enforced only on root.
            pub target_regs_per_interval: Compact<u16>,
            /// Minimum registration price, in rao.
            pub min_burn: Compact<TaoBalance>,
            /// Maximum registration price, in rao.
            pub max_burn: Compact<TaoBalance>,
            /// Weight of old bonds in their moving average, in parts of 1 000 000.
            pub bonds_moving_avg: Compact<u64>,
            /// Maximum number of registrations per block; enforced only on root.
            pub max_regs_per_block: Compact<u16>,
            /// Minimum interval between a neuron's endpoint announcements, in blocks.
            pub serving_rate_limit: Compact<u64>,
            /// Maximum number of validator permits.
            pub max_validators: Compact<u16>,
            /// Smoothing factor of registration adjustments; unused, stored for clients.
            pub adjustment_alpha: Compact<u64>,
            /// Proof-of-work difficulty; unused, stored for clients.
            pub difficulty: Compact<u64>,
            /// Reveal period of committed weights, in epochs.
            pub commit_reveal_period: Compact<u64>,
            /// Whether commit-reveal of weights is enabled.
            pub commit_reveal_weights_enabled: bool,
            /// Upper bound of liquid alpha, in parts of 65 535.
            pub alpha_high: Compact<u16>,
            /// Lower bound of liquid alpha, in parts of 65 535.
            pub alpha_low: Compact<u16>,
            /// Whether liquid alpha is enabled.
            pub liquid_alpha_enabled: bool,
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            /// Reads the hyperparameters of a subnet; `None` if the subnet does not exist.
            pub fn read<T: Config>(netuid: NetUid) -> Option<Self> {
                if !NetworksAdded::<T>::get(netuid) {
                    return None;
                }
                let (alpha_low, alpha_high) = AlphaValues::<T>::get(netuid);
                Some(Self {
                    rho: Compact(Rho::<T>::get(netuid)),
                    kappa: Compact(Kappa::<T>::get(netuid)),
                    immunity_period: Compact(ImmunityPeriod::<T>::get(netuid)),
                    min_allowed_weights: Compact(MinAllowedWeights::<T>::get(netuid)),
                    max_weights_limit: Compact(MaxWeightsLimit::<T>::get(netuid)),
                    tempo: Compact(Tempo::<T>::get(netuid)),
                    min_difficulty: Compact(MinDifficulty::<T>::get(netuid)),
                    max_difficulty: Compact(MaxDifficulty::<T>::get(netuid)),
                    weights_version: Compact(WeightsVersionKey::<T>::get(netuid)),
                    weights_rate_limit: Compact(WeightsSetRateLimit::<T>::get(netuid)),
                    adjustment_interval: Compact(AdjustmentInterval::<T>::get(netuid)),
                    activity_cutoff: Compact(Pallet::<T>::activity_cutoff(netuid)),
                    registration_allowed: NetworkRegistrationAllowed::<T>::get(netuid),
                    target_regs_per_interval: Compact(TargetRegistrationsPerInterval::<T>::get(netuid)),
                    min_burn: Compact(MinBurn::<T>::get(netuid)),
                    max_burn: Compact(MaxBurn::<T>::get(netuid)),
                    bonds_moving_avg: Compact(BondsMovingAverage::<T>::get(netuid)),
                    max_regs_per_block: Compact(MaxRegistrationsPerBlock::<T>::get(netuid)),
                    serving_rate_limit: Compact(ServingRateLimit::<T>::get(netuid)),
                    max_validators: Compact(MaxAllowedValidators::<T>::get(netuid)),
                    adjustment_alpha: Compact(AdjustmentAlpha::<T>::get(netuid)),
                    difficulty: Compact(Difficulty::<T>::get(netuid)),
                    commit_reveal_period: Compact(RevealPeriodEpochs::<T>::get(netuid)),
                    commit_reveal_weights_enabled: CommitRevealWeightsEnabled::<T>::get(netuid),
                    alpha_high: Compact(alpha_high),
                    alpha_low: Compact(alpha_low),
                    liquid_alpha_enabled: LiquidAlphaOn::<T>::get(netuid),
                    $($field: {
                        let read: fn(NetUid) -> $type = $read;
                        read(netuid)
                    },)*
                })
            }
        }
    };
}

hyperparams! {
    /// Hyperparameters of a subnet in the layout of the oldest clients.
    SubnetHyperparams {}
}

hyperparams! {
    /// Hyperparameters of a subnet in the layout of bittensor 9.
    SubnetHyperparamsV2 {
        /// Steepness of liquid alpha's curve, in hundredths.
        alpha_sigmoid_steepness: I32F32 = steepness::<T>,
        /// Yuma version, 2 or 3.
        yuma_version: Compact<u16> = |netuid| Compact(yuma_version::<T>(netuid)),
        /// Whether trading of the subnet's alpha is enabled.
        subnet_is_active: bool = |netuid| SubtokenEnabled::<T>::get(netuid),
        /// Whether stake transfers to other coldkeys are enabled.
        transfers_enabled: bool = |netuid| TransferToggle::<T>::get(netuid),
        /// Whether bond resets by miners are enabled.
        bonds_reset_enabled: bool = |netuid| BondsResetOn::<T>::get(netuid),
        /// Whether users can provide liquidity; always false, since pools accept none.
        user_liquidity_enabled: bool = |_| false,
    }
}

/// A hyperparameter with its name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
pub struct HyperparamEntry {
    /// Name of the hyperparameter.
    pub name: Vec<u8>,
    /// Value of the hyperparameter.
    pub value: HyperparamValue,
}

/// The value of a hyperparameter, with its type.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
#[allow(missing_docs, reason = "each variant has the name of its type")]
pub enum HyperparamValue {
    Bool(bool),
    U16(Compact<u16>),
    U32(Compact<u32>),
    U64(Compact<u64>),
    U128(Compact<u128>),
    TaoBalance(Compact<TaoBalance>),
    I32F32(I32F32),
    U64F64(U64F64),
}

macro_rules! value_from {
    ($($type:ty => $variant:ident $(($compact:ident))?,)*) => {
        $(impl From<$type> for HyperparamValue {
            fn from(value: $type) -> Self {
                Self::$variant($($compact)?(value))
            }
        })*
    };
}

value_from! {
    bool => Bool,
    u16 => U16(Compact),
    u32 => U32(Compact),
    u64 => U64(Compact),
    TaoBalance => TaoBalance(Compact),
    I32F32 => I32F32,
    U64F64 => U64F64,
}

fn steepness<T: Config>(netuid: NetUid) -> I32F32 {
    I32F32::from_num(AlphaSigmoidSteepness::<T>::get(netuid))
}

fn yuma_version<T: Config>(netuid: NetUid) -> u16 {
    if Yuma3On::<T>::get(netuid) { 3 } else { 2 }
}

/// Returns a subnet's hyperparameters with their names, in the real chain's order; `None` if the
/// subnet does not exist.
pub fn entries<T: Config>(netuid: NetUid) -> Option<Vec<HyperparamEntry>> {
    if !NetworksAdded::<T>::get(netuid) {
        return None;
    }
    let (alpha_low, alpha_high) = AlphaValues::<T>::get(netuid);
    let values: [(&str, HyperparamValue); 33] = [
        ("kappa", Kappa::<T>::get(netuid).into()),
        ("immunity_period", ImmunityPeriod::<T>::get(netuid).into()),
        ("min_allowed_weights", MinAllowedWeights::<T>::get(netuid).into()),
        ("max_weights_limit", MaxWeightsLimit::<T>::get(netuid).into()),
        ("tempo", Tempo::<T>::get(netuid).into()),
        ("weights_version", WeightsVersionKey::<T>::get(netuid).into()),
        ("weights_rate_limit", WeightsSetRateLimit::<T>::get(netuid).into()),
        ("activity_cutoff", Pallet::<T>::activity_cutoff(netuid).into()),
        ("activity_cutoff_factor", ActivityCutoffFactorMilli::<T>::get(netuid).into()),
        ("registration_allowed", NetworkRegistrationAllowed::<T>::get(netuid).into()),
        ("target_regs_per_interval", TargetRegistrationsPerInterval::<T>::get(netuid).into()),
        ("min_burn", MinBurn::<T>::get(netuid).into()),
        ("max_burn", MaxBurn::<T>::get(netuid).into()),
        ("burn_half_life", BurnHalfLife::<T>::get(netuid).into()),
        ("burn_increase_mult", BurnIncreaseMult::<T>::get(netuid).into()),
        ("bonds_moving_avg", BondsMovingAverage::<T>::get(netuid).into()),
        ("max_regs_per_block", MaxRegistrationsPerBlock::<T>::get(netuid).into()),
        ("serving_rate_limit", ServingRateLimit::<T>::get(netuid).into()),
        ("max_validators", MaxAllowedValidators::<T>::get(netuid).into()),
        ("commit_reveal_period", RevealPeriodEpochs::<T>::get(netuid).into()),
        ("commit_reveal_weights_enabled", CommitRevealWeightsEnabled::<T>::get(netuid).into()),
        ("alpha_high", alpha_high.into()),
        ("alpha_low", alpha_low.into()),
        ("liquid_alpha_enabled", LiquidAlphaOn::<T>::get(netuid).into()),
        ("alpha_sigmoid_steepness", steepness::<T>(netuid).into()),
        ("yuma_version", yuma_version::<T>(netuid).into()),
        ("subnet_is_active", SubtokenEnabled::<T>::get(netuid).into()),
        ("transfers_enabled", TransferToggle::<T>::get(netuid).into()),
        ("bonds_reset_enabled", BondsResetOn::<T>::get(netuid).into()),
        ("user_liquidity_enabled", false.into()),
        ("owner_cut_enabled", OwnerCutEnabled::<T>::get(netuid).into()),
        ("owner_cut_auto_lock_enabled", false.into()),
        ("min_childkey_take", MinChildkeyTakePerSubnet::<T>::get(netuid).deconstruct().into()),
    ];
    Some(
        values
            .into_iter()
            .map(|(name, value)| HyperparamEntry { name: name.into(), value })
            .collect(),
    )
}
