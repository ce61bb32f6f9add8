//! Linear layers whose weights are 32-bit floats or blocks of 8 or 4 bits.
//!
//! For a few rows, the time of a product is the time to read the weights: [`kernel`] multiplies
//! each row of weights with all inputs while it is in the cache, and [`mapped`] keeps the weights
//! in large pages. `nibbles` multiplies quantised weights on x86-64. Larger products of floats,
//! other devices and other quantised weights use candle.

mod kernel;
mod mapped;
#[cfg(target_arch = "x86_64")]
mod nibbles;

pub(crate) use kernel::dot;

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{CpuStorage, Device, Module as _, Storage, Tensor};

use self::mapped::MappedMatrix;
#[cfg(target_arch = "x86_64")]
use self::nibbles::NibbleMatrix;
use crate::ModelError;

/// Maximum number of rows for which [`kernel::multiply`] is faster than candle's product.
const MAX_KERNEL_ROWS: usize = 6;

/// Width of a model's weights after loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bits {
    /// 8 bits: blocks of 32 weights with one scale.
    Eight,
    /// 4 bits: blocks of 32 weights with one scale.
    Four,
}

impl Bits {
    /// Format of the blocks.
    pub(crate) const fn format(self) -> GgmlDType {
        match self {
            Self::Eight => GgmlDType::Q8_0,
            Self::Four => GgmlDType::Q4_0,
        }
    }
}

/// A matrix of weights, one row per output. Clones share the weights.
#[derive(Debug, Clone)]
pub(crate) enum Weight {
    /// 32-bit floats.
    Dense(Tensor),
    /// 32-bit floats in large pages, on the CPU.
    Mapped(MappedMatrix),
    /// Blocks of 4 or 8 bits, packed for the CPU.
    #[cfg(target_arch = "x86_64")]
    Nibbles(NibbleMatrix),
    /// Other quantised blocks.
    Quantized(Arc<QTensor>),
}

impl Weight {
    /// Converts floats to blocks of this width, if any. Rows whose length is not a multiple of the
    /// block size remain floats.
    pub(crate) fn new(weights: Tensor, bits: Option<Bits>) -> Result<Self, ModelError> {
        let (_, width) = weights.dims2()?;
        let Some(format) =
            bits.map(Bits::format).filter(|format| width.is_multiple_of(format.block_size()))
        else {
            return Ok(MappedMatrix::copy(&weights)?.map_or(Self::Dense(weights), Self::Mapped));
        };
        let cpu_weights = weights.to_device(&Device::Cpu)?;
        QTensor::quantize_onto(&cpu_weights, format, weights.device())?.try_into()
    }

    /// Whether products with weights in this format are fast on this processor.
    pub(crate) fn is_fast(format: GgmlDType) -> bool {
        #[cfg(target_arch = "x86_64")]
        if NibbleMatrix::can_pack(format) {
            return true;
        }
        // candle's own products of these formats use the processor's vectors.
        matches!(format, GgmlDType::Q8_0 | GgmlDType::Q4_0)
    }

    /// Returns the rows with these indices as floats.
    pub(crate) fn select(&self, rows: &Tensor) -> Result<Tensor, ModelError> {
        Ok(match self {
            Self::Dense(weights) => weights.index_select(rows, 0)?,
            Self::Mapped(weights) => weights.select(rows)?,
            #[cfg(target_arch = "x86_64")]
            Self::Nibbles(weights) => weights.select(rows)?,
            Self::Quantized(weights) => weights.embedding(rows)?,
        })
    }

    /// Multiplies each row of the input with each row of the weights.
    fn multiply(&self, input: &Tensor) -> Result<Tensor, ModelError> {
        match self {
            Self::Dense(weights) => {
                let shape = weights.dims2()?;
                match with_floats(weights, |weights| multiply_few_rows(weights, shape, input))
                    .transpose()?
                    .flatten()
                {
                    Some(output) => Ok(output),
                    None => Ok(input.matmul(&weights.t()?)?),
                }
            }
            Self::Mapped(weights) => weights.multiply(input),
            #[cfg(target_arch = "x86_64")]
            Self::Nibbles(weights) => weights.multiply(input),
            Self::Quantized(weights) => {
                Ok(QMatMul::QTensor(Arc::clone(weights)).forward(&input.contiguous()?)?)
            }
        }
    }

    /// Returns the weights as floats, for reference implementations in tests.
    #[cfg(test)]
    pub(crate) fn dense(&self) -> Tensor {
        match self {
            Self::Dense(weights) => weights.clone(),
            Self::Mapped(weights) => weights.dense(),
            #[cfg(target_arch = "x86_64")]
            Self::Nibbles(weights) => weights.dense(),
            Self::Quantized(weights) => weights.dequantize(&Device::Cpu).unwrap(),
        }
    }

    #[cfg(test)]
    pub(crate) const fn is_quantized(&self) -> bool {
        !matches!(self, Self::Dense(_) | Self::Mapped(_))
    }
}

impl TryFrom<QTensor> for Weight {
    type Error = ModelError;

