//! Exports of browser wallets, without the slow derivation of a key from a password: no bytes cause
//! a panic, and an unencrypted key matches the address of its export.

use taonet_wallet::{Password, PolkadotJs};

/// Checks one input.
pub fn check(json: &[u8]) {
    let Ok(account) = PolkadotJs::parse(json) else { return };
    if !account.is_encrypted()
        && let Ok(pair) = account.open(&Password::new(String::new()))
    {
        assert_eq!(pair.public().as_bytes(), account.address().key());
    }
}
