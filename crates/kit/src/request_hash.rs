use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::protocol::{Protocol, serialise_fields};

/// The SHA-256 of a request's JSON, as the miners got it. It identifies the request of a step in
/// the records of a validator; written as 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestHash([u8; 32]);

/// The error for a text that is not a hash of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed hash of a request, expected 64 hex digits")]
pub struct RequestHashError;

impl RequestHash {
    /// Hashes a request.
    ///
    /// # Errors
    /// When the request cannot be serialised to a JSON object.
    pub fn of(request: &impl Protocol) -> Result<Self, serde_json::Error> {
        let json = serde_json::to_vec(&serialise_fields(request)?)?;
        Ok(Self(Sha256::digest(json).into()))
    }

    /// Creates a hash from its 32 bytes.
    pub const fn from_bytes(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// Returns the 32 bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for RequestHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for RequestHash {
    type Err = RequestHashError;

    fn from_str(text: &str) -> Result<Self, RequestHashError> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(|_| RequestHashError)?;
        Ok(Self(hash))
    }
}

impl TryFrom<String> for RequestHash {
    type Error = RequestHashError;

    fn try_from(text: String) -> Result<Self, RequestHashError> {
        text.parse()
    }
}

impl From<RequestHash> for String {
    fn from(hash: RequestHash) -> Self {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SumRequest;

    #[test]
    fn request_hash_covers_the_sent_json() {
        let hash = RequestHash::of(&SumRequest::ONE_AND_TWO).unwrap();
        let expected: [u8; 32] = Sha256::digest(br#"{"a":1,"b":2,"sum":null}"#).into();
        assert_eq!(hash, RequestHash::from_bytes(expected));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        let other = RequestHash::of(&SumRequest { a: 2, ..SumRequest::ONE_AND_TWO }).unwrap();
        assert_ne!(other, hash);
    }

    #[test]
    fn malformed_request_hashes_are_refused() {
        for text in ["", "ab", "0x", "g".repeat(64).as_str(), "a".repeat(66).as_str()] {
            assert_eq!(text.parse::<RequestHash>(), Err(RequestHashError), "{text}");
        }
    }
}
