//! Timelock ciphertexts, bare and wrapped, and the weights within: no bytes panic, and what is read is written back alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taonet_timelock::{Ciphertext, FormatError, WeightsPayload, Wrapped};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    match Ciphertext::read(&mut rest) {
        Ok(ciphertext) => {
            let written = ciphertext.to_bytes();
            assert_eq!(written.len(), bytes.len() - rest.len());
            assert_eq!(Ciphertext::from_bytes(&written).as_ref(), Ok(&ciphertext));
            let whole = Ciphertext::from_bytes(bytes);
            assert_eq!(whole, if rest.is_empty() { Ok(ciphertext) } else { Err(FormatError::Trailing(rest.len())) });
        }
        Err(_) => assert_eq!(rest, bytes),
    }
    if let Ok(wrapped) = Wrapped::from_bytes(bytes) {
        assert_eq!(Wrapped::from_bytes(&wrapped.to_bytes()), Ok(wrapped));
    }
    if let Ok(weights) = WeightsPayload::from_bytes(bytes) {
        assert_eq!(weights.to_bytes(), bytes);
    }
});
