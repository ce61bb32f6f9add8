use crate::CryptoType;
use taonet_primitives::counted;

/// Why no key could be made. Never repeats the secret text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A mnemonic has 12, 15, 18, 21 or 24 words.
    #[error("mnemonic has {}, expected 12, 15, 18, 21 or 24", counted(.0, "word"))]
    WordCount(usize),
    /// A word, counted from 1, is not in the English list.
    #[error("word {0} of the mnemonic is not in the English word list")]
    UnknownWord(usize),
    /// The words are all known, but not in this order.
    #[error("mnemonic checksum does not match: a word is wrong or out of order")]
    Checksum,
    /// A seed is 64 hex digits, in a derivation URI with `0x` in front.
    #[error("seed is not 64 hex digits")]
    Seed,
    /// A private key is 128 hex digits that hold a canonical scalar (sr25519), or 64 hex digits (ed25519).
    #[error("private key is not the hex digits of a key: 128 of a canonical sr25519 key, or 64 of an ed25519 seed")]
    PrivateKey,
    /// A public key is 64 hex digits, with `0x` in front where an address might stand instead.
    #[error("public key is not 64 hex digits")]
    PublicKey,
    /// The number names no signature scheme.
    #[error("crypto type {0} is unknown, expected 1 (sr25519) or 0 (ed25519)")]
    CryptoType(u8),
    /// The name names no signature scheme.
    #[error("unknown signature scheme, expected {sr25519} or {ed25519}", sr25519 = CryptoType::Sr25519, ed25519 = CryptoType::Ed25519)]
    Scheme,
    /// The part after the phrase is not a row of `/soft` and `//hard` junctions.
    #[error("derivation path has an empty junction")]
    Path,
    /// ed25519 has no soft derivation.
    #[error("derivation path has a soft junction (/name), which ed25519 keys do not have; use //name")]
    SoftJunction,
    /// The system gives no random bytes.
    #[error("the system's random number generator failed; no key was made")]
    Randomness,
}
