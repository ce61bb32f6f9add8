//! Weights in blocks of 4 or 8 bits (Q4_0, Q4_1, Q8_0), packed for the products of bytes of x86-64.
//!
//! Inputs are rounded to 8 bits. Each instruction multiplies weights of 8 or 16 outputs with the
//! same four inputs: the lanes of a vector are outputs, so that lanes need not be added, and one
//! instruction applies the scales of all lanes. A weight of 8 bits is two nibbles: only products of
//! nibbles can be added in 16 bits.
//!
//! For one row, candle's products take up to ten times as long, and these little more than reading
//! the weights. They use AVX2 or AVX-512 without VNNI, for which pulp has no safe functions.

#![allow(
    clippy::indexing_slicing,
    clippy::inline_always,
    clippy::needless_range_loop,
    reason = "`pack` and `multiply` check the lengths"
)]

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Error, Tensor};
use memmap2::Mmap;
use pulp::x86::{V3, V4};
use pulp::{
    NullaryFnOnce, Simd, cast, f32x8, f32x16, i16x16, i16x32, i32x8, i32x16, u32x8, u32x16,
};
use rayon::prelude::*;

use super::mapped::allocate;
use crate::ModelError;

/// Number of outputs of a tile.
const TILE_OUTPUTS: usize = 16;
/// Number of inputs of a tile: the weights of an output with the same scale.
const TILE_INPUTS: usize = 32;
/// Number of words with the bytes of a tile's inputs.
const TILE_WORDS: usize = TILE_INPUTS / 4;
/// Number of lines of a tile with weights of 4 bits.
const LINES_4_BIT: usize = 1 + TILE_WORDS / 2;
/// Number of lines of a tile with weights of 4 bits and minima.
const LINES_4_BIT_WITH_MINIMA: usize = 2 + TILE_WORDS / 2;
/// Number of lines of a tile with weights of 8 bits.
const LINES_8_BIT: usize = 1 + TILE_WORDS;
/// Minimum number of tiles per thread, counted once for each input row; below it, waking a thread
/// takes longer than the product.
const MIN_TILES_PER_THREAD: usize = 1 << 10;

/// One value per output. A tile is a line with the bits of the scales as floats, one with those of
/// the minima in Q4_1, and then lines with four bytes of each block. With 4 bits, the low nibbles
/// belong to the first 16 inputs, and the high nibbles to the others.
type Line = [u32; TILE_OUTPUTS];

/// Format of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// Q4_0: the scale times a weight of 4 bits less 8.
    Four,
    /// Q4_1: the scale times a weight of 4 bits, plus the minimum.
    FourWithMinima,
    /// Q8_0: the scale times a weight of 8 bits.
    Eight,
}

impl Format {
    /// Returns the format with this name; `None` if it cannot be packed.
    const fn new(name: GgmlDType) -> Option<Self> {
        match name {
            GgmlDType::Q4_0 => Some(Self::Four),
            GgmlDType::Q4_1 => Some(Self::FourWithMinima),
            GgmlDType::Q8_0 => Some(Self::Eight),
            _ => None,
        }
    }

    /// Returns the number of lines of a tile.
    const fn lines_per_tile(self) -> usize {
        match self {
            Self::Four => LINES_4_BIT,
            Self::FourWithMinima => LINES_4_BIT_WITH_MINIMA,
            Self::Eight => LINES_8_BIT,
        }
    }

    /// Returns the number of a tile's lines before those with weights: the scales, and the minima.
    const fn header_lines(self) -> usize {
        match self {
            Self::Four | Self::Eight => 1,
            Self::FourWithMinima => 2,
        }
    }

    /// Returns the unsigned number that stands for 0, or for the minimum.
    const fn zero_point(self) -> i32 {
        match self {
            Self::Four => 8,
            Self::FourWithMinima => 0,
            Self::Eight => 128,
        }
    }
}

