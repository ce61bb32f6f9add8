//! Linear layers with int8 weights.
//!
//! The scheme is CTranslate2's `compute_type="int8"`: weights have one scale per output channel,
//! 127 / max|w|; activations are quantised per row at run time in the same way; both are rounded to
//! the nearest integer, ties to even. The product is exact in 32-bit integers. Activations are
//! stored as unsigned bytes with the zero point 128, which yields the same products.

use std::ops::Range;

use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix, QuantParams};
use rten_tensor::NdTensorView;
use taonet_amx::Amx;
use taonet_avx512::Vnni;

use super::elementwise::{gelu_loop, max_of};
use super::vectorized;
use crate::TranscribeError;

/// Rows per block of 32-bit products, small enough for the L2 cache.
const BLOCK_ROWS: usize = 96;
/// Columns per block of products of packed weights, so that the products are dequantised while they
/// are in the cache. The weights are read in order for any number of columns.
const BLOCK_COLUMNS: usize = 256;
const ZERO_POINT: u8 = 128;

/// Matrix kernels selected for this CPU. Not `Send`: each thread creates a separate instance.
pub(crate) struct Gemm {
    pub(crate) int8: GemmExecutor<u8, i8, i32>,
    pub(crate) float: GemmExecutor<f32>,
    pub(crate) extension: Option<Extension>,
}

/// An extension of this CPU for matrices, which takes precedence over the other kernels.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Extension {
    /// Accelerates all products; int8 results are bit-identical.
    Amx(Amx),
    /// Accelerates int8 products, with bit-identical results, and the encoder's attention.
    Vnni(Vnni),
}

impl Extension {
    fn detect() -> Option<Self> {
        Amx::detect().map(Self::Amx).or_else(|| Vnni::detect().map(Self::Vnni))
    }
}

impl Default for Gemm {
    fn default() -> Self {
        Self::new(Extension::detect())
    }
}

impl Gemm {
    /// Selects the kernels for this CPU, with one of its extensions.
    pub(crate) fn new(extension: Option<Extension>) -> Self {
        Self { int8: GemmExecutor::new(), float: GemmExecutor::new(), extension }
    }

    /// Returns the names of the kernels selected for this CPU: int8, whose results no extension
    /// changes, f32, and that of the attention where an extension computes it.
    pub(crate) fn kernel_name(&self) -> String {
        let (int8, float) = (self.int8.kernel_name(), self.float.kernel_name());
        match self.extension {
            Some(Extension::Amx(_)) => format!("{int8}+amx-bf16"),
            Some(Extension::Vnni(_)) => format!("{int8}+{float}+avx512-int16"),
            None => format!("{int8}+{float}"),
        }
    }
}

/// Quantised rows of activations.
#[derive(Default)]
pub(crate) struct Quantized {
    values: Vec<u8>,
    /// Quantisation step of each row.
    steps: Vec<f32>,
    width: usize,
}

impl Quantized {
    /// Quantises each row of `width` values by its maximum absolute value.
    pub(crate) fn quantize(&mut self, rows: &[f32], width: usize) {
        self.width = width;
        self.values.resize(rows.len(), 0);
        self.steps.clear();
        for (row, values) in rows.chunks_exact(width).zip(self.values.chunks_exact_mut(width)) {
            self.steps.push(quantize_row(row, values));
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.steps.len()
    }
}

fn quantize_row(row: &[f32], values: &mut [u8]) -> f32 {
    const SHIFT: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to an integer (ties to even) in the low bits
    vectorized(
        #[inline(always)]
        || {
            let max = max_of(row, f32::abs);
            let scale = if max > 0.0 { 127.0 / max } else { 1.0 };
            for (value, x) in values.iter_mut().zip(row) {
                *value = ((x * scale + SHIFT).to_bits() as u8).wrapping_add(ZERO_POINT);
            }
            1.0 / scale
        },
    )
}

/// A linear layer: y = x · Wᵀ + b.
pub(crate) struct Linear {
    weight: Weight,
    /// Quantisation step of each output channel.
    steps: Vec<f32>,
    bias: Vec<f32>,
    /// Whether the kernel adds two products in 16 bits, which may overflow.
    pub(super) may_saturate: bool,
}

/// Weights, packed for the kernels of this CPU.
enum Weight {
    Rten(PackedBMatrix<i8>),
    Amx(taonet_amx::Int8Matrix),
    Vnni(taonet_avx512::Int8Matrix),
}

/// Operation applied after the bias is added.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Epilogue {
    Store,
    Gelu,
    /// Adds to the existing output.
    Add,
}

