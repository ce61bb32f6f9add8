//! Values that the pallet stores.

use std::collections::BTreeSet;

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, traits::ConstU32};
use scale_info::TypeInfo;
use substrate_fixed::types::U64F64;

use crate::types::{AlphaBalance, NetUid};

/// The endpoint of a miner, as it announced it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct AxonInfo {
    /// The block of the announcement.
    pub block: u64,
    /// The version of the software.
    pub version: u32,
    /// The address as a number.
    pub ip: u128,
    /// The port.
    pub port: u16,
    /// 4 or 6.
    pub ip_type: u8,
    /// 4 by convention.
    pub protocol: u8,
    /// Not used.
    pub placeholder1: u8,
    /// Not used.
    pub placeholder2: u8,
}

/// The metrics endpoint of a neuron.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct PrometheusInfo {
    /// The block of the announcement.
    pub block: u64,
    /// The version of the software.
    pub version: u32,
    /// The address as a number.
    pub ip: u128,
    /// The port.
    pub port: u16,
    /// 4 or 6.
    pub ip_type: u8,
}

/// The public key with which an endpoint speaks TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub struct NeuronCertificate {
    /// The key.
    pub public_key: BoundedVec<u8, ConstU32<64>>,
    /// Its kind.
    pub algorithm: u8,
}

/// What a coldkey says about itself, UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct ChainIdentityV2 {
    /// Its name.
    pub name: Vec<u8>,
    /// Its web page.
    pub url: Vec<u8>,
    /// Its sources.
    pub github_repo: Vec<u8>,
    /// Its picture.
    pub image: Vec<u8>,
    /// Its Discord handle.
    pub discord: Vec<u8>,
    /// A description.
    pub description: Vec<u8>,
    /// Anything else.
    pub additional: Vec<u8>,
}

/// What an owner says about a subnet, UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct SubnetIdentityV3 {
    /// The subnet's name.
    pub subnet_name: Vec<u8>,
    /// Its sources.
    pub github_repo: Vec<u8>,
    /// Whom to ask.
    pub subnet_contact: Vec<u8>,
    /// Its web page.
    pub subnet_url: Vec<u8>,
    /// Its Discord channel.
    pub discord: Vec<u8>,
    /// A description.
    pub description: Vec<u8>,
    /// Its picture.
    pub logo_url: Vec<u8>,
    /// Anything else.
    pub additional: Vec<u8>,
}

/// A positive number with a decimal exponent: mantissa · 10^exponent. Shares in stake are counted in it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct SafeFloat {
    /// The digits.
    pub mantissa: u128,
    /// The power of ten.
    pub exponent: i64,
}

/// A lock on stake.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct LockState {
    /// Alpha that is locked.
    pub locked_mass: AlphaBalance,
    /// How long it has been, weighted by the amount.
    pub conviction: U64F64,
    /// The block of these values.
    pub last_update: u64,
}

/// What becomes of the dividends that root stake claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum RootClaimTypeEnum {
    /// They are sold, and the TAO is staked on root.
    #[default]
    Swap,
    /// They stay in their subnets.
    Keep,
    /// They stay in these subnets, and are sold in all others.
    KeepSubnets {
        /// The subnets.
        subnets: BTreeSet<NetUid>,
    },
}

/// What becomes of emission withheld from the owner's own miners.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum RecycleOrBurnEnum {
    /// It counts as issued and belongs to nobody.
    #[default]
    Burn,
    /// It can be issued again.
    Recycle,
}

/// Which consensus liquid alpha compares weights with.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum ConsensusMode {
    /// That of the epoch being computed.
    Current,
    /// That of the epoch before, as stored.
    Previous,
    /// The chain's choice, which here is [`Self::Current`]: the recorded epochs of the real chain follow it.
    #[default]
    Auto,
}

/// An action whose last block is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum RateLimitKey<AccountId> {
    /// The owner named its hotkey.
    #[codec(index = 0)]
    SetSNOwnerHotkey(NetUid),
    /// The owner changed a hyper-parameter.
    #[codec(index = 1)]
    OwnerHyperparamUpdate(NetUid, Hyperparameter),
    /// A subnet was created.
    #[codec(index = 2)]
    NetworkLastRegistered,
    /// A coldkey moved stake.
    #[codec(index = 3)]
    LastTxBlock(AccountId),
    /// A hotkey changed its take from parents.
    #[codec(index = 4)]
    LastTxBlockChildKeyTake(AccountId),
    /// A hotkey changed its take.
    #[codec(index = 5)]
    LastTxBlockDelegateTake(AccountId),
    /// Alpha was bought and burned.
    #[codec(index = 6)]
    AddStakeBurn(NetUid),
}

/// A hyper-parameter whose changes by the owner are rate-limited; named as its setter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
#[allow(missing_docs)]
pub enum Hyperparameter {
    Unknown,
    ServingRateLimit,
    MaxDifficulty,
    AdjustmentAlpha,
    MaxWeightLimit,
    ImmunityPeriod,
    MinAllowedWeights,
    Kappa,
    Rho,
    ActivityCutoff,
    PowRegistrationAllowed,
    MinBurn,
    MaxBurn,
    BondsMovingAverage,
    BondsPenalty,
    CommitRevealEnabled,
    LiquidAlphaEnabled,
    AlphaValues,
    WeightCommitInterval,
    TransferEnabled,
    AlphaSigmoidSteepness,
    Yuma3Enabled,
    BondsResetEnabled,
    ImmuneNeuronLimit,
    RecycleOrBurn,
    MaxAllowedUids,
    BurnHalfLife,
    BurnIncreaseMult,
    SubnetEmissionEnabled,
    MinChildkeyTake,
    ActivityCutoffFactorMilli,
    TriggerEpoch,
    CollateralLockShare,
    CollateralDrainRatio,
    LiquidAlphaConsensusMode,
}
