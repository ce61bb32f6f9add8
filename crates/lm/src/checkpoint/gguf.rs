//! GGUF files: metadata, and the positions of the tensors. Every length, offset and shape is
//! checked against the size of the file before memory is allocated for it.

mod pre_tokenizers;
mod tokenizer;
mod values;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::ggml_file::qtensor_from_ggml;
use candle_core::quantized::{GgmlDType, QTensor};

use crate::LoadError;

/// First bytes of every file.
const MAGIC: [u8; 4] = *b"GGUF";
/// Default alignment of the tensors in bytes.
const DEFAULT_ALIGNMENT: u64 = 32;
/// Maximum number of dimensions of a tensor.
const MAX_DIMENSIONS: u32 = 4;
/// Arrays that are kept in memory. All others are skipped, whatever their length.
const USED_ARRAYS: [&str; 4] = [
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.merges",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.token_type",
];
/// Maximum alignment of the tensors in bytes.
const MAX_ALIGNMENT: i128 = 1 << 20;

/// A value of the metadata. Types without a use here are skipped.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Flag(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    Texts(Vec<String>),
    Floats(Vec<f32>),
    Integers(Vec<i32>),
    Unused,
}

/// Position and shape of a tensor.
#[derive(Debug, Clone)]
struct TensorEntry {
    format: GgmlDType,
    /// Dimensions, the outermost first.
    shape: Vec<usize>,
    /// First byte, from the start of the file.
    start: u64,
    bytes: usize,
}

/// An open GGUF file.
#[derive(Debug)]
pub(super) struct Gguf {
    path: PathBuf,
    file: File,
    metadata: HashMap<String, Value>,
    tensors: HashMap<String, TensorEntry>,
}

impl Gguf {
    /// Reads the header of a file.
    pub(super) fn open(path: &Path) -> Result<Self, LoadError> {
        let (file, size) = File::open(path)
            .and_then(|file| file.metadata().map(|metadata| (file, metadata.len())))
            .map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        let mut header = Header {
            path,
            reader: BufReader::new(&file),
            remaining: size,
            field: "header".to_owned(),
        };
        if header.bytes::<4>()? != MAGIC {
            return Err(header.field_error("is not a GGUF file"));
        }
        let version = header.u32()?;
        if !(2..=3).contains(&version) {
            return Err(
                header.field_error(format!("version {version} is not supported, only 2 and 3"))
            );
        }
        let (tensor_count, value_count) = (header.u64()?, header.u64()?);
        // Each entry takes at least this many bytes; reject impossible counts before looping.
        if u128::from(tensor_count) * 24 + u128::from(value_count) * 13
            > u128::from(header.remaining)
        {
            return Err(header.field_error(format!(
                "{tensor_count} tensors and {value_count} values do not fit into the file"
            )));
        }
        let mut metadata = HashMap::new();
        for _ in 0..value_count {
            let name = header.text()?;
            header.field.clone_from(&name);
            let value_type = header.u32()?;
            let value = header.value(value_type)?;
            metadata.insert(name, value);
        }
        let mut entries = Vec::new();
        for _ in 0..tensor_count {
            "tensor list".clone_into(&mut header.field);
            let name = header.text()?;
            header.field.clone_from(&name);
            entries.push((name, header.entry()?));
        }
        let header_bytes = size - header.remaining;
        let mut gguf = Self { path: path.to_owned(), file, metadata, tensors: HashMap::new() };
        let alignment = match gguf.metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(Value::Integer(value))
                if (1..=MAX_ALIGNMENT).contains(value) && value.count_ones() == 1 =>
            {
                *value as u64
            }
            Some(value) => {
                let actual_value = if let Value::Integer(value) = value {
                    value.to_string()
                } else {
                    "no integer".to_owned()
                };
                let message =
                    format!("expected a power of two up to {MAX_ALIGNMENT}, found {actual_value}");
                return Err(gguf.field_error("general.alignment", message));
            }
        };
        let data_start = header_bytes.next_multiple_of(alignment);
        entries.sort_by_key(|(_, entry): &(String, TensorEntry)| entry.start);
        let mut previous_tensor: Option<(String, u64)> = None;
        for (name, mut entry) in entries {
            let end = data_start
                .checked_add(entry.start)
                .and_then(|start| start.checked_add(entry.bytes as u64));
            if end.is_none_or(|end| end > size) {
                let message = format!(
                    "{} bytes at offset {} exceed the file of {size} bytes",
                    entry.bytes, entry.start
                );
                return Err(gguf.field_error(&name, message));
            }
            if let Some((other, _)) = previous_tensor.filter(|(_, end)| *end > entry.start) {
                return Err(gguf.field_error(&name, format!("overlaps the tensor {other}")));
            }
            previous_tensor = Some((name.clone(), entry.start + entry.bytes as u64));
            entry.start += data_start;
            if gguf.tensors.insert(name.clone(), entry).is_some() {
                return Err(gguf.field_error(&name, "the file has two tensors of this name"));
            }
        }
        Ok(gguf)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the error of a field.
    pub(super) fn field_error(&self, field: &str, message: impl Into<String>) -> LoadError {
        LoadError::Gguf {
            path: self.path.clone(),
            field: field.to_owned(),
            message: message.into(),
        }
    }

