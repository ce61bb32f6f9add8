//! PEM encoding of keys.

use pem_rfc7468::LineEnding;
use zeroize::Zeroizing;

const PUBLIC_LABEL: &str = "PUBLIC KEY";
const PRIVATE_LABEL: &str = "PRIVATE KEY";

/// Encodes a public key's DER (SubjectPublicKeyInfo) as PEM; `None` if the DER exceeds PEM's
/// maximum length.
pub(crate) fn encode_public(der: &[u8]) -> Option<String> {
    pem_rfc7468::encode_string(PUBLIC_LABEL, LineEnding::LF, der).ok()
}

/// Decodes the PEM of a public key to DER; `None` if the text is malformed or not a public key.
pub(crate) fn decode_public(text: &str) -> Option<Vec<u8>> {
    decode(text, PUBLIC_LABEL)
}

/// Decodes the PEM of a private key to DER (PKCS #8); `None` if the text is malformed or not a
/// private key.
pub(crate) fn decode_private(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    decode(text, PRIVATE_LABEL).map(Zeroizing::new)
}

fn decode(text: &str, expected_label: &str) -> Option<Vec<u8>> {
    let (label, der) = pem_rfc7468::decode_vec(text.trim().as_bytes()).ok()?;
    (label == expected_label).then_some(der)
}
