//! What a node says, of itself and of its state: whatever it is, reading it ends, and takes no more room than it has bytes.
//!
//! Two bytes with the length of the metadata, the metadata, and then events, values, keys and headers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taonet_chain::testing::read_as_from_a_node;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first_chunk() else { return };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (metadata, bytes) = rest.split_at(length);
    read_as_from_a_node(metadata, bytes);
});
