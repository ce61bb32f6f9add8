//! Field list of the metagraph, shared by its complete and selective layouts.

#![allow(clippy::redundant_closure_for_method_calls, reason = "all fields are read in one form")]

use codec::{Compact, Decode, Encode};
use scale_info::TypeInfo;
use sp_runtime::{AccountId32, PerU16};
use substrate_fixed::types::I96F32;

use super::source::MetagraphReader;
use crate::commitments;
use crate::info::dynamic::{pending_alpha, subnet_name};
use crate::info::state::registration_blocks;
use crate::info::{compact, compact_text};
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
        both { $($(#[$a_doc:meta])* $a_index:literal $a:ident: $a_type:ty = $a_read:expr,)* }
        selective { $($(#[$b_doc:meta])* $b_index:literal $b:ident: $b_type:ty = $b_read:expr,)* }
        both { $($(#[$c_doc:meta])* $c_index:literal $c:ident: $c_type:ty = $c_read:expr,)* }
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
                let reader = MetagraphReader::new::<T>(netuid, mecid)?;
                Some(Self {
                    netuid: Compact(netuid),
                    $($a: field(&reader, $a_read),)*
                    $($c: field(&reader, $c_read),)*
                })
            }
        }

        impl SelectiveMetagraph {
            /// Reads the fields with these indices; `None` if the subnet or the mechanism does not
            /// exist.
            pub fn read<T: commitments::Config>(netuid: NetUid, mecid: MechId, indices: &[u16]) -> Option<Self> {
                let reader = MetagraphReader::new::<T>(netuid, mecid)?;
                let requested_fields = indices.iter().fold(0_u128, |bits, index| {
                    bits | 1_u128.checked_shl(u32::from(*index)).unwrap_or(0)
                });
                Some(Self {
                    netuid: Compact(netuid),
                    $($a: has_bit(requested_fields, $a_index).then(|| field(&reader, $a_read)),)*
                    $($b: has_bit(requested_fields, $b_index).then(|| field(&reader, $b_read)),)*
                    $($c: has_bit(requested_fields, $c_index).then(|| field(&reader, $c_read)),)*
                })
            }
        }
    };
}

fn has_bit(bits: u128, index: u32) -> bool {
    bits >> index & 1 == 1
}

/// Reads a field. The signature determines the parameter type of the closure.
fn field<Value>(reader: &MetagraphReader, read: fn(&MetagraphReader) -> Value) -> Value {
    read(reader)
}

metagraph! {
    both {
        /// The subnet's name, in UTF-8.
        1 name: Vec<Compact<u8>> = |reader| compact_text(&subnet_name::<T>(reader.netuid)),
        /// Symbol of the subnet's alpha, in UTF-8.
        2 symbol: Vec<Compact<u8>> = |reader| compact_text(&TokenSymbol::<T>::get(reader.netuid)),
        /// The subnet's identity.
        3 identity: Option<SubnetIdentityV3> = |reader| SubnetIdentitiesV3::<T>::get(reader.netuid),
        /// Block of the subnet's creation.
        4 network_registered_at: Compact<u64> =
            |reader| Compact(NetworkRegisteredAt::<T>::get(reader.netuid)),
        /// Hotkey of the subnet's owner.
        5 owner_hotkey: AccountId32 = |reader| SubnetOwnerHotkey::<T>::get(reader.netuid),
        /// Coldkey of the subnet's owner.
        6 owner_coldkey: AccountId32 = |reader| SubnetOwner::<T>::get(reader.netuid),
        /// Block at which the metagraph was read.
        7 block: Compact<u64> = |_| Compact(Pallet::<T>::current_block()),
        /// Tempo of the subnet: the number of blocks per epoch.
        8 tempo: Compact<u16> = |reader| Compact(Tempo::<T>::get(reader.netuid)),
        /// Block of the subnet's last epoch.
        9 last_step: Compact<u64> =
            |reader| Compact(LastMechansimStepBlock::<T>::get(reader.netuid)),
        /// Number of blocks since the subnet's last epoch.
        10 blocks_since_last_step: Compact<u64> =
            |reader| Compact(Pallet::<T>::schedule(reader.netuid).blocks_since_epoch),
        /// Subnet emission; always 0, because the chain no longer uses it.
        11 subnet_emission: Compact<u64> = |_| Compact(0),
        /// Alpha in the subnet's pool.
        12 alpha_in: Compact<AlphaBalance> =
            |reader| Compact(SubnetAlphaIn::<T>::get(reader.netuid)),
        /// Issued alpha outside the subnet's pool.
        13 alpha_out: Compact<AlphaBalance> =
            |reader| Compact(SubnetAlphaOut::<T>::get(reader.netuid)),
        /// TAO in the subnet's pool.
        14 tao_in: Compact<TaoBalance> = |reader| Compact(SubnetTAO::<T>::get(reader.netuid)),
        /// Alpha emitted to the subnet's participants in the last block.
        15 alpha_out_emission: Compact<AlphaBalance> =
            |reader| Compact(SubnetAlphaOutEmission::<T>::get(reader.netuid)),
        /// Alpha added to the subnet's pool by the last block's emission.
        16 alpha_in_emission: Compact<AlphaBalance> =
            |reader| Compact(SubnetAlphaInEmission::<T>::get(reader.netuid)),
        /// TAO added to the subnet's pool by the last block's emission.
        17 tao_in_emission: Compact<TaoBalance> =
            |reader| Compact(SubnetTaoInEmission::<T>::get(reader.netuid)),
        /// Alpha that the next epoch distributes to miners and validators.
        18 pending_alpha_emission: Compact<AlphaBalance> =
            |reader| Compact(pending_alpha::<T>(reader.netuid)),
        /// Pending root emission; always 0, since root is paid in alpha.
        19 pending_root_emission: Compact<TaoBalance> = |_| Compact(TaoBalance::ZERO),
        /// Total volume traded in the subnet's pool, in rao.
        20 subnet_volume: Compact<u128> = |reader| Compact(SubnetVolume::<T>::get(reader.netuid)),
        /// Moving average of the alpha price, in TAO.
        21 moving_price: I96F32 = |reader| SubnetMovingPrice::<T>::get(reader.netuid),
        /// Rho, the steepness of an older consensus formula; unused, stored for clients.
        22 rho: Compact<u16> = |reader| Compact(Rho::<T>::get(reader.netuid)),
        /// Kappa: the share of stake that must support a weight, in parts of 65 535.
        23 kappa: Compact<u16> = |reader| Compact(Kappa::<T>::get(reader.netuid)),
        /// Minimum number of weights that a validator must set.
        24 min_allowed_weights: Compact<u16> =
            |reader| Compact(MinAllowedWeights::<T>::get(reader.netuid)),
        /// Maximum weight after normalisation, in parts of 65 535.
        25 max_weights_limit: Compact<u16> =
            |reader| Compact(MaxWeightsLimit::<T>::get(reader.netuid)),
        /// Minimum version key of a weight submission.
        26 weights_version: Compact<u64> =
            |reader| Compact(WeightsVersionKey::<T>::get(reader.netuid)),
        /// Minimum interval between a neuron's weight submissions, in blocks.
        27 weights_rate_limit: Compact<u64> =
            |reader| Compact(WeightsSetRateLimit::<T>::get(reader.netuid)),
        /// Number of blocks without a weight submission after which a validator is inactive.
        28 activity_cutoff: Compact<u64> =
            |reader| Compact(Pallet::<T>::activity_cutoff(reader.netuid)),
        /// Maximum number of validator permits.
        29 max_validators: Compact<u16> =
            |reader| Compact(MaxAllowedValidators::<T>::get(reader.netuid)),
        /// Number of neurons.
        30 num_uids: Compact<u16> = |reader| Compact(SubnetworkN::<T>::get(reader.netuid)),
        /// Maximum number of neurons.
        31 max_uids: Compact<u16> = |reader| Compact(MaxAllowedUids::<T>::get(reader.netuid)),
        /// Current registration price, in rao.
        32 burn: Compact<TaoBalance> = |reader| Compact(Burn::<T>::get(reader.netuid)),
        /// Proof-of-work difficulty; unused, stored for clients.
        33 difficulty: Compact<u64> = |reader| Compact(Difficulty::<T>::get(reader.netuid)),
        /// Whether registration is enabled.
        34 registration_allowed: bool =
            |reader| NetworkRegistrationAllowed::<T>::get(reader.netuid),
        /// Whether proof-of-work registration is enabled; unused, stored for clients.
        35 pow_registration_allowed: bool =
            |reader| NetworkPowRegistrationAllowed::<T>::get(reader.netuid),
        /// Immunity period of new neurons, in blocks.
        36 immunity_period: Compact<u16> =
            |reader| Compact(ImmunityPeriod::<T>::get(reader.netuid)),
        /// Minimum proof-of-work difficulty; unused, stored for clients.
        37 min_difficulty: Compact<u64> = |reader| Compact(MinDifficulty::<T>::get(reader.netuid)),
        /// Maximum proof-of-work difficulty; unused, stored for clients.
        38 max_difficulty: Compact<u64> = |reader| Compact(MaxDifficulty::<T>::get(reader.netuid)),
        /// Minimum registration price, in rao.
        39 min_burn: Compact<TaoBalance> = |reader| Compact(MinBurn::<T>::get(reader.netuid)),
        /// Maximum registration price, in rao.
        40 max_burn: Compact<TaoBalance> = |reader| Compact(MaxBurn::<T>::get(reader.netuid)),
        /// Smoothing factor of registration adjustments; unused, stored for clients.
        41 adjustment_alpha: Compact<u64> =
            |reader| Compact(AdjustmentAlpha::<T>::get(reader.netuid)),
        /// Interval between registration adjustments, in blocks; unused, stored for clients.
        42 adjustment_interval: Compact<u16> =
            |reader| Compact(AdjustmentInterval::<T>::get(reader.netuid)),
        /// Target number of registrations per interval; enforced only on root.
        43 target_regs_per_interval: Compact<u16> =
            |reader| Compact(TargetRegistrationsPerInterval::<T>::get(reader.netuid)),
        /// Maximum number of registrations per block; enforced only on root.
        44 max_regs_per_block: Compact<u16> =
            |reader| Compact(MaxRegistrationsPerBlock::<T>::get(reader.netuid)),
        /// Minimum interval between a neuron's endpoint announcements, in blocks.
        45 serving_rate_limit: Compact<u64> =
            |reader| Compact(ServingRateLimit::<T>::get(reader.netuid)),
        /// Whether commit-reveal of weights is enabled.
        46 commit_reveal_weights_enabled: bool =
            |reader| CommitRevealWeightsEnabled::<T>::get(reader.netuid),
        /// Reveal period of committed weights, in epochs.
        47 commit_reveal_period: Compact<u64> =
            |reader| Compact(RevealPeriodEpochs::<T>::get(reader.netuid)),
        /// Whether liquid alpha is enabled.
        48 liquid_alpha_enabled: bool = |reader| LiquidAlphaOn::<T>::get(reader.netuid),
        /// Upper bound of liquid alpha, in parts of 65 535.
        49 alpha_high: Compact<u16> = |reader| Compact(AlphaValues::<T>::get(reader.netuid).1),
        /// Lower bound of liquid alpha, in parts of 65 535.
        50 alpha_low: Compact<u16> = |reader| Compact(AlphaValues::<T>::get(reader.netuid).0),
        /// Weight of old bonds in their moving average, in parts of 1 000 000.
        51 bonds_moving_avg: Compact<u64> =
            |reader| Compact(BondsMovingAverage::<T>::get(reader.netuid)),
        /// Hotkey of each neuron, by uid.
        52 hotkeys: Vec<AccountId32> = |reader| reader.neurons.hotkeys::<T>().to_vec(),
        /// Coldkey that owns each neuron's hotkey, by uid.
        53 coldkeys: Vec<AccountId32> = |reader| reader.neurons.coldkeys::<T>().to_vec(),
        /// Identity of each neuron's coldkey, by uid; `None` if it has none.
        54 identities: Vec<Option<ChainIdentityV2>> = |reader| reader.identities::<T>(),
        /// Axon endpoint of each neuron, by uid.
        55 axons: Vec<AxonInfo> = |reader| reader.axons::<T>(),
        /// Whether each neuron was active at the last epoch, by uid.
        56 active: Vec<bool> = |reader| Active::<T>::get(reader.netuid),
        /// Whether each neuron has a validator permit, by uid.
        57 validator_permit: Vec<bool> = |reader| ValidatorPermit::<T>::get(reader.netuid),
        /// Pruning scores; always empty, because the chain no longer computes them.
        58 pruning_score: Vec<Compact<u16>> = |_| Vec::new(),
        /// Block of each neuron's last weight submission, by uid.
        59 last_update: Vec<Compact<u64>> = |reader| compact(LastUpdate::<T>::get(reader.index)),
        /// Alpha that each neuron earned at the last epoch, by uid.
        60 emission: Vec<Compact<AlphaBalance>> =
            |reader| compact(Emission::<T>::get(reader.netuid)),
        /// Each neuron's share of the validators' emission (dividends), by uid.
        61 dividends: Vec<Compact<PerU16>> = |reader| compact(Dividends::<T>::get(reader.netuid)),
        /// Each neuron's share of the miners' emission (incentive), by uid.
        62 incentives: Vec<Compact<PerU16>> = |reader| compact(Incentive::<T>::get(reader.index)),
        /// Consensus weight of each neuron, by uid.
        63 consensus: Vec<Compact<PerU16>> = |reader| compact(Consensus::<T>::get(reader.netuid)),
        /// Trust; always empty, because the chain no longer computes it.
        64 trust: Vec<Compact<PerU16>> = |_| Vec::new(),
        /// Ranks; always empty, because the chain no longer computes them.
        65 rank: Vec<Compact<u16>> = |_| Vec::new(),
        /// Registration block of each neuron, by uid.
        66 block_at_registration: Vec<Compact<u64>> =
            |reader| compact(registration_blocks::<T>(reader.netuid)),
        /// Alpha stake of each neuron in the subnet, by uid.
        67 alpha_stake: Vec<Compact<AlphaBalance>> =
            |reader| compact(reader.neurons.stakes::<T>().alpha.clone()),
        /// TAO stake of each neuron on root, by uid.
        68 tao_stake: Vec<Compact<TaoBalance>> =
            |reader| compact(reader.neurons.stakes::<T>().tao.clone()),
        /// Total stake of each neuron (alpha plus weighted TAO), by uid.
        69 total_stake: Vec<Compact<TaoBalance>> =
            |reader| compact(reader.neurons.stakes::<T>().total.clone()),
        /// TAO dividends of each hotkey; always 0, since root stake earns alpha.
        70 tao_dividends_per_hotkey: Vec<(AccountId32, Compact<TaoBalance>)> =
            |reader| reader.tao_dividends::<T>(),
        /// Alpha dividends of each hotkey at the last epoch.
        71 alpha_dividends_per_hotkey: Vec<(AccountId32, Compact<AlphaBalance>)> =
            |reader| reader.alpha_dividends::<T>(),
    }
    selective {
        /// Uids of the neurons with a validator permit and enough stake to set weights, by
        /// ascending stake.
        72 validators: Vec<Compact<u16>> = |reader| reader.validators::<T>(),
        /// Commitment of each hotkey, in its stored encoding.
        73 commitments: Vec<(AccountId32, Vec<Compact<u8>>)> = |reader| reader.commitments::<T>(),
    }
    both {
        /// Locked collateral of each neuron, by uid.
        74 collateral_locked: Vec<Compact<AlphaBalance>> =
            |reader| reader.collateral::<T>(|state| state.locked),
        /// Minimum collateral of each neuron, by uid.
        75 collateral_min: Vec<Compact<AlphaBalance>> =
            |reader| reader.collateral::<T>(|state| state.min_locked),
        /// Emission that each neuron earned with its collateral, by uid.
        76 collateral_earned: Vec<Compact<AlphaBalance>> =
            |reader| reader.collateral::<T>(|state| state.earned),
    }
}
