//! How Nineteen's validators and miners talk: the wire protocol of fiber 1.0.0, both sides, over the signed HTTP of
//! `taonet-wire`.
//!
//! A validator fetches the miner's RSA key, sends a symmetric key encrypted to it, and from then on sends requests whose
//! bodies are Fernet tokens and whose headers are signed. Answers are not encrypted.
//!
//! - the miner's half: [`MinerHandshake`] holds its keys, [`signed_requests`] the checks on requests, [`routes`] puts both
//!   around the miner's own routes, whose handlers see plain JSON and the proven `Caller`;
//! - the validator's half: [`FiberClient`] makes a [`Session`] with each miner and sends requests in it;
//! - between them: [`FiberScheme`] (headers and signatures), [`FernetKey`] (bodies), [`Nonce`], [`PublicKeyMessage`].
//!
//! Three weaknesses of fiber are mended without breaking with it. The miner signs its RSA key and confirms the symmetric
//! key with its hotkey, in headers that fiber's clients ignore: with [`Trust::Signed`] a validator accepts nothing else,
//! and nobody on the way can put keys of their own in place of them. The miner refuses requests that are signed for
//! others, and keeps each nonce for as long as it is fresh, in bounded memory ([`FiberRules::Strict`]; under
//! [`FiberRules::Reference`] it answers as fiber does). A body that cannot be opened is the sender's fault (400), not ours.
//!
//! Uses `taonet-wire` (signed HTTP) and `taonet-wallet`. Used by the subnet's miner, and by its validator for the other
//! side.

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
