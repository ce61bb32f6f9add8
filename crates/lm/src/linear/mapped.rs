//! Weights in memory with large pages. A product of a few rows takes the time to read the weights;
//! the CPU reads ahead only within a page, and large pages need fewer address translations.

use std::io;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use memmap2::{Mmap, MmapMut};

use super::{multiply_few_rows, with_floats};
use crate::ModelError;

/// Minimum size of the weights, in bytes: one large page of x86-64 and AArch64.
const MIN_MAPPED_BYTES: usize = 2 << 20;
/// Maximum number of weights in a copy for a product of many rows, 4 MB.
const MAX_BLOCK_WEIGHTS: usize = 1 << 20;

/// Allocates zeroed memory, in large pages if possible.
pub(super) fn allocate(bytes: usize) -> io::Result<MmapMut> {
    let memory = MmapMut::map_anon(bytes)?;
    // Without large pages, products are only slower.
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    Ok(memory)
}

/// A matrix of 32-bit floats, one row per output.
#[derive(Debug, Clone)]
pub(crate) struct MappedMatrix {
    memory: Arc<Mmap>,
    outputs: usize,
    width: usize,
}

impl MappedMatrix {
    /// Copies weights that fill a large page; `None` for smaller weights and those of another
    /// device.
    pub(super) fn copy(weights: &Tensor) -> Result<Option<Self>, ModelError> {
        let (outputs, width) = weights.dims2()?;
        let length = outputs * width * size_of::<f32>();
        if length < MIN_MAPPED_BYTES || !weights.device().is_cpu() {
            return Ok(None);
        }
        let memory = with_floats(&weights.contiguous()?, |weights| {
            let mut memory = allocate(length)?;
            memory.copy_from_slice(bytemuck::cast_slice(weights));
            memory.make_read_only()
        });
        let Some(memory) = memory else { return Ok(None) };
        let memory = memory.map_err(candle_core::Error::from)?;
        Ok(Some(Self { memory: Arc::new(memory), outputs, width }))
    }

    fn values(&self) -> &[f32] {
        bytemuck::cast_slice(&self.memory)
    }

    /// Multiplies each row of the input with each row of the weights.
    pub(super) fn multiply(&self, input: &Tensor) -> Result<Tensor, ModelError> {
        if let Some(output) = multiply_few_rows(self.values(), (self.outputs, self.width), input)? {
            return Ok(output);
        }
        let blocks = self.values().chunks((MAX_BLOCK_WEIGHTS / self.width).max(1) * self.width);
        let products = blocks.map(|weights| {
            let shape = (weights.len() / self.width, self.width);
            input.matmul(&Tensor::from_slice(weights, shape, &Device::Cpu)?.t()?)
        });
        let products = products.collect::<Result<Vec<_>, _>>()?;
        Ok(Tensor::cat(&products, 1)?)
    }

    /// Returns the rows with these indices.
    pub(super) fn select(&self, rows: &Tensor) -> Result<Tensor, ModelError> {
        let rows = rows.to_vec1::<u32>()?;
        let mut values = Vec::with_capacity(rows.len() * self.width);
        for row in &rows {
            let row = self
                .values()
                .chunks_exact(self.width)
                .nth(*row as usize)
                .ok_or(ModelError::Tokens)?;
            values.extend_from_slice(row);
        }
        Ok(Tensor::from_vec(values, (rows.len(), self.width), &Device::Cpu)?)
    }

    #[cfg(test)]
    pub(super) fn dense(&self) -> Tensor {
        Tensor::from_slice(self.values(), (self.outputs, self.width), &Device::Cpu).unwrap()
    }
}
