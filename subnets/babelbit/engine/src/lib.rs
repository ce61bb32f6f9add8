//! Babelbit's utterance engine, which serves challenges, and the validator's client of it.
//!
//! - [`server`]: the service (`bb engine`): authentication, sessions, one utterance after the other;
//! - [`client`]: authentication with retry, a whole challenge fetched ahead, which challenge is current.
//!
//! The server uses `taonet-babelbit-challenges` (what is served) and `taonet-http`; both speak the messages of
//! `taonet_babelbit_core::engine_api`. Runner, validator and arena gateway use the client.

pub mod client;
pub mod server;
