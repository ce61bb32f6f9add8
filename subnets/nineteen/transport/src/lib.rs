//! Transport between Nineteen's validators and miners: both sides of the wire protocol of fiber 1.0.0,
//! over the signed HTTP of `taonet-wire`.
//!
//! A validator fetches the miner's RSA key and sends a symmetric key, encrypted with the RSA key.
//! Subsequent requests have Fernet tokens as bodies, and signed headers. Responses are not
//! encrypted.
//!
//! - miner: [`MinerHandshake`] stores the keys, [`signed_requests`] builds the request
//!   verification, and [`routes`] wraps both around the miner's own routes, whose handlers receive
//!   plain JSON and the authenticated `Caller`;
//! - validator: [`FiberClient`] establishes a [`Session`] with each miner and sends requests in it;
//! - shared: [`FiberScheme`] (headers and signatures), [`FernetKey`] (bodies), [`Nonce`],
//!   [`PublicKeyMessage`].
//!
//! ```no_run
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use taonet_nineteen_transport::{FiberClient, Trust};
//! use taonet_wallet::Keypair;
//! use taonet_wire::{ClientConfig, Peer, SystemClock};
//!
//! # async fn example(keypair: Keypair, miner: Peer) -> Result<(), Box<dyn std::error::Error>> {
//! let client = FiberClient::new(keypair, Trust::Signed, ClientConfig::default(), Arc::new(SystemClock))?;
//! let session = client.handshake(&miner).await?;
//! let payload = serde_json::json!({"model": "chat", "messages": [], "stream": true});
//! let timeout = Duration::from_secs(30);
//! let response = client.send(&session, "/chat/completions", payload, timeout).await?;
//! println!("status {}", response.status);
//! # Ok(())
//! # }
//! ```
//!
//! The crate fixes weaknesses of fiber without breaking compatibility. The miner signs its RSA key
//! and confirms the symmetric key with its hotkey, in headers that fiber's clients ignore: with
//! [`Trust::Signed`] a validator accepts only signed keys, which prevents man-in-the-middle
//! attacks. The miner remembers each nonce until it expires, in bounded memory. With
//! [`FiberRules::Strict`], the default, it also rejects requests signed for other miners, and a
//! body that cannot be decrypted is a client error (400); with [`FiberRules::Reference`], such
//! requests are accepted, and the error is a server error (500), as in fiber.
//!
//! Requests have the header [`STREAM_END`], which fiber's miners ignore: it tells the miner that
//! the validator accepts stream chunks without text, such as the one with the finish reason. A
//! miner announces in the header [`CONCURRENCY`] how many concurrent requests it accepts; the
//! validator marks buyers' requests beyond this number with the header [`PROBE`].
//!
//! A symmetric key expires after 5 hours, and a miner stores those of at most 4 096 validators. A
//! [`FernetKey`] is zeroized on drop. The crate does not know tasks or payloads, and stores no
//! sessions: `taonet-nineteen-store` does.
//!
//! Uses `taonet-wire` (signed HTTP), `taonet-wallet` and `taonet-primitives`. Used by
//! `taonet-nineteen-miner`, and on the validator's side by `taonet-nineteen-query`,
//! `taonet-nineteen-control`, `taonet-nineteen-store` and `tao nineteen`.

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

pub use client::{
    CONCURRENCY, FiberClient, HandshakeError, MAX_REQUEST_BYTES, PROBE, STREAM_END, Session, Trust,
};
pub use fernet::{FernetError, FernetKey};
pub use handshake::{ExchangeMessage, ExchangeReply, MinerHandshake, PublicKeyMessage};
pub use keys::{KeyStore, KeyStoreFull};
pub use nonce::Nonce;
pub use payload::sealed_size;
pub use rsa::{PublicEncryptionKey, RsaError, RsaKey};
pub use scheme::{FiberRules, FiberScheme};
pub use server::{DecryptedBody, routes, signed_requests};

#[cfg(test)]
mod vectors;
