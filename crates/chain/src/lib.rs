//! A typed client of a Subtensor node.
//!
//! ```no_run
//! use taonet_chain::{At, Chain, Client, Follow, Network, calls};
//! use taonet_primitives::{Hotkey, NetUid, Rao};
//! use taonet_wallet::Keypair;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let network: Network = "local".parse()?;
//! let chain = Client::connect(&network).await?;
//!
//! let coldkey = Keypair::from_uri("//Alice")?;
//! println!("{} TAO", chain.balance(coldkey.coldkey().into(), At::Head).await?.free);
//!
//! let hotkey: Hotkey = Keypair::from_uri("//Alice//hot")?.hotkey();
//! let call = calls::register_limit(NetUid(1), hotkey, "1.5".parse::<Rao>()?);
//! let outcome = chain.send(&call, &coldkey, Follow::default()).await?;
//! println!("{}", if outcome.is_success() { "registered" } else { "not registered" });
//! # Ok(())
//! # }
//! ```
//!
//! Uses `taonet-primitives`, `taonet-scale-json` and `taonet-wallet` (signatures). Used by
//! `taonet-ledger`, `taonet-neuron`, `taonet-validator`, `taonet-kit`, `taonet-summing-subnet`,
//! `taonet-dashboard`, `taonet-doctor`, `taonet-python`, `taonet-babelbit-runner` and
//! `taonet-nineteen-control`, and by the commands of `tao`.
//!
//! # Where to begin
//!
//! - [`Network`] lists the nodes. [`Client::connect`] connects to the first that responds; the
//!   client fails over to the next one, during a request if necessary.
//! - [`Chain`] is the interface for daemons: new blocks, a subnet's [`Metagraph`] and
//!   [`WeightRules`], and submissions. Write code for `dyn Chain`, and test it with the mock chain
//!   in [`testing`] (feature `testing`).
//! - [`Client`] also queries accounts, stake, subnets and prices, and any other item by name, as
//!   JSON.
//! - [`calls`] builds calls; [`Chain::sign`] signs a call into an extrinsic that can be stored;
//!   [`Chain::submit`] sends the extrinsic and returns an [`Outcome`].
//! - [`weights`] converts scores to the chain's weights.
//!
//! # Guarantees
//!
//! - **Every wait is bounded.** A read returns within two block times (at least two seconds),
//!   regardless of the network's state and the number of requests. For map reads this timeout
//!   applies to each page, and for [`Chain::lookup`] to each 64 blocks. A connection that does not
//!   respond is considered dead and replaced.
//! - **Retries send the same bytes.** A retry never signs again: it sends the same extrinsic, which
//!   the chain includes at most once. An extrinsic is reported as expired or superseded only if
//!   finalized blocks prove it, and as dropped or invalid only after a search of the blocks since
//!   the first block of its era.
//! - **No chain types are compiled in**, only the names of calls, storage items and fields. Values
//!   are decoded with the runtime's own metadata, field by field; the metadata is fetched again
//!   after a runtime upgrade; added fields are ignored.
//! - **Amounts are exact**: integers in the smallest unit, parsed from decimal text.

#![deny(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod block;
mod call;
pub mod calls;
mod chain;
mod children;
mod client;
mod crowdloan;
mod decoded;
mod error;
mod event;
mod extrinsic;
mod hash;
mod hotkey;
mod hyperparameters;
mod identity;
pub mod metagraph;
mod network;
mod nonce;
mod outcome;
mod proxy;
mod refusal;
mod rpc;
mod runtime;
mod schedule;
mod share;
mod stake;
mod subnet;
#[cfg(any(test, doc, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod vectors;
pub mod weights;

pub use block::{At, Block, BlockHeader};
pub use call::Call;
pub use chain::{Chain, Follow, Until};
pub use children::{Proportion, ProportionError, Relative, Relatives, ScheduledChildren};
pub use client::{Client, DatedCommitment, RawState};
pub use crowdloan::{Crowdloan, CrowdloanTerms};
pub use decoded::{
    ArgumentInfo, CallInfo, Decoded, DecodedCall, DecodedExtrinsic, Mortality, StorageItem,
};
pub use error::{ChainError, TransportError};
pub use event::{Event, Phase};
pub use extrinsic::{
    DEFAULT_ERA_BLOCKS, DryRun, Effect, Era, Extrinsic, SignOptions, SignedExtrinsic,
};
pub use hash::blake2_256;
pub use hotkey::HotkeyState;
pub use hyperparameters::{Hyperparameter, Hyperparameters};
pub use identity::{ColdkeySwap, Identity};
pub use metagraph::{Axon, Detail, Metagraph, Neuron, WeightRow};
pub use network::{Network, NetworkError, NodeUrl};
pub use nonce::NonceLease;
pub use outcome::{DispatchError, Inclusion, Outcome, UnknownReason};
pub use proxy::{Announcement, Proxies, Proxy, ProxyType, ProxyTypeError};
pub use refusal::RefusalReason;
pub use rpc::time_for_blocks;
pub use schedule::{CommitReveal, Schedule, WeightRules};
pub use share::{Share, ShareError};
pub use stake::{Balance, Delegate, Stake};
pub use subnet::{Price, SimulatedSwap, Subnet, SubnetIdentity};
pub use taonet_scale_json::JsonError;
