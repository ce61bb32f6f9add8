//! Requests of the dendrite protocol: checking a request never panics, and the signed text always
//! has five parts, so that no header value can add one.

use std::sync::LazyLock;

use taonet_wire::{DendriteScheme, SynapseClass};

static SCHEME: LazyLock<DendriteScheme> = LazyLock::new(|| {
    let echo = SynapseClass::new("EchoSynapse").hash(["prompt", "numbers"]);
    DendriteScheme::new().class(echo).accept_old_versions()
});

/// Checks one input.
pub fn check(bytes: &[u8]) {
    super::head::check(&*SCHEME, bytes, b'.', 5);
}
