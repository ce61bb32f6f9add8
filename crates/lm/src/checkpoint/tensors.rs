//! The tensors of a checkpoint, removed one by one and checked against the shapes that the
//! configuration implies.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use super::gguf::Gguf;
use super::{Conversion, read_json};
use crate::linear::{Bits, Linear, Weight};
use crate::{LoadError, ModelError};

/// `model.safetensors.index.json`.
#[derive(Debug, Deserialize)]
struct IndexFile {
    weight_map: HashMap<String, String>,
}

impl Conversion {
    /// Returns the width of matrices of floats after loading; `None` for floats.
    const fn float_bits(self) -> Option<Bits> {
        match self {
            Self::Floats(bits) => bits,
            Self::SlowBlocks => None,
            Self::All(bits) => Some(bits),
        }
    }
}

/// Storage of the tensors.
pub(super) enum Source {
    /// Tensors of safetensors files, read into memory.
    Safetensors(HashMap<String, Tensor>),
    /// Tensors in a GGUF file, read on demand.
    Gguf(Gguf),
}

/// The tensors of a checkpoint.
pub(super) struct Tensors {
    pub(super) source: Source,
    /// Device of the model.
    pub(super) device: Device,
    pub(super) conversion: Conversion,
}

impl Tensors {
    /// Reads all safetensors files of a directory.
    pub(super) fn from_directory(
        directory: &Path,
        device: Device,
        bits: Option<Bits>,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            source: Source::Safetensors(safetensors(directory)?),
            device,
            conversion: Conversion::Floats(bits),
        })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        match &self.source {
            Source::Safetensors(tensors) => tensors.contains_key(name),
            Source::Gguf(file) => file.has(name),
        }
    }

    /// Returns floats of this shape.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, LoadError> {
        match &mut self.source {
            Source::Safetensors(tensors) => {
                let Some(tensor) = tensors.remove(name) else {
                    return Err(LoadError::MissingTensor(name.to_owned()));
                };
                check_shape(name, tensor.dims(), shape)?;
                let floats = tensor.to_dtype(DType::F32).map_err(ModelError::from)?;
                // A sum is not finite if one of its terms is not.
                let sum = floats
                    .sum_all()
                    .and_then(|sum| sum.to_scalar::<f32>())
                    .map_err(ModelError::from)?;
                if !sum.is_finite() {
                    return Err(LoadError::NotFinite(name.to_owned()));
                }
                Ok(floats.to_device(&self.device).map_err(ModelError::from)?)
            }
            Source::Gguf(file) => {
                check_shape(
                    name,
                    file.shape(name).ok_or_else(|| LoadError::MissingTensor(name.to_owned()))?,
                    shape,
                )?;
                let tensor = file.read(name, None, &Device::Cpu)?;
                Ok(tensor.dequantize(&self.device).map_err(ModelError::from)?)
            }
        }
    }

    /// Returns a matrix with one row per output.
    pub(super) fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Result<Weight, LoadError> {
        self.matrix_with_row_order(name, shape, None)
    }

    /// Returns a matrix whose rows are in this order in the file.
    pub(super) fn matrix_with_row_order(
        &mut self,
        name: &str,
        shape: [usize; 2],
        order: Option<&[usize]>,
    ) -> Result<Weight, LoadError> {
        if let Source::Gguf(file) = &mut self.source {
            check_shape(
                name,
                file.shape(name).ok_or_else(|| LoadError::MissingTensor(name.to_owned()))?,
                &shape,
            )?;
            let tensor = file.read(name, order, &self.device)?;
            // Formats without blocks are floats.
            let has_blocks = tensor.dtype().block_size() > 1;
            let is_slow = !Weight::is_fast(tensor.dtype());
            let bits = match self.conversion {
                Conversion::SlowBlocks if has_blocks && is_slow => Some(Bits::Eight),
                // Blocks of the format would only be rounded again.
                Conversion::All(bits) if tensor.dtype() != bits.format() => Some(bits),
                _ if has_blocks => return Ok(tensor.try_into()?),
                conversion => conversion.float_bits(),
            };
            let floats = tensor.dequantize(&self.device).map_err(ModelError::from)?;
            return Ok(Weight::new(floats, bits)?);
        }
        let floats = self.floats(name, &shape)?;
        Ok(Weight::new(floats, self.conversion.float_bits())?)
    }

    /// Returns a linear layer from a matrix `NAME.weight` and a bias `NAME.bias`.
    pub(super) fn linear_with_bias(
        &mut self,
        name: &str,
        [outputs, inputs]: [usize; 2],
    ) -> Result<Linear, LoadError> {
        let weight = self.matrix(&format!("{name}.weight"), [outputs, inputs])?;
        Ok(Linear { weight, bias: Some(self.floats(&format!("{name}.bias"), &[outputs])?) })
    }

    /// Like [`linear_with_bias`](Self::linear_with_bias), with a matrix that has one row per input.
    pub(super) fn linear_from_transposed(
        &mut self,
        name: &str,
        [outputs, inputs]: [usize; 2],
    ) -> Result<Linear, LoadError> {
        let weight = self.floats(&format!("{name}.weight"), &[inputs, outputs])?;
        let weight = weight.t().and_then(|weight| weight.contiguous()).map_err(ModelError::from)?;
        let weight = Weight::new(weight, self.conversion.float_bits())?;
        Ok(Linear { weight, bias: Some(self.floats(&format!("{name}.bias"), &[outputs])?) })
    }
}

fn check_shape(name: &str, actual: &[usize], expected: &[usize]) -> Result<(), LoadError> {
    if actual == expected {
        return Ok(());
    }
    Err(LoadError::Shape {
        name: name.to_owned(),
        actual: actual.to_vec(),
        expected: expected.to_vec(),
    })
}

/// Loads all tensors of the directory's safetensors files.
fn safetensors(directory: &Path) -> Result<HashMap<String, Tensor>, LoadError> {
    let index = directory.join("model.safetensors.index.json");
    let files = if index.exists() {
        let file_names: BTreeSet<String> =
            read_json::<IndexFile>(&index)?.weight_map.into_values().collect();
        let is_bare_file_name =
            |name: &String| Path::new(name).file_name().is_some_and(|file| file == name.as_str());
        if let Some(name) = file_names.iter().find(|name| !is_bare_file_name(name)) {
            return Err(LoadError::Unsupported {
                path: index,
                feature: format!("the file name {name:?}"),
            });
        }
        file_names.into_iter().collect()
    } else {
        vec!["model.safetensors".to_owned()]
    };
    let mut tensors = HashMap::new();
    for file in files {
        let path = directory.join(file);
        let bytes = std::fs::read(&path)
            .map_err(|source| LoadError::Read { path: path.clone(), source })?;
        let result = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu);
        tensors.extend(result.map_err(|source| LoadError::Weights { path, source })?);
    }
    Ok(tensors)
}
