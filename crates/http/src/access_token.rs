use std::fmt;

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::client::bearer;

/// Minimum length of a token in characters; shorter tokens are too easy to guess.
const MIN_LENGTH: usize = 16;
/// Maximum length of a token in characters.
const MAX_LENGTH: usize = 512;

/// A secret that clients of the signer and the Subtensor gateway send as a bearer token. `Debug`
/// does not show it.
#[derive(Clone)]
pub struct AccessToken(Zeroizing<String>);

/// The text is not a valid access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "malformed access token, expected one line of {MIN_LENGTH} to {MAX_LENGTH} visible ASCII characters; hint: generate \
     one with openssl rand -hex 32"
)]
pub struct TokenError;

impl AccessToken {
    /// Parses a token from the text of its file; surrounding whitespace is ignored.
    ///
    /// # Errors
    /// [`TokenError`] if the token is too short, too long, or contains a character other than
    /// visible ASCII.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let is_valid = (MIN_LENGTH..=MAX_LENGTH).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_valid { Ok(Self(Zeroizing::new(text.to_owned()))) } else { Err(TokenError) }
    }

    /// Whether a request carries this token as `Authorization: Bearer …`. The comparison takes
    /// constant time.
    pub fn authorizes(&self, headers: &HeaderMap) -> bool {
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let credentials = header.and_then(|header| header.split_once(' '));
        credentials.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case("bearer")
                && Sha256::digest(token.trim()) == Sha256::digest(self.0.as_bytes())
        })
    }

    /// Returns the token as the value of an `Authorization` header.
    pub fn header(&self) -> Option<HeaderValue> {
        bearer(&self.0)
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_accepted_only_as_bearer_token() {
        let token = AccessToken::parse(" 0123456789abcdef\n").unwrap();
        assert_eq!(format!("{token:?}"), "AccessToken");
        let authorizes = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            token.authorizes(&headers)
        };
        for (header, is_authorized) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer  0123456789abcdef ", true),
            ("Bearer 0123456789abcdeF", false),
            ("Bearer 0123456789abcde", false),
            ("Bearer", false),
            ("Bearer ", false),
            ("Basic 0123456789abcdef", false),
            ("0123456789abcdef", false),
        ] {
            assert_eq!(authorizes(header), is_authorized, "{header}");
        }
        assert!(!token.authorizes(&HeaderMap::new()));
        assert!(authorizes(token.header().unwrap().to_str().unwrap()));
    }

    #[test]
    fn weak_token_is_rejected() {
        for text in [
            "",
            "short",
            "0123456789abcde",
            "0123456789 abcdef",
            "0123456789abcdeé",
            &"x".repeat(513),
        ] {
            assert!(AccessToken::parse(text).is_err(), "{text}");
        }
    }
}
