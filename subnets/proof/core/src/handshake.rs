//! The handshake that authenticates a QUIC connection, as in the published protocol crate
//! `btlightning` 0.2.15.
//!
//! The validator signs [`request_text`], the miner signs [`response_text`]. Both include the
//! fingerprint of the miner's TLS certificate, so that a signature is valid only on a connection to
//! the holder of that certificate's key.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest as _};

/// ALPN protocol name of the connection.
pub const ALPN: &[u8] = b"btlightning";

/// Returns the fingerprint of a certificate in DER: its BLAKE2b-256 hash in base64.
pub fn fingerprint(certificate: &[u8]) -> String {
    BASE64_STANDARD.encode(Blake2b::<U32>::digest(certificate))
}

/// Returns the text that a validator signs. `timestamp` is in seconds since the Unix epoch.
pub fn request_text(validator: &str, timestamp: u64, nonce: &str, fingerprint: &str) -> String {
    format!("handshake:{validator}:{timestamp}:{nonce}:{fingerprint}")
}

/// Returns the text that a miner signs. `timestamp` is in seconds since the Unix epoch.
pub fn response_text(
    validator: &str,
    miner: &str,
    timestamp: u64,
    nonce: &str,
    fingerprint: &str,
) -> String {
    format!("handshake_response:{validator}:{miner}:{timestamp}:{nonce}:{fingerprint}")
}

/// Returns a signature in base64.
pub fn encode_signature(signature: &[u8; 64]) -> String {
    BASE64_STANDARD.encode(signature)
}

/// Parses a signature in base64; `None` if it is malformed.
pub fn decode_signature(text: &str) -> Option<[u8; 64]> {
    BASE64_STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_64_bytes_in_base64() {
        let signature = [7; 64];
        assert_eq!(decode_signature(&encode_signature(&signature)), Some(signature));
        for malformed in ["", "?", "Bwc=", &BASE64_STANDARD.encode([7; 65])] {
            assert_eq!(decode_signature(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn fingerprints_are_blake2b_256() {
        // The BLAKE2b hash of the empty input (RFC 7693), with a digest of 32 bytes.
        assert_eq!(fingerprint(b""), "DldRwCblQ7Loqy6wYJnaodHl30d3j3eH+qtFzfEv46g=");
    }
}
