//! Signed HTTP between neurons.
//!
//! A [`Scheme`] defines which headers sign a request and how: [`BtauthScheme`] between our own peers,
//! [`DendriteScheme`] with the SDK 10, [`BabelbitScheme`] with Babelbit's validators and miners. Both halves build on
//! it:
//!
//! - the server half, [`SignedLayer`]: a tower layer that lets only verified requests through, in a fixed order of
//!   checks, each failure a [`Refusal`]; handlers take the [`Caller`] as an extractor and the body as usual;
//! - the client half: a [`Signer`] makes headers, a [`SignedClient`] sends a [`Call`] to one [`Peer`] or to many, with
//!   a deadline and a size limit, and classifies the result ([`ReturnCode`]).
//!
//! Time comes from a [`Clock`], so that tests need not sleep.
//!
//! Uses `taonet-http` (bounded bodies, plain HTTP services), `taonet-primitives` and `taonet-wallet` (signatures).
//! Used by miners and runners of every subnet.

mod babelbit;
mod bt_header;
mod btauth;
mod client;
mod clock;
mod compact;
mod dendrite;
mod headers;
mod public_address;
mod python;
mod refusal;
mod replay;
mod scheme;
mod server;

pub use babelbit::BabelbitScheme;
pub use btauth::BtauthScheme;
pub use client::{
    Answer, AnswerStream, Call, CallError, ClientConfig, Reply, Retry, ReturnCode, SignedClient, Signer, SigningError,
    permitted_addresses,
};
pub use clock::{Clock, ManualClock, SystemClock};
pub use compact::{CompactError, compact_hash};
pub use dendrite::{
    AxonStatus, DendriteScheme, StatusMessage, Synapse, SynapseClass, SynapseError, Terminal, event_stream,
};
pub use public_address::is_public;
pub use python::{python_text, sorted_json, synapse_hash};
pub use refusal::Refusal;
pub use replay::{ReplayBounds, ReplayGuard, ReplayLogError};
pub use scheme::{Claim, Identity, Outgoing, Peer, PeerError, Refused, ReplayRule, Scheme, Window};
pub use server::{
    Caller, Concurrency, Limits, Load, Policy, Rate, Signed, SignedLayer, SignedLayerBuilder, Standing, StandingTable,
    Standings,
};
