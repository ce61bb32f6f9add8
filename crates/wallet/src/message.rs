/// The text begins with `0x`, but the rest is not pairs of hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "text starts with 0x but is not hex; hint: to sign the text itself, pass it as a file or without 0x"
)]
pub struct MessageError;

/// Converts a text to the bytes to sign or verify: the decoded hex digits after `0x`, otherwise the
/// text as UTF-8.
///
/// # Errors
/// [`MessageError`] for `0x` not followed by pairs of hex digits.
pub fn message_bytes(text: &str) -> Result<Vec<u8>, MessageError> {
    match text.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).map_err(|_| MessageError),
        None => Ok(text.as_bytes().to_vec()),
    }
}
