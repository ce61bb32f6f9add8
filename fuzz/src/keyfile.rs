//! Keyfiles, plain and encrypted, without the slow derivation of a key from a password: no bytes
//! cause a panic, and a keyfile that is read is the same after a round trip.

use taonet_wallet::{EncryptedKeyfile, Encryption, Keyfile};

/// Checks one input.
pub fn check(file: &[u8]) {
    match EncryptedKeyfile::parse(file) {
        Ok(Some(sealed)) => assert_eq!(Some(sealed.encryption()), Encryption::of(file)),
        Ok(None) => assert!(Encryption::of(file).is_none()),
        Err(_) => assert!(Encryption::of(file).is_some()),
    }
    if let Ok(keyfile) = Keyfile::from_json(file) {
        let again = Keyfile::from_json(&keyfile.to_json()).expect("what is written is read");
        assert_eq!(again.public(), keyfile.public());
        assert_eq!(again.to_json(), keyfile.to_json());
    }
}
