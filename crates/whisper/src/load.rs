//! Layer loading: shape checks, and quantisation of float weights.

use crate::ModelError;
use crate::encoder::{FeedForward, Norm};
use crate::files::{Tensor, Values, Weights};
use crate::kernel::{Gemm, Linear, quantize_weights};

/// Reads the layers of a model.
pub(crate) struct Loader(pub(crate) Weights);

/// Head width of all OpenAI models, assumed if the file does not state the number of heads.
const HEAD_WIDTH: usize = 64;

impl Loader {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.has(name)
    }

    pub(crate) fn shape(&self, name: &str) -> Result<Vec<usize>, ModelError> {
        self.0.shape(name)
    }

    /// Returns the number of heads of the encoder or decoder.
    pub(crate) fn heads(
        &mut self,
        component: &str,
        declared: Option<usize>,
        width: usize,
    ) -> Result<usize, ModelError> {
        let name = format!("{component}/num_heads");
        let heads = self.0.attribute(&name)?.or(declared).unwrap_or(width / HEAD_WIDTH);
        let panel = crate::kernel::PANEL;
        if heads == 0 || !width.is_multiple_of(heads) || !(width / heads).is_multiple_of(panel) {
            return Err(ModelError::Unsupported {
                path: self.0.path().to_owned(),
                reason: format!(
                    "model width {width} with {heads} attention heads: the width per head must be an integer multiple \
                     of {panel}"
                ),
            });
        }
        Ok(heads)
    }

    /// Reads a tensor of this shape. Its values are finite.
    fn tensor(&mut self, name: &str, expected: &[usize]) -> Result<Tensor, ModelError> {
        let tensor = self.0.tensor(name)?;
        if tensor.shape != expected {
            return Err(ModelError::Shape {
                name: name.to_owned(),
                actual: tensor.shape,
                expected: expected.to_vec(),
            });
        }
        if let Values::Float(values) = &tensor.values
            && !values.iter().all(|value| value.is_finite())
        {
            return Err(ModelError::NotFinite(name.to_owned()));
        }
        Ok(tensor)
    }

    /// Reads a tensor as floats; int8 tensors are dequantised.
    pub(crate) fn matrix(
        &mut self,
        name: &str,
        expected: &[usize],
    ) -> Result<Vec<f32>, ModelError> {
        match self.tensor(name, expected)?.values {
            Values::Float(values) => Ok(values),
            Values::Int8(values) => {
                let scales = self.scales(name, expected)?;
                let width = values.len() / scales.len().max(1);
                let rows = values.chunks_exact(width.max(1)).zip(&scales);
                Ok(rows
                    .flat_map(|(row, scale)| row.iter().map(move |&value| f32::from(value) / scale))
                    .collect())
            }
        }
    }

    fn scales(&mut self, name: &str, expected: &[usize]) -> Result<Vec<f32>, ModelError> {
        let rows = expected.first().copied().unwrap_or(0);
        let name = format!("{name}_scale");
        let scales = self.vector(&name, rows)?;
        // Weights are divided by their scale.
        if scales.iter().all(|scale| scale.recip().is_finite()) {
            Ok(scales)
        } else {
            Err(ModelError::NotFinite(name))
        }
    }

    /// Reads a vector of floats.
    pub(crate) fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>, ModelError> {
        self.tensor(name, &[length])?
            .floats()
            .ok_or_else(|| ModelError::MissingTensor(name.to_owned()))
    }

    /// Reads int8 weights `[outputs][inputs]` and the quantisation step of each output channel.
    pub(crate) fn quantized(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<(Vec<i8>, Vec<f32>), ModelError> {
        match self.tensor(name, &[outputs, inputs])?.values {
            Values::Float(values) => Ok(quantize_weights(&values, inputs)),
            Values::Int8(values) => {
                let scales = self.scales(name, &[outputs, inputs])?;
                Ok((values, scales.into_iter().map(|scale| 1.0 / scale).collect()))
            }
        }
    }

    /// Reads a linear layer from the tensors `scope/weight` and `scope/bias`.
    pub(crate) fn linear(
        &mut self,
        gemm: &Gemm,
        scope: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Linear, ModelError> {
        let (values, steps) = self.quantized(&format!("{scope}/weight"), inputs, outputs)?;
        let bias = self.vector(&format!("{scope}/bias"), outputs)?;
        Ok(Linear::new(gemm, &values, inputs, steps, bias))
    }

    pub(crate) fn norm(&mut self, scope: &str, width: usize) -> Result<Norm, ModelError> {
        Ok(Norm {
            gamma: self.vector(&format!("{scope}/gamma"), width)?,
            beta: self.vector(&format!("{scope}/beta"), width)?,
        })
    }

    pub(crate) fn feed_forward(
        &mut self,
        gemm: &Gemm,
        scope: &str,
        width: usize,
    ) -> Result<FeedForward, ModelError> {
        let hidden =
            self.shape(&format!("{scope}/ffn/linear_0/weight"))?.first().copied().unwrap_or(0);
        Ok(FeedForward {
            norm: self.norm(&format!("{scope}/ffn/layer_norm"), width)?,
            expand: self.linear(gemm, &format!("{scope}/ffn/linear_0"), width, hidden)?,
            contract: self.linear(gemm, &format!("{scope}/ffn/linear_1"), hidden, width)?,
        })
    }
}
