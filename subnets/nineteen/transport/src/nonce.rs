use std::fmt;

use rand::Rng as _;
use rand::distr::Alphanumeric;

/// Number of random characters at the end of a nonce.
const SUFFIX_LENGTH: usize = 10;

/// Nonce of a request: `<nanoseconds since the Unix epoch>_<10 random letters and digits>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// Creates a nonce from the Unix time in nanoseconds and a random suffix.
    pub fn generate(now_ns: u64) -> Self {
        let suffix: String =
            rand::rng().sample_iter(Alphanumeric).take(SUFFIX_LENGTH).map(char::from).collect();
        Self(format!("{now_ns}_{suffix}"))
    }

    /// Creates a nonce from recorded text.
    #[cfg(test)]
    pub(crate) fn from_recorded(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Returns the nonce as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses the time of a nonce, with or without suffix, in nanoseconds since the Unix epoch;
    /// `None` if the text does not start with an unsigned 64-bit number (up to the year 2554).
    pub fn parse_time(text: &str) -> Option<u64> {
        let (digits, _) = text.split_once('_').unwrap_or((text, ""));
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_have_a_time_and_a_suffix() {
        let nonce = Nonce::generate(1_795_239_890_280_961_129);
        assert_eq!(Nonce::parse_time(nonce.as_str()), Some(1_795_239_890_280_961_129));
        let (_, suffix) = nonce.as_str().split_once('_').unwrap();
        assert!(
            suffix.len() == 10 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{suffix}"
        );
        assert_ne!(nonce, Nonce::generate(1_795_239_890_280_961_129));
    }

    #[test]
    fn nonce_time_is_an_unsigned_integer() {
        assert_eq!(Nonce::parse_time("17"), Some(17));
        assert_eq!(Nonce::parse_time("17_"), Some(17));
        for text in
            ["", "_x", "nonsense", "+17_x", "-17_x", "1 7_x", "100000000000000000001_x", "١٧_x"]
        {
            assert_eq!(Nonce::parse_time(text), None, "{text}");
        }
    }
}
