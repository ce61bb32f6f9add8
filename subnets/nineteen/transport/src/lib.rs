//! Transport between Nineteen's validators and miners: both sides of the wire protocol of fiber 1.0.0, over the signed
//! HTTP of `taonet-wire`.
//!
//! A validator fetches the miner's RSA key and sends a symmetric key encrypted with it. Subsequent requests have Fernet
//! tokens as bodies, and signed headers. Responses are not encrypted.
//!
//! - miner: [`MinerHandshake`] holds its keys, [`signed_requests`] builds the request verification, and [`routes`]
//!   wraps both around the miner's own routes, whose handlers receive plain JSON and the authenticated `Caller`;
//! - validator: [`FiberClient`] establishes a [`Session`] with each miner and sends requests in it;
//! - shared: [`FiberScheme`] (headers and signatures), [`FernetKey`] (bodies), [`Nonce`], [`PublicKeyMessage`];
//! - [`sse`] splits streamed answers into events.
//!
//! Three weaknesses of fiber are fixed compatibly. The miner signs its RSA key and confirms the symmetric key with its
//! hotkey, in headers that fiber's clients ignore: with [`Trust::Signed`] a validator accepts only signed keys, which
//! prevents man-in-the-middle attacks. The miner refuses requests signed for other miners, and remembers each nonce
//! while it is fresh, in bounded memory ([`FiberRules::Strict`]; [`FiberRules::Reference`] responds as fiber does). A
//! body that cannot be decrypted is a client error (400), not a server error.
//!
//! Uses `taonet-wire` (signed HTTP) and `taonet-wallet`. Used by the subnet's miner and validator.

mod client;
mod fernet;
mod handshake;
mod keys;
mod nonce;
mod payload;
mod pem;
mod proof;
mod rsa;
mod scheme;
mod server;
pub mod sse;

pub use client::{FiberClient, HandshakeError, Session, Trust};
pub use fernet::{FernetError, FernetKey};
pub use handshake::{ExchangeMessage, ExchangeReply, MinerHandshake, PublicKeyMessage};
pub use keys::{KeyStore, KeyStoreFull};
pub use nonce::Nonce;
pub use payload::seal_payload;
pub use rsa::{PublicEncryptionKey, RsaError, RsaKey};
pub use scheme::{FiberRules, FiberScheme};
pub use server::{Opened, routes, signed_requests};

#[cfg(test)]
mod vectors;
