//! The Subtensor pallet: subnets, neurons, weights, stake, emission.
//!
//! Calls, storage, events and errors are declared in the modules of these names; the logic is in one module per
//! subject.

mod bonds;
mod calls;
mod constants;
pub(crate) mod defaults;
mod errors;
mod events;
mod storage;
pub mod types;

mod auto_stake;
mod block;
mod burn;
mod distribution;
mod dormant;
mod emission;
mod epoch;
mod epoch_schedule;
mod genesis;
mod identity;
mod keys;
mod mechanisms;
mod networks;
mod pool;
mod prices;
mod pruning;
pub(crate) mod rate_limits;
mod registration;
mod safe_float;
mod serving;
mod shares;
mod staking;
mod take;
mod uids;
mod weights;

use frame_support::pallet_macros::import_section;

pub use constants::PALLET_ID;
pub use dormant::Schedule;
pub use epoch::{Inconsistent, Neurons};
pub use pallet::*;
pub use pool::{Fee, Trade};

/// Maximum ciphertext size of a timelocked commit, in bytes.
pub const MAX_COMMIT_LEN: u32 = 5_000;

#[allow(missing_docs, unreachable_pub)]
#[allow(clippy::if_not_else, clippy::expect_used, reason = "the framework's macro writes so")]
#[allow(clippy::missing_errors_doc, clippy::too_many_arguments, reason = "the calls are the real chain's")]
#[import_section(constants::constants)]
#[import_section(storage::storage)]
#[import_section(storage::keys::keys)]
#[import_section(storage::locks::locks)]
#[import_section(events::events)]
#[import_section(errors::errors)]
#[import_section(calls::calls)]
#[frame_support::pallet]
pub mod pallet {
    use frame_support::dispatch::DispatchClass;
    use frame_support::pallet_prelude::*;
    use frame_support::traits::fungible::Mutate;
    use frame_support::traits::{ConstBool, ConstU8, ConstU16, ConstU32, ConstU64};
    use frame_system::pallet_prelude::*;
    use sp_core::H256;
    use sp_runtime::{AccountId32, PerU16};
    use std::collections::BTreeMap;
    use substrate_fixed::types::{I64F64, I96F32, U64F64};

    use super::MAX_COMMIT_LEN;
    use super::defaults::{
        ConstMechId, ConstPerU16, ConstTao, DefaultAccount, DefaultAlphaSigmoidSteepness, DefaultAlphaValues,
        DefaultBurnIncreaseMult, DefaultLiquidAlphaConsensusMode, DefaultRootClaimableThreshold,
        DefaultSubnetMovingAlpha, DefaultTokenSymbol,
    };
    use super::types::{
        AxonInfo, ChainIdentityV2, ConsensusMode, LockState, NeuronCertificate, PrometheusInfo, RateLimitKey,
        RecycleOrBurnEnum, RootClaimTypeEnum, SafeFloat, SubnetIdentityV3,
    };
    use crate::swap;
    use crate::types::{AlphaBalance, MechId, NetUid, NetUidStorageIndex, TaoBalance};

    /// The Subtensor pallet.
    #[pallet::pallet]
    #[pallet::without_storage_info] // Rows of weights and lists of neurons have no bound in their type.
    pub struct Pallet<T>(_);

    /// Configuration of the pallet.
    #[pallet::config]
    pub trait Config: frame_system::Config<AccountId = AccountId32> + swap::Config {
        /// TAO, in rao.
        type Currency: Mutate<AccountId32, Balance = u64>;
        /// The author of the block.
        type Author: Get<Option<AccountId32>>;
    }

    /// Genesis configuration: the subnets that exist from the first block.
    #[pallet::genesis_config]
    #[derive(frame_support::DefaultNoBound)]
    pub struct GenesisConfig<T: Config> {
        /// Coldkey and hotkey that own all subnets except the first one.
        pub owner: Option<(T::AccountId, T::AccountId)>,
        #[serde(skip)]
        pub _config: core::marker::PhantomData<T>,
    }

    #[pallet::genesis_build]
    impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
        fn build(&self) {
            if let Some((coldkey, hotkey)) = &self.owner {
                Pallet::<T>::build_genesis(coldkey, hotkey);
            }
        }
    }

    #[pallet::hooks]
    impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
        fn on_initialize(_: BlockNumberFor<T>) -> Weight {
            Self::begin_block();
            Weight::zero()
        }
    }

    /// Returns the weight of a call, from which its fee is derived.
    pub(crate) const fn call_weight() -> Weight {
        Weight::from_parts(50_000_000, 0)
    }
}
