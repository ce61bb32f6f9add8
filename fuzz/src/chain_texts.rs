//! Texts that users and nodes supply to the chain client: parsing never panics, amounts and hashes
//! survive a round trip, and the name of a network never shows the credentials of its address.

use taonet_chain::{Network, RefusalReason, Share};
use taonet_primitives::{BlockHash, Rao};

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(amount) = text.parse::<Rao>() {
        assert_eq!(amount.to_string().parse(), Ok(amount));
    }
    if let Ok(hash) = text.parse::<BlockHash>() {
        assert_eq!(hash.to_string(), text.to_lowercase());
    }
    let _ = text.parse::<Share>();
    if let Ok(network) = text.parse::<Network>() {
        assert!(!network.to_string().contains(['@', '?']));
    }
    for code in [1010, 1012, 1014, -32000] {
        let _ = RefusalReason::from_rpc_error(code, text, Some(text)).to_string();
    }
}
