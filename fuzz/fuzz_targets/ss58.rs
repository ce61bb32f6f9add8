//! Addresses of any network: no text panics, and what is accepted has exactly one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taonet_primitives::{Coldkey, Hotkey, Ss58, Ss58Prefix};

fuzz_target!(|text: &str| {
    let Ok(address) = text.parse::<Ss58>() else {
        assert!(text.parse::<Hotkey>().is_err());
        return;
    };
    assert_eq!(address.to_string(), text);
    let hotkey = text.parse::<Hotkey>();
    assert_eq!(hotkey.is_ok(), address.prefix() == Ss58Prefix::BITTENSOR);
    assert_eq!(hotkey.ok().map(|key| *key.as_bytes()), text.parse::<Coldkey>().ok().map(|key| *key.as_bytes()));
});
