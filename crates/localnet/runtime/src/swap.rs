//! The swap pallet: fee, weights and arithmetic of the pools that trade a subnet's alpha for TAO.
//!
//! Reserves of pools are stored in [`crate::subtensor`].

mod pool;
mod power;

pub use pallet::*;
/// Minimum reserve of either side of a pool for a trade.
pub const MIN_RESERVE: u64 = 1_000_000;

pub use pool::{MAX_WEIGHT, MIN_WEIGHT, Pool, UNIT};

use crate::types::NetUid;

/// Subnet queries of this pallet.
pub trait Subnets<AccountId> {
    /// Whether a subnet exists.
    fn exists(netuid: NetUid) -> bool;
    /// Whether an account owns a subnet.
    fn is_owner(netuid: NetUid, account: &AccountId) -> bool;
}

#[allow(missing_docs, unreachable_pub)]
#[allow(clippy::if_not_else, clippy::expect_used, reason = "the framework's macro writes so")]
#[frame_support::pallet]
pub mod pallet {
    use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
    use frame_support::dispatch::DispatchClass;
    use frame_support::pallet_prelude::*;
    use frame_support::traits::{ConstBool, ConstU16};
    use frame_system::pallet_prelude::*;
    use sp_runtime::Perquintill;

    use super::Subnets;
    use crate::types::NetUid;

    /// The Swap pallet.
    #[pallet::pallet]
    pub struct Pallet<T>(_);

    /// Configuration of the pallet.
    #[pallet::config]
    pub trait Config: frame_system::Config {
        /// The subnets whose alpha is traded.
        type Subnets: Subnets<Self::AccountId>;
        /// Maximum fee, in parts of 65 535.
        #[pallet::constant]
        type MaxFeeRate: Get<u16>;
        /// Minimum reserve of either side of a pool for a trade.
        #[pallet::constant]
        type MinimumReserve: Get<core::num::NonZeroU64>;
    }

    /// The weights of a pool.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
    pub struct Balancer {
        /// Weight of TAO; the weight of alpha is the rest.
        pub quote: Perquintill,
    }

    impl Default for Balancer {
        fn default() -> Self {
            Self { quote: Perquintill::from_percent(50) }
        }
    }

    /// The fee of a trade, in parts of 65 535.
    #[pallet::storage]
    pub type FeeRate<T> = StorageMap<_, Twox64Concat, NetUid, u16, ValueQuery, ConstU16<33>>;
    /// The weights of a pool.
    #[pallet::storage]
    pub type SwapBalancer<T> = StorageMap<_, Twox64Concat, NetUid, Balancer, ValueQuery>;
    /// Whether the weights of a pool are initialised.
    #[pallet::storage]
    pub type PalSwapInitialized<T> = StorageMap<_, Twox64Concat, NetUid, bool, ValueQuery, ConstBool<false>>;

    /// Events of the pallet.
    #[pallet::event]
    #[pallet::generate_deposit(pub(super) fn deposit_event)]
    pub enum Event<T: Config> {
        /// The fee of a subnet's pool changed.
        #[codec(index = 0)]
        FeeRateSet {
            /// The subnet.
            netuid: NetUid,
            /// The new fee, in parts of 65 535.
            rate: u16,
        },
    }

    /// Errors of the pallet's calls.
    #[pallet::error]
    pub enum Error<T> {
        /// The fee exceeds the maximum.
        #[codec(index = 0)]
        FeeRateTooHigh,
        /// The input amount is 0.
        #[codec(index = 1)]
        InsufficientInputAmount,
        /// The pool's liquidity is insufficient.
        #[codec(index = 2)]
        InsufficientLiquidity,
        /// The price is already beyond the limit.
        #[codec(index = 3)]
        PriceLimitExceeded,
        /// The balance is too low.
        #[codec(index = 4)]
        InsufficientBalance,
        /// The tick range is invalid.
        #[codec(index = 5)]
        InvalidTickRange,
        /// The liquidity value is invalid.
        #[codec(index = 6)]
        InvalidLiquidityValue,
        /// The pool's reserves are too low for this trade.
        #[codec(index = 7)]
        ReservesTooLow,
        /// The subnet does not exist.
        #[codec(index = 8)]
        MechanismDoesNotExist,
        /// Trading of the subnet's alpha is disabled.
        #[codec(index = 9)]
        SubtokenDisabled,
        /// The pool's reserves are out of balance.
        #[codec(index = 10)]
        ReservesOutOfBalance,
        /// The input exceeds 1 000 times the pool's reserve.
        #[codec(index = 11)]
        SwapInputTooLarge,
        /// The call is deprecated.
        #[codec(index = 12)]
        Deprecated,
    }

    #[pallet::call]
    impl<T: Config> Pallet<T> {
        /// Sets the fee of a subnet's pool, in parts of 65 535; for root and the subnet's owner.
        #[pallet::call_index(0)]
        #[pallet::weight((Weight::from_parts(10_000_000, 0), DispatchClass::Normal, Pays::Yes))]
        pub fn set_fee_rate(origin: OriginFor<T>, netuid: NetUid, rate: u16) -> DispatchResult {
            if let Some(account) = ensure_signed_or_root(origin)? {
                ensure!(T::Subnets::is_owner(netuid, &account), DispatchError::BadOrigin);
            }
            ensure!(T::Subnets::exists(netuid), Error::<T>::MechanismDoesNotExist);
            ensure!(rate <= T::MaxFeeRate::get(), Error::<T>::FeeRateTooHigh);
            FeeRate::<T>::insert(netuid, rate);
            Self::deposit_event(Event::FeeRateSet { netuid, rate });
            Ok(())
        }
    }

    impl<T: Config> Pallet<T> {
        /// Returns the fee on `amount` of the input of a trade, rounded down.
        pub fn fee(netuid: NetUid, amount: u64) -> u64 {
            let fee = u128::from(amount) * u128::from(FeeRate::<T>::get(netuid)) / u128::from(u16::MAX);
            // The rate is at most 1.
            fee as u64
        }

        /// Returns the largest input of which `traded` remains after the fee; the maximum amount for a fee of 100 %.
        pub fn with_fee(netuid: NetUid, traded: u64) -> u64 {
            let rest = u16::MAX.saturating_sub(FeeRate::<T>::get(netuid));
            let amount = (u128::from(traded) * u128::from(u16::MAX)).checked_div(rest.into()).unwrap_or(u128::MAX);
            u64::try_from(amount).unwrap_or(u64::MAX)
        }
    }
}
