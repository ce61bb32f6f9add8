//! The index of CTranslate2's binary model format, version 6.
//!
//! Little-endian: version (u32), name of the specification, its revision (u32), number of variables
//! (u32); then for each variable its name, rank (u8), dimensions (u32 each), element type (u8),
//! size in bytes (u32) and the data; then the number of aliases (u32) and for each alias its name
//! and its target variable. A string is its length with the terminating zero (u16), the bytes, and
//! the zero.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};

use super::{ElementType, IndexError, TensorEntry};

const VERSION: u32 = 6;
const SPECIFICATION: &str = "WhisperSpec";
const REVISION: u32 = 3;
/// Maximum number of variables; whisper-large has about 1 300.
const MAX_VARIABLES: u32 = 65_536;
const MAX_DIMENSIONS: u8 = 8;

/// Locations of all variables, by name and alias.
#[derive(Debug)]
pub(crate) struct Index {
    entries: HashMap<String, TensorEntry>,
    aliases: HashMap<String, String>,
}

impl Index {
    /// Reads the index of a file of `length` bytes.
    pub(crate) fn read(file: &mut (impl Read + Seek), length: u64) -> Result<Self, IndexError> {
        let version = read_u32(file)?;
        if version != VERSION {
            return Err(IndexError::Unsupported(format!(
                "binary version {version}, expected {VERSION}"
            )));
        }
        let specification = read_string(file)?;
        let revision = read_u32(file)?;
        if (specification.as_str(), revision) != (SPECIFICATION, REVISION) {
            return Err(IndexError::Unsupported(format!(
                "model `{specification}` revision {revision}, expected `{SPECIFICATION}` revision {REVISION}"
            )));
        }
        let count = check_count(read_u32(file)?, "variables")?;
        let mut entries = HashMap::with_capacity(count as usize);
        for _ in 0..count {
            let (name, entry) = read_variable(file)?;
            let end = entry.offset + entry.byte_length as u64;
            if end > length {
                return Err(IndexError::Corrupt(format!(
                    "tensor `{name}` ends at byte {end}, the file at {length}"
                )));
            }
            file.seek(SeekFrom::Start(end))?;
            entries.insert(name, entry);
        }
        let count = check_count(read_u32(file)?, "aliases")?;
        let mut aliases = HashMap::with_capacity(count as usize);
        for _ in 0..count {
            aliases.insert(read_string(file)?, read_string(file)?);
        }
        Ok(Self { entries, aliases })
    }

    /// Looks up a variable by name or alias.
    pub(crate) fn get(&self, name: &str) -> Option<&TensorEntry> {
        self.entries.get(name).or_else(|| self.entries.get(self.aliases.get(name)?))
    }

    /// Returns the total size of all variables in memory, quantised, in bytes.
    pub(crate) fn quantized_bytes(&self) -> u64 {
        self.entries.values().map(TensorEntry::quantized_bytes).sum()
    }
}

fn read_variable(file: &mut (impl Read + Seek)) -> Result<(String, TensorEntry), IndexError> {
    let name = read_string(file)?;
    let rank = read_byte(file)?;
    if rank > MAX_DIMENSIONS {
        return Err(IndexError::Corrupt(format!(
            "tensor `{name}` has more than {MAX_DIMENSIONS} dimensions"
        )));
    }
    let shape =
        (0..rank).map(|_| Ok(read_u32(file)? as usize)).collect::<Result<Vec<_>, IndexError>>()?;
    let element_type = match read_byte(file)? {
        0 => ElementType::Float32,
        1 => ElementType::Int8,
        2 => ElementType::Int16,
        3 => ElementType::Int32,
        4 => ElementType::Float16,
        5 => ElementType::BFloat16,
        other => {
            return Err(IndexError::Unsupported(format!(
                "element type {other} of tensor `{name}`"
            )));
        }
    };
    // Attributes are scalars of these types. Arrays of them are weights quantised to 16 bits, which
    // need their scales.
    if rank > 0 && matches!(element_type, ElementType::Int16 | ElementType::Int32) {
        return Err(IndexError::Unsupported(format!(
            "tensor `{name}` has {}-bit integers; hint: convert the model with `--quantization int8`",
            8 * element_type.size()
        )));
    }
    let byte_length = read_u32(file)? as usize;
    let expected_length =
        shape.iter().try_fold(element_type.size(), |size, &extent| size.checked_mul(extent));
    if expected_length != Some(byte_length) {
        return Err(IndexError::Corrupt(format!(
            "tensor `{name}` of shape {shape:?} has {byte_length} bytes"
        )));
    }
    let offset = file.stream_position()?;
    Ok((name, TensorEntry { shape, element_type, offset, byte_length }))
}

fn check_count(count: u32, item: &str) -> Result<u32, IndexError> {
    if count > MAX_VARIABLES {
        Err(IndexError::Corrupt(format!("more than {MAX_VARIABLES} {item}")))
    } else {
        Ok(count)
    }
}

fn read_byte(file: &mut impl Read) -> Result<u8, IndexError> {
    let mut bytes = [0; 1];
    file.read_exact(&mut bytes)?;
    Ok(u8::from_le_bytes(bytes))
}

fn read_u32(file: &mut impl Read) -> Result<u32, IndexError> {
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn read_string(file: &mut impl Read) -> Result<String, IndexError> {
    let mut length = [0; 2];
    file.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_le_bytes(length))];
    file.read_exact(&mut bytes)?;
    if bytes.pop() != Some(0) {
        return Err(IndexError::Corrupt("a name does not end with a zero".to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| IndexError::Corrupt("a name is not UTF-8".to_owned()))
}