/// A matrix of weights of 4 or 8 bits, one row per output.
#[derive(Debug, Clone)]
pub(crate) struct NibbleMatrix {
    /// Tiles, those of the same outputs together. The last outputs may be missing: their scales are
    /// 0.
    memory: Arc<Mmap>,
    format: Format,
    outputs: usize,
    /// Length of a row in tiles.
    tiles_per_row: usize,
    instructions: Instructions,
}

impl NibbleMatrix {
    /// Whether blocks in this format can be packed on this processor.
    pub(super) fn can_pack(name: GgmlDType) -> bool {
        Format::new(name).is_some() && Instructions::detect().is_some()
    }

    /// Packs blocks on the CPU; `None` for other formats and devices, and if the processor lacks
    /// the instructions.
    pub(super) fn pack(blocks: &QTensor) -> Result<Option<Self>, ModelError> {
        let Some(instructions) = Instructions::detect() else { return Ok(None) };
        let Some(format) = Format::new(blocks.dtype()) else { return Ok(None) };
        if !blocks.device().is_cpu() {
            return Ok(None);
        }
        let (outputs, inputs) = blocks.shape().dims2()?;
        let (width, lines, header_lines) =
            (inputs / TILE_INPUTS, format.lines_per_tile(), format.header_lines());
        let length = outputs.div_ceil(TILE_OUTPUTS) * width * lines * size_of::<Line>();
        let mut memory = allocate(length).map_err(Error::from)?;
        // A block has the scale and the minimum as 16-bit floats, and then the weights.
        let (bytes, block_size) = (blocks.data()?, 2 * header_lines + 4 * (lines - header_lines));
        let floats: Vec<u8> = bytes
            .chunks_exact(block_size)
            .flat_map(|block| block[..2 * header_lines].iter().copied())
            .collect();
        let floats =
            Tensor::from_raw_buffer(&floats, DType::F16, &[floats.len() / 2], &Device::Cpu)?;
        let floats = floats.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        let rows =
            bytes.chunks_exact(width * block_size).zip(floats.chunks_exact(width * header_lines));
        // Bytes become unsigned, as nibbles are.
        let sign_mask = if format == Format::Eight { 0x8080_8080 } else { 0 };
        let packed: &mut [Line] = bytemuck::cast_slice_mut(&mut memory);
        for (output, (blocks, floats)) in rows.enumerate() {
            let tiles = packed[output / TILE_OUTPUTS * width * lines..].chunks_exact_mut(lines);
            let blocks = blocks.chunks_exact(block_size).zip(floats.chunks_exact(header_lines));
            for (tile, (block, floats)) in tiles.zip(blocks) {
                let words = block[2 * header_lines..]
                    .as_chunks()
                    .0
                    .iter()
                    .map(|word| u32::from_le_bytes(*word) ^ sign_mask);
                let floats = floats.iter().map(|float| float.to_bits());
                for (line, word) in tile.iter_mut().zip(floats.chain(words)) {
                    line[output % TILE_OUTPUTS] = word;
                }
            }
        }
        let memory = memory.make_read_only().map_err(Error::from)?;
        Ok(Some(Self {
            memory: Arc::new(memory),
            format,
            outputs,
            tiles_per_row: width,
            instructions,
        }))
    }

    fn lines(&self) -> &[Line] {
        bytemuck::cast_slice(&self.memory)
    }

    /// Multiplies each row of the input with each row of the weights.
    pub(super) fn multiply(&self, input: &Tensor) -> Result<Tensor, ModelError> {
        let (rows, inputs) = input.dims2()?;
        if rows == 0 || inputs != self.tiles_per_row * TILE_INPUTS {
            let (lhs, rhs) =
                (input.shape().clone(), (self.outputs, self.tiles_per_row * TILE_INPUTS).into());
            return Err(Error::ShapeMismatchBinaryOp {
                lhs,
                rhs,
                op: "product with quantised weights",
            }
            .into());
        }
        let products = self.row_products(&self.quantize(&input.flatten_all()?.to_vec1::<f32>()?));
        Ok(Tensor::from_vec(products, (rows, self.outputs), &Device::Cpu)?)
    }

