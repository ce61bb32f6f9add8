//! Settings of emission by TAO flows; stored for clients, because this chain's emission follows prices.

use frame_support::pallet_macros::pallet_section;

/// Storage with the names, hashers and defaults of the real chain.
#[pallet_section]
mod flows {
    /// Delay of the dissolution of a subnet, in blocks; unused, stored for clients.
    #[pallet::storage]
    pub type DissolveNetworkScheduleDuration<T> = StorageValue<_, u32, ValueQuery, ConstU32<36_000>>;
    /// TAO flow below which a subnet receives no emission.
    #[pallet::storage]
    pub type TaoFlowCutoff<T> = StorageValue<_, I64F64, ValueQuery>;
    /// Exponent applied to TAO flows.
    #[pallet::storage]
    pub type FlowNormExponent<T> = StorageValue<_, U64F64, ValueQuery, ConstU64F64<{ 1 << 64 }>>;
    /// Smoothing factor of TAO flows.
    #[pallet::storage]
    pub type FlowEmaSmoothingFactor<T> = StorageValue<_, u64, ValueQuery, ConstU64<29_597_889_189_277>>;
    /// Whether flows of TAO are counted net.
    #[pallet::storage]
    pub type NetTaoFlowEnabled<T> = StorageValue<_, bool, ValueQuery, ConstBool<true>>;
    /// Fraction of demand of the subnets above the emission bar.
    #[pallet::storage]
    pub type EmissionBarQuantile<T> = StorageValue<_, U64F64, ValueQuery, ConstU64F64<11252513884962826240>>;
    /// Number of subnets above the emission bar.
    #[pallet::storage]
    pub type EmissionBarRank<T> = StorageValue<_, u16, ValueQuery, ConstU16<32>>;
    /// Steepness of the emission bar.
    #[pallet::storage]
    pub type EmissionGateExponent<T> = StorageValue<_, U64F64, ValueQuery, ConstU64F64<{ 3 << 64 }>>;
}
