//! A Nineteen miner: serves validators' inference requests through its operator's inference server.
//!
//! Validators send signed and encrypted requests (`taonet-nineteen-transport`); the miner forwards
//! them to its OpenAI-compatible server ([`Backend`]) and streams the response back. Backpressure
//! applies: chunks are read from the backend only as fast as the validator reads them, and the
//! backend's request is cancelled when the validator disconnects.
//!
//! [`Miner`] declares a capacity for each task that it serves, divided among validators by stake
//! ([`taonet_wire::RegistrationTable`]), and responds with status 429 at its concurrency limit.
//! [`routes`] returns its routes, which [`miner_router`] wraps in the transport's request
//! verification.
//!
//! ```no_run
//! use taonet_nineteen_core::task::TaskType;
//! use taonet_nineteen_miner::{Backend, Deadlines, Miner, MinerConfig, miner_router};
//! use taonet_nineteen_transport::{FiberRules, MinerHandshake, RsaKey, signed_requests};
//! use taonet_wallet::Keypair;
//! use url::Url;
//!
//! # fn example(keypair: Keypair) -> Result<axum::Router, Box<dyn std::error::Error>> {
//! let config = MinerConfig {
//!     task_type: TaskType::Text,
//!     served: vec!["chat-llama-3-1-8b@60000=unsloth/Meta-Llama-3.1-8B-Instruct".parse()?],
//!     concurrency: 16,
//!     deadlines: Deadlines::default(),
//! };
//! let miner = Miner::new(config, Backend::new(&Url::parse("http://127.0.0.1:8000/v1")?, None)?, None);
//! let signed = signed_requests(keypair.hotkey(), FiberRules::Strict).build();
//! let handshake = MinerHandshake::new(keypair, RsaKey::generate()?, FiberRules::Strict);
//! let router = miner_router(miner, handshake, signed);
//! # Ok(router)
//! # }
//! ```
//!
//! Every stage of a response has a timeout ([`Deadlines`]), and a response that is not streamed is
//! at most 64 MiB. The miner reads the backend's stream by the HTML standard, and drops those
//! events that the validator rejects, such as a first chunk that contains the role only. A stream
//! that reports an error, is malformed, or ends without a finish reason or `[DONE]` is aborted, so
//! that no validator takes it for a complete answer; the log has the reason. A client error of the
//! backend keeps its status, also if it is the first event of a stream. If the backend sends no
//! headers in time, or without streaming no complete response, the validator gets status 504; after
//! any other failure of the backend, 502. A miner serves tasks of one type only. The crate runs no
//! model and does not read the chain: `tao nineteen miner` refreshes the stakes.
//!
//! Uses `taonet-nineteen-transport` (handshake, encryption), `taonet-nineteen-core` (tasks,
//! capacities), `taonet-nineteen-images` (masks), `taonet-wire`, `taonet-http` (server-sent events)
//! and `taonet-primitives`. Used by `tao nineteen miner`.

mod backend;
mod backend_limit;
mod capacity;
mod config;
mod images;
mod metrics;
mod relay;
mod request_slots;
mod routes;
mod sse;
mod task_routes;

pub use backend::{Backend, BackendError};
pub use config::{Deadlines, MinerConfig, ServedTask, ServedTaskError};
pub use metrics::describe as describe_metrics;
pub use routes::{Miner, miner_router, routes};
