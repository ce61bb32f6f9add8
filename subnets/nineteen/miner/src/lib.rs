//! A Nineteen miner.
//!
//! Validators send signed and encrypted requests (`taonet-nineteen-transport`); the miner forwards them to an
//! OpenAI-compatible server of its own ([`Backend`]) and relays the answer as it arrives. Chunks are read from the backend
//! only as fast as the validator takes them, and a validator that leaves ends the backend's work.
//!
//! [`Miner`] announces a capacity for each task that it serves, divided among validators by stake ([`Validators`]), and
//! answers 429 when as many requests run as it takes. [`routes`] gives its routes, which [`miner_router`] puts behind the
//! checks of the transport.
//!
//! Uses `taonet-nineteen-transport` (handshake, encryption) and `taonet-nineteen-core` (tasks, capacities). Used by
//! `tao nineteen miner`.

// Shares are compared exactly.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod backend;
mod capacity;
mod config;
mod measures;
mod relay;
mod routes;
mod sse;
mod validators;

pub use backend::{Backend, BackendError};
pub use config::{Deadlines, MinerConfig, Served, ServedError};
pub use measures::describe as describe_metrics;
pub use routes::{Miner, miner_router, routes};
pub use validators::Validators;
