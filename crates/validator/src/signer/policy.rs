use std::error::Error;

/// A policy for the texts that a signer signs: returns the kind of a permitted text, as used by
/// metrics and the audit log. Each subnet permits the texts of its protocols.
pub type SigningPolicy = Box<dyn Fn(&str) -> Result<&'static str, PayloadRefusal> + Send + Sync>;

/// Why a [`SigningPolicy`] refused to sign a text.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PayloadRefusal(Box<dyn Error + Send + Sync>);

impl PayloadRefusal {
    /// Creates a refusal with this reason.
    pub fn new(reason: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(reason))
    }
}
