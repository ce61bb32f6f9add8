//! Claims on root dividends, and locks on stake. Clients read these; no call of this chain writes them yet.

use frame_support::pallet_macros::pallet_section;

/// Storage under the names, hashers and defaults of the real chain.
#[pallet_section]
mod locks {
    /// What becomes of a coldkey's claims. The real chain of this version has it no more; btcli 9 reads it.
    #[pallet::storage]
    pub type RootClaimType<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, RootClaimTypeEnum, ValueQuery>;
    /// What a coldkey has claimed of its root stake's dividends: subnet, hotkey, coldkey.
    #[pallet::storage]
    pub type RootClaimed<T: Config> = StorageNMap<
        _,
        (NMapKey<Identity, NetUid>, NMapKey<Blake2_128Concat, T::AccountId>, NMapKey<Blake2_128Concat, T::AccountId>),
        u128,
        ValueQuery,
    >;
    /// Least amount that can be claimed, by subnet.
    #[pallet::storage]
    pub type RootClaimableThreshold<T> =
        StorageMap<_, Blake2_128Concat, NetUid, I96F32, ValueQuery, DefaultRootClaimableThreshold>;
    /// Locked stake of a coldkey: subnet, hotkey.
    #[pallet::storage]
    pub type Lock<T: Config> = StorageNMap<
        _,
        (NMapKey<Blake2_128Concat, T::AccountId>, NMapKey<Identity, NetUid>, NMapKey<Blake2_128Concat, T::AccountId>),
        LockState,
        OptionQuery,
    >;
    /// Locked stake on a hotkey in a subnet.
    #[pallet::storage]
    pub type HotkeyLock<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Blake2_128Concat, T::AccountId, LockState, OptionQuery>;
    /// Stake on a hotkey in a subnet whose lock decays.
    #[pallet::storage]
    pub type DecayingHotkeyLock<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Blake2_128Concat, T::AccountId, LockState, OptionQuery>;
    /// Locked stake of a subnet's owner.
    #[pallet::storage]
    pub type OwnerLock<T> = StorageMap<_, Identity, NetUid, LockState, OptionQuery>;
    /// Stake of a subnet's owner whose lock decays.
    #[pallet::storage]
    pub type DecayingOwnerLock<T> = StorageMap<_, Identity, NetUid, LockState, OptionQuery>;
    /// Whether a coldkey's lock in a subnet decays.
    #[pallet::storage]
    pub type DecayingLock<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, NetUid, bool, OptionQuery>;
    /// Who has locked stake: subnet, hotkey, coldkey.
    #[pallet::storage]
    pub type LockingColdkeys<T: Config> = StorageNMap<
        _,
        (NMapKey<Identity, NetUid>, NMapKey<Blake2_128Concat, T::AccountId>, NMapKey<Blake2_128Concat, T::AccountId>),
        (),
        OptionQuery,
    >;
    /// Blocks in which a lock matures.
    #[pallet::storage]
    pub type MaturityRate<T> = StorageValue<_, u64, ValueQuery, ConstU64<934866>>;
    /// Blocks in which a lock decays.
    #[pallet::storage]
    pub type UnlockRate<T> = StorageValue<_, u64, ValueQuery, ConstU64<934866>>;
    /// Whether the cut of a subnet's owner is locked.
    #[pallet::storage]
    pub type OwnerCutAutoLockEnabled<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery>;
}
