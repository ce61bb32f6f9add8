//! HTTP services and their clients: what every daemon needs beyond routes of its own.
//!
//! Servers:
//! - [`serve`], [`serve_over`] TLS: HTTP/1.1 with bounded connections, heads and idle time, and a graceful shutdown;
//! - [`ConnectionSlots`]: bounded connections, with eviction of idle ones;
//! - [`WriteDeadline`]: a write timeout, against clients that do not read;
//! - [`WholeBodies`]: bodies buffered within limits on size, time and shared memory; [`whole_body`]: a middleware
//!   that buffers them before the request takes a concurrency slot;
//! - [`readiness_routes`]: `/readyz` and `/metrics`;
//! - [`read_json`], [`parse_json`], [`error_as_json`], [`count`], [`collapse_slashes`]: bodies, JSON errors,
//!   request counters;
//! - [`BearerTokens`] issued by a service, and the static [`AccessToken`] that operators store in a file;
//! - [`SlidingWindow`]: rate limits per caller.
//!
//! Clients:
//! - [`client`]: a client that follows no redirect and bounds the responses it reads;
//! - [`JsonClient`]: JSON objects over HTTP, with deadlines and errors that say whether to retry;
//! - [`Fault`]: why a request failed.
//!
//! Uses `taonet-service` (shutdown) and `taonet-telemetry` (metrics). Used by `taonet-wire`, which adds signatures,
//! by the validator crates and by every subnet's services.

mod access_token;
mod api;
mod bearer_tokens;
pub mod client;
mod connection_slots;
mod fault;
mod health;
mod json_client;
mod limits;
mod serve;
mod unread;
mod whole;
mod write_deadline;

pub use access_token::{AccessToken, TokenError};
pub use api::{BodyError, collapse_slashes, count, error_as_json, parse_json, read_json};
pub use bearer_tokens::{BearerTokens, drop_oldest, random_hex, shown_in};
pub use connection_slots::{ConnectionSlot, ConnectionSlots, Progress};
pub use fault::Fault;
pub use health::{Readiness, readiness_routes};
pub use json_client::{JsonCallError, JsonClient, fields};
pub use limits::{RateLimit, SlidingWindow, subscriber};
pub use serve::{ServeLimits, serve, serve_over};
pub use whole::{BodyRefusal, WholeBodies, WholeBody, whole_body};
pub use write_deadline::WriteDeadline;
