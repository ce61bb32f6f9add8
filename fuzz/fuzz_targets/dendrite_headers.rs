//! Requests of dendrites: none panics, and the parts of the signed text stay apart.
#![no_main]

mod head;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use taonet_wire::{DendriteScheme, SynapseClass};

static SCHEME: LazyLock<DendriteScheme> = LazyLock::new(|| {
    let echo = SynapseClass::new("EchoSynapse").hash(["prompt", "numbers"]);
    DendriteScheme::new().class(echo).accept_old_versions()
});

fuzz_target!(|bytes: &[u8]| head::check(&*SCHEME, bytes, b'.', 5));
