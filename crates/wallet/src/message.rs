/// The text begins with `0x` and goes on otherwise than with pairs of hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("text begins with 0x but is not hex; to sign the text itself, give it as a file or without 0x")]
pub struct MessageError;

/// The bytes that a text stands for where people sign and verify: hex after `0x`, otherwise the text's own UTF-8.
///
/// # Errors
/// [`MessageError`] for `0x` and something else than pairs of hex digits.
pub fn message_bytes(text: &str) -> Result<Vec<u8>, MessageError> {
    match text.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).map_err(|_| MessageError),
        None => Ok(text.as_bytes().to_vec()),
    }
}
