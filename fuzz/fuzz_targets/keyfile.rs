//! Keyfiles, plain and encrypted, up to the slow derivation of a key: no bytes panic, and what is read is written back
//! alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taonet_wallet::{Encryption, Keyfile, Sealed};

fuzz_target!(|file: &[u8]| {
    match Sealed::parse(file) {
        Ok(Some(sealed)) => assert_eq!(Some(sealed.encryption()), Encryption::of(file)),
        Ok(None) => assert!(Encryption::of(file).is_none()),
        Err(_) => assert!(Encryption::of(file).is_some()),
    }
    if let Ok(keyfile) = Keyfile::from_json(file) {
        let again = Keyfile::from_json(&keyfile.to_json()).expect("what is written is read");
        assert_eq!(again.public(), keyfile.public());
        assert_eq!(again.to_json(), keyfile.to_json());
    }
});
