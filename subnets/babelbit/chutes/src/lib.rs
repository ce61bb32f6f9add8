//! Text miners that run on Chutes, the hosting service of the reference's first contest.
//!
//! A miner of that contest uploaded its model to the Hugging Face hub, deployed it on Chutes as a *chute*,
//! and published both in a commitment on the chain; validators call the chute instead of an axon.
//! This crate has the clients of the two services' documented HTTP APIs and of a chute:
//!
//! - [`HubApi`] creates a model repository, uploads a directory as one commit, checks revisions,
//!   and downloads a [`HubModel`] for a miner that runs it itself.
//! - [`ChutesApi`] builds images, finds, deploys, shares, warms up and deletes chutes, and reads
//!   the logs of their instances.
//! - [`ChuteClient`] requests the health of a chute and its predictions.
//! - [`Script`] renders the Python script that defines a chute, and returns the Dockerfile of its
//!   image.
//! - [`Commitment`] is the text on the chain.
//!
//! ```
//! use taonet_babelbit_chutes::{ChutesApi, ChutesSettings};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = ChutesSettings { username: "alice".to_owned(), ..ChutesSettings::default() };
//! let api = ChutesApi::new(&settings)?;
//! let call = api.delete("8f2105c5");
//! assert_eq!(call.summary()["url"], "https://api.chutes.ai/chutes/8f2105c5");
//! # Ok(())
//! # }
//! ```
//!
//! Each request is a [`Call`], which can be shown before it is sent, for a dry run. A [`Call`] does
//! not contain the API key: the key is added when the call is sent, marked as sensitive, and
//! removed from the errors of a service.
//!
//! Uses `taonet-babelbit-core` (the predict request), `taonet-http`, `taonet-primitives`,
//! `taonet-service` and `taonet-settings` (secrets). Used by `taonet-babelbit-text-runner`, which
//! calls miners on Chutes, by `taonet-babelbit-config` for its settings, and by `bb push` and the
//! other commands for chutes.

mod api;
mod call;
mod chute;
mod commitment;
mod download;
mod hub;
mod script;
mod settings;
mod upload;

pub use api::{ChuteInfo, ChutesApi, NewChute, NewImage};
pub use call::{ApiError, Call};
pub use chute::{ChuteClient, ChuteError, Health};
pub use commitment::{Commitment, CommitmentError};
pub use download::{HubDownloadError, HubModel, HubProgress};
pub use hub::{HubApi, ModelInfo, UploadPlan};
pub use script::{Script, ScriptError, chute_name, guessed_slug};
pub use settings::ChutesSettings;
pub use upload::{LocalFile, LocalModel};

#[cfg(test)]
mod tests;