    /// Rounds rows of the input.
    fn quantize(&self, rows: &[f32]) -> Vec<InputBlock> {
        rows.as_chunks()
            .0
            .iter()
            .map(|values| InputBlock::new(values, self.format.zero_point()))
            .collect()
    }

    /// Returns a row of products for each row of the input.
    fn row_products(&self, input: &[InputBlock]) -> Vec<f32> {
        let (rows, tiles) =
            (input.len() / self.tiles_per_row, self.lines().len() / self.format.lines_per_tile());
        let mut products = vec![0.0; self.outputs.next_multiple_of(TILE_OUTPUTS) * rows];
        let threads = rayon::current_num_threads().min(tiles * rows / MIN_TILES_PER_THREAD).max(1);
        let tile_rows_per_thread = self.outputs.div_ceil(TILE_OUTPUTS).div_ceil(threads);
        if threads == 1 {
            self.multiply_tiles(self.lines(), input, &mut products);
        } else {
            let lines = self.lines().par_chunks(
                tile_rows_per_thread * self.tiles_per_row * self.format.lines_per_tile(),
            );
            products
                .par_chunks_mut(tile_rows_per_thread * TILE_OUTPUTS * rows)
                .zip(lines)
                .for_each(|(products, lines)| self.multiply_tiles(lines, input, products));
        }
        let mut row_major_products = Vec::with_capacity(products.len());
        for row in 0..rows {
            for products in products.chunks_exact(TILE_OUTPUTS * rows) {
                row_major_products
                    .extend_from_slice(&products[row * TILE_OUTPUTS..][..TILE_OUTPUTS]);
            }
            row_major_products.truncate((row + 1) * self.outputs);
        }
        row_major_products
    }

    fn multiply_tiles(&self, lines: &[Line], input: &[InputBlock], products: &mut [f32]) {
        match self.format {
            Format::Four => self.compute_outputs::<LINES_4_BIT>(lines, input, products),
            Format::FourWithMinima => {
                self.compute_outputs::<LINES_4_BIT_WITH_MINIMA>(lines, input, products);
            }
            Format::Eight => self.compute_outputs::<LINES_8_BIT>(lines, input, products),
        }
    }

    fn compute_outputs<const LINES: usize>(
        &self,
        lines: &[Line],
        input: &[InputBlock],
        products: &mut [f32],
    ) {
        let (width, (tiles, _)) = (self.tiles_per_row, lines.as_chunks::<LINES>());
        match self.instructions {
            Instructions::V3(simd) => {
                simd.vectorize(ThreadShare { simd, tiles, input, width, products });
            }
            Instructions::V4(simd) => {
                simd.vectorize(ThreadShare { simd, tiles, input, width, products });
            }
        }
    }

    /// Returns the rows with these indices as floats.
    pub(super) fn select(&self, rows: &Tensor) -> Result<Tensor, ModelError> {
        let rows = rows.to_vec1::<u32>()?;
        let mut values = Vec::with_capacity(rows.len() * self.tiles_per_row * TILE_INPUTS);
        for row in rows.iter().map(|row| *row as usize) {
            if row >= self.outputs {
                return Err(ModelError::Tokens);
            }
            let (lane, lines_per_tile) = (row % TILE_OUTPUTS, self.format.lines_per_tile());
            let size = self.tiles_per_row * lines_per_tile;
            for tile in
                self.lines()[row / TILE_OUTPUTS * size..][..size].chunks_exact(lines_per_tile)
            {
                let scale = f32::from_bits(tile[0][lane]);
                let minimum = match self.format {
                    Format::FourWithMinima => f32::from_bits(tile[1][lane]),
                    Format::Four | Format::Eight => 0.0,
                };
                let zero_point = self.format.zero_point() as f32;
                let weight = |byte: u8| scale * (f32::from(byte) - zero_point) + minimum;
                let bytes = tile[self.format.header_lines()..]
                    .iter()
                    .flat_map(|line| line[lane].to_le_bytes());
                match self.format {
                    Format::Four | Format::FourWithMinima => {
                        let low = bytes.clone().map(|byte| byte & 0x0f);
                        let high = bytes.map(|byte| byte >> 4);
                        values.extend(low.chain(high).map(weight));
                    }
                    Format::Eight => values.extend(bytes.map(weight)),
                }
            }
        }
        Ok(Tensor::from_vec(values, (rows.len(), self.tiles_per_row * TILE_INPUTS), &Device::Cpu)?)
    }

