//! The index of a safetensors file: the header's length (u64), the header as JSON, the data.

use std::collections::HashMap;
use std::io::Read;

use serde::Deserialize;

use super::{ElementType, IndexError, TensorEntry};

/// Maximum header size in bytes; whisper-large's header has about 150 KB.
const MAX_HEADER_LENGTH: u64 = 16 << 20;

/// Locations of all tensors, by name.
#[derive(Debug)]
pub(crate) struct Index(HashMap<String, TensorEntry>);

#[derive(Deserialize)]
struct TensorHeader {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

impl Index {
    /// Reads the index of a file of `length` bytes.
    pub(crate) fn read(file: &mut impl Read, length: u64) -> Result<Self, IndexError> {
        let mut length_bytes = [0; 8];
        file.read_exact(&mut length_bytes)?;
        let header_length = u64::from_le_bytes(length_bytes);
        if header_length > MAX_HEADER_LENGTH || header_length + 8 > length {
            return Err(IndexError::Corrupt(format!("the header claims {header_length} bytes")));
        }
        let mut header = vec![0; header_length as usize];
        file.read_exact(&mut header)?;
        let header: HashMap<String, serde_json::Value> = serde_json::from_slice(&header)
            .map_err(|error| IndexError::Corrupt(format!("malformed header: {error}")))?;
        let mut entries = HashMap::with_capacity(header.len());
        for (name, value) in header {
            if name == "__metadata__" {
                continue;
            }
            let entry = entry(&name, value, header_length + 8, length)?;
            entries.insert(name, entry);
        }
        Ok(Self(entries))
    }

    /// Looks up a tensor by name.
    pub(crate) fn get(&self, name: &str) -> Option<&TensorEntry> {
        self.0.get(name)
    }

    /// Returns the total size of all tensors in memory, quantised, in bytes.
    pub(crate) fn quantized_bytes(&self) -> u64 {
        self.0.values().map(TensorEntry::quantized_bytes).sum()
    }
}

fn entry(
    name: &str,
    value: serde_json::Value,
    start: u64,
    length: u64,
) -> Result<TensorEntry, IndexError> {
    let header: TensorHeader = serde_json::from_value(value)
        .map_err(|error| IndexError::Corrupt(format!("tensor `{name}`: {error}")))?;
    let element_type = match header.dtype.as_str() {
        "F32" => ElementType::Float32,
        "F16" => ElementType::Float16,
        "BF16" => ElementType::BFloat16,
        other => {
            return Err(IndexError::Unsupported(format!(
                "element type {other} of tensor `{name}`"
            )));
        }
    };
    let [from, to] = header.data_offsets;
    let byte_length =
        header.shape.iter().try_fold(element_type.size(), |size, &extent| size.checked_mul(extent));
    let fits = from <= to && start.checked_add(to).is_some_and(|end| end <= length);
    match byte_length {
        Some(byte_length) if fits && to - from == byte_length as u64 => {
            Ok(TensorEntry { shape: header.shape, element_type, offset: start + from, byte_length })
        }
        _ => Err(IndexError::Corrupt(format!(
            "tensor `{name}` of shape {:?} claims the bytes {from}..{to} of {}",
            header.shape,
            length - start
        ))),
    }
}
