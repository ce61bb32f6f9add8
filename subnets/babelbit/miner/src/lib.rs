//! The miner: receives source speech frame by frame and answers each frame with the speech that is ready.
//!
//! - [`server`]: the HTTP routes, one signed request per frame;
//! - [`sessions`]: ownership, order and limits of frames;
//! - [`profile`]: ways of answering, from silence to an interpretation;
//! - [`rewrite`]: rules by which the interpreter cleans up a transcript.
//!
//! A miner completes the work of a frame before it answers it, and its decisions depend on samples, never on the clock:
//! the same source always produces the same reply. The clock serves only to expire idle sessions.
//!
//! Uses `taonet-speech` (recogniser and synthesiser of the interpreter) and `taonet-wire` (signed requests).
//! Used by `bb miner`.

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
