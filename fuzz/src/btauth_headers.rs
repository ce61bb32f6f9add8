//! Requests of `btauth/1`: checking a request never panics, and the signed text always has eight
//! parts, so that no header value can add one.

use taonet_wire::BtauthScheme;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    super::head::check(&BtauthScheme::new().accept_unbound(), bytes, b'\n', 8);
}
