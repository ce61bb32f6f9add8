//! Weight files: CTranslate2's `model.bin` and Hugging Face safetensors.
//!
//! Both are read tensor by tensor at the offsets in the index, so at most one tensor in the file's
//! own precision is in memory at a time. A memory map would do the same, but needs `unsafe`, and
//! truncating a mapped file kills the process; a read returns an error.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::ModelError;

pub(crate) mod ctranslate2;
mod names;
pub(crate) mod safetensors;

/// A tensor in memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Values,
}

/// Elements of a tensor: floats, or int8 weights as stored in the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    Float(Vec<f32>),
    Int8(Vec<i8>),
}

impl Tensor {
    /// Returns the elements as floats; `None` for quantised ones.
    pub(crate) fn floats(self) -> Option<Vec<f32>> {
        match self.values {
            Values::Float(values) => Some(values),
            Values::Int8(_) => None,
        }
    }
}

/// An element type of a weight file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ElementType {
    Float32,
    Float16,
    BFloat16,
    Int8,
    Int16,
    Int32,
}

fn u16_values(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks::<2>().0.iter().map(|bytes| u16::from_le_bytes(*bytes))
}

fn four_byte_values(bytes: &[u8]) -> impl Iterator<Item = &[u8; 4]> {
    bytes.as_chunks::<4>().0.iter()
}

impl ElementType {
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Float32 | Self::Int32 => 4,
            Self::Float16 | Self::BFloat16 | Self::Int16 => 2,
            Self::Int8 => 1,
        }
    }

    /// Decodes little-endian bytes.
    pub(crate) fn decode(self, bytes: &[u8]) -> Values {
        match self {
            Self::Float32 => Values::Float(
                four_byte_values(bytes).map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            ),
            Self::Float16 => Values::Float(
                u16_values(bytes).map(|bits| rten_simd::f16::from_bits(bits).to_f32()).collect(),
            ),
            Self::BFloat16 => Values::Float(
                u16_values(bytes).map(|bits| f32::from_bits(u32::from(bits) << 16)).collect(),
            ),
            Self::Int8 => Values::Int8(bytes.iter().map(|&byte| byte.cast_signed()).collect()),
            Self::Int16 => {
                Values::Float(u16_values(bytes).map(|bits| f32::from(bits.cast_signed())).collect())
            }
            Self::Int32 => Values::Float(
                four_byte_values(bytes).map(|bytes| i32::from_le_bytes(*bytes) as f32).collect(),
            ),
        }
    }
}

/// Location of a tensor in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorEntry {
    pub(crate) shape: Vec<usize>,
    pub(crate) element_type: ElementType,
    pub(crate) offset: u64,
    pub(crate) byte_length: usize,
}

impl TensorEntry {
    /// Returns the tensor's size in memory in bytes: matrices are quantised to int8, other tensors
    /// are f32.
    fn quantized_bytes(&self) -> u64 {
        let element_size = if self.shape.len() == 2 { size_of::<i8>() } else { size_of::<f32>() };
        (self.byte_length / self.element_type.size() * element_size) as u64
    }
}

/// Weights of a model directory, addressed by CTranslate2's tensor names.
#[derive(Debug)]
pub(crate) struct Weights {
    file: BufReader<File>,
    path: PathBuf,
    index: Index,
}

#[derive(Debug)]
enum Index {
    Ctranslate2(ctranslate2::Index),
    Safetensors(safetensors::Index),
}

impl Weights {
    /// Opens the weights of a model directory and reads their index.
    pub(crate) fn open(directory: &Path) -> Result<Self, ModelError> {
        let ctranslate2_path = directory.join("model.bin");
        let safetensors_path = directory.join("model.safetensors");
        let path = if ctranslate2_path.is_file() {
            ctranslate2_path
        } else if safetensors_path.is_file() {
            safetensors_path
        } else {
            return Err(ModelError::NoWeights(directory.to_owned()));
        };
        let is_ctranslate2 = path.extension().is_some_and(|extension| extension == "bin");
        let (file, length) = File::open(&path)
            .and_then(|file| file.metadata().map(|metadata| (file, metadata.len())))
            .map_err(|source| ModelError::Io { path: path.clone(), source })?;
        let mut file = BufReader::with_capacity(1 << 16, file);
        let index = if is_ctranslate2 {
            ctranslate2::Index::read(&mut file, length).map(Index::Ctranslate2)
        } else {
            safetensors::Index::read(&mut file, length).map(Index::Safetensors)
        };
        let index = index.map_err(|error| error.with_path(&path))?;
        Ok(Self { file, path, index })
    }

    /// Returns the path of the weights file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Computes the SHA-256 of the complete file, in hexadecimal.
    pub(crate) fn digest(&mut self) -> Result<String, ModelError> {
        self.hash_file().map_err(|source| ModelError::Io { path: self.path.clone(), source })
    }

