//! Metadata and values from a node: decoding any bytes ends, without a panic and without an
//! allocation that is much larger than the input.
//!
//! The input is the length of the metadata in two bytes, then the metadata, then bytes that are
//! decoded as events, values, keys and headers.

use taonet_chain::testing::decode_node_data;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk() else { return };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (metadata, bytes) = rest.split_at(length);
    decode_node_data(metadata, bytes);
}
