//! Code that miners and validators of every subnet share.
//!
//! - [`OperatorConfig`] has the settings that are the same for every subnet: network, wallet,
//!   database, queue and object storage, under the names of the reference systems' variables. A
//!   subnet adds its own settings.
//! - [`Neurons`] are the neurons of a subnet at one block, from a node's metagraph or the subtensor
//!   gateway.
//! - [`MinerDirectory`] selects the miners among them that a validator calls, each as a
//!   [`MinerEntry`].
//! - [`AddressPolicy`] decides which addresses of miners are called. By default these are public IP
//!   addresses: a signed request to an internal address could attack the operator's network. By
//!   option, private addresses and host names are permitted, and on development chains an address
//!   that the chain accepts stands for this machine.
//! - [`Backoff`] computes the pauses between retries.
//!
//! ```
//! use taonet_neuron::{AddressPolicy, MinerDirectory, Neuron, Neurons};
//! use taonet_primitives::{BlockNumber, Hotkey, Uid};
//!
//! let neuron =
//!     |uid: u8, address: &str| Neuron::new(Uid(uid.into()), Hotkey::from_bytes([uid; 32]), address.parse().ok());
//! let list = vec![neuron(0, "8.8.8.8:8092"), neuron(1, "192.168.0.7:8092")];
//! let neurons = Neurons::new(BlockNumber::new(1), list);
//!
//! let selected = MinerDirectory::default().select(&neurons);
//! assert_eq!(selected.miners[0].address.url().as_str(), "http://8.8.8.8:8092/");
//! assert_eq!((selected.miners.len(), selected.forbidden), (1, 1));
//! assert_eq!(MinerDirectory::new(AddressPolicy::private()).select(&neurons).miners.len(), 2);
//! ```
//!
//! The crate is independent of subnets, and does not call the miners: `taonet-wire` has the client.
//! A policy checks an address as published. Host names resolve later: give the client
//! [`AddressPolicy::permitted`], which it applies to each resolved IP address.
//!
//! Uses `taonet-chain` (the metagraph), `taonet-primitives` (public addresses, backoff),
//! `taonet-wire` (peers), `taonet-settings` (tables of variables) and `taonet-objects` (settings of
//! a bucket). Used by `taonet-validator` for the neurons that the subtensor gateway reports, by
//! `taonet-babelbit-runner`, `taonet-nineteen-control`, `taonet-proof-validator` and `taonet-kit`
//! for the miners of the metagraph, by `taonet-doctor` for the policy of addresses, and by
//! `taonet-babelbit-config` and the commands for settings.

mod address;
mod directory;
mod neurons;
mod operator;

pub use address::{AddressError, AddressPolicy, MinerAddress};
pub use directory::{MinerDirectory, MinerEntry, SelectedMiners};
pub use neurons::{Neuron, Neurons};
pub use operator::{OperatorConfig, WalletSettings};
pub use taonet_primitives::Backoff;
