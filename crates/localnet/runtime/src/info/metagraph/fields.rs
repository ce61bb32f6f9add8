//! Field list of the metagraph, shared by its complete and selective layouts.

#![allow(clippy::redundant_closure_for_method_calls, reason = "all fields are read in one form")]

use codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use sp_runtime::{AccountId32, PerU16};
use substrate_fixed::types::I96F32;

use super::source::Source;
use crate::commitments;
use crate::info::dynamic::{name, pending_alpha};
use crate::info::state::registration_blocks;
use crate::info::{compact, text};
use crate::subtensor::types::{AxonInfo, ChainIdentityV2, SubnetIdentityV3};
use crate::subtensor::{
    Active, AdjustmentAlpha, AdjustmentInterval, AlphaValues, BondsMovingAverage, Burn,
    CommitRevealWeightsEnabled, Consensus, Difficulty, Dividends, Emission, ImmunityPeriod,
    Incentive, Kappa, LastMechansimStepBlock, LastUpdate, LiquidAlphaOn, MaxAllowedUids,
    MaxAllowedValidators, MaxBurn, MaxDifficulty, MaxRegistrationsPerBlock, MaxWeightsLimit,
    MinAllowedWeights, MinBurn, MinDifficulty, NetworkPowRegistrationAllowed, NetworkRegisteredAt,
    NetworkRegistrationAllowed, Pallet, RevealPeriodEpochs, Rho, ServingRateLimit, SubnetAlphaIn,
    SubnetAlphaInEmission, SubnetAlphaOut, SubnetAlphaOutEmission, SubnetIdentitiesV3,
    SubnetMovingPrice, SubnetOwner, SubnetOwnerHotkey, SubnetTAO, SubnetTaoInEmission,
    SubnetVolume, SubnetworkN, TargetRegistrationsPerInterval, Tempo, TokenSymbol, ValidatorPermit,
    WeightsSetRateLimit, WeightsVersionKey,
};
use crate::types::{AlphaBalance, MechId, NetUid, TaoBalance};

