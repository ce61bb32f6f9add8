//! Collateral of miners.

use frame_support::pallet_macros::pallet_section;

/// Storage with the names, hashers and defaults of the real chain.
#[pallet_section]
mod collateral {
    /// Part of the registration price that is locked as collateral, in parts of 65 535.
    #[pallet::storage]
    pub type CollateralLockShare<T> = StorageMap<_, Identity, NetUid, u16, ValueQuery>;
    /// Alpha of the collateral that is released per alpha of emission.
    #[pallet::storage]
    pub type CollateralDrainRatio<T> =
        StorageMap<_, Identity, NetUid, U64F64, ValueQuery, ConstU64F64<{ 1 << 64 }>>;
    /// Collateral of a miner, by subnet, hotkey and coldkey.
    #[pallet::storage]
    pub type MinerCollateral<T: Config> = StorageNMap<
        _,
        (
            NMapKey<Identity, NetUid>,
            NMapKey<Blake2_128Concat, T::AccountId>,
            NMapKey<Blake2_128Concat, T::AccountId>,
        ),
        MinerCollateralState,
        OptionQuery,
    >;
    /// Total locked collateral of a coldkey on a subnet.
    #[pallet::storage]
    pub type ColdkeyMinerCollateral<T: Config> = StorageDoubleMap<
        _,
        Identity,
        NetUid,
        Blake2_128Concat,
        T::AccountId,
        AlphaBalance,
        ValueQuery,
    >;
    /// Hotkeys on which a coldkey has collateral on a subnet.
    #[pallet::storage]
    pub type ColdkeyCollateralHotkeys<T: Config> = StorageDoubleMap<
        _,
        Identity,
        NetUid,
        Blake2_128Concat,
        T::AccountId,
        BoundedVec<T::AccountId, ConstU32<MAX_COLLATERAL_HOTKEYS>>,
        ValueQuery,
    >;
}
