//! HTTP servers and clients: the parts that all daemons share. Each daemon adds its own routes.
//!
//! ```no_run
//! use axum::Router;
//! use axum::routing::get;
//! use taonet_http::{ServeLimits, serve};
//! use taonet_service::Shutdown;
//! use tokio::net::TcpListener;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let shutdown = Shutdown::on_signals()?;
//! let listener = TcpListener::bind("127.0.0.1:8080").await?;
//! let routes = Router::new().route("/healthz", get(|| async { "ok" }));
//! serve(listener, routes, &shutdown, ServeLimits::default()).await;
//! # Ok(())
//! # }
//! ```
//!
//! Servers:
//! - [`serve`], and [`serve_over`] for TLS: HTTP/1.1 with bounded connections, heads and idle time,
//!   and a graceful shutdown;
//! - [`ConnectionSlots`]: a bounded number of connections; at the limit, a new one evicts an idle
//!   or stalled one;
//! - [`WriteDeadline`]: a write timeout, against clients that do not read;
//! - [`tolerate_half_close`]: a middleware for clients that close their sending side before the
//!   response;
//! - [`BodyLimits`]: bodies buffered within limits on size, time and shared memory;
//!   [`buffer_body`]: a middleware that buffers them before the request takes a concurrency slot;
//! - [`readiness_routes`]: `/readyz` and `/metrics`; [`name_service`]: the daemon's name in their
//!   responses;
//! - [`JsonService`]: the layers around the routes of every JSON service: timeout, JSON errors,
//!   request counter, trace;
//! - [`read_json`], [`parse_json`]: JSON bodies; [`error_as_json`], [`count_requests`]: JSON errors
//!   and request counters, for services with their own layers;
//! - [`file_content`]: the content of a file as a body, without reading all of it into memory;
//! - [`parse_value`], [`parse_object`]: JSON of untrusted origin, with limited nesting;
//! - [`BearerTokens`] issued by a service, and the static [`AccessToken`] that operators store in a
//!   file;
//! - [`SlidingWindow`]: rate limits per caller;
//! - [`disable_huge_pages`]: less memory with many connections.
//!
//! Clients:
//! - [`client`]: a client that follows no redirects and uses no proxy, and size-limited reads of
//!   responses;
//! - [`download`]: downloads to a file, which resume after an interruption;
//! - [`JsonClient`]: JSON objects over HTTP, with deadlines and errors that show whether a retry
//!   may succeed;
//! - [`ModelServer`]: a client of inference servers with OpenAI's API, with a timeout for each
//!   call;
//! - [`MultipartForm`]: the body of a form with a file;
//! - [`sse`]: a parser for server-sent events;
//! - [`Fault`]: why a request failed.
//!
//! The crate neither signs requests nor terminates TLS: `taonet-wire` does the former, the caller
//! of [`serve_over`] the latter.
//!
//! Uses `taonet-service` (shutdown), `taonet-telemetry` (metrics) and `taonet-primitives` (hotkeys,
//! backoff). Used by `taonet-wire`, which adds signatures, by `taonet-validator`,
//! `taonet-localnet`, `taonet-dashboard`, `taonet-doctor` and `taonet-update`, and by nearly every
//! service of the subnets.

mod access_token;
mod api;
mod bearer_tokens;
mod buffered_body;
pub mod client;
mod connection_slots;
pub mod download;
mod fault;
mod file_content;
mod half_close;
mod health;
mod huge_pages;
mod json;
mod json_client;
mod json_service;
mod limits;
mod model_server;
mod multipart;
mod serve;
pub mod sse;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod unread;
mod write_deadline;

pub use access_token::{AccessToken, TokenError};
pub use api::{BodyError, count_requests, error_as_json, parse_json, read_json};
pub use bearer_tokens::{BearerTokens, drop_oldest, random_hex, token_of};
pub use buffered_body::{BodyBuffer, BodyLimits, BodyRefusal, BufferedBody, buffer_body};
pub use connection_slots::{ConnectionSlot, ConnectionSlots, Progress};
pub use fault::Fault;
pub use file_content::file_content;
pub use half_close::tolerate_half_close;
pub use health::{Readiness, SERVICE_HEADER, name_service, readiness_routes};
pub use huge_pages::disable_huge_pages;
pub use json::{parse_object, parse_value};
pub use json_client::{JsonCallError, JsonClient, parse_fields};
pub use json_service::JsonService;
pub use limits::{RateLimit, SlidingWindow, subscriber};
pub use model_server::{ModelServer, ModelServerError};
pub use multipart::{FormFile, MultipartForm};
pub use serve::{ServeLimits, serve, serve_over};
pub use write_deadline::WriteDeadline;
