//! Exports of browser wallets, up to the slow derivation of a key: no bytes panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taonet_wallet::{Password, PolkadotJs};

fuzz_target!(|json: &[u8]| {
    let Ok(account) = PolkadotJs::parse(json) else { return };
    if !account.is_encrypted() {
        if let Ok(pair) = account.open(&Password::new(String::new())) {
            assert_eq!(pair.public().as_bytes(), account.address().key());
        }
    }
});