/// Scratch buffers of a product, reused across calls.
#[derive(Default)]
pub(crate) struct Scratch {
    products: Vec<i32>,
    zeros: Vec<u8>,
    halves: Vec<u8>,
    amx_rows: taonet_amx::Int8Rows,
    vnni_rows: taonet_avx512::Int8Rows,
}

/// Quantises weights as CTranslate2 does, by rows of `inputs` values. Returns the integers, and the
/// quantisation step of each row.
pub(crate) fn quantize_weights(weights: &[f32], inputs: usize) -> (Vec<i8>, Vec<f32>) {
    let mut values = vec![0; weights.len()];
    let mut steps = Vec::with_capacity(weights.len() / inputs.max(1));
    let mut row_values = vec![0u8; inputs];
    for (row, values) in weights.chunks_exact(inputs).zip(values.chunks_exact_mut(inputs)) {
        steps.push(quantize_row(row, &mut row_values));
        for (value, unsigned) in values.iter_mut().zip(&row_values) {
            *value = unsigned.wrapping_sub(ZERO_POINT).cast_signed();
        }
    }
    (values, steps)
}

impl Linear {
    /// Packs quantised weights `[outputs][inputs]`. An empty bias counts as zero.
    pub(crate) fn new(
        gemm: &Gemm,
        values: &[i8],
        inputs: usize,
        steps: Vec<f32>,
        mut bias: Vec<f32>,
    ) -> Self {
        let outputs = steps.len();
        bias.resize(outputs, 0.0);
        let may_saturate = gemm.int8.may_saturate();
        let weight = match gemm.extension {
            Some(Extension::Amx(amx)) if inputs > 0 => {
                Weight::Amx(taonet_amx::Int8Matrix::pack(amx, values, inputs, ZERO_POINT))
            }
            Some(Extension::Vnni(vnni)) if inputs > 0 => {
                Weight::Vnni(taonet_avx512::Int8Matrix::pack(vnni, values, inputs, ZERO_POINT))
            }
            _ => {
                let rows = NdTensorView::from_data([outputs, inputs], values);
                Weight::Rten(gemm.int8.prepack_b(rows.transposed()))
            }
        };
        Self { weight, steps, bias, may_saturate }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.steps.len()
    }

    /// Computes y = x · Wᵀ + b.
    pub(crate) fn forward(
        &self,
        gemm: &Gemm,
        scratch: &mut Scratch,
        x: &Quantized,
        y: &mut [f32],
        epilogue: Epilogue,
    ) -> Result<(), TranscribeError> {
        let (width, outputs) = (x.width, self.outputs());
        scratch.zeros.resize(BLOCK_ROWS, ZERO_POINT);
        let blocks = x.values.chunks(BLOCK_ROWS * width).zip(x.steps.chunks(BLOCK_ROWS));
        for ((values, steps), y) in blocks.zip(y.chunks_mut(BLOCK_ROWS * outputs)) {
            match &self.weight {
                Weight::Rten(weight) => {
                    scratch.products.resize(steps.len() * outputs, 0);
                    self.multiply_rows(gemm, weight, scratch, values, steps.len())?;
                    self.dequantize(&scratch.products, steps, y, 0..outputs, epilogue);
                }
                Weight::Amx(weight) => {
                    scratch.amx_rows.pack(values, width);
                    self.multiply_by_columns(
                        &mut scratch.products,
                        steps,
                        y,
                        epilogue,
                        |columns, products| {
                            weight.multiply(&scratch.amx_rows, columns, products);
                        },
                    );
                }
                Weight::Vnni(weight) => {
                    scratch.vnni_rows.pack(values, width);
                    self.multiply_by_columns(
                        &mut scratch.products,
                        steps,
                        y,
                        epilogue,
                        |columns, products| {
                            weight.multiply(&scratch.vnni_rows, columns, products);
                        },
                    );
                }
            }
        }
        Ok(())
    }

