//! The pallets of the embedded development chain, compiled to native code instead of Wasm.
//!
//! Pallets, calls, storage, events and errors have the names, indices and encodings of the real chain (spec version
//! 461), so that tools that read the metadata work unchanged. The tests of this crate compare its metadata with the
//! recorded metadata of the real chain: supported items, missing items and intentional differences.
//!
//! - The crate root composes the runtime, [`runtime`] configures the pallets, [`extensions`] contains the transaction
//!   extensions, and [`runtime::apis`] implements the runtime APIs.
//! - [`subtensor`] is the pallet of subnets, [`swap`] of their liquidity pools, [`admin_utils`] of administrative
//!   calls, [`commitments`] of neurons' public data, and [`mev_shield`] of calls that are encrypted until they are in a
//!   block.
//! - [`info`] contains the results of the runtime APIs.
//! - [`genesis`] builds the genesis state.
//!
//! Uses `taonet-consensus` at every epoch, and `taonet-primitives`. Used by `taonet-localnet`, which produces blocks
//! with it.

// FRAME's macros generate undocumentable items at the root; the modules are documented.
#![allow(missing_docs, unreachable_pub)]

#[warn(missing_docs)]
pub mod admin_utils;
#[warn(missing_docs)]
pub mod commitments;
#[warn(missing_docs)]
pub mod extensions;
mod fees;
#[warn(missing_docs)]
pub mod genesis;
#[warn(missing_docs)]
pub mod info;
#[warn(missing_docs)]
pub mod mev_shield;
#[warn(missing_docs)]
pub mod runtime;
#[warn(missing_docs)]
pub mod subtensor;
#[warn(missing_docs)]
pub mod swap;
#[cfg(test)]
mod testing;
#[warn(missing_docs)]
pub mod types;

pub use runtime::{
    AccountId, Balance, Block, BlockNumber, Executive, Hash, Header, Nonce, Signature, TxExtension, UncheckedExtrinsic,
    VERSION, api,
};

#[frame_support::runtime]
mod composition {
    #[runtime::runtime]
    #[runtime::derive(
        RuntimeCall,
        RuntimeEvent,
        RuntimeError,
        RuntimeOrigin,
        RuntimeFreezeReason,
        RuntimeHoldReason,
        RuntimeSlashReason,
        RuntimeLockId,
        RuntimeTask,
        RuntimeViewFunction
    )]
    pub struct Runtime;

    #[runtime::pallet_index(0)]
    pub type System = frame_system;
    #[runtime::pallet_index(2)]
    pub type Timestamp = pallet_timestamp;
    #[runtime::pallet_index(3)]
    pub type Aura = pallet_aura;
    #[runtime::pallet_index(5)]
    pub type Balances = pallet_balances;
    #[runtime::pallet_index(6)]
    pub type TransactionPayment = pallet_transaction_payment;
    #[runtime::pallet_index(7)]
    pub type SubtensorModule = subtensor;
    #[runtime::pallet_index(11)]
    pub type Utility = pallet_utility;
    #[runtime::pallet_index(12)]
    pub type Sudo = pallet_sudo;
    #[runtime::pallet_index(18)]
    pub type Commitments = commitments;
    #[runtime::pallet_index(19)]
    pub type AdminUtils = admin_utils;
    #[runtime::pallet_index(28)]
    pub type Swap = swap;
    #[runtime::pallet_index(30)]
    pub type MevShield = mev_shield;
}
