//! Unambiguous parsing of headers.

use std::time::Duration;

use axum::extract::OriginalUri;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use taonet_wallet::Signature;

use crate::{Refusal, SigningError};

/// Returns the header's text; `None` when it is absent or empty.
///
/// # Errors
/// [`Refusal::Duplicate`], or [`Refusal::Malformed`] when it is not visible ASCII.
pub(crate) fn optional<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::Duplicate(name));
    }
    let text = value.to_str().map_err(|_| Refusal::Malformed(name))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Returns the text of a required header; otherwise like [`optional`].
pub(crate) fn required<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Refusal> {
    optional(headers, name)?.ok_or(Refusal::Missing(name))
}

/// Parses the header's value.
pub(crate) fn parsed<T: std::str::FromStr>(
    headers: &HeaderMap,
    name: &'static str,
) -> Result<T, Refusal> {
    required(headers, name)?.parse().map_err(|_| Refusal::Malformed(name))
}

/// Parses a canonical decimal number: digits without sign or leading zeros.
pub(crate) fn decimal(headers: &HeaderMap, name: &'static str) -> Result<u64, Refusal> {
    let text = required(headers, name)?;
    let is_canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_canonical).ok_or(Refusal::Malformed(name))
}

/// Parses the UUID of a process. It contains no dot, so that signed texts joined by dots remain
/// unambiguous.
pub(crate) fn uuid(headers: &HeaderMap, name: &'static str) -> Result<String, Refusal> {
    let text = required(headers, name)?;
    let is_valid =
        text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if is_valid { Ok(text.to_owned()) } else { Err(Refusal::Malformed(name)) }
}

/// Checks a header of 32 bytes in lower-case hex; `None` when it is absent or empty.
pub(crate) fn hex_digest(
    headers: &HeaderMap,
    name: &'static str,
) -> Result<Option<String>, Refusal> {
    let Some(text) = optional(headers, name)? else { return Ok(None) };
    let is_valid =
        text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_valid { Ok(Some(text.to_owned())) } else { Err(Refusal::Malformed(name)) }
}

/// Parses seconds as a decimal number; zero when the header is absent or empty.
pub(crate) fn timeout(headers: &HeaderMap, name: &'static str) -> Result<Duration, Refusal> {
    let Some(text) = optional(headers, name)? else { return Ok(Duration::ZERO) };
    let seconds: f64 = text.parse().map_err(|_| Refusal::Malformed(name))?;
    Duration::try_from_secs_f64(seconds).map_err(|_| Refusal::Malformed(name))
}

/// Formats seconds as Python prints a float: `10.0`, `0.5`.
pub(crate) fn seconds_text(duration: Duration) -> String {
    format!("{:?}", duration.as_secs_f64())
}

/// Builds headers from names and values.
///
/// # Errors
/// [`SigningError::Header`] for an invalid header value.
pub(crate) fn header_map<const N: usize>(
    pairs: [(&'static str, String); N],
) -> Result<HeaderMap, SigningError> {
    // With capacity for the few headers that schemes add.
    let mut headers = HeaderMap::with_capacity(N + 4);
    for (name, text) in pairs {
        let value = HeaderValue::try_from(text).map_err(|_| SigningError::Header(name))?;
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(headers)
}

/// Parses a signature in canonical form: `0x` and lower-case hex, so that no other text denotes the
/// same signature.
pub(crate) fn signature(headers: &HeaderMap, name: &'static str) -> Result<Signature, Refusal> {
    let text = required(headers, name)?;
    let digits = text
        .strip_prefix("0x")
        .filter(|digits| digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    digits.and_then(|digits| digits.parse().ok()).ok_or(Refusal::Malformed(name))
}

/// Returns the request's path and query as sent, inside nested routers too.
pub(crate) fn path_and_query(head: &Parts) -> &str {
    let uri = head.extensions.get::<OriginalUri>().map_or(&head.uri, |original| &original.0);
    uri.path_and_query().map_or("/", |path| path.as_str())
}

/// Returns whether two bytes are equal when `-` and `_` count as the same.
fn is_equal_but_for_separator((a, b): (u8, u8)) -> bool {
    a == b || (matches!(a, b'-' | b'_') && matches!(b, b'-' | b'_'))
}

/// Refuses headers whose names differ from those with this prefix only by `-` for `_` or the
/// reverse: an intermediary that treats both as one could forward a different request.
pub(crate) fn reject_lookalikes(headers: &HeaderMap, prefix: &'static str) -> Result<(), Refusal> {
    let separator = prefix.bytes().find(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(b'_');
    let has_lookalike = headers.keys().any(|name| {
        let name = name.as_str();
        name.len() >= prefix.len()
            && name.bytes().zip(prefix.bytes()).all(is_equal_but_for_separator)
            && name.bytes().any(|byte| matches!(byte, b'-' | b'_') && byte != separator)
    });
    if has_lookalike { Err(Refusal::Lookalike(prefix)) } else { Ok(()) }
}
