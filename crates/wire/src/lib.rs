//! Signed HTTP between neurons.
//!
//! A [`Scheme`] defines which headers sign a request and how: [`BtauthScheme`] is that of the
//! Bittensor SDK 11 and of our own peers, [`DendriteScheme`] that of the SDK 10, [`BabelbitScheme`]
//! that of Babelbit's validators and miners. The crate has two halves:
//!
//! - the server half, [`SignedLayer`]: a tower layer that checks requests in a fixed order and lets
//!   only verified ones through. A failed check becomes a [`Refusal`]. Handlers take the [`Caller`]
//!   as an extractor, and the body as usual. [`Verifier`] has the same checks for other servers.
//! - the client half: a [`Signer`] creates the headers, a [`SignedClient`] sends a [`Call`] to one
//!   [`Peer`] or to many, with a deadline and a size limit, and classifies the result
//!   ([`ReturnCode`]).
//!
//! ```no_run
//! use axum::{Router, routing::post};
//! use http::Method;
//! use taonet_wallet::Keypair;
//! use taonet_wire::{BtauthScheme, Call, Caller, ClientConfig, Peer, SignedClient, SignedLayer, Signer};
//!
//! async fn greet(caller: Caller) -> String {
//!     format!("hello, {}", caller.hotkey)
//! }
//!
//! # async fn example(miner: Keypair, validator: Keypair) -> Result<(), Box<dyn std::error::Error>> {
//! let signed = SignedLayer::builder(miner.hotkey(), BtauthScheme::new()).build();
//! // For `taonet_http::serve`, here at 203.0.113.8:8091.
//! let routes: Router = Router::new().route("/greet", post(greet)).route_layer(signed);
//!
//! let signer = Signer::new(validator, "203.0.113.7", BtauthScheme::new());
//! let client = SignedClient::new(signer, ClientConfig::default())?;
//! let peer = Peer::new(miner.hotkey(), "203.0.113.8", 8091)?;
//! let response = client.call(&peer, &Call::new(Method::POST, "/greet", "")).await?;
//! println!("{}", String::from_utf8_lossy(&response.body));
//! # Ok(())
//! # }
//! ```
//!
//! - **A request is accepted once**: a bounded cache ([`ReplayGuard`]) keeps each nonce for as long
//!   as its scheme would accept it again. With [`SignedLayerBuilder::build_with_replay_log`], the
//!   cache survives restarts.
//! - **Resource use is bounded** by [`Limits`]: headers, bodies, memory for all bodies together,
//!   and times. [`Load`] adds limits on rates and concurrent requests, which are unlimited by
//!   default. [`Policy`] admits callers by hotkey, stake or validator permit.
//! - **Addresses from untrusted peers** can be restricted to public ones: [`is_public`] checks an
//!   IP address, [`SignedClient::with_addresses`] the addresses of a host name. Redirects are not
//!   followed.
//!
//! Time comes from a [`Clock`], so that tests need not sleep. The crate signs requests, not
//! responses, and does not encrypt: that is left to TLS or to a layer above, such as
//! `taonet-nineteen-transport`.
//!
//! Uses `taonet-http` (bounded bodies, plain HTTP services), `taonet-primitives` and
//! `taonet-wallet` (signatures). Used by the miners and validators of every subnet, and by
//! `taonet-doctor`, which calls a published endpoint.

mod babelbit;
mod bt_header;
mod btauth;
mod client;
mod clock;
mod compact;
mod dendrite;
mod headers;
mod python;
mod refusal;
mod replay;
mod scheme;
mod server;

pub use babelbit::BabelbitScheme;
pub use btauth::BtauthScheme;
pub use client::{
    Call, CallError, CallResponse, CallResponseStream, ClientConfig, MemoryReservation, Reply,
    ResponseMemory, Retry, ReturnCode, SignedClient, Signer, SigningError, permitted_addresses,
};
pub use clock::{Clock, ManualClock, SystemClock};
pub use compact::{CompactError, compact_hash};
pub use dendrite::{
    AxonStatus, DendriteScheme, StatusMessage, Synapse, SynapseClass, SynapseError, Terminal,
    event_stream,
};
pub use python::{python_text, sorted_json, synapse_hash};
pub use refusal::Refusal;
pub use replay::{ReplayBounds, ReplayGuard, ReplayLogError};
pub use scheme::{
    Claim, Identity, OutgoingRequest, Peer, PeerError, RefusedRequest, ReplayRule, Scheme, Window,
};
pub use server::{
    Caller, Concurrency, Limits, Load, Permit, Policy, Rate, Registration, RegistrationTable,
    SignedLayer, SignedLayerBuilder, SignedService, Verifier,
};
pub use taonet_primitives::is_public;
