use minisign_verify::{Error, PublicKey, Signature};

/// Public key of this project's releases.
const PINNED_KEY: &str = include_str!("../release.pub");

/// A minisign public key that verifies releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseKey(PublicKey);

/// The text is not a minisign public key.
#[derive(Debug, thiserror::Error)]
#[error("invalid release key: {0}")]
pub struct KeyError(Error);

impl ReleaseKey {
    /// Returns the key that is compiled into the program, from `crates/update/release.pub`.
    ///
    /// # Errors
    /// When the program was built with an invalid key.
    pub fn pinned() -> Result<Self, KeyError> {
        Self::parse(PINNED_KEY)
    }

    /// Parses the content of a minisign public key file.
    ///
    /// # Errors
    /// [`KeyError`] if the text is not a minisign public key.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        PublicKey::decode(text.trim()).map(Self).map_err(KeyError)
    }

    /// Verifies a prehashed minisign signature, and with it the signature's trusted comment.
    pub(crate) fn verify(&self, message: &[u8], signature: &str) -> Result<(), Error> {
        self.0.verify(message, &Signature::decode(signature)?, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinned_key_is_valid() {
        ReleaseKey::pinned().unwrap();
        for bad in ["", "untrusted comment: x", "untrusted comment: x\nnot base64", "x\nUldRTFE="] {
            assert!(ReleaseKey::parse(bad).is_err(), "{bad}");
        }
    }
}
