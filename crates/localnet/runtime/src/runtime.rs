//! Configuration of the pallets, and the runtime's types.

use codec::Decode;
use frame_support::traits::{ConstBool, ConstU8, ConstU16, ConstU32, ConstU64, Get, InsideBoth};
use frame_support::weights::Weight;
use frame_support::weights::constants::{RocksDbWeight, WEIGHT_REF_TIME_PER_SECOND};
use frame_support::{PalletId, derive_impl, parameter_types};
use sp_runtime::traits::{BlakeTwo256, IdentifyAccount, Verify};
use sp_runtime::{MultiAddress, Perbill, generic};
use sp_version::{RuntimeVersion, runtime_version};

use crate::call_weights::sdk;
use crate::extensions::{
    ChargeFee, CheckNonce, CheckShieldedTxValidity, DrandPriority, SubtensorTransactionExtension,
    SudoTransactionExtension,
};
use crate::subtensor::defaults::ConstTao;
use crate::{
    admin_utils, alpha_assets, commitments, crowdloan, dev, drand, fees, mev_shield, subtensor,
    swap,
};

pub mod apis;
pub mod calls;
mod filter;

use apis::RUNTIME_API_VERSIONS;
pub use apis::api;
pub use filter::CallFilter;

// Composed at the crate root: clients expect type paths of two segments.
pub(crate) use crate::InherentDataExt;
pub use crate::dev::Signature;
pub use crate::{
    AdminUtils, AllPalletsWithSystem, AlphaAssets, Aura, Balances, Commitments, Crowdloan, Drand,
    MevShield, Multisig, OriginCaller, PalletInfo, Preimage, Proxy, Runtime, RuntimeCall,
    RuntimeError, RuntimeEvent, RuntimeFreezeReason, RuntimeGenesisConfig, RuntimeHoldReason,
    RuntimeOrigin, RuntimeTask, SafeMode, Scheduler, SubtensorModule, Sudo, Swap, System,
    Timestamp, TransactionPayment, Utility,
};

/// A public key of 32 bytes.
pub type AccountId = <<Signature as Verify>::Signer as IdentifyAccount>::AccountId;
/// An amount of TAO, in rao.
pub type Balance = u64;
/// Nonce of an account: the number of its extrinsics so far.
pub type Nonce = u32;
/// The height of a block.
pub type BlockNumber = u32;
/// A BLAKE2b-256 hash.
pub type Hash = sp_core::H256;
/// Address of an account in an extrinsic.
pub type Address = MultiAddress<AccountId, ()>;
/// A block header.
pub type Header = generic::Header<BlockNumber, BlakeTwo256>;
/// Transaction extensions, with the names and order of the real chain.
pub type TxExtension = (
    frame_system::CheckNonZeroSender<Runtime>,
    frame_system::CheckSpecVersion<Runtime>,
    frame_system::CheckTxVersion<Runtime>,
    frame_system::CheckGenesis<Runtime>,
    frame_system::CheckEra<Runtime>,
    CheckNonce,
    frame_system::CheckWeight<Runtime>,
    ChargeFee,
    (
        SudoTransactionExtension,
        CheckShieldedTxValidity,
        SubtensorTransactionExtension,
        DrandPriority,
        frame_metadata_hash_extension::CheckMetadataHash<Runtime>,
    ),
);
/// An extrinsic.
pub type UncheckedExtrinsic =
    generic::UncheckedExtrinsic<Address, RuntimeCall, Signature, TxExtension>;
/// A block.
pub type Block = generic::Block<Header, UncheckedExtrinsic>;
/// The block executor.
pub type Executive = frame_executive::Executive<
    Runtime,
    Block,
    frame_system::ChainContext<Runtime>,
    Runtime,
    AllPalletsWithSystem,
>;

/// Runtime version. Clients cache metadata by its `spec_version`, so increment `spec_version` with
/// every change of the metadata.
#[runtime_version]
pub const VERSION: RuntimeVersion = RuntimeVersion {
    spec_name: std::borrow::Cow::Borrowed("node-subtensor"),
    impl_name: std::borrow::Cow::Borrowed("taonet-localnet"),
    authoring_version: 1,
    spec_version: 1_000_014,
    impl_version: 1,
    apis: RUNTIME_API_VERSIONS,
    transaction_version: 1,
    system_version: 1,
};

/// Slot duration in milliseconds: the block time that clients read.
/// [`crate::genesis::set_block_time`] sets it in the genesis state.
#[derive(Debug)]
pub struct SlotDuration;

impl SlotDuration {
    /// Storage key of the slot duration.
    pub const KEY: &'static [u8] = b":slot_duration";
    /// Default slot duration: the block time of the reference's local network.
    const DEFAULT_SLOT_DURATION: u64 = 250;
}

impl Get<u64> for SlotDuration {
    fn get() -> u64 {
        // The metadata includes this value, and is available without state.
        let stored =
            sp_externalities::with_externalities(|state| state.storage(Self::KEY)).flatten();
        stored
            .and_then(|bytes| u64::decode(&mut bytes.as_slice()).ok())
            .unwrap_or(Self::DEFAULT_SLOT_DURATION)
    }
}

