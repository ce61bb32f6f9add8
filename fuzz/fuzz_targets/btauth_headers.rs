//! Requests of `btauth/1`: none panics, and the parts of the signed text stay apart.
#![no_main]

mod head;

use libfuzzer_sys::fuzz_target;
use taonet_wire::BtauthScheme;

fuzz_target!(|bytes: &[u8]| head::check(&BtauthScheme::new().accept_unbound(), bytes, b'\n', 8));