/// Defines the metagraph structs. Each line is a field: its selection index, name, type and reader.
macro_rules! metagraph {
    (
        both { $($(#[$a_doc:meta])* $a_number:literal $a:ident: $a_type:ty = $a_read:expr,)* }
        selective { $($(#[$b_doc:meta])* $b_number:literal $b:ident: $b_type:ty = $b_read:expr,)* }
        both { $($(#[$c_doc:meta])* $c_number:literal $c:ident: $c_type:ty = $c_read:expr,)* }
    ) => {
        /// The complete metagraph of a subnet.
        #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
        pub struct Metagraph {
            /// Netuid of the subnet.
            pub netuid: Compact<NetUid>,
            $($(#[$a_doc])* pub $a: $a_type,)*
            $($(#[$c_doc])* pub $c: $c_type,)*
        }

        /// Selected fields of a metagraph.
        #[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, TypeInfo)]
        pub struct SelectiveMetagraph {
            /// Netuid of the subnet.
            pub netuid: Compact<NetUid>,
            $($(#[$a_doc])* pub $a: Option<$a_type>,)*
            $($(#[$b_doc])* pub $b: Option<$b_type>,)*
            $($(#[$c_doc])* pub $c: Option<$c_type>,)*
        }

        impl Metagraph {
            /// Reads the metagraph of a mechanism; `None` if the subnet or the mechanism does not
            /// exist.
            pub fn read<T: commitments::Config>(netuid: NetUid, mecid: MechId) -> Option<Self> {
                let source = Source::of::<T>(netuid, mecid)?;
                Some(Self {
                    netuid: Compact(netuid),
                    $($a: field(&source, $a_read),)*
                    $($c: field(&source, $c_read),)*
                })
            }
        }

        impl SelectiveMetagraph {
            /// Reads the fields with these indices; `None` if the subnet or the mechanism does not
            /// exist.
            pub fn read<T: commitments::Config>(netuid: NetUid, mecid: MechId, numbers: &[u16]) -> Option<Self> {
                let source = Source::of::<T>(netuid, mecid)?;
                let requested_fields = numbers.iter().fold(0_u128, |set, number| {
                    set | 1_u128.checked_shl(u32::from(*number)).unwrap_or(0)
                });
                Some(Self {
                    netuid: Compact(netuid),
                    $($a: has_bit(requested_fields, $a_number).then(|| field(&source, $a_read)),)*
                    $($b: has_bit(requested_fields, $b_number).then(|| field(&source, $b_read)),)*
                    $($c: has_bit(requested_fields, $c_number).then(|| field(&source, $c_read)),)*
                })
            }
        }
    };
}

fn has_bit(set: u128, number: u32) -> bool {
    set >> number & 1 == 1
}

fn field<Value>(source: &Source, read: fn(&Source) -> Value) -> Value {
    read(source)
}

metagraph! {
    both {
        /// The subnet's name, in UTF-8.
        1 name: Vec<Compact<u8>> = |of| text(&name::<T>(of.netuid)),
        /// Symbol of the subnet's alpha, in UTF-8.
        2 symbol: Vec<Compact<u8>> = |of| text(&TokenSymbol::<T>::get(of.netuid)),
        /// The subnet's identity.
        3 identity: Option<SubnetIdentityV3> = |of| SubnetIdentitiesV3::<T>::get(of.netuid),
        /// Block of the subnet's creation.
        4 network_registered_at: Compact<u64> = |of| Compact(NetworkRegisteredAt::<T>::get(of.netuid)),
        /// Hotkey of the subnet's owner.
        5 owner_hotkey: AccountId32 = |of| SubnetOwnerHotkey::<T>::get(of.netuid),
        /// Coldkey of the subnet's owner.
        6 owner_coldkey: AccountId32 = |of| SubnetOwner::<T>::get(of.netuid),
        /// Block at which the metagraph was read.
        7 block: Compact<u64> = |_| Compact(Pallet::<T>::current_block()),
        /// Tempo of the subnet: the number of blocks per epoch.
        8 tempo: Compact<u16> = |of| Compact(Tempo::<T>::get(of.netuid)),
        /// Block of the subnet's last epoch.
        9 last_step: Compact<u64> = |of| Compact(LastMechansimStepBlock::<T>::get(of.netuid)),
        /// Number of blocks since the subnet's last epoch.
        10 blocks_since_last_step: Compact<u64> = |of| Compact(Pallet::<T>::schedule(of.netuid).blocks_since_epoch),
        /// Subnet emission; always 0, because the chain no longer uses it.
        11 subnet_emission: Compact<u64> = |_| Compact(0),
        /// Alpha in the subnet's pool.
        12 alpha_in: Compact<AlphaBalance> = |of| Compact(SubnetAlphaIn::<T>::get(of.netuid)),
        /// Issued alpha outside the subnet's pool.
        13 alpha_out: Compact<AlphaBalance> = |of| Compact(SubnetAlphaOut::<T>::get(of.netuid)),
        /// TAO in the subnet's pool.
        14 tao_in: Compact<TaoBalance> = |of| Compact(SubnetTAO::<T>::get(of.netuid)),
        /// Alpha emitted to the subnet's participants in the last block.
        15 alpha_out_emission: Compact<AlphaBalance> = |of| Compact(SubnetAlphaOutEmission::<T>::get(of.netuid)),
        /// Alpha added to the subnet's pool by the last block's emission.
        16 alpha_in_emission: Compact<AlphaBalance> = |of| Compact(SubnetAlphaInEmission::<T>::get(of.netuid)),
        /// TAO added to the subnet's pool by the last block's emission.
        17 tao_in_emission: Compact<TaoBalance> = |of| Compact(SubnetTaoInEmission::<T>::get(of.netuid)),
        /// Alpha that the next epoch distributes to miners and validators.
        18 pending_alpha_emission: Compact<AlphaBalance> = |of| Compact(pending_alpha::<T>(of.netuid)),
        /// Pending root emission; always 0, since root is paid in alpha.
        19 pending_root_emission: Compact<TaoBalance> = |_| Compact(TaoBalance::ZERO),
        /// Total volume traded in the subnet's pool, in rao.
        20 subnet_volume: Compact<u128> = |of| Compact(SubnetVolume::<T>::get(of.netuid)),
        /// Moving average of the alpha price, in TAO.
        21 moving_price: I96F32 = |of| SubnetMovingPrice::<T>::get(of.netuid),
        /// Rho, the steepness of an older consensus formula; unused, stored for clients.
        22 rho: Compact<u16> = |of| Compact(Rho::<T>::get(of.netuid)),
        /// Kappa: the share of stake that must support a weight, in parts of 65 535.
        23 kappa: Compact<u16> = |of| Compact(Kappa::<T>::get(of.netuid)),
        /// Minimum number of weights that a validator must set.
        24 min_allowed_weights: Compact<u16> = |of| Compact(MinAllowedWeights::<T>::get(of.netuid)),
        /// Maximum weight after normalisation, in parts of 65 535.
        25 max_weights_limit: Compact<u16> = |of| Compact(MaxWeightsLimit::<T>::get(of.netuid)),
        /// Minimum version key of a weight submission.
        26 weights_version: Compact<u64> = |of| Compact(WeightsVersionKey::<T>::get(of.netuid)),
        /// Minimum interval between a neuron's weight submissions, in blocks.
        27 weights_rate_limit: Compact<u64> = |of| Compact(WeightsSetRateLimit::<T>::get(of.netuid)),
        /// Number of blocks without a weight submission after which a validator is inactive.
        28 activity_cutoff: Compact<u64> = |of| Compact(Pallet::<T>::activity_cutoff(of.netuid)),
        /// Maximum number of validator permits.
        29 max_validators: Compact<u16> = |of| Compact(MaxAllowedValidators::<T>::get(of.netuid)),
        /// Number of neurons.
        30 num_uids: Compact<u16> = |of| Compact(SubnetworkN::<T>::get(of.netuid)),
        /// Maximum number of neurons.
        31 max_uids: Compact<u16> = |of| Compact(MaxAllowedUids::<T>::get(of.netuid)),
        /// Current registration price, in rao.
        32 burn: Compact<TaoBalance> = |of| Compact(Burn::<T>::get(of.netuid)),
        /// Proof-of-work difficulty; unused, stored for clients.
        33 difficulty: Compact<u64> = |of| Compact(Difficulty::<T>::get(of.netuid)),
        /// Whether registration is enabled.
        34 registration_allowed: bool = |of| NetworkRegistrationAllowed::<T>::get(of.netuid),
        /// Whether proof-of-work registration is enabled; unused, stored for clients.
        35 pow_registration_allowed: bool = |of| NetworkPowRegistrationAllowed::<T>::get(of.netuid),
        /// Immunity period of new neurons, in blocks.
        36 immunity_period: Compact<u16> = |of| Compact(ImmunityPeriod::<T>::get(of.netuid)),
        /// Minimum proof-of-work difficulty; unused, stored for clients.
        37 min_difficulty: Compact<u64> = |of| Compact(MinDifficulty::<T>::get(of.netuid)),
        /// Maximum proof-of-work difficulty; unused, stored for clients.
        38 max_difficulty: Compact<u64> = |of| Compact(MaxDifficulty::<T>::get(of.netuid)),
        /// Minimum registration price, in rao.
        39 min_burn: Compact<TaoBalance> = |of| Compact(MinBurn::<T>::get(of.netuid)),
        /// Maximum registration price, in rao.
        40 max_burn: Compact<TaoBalance> = |of| Compact(MaxBurn::<T>::get(of.netuid)),
        /// Smoothing factor of registration adjustments; unused, stored for clients.
        41 adjustment_alpha: Compact<u64> = |of| Compact(AdjustmentAlpha::<T>::get(of.netuid)),
        /// Interval between registration adjustments, in blocks; unused, stored for clients.
        42 adjustment_interval: Compact<u16> = |of| Compact(AdjustmentInterval::<T>::get(of.netuid)),
        /// Target number of registrations per interval; enforced only on root.
        43 target_regs_per_interval: Compact<u16> = |of| Compact(TargetRegistrationsPerInterval::<T>::get(of.netuid)),
        /// Maximum number of registrations per block; enforced only on root.
        44 max_regs_per_block: Compact<u16> = |of| Compact(MaxRegistrationsPerBlock::<T>::get(of.netuid)),
        /// Minimum interval between a neuron's endpoint announcements, in blocks.
        45 serving_rate_limit: Compact<u64> = |of| Compact(ServingRateLimit::<T>::get(of.netuid)),
        /// Whether commit-reveal of weights is enabled.
        46 commit_reveal_weights_enabled: bool = |of| CommitRevealWeightsEnabled::<T>::get(of.netuid),
        /// Reveal period of committed weights, in epochs.
        47 commit_reveal_period: Compact<u64> = |of| Compact(RevealPeriodEpochs::<T>::get(of.netuid)),
        /// Whether liquid alpha is enabled.
        48 liquid_alpha_enabled: bool = |of| LiquidAlphaOn::<T>::get(of.netuid),
        /// Upper bound of liquid alpha, in parts of 65 535.
        49 alpha_high: Compact<u16> = |of| Compact(AlphaValues::<T>::get(of.netuid).1),
        /// Lower bound of liquid alpha, in parts of 65 535.
        50 alpha_low: Compact<u16> = |of| Compact(AlphaValues::<T>::get(of.netuid).0),
        /// Weight of old bonds in their moving average, in parts of 1 000 000.
        51 bonds_moving_avg: Compact<u64> = |of| Compact(BondsMovingAverage::<T>::get(of.netuid)),
        /// Hotkey of each neuron, by uid.
        52 hotkeys: Vec<AccountId32> = |of| of.neurons.hotkeys::<T>().to_vec(),
        /// Coldkey that owns each neuron's hotkey, by uid.
        53 coldkeys: Vec<AccountId32> = |of| of.neurons.coldkeys::<T>().to_vec(),
        /// Identity of each neuron's coldkey, by uid; `None` if it has none.
        54 identities: Vec<Option<ChainIdentityV2>> = |of| of.identities::<T>(),
        /// Axon endpoint of each neuron, by uid.
        55 axons: Vec<AxonInfo> = |of| of.axons::<T>(),
        /// Whether each neuron was active at the last epoch, by uid.
        56 active: Vec<bool> = |of| Active::<T>::get(of.netuid),
        /// Whether each neuron has a validator permit, by uid.
        57 validator_permit: Vec<bool> = |of| ValidatorPermit::<T>::get(of.netuid),
        /// Pruning scores; always empty, because the chain no longer computes them.
        58 pruning_score: Vec<Compact<u16>> = |_| Vec::new(),
        /// Block of each neuron's last weight submission, by uid.
        59 last_update: Vec<Compact<u64>> = |of| compact(LastUpdate::<T>::get(of.index)),
        /// Alpha that each neuron earned at the last epoch, by uid.
        60 emission: Vec<Compact<AlphaBalance>> = |of| compact(Emission::<T>::get(of.netuid)),
        /// Each neuron's share of the validators' emission (dividends), by uid.
        61 dividends: Vec<Compact<PerU16>> = |of| compact(Dividends::<T>::get(of.netuid)),
        /// Each neuron's share of the miners' emission (incentive), by uid.
        62 incentives: Vec<Compact<PerU16>> = |of| compact(Incentive::<T>::get(of.index)),
        /// Consensus weight of each neuron, by uid.
        63 consensus: Vec<Compact<PerU16>> = |of| compact(Consensus::<T>::get(of.netuid)),
        /// Trust; always empty, because the chain no longer computes it.
        64 trust: Vec<Compact<PerU16>> = |_| Vec::new(),
        /// Ranks; always empty, because the chain no longer computes them.
        65 rank: Vec<Compact<u16>> = |_| Vec::new(),
        /// Registration block of each neuron, by uid.
        66 block_at_registration: Vec<Compact<u64>> = |of| compact(registration_blocks::<T>(of.netuid)),
        /// Alpha stake of each neuron in the subnet, by uid.
        67 alpha_stake: Vec<Compact<AlphaBalance>> = |of| compact(of.neurons.stakes::<T>().alpha.clone()),
        /// TAO stake of each neuron on root, by uid.
        68 tao_stake: Vec<Compact<TaoBalance>> = |of| compact(of.neurons.stakes::<T>().tao.clone()),
        /// Total stake of each neuron (alpha plus weighted TAO), by uid.
        69 total_stake: Vec<Compact<TaoBalance>> = |of| compact(of.neurons.stakes::<T>().total.clone()),
        /// TAO dividends of each hotkey; always 0, since root stake earns alpha.
        70 tao_dividends_per_hotkey: Vec<(AccountId32, Compact<TaoBalance>)> = |of| of.tao_dividends::<T>(),
        /// Alpha dividends of each hotkey at the last epoch.
        71 alpha_dividends_per_hotkey: Vec<(AccountId32, Compact<AlphaBalance>)> = |of| of.alpha_dividends::<T>(),
    }
    selective {
        /// Uids of the neurons with a validator permit and enough stake to set weights, by
        /// ascending stake.
        72 validators: Vec<Compact<u16>> = |of| of.validators::<T>(),
        /// Commitment of each hotkey, in its stored encoding.
        73 commitments: Vec<(AccountId32, Vec<Compact<u8>>)> = |of| of.commitments::<T>(),
    }
    both {
        /// Locked collateral of each neuron, by uid.
        74 collateral_locked: Vec<Compact<AlphaBalance>> = |of| of.collateral::<T>(|state| state.locked),
        /// Minimum collateral of each neuron, by uid.
        75 collateral_min: Vec<Compact<AlphaBalance>> = |of| of.collateral::<T>(|state| state.min_locked),
        /// Emission that each neuron earned with its collateral, by uid.
        76 collateral_earned: Vec<Compact<AlphaBalance>> = |of| of.collateral::<T>(|state| state.earned),
    }
}
