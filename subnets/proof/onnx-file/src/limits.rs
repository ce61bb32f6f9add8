//! A limit on the number of parts of a model file, checked before it is decoded: an empty part
//! takes two bytes in the file, and hundreds in memory.

use prost::bytes::Buf as _;
use prost::encoding::{WireType, decode_key, decode_varint};

/// Maximum number of nodes, attributes, weights, names and other parts of varying length.
pub(super) const MAX_PARTS: usize = 1 << 18;

/// A message of the format, of which the decoder reads these fields as messages.
#[derive(Clone, Copy)]
struct MessageSchema(&'static [(u32, &'static MessageSchema)]);

/// Depth of messages within messages from which on the decoder rejects a file.
const MAX_DEPTH: usize = 100;

static LEAF: MessageSchema = MessageSchema(&[]);
static SHAPE: MessageSchema = MessageSchema(&[(1, &LEAF)]);
static TENSOR_TYPE: MessageSchema = MessageSchema(&[(2, &SHAPE)]);
static TYPE: MessageSchema = MessageSchema(&[(1, &TENSOR_TYPE)]);
static VALUE: MessageSchema = MessageSchema(&[(2, &TYPE)]);
static TENSOR: MessageSchema = MessageSchema(&[(13, &LEAF)]);
// Branches are graphs.
static ATTRIBUTE: MessageSchema = MessageSchema(&[(5, &TENSOR), (6, &GRAPH)]);
static NODE: MessageSchema = MessageSchema(&[(5, &ATTRIBUTE)]);
static GRAPH: MessageSchema =
    MessageSchema(&[(1, &NODE), (5, &TENSOR), (11, &VALUE), (12, &VALUE)]);
static MODEL: MessageSchema = MessageSchema(&[(7, &GRAPH), (8, &LEAF)]);

/// Returns whether a model file has at most [`MAX_PARTS`] parts. Malformed parts count as one: the
/// decoder rejects them.
pub(super) fn is_within_limits(bytes: &[u8]) -> bool {
    let mut remaining_parts = MAX_PARTS;
    count_parts(bytes, MODEL, 0, &mut remaining_parts).is_some()
}

/// Subtracts the parts of a message; `None` once there are too many.
fn count_parts(
    mut bytes: &[u8],
    schema: MessageSchema,
    depth: usize,
    remaining_parts: &mut usize,
) -> Option<()> {
    while bytes.has_remaining() {
        let Ok((tag, wire)) = decode_key(&mut bytes) else { return Some(()) };
        let length = match wire {
            WireType::Varint => {
                let Ok(_) = decode_varint(&mut bytes) else { return Some(()) };
                continue;
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => {
                *remaining_parts = remaining_parts.checked_sub(1)?;
                let Ok(length) = decode_varint(&mut bytes) else { return Some(()) };
                usize::try_from(length).unwrap_or(usize::MAX)
            }
            // Groups have no place in the format, and the decoder would skip them.
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        let Some((part, remaining)) = bytes.split_at_checked(length) else { return Some(()) };
        if wire == WireType::LengthDelimited
            && let Some((_, inner)) = schema.0.iter().find(|(inner_tag, _)| *inner_tag == tag)
            && depth < MAX_DEPTH
        {
            count_parts(part, **inner, depth + 1, remaining_parts)?;
        }
        bytes = remaining;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_empty_parts_are_refused_before_they_are_decoded() {
        // A graph of empty nodes, two bytes each.
        let graph = |nodes: usize| {
            let mut bytes = vec![0x3a];
            prost::encoding::encode_varint(2 * nodes as u64, &mut bytes);
            bytes.extend([0x0a, 0x00].repeat(nodes));
            bytes
        };
        assert!(is_within_limits(&graph(MAX_PARTS - 1)));
        assert!(!is_within_limits(&graph(MAX_PARTS)));
        // Bytes of a weight that look like parts are not counted.
        let mut weight = vec![0x4a];
        prost::encoding::encode_varint(2 * MAX_PARTS as u64, &mut weight);
        weight.extend([0x0a, 0x00].repeat(MAX_PARTS));
        let nested = |tag: u8, inner: &[u8]| {
            let mut bytes = vec![tag];
            prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
            bytes.extend_from_slice(inner);
            bytes
        };
        assert!(is_within_limits(&nested(0x3a, &nested(0x2a, &weight))));
        // Nodes of a branch are counted, and so are the If node, its attribute and its graph.
        let branch =
            |nodes: usize| nested(0x0a, &nested(0x2a, &nested(0x32, &[0x0a, 0x00].repeat(nodes))));
        assert!(is_within_limits(&nested(0x3a, &branch(MAX_PARTS - 4))));
        assert!(!is_within_limits(&nested(0x3a, &branch(MAX_PARTS - 3))));
        // Branches within branches end where the decoder refuses them.
        let deep = (0..1000)
            .fold(Vec::new(), |inner, _| nested(0x0a, &nested(0x2a, &nested(0x32, &inner))));
        assert!(is_within_limits(&nested(0x3a, &deep)));
    }
}