    /// Returns a positive integer.
    pub(super) fn count(&self, name: &str) -> Result<usize, LoadError> {
        let value = self.optional_count(name)?;
        value.ok_or_else(|| self.field_error(name, "is missing"))
    }

    /// Returns an integer, if the file has it.
    pub(super) fn optional_count(&self, name: &str) -> Result<Option<usize>, LoadError> {
        match self.metadata.get(name) {
            None => Ok(None),
            Some(Value::Integer(value)) => {
                let count = usize::try_from(*value);
                count
                    .map(Some)
                    .map_err(|_| self.field_error(name, format!("{value} is out of range")))
            }
            Some(_) => Err(self.field_error(name, "expected an integer")),
        }
    }

    /// Returns the ID of a token, if the file has it.
    pub(super) fn token(&self, name: &str) -> Result<Option<u32>, LoadError> {
        let id = self.optional_count(name)?.map(u32::try_from).transpose();
        id.map_err(|_| self.field_error(name, "is out of range"))
    }

    /// Returns a positive number, if the file has it.
    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, LoadError> {
        match self.metadata.get(name) {
            None => Ok(None),
            Some(Value::Float(value)) if value.is_finite() && *value > 0.0 => Ok(Some(*value)),
            Some(Value::Integer(value)) if *value > 0 => Ok(Some(*value as f64)),
            Some(_) => Err(self.field_error(name, "expected a number above 0")),
        }
    }

    /// Returns a truth value, if the file has it.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.metadata.get(name) {
            Some(Value::Flag(value)) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.metadata.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn texts(&self, name: &str) -> Option<&[String]> {
        match self.metadata.get(name) {
            Some(Value::Texts(texts)) => Some(texts),
            _ => None,
        }
    }

    pub(super) fn floats(&self, name: &str) -> Option<&[f32]> {
        match self.metadata.get(name) {
            Some(Value::Floats(values)) => Some(values),
            _ => None,
        }
    }

    pub(super) fn integers(&self, name: &str) -> Option<&[i32]> {
        match self.metadata.get(name) {
            Some(Value::Integers(values)) => Some(values),
            _ => None,
        }
    }

    pub(super) fn has(&self, tensor: &str) -> bool {
        self.tensors.contains_key(tensor)
    }

    /// Whether any tensor is quantised.
    pub(super) fn is_quantized(&self) -> bool {
        self.tensors.values().any(|entry| entry.format.block_size() > 1)
    }

    /// Returns the shape of a tensor, the outermost dimension first.
    pub(super) fn shape(&self, tensor: &str) -> Option<&[usize]> {
        self.tensors.get(tensor).map(|entry| entry.shape.as_slice())
    }

    /// Reads a tensor. `order` is the order of its rows, if it differs from the file's.
    pub(super) fn read(
        &mut self,
        name: &str,
        order: Option<&[usize]>,
        device: &Device,
    ) -> Result<QTensor, LoadError> {
        let Some(entry) = self.tensors.get(name).cloned() else {
            return Err(LoadError::MissingTensor(name.to_owned()));
        };
        let mut bytes = vec![0; entry.bytes];
        let read = self
            .file
            .seek(SeekFrom::Start(entry.start))
            .and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(|source| LoadError::Read { path: self.path.clone(), source })?;
        if !values::are_finite(entry.format, &bytes) {
            return Err(LoadError::NotFinite(name.to_owned()));
        }
        if let Some(order) = order {
            let row_bytes = entry.bytes / order.len().max(1);
            bytes = order
                .iter()
                .filter_map(|index| bytes.get(index * row_bytes..(index + 1) * row_bytes))
                .flatten()
                .copied()
                .collect();
        }
        qtensor_from_ggml(entry.format, &bytes, entry.shape, device)
            .map_err(|source| LoadError::Weights { path: self.path.clone(), source })
    }
}

/// The header of a file, up to the tensors.
struct Header<'a> {
    path: &'a Path,
    reader: BufReader<&'a File>,
    /// Number of bytes that the file still has.
    remaining: u64,
    /// Name of the field that is being read, for errors.
    field: String,
}

