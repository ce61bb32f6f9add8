//! The pool in which a subnet's alpha is traded for TAO.

pub use pallet::*;

#[allow(missing_docs, unreachable_pub)]
#[frame_support::pallet]
pub mod pallet {
    use frame_support::pallet_prelude::*;
    use frame_support::traits::ConstU16;

    use crate::types::NetUid;

    /// The pallet.
    #[pallet::pallet]
    pub struct Pallet<T>(_);

    /// What the pallet needs of the chain.
    #[pallet::config]
    pub trait Config: frame_system::Config {}

    /// The fee of a trade, in parts of 65 535.
    #[pallet::storage]
    pub type FeeRate<T> = StorageMap<_, Twox64Concat, NetUid, u16, ValueQuery, ConstU16<33>>;
}