    #[cfg(test)]
    pub(super) fn dense(&self) -> Tensor {
        self.select(&Tensor::arange(0, self.outputs as u32, &Device::Cpu).unwrap()).unwrap()
    }
}

/// Instruction set of the products.
#[derive(Debug, Clone, Copy)]
enum Instructions {
    /// AVX2.
    V3(V3),
    /// AVX-512.
    V4(V4),
}

impl Instructions {
    fn detect() -> Option<Self> {
        V4::try_new().map(Self::V4).or_else(|| V3::try_new().map(Self::V3))
    }
}

/// Some values of an input row, rounded to signed bytes.
#[derive(Debug, Clone, Copy)]
struct InputBlock {
    words: [i32; TILE_WORDS],
    scale: f32,
    /// The sum of products if all weights are 0.
    zero_sum: i32,
    /// The sum of the rounded values, which the minima are multiplied with.
    sum: f32,
}

impl InputBlock {
    fn new(values: &[f32; TILE_INPUTS], zero_point: i32) -> Self {
        let scale = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs())) / 127.0;
        let factor = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let bytes = values.map(|value| (value * factor + 0.5_f32.copysign(value)) as i8);
        let sum: i32 = bytes.iter().copied().map(i32::from).sum();
        Self {
            words: bytemuck::cast(bytes),
            scale,
            zero_sum: zero_point * sum,
            sum: scale * sum as f32,
        }
    }
}

/// Instruction sets with products of bytes.
trait ByteProducts: Simd {
    /// Multiplies nibbles, one per byte, with signed bytes, and adds each two adjacent products to
    /// a sum. Its 16 bits are enough for all inputs of a tile.
    // No sum saturates, but the compiler reorders wrapping additions. It then reads the lines of a
    // tile backwards, for which the CPU does not read ahead: up to three times slower.
    fn add_products(self, sums: Self::i16s, nibbles: Self::u32s, input: Self::i32s) -> Self::i16s;

    /// Adds the two low sums of each lane and `factor` times the high ones, and subtracts
    /// `zero_sum`.
    fn combine_sums(
        self,
        low: Self::i16s,
        high: Self::i16s,
        factor: i16,
        zero_sum: i32,
    ) -> Self::f32s;
}

impl ByteProducts for V3 {
    #[inline(always)]
    fn add_products(self, sums: i16x16, nibbles: u32x8, input: i32x8) -> i16x16 {
        self.saturating_add_i16x16(
            sums,
            self.multiply_saturating_add_adjacent_i8x32(cast(nibbles), cast(input)),
        )
    }

    #[inline(always)]
    fn combine_sums(self, low: i16x16, high: i16x16, factor: i16, zero_sum: i32) -> f32x8 {
        let low = self.multiply_wrapping_add_adjacent_i16x16(low, self.splat_i16s(1));
        let high = self.multiply_wrapping_add_adjacent_i16x16(high, self.splat_i16s(factor));
        self.convert_i32x8_to_f32x8(
            self.sub_i32s(self.add_i32s(low, high), self.splat_i32s(zero_sum)),
        )
    }
}

impl ByteProducts for V4 {
    #[inline(always)]
    fn add_products(self, sums: i16x32, nibbles: u32x16, input: i32x16) -> i16x32 {
        self.saturating_add_i16x32(
            sums,
            self.multiply_saturating_add_adjacent_i8x64(cast(nibbles), cast(input)),
        )
    }

    #[inline(always)]
    fn combine_sums(self, low: i16x32, high: i16x32, factor: i16, zero_sum: i32) -> f32x16 {
        let low = self.multiply_wrapping_add_adjacent_i16x32(low, self.splat_i16s(1));
        let high = self.multiply_wrapping_add_adjacent_i16x32(high, self.splat_i16s(factor));
        self.convert_i32x16_to_f32x16(
            self.sub_i32s(self.add_i32s(low, high), self.splat_i32s(zero_sum)),
        )
    }
}

