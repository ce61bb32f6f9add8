//! The user API of a validator. Users submit an input for a circuit or sliced model, follow the
//! progress, and fetch outputs and a bundle that can be verified offline.
//!
//! | Route | Response |
//! |---|---|
//! | `GET /v1/circuits` | circuits and sliced models that are served |
//! | `POST /v1/proofs` | 202 with the proof's ID; body `{"circuit": ID, "input": …}`, or with `"prompt"` |
//! | `GET /v1/proofs/{id}` | status; once the proof is complete, outputs, or prompt and answer |
//! | `GET /v1/proofs/{id}/events` | server-sent events: all progress events, until the proof ends |
//! | `GET /v1/proofs/{id}/bundle` | the bundle |
//! | `GET /healthz` | `ok`, without a key |
//!
//! All routes except `/healthz` require a bearer key from [`ApiKeys`], which stores hashes only.
//! The file with the keys is read again when it changes ([`LiveKeys`]). A key has access to its own
//! proofs only. The server uses TLS ([`serve_tls`]) with a given certificate or a self-signed one
//! ([`Identity`]).
//!
//! Timeouts are per phase: for the head and the body of a request, for write progress, and for each
//! miner's proof. A proof as a whole has no timeout, and its event stream stays open until the
//! proof ends or the validator shuts down. With a state directory, proofs in progress are requested
//! again after a restart of the validator, under the same IDs; without one, their users receive an
//! error.
//!
//! A validator behind a firewall serves users through a [`Relay`], to which it connects; relayed
//! proofs do not survive a restart.
//!
//! The answer to a prompt is computed here, by the integer network of the language model: miners
//! receive its tokens as inputs. The bundle then has prompt and tokenizer, too.
//!
//! Uses `taonet-proof-validator` (dispatch and verification), `taonet-proof-lm` (prompts),
//! `taonet-proof-circuits`, `taonet-proof-core`, `taonet-http` (rate limits), `taonet-primitives`
//! (backoff), `taonet-wallet` and `taonet-service`. Used by `tao proof validator` and `tao proof
//! demo`.

mod jobs;
mod keys;
mod relay;
mod routes;
#[cfg(test)]
mod testing;
mod tls;

pub use jobs::{
    FinishedProof, Job, JobFileError, JobSettings, Jobs, StartError, Status, Submission,
};
pub use keys::{ApiKeys, KeyError, LiveKeys};
pub use relay::{Relay, RelayError};
pub use routes::{ApiSettings, router};
pub use tls::{Identity, TlsError, serve_tls};
