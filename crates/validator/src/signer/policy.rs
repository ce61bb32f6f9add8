use std::error::Error;

/// Which texts a signer signs. A subnet knows the texts of its own protocols.
pub trait SigningPolicy: Send + Sync {
    /// The kind of a text that may be signed, as metrics and the audit log name it.
    ///
    /// # Errors
    /// [`PayloadRefusal`] when it is not to be signed.
    fn check(&self, text: &str) -> Result<&'static str, PayloadRefusal>;
}

/// Why a text is not signed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PayloadRefusal(Box<dyn Error + Send + Sync>);

impl PayloadRefusal {
    /// A refusal for this reason.
    pub fn new(reason: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(reason))
    }
}
