//! The pallets of the embedded development chain, compiled to native code instead of Wasm.
//!
//! Pallets, calls, storage, events and errors have the names, indices and encodings of the real
//! chain (spec version 461), so that tools that read the metadata work unchanged. The tests of this
//! crate compare its metadata with the recorded metadata of the real chain, and list the supported
//! items, the missing items and the intentional differences in `docs/localnet-coverage.md`.
//!
//! - The crate root composes the runtime, [`runtime`] configures the pallets, [`extensions`]
//!   contains the transaction extensions, and [`runtime::apis`] implements the runtime APIs.
//! - [`subtensor`] is the pallet of subnets, [`swap`] of their liquidity pools, [`admin_utils`] of
//!   administrative calls, [`commitments`] of neurons' public data, and [`mev_shield`] of calls
//!   that are encrypted until they are in a block.
//! - [`proxy`] is the pallet of delegates, who make calls for an account, and [`crowdloan`] of TAO
//!   that many accounts raise; [`drand`] stores the pulses of the randomness beacon. polkadot-sdk's
//!   pallets serve multisignatures, preimages, scheduled calls and safe mode.
//! - [`info`] contains the results of the runtime APIs.
//!
//! The sections of a pallet (storage, events, errors, calls) are declarations in files of their
//! own; the implementation has one file for each topic. A new call is a line in `calls.rs` and a
//! function in the module of its topic.
//!
//! - [`genesis`] builds the genesis state, [`fork`] completes it with the recorded state of another
//!   chain, and [`dev`] executes the directives of a development node.
//!
//! `taonet-localnet` runs the runtime in a node; a test of a pallet needs only the genesis state:
//!
//! ```
//! use taonet_localnet_runtime::genesis::{development_account, genesis};
//! use taonet_localnet_runtime::runtime::Balances;
//!
//! # fn main() -> Result<(), taonet_localnet_runtime::genesis::GenesisError> {
//! let alice = development_account("Alice").expect("`//Alice` is a valid derivation path");
//! let mut chain = sp_io::TestExternalities::new(genesis(&[])?);
//! let rao = chain.execute_with(|| Balances::free_balance(&alice));
//! assert_eq!(rao, 1_000_000 * 1_000_000_000);
//! # Ok(())
//! # }
//! ```
//!
//! Amounts of TAO are in rao, and the arithmetic follows that of the real chain, fixed point
//! included. The runtime has no contracts or EVM, and no finality pallet: the node finalizes each
//! block. The chain is not secure: its sudo key is the public development key `//Alice`.
//!
//! Uses `taonet-consensus` at every epoch, `taonet-timelock` to verify pulses and reveal what they
//! decrypt, `taonet-shield` to decrypt calls, and `taonet-primitives`. Used by `taonet-localnet`,
//! which produces blocks with it, and by `taonet-localnet-recording`.

// FRAME's macros generate undocumentable items at the root; the modules are documented.
#![allow(missing_docs, unreachable_pub)]

#[warn(missing_docs)]
pub mod admin_utils;
#[warn(missing_docs)]
pub mod alpha_assets;
mod call_weights;
#[warn(missing_docs)]
pub mod commitments;
#[warn(missing_docs)]
pub mod crowdloan;
#[warn(missing_docs)]
pub mod dev;
#[warn(missing_docs)]
pub mod drand;
#[warn(missing_docs)]
pub mod extensions;
mod fees;
#[warn(missing_docs)]
pub mod fork;
#[warn(missing_docs)]
pub mod genesis;
#[warn(missing_docs)]
pub mod info;
#[warn(missing_docs)]
pub mod mev_shield;
#[warn(missing_docs)]
pub mod proxy;
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
mod verified;

pub use runtime::{
    AccountId, Balance, Block, BlockNumber, Executive, Hash, Header, Nonce, Signature, TxExtension,
    UncheckedExtrinsic, VERSION, api,
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
    #[runtime::pallet_index(13)]
    pub type Multisig = pallet_multisig;
    #[runtime::pallet_index(14)]
    pub type Preimage = pallet_preimage;
    #[runtime::pallet_index(15)]
    pub type Scheduler = pallet_scheduler;
    #[runtime::pallet_index(16)]
    pub type Proxy = proxy;
    #[runtime::pallet_index(18)]
    pub type Commitments = commitments;
    #[runtime::pallet_index(19)]
    pub type AdminUtils = admin_utils;
    #[runtime::pallet_index(20)]
    pub type SafeMode = pallet_safe_mode;
    #[runtime::pallet_index(26)]
    pub type Drand = drand;
    #[runtime::pallet_index(27)]
    pub type Crowdloan = crowdloan;
    #[runtime::pallet_index(28)]
    pub type Swap = swap;
    #[runtime::pallet_index(30)]
    pub type MevShield = mev_shield;
    #[runtime::pallet_index(31)]
    pub type AlphaAssets = alpha_assets;
}
