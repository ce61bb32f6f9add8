//! Calls of the Subtensor pallet.
//!
//! FRAME requires all calls of a pallet in one block. Here each subject has a module whose macro
//! appends the calls of its subject to those it receives, and passes them on to the next macro; the
//! last macro is the pallet's section.

#[macro_use]
mod baskets;
#[macro_use]
mod children;
#[macro_use]
mod collateral;
#[macro_use]
mod keys;
#[macro_use]
mod leases;
#[macro_use]
mod locks;
#[macro_use]
mod moves;
#[macro_use]
mod neurons;
#[macro_use]
mod staking;
#[macro_use]
mod subnets;
#[macro_use]
mod swaps;
#[macro_use]
mod weights;

use frame_support::pallet_macros::pallet_section;

macro_rules! section {
    ([] $($calls:tt)*) => {
        /// Calls with the names, indices and arguments of the real chain; each is implemented in
        /// the module of its subject.
        #[pallet_section]
        mod calls {
            #[pallet::call]
            impl<T: Config> Pallet<T> {
                $($calls)*
            }
        }
    };
}

calls_of_weights! {
    [
        calls_of_staking calls_of_moves calls_of_neurons calls_of_subnets calls_of_keys calls_of_children calls_of_swaps
        calls_of_locks calls_of_baskets calls_of_leases calls_of_collateral section
    ]
}
