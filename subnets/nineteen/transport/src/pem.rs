//! PEM encoding of keys.

use pem_rfc7468::LineEnding;
use zeroize::Zeroizing;

const PUBLIC: &str = "PUBLIC KEY";
const PRIVATE: &str = "PRIVATE KEY";

/// Encodes a public key's DER (SubjectPublicKeyInfo) as PEM; `None` if it is too long, which no key is.
pub(crate) fn encode_public(der: &[u8]) -> Option<String> {
    pem_rfc7468::encode_string(PUBLIC, LineEnding::LF, der).ok()
}

/// The DER of a public key.
pub(crate) fn decode_public(text: &str) -> Option<Vec<u8>> {
    decode(text, PUBLIC)
}

/// The DER (PKCS #8) of a private key.
pub(crate) fn decode_private(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    decode(text, PRIVATE).map(Zeroizing::new)
}

fn decode(text: &str, expected: &str) -> Option<Vec<u8>> {
    let (label, der) = pem_rfc7468::decode_vec(text.trim().as_bytes()).ok()?;
    (label == expected).then_some(der)
}
