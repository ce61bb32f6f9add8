//! Mnemonics, derivation URIs, public keys, signatures and texts to sign: no text causes a panic,
//! and mnemonics, keys and signatures survive a round trip.

use taonet_wallet::{CryptoType, Keypair, Mnemonic, PublicKey, Signature, message_bytes};

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
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
}
