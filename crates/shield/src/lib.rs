//! MEV shield: extrinsics that stay encrypted until the author of a block decrypts them. Nobody
//! sees such a call in the transaction pool, so nobody can trade before it.
//!
//! ```
//! use taonet_shield::{ShieldKey, encrypt};
//!
//! # fn main() -> Result<(), taonet_shield::EncryptError> {
//! // The author's key pair; its public key is in the storage item `MevShield.NextKey`.
//! let author = ShieldKey::from_seed([1; 32], [2; 32]);
//!
//! // The `ciphertext` argument of `MevShield.submit_encrypted`.
//! let extrinsic = b"a signed extrinsic";
//! let ciphertext = encrypt(&author.public(), extrinsic, &mut rand::rng())?;
//!
//! assert_eq!(author.open(&ciphertext).as_deref(), Some(&extrinsic[..]));
//! # Ok(())
//! # }
//! ```
//!
//! - [`encrypt`] encrypts a signed extrinsic to a public key: an ML-KEM-768 encapsulation key.
//! - [`ShieldKey`] is a key pair of an author, and decrypts; [`CiphertextParts`] are the parts of a
//!   ciphertext.
//!
//! Layout of a ciphertext: hash of the key (16 bytes) ‖ length of the encapsulated secret (u16,
//! little endian) ‖ encapsulated secret (1 088 bytes) ‖ nonce (24 bytes) ‖ output of
//! XChaCha20-Poly1305 with the secret as key, tag at the end.
//!
//! All functions are pure: randomness is an argument. The crate neither reads keys from a chain nor
//! submits extrinsics.
//!
//! Uses no other crate of the workspace. Used by `taonet-localnet-runtime` to decrypt, and by the
//! commands of `tao` to encrypt.

mod cipher;

pub use cipher::{CiphertextParts, EncryptError, KEY_LEN, MAX_CIPHERTEXT, ShieldKey, encrypt};
