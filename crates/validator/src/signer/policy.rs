use std::error::Error;

/// A policy for the texts that a signer signs. Each subnet permits the texts of its protocols.
pub trait SigningPolicy: Send + Sync {
    /// Returns the kind of a permitted text, as used by metrics and the audit log.
    ///
    /// # Errors
    /// [`PayloadRefusal`] when the text must not be signed.
    fn check(&self, text: &str) -> Result<&'static str, PayloadRefusal>;
}

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
