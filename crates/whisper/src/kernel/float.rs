//! Products of f32 rows with f32 weights, for the convolutions.

use rten_gemm::{BiasVector, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::NdTensorView;
use taonet_amx::{FloatMatrix, FloatRows};

use super::{Extension, Gemm};
use crate::TranscribeError;

/// f32 weights with a bias, packed for the kernels of this CPU.
pub(crate) struct FloatLinear {
    weight: Weight,
    bias: Vec<f32>,
    inputs: usize,
}

enum Weight {
    Rten(PackedBMatrix<f32>),
    Amx(FloatMatrix),
}

impl FloatLinear {
    /// Packs weights `[outputs][inputs]`.
    pub(crate) fn new(gemm: &Gemm, values: &[f32], inputs: usize, bias: Vec<f32>) -> Self {
        let weight = if let Some(Extension::Amx(amx)) = gemm.extension {
            let mut matrix = FloatMatrix::new(amx);
            matrix.pack_columns(inputs, bias.len(), |output| &values[output * inputs..][..inputs]);
            matrix.set_bias(&bias);
            Weight::Amx(matrix)
        } else {
            let rows = NdTensorView::from_data([bias.len(), inputs], values);
            Weight::Rten(gemm.float.prepack_b(rows.transposed()))
        };
        Self { weight, bias, inputs }
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Computes y = x · Wᵀ + b for rows of `x` that begin `row_stride` values apart and may
    /// overlap.
    pub(crate) fn forward(
        &self,
        gemm: &Gemm,
        x: &[f32],
        row_stride: usize,
        y: &mut [f32],
    ) -> Result<(), TranscribeError> {
        let (inputs, outputs) = (self.inputs, self.outputs());
        let count = y.len() / outputs;
        match &self.weight {
            Weight::Rten(weight) => {
                let rows =
                    NdTensorView::from_slice_with_strides([count, inputs], x, [row_stride, 1])
                        .map_err(|error| TranscribeError::Product(error.to_string()))?;
                let options = GemmOptions {
                    bias: Some(BiasVector::Row(&self.bias)),
                    ..GemmOptions::default()
                };
                gemm.float
                    .gemm(y, GemmInputA::Unpacked(rows), GemmInputB::Packed(weight), options)
                    .map_err(|error| TranscribeError::Product(error.to_string()))
            }
            Weight::Amx(weight) => {
                let mut rows = FloatRows::new(weight.amx());
                rows.pack(count, inputs, 1.0, |row| &x[row * row_stride..][..inputs]);
                weight.multiply(&rows, y, outputs);
                Ok(())
            }
        }
    }
}
