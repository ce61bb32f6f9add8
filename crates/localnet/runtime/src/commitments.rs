//! Short public statements of neurons.

pub use pallet::*;

#[allow(missing_docs, unreachable_pub)]
#[frame_support::pallet]
pub mod pallet {
    use crate::subtensor;

    /// The pallet.
    #[pallet::pallet]
    #[pallet::without_storage_info]
    pub struct Pallet<T>(_);

    /// What the pallet needs of the chain.
    #[pallet::config]
    pub trait Config: frame_system::Config + subtensor::Config {}
}
