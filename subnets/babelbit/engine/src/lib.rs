//! Babelbit's utterance engine, which serves challenges, and its client.
//!
//! - [`server`]: the service (`bb engine`): authentication, sessions, challenges served utterance by utterance, or word by
//!   word;
//! - [`client`]: authentication with retry, prefetched challenges, the current challenge's uid.
//!
//! Uses `taonet-babelbit-challenges` (the content of the server), `taonet-http` and the messages of
//! `taonet_babelbit_core::engine_api`. Used by `bb engine` (the server) and by runner, validator and arena gateway (the
//! client).

pub mod client;
pub mod server;
