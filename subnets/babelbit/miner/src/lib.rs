//! The miner: hears source speech frame by frame and answers each frame with the speech that is ready.
//!
//! - [`server`]: the HTTP routes, one signed request per frame;
//! - [`sessions`]: who may send which frame, and how much;
//! - [`profile`]: what is said, from silence to an interpretation;
//! - [`rewrite`]: how the interpreter cleans up what it heard.
//!
//! A miner finishes the work of a frame before it answers it and decides by samples, never by the clock: the same
//! source always gives the same reply. The clock serves only to forget sessions that nobody uses.

mod config;
mod metrics;
mod refusal;
mod samples;

pub mod profile;
pub mod rewrite;
pub mod server;
pub mod sessions;

pub use config::{Limits, MinerConfig, PredictPath, PredictPathError};
pub use metrics::describe as describe_metrics;
pub use refusal::Refusal;
