//! Relations between keys: automatic staking, child keys, swaps, Ethereum addresses.

use frame_support::pallet_macros::pallet_section;

/// Storage with the names, hashers and defaults of the real chain.
#[pallet_section]
mod keys {
    /// The hotkey on which the emission of a coldkey's miners on a subnet is staked.
    #[pallet::storage]
    pub type AutoStakeDestination<T: Config> = StorageDoubleMap<
        _,
        Blake2_128Concat,
        T::AccountId,
        Identity,
        NetUid,
        T::AccountId,
        OptionQuery,
    >;
    /// Coldkeys that selected a hotkey for automatic staking on a subnet.
    #[pallet::storage]
    pub type AutoStakeDestinationColdkeys<T: Config> = StorageDoubleMap<
        _,
        Blake2_128Concat,
        T::AccountId,
        Identity,
        NetUid,
        Vec<T::AccountId>,
        ValueQuery,
    >;
    /// Child hotkeys of a hotkey on a subnet: the child's share of the parent's stake, in parts of
    /// 2⁶⁴, and the child.
    #[pallet::storage]
    pub type ChildKeys<T: Config> = StorageDoubleMap<
        _,
        Blake2_128Concat,
        T::AccountId,
        Identity,
        NetUid,
        Vec<(u64, T::AccountId)>,
        ValueQuery,
    >;
    /// Parent hotkeys of a hotkey on a subnet: the child's share of the parent's stake, in parts of
    /// 2⁶⁴, and the parent.
    #[pallet::storage]
    pub type ParentKeys<T: Config> = StorageDoubleMap<
        _,
        Blake2_128Concat,
        T::AccountId,
        Identity,
        NetUid,
        Vec<(u64, T::AccountId)>,
        ValueQuery,
    >;
    /// Parents whose children have no effect, because their stake is too low.
    #[pallet::storage]
    pub type ChildkeyThresholdSuspended<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, (), OptionQuery>;
    /// Parents whose stake is compared with the threshold at the end of the block.
    #[pallet::storage]
    pub type ChildkeyThresholdChecks<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, (), OptionQuery>;
    /// Pending child hotkeys of a hotkey on a subnet, and the last block of their cooldown.
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
    /// Child key take: the share of the parents' dividends that a child hotkey keeps, in parts of
    /// 65 535.
    #[pallet::storage]
    pub type ChildkeyTake<T: Config> =
        StorageDoubleMap<_, Blake2_128Concat, T::AccountId, Identity, NetUid, PerU16, ValueQuery>;
    /// Minimum child key take, in parts of 65 535.
    #[pallet::storage]
    pub type MinChildkeyTake<T> = StorageValue<_, PerU16, ValueQuery>;
    /// Maximum child key take, in parts of 65 535.
    #[pallet::storage]
    pub type MaxChildkeyTake<T> = StorageValue<_, PerU16, ValueQuery, ConstPerU16<11796>>;
    /// Minimum interval between increases of a child key take, in blocks.
    #[pallet::storage]
    pub type TxChildkeyTakeRateLimit<T> = StorageValue<_, u64, ValueQuery, ConstU64<5>>;
    /// Number of blocks before scheduled children apply.
    #[pallet::storage]
    pub type PendingChildKeyCooldown<T> = StorageValue<_, u64, ValueQuery, ConstU64<15>>;
    /// The part of the dividends of parents with another owner that is recycled, in parts of 2⁶⁴.
    #[pallet::storage]
    pub type CKBurn<T> = StorageValue<_, u64, ValueQuery>;
    /// Whether a root validator's hotkey automatically makes subnet owners' hotkeys its children.
    #[pallet::storage]
    pub type AutoParentDelegationEnabled<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, bool, ValueQuery, ConstBool<true>>;
    /// Announced swap of a coldkey: its earliest block, and the hash of the new coldkey.
    #[pallet::storage]
    pub type ColdkeySwapAnnouncements<T: Config> =
        StorageMap<_, Twox64Concat, T::AccountId, (u32, H256), OptionQuery>;
    /// Block in which the announced swap of a coldkey was disputed.
    #[pallet::storage]
    pub type ColdkeySwapDisputes<T: Config> =
        StorageMap<_, Twox64Concat, T::AccountId, u32, OptionQuery>;
    /// Delay between announcement and coldkey swap, in blocks.
    #[pallet::storage]
    pub type ColdkeySwapAnnouncementDelay<T> = StorageValue<_, u32, ValueQuery, ConstU32<50>>;
    /// Delay before a coldkey swap can be announced again, in blocks.
    #[pallet::storage]
    pub type ColdkeySwapReannouncementDelay<T> = StorageValue<_, u32, ValueQuery, ConstU32<10>>;
    /// Block of the last swap of a coldkey's hotkeys on a subnet.
    #[pallet::storage]
    pub type LastHotkeySwapOnNetuid<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Blake2_128Concat, T::AccountId, u64, ValueQuery>;
    /// The successor of a swapped hotkey on a subnet.
    #[pallet::storage]
    pub type HotkeySuccessor<T: Config> = StorageDoubleMap<
        _,
        Identity,
        NetUid,
        Blake2_128Concat,
        T::AccountId,
        T::AccountId,
        OptionQuery,
    >;
    /// The first hotkey of the lineage of a swapped hotkey on a subnet.
    #[pallet::storage]
    pub type HotkeyRoot<T: Config> = StorageDoubleMap<
        _,
        Identity,
        NetUid,
        Blake2_128Concat,
        T::AccountId,
        T::AccountId,
        OptionQuery,
    >;
    /// The successor of a swapped coldkey.
    #[pallet::storage]
    pub type ColdkeySuccessor<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, T::AccountId, OptionQuery>;
    /// The first coldkey of the lineage of a swapped coldkey.
    #[pallet::storage]
    pub type ColdkeyRoot<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, T::AccountId, OptionQuery>;
    /// Ethereum address of a neuron, and the block in which its owner proved the ownership.
    #[pallet::storage]
    pub type AssociatedEvmAddress<T> =
        StorageDoubleMap<_, Twox64Concat, NetUid, Twox64Concat, u16, (H160, u64), OptionQuery>;
    /// Uids of the neurons with an Ethereum address, with the blocks of the proofs.
    #[pallet::storage]
    pub type AssociatedUidsByEvmAddress<T> = StorageDoubleMap<
        _,
        Twox64Concat,
        NetUid,
        Twox64Concat,
        H160,
        BoundedVec<(u16, u64), ConstU32<MAX_UIDS_OF_EVM_ADDRESS>>,
        ValueQuery,
    >;
    /// Flags of an account; bit 0 accepts locked alpha.
    #[pallet::storage]
    pub type AccountFlags<T: Config> =
        StorageMap<_, Blake2_128Concat, T::AccountId, u128, ValueQuery>;
}
