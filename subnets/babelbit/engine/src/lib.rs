//! Babelbit's utterance engine, which serves challenges to validators, and its client.
//!
//! All validators play the same challenge at the same time, so the subnet owner runs one engine for
//! all. A validator authenticates with its hotkey, opens a session, and fetches the utterances one
//! after another: speech with its reference or, in the text contest, one word after another.
//!
//! - [`server`]: the service. [`server::Engine`] serves the challenges of a
//!   [`server::EngineConfig`]: authentication by signature, sessions, rate limits. The current
//!   challenge follows from the configuration and the clock ([`server::Rotation`]), so a restarted
//!   engine serves the same challenge.
//! - [`client`]: [`client::EngineClient`] authenticates with retry and renews its token.
//!   [`client::EngineClient::prefetch`] fetches a complete challenge
//!   ([`client::PrefetchedChallenge`]) before the first miner is called;
//!   [`client::EngineClient::current_main`] returns the uid of the current challenge, with which
//!   the validator finds the challenge's scores.
//!
//! A validator fetches the current challenge with the client:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use taonet_babelbit_engine::client::{ChallengeKind, EngineClient, EngineError, EngineOptions};
//! use taonet_wallet::Keypair;
//!
//! # async fn example(keypair: Arc<Keypair>) -> Result<(), EngineError> {
//! let engine = EngineClient::new("https://api.babelbit.ai", keypair, EngineOptions::default())?;
//! engine.authenticate_with_retry().await?;
//! let challenge = engine.prefetch(ChallengeKind::Main).await?;
//! println!("{} utterances", challenge.utterances.len());
//! # Ok(())
//! # }
//! ```
//!
//! [`client::EngineError::is_permanent_auth`] distinguishes a refused hotkey, for which a retry is
//! useless, from an outage. Server and client share a crate because both use the same messages and
//! are tested against each other. The crate calls no miners and keeps no results.
//!
//! Uses `taonet-babelbit-challenges` (the challenges that the server serves),
//! `taonet-babelbit-core` (the messages of `engine_api`), `taonet-http` (bounded requests and
//! responses), `taonet-wallet` (signatures), `taonet-speech` (the synthesiser), `taonet-service`
//! and `taonet-primitives`. Used by `bb engine` (the server), and for the client by
//! `taonet-babelbit-runner`, `taonet-babelbit-text-runner`, `taonet-babelbit-validator`,
//! `taonet-babelbit-arena` and `taonet-babelbit-audit`.

pub mod client;
pub mod server;