    /// Multiplies and dequantises blocks of columns.
    fn multiply_by_columns(
        &self,
        products: &mut Vec<i32>,
        steps: &[f32],
        y: &mut [f32],
        epilogue: Epilogue,
        multiply: impl Fn(Range<usize>, &mut [i32]),
    ) {
        let outputs = self.outputs();
        for start in (0..outputs).step_by(BLOCK_COLUMNS) {
            let columns = start..outputs.min(start + BLOCK_COLUMNS);
            products.resize(steps.len() * columns.len(), 0);
            multiply(columns.clone(), products);
            self.dequantize(products, steps, y, columns, epilogue);
        }
    }

    /// Computes the integer products of up to a block of rows. Some kernels add two products in 16
    /// bits, where 255 · 127 · 2 overflows. For these kernels, the activations are split into two
    /// halves of at most 128, since 128 · 127 · 2 fits.
    fn multiply_rows(
        &self,
        gemm: &Gemm,
        weight: &PackedBMatrix<i8>,
        scratch: &mut Scratch,
        values: &[u8],
        rows: usize,
    ) -> Result<(), TranscribeError> {
        let products = &mut scratch.products;
        if !self.may_saturate {
            return multiply_int8(gemm, weight, products, values, &scratch.zeros[..rows], 0);
        }
        let zeros = vec![ZERO_POINT / 2; rows];
        scratch.halves.clear();
        scratch.halves.extend(values.iter().map(|value| value / 2));
        multiply_int8(gemm, weight, products, &scratch.halves, &zeros, 0)?;
        for (half, value) in scratch.halves.iter_mut().zip(values) {
            *half = value - value / 2;
        }
        multiply_int8(gemm, weight, products, &scratch.halves, &zeros, 1)
    }

    /// Writes the outputs `columns` of rows with these quantisation steps, given their products.
    fn dequantize(
        &self,
        products: &[i32],
        row_steps: &[f32],
        y: &mut [f32],
        columns: Range<usize>,
        epilogue: Epilogue,
    ) {
        let (steps, bias) = (&self.steps[columns.clone()], &self.bias[columns.clone()]);
        vectorized(
            #[inline(always)]
            || {
                let pairs =
                    products.chunks_exact(columns.len()).zip(y.chunks_exact_mut(self.outputs()));
                for ((products, y), row_step) in pairs.zip(row_steps) {
                    let y = &mut y[columns.clone()];
                    let columns = products.iter().zip(steps).zip(bias);
                    if epilogue == Epilogue::Add {
                        for (((product, step), bias), y) in columns.zip(y.iter_mut()) {
                            *y += *product as f32 * (row_step * step) + bias;
                        }
                    } else {
                        for (((product, step), bias), y) in columns.zip(y.iter_mut()) {
                            *y = *product as f32 * (row_step * step) + bias;
                        }
                        if epilogue == Epilogue::Gelu {
                            gelu_loop(y);
                        }
                    }
                }
            },
        );
    }
}

fn multiply_int8(
    gemm: &Gemm,
    weight: &PackedBMatrix<i8>,
    products: &mut [i32],
    values: &[u8],
    zeros: &[u8],
    beta: i32,
) -> Result<(), TranscribeError> {
    let activations =
        NdTensorView::from_data([zeros.len(), values.len() / zeros.len().max(1)], values);
    let quant = Some(QuantParams { zero_point: zeros });
    let options = GemmOptions { a_quant: quant, beta, ..GemmOptions::default() };
    gemm.int8
        .gemm(products, GemmInputA::Unpacked(activations), GemmInputB::Packed(weight), options)
        .map_err(|error| TranscribeError::Product(error.to_string()))
}
