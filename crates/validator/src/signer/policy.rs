use std::error::Error;

/// Decides which texts a signer signs. Each subnet knows the texts of its own protocols.
pub trait SigningPolicy: Send + Sync {
    /// Returns the kind of a permitted text, as used by metrics and the audit log.
    ///
    /// # Errors
    /// [`PayloadRefusal`] when the text must not be signed.
    fn check(&self, text: &str) -> Result<&'static str, PayloadRefusal>;
}

/// Why a text was refused.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PayloadRefusal(Box<dyn Error + Send + Sync>);

impl PayloadRefusal {
    /// Creates a refusal with this reason.
    pub fn new(reason: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(reason))
    }
}

/// Signs no texts: the policy of subnets whose requests are signed by the process that sends them.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTexts;

#[derive(Debug, thiserror::Error)]
#[error("this signer signs no texts")]
struct NothingToSign;

impl SigningPolicy for NoTexts {
    fn check(&self, _: &str) -> Result<&'static str, PayloadRefusal> {
        Err(PayloadRefusal::new(NothingToSign))
    }
}
