//! What the operators of every subnet's miners and validators share.
//!
//! - [`AddressPolicy`] decides which addresses of miners a validator calls. By default these are public IP addresses: a
//!   signed request to an internal address could attack the operator's network. By option, private addresses and host
//!   names are permitted, and on development chains an address that the chain accepts stands for this machine.
//! - [`OperatorConfig`] has the settings that are the same for every subnet: network, wallet, database, queue and object
//!   storage, under the names of the reference systems' variables. A subnet's own settings stand beside it.
//! - [`Backoff`] computes the pauses between retries.
//!
//! ```
//! use taonet_neuron::AddressPolicy;
//!
//! let policy = AddressPolicy::default();
//! assert_eq!(policy.resolve("8.8.8.8:8092")?.url().as_str(), "http://8.8.8.8:8092/");
//! assert!(policy.resolve("192.168.0.7:8092").is_err());
//! assert!(AddressPolicy::private().resolve("192.168.0.7:8092").is_ok());
//! # Ok::<(), taonet_neuron::AddressError>(())
//! ```
//!
//! The crate knows no subnet, and does not call the miners: `taonet-wire` has the client. A policy decides about an
//! address as it is published. Host names resolve later: give the client [`AddressPolicy::permitted`], which it applies
//! to each resolved IP address.
//!
//! Uses `taonet-primitives` (public addresses, backoff), `taonet-wire` (peers), `taonet-settings` (tables of variables)
//! and `taonet-objects` (settings of a bucket). Used by `taonet-babelbit-runner`, `taonet-nineteen-control` and
//! `taonet-proof-validator` for the miners of the metagraph, and by `taonet-babelbit-config` and the commands for
//! settings.

mod address;
mod operator;

pub use address::{AddressError, AddressPolicy, MinerAddress};
pub use operator::{OperatorConfig, WalletSettings};
pub use taonet_primitives::Backoff;
