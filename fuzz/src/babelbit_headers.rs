//! Requests of Babelbit's validators: checking a request never panics, and the signed text always
//! has five parts, so that no header value can add one.

use taonet_wire::BabelbitScheme;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    super::head::check(&BabelbitScheme::axon(), bytes, b'.', 5);
}
