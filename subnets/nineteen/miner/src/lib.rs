//! A Nineteen miner: serves validators' inference requests with an inference server of its operator.
//!
//! Validators send signed and encrypted requests (`taonet-nineteen-transport`); the miner forwards them to its
//! OpenAI-compatible server ([`Backend`]) and streams the response back. Backpressure applies: chunks are read from the
//! backend only as fast as the validator reads them, and the backend's request is cancelled when the validator
//! disconnects.
//!
//! [`Miner`] announces a capacity for each task that it serves, divided among validators by stake ([`Validators`]), and
//! responds 429 at its concurrency limit. [`routes`] returns its routes, which [`miner_router`] wraps in the
//! transport's request verification.
//!
//! Uses `taonet-nineteen-transport` (handshake, encryption) and `taonet-nineteen-core` (tasks, capacities).
//! Used by `tao nineteen miner`.

// Tests compare shares exactly.
#![cfg_attr(test, allow(clippy::float_cmp))]

mod backend;
mod capacity;
mod config;
mod images;
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
