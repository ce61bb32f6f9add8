//! TAO flows, and the emission gate.
//!
//! As on the real chain in spec version 461, flows are counted, but emission follows moving prices
//! and the gate: the settings of emission by flows are stored without effect.

use frame_support::pallet_macros::pallet_section;

/// Storage with the names, hashers and defaults of the real chain.
#[pallet_section]
mod flows {
    /// Delay of the dissolution of a subnet, in blocks; unused, stored for clients.
    #[pallet::storage]
    pub type DissolveNetworkScheduleDuration<T> =
        StorageValue<_, u32, ValueQuery, ConstU32<36_000>>;
    /// TAO that stakers and registrations have paid into a subnet's pool, minus the TAO that
    /// stakers have received, in rao.
    #[pallet::storage]
    pub type SubnetTaoFlow<T> = StorageMap<_, Identity, NetUid, i64, ValueQuery>;
    /// Moving average of the TAO flow into a subnet, with the block of the last update; 0 since the
    /// subnet's creation.
    #[pallet::storage]
    pub type SubnetEmaTaoFlow<T> = StorageMap<_, Identity, NetUid, (u64, I64F64), OptionQuery>;
    /// TAO that emission has added to a subnet's pool, minus the TAO of sold root dividends, in
    /// rao.
    #[pallet::storage]
    pub type SubnetProtocolFlow<T> = StorageMap<_, Identity, NetUid, i64, ValueQuery>;
    /// Moving average of a subnet's protocol flow, with the block of the last update; never set,
    /// stored for clients.
    #[pallet::storage]
    pub type SubnetEmaProtocolFlow<T> = StorageMap<_, Identity, NetUid, (u64, I64F64), OptionQuery>;
    /// TAO flow below which a subnet receives no emission.
    #[pallet::storage]
    pub type TaoFlowCutoff<T> = StorageValue<_, I64F64, ValueQuery>;
    /// Exponent applied to TAO flows.
    #[pallet::storage]
    pub type FlowNormExponent<T> = StorageValue<_, U64F64, ValueQuery, ConstU64F64<{ 1 << 64 }>>;
    /// Smoothing factor of TAO flows.
    #[pallet::storage]
    pub type FlowEmaSmoothingFactor<T> =
        StorageValue<_, u64, ValueQuery, ConstU64<29_597_889_189_277>>;
    /// Whether flows of TAO are counted net.
    #[pallet::storage]
    pub type NetTaoFlowEnabled<T> = StorageValue<_, bool, ValueQuery, ConstBool<true>>;
    /// Share in the TAO emission at which the emission gate halves a subnet's share; 0 until it is
    /// first set.
    #[pallet::storage]
    pub type EmissionGateBar<T> = StorageValue<_, U64F64, ValueQuery>;
    /// Sum of the shares at and above the emission bar; applies if `EmissionBarRank` is 0.
    #[pallet::storage]
    pub type EmissionBarQuantile<T> =
        StorageValue<_, U64F64, ValueQuery, ConstU64F64<11252513884962826240>>;
    /// Rank of the share that becomes the emission bar.
    #[pallet::storage]
    pub type EmissionBarRank<T> = StorageValue<_, u16, ValueQuery, ConstU16<32>>;
    /// Steepness of the emission gate.
    #[pallet::storage]
    pub type EmissionGateExponent<T> =
        StorageValue<_, U64F64, ValueQuery, ConstU64F64<{ 3 << 64 }>>;
}
