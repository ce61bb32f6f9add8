//! Voting power of validators.

use frame_support::pallet_macros::pallet_section;

/// Storage with the names, hashers and defaults of the real chain.
#[pallet_section]
mod voting {
    /// Voting power of a validator in a subnet: the moving average of its stake.
    #[pallet::storage]
    pub type VotingPower<T: Config> =
        StorageDoubleMap<_, Identity, NetUid, Blake2_128Concat, T::AccountId, u64, ValueQuery>;
    /// Total voting power of a subnet's validators.
    #[pallet::storage]
    pub type TotalVotingPower<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// Whether a subnet tracks the voting power of its validators.
    #[pallet::storage]
    pub type VotingPowerTrackingEnabled<T> = StorageMap<_, Identity, NetUid, bool, ValueQuery>;
    /// Block at which a subnet stops tracking voting power; 0 if it does not stop.
    #[pallet::storage]
    pub type VotingPowerDisableAtBlock<T> = StorageMap<_, Identity, NetUid, u64, ValueQuery>;
    /// Smoothing factor of a subnet's voting power, in parts of 10¹⁸.
    #[pallet::storage]
    pub type VotingPowerEmaAlpha<T> =
        StorageMap<_, Identity, NetUid, u64, ValueQuery, ConstU64<3_570_000_000_000_000>>;
}
