//! How keys relate to each other: destinations of earnings, children, announced swaps.

use frame_support::pallet_macros::pallet_section;

/// Storage under the names, hashers and defaults of the real chain.
#[pallet_section]
mod keys {
    /// The hotkey on which earnings of a coldkey's miners in a subnet are staked.
    #[pallet::storage]
    pub type AutoStakeDestination<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, NetUid, T::AccountId, OptionQuery>;
    /// The coldkeys that chose a hotkey for this.
    #[pallet::storage]
    pub type AutoStakeDestinationColdkeys<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, NetUid, Vec<T::AccountId>, ValueQuery>;
    /// The children of a hotkey in a subnet: part of its stake, in parts of 2⁶⁴, and hotkey.
    #[pallet::storage]
    pub type ChildKeys<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, NetUid, Vec<(u64, T::AccountId)>, ValueQuery>;
    /// The parents of a hotkey in a subnet: part of their stake, and hotkey.
    #[pallet::storage]
    pub type ParentKeys<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, NetUid, Vec<(u64, T::AccountId)>, ValueQuery>;
    /// Children that wait for their cooldown, and its last block.
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
    /// The part that a child keeps of its parents' dividends.
    #[pallet::storage]
    pub type ChildkeyTake<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, NetUid, PerU16, ValueQuery>;
    /// The smallest take of a child.
    #[pallet::storage]
    pub type MinChildkeyTake<T> = StorageValue<_, PerU16, ValueQuery>;
    /// The largest take of a child.
    #[pallet::storage]
    pub type MaxChildkeyTake<T> = StorageValue<_, PerU16, ValueQuery, ConstPerU16<11796>>;
    /// Whether a hotkey delegates to the owner of a subnet by itself.
    #[pallet::storage]
    pub type AutoParentDelegationEnabled<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, bool, ValueQuery, ConstBool<true>>;
    /// Announced swaps of coldkeys: the block from which they may happen, and the hash of the new coldkey.
    #[pallet::storage]
    pub type ColdkeySwapAnnouncements<T: Config> = StorageMap<_, Twox64Concat, T::AccountId, (u32, H256), OptionQuery>;
    /// Disputed swaps of coldkeys, and the block of the dispute.
    #[pallet::storage]
    pub type ColdkeySwapDisputes<T: Config> = StorageMap<_, Twox64Concat, T::AccountId, u32, OptionQuery>;
    /// Blocks between the announcement of a swap and the swap.
    #[pallet::storage]
    pub type ColdkeySwapAnnouncementDelay<T> = StorageValue<_, u32, ValueQuery, ConstU32<50>>;
    /// Blocks before a swap can be announced again.
    #[pallet::storage]
    pub type ColdkeySwapReannouncementDelay<T> = StorageValue<_, u32, ValueQuery, ConstU32<10>>;
    /// Flags of an account; bit 0 refuses locked alpha.
    #[pallet::storage]
    pub type AccountFlags<T: Config> = StorageMap<_, Blake2_128Concat, T::AccountId, u128, ValueQuery>;
}
