//! Relations between keys: automatic staking, child keys, announced swaps.

use frame_support::pallet_macros::pallet_section;

/// Storage with the names, hashers and defaults of the real chain.
#[pallet_section]
mod keys {
    /// The hotkey on which the emission of a coldkey's miners on a subnet is staked.
    #[pallet::storage]
    pub type AutoStakeDestination<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, NetUid, T::AccountId, OptionQuery>;
    /// Coldkeys that selected a hotkey for automatic staking.
    #[pallet::storage]
    pub type AutoStakeDestinationColdkeys<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, NetUid, Vec<T::AccountId>, ValueQuery>;
    /// Child hotkeys on a subnet: share of the parent's stake, in parts of 2⁶⁴, and hotkey.
    #[pallet::storage]
    pub type ChildKeys<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, NetUid, Vec<(u64, T::AccountId)>, ValueQuery>;
    /// Parent hotkeys on a subnet: share of their stake, in parts of 2⁶⁴, and hotkey.
    #[pallet::storage]
    pub type ParentKeys<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, NetUid, Vec<(u64, T::AccountId)>, ValueQuery>;
    /// Pending child hotkeys, and the last block of their cooldown.
    #[pallet::storage]
    pub type PendingChildKeys<T: Config> = StorageDoubleMap<
        _,
        Identity,
        NetUid,
        Blake2_128Concat,
        T::AccountId,
        (Vec<(u64, T::AccountId)>, u64),
        ValueQuery,
    >;
    /// Child key take of the parents' dividends.
    #[pallet::storage]
    pub type ChildkeyTake<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, NetUid, PerU16, ValueQuery>;
    /// Minimum child key take.
    #[pallet::storage]
    pub type MinChildkeyTake<T> = StorageValue<_, PerU16, ValueQuery>;
    /// Maximum child key take.
    #[pallet::storage]
    pub type MaxChildkeyTake<T> = StorageValue<_, PerU16, ValueQuery, ConstPerU16<11796>>;
    /// Whether a hotkey delegates to the owner of a subnet automatically.
    #[pallet::storage]
    pub type AutoParentDelegationEnabled<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, bool, ValueQuery, ConstBool<true>>;
    /// Announced coldkey swaps: earliest block, and hash of the new coldkey.
    #[pallet::storage]
    pub type ColdkeySwapAnnouncements<T: Config> = StorageMap<_, Twox64Concat, T::AccountId, (u32, H256), OptionQuery>;
    /// Disputed coldkey swaps, and the block of the dispute.
    #[pallet::storage]
    pub type ColdkeySwapDisputes<T: Config> = StorageMap<_, Twox64Concat, T::AccountId, u32, OptionQuery>;
    /// Delay between announcement and coldkey swap, in blocks.
    #[pallet::storage]
    pub type ColdkeySwapAnnouncementDelay<T> = StorageValue<_, u32, ValueQuery, ConstU32<50>>;
    /// Delay before a coldkey swap can be announced again, in blocks.
    #[pallet::storage]
    pub type ColdkeySwapReannouncementDelay<T> = StorageValue<_, u32, ValueQuery, ConstU32<10>>;
    /// Flags of an account; bit 0 refuses locked alpha.
    #[pallet::storage]
    pub type AccountFlags<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, u128, ValueQuery>;
}
