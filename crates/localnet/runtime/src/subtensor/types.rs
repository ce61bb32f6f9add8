//! Types of values in the storage of the Subtensor pallet.

use std::collections::BTreeSet;

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{BoundedVec, traits::ConstU32};
use scale_info::TypeInfo;
use sp_runtime::Percent;
use substrate_fixed::types::U64F64;

use crate::types::{AlphaBalance, NetUid, TaoBalance};

/// Announced axon of a neuron.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub struct AxonInfo {
    /// Block in which the endpoint was announced.
    pub block: u64,
    /// Version of the neuron's software.
    pub version: u32,
    /// IP address, as a number.
    pub ip: u128,
    /// Port of the endpoint.
    pub port: u16,
    /// IP version, 4 or 6.
    pub ip_type: u8,
    /// Protocol number, 4 by convention.
    pub protocol: u8,
    /// Unused placeholder.
    pub placeholder1: u8,
    /// Unused placeholder.
    pub placeholder2: u8,
}

/// The metrics endpoint of a neuron.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub struct PrometheusInfo {
    /// Block in which the endpoint was announced.
    pub block: u64,
    /// Version of the neuron's software.
    pub version: u32,
    /// IP address, as a number.
    pub ip: u128,
    /// Port of the endpoint.
    pub port: u16,
    /// IP version, 4 or 6.
    pub ip_type: u8,
}

/// TLS certificate of an endpoint: its public key.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub struct NeuronCertificate {
    /// Bytes of the public key.
    pub public_key: BoundedVec<u8, ConstU32<64>>,
    /// Number of the key's algorithm.
    pub algorithm: u8,
}

/// Identity of a coldkey; all texts are UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct ChainIdentityV2 {
    /// Displayed name.
    pub name: Vec<u8>,
    /// URL of the website.
    pub url: Vec<u8>,
    /// URL of the source repository.
    pub github_repo: Vec<u8>,
    /// URL of an image or logo.
    pub image: Vec<u8>,
    /// Discord handle.
    pub discord: Vec<u8>,
    /// Description text.
    pub description: Vec<u8>,
    /// Additional information.
    pub additional: Vec<u8>,
}

/// Identity of a subnet; all texts are UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct SubnetIdentityV3 {
    /// The subnet's name.
    pub subnet_name: Vec<u8>,
    /// URL of the source repository.
    pub github_repo: Vec<u8>,
    /// Contact address.
    pub subnet_contact: Vec<u8>,
    /// URL of the website.
    pub subnet_url: Vec<u8>,
    /// Discord channel.
    pub discord: Vec<u8>,
    /// Description text.
    pub description: Vec<u8>,
    /// URL of an image or logo.
    pub logo_url: Vec<u8>,
    /// Additional information.
    pub additional: Vec<u8>,
}

/// A non-negative decimal floating-point number, mantissa · 10^exponent, for shares of stake.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub struct SafeFloat {
    /// Mantissa: the digits of the number as an integer.
    pub mantissa: u128,
    /// Exponent of the power of ten.
    pub exponent: i64,
}

/// A stake lock.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub struct LockState {
    /// Locked amount of alpha.
    pub locked_mass: AlphaBalance,
    /// Conviction: the locked stake, weighted by the time for which it has been locked.
    pub conviction: U64F64,
    /// Block of the last update of the lock.
    pub last_update: u64,
}

/// Handling of claimed root dividends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum RootClaimTypeEnum {
    /// Sells the dividends and stakes the TAO on root.
    #[default]
    Swap,
    /// Keeps the dividends on their subnets.
    Keep,
    /// Keeps the dividends on these subnets, and sells those on all others.
    KeepSubnets {
        /// Subnets whose dividends are not sold.
        subnets: BTreeSet<NetUid>,
    },
}

/// Whether emission withheld from the owner's miners is recycled or burned.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub enum RecycleOrBurnEnum {
    /// Burn the emission: it still counts as issued, without an owner.
    #[default]
    Burn,
    /// Recycle the emission: it can be issued again.
    Recycle,
}

/// The consensus that liquid alpha compares weights with.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub enum ConsensusMode {
    /// Consensus of the current epoch.
    Current,
    /// Stored consensus of the previous epoch.
    Previous,
    /// Automatic choice, which here is [`Self::Current`], as in the recorded epochs of the real
    /// chain.
    #[default]
    Auto,
}

/// How a subnet turns weights into incentives.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
pub enum EpochConsensus {
    /// Yuma consensus.
    #[default]
    Yuma,
    /// The weights themselves, without consensus.
    Null,
}

/// Collateral of a miner's coldkey on its hotkey.
#[derive(
    Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct MinerCollateralState {
    /// Locked alpha.
    pub locked: AlphaBalance,
    /// Alpha that is released per alpha of emission.
    pub drain_ratio: U64F64,
    /// Alpha that stays locked.
    pub min_locked: AlphaBalance,
    /// Alpha emitted to the hotkey since it has had collateral.
    pub earned: AlphaBalance,
}

/// A lease of a subnet, paid by a crowdloan.
#[derive(
    Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct SubnetLease<AccountId> {
    /// The account that operates the subnet.
    pub beneficiary: AccountId,
    /// Owner of the subnet during the lease.
    pub coldkey: AccountId,
    /// Hotkey of the owner.
    pub hotkey: AccountId,
    /// The contributors' part of the owner's emission.
    pub emissions_share: Percent,
    /// Block in which the lease ends; `None` if it does not end.
    pub end_block: Option<u32>,
    /// The subnet.
    pub netuid: NetUid,
    /// The price of the subnet.
    pub cost: TaoBalance,
}

/// Key under which the last block of a rate-limited action is stored.
#[derive(
    Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum RateLimitKey<AccountId> {
    /// The owner of a subnet changed the owner hotkey.
    #[codec(index = 0)]
    SetSNOwnerHotkey(NetUid),
    /// The owner of a subnet changed a hyperparameter.
    #[codec(index = 1)]
    OwnerHyperparamUpdate(NetUid, Hyperparameter),
    /// A subnet was created.
    #[codec(index = 2)]
    NetworkLastRegistered,
    /// A coldkey swapped a hotkey.
    #[codec(index = 3)]
    LastTxBlock(AccountId),
    /// The child key take of a hotkey changed.
    #[codec(index = 4)]
    LastTxBlockChildKeyTake(AccountId),
    /// The take of a hotkey was raised.
    #[codec(index = 5)]
    LastTxBlockDelegateTake(AccountId),
    /// Alpha of a subnet was bought and burned.
    #[codec(index = 6)]
    AddStakeBurn(NetUid),
}

impl<AccountId> RateLimitKey<AccountId> {
    /// Returns the subnet whose actions this key limits; `None` for actions of accounts and of the
    /// whole chain.
    pub const fn netuid(&self) -> Option<NetUid> {
        match self {
            Self::SetSNOwnerHotkey(netuid)
            | Self::OwnerHyperparamUpdate(netuid, _)
            | Self::AddStakeBurn(netuid) => Some(*netuid),
            Self::NetworkLastRegistered
            | Self::LastTxBlock(_)
            | Self::LastTxBlockChildKeyTake(_)
            | Self::LastTxBlockDelegateTake(_) => None,
        }
    }
}

/// A hyperparameter whose changes by the subnet's owner are rate-limited, named after its setter.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
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
