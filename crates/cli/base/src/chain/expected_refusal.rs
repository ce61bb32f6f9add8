//! Reasons, known before a call is sent, for which it is not sent.

use serde_json::{Value, json};

/// A reason, known before a call is sent, for which the chain would refuse the call or execute it
/// without effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedRefusal {
    /// Name of the error in JSON documents: that of the chain, if it has one.
    pub name: &'static str,
    /// Message and hint.
    pub text: String,
}

impl ExpectedRefusal {
    /// Returns the JSON error.
    pub fn error(&self) -> Value {
        let message = self.text.split("\nhint: ").next().unwrap_or_default();
        json!({ "name": self.name, "message": message })
    }
}
