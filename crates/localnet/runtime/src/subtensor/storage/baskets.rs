//! Baskets: funds that hold the dividends of root stake.

use frame_support::pallet_macros::pallet_section;

/// Storage with the names, hashers and defaults of the real chain.
#[pallet_section]
mod baskets {
    /// Number of shares of a validator's basket.
    #[pallet::storage]
    pub type BasketShares<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, u64, ValueQuery>;
    /// Shares that one rao of root stake on a validator has earned.
    #[pallet::storage]
    pub type BasketRate<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, I96F32, ValueQuery>;
    /// Shares of a validator's basket that a coldkey has claimed, less those that it has bought.
    #[pallet::storage]
    pub type BasketClaimed<T: Config> = StorageDoubleMap<
        _,
        Blake2_128Concat,
        T::AccountId,
        Blake2_128Concat,
        T::AccountId,
        i128,
        ValueQuery,
    >;
    /// TAO deposited in a validator's basket so far, in rao.
    #[pallet::storage]
    pub type BasketDepositedTao<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, TaoBalance, ValueQuery>;
    /// TAO claimed from a validator's basket so far, in rao.
    #[pallet::storage]
    pub type BasketRedeemedTao<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, TaoBalance, ValueQuery>;
}
