//! sr25519 keys, derivation and signatures, compatible with Bittensor's wallet files.
//!
//! - [`Keypair`] is made from a derivation URI (`//Alice`), a mnemonic, a seed or a keyfile and signs messages.
//! - [`Signature`] is what travels: 64 bytes, written as hex.
//! - [`verify`] checks one against a [`taonet_primitives::Hotkey`].
//!
//! Secrets are wiped from memory when dropped and never appear in `Debug` output, errors or logs.

mod derive;
mod keyfile;
mod keypair;
mod signature;

pub use derive::{DEV_PHRASE, KeyError};
pub use keyfile::{Encryption, KeyfileError};
pub use keypair::Keypair;
pub use signature::{Signature, SignatureError, verify, verify_wrapped};