    fn hash_file(&mut self) -> io::Result<String> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = self.file.read(&mut buffer)?;
            match buffer.get(..read) {
                Some([]) | None => break,
                Some(bytes) => hash.update(bytes),
            }
        }
        Ok(hex::encode(hash.finalize()))
    }

    /// Returns whether a tensor exists, by CTranslate2's name.
    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.index {
            Index::Ctranslate2(index) => index.get(name).is_some(),
            Index::Safetensors(index) => names::safetensors_names(name)
                .iter()
                .flatten()
                .all(|part| index.get(part).is_some()),
        }
    }

    /// Returns the total size of all tensors in memory, quantised, in bytes.
    pub(crate) fn quantized_bytes(&self) -> u64 {
        match &self.index {
            Index::Ctranslate2(index) => index.quantized_bytes(),
            Index::Safetensors(index) => index.quantized_bytes(),
        }
    }

    /// Returns the shape of a tensor that is not fused from several parts.
    pub(crate) fn shape(&self, name: &str) -> Result<Vec<usize>, ModelError> {
        let entry = match &self.index {
            Index::Ctranslate2(index) => index.get(name),
            Index::Safetensors(index) => {
                names::safetensors_names(name).first().and_then(|part| index.get(part.as_deref()?))
            }
        };
        Ok(entry.ok_or_else(|| ModelError::MissingTensor(name.to_owned()))?.shape.clone())
    }

    /// Reads an integer attribute such as `encoder/num_heads`; only CTranslate2's files have
    /// attributes.
    pub(crate) fn attribute(&mut self, name: &str) -> Result<Option<usize>, ModelError> {
        if matches!(self.index, Index::Safetensors(_)) || !self.has(name) {
            return Ok(None);
        }
        Ok(match self.tensor(name)?.values {
            Values::Float(values) => values.first().map(|&value| value as usize),
            Values::Int8(values) => values.first().and_then(|&value| usize::try_from(value).ok()),
        })
    }

    /// Reads a tensor by CTranslate2's name. Parts that CTranslate2 fuses are concatenated along
    /// the first axis; a missing bias of a part counts as zero.
    pub(crate) fn tensor(&mut self, name: &str) -> Result<Tensor, ModelError> {
        let entries: Vec<Option<TensorEntry>> = match &self.index {
            Index::Ctranslate2(index) => {
                let entry =
                    index.get(name).ok_or_else(|| ModelError::MissingTensor(name.to_owned()))?;
                vec![Some(entry.clone())]
            }
            Index::Safetensors(index) => names::safetensors_names(name)
                .into_iter()
                .map(|part| {
                    part.map(|part| {
                        index.get(&part).cloned().ok_or(ModelError::MissingTensor(part))
                    })
                    .transpose()
                })
                .collect::<Result<_, _>>()?,
        };
        if let [Some(entry)] = entries.as_slice() {
            return self.read(entry);
        }
        let first = entries.iter().flatten().next();
        let part_shape =
            first.ok_or_else(|| ModelError::MissingTensor(name.to_owned()))?.shape.clone();
        let part_length: usize = part_shape.iter().product();
        let mut values = Vec::with_capacity(part_length * entries.len());
        for entry in &entries {
            match entry {
                Some(entry) => {
                    let floats = self.read(entry)?.floats();
                    values
                        .extend(floats.ok_or_else(|| ModelError::MissingTensor(name.to_owned()))?);
                }
                None => values.resize(values.len() + part_length, 0.0),
            }
        }
        let mut shape = part_shape;
        if let Some(rows) = shape.first_mut() {
            *rows *= entries.len();
        }
        Ok(Tensor { shape, values: Values::Float(values) })
    }

    fn read(&mut self, entry: &TensorEntry) -> Result<Tensor, ModelError> {
        let mut bytes = vec![0; entry.byte_length];
        self.file
            .seek(SeekFrom::Start(entry.offset))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|source| ModelError::Io { path: self.path.clone(), source })?;
        Ok(Tensor { shape: entry.shape.clone(), values: entry.element_type.decode(&bytes) })
    }
}

/// Why an index cannot be read; the caller adds the path to the error.
#[derive(Debug)]
pub(crate) enum IndexError {
    Io(std::io::Error),
    Corrupt(String),
    Unsupported(String),
}

impl From<std::io::Error> for IndexError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            Self::Corrupt("the index is truncated".to_owned())
        } else {
            Self::Io(error)
        }
    }
}

impl IndexError {
    fn with_path(self, path: &Path) -> ModelError {
        let path = path.to_owned();
        match self {
            Self::Io(source) => ModelError::Io { path, source },
            Self::Corrupt(reason) => ModelError::Corrupt { path, reason },
            Self::Unsupported(reason) => ModelError::Unsupported { path, reason },
        }
    }
}

#[cfg(test)]
mod tests;
