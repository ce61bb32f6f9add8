//! The structure of an ONNX file, checked before rten reads it.
//!
//! rten 0.27 allocates as many bytes as a field claims to have, even if they are more than the
//! message around it has, and reads malformed integers for ever: a damaged file could abort the
//! process, or hang it.

pub(crate) mod graph;

/// Maximum depth of messages in other messages, which rten reads by recursion. A network without
/// branches has 6.
const MAX_DEPTH: usize = 32;
/// Maximum number of bytes of an integer of variable length.
const MAX_INTEGER_BYTES: usize = 10;

/// The messages of ONNX that contain others, or packed numbers, as far as rten reads them.
#[derive(Debug, Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Value,
    Type,
    TensorType,
    SequenceType,
    Shape,
    /// A message of integers and texts only.
    Plain,
}

/// The content of a field with a length.
enum Content {
    Message(Message),
    /// Integers of variable length, one after the other.
    Integers,
    /// Numbers of this many bytes each.
    Numbers(usize),
    /// A text, bytes, or a field that rten skips.
    Bytes,
}

impl Message {
    /// Returns the content of the field with this number.
    const fn content(self, field: u64) -> Content {
        Content::Message(match (self, field) {
            (Self::Model, 7) | (Self::Attribute, 6) => Self::Graph,
            (Self::Model, 8 | 14) | (Self::Tensor, 13) | (Self::Shape, 1) => Self::Plain,
            (Self::Graph, 1) => Self::Node,
            (Self::Graph | Self::Attribute, 5) => Self::Tensor,
            (Self::Graph, 11..=13) => Self::Value,
            (Self::Node, 5) => Self::Attribute,
            (Self::Value, 2) | (Self::SequenceType, 1) => Self::Type,
            (Self::Type, 1) => Self::TensorType,
            (Self::Type, 4) => Self::SequenceType,
            (Self::TensorType, 2) => Self::Shape,
            (Self::Tensor, 4) => return Content::Numbers(size_of::<f32>()),
            (Self::Tensor, 5 | 7) => return Content::Integers,
            (Self::Tensor, 10) => return Content::Numbers(size_of::<f64>()),
            _ => return Content::Bytes,
        })
    }
}

/// Checks that every length in an ONNX file is at most that of the message around it, and every
/// integer well formed.
///
/// # Errors
/// The first malformed field.
pub(crate) fn check(file: &[u8]) -> Result<(), String> {
    check_message(file, Message::Model, 0)
}

fn check_message(mut unread: &[u8], message: Message, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("it has messages in each other, more than {MAX_DEPTH} deep"));
    }
    while !unread.is_empty() {
        let (number, value) = take_field(&mut unread)?;
        if let Value::Bytes(bytes) = value {
            check_content(bytes, &message.content(number), depth)?;
        }
    }
    Ok(())
}

/// The value of a field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// An integer of variable length.
    Integer(u64),
    /// A number of 4 bytes.
    Fixed([u8; 4]),
    /// A number of 8 bytes, which no field has that this crate reads.
    Long,
    /// A text, a message, or packed numbers.
    Bytes(&'a [u8]),
}

/// Takes the first field of a message: its number and its value.
///
/// # Errors
/// Why the field is malformed.
pub(crate) fn take_field<'a>(unread: &mut &'a [u8]) -> Result<(u64, Value<'a>), String> {
    let tag = take_integer(unread)?;
    let value = match tag & 7 {
        0 => Value::Integer(take_integer(unread)?),
        1 => take_bytes(unread, 8).map(|_| Value::Long)?,
        2 => {
            let length = take_integer(unread)?;
            Value::Bytes(take_bytes(unread, length)?)
        }
        5 => Value::Fixed(take_bytes(unread, 4)?.try_into().unwrap_or_default()),
        // Groups, 3 and 4, are deprecated, and not in ONNX.
        wire_type => return Err(format!("it has a field of the unknown kind {wire_type}")),
    };
    Ok((tag >> 3, value))
}

