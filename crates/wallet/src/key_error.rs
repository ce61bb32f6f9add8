use crate::CryptoType;
use taonet_primitives::counted;

/// Why a key could not be created or parsed. Messages never contain the secret text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The number of words is not 12, 15, 18, 21 or 24.
    #[error("mnemonic has {}, expected 12, 15, 18, 21 or 24", counted(.0, "word"))]
    WordCount(usize),
    /// A word, counted from 1, is not in the English list.
    #[error("word {0} of the mnemonic is not in the English word list")]
    UnknownWord(usize),
    /// All words are known, but the checksum does not match.
    #[error("mnemonic checksum does not match: a word is wrong or out of order")]
    Checksum,
    /// The seed is not 64 hex digits. In a derivation URI it requires the prefix `0x`.
    #[error("seed is not 64 hex digits")]
    Seed,
    /// The private key is neither 128 hex digits with a canonical scalar (sr25519) nor 64 hex
    /// digits (ed25519).
    #[error(
        "malformed private key, expected 128 hex digits of a canonical sr25519 key, or 64 of an ed25519 seed"
    )]
    PrivateKey,
    /// The public key is not 64 hex digits. Where an address is also accepted, the digits require
    /// the prefix `0x`.
    #[error("public key is not 64 hex digits")]
    PublicKey,
    /// The number of the signature scheme is unknown.
    #[error("crypto type {0} is unknown, expected 1 (sr25519) or 0 (ed25519)")]
    CryptoType(u8),
    /// The name of the signature scheme is unknown.
    #[error("unknown signature scheme, expected {sr25519} or {ed25519}", sr25519 = CryptoType::Sr25519, ed25519 = CryptoType::Ed25519)]
    Scheme,
    /// The part after the phrase is not a sequence of `/soft` and `//hard` junctions.
    #[error("derivation path has an empty junction")]
    Path,
    /// Soft derivation is unsupported for ed25519.
    #[error(
        "derivation path has a soft junction (/name), which ed25519 does not support; hint: use //name"
    )]
    SoftJunction,
    /// The system's random number generator failed.
    #[error("the system's random number generator failed")]
    Randomness,
}
