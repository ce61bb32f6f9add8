//! The index of a safetensors file: the header's length (u64), the header as JSON, the data.

use std::collections::HashMap;
use std::io::Read;

use serde::Deserialize;

use super::{ElementType, Entry, IndexError};

/// Maximum header size in bytes; whisper-large's header has about 150 KB.
const MAX_HEADER_LENGTH: u64 = 16 << 20;

/// Locations of all tensors, by name.
#[derive(Debug)]
pub(crate) struct Index(HashMap<String, Entry>);

#[derive(Deserialize)]
struct TensorHeader {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

impl Index {
    /// Reads the index of a file of `length` bytes.
    pub(crate) fn read(file: &mut impl Read, length: u64) -> Result<Self, IndexError> {
        let mut bytes = [0; 8];
        file.read_exact(&mut bytes)?;
        let size = u64::from_le_bytes(bytes);
        if size > MAX_HEADER_LENGTH || size + 8 > length {
            return Err(IndexError::Damaged(format!("the header claims {size} bytes")));
        }
        let mut header = vec![0; size as usize];
        file.read_exact(&mut header)?;
        let header: HashMap<String, serde_json::Value> = serde_json::from_slice(&header)
            .map_err(|error| IndexError::Damaged(format!("malformed header: {error}")))?;
        let mut entries = HashMap::with_capacity(header.len());
        for (name, value) in header {
            if name == "__metadata__" {
                continue;
            }
            let entry = entry(&name, value, size + 8, length)?;
            entries.insert(name, entry);
        }
        Ok(Self(entries))
    }

    /// Looks up a tensor by name.
    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.0.get(name)
    }

    /// Returns the total size of all tensors in memory, quantised, in bytes.
    pub(crate) fn quantized_bytes(&self) -> u64 {
        self.0.values().map(Entry::quantized_bytes).sum()
    }
}

fn entry(
    name: &str,
    value: serde_json::Value,
    start: u64,
    length: u64,
) -> Result<Entry, IndexError> {
    let header: TensorHeader = serde_json::from_value(value)
        .map_err(|error| IndexError::Damaged(format!("tensor `{name}`: {error}")))?;
    let element = match header.dtype.as_str() {
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
    let bytes =
        header.shape.iter().try_fold(element.size(), |size, &extent| size.checked_mul(extent));
    let fits = from <= to && start.checked_add(to).is_some_and(|end| end <= length);
    match bytes {
        Some(bytes) if fits && to - from == bytes as u64 => {
            Ok(Entry { shape: header.shape, element, offset: start + from, bytes })
        }
        _ => Err(IndexError::Damaged(format!(
            "tensor `{name}` of shape {:?} claims the bytes {from}..{to} of {}",
            header.shape,
            length - start
        ))),
    }
}
