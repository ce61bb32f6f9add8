//! Leases of subnets.

use frame_support::pallet_macros::pallet_section;

/// Storage with the names, hashers and defaults of the real chain.
#[pallet_section]
mod leases {
    /// Leases by id.
    #[pallet::storage]
    pub type SubnetLeases<T: Config> =
        StorageMap<_, Twox64Concat, u32, SubnetLease<T::AccountId>, OptionQuery>;
    /// A contributor's share of a lease's dividends, by lease and contributor. The beneficiary has
    /// no entry: it receives the rest.
    #[pallet::storage]
    pub type SubnetLeaseShares<T: Config> =
        StorageDoubleMap<_, Twox64Concat, u32, Identity, T::AccountId, U64F64, ValueQuery>;
    /// The lease of a subnet.
    #[pallet::storage]
    pub type SubnetUidToLeaseId<T> = StorageMap<_, Twox64Concat, NetUid, u32, OptionQuery>;
    /// Id of the next lease.
    #[pallet::storage]
    pub type NextSubnetLeaseId<T> = StorageValue<_, u32, ValueQuery>;
    /// Alpha that a lease will pay to its contributors and its beneficiary.
    #[pallet::storage]
    pub type AccumulatedLeaseDividends<T> =
        StorageMap<_, Twox64Concat, u32, AlphaBalance, ValueQuery>;
}