/// Checks the content of a field. rten reads packed numbers beyond its end if they do not fill it
/// exactly.
fn check_content(mut bytes: &[u8], content: &Content, depth: usize) -> Result<(), String> {
    match content {
        Content::Message(message) => check_message(bytes, *message, depth + 1),
        Content::Integers => {
            while !bytes.is_empty() {
                take_integer(&mut bytes)?;
            }
            Ok(())
        }
        Content::Numbers(size) if !bytes.len().is_multiple_of(*size) => {
            Err(format!("it has {} bytes of numbers of {size} bytes", bytes.len()))
        }
        Content::Numbers(_) | Content::Bytes => Ok(()),
    }
}

/// Takes the first `length` bytes.
fn take_bytes<'a>(unread: &mut &'a [u8], length: u64) -> Result<&'a [u8], String> {
    let bytes = *unread;
    let parts = usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
    let (part, following) = parts.ok_or_else(|| {
        format!("it has a field of {length} bytes where only {} follow", bytes.len())
    })?;
    *unread = following;
    Ok(part)
}

/// Takes an integer of variable length: 7 bits in each byte, of which all but the last have the
/// highest bit set.
pub(crate) fn take_integer(unread: &mut &[u8]) -> Result<u64, String> {
    let bytes = *unread;
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(MAX_INTEGER_BYTES).enumerate() {
        let bits = u64::from(byte & 0x7f);
        value |= bits << (7 * index);
        if *byte < 0x80 {
            // The tenth byte has room for one bit only.
            let is_complete = value >> (7 * index) == bits;
            *unread = bytes.get(index + 1..).unwrap_or_default();
            return if is_complete {
                Ok(value)
            } else {
                Err("it has an integer of more than 64 bits".to_owned())
            };
        }
    }
    Err("it has an integer without an end".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, bytes, integer};

    #[test]
    fn well_formed_network_passes() {
        check(&testing::network(&testing::INPUTS)).unwrap();
        check(&[]).unwrap();
    }

    /// Columns: file · part of the error
    #[test]
    fn malformed_onnx_files_are_refused() {
        let tensor = |field: &[u8]| bytes(7, bytes(5, field));
        let nested = (0..12).fold(Vec::new(), |graph, _| bytes(1, bytes(5, bytes(6, graph))));
        for (file, expected) in [
            // After an empty graph, rten 0.27 would allocate 2^62 bytes for the name of the
            // producer.
            (
                b"\x08\x08\x3a\x00\x12\x80\x80\x80\x80\x80\x80\x80\x80\x40".to_vec(),
                "bytes where only 0 follow",
            ),
            // The tensor ends after its name, whose length is that of the file.
            (
                [tensor(&[0x42, 4]), integer(1, 8), integer(1, 8)].concat(),
                "a field of 4 bytes where only 0 follow",
            ),
            (vec![0x0a], "an integer without an end"),
            ([&[0x08_u8][..], &[0xff; 10], &[0; 8]].concat(), "an integer without an end"),
            ([&[0x08_u8][..], &[0xff; 9], &[2]].concat(), "an integer of more than 64 bits"),
            (vec![0x09, 1, 2, 3], "a field of 8 bytes where only 3 follow"),
            (vec![0x0d, 1, 2, 3], "a field of 4 bytes where only 3 follow"),
            (vec![0x0b], "a field of the unknown kind 3"),
            (tensor(&bytes(4, [0_u8; 6])), "6 bytes of numbers of 4 bytes"),
            (tensor(&bytes(10, [0_u8; 12])), "12 bytes of numbers of 8 bytes"),
            (tensor(&bytes(7, [1_u8, 0x80])), "an integer without an end"),
            (bytes(7, nested), "more than 32 deep"),
        ] {
            let error = check(&file).unwrap_err();
            assert!(error.contains(expected), "{file:x?}: {error}");
        }
        // The largest integer.
        check(&[&[0x08_u8][..], &[0xff; 9], &[1]].concat()).unwrap();
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_never_panic(file in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = check(&file);
        }
    }
}
