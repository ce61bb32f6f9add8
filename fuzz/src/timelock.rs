//! Timelock ciphertexts, bare and wrapped, and the weights that they contain: no bytes cause a
//! panic, and all decoded values survive a round trip.

use taonet_timelock::{Ciphertext, FormatError, WeightsPayload, WrappedCiphertext};

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let mut remaining = bytes;
    match Ciphertext::read(&mut remaining) {
        Ok(ciphertext) => {
            let encoded = ciphertext.to_bytes();
            assert_eq!(encoded.len(), bytes.len() - remaining.len());
            assert_eq!(Ciphertext::from_bytes(&encoded).as_ref(), Ok(&ciphertext));
            let complete = Ciphertext::from_bytes(bytes);
            assert_eq!(
                complete,
                if remaining.is_empty() {
                    Ok(ciphertext)
                } else {
                    Err(FormatError::Trailing(remaining.len()))
                }
            );
        }
        Err(_) => assert_eq!(remaining, bytes),
    }
    if let Ok(wrapped) = WrappedCiphertext::from_bytes(bytes) {
        assert_eq!(WrappedCiphertext::from_bytes(&wrapped.to_bytes()), Ok(wrapped));
    }
    if let Ok(weights) = WeightsPayload::from_bytes(bytes) {
        assert_eq!(weights.to_bytes(), bytes);
    }
}
