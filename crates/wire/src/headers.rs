//! Reading headers so that nothing is ambiguous.

use http::HeaderMap;

use crate::Refusal;

/// The header's text, `None` when it is absent or empty.
///
/// # Errors
/// [`Refusal::Duplicate`], or [`Refusal::Malformed`] when it is not visible ASCII.
pub(crate) fn optional<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::Duplicate(name));
    }
    let text = value.to_str().map_err(|_| Refusal::Malformed(name))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// The header's text; as [`optional`], but it must be there.
pub(crate) fn required<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Refusal> {
    optional(headers, name)?.ok_or(Refusal::Missing(name))
}

/// What the header's text stands for.
pub(crate) fn parsed<T: std::str::FromStr>(headers: &HeaderMap, name: &'static str) -> Result<T, Refusal> {
    required(headers, name)?.parse().map_err(|_| Refusal::Malformed(name))
}
