//! The proof subnet's pages of the dashboard (circuits, proofs and miners of a validator), and its
//! part of the overview in a terminal.
//!
//! [`ProofSection`] reads the validator's state directory ([`StoredScores::read`]: without a lock,
//! so that it follows a running validator): the outcomes, sizes and times of the proofs of each
//! miner, its delivered work, and the unit price of each circuit. Two sources are optional: the
//! validator's directory of circuits gives these their names and sizes, and a [`ServicesSection`]
//! with the validator's metrics gives the time of a verification.
//!
//! ```no_run
//! use taonet_dashboard::{Access, BasePath, Changes, Dashboard};
//! use taonet_proof_dashboard::ProofSection;
//! use taonet_service::Shutdown;
//!
//! # fn example(shutdown: Shutdown) -> axum::Router {
//! let changes = Changes::default();
//! let proof = ProofSection::new("proof-validator".into(), Some("circuits".into()), None);
//! let dashboard = Dashboard::new(Access::Local, BasePath::default(), changes.clone()).with(proof.clone());
//! let routes = dashboard.router(shutdown.clone());
//! let stop = shutdown.clone();
//! shutdown.spawn("proofs", async move { proof.follow(&changes, &stop).await });
//! # routes
//! # }
//! ```
//!
//! If a source cannot be read, the pages show the reason, with the data of the last successful
//! read. The crate computes no scores: `taonet-proof-core` contains their formulas. Weights also
//! depend on the validator's options, and are on the pages of the chain.
//!
//! Uses `taonet-dashboard` (layout), `taonet-proof-validator` (stored scores), `taonet-proof-core`
//! (scores), `taonet-proof-circuits` (descriptions of circuits), `taonet-service` and
//! `taonet-primitives`. Used by `tao dashboard` and `tao top`.
//!
//! [`ServicesSection`]: taonet_dashboard::ServicesSection
//! [`StoredScores::read`]: taonet_proof_validator::StoredScores::read

mod page;
mod panels;
mod proofs;
mod section;
mod source;

pub use section::ProofSection;
