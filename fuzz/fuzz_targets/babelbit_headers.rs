//! Requests of Babelbit's validators: none panics, and the parts of the signed text stay apart.
#![no_main]

mod head;

use libfuzzer_sys::fuzz_target;
use taonet_wire::BabelbitScheme;

fuzz_target!(|bytes: &[u8]| head::check(&BabelbitScheme::axon(), bytes, b'.', 5));
