//! Mnemonics, derivation URIs, public keys and texts to sign: no text panics, and what is read is written back alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taonet_wallet::{CryptoType, Keypair, Mnemonic, PublicKey, Signature, message_bytes};

fuzz_target!(|text: &str| {
    if let Ok(mnemonic) = Mnemonic::parse(text) {
        assert!(mnemonic.phrase().split(' ').eq(text.split_whitespace()));
    }
    for crypto_type in [CryptoType::Sr25519, CryptoType::Ed25519] {
        if let Ok(pair) = Keypair::from_uri_with(text, crypto_type) {
            assert!(pair.public().verify(b"message", &pair.sign(b"message")));
        }
        if let Ok(key) = PublicKey::parse(text, crypto_type) {
            assert_eq!(PublicKey::parse(&key.to_string(), crypto_type), Ok(key));
        }
    }
    if let Ok(signature) = text.parse::<Signature>() {
        assert_eq!(signature.to_string().parse(), Ok(signature));
    }
    let _ = message_bytes(text);
});
