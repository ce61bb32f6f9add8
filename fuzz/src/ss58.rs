//! SS58 addresses of any network: no text causes a panic, and each accepted address has exactly one
//! spelling.

use taonet_primitives::{Coldkey, Hotkey, Ss58, Ss58Prefix};

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(address) = text.parse::<Ss58>() else {
        assert!(text.parse::<Hotkey>().is_err());
        return;
    };
    assert_eq!(address.to_string(), text);
    let hotkey = text.parse::<Hotkey>();
    assert_eq!(hotkey.is_ok(), address.prefix() == Ss58Prefix::BITTENSOR);
    assert_eq!(
        hotkey.ok().map(|key| *key.as_bytes()),
        text.parse::<Coldkey>().ok().map(|key| *key.as_bytes())
    );
}