parameter_types! {
    /// Maximum age in blocks of the block that a mortal extrinsic refers to.
    pub const BlockHashCount: BlockNumber = 2_400;
    /// Minimum reserve, in billionths, of the asset that a trade takes out of a pool.
    pub const MinimumReserve: core::num::NonZeroU64 = match core::num::NonZeroU64::new(swap::MIN_RESERVE) {
        Some(min) => min,
        None => core::num::NonZeroU64::MIN,
    };
    /// Identifier from which the accounts of crowdloans are derived.
    pub const CrowdloanId: PalletId = PalletId(*b"bt/cloan");
    /// The runtime version.
    pub const Version: RuntimeVersion = VERSION;
    /// SS58 prefix of addresses.
    pub const SS58Prefix: u16 = 42;
    /// Weight limits: four seconds of execution time per block, three quarters of it for normal
    /// extrinsics.
    pub BlockWeights: frame_system::limits::BlockWeights =
        frame_system::limits::BlockWeights::with_sensible_defaults(
            Weight::from_parts(4 * WEIGHT_REF_TIME_PER_SECOND, u64::MAX),
            Perbill::from_percent(75),
        );
}

#[derive_impl(frame_system::config_preludes::SolochainDefaultConfig)]
impl frame_system::Config for Runtime {
    type BaseCallFilter = InsideBoth<SafeMode, CallFilter>;
    type Block = Block;
    type BlockWeights = BlockWeights;
    type AccountId = AccountId;
    type Nonce = Nonce;
    type Hash = Hash;
    type BlockHashCount = BlockHashCount;
    type Version = Version;
    type AccountData = pallet_balances::AccountData<Balance>;
    type SS58Prefix = SS58Prefix;
    type MaxConsumers = ConstU32<16>;
    type PreInherents = dev::SetStorage;
    type DbWeight = RocksDbWeight;
    type ExtensionsWeightInfo = sdk::Extensions;
}

impl pallet_timestamp::Config for Runtime {
    type Moment = u64;
    type OnTimestampSet = Aura;
    type MinimumPeriod = ConstU64<0>;
    type WeightInfo = sdk::Timestamp;
}

impl pallet_aura::Config for Runtime {
    type AuthorityId = sp_consensus_aura::sr25519::AuthorityId;
    type MaxAuthorities = ConstU32<32>;
    type DisabledValidators = ();
    type AllowMultipleBlocksPerSlot = ConstBool<true>;
    type SlotDuration = SlotDuration;
}

impl pallet_balances::Config for Runtime {
    type MaxLocks = ConstU32<50>;
    type MaxReserves = ConstU32<50>;
    type ReserveIdentifier = [u8; 8];
    type Balance = Balance;
    type RuntimeEvent = RuntimeEvent;
    type DustRemoval = fees::UncreditedTao;
    type ExistentialDeposit = ConstU64<500>;
    type AccountStore = System;
    type WeightInfo = ();
    type FreezeIdentifier = RuntimeFreezeReason;
    type MaxFreezes = ConstU32<50>;
    type RuntimeHoldReason = RuntimeHoldReason;
    type RuntimeFreezeReason = RuntimeFreezeReason;
    type DoneSlashHandler = ();
}

impl pallet_transaction_payment::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type OnChargeTransaction = fees::ChargeInTaoOrAlpha;
    type OperationalFeeMultiplier = ConstU8<5>;
    type WeightToFee = fees::LinearWeightToFee;
    type LengthToFee = frame_support::weights::IdentityFee<Balance>;
    type FeeMultiplierUpdate = ();
    type WeightInfo = sdk::Extensions;
}

impl pallet_utility::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeCall = RuntimeCall;
    type PalletsOrigin = OriginCaller;
    type WeightInfo = sdk::Utility;
}

impl pallet_sudo::Config for Runtime {
    type RuntimeEvent = RuntimeEvent;
    type RuntimeCall = RuntimeCall;
    type WeightInfo = ();
}

impl swap::Config for Runtime {
    type Subnets = SubtensorModule;
    type MaxFeeRate = ConstU16<10_000>;
    type MinimumReserve = MinimumReserve;
}

impl alpha_assets::Config for Runtime {}

impl subtensor::Config for Runtime {
    type Currency = Balances;
    type Author = fees::AuthorAccount;
    type Commitments = Commitments;
    type Crowdloans = Crowdloan;
    type Proxies = Proxy;
}

impl commitments::Config for Runtime {
    type MaxFields = ConstU32<{ commitments::MAX_FIELDS }>;
    type InitialDeposit = ConstTao<0>;
    type FieldDeposit = ConstTao<0>;
}

impl admin_utils::Config for Runtime {}

impl crowdloan::Config for Runtime {
    type RuntimeCall = RuntimeCall;
    type Currency = Balances;
    type Preimages = Preimage;
    type PalletId = CrowdloanId;
    type MinimumDeposit = ConstTao<10_000_000_000>;
    type AbsoluteMinimumContribution = ConstTao<100_000_000>;
    type MinimumBlockDuration = ConstU32<50>;
    type MaximumBlockDuration = ConstU32<20_000>;
    type RefundContributorsLimit = ConstU32<50>;
    type MaxContributors = ConstU32<500>;
}

impl drand::Config for Runtime {
    type UnsignedPriority = ConstU64<{ 1 << 20 }>;
    type HttpFetchTimeout = ConstU64<1_000>;
}

impl mev_shield::Config for Runtime {
    type BlockAuthor = fees::AuthorKey;
}
