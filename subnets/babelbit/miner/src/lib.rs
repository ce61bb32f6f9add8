//! Babelbit's miner: receives source speech frame by frame and answers each frame with the speech
//! that is ready.
//!
//! A validator opens a session for one utterance with an init request, then sends the source in
//! frames of 80 ms, one signed request per frame. The miner finishes processing a frame before it
//! responds, and its decisions depend only on samples, never on the clock: without inference
//! servers and a language model, the same source always yields the same reply. The clock only
//! expires idle sessions and signatures, and times out requests to inference servers and phrases
//! for the language model.
//!
//! - [`server`]: the HTTP routes. [`server::router`] serves a [`server::Miner`] behind the
//!   signature checks of [`server::signed_requests`];
//! - [`sessions`]: the session table, which enforces ownership, frame order and limits;
//! - [`profile`]: reply strategies. [`profile::Interpreter`] recognises, rewrites and synthesises
//!   phrase by phrase; the other profiles, such as [`profile::Silent`], show what a reply without
//!   meaning or timing earns;
//! - [`rewrite`]: the interpreter's rules for cleaning up a transcript;
//! - [`shorten`]: an in-process language model that shortens the rewritten phrases, with a guard
//!   that rejects bad proposals;
//! - [`remote`]: stages of the interpreter on inference servers, each with a timeout and a
//!   fallback.
//!
//! A miner is a profile behind a router:
//!
//! ```
//! use std::sync::Arc;
//!
//! use taonet_babelbit_miner::MinerConfig;
//! use taonet_babelbit_miner::profile::Parrot;
//! use taonet_babelbit_miner::server::{Miner, router, signed_requests};
//! use taonet_primitives::Hotkey;
//!
//! let config = MinerConfig::default();
//! let signed = signed_requests(Hotkey::from_bytes([7; 32]), &config).build();
//! let routes = router(Arc::new(Miner::new(config, Arc::new(Parrot))), signed);
//! # let _ = routes;
//! ```
//!
//! [`Limits`] bounds sessions, their duration and their requests; by default there are at most 64
//! sessions, 16 for each hotkey, and the audio of all sessions takes at most 760 MB. A session
//! belongs to the hotkey that opened it: requests of other hotkeys get the response for an unknown
//! session. A [`Refusal`] states why a request is rejected, and its HTTP status. Sessions are in
//! memory only and end with the process. The command binds the port and loads the models.
//!
//! Uses `taonet-speech` (recogniser and synthesiser of the interpreter, sentence embeddings),
//! `taonet-lm` (language models), `taonet-wire` (signed requests), `taonet-http` (inference
//! servers), `taonet-babelbit-core` (the protocol), `taonet-service` and `taonet-primitives`. Used
//! by `bb miner` and `tao demo`. With the feature `testing`, `testing` has mock inference servers.

mod config;
mod metrics;
mod refusal;
mod samples;

pub mod profile;
pub mod remote;
pub mod rewrite;
pub mod server;
pub mod sessions;
pub mod shorten;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use config::{Limits, MinerConfig, PredictPath, PredictPathError};
pub use metrics::describe as describe_metrics;
pub use refusal::Refusal;
