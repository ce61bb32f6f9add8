//! Texts on the way to and from the chain: none panics, amounts have one value, and no address shows what is secret.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taonet_chain::{Network, RefusedBecause, Share};
use taonet_primitives::{BlockHash, Rao};

fuzz_target!(|text: &str| {
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
        let _ = RefusedBecause::of_rpc_error(code, text, Some(text)).to_string();
    }
});