impl Header<'_> {
    fn field_error(&self, message: impl Into<String>) -> LoadError {
        LoadError::Gguf {
            path: self.path.to_owned(),
            field: self.field.clone(),
            message: message.into(),
        }
    }

    fn consume(&mut self, bytes: u64) -> Result<(), LoadError> {
        match self.remaining.checked_sub(bytes) {
            Some(remaining) => self.remaining = remaining,
            None => {
                return Err(self.field_error(format!(
                    "{bytes} bytes, but the file has only {} more",
                    self.remaining
                )));
            }
        }
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], LoadError> {
        self.consume(N as u64)?;
        let mut bytes = [0; N];
        let read = self.reader.read_exact(&mut bytes);
        read.map_err(|source| LoadError::Read { path: self.path.to_owned(), source })?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, LoadError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, LoadError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn text(&mut self) -> Result<String, LoadError> {
        let length = self.u64()?;
        self.consume(length)?;
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(length).read_to_end(&mut bytes);
        read.map_err(|source| LoadError::Read { path: self.path.to_owned(), source })?;
        String::from_utf8(bytes).map_err(|_| self.field_error("is not UTF-8"))
    }

    fn value(&mut self, value_type: u32) -> Result<Value, LoadError> {
        Ok(match value_type {
            0 => Value::Integer(u8::from_le_bytes(self.bytes()?).into()),
            1 => Value::Integer(i8::from_le_bytes(self.bytes()?).into()),
            2 => Value::Integer(u16::from_le_bytes(self.bytes()?).into()),
            3 => Value::Integer(i16::from_le_bytes(self.bytes()?).into()),
            4 => Value::Integer(self.u32()?.into()),
            5 => Value::Integer(i32::from_le_bytes(self.bytes()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.bytes()?).into()),
            7 => Value::Flag(self.bytes::<1>()? != [0]),
            8 => Value::Text(self.text()?),
            9 => self.array()?,
            10 => Value::Integer(self.u64()?.into()),
            11 => Value::Integer(i64::from_le_bytes(self.bytes()?).into()),
            12 => Value::Float(f64::from_le_bytes(self.bytes()?)),
            unknown_type => return Err(self.field_error(format!("unknown type {unknown_type}"))),
        })
    }

    fn array(&mut self) -> Result<Value, LoadError> {
        let (value_type, length) = (self.u32()?, self.u64()?);
        if value_type == 9 {
            return Err(self.field_error("arrays of arrays are not supported"));
        }
        // Each element has at least one byte.
        if length > self.remaining {
            return Err(self.field_error(format!(
                "{length} elements, but the file has only {} more bytes",
                self.remaining
            )));
        }
        let is_used = USED_ARRAYS.contains(&self.field.as_str());
        let (mut texts, mut floats, mut integers) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..length {
            match self.value(value_type)? {
                Value::Text(text) if is_used => texts.push(text),
                Value::Float(value) if is_used => floats.push(value as f32),
                Value::Integer(value) if is_used => {
                    let value = i32::try_from(value);
                    integers
                        .push(value.map_err(|_| self.field_error("an element is out of range"))?);
                }
                _ => {}
            }
        }
        Ok(match value_type {
            _ if !is_used => Value::Unused,
            8 => Value::Texts(texts),
            6 | 12 => Value::Floats(floats),
            7 => Value::Unused,
            _ => Value::Integers(integers),
        })
    }

    /// Reads shape, format and offset of a tensor.
    fn entry(&mut self) -> Result<TensorEntry, LoadError> {
        let dimensions = self.u32()?;
        if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
            return Err(self
                .field_error(format!("{dimensions} dimensions, expected 1 to {MAX_DIMENSIONS}")));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            let size = self.u64()?;
            shape.push(
                usize::try_from(size)
                    .map_err(|_| self.field_error(format!("a dimension of {size}")))?,
            );
        }
        // In the file, the innermost dimension is first.
        let row_length = shape.first().copied().unwrap_or_default();
        shape.reverse();
        let number = self.u32()?;
        let Some(format) = format(number) else {
            return Err(self.field_error(format!(
                "the weight type {number} is not supported, only F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to \
                 Q6_K"
            )));
        };
        let values = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
        let bytes = values
            .filter(|values| *values > 0 && row_length.is_multiple_of(format.block_size()))
            .and_then(|values| (values / format.block_size()).checked_mul(format.type_size()));
        let Some(bytes) = bytes else {
            return Err(
                self.field_error(format!("the shape {shape:?} is impossible for {format:?}"))
            );
        };
        Ok(TensorEntry { format, shape, start: self.u64()?, bytes })
    }
}

/// Returns the format of the weights with this number.
const fn format(number: u32) -> Option<GgmlDType> {
    Some(match number {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