    fn try_from(blocks: QTensor) -> Result<Self, ModelError> {
        #[cfg(target_arch = "x86_64")]
        if let Some(weights) = NibbleMatrix::pack(&blocks)? {
            return Ok(Self::Nibbles(weights));
        }
        Ok(Self::Quantized(Arc::new(blocks)))
    }
}

/// A linear layer: the product with the weights, and an optional bias.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub(crate) weight: Weight,
    pub(crate) bias: Option<Tensor>,
}

impl Linear {
    /// Applies the layer to each row of the input.
    pub(crate) fn forward(&self, input: &Tensor) -> Result<Tensor, ModelError> {
        let product = self.weight.multiply(input)?;
        match &self.bias {
            Some(bias) => Ok(product.broadcast_add(bias)?),
            None => Ok(product),
        }
    }
}

impl From<Weight> for Linear {
    fn from(weight: Weight) -> Self {
        Self { weight, bias: None }
    }
}

impl From<Tensor> for Linear {
    fn from(weights: Tensor) -> Self {
        Weight::Dense(weights).into()
    }
}

/// Computes the product of a few rows on the CPU with weights of this shape; `None` if candle's
/// product must be used.
fn multiply_few_rows(
    weights: &[f32],
    (outputs, width): (usize, usize),
    input: &Tensor,
) -> Result<Option<Tensor>, ModelError> {
    let (rows, _) = input.dims2()?;
    if rows > MAX_KERNEL_ROWS || !input.device().is_cpu() {
        return Ok(None);
    }
    let products =
        with_floats(&input.contiguous()?, |input| kernel::multiply(weights, input, width, outputs));
    let Some(products) = products.flatten() else { return Ok(None) };
    Ok(Some(Tensor::from_vec(products, (rows, outputs), &Device::Cpu)?))
}

/// Calls `read` with the values of a contiguous tensor of floats on the CPU.
pub(crate) fn with_floats<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> T) -> Option<T> {
    let (storage, layout) = tensor.storage_and_layout();
    let (start, end) = layout.contiguous_offsets()?;
    match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => Some(read(values.get(start..end)?)),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::splitmix::SplitMix64;

    pub(crate) fn random(rows: usize, columns: usize, name: &str) -> Tensor {
        let mut generator = SplitMix64::with_name(1, name);
        let numbers: Vec<f32> = (0..rows * columns).map(|_| generator.normal() as f32).collect();
        Tensor::from_vec(numbers, (rows, columns), &Device::Cpu).unwrap()
    }

    pub(crate) fn largest_difference(one: &Tensor, other: &Tensor) -> f32 {
        let difference = (one - other).unwrap().abs().unwrap().flatten_all().unwrap();
        difference.to_vec1::<f32>().unwrap().into_iter().fold(0.0, f32::max)
    }

    #[test]
    fn kernel_product_equals_matmul() {
        // Widths that are not a multiple of the kernel's step, too.
        for (outputs, width, is_mapped) in
            [(7, 5, false), (300, 768, false), (1, 33, false), (65, 64, false), (3_001, 500, true)]
        {
            let weights = random(outputs, width, "w");
            let layer = Linear {
                bias: Some(random(1, outputs, "b").flatten_all().unwrap()),
                weight: Weight::new(weights.clone(), None).unwrap(),
            };
            assert_eq!(matches!(layer.weight, Weight::Mapped(_)), is_mapped);
            let ids = Tensor::new(&[outputs as u32 - 1, 0], &Device::Cpu).unwrap();
            let rows = weights.index_select(&ids, 0).unwrap();
            assert!(largest_difference(&layer.weight.select(&ids).unwrap(), &rows) < f32::EPSILON);
            for rows in [1, 2, MAX_KERNEL_ROWS, MAX_KERNEL_ROWS + 1] {
                let input = random(rows, width, "x");
                let expected = input.matmul(&weights.t().unwrap()).unwrap();
                let expected = expected.broadcast_add(layer.bias.as_ref().unwrap()).unwrap();
                let difference = largest_difference(&layer.forward(&input).unwrap(), &expected);
                assert!(difference < 1e-3, "{outputs}×{width}, {rows} rows: {difference}");
            }
        }
    }

    #[test]
    fn quantised_product_is_close_to_exact_product() {
        let weights = random(96, 256, "w");
        let input = random(2, 256, "x");
        let exact = input.matmul(&weights.t().unwrap()).unwrap();
        // The standard deviation of an output is 16.
        for (bits, bound) in [(Bits::Eight, 0.6), (Bits::Four, 6.0)] {
            let weight = Weight::new(weights.clone(), Some(bits)).unwrap();
            assert!(weight.is_quantized());
            let difference =
                largest_difference(&Linear::from(weight.clone()).forward(&input).unwrap(), &exact);
            assert!(difference > 0.0 && difference < bound, "{bits:?}: {difference}");
            let ids = Tensor::new(&[95_u32, 0], &Device::Cpu).unwrap();
            let rows = weight.dense().index_select(&ids, 0).unwrap();
            assert!(largest_difference(&weight.select(&ids).unwrap(), &rows) < 1e-6);
        }
        // Rows of 33 weights have no blocks of 32.
        assert!(matches!(
            Weight::new(random(4, 33, "w"), Some(Bits::Four)).unwrap(),
            Weight::Dense(_)
        ));
    }
}
