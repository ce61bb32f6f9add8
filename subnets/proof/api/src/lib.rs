//! The user API of a validator. Users submit an input for a circuit or sliced model, follow the progress, and fetch
//! outputs and a bundle that verifies offline.
//!
//! | Route | Answer |
//! |---|---|
//! | `GET /v1/circuits` | circuits and sliced models that are served |
//! | `POST /v1/proofs` | 202 with the proof's identity; body `{"circuit": ID, "input": …}` |
//! | `GET /v1/proofs/{id}` | status, and outputs once it is done |
//! | `GET /v1/proofs/{id}/events` | server-sent events: every step from the first, until the end |
//! | `GET /v1/proofs/{id}/bundle` | the bundle |
//! | `GET /healthz` | `ok`, without a key |
//!
//! All other requests require a bearer key of [`ApiKeys`], which stores hashes only. A key has access to its own proofs
//! only. The server uses TLS ([`serve_tls`]) with a given certificate or a self-signed one ([`Identity`]).
//!
//! A validator behind a firewall serves users through a [`Relay`], to which it connects.
//!
//! Uses `taonet-proof-validator` (dispatch and verification) and `taonet-http` (rate limits).
//! Used by `tao proof validator`.

mod jobs;
mod keys;
mod relay;
mod routes;
#[cfg(test)]
mod testing;
mod tls;

pub use jobs::{Job, Jobs, Status};
pub use keys::{ApiKeys, KeyError};
pub use relay::{Relay, RelayError};
pub use routes::{ApiSettings, router};
pub use tls::{Identity, TlsError, serve_tls};
