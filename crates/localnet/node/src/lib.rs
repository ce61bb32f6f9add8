//! The embedded development chain: a node around the native runtime of `taonet-localnet-runtime`.
//!
//! The node is the only block producer, finalizes each block immediately, and serves the JSON-RPC
//! API that Bittensor's tools use over HTTP and WebSocket on one port. It needs no Wasm, network or
//! peers, and keeps the chain in memory or in a directory.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use taonet_localnet::{Clock, Node, NodeConfig};
//!
//! let genesis = taonet_localnet_runtime::genesis::genesis(&[])?;
//! let mut config = NodeConfig::new(genesis);
//! config.clock = Some(Clock::FAST);
//! config.directory = Some("chain".into());
//! let node = Node::start(config).await?;
//! println!("listening on {}", node.url());
//! let head = node.mine(10).await?;
//! println!("block {} {:?}", head.number(), head.hash);
//! node.stop_requested().await?;
//! node.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! The path of an extrinsic: `rpc` parses it, [`pool`](PoolLimits) validates it against the newest
//! block and queues it, the author includes it in a block, and the store commits the block. Only
//! then are subscribers notified of the block, and the submitter of the inclusion.
//!
//! With [`NodeConfig::follow`], the node follows another one in place of producing blocks: `follow`
//! fetches its blocks, and the author executes them and checks the results.
//!
//! Uses `taonet-localnet-runtime` (the pallets), `taonet-localnet-trie` (state roots),
//! `taonet-http` (bounded connections) and `taonet-primitives` (backoff). Used by `tao localnet`,
//! the demonstrations, and the tests of all chain clients: `taonet-chain`, `taonet-ledger` and
//! `taonet-validator`.

mod author;
mod chain;
mod clock;
mod execute;
mod follow;
mod meter;
mod node;
mod pool;
mod rpc;
mod store;

pub use author::{AuthorError, BuildError, ImportError};
pub use clock::Clock;
pub use execute::CallError;
pub use follow::FollowError;
pub use node::{Node, NodeConfig, NodeError, NodeHandle, ReadError};
pub use pool::{PoolLimits, SubmitError, TxEvent};
pub use rpc::RpcLimits;
pub use store::{Head, History, Snapshot, SnapshotError, StoreError, load_snapshot};
