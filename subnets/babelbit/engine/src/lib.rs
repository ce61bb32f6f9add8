//! Babelbit's utterance engine, which serves challenges, and its client.
//!
//! - [`server`]: the service (`bb engine`): authentication, sessions, challenges served utterance by utterance;
//! - [`client`]: authentication with retry, prefetched challenges, the current challenge's uid.
//!
//! The server uses `taonet-babelbit-challenges` (its content) and `taonet-http`; both use the messages of
//! `taonet_babelbit_core::engine_api`. Runner, validator and arena gateway use the client.

pub mod client;
pub mod server;