/// One thread's share of a product.
struct ThreadShare<'a, S, const LINES: usize> {
    simd: S,
    /// Tiles, those of the same outputs together.
    tiles: &'a [[Line; LINES]],
    /// Rows of the input, one block per tile.
    input: &'a [InputBlock],
    /// Length of a row in blocks.
    width: usize,
    /// For each tile's outputs, the products of all rows.
    products: &'a mut [f32],
}

// Everything is inlined into `call`, which is compiled for the instruction set. Closures may not be
// inlined, so none computes with vectors.
impl<S: ByteProducts, const LINES: usize> NullaryFnOnce for ThreadShare<'_, S, LINES> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { simd, tiles, input, width, products } = self;
        let rows = input.len() / width;
        for (tiles, products) in
            tiles.chunks_exact(width).zip(products.chunks_exact_mut(rows * TILE_OUTPUTS))
        {
            for (pair, products) in
                input.chunks(2 * width).zip(products.chunks_mut(2 * TILE_OUTPUTS))
            {
                match pair.split_at(width) {
                    (last, []) => dots(simd, tiles, [last], products),
                    (one, other) => dots(simd, tiles, [one, other], products),
                }
            }
        }
    }
}

/// Computes the products of the outputs of some tiles with some rows of the input.
#[inline(always)]
fn dots<S: ByteProducts, const LINES: usize, const M: usize>(
    simd: S,
    tiles: &[[Line; LINES]],
    input: [&[InputBlock]; M],
    products: &mut [f32],
) {
    let (mask, four) = (simd.splat_u32s(0x0f0f_0f0f), simd.splat_u32s(4));
    let factor = if LINES == LINES_8_BIT { 16 } else { 1 };
    let has_minima = LINES == LINES_4_BIT_WITH_MINIMA;
    let header_lines = if has_minima { 2 } else { 1 };
    for vector_index in 0..TILE_OUTPUTS / S::U32_LANES {
        let mut sums = [simd.splat_f32s(0.0); M];
        for (block_index, tile) in tiles.iter().enumerate() {
            let (mut low_sums, mut high_sums) = ([simd.splat_i16s(0); M], [simd.splat_i16s(0); M]);
            for number in header_lines..LINES {
                let bytes = S::as_simd_u32s(&tile[number]).0[vector_index];
                let low = simd.and_u32s(bytes, mask);
                let high = simd.and_u32s(simd.wrapping_dyn_shr_u32s(bytes, four), mask);
                for m in 0..M {
                    let words = &input[m][block_index].words;
                    low_sums[m] = simd.add_products(
                        low_sums[m],
                        low,
                        simd.splat_i32s(words[number - header_lines]),
                    );
                    // With 8 bits, these are the same inputs.
                    high_sums[m] = simd.add_products(
                        high_sums[m],
                        high,
                        simd.splat_i32s(words[number + TILE_WORDS - LINES]),
                    );
                }
            }
            let scales: S::f32s = cast(S::as_simd_u32s(&tile[0]).0[vector_index]);
            for m in 0..M {
                let InputBlock { scale, zero_sum, sum, .. } = input[m][block_index];
                let scales = simd.mul_f32s(scales, simd.splat_f32s(scale));
                sums[m] = simd.mul_add_e_f32s(
                    simd.combine_sums(low_sums[m], high_sums[m], factor, zero_sum),
                    scales,
                    sums[m],
                );
                if has_minima {
                    let minima: S::f32s = cast(S::as_simd_u32s(&tile[1]).0[vector_index]);
                    sums[m] = simd.mul_add_e_f32s(minima, simd.splat_f32s(sum), sums[m]);
                }
            }
        }
        for m in 0..M {
            S::as_mut_simd_f32s(&mut products[m * TILE_OUTPUTS..][..TILE_OUTPUTS]).0
                [vector_index] = sums[m];
        }
    }
}

#[cfg(test)]
mod tests;
