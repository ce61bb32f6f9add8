//! Products of f32 matrices, each value of which is split into three bf16 parts.
//!
//! `x = high + middle + low`, exactly: `high` is x rounded to bf16, `middle` is the difference
//! rounded to bf16, and `low` is the rest, which fits into bf16. |middle| ≤ 2^-8 · |x|, and |low| ≤
//! 2^-17 · |x|. A product a · b is the sum of six products of parts. The three omitted ones, middle
//! · low, low · middle and low · low, are together at most 2^-24 · |a · b|, as much as one rounding
//! to f32. Sums are rounded to f32.
//!
//! Two parts and three products would halve the instructions, but have errors of up to 2^-15 · |a ·
//! b|. In attention, softmax turns the error of a score into an equal relative error of a weight,
//! and the next layer quantises the weighted values to int8, where a small error moves some of them
//! by one step. So all products keep all bits.

use crate::Amx;
use crate::tiles::{Element, Line, PAIR_SIZE, Panels, TILE_SIZE, multiply};

/// Values along the depth (the inner dimension) per step.
const STEP_DEPTH: usize = 32;
/// Parts of a value. They are stored from high to low in the right-hand matrix, and from low to
/// high in the left-hand one.
const PARTS: usize = 3;
/// Lines of a part per step.
const PART_LINES: usize = 2 * TILE_SIZE;

/// An f32 matrix, packed for products with [`FloatRows`]. Later calls of the pack functions reuse
/// the memory.
///
/// For finite values, each value of a product differs from the exact one by at most 2^-24 of the
/// sum of the absolute products, plus the rounding of an f32 sum. Values outside ±1e-30 to ±1e30,
/// other than 0, can be less accurate.
pub struct FloatMatrix {
    amx: Amx,
    panels: Panels,
    depth: usize,
}

/// f32 rows, packed for products with a [`FloatMatrix`]. Later calls of [`pack`](Self::pack) reuse
/// the memory.
pub struct FloatRows {
    amx: Amx,
    /// `[pair of tiles][step][part][tile][row]`.
    lines: Vec<Line>,
    rows: usize,
    depth: usize,
}

impl FloatMatrix {
    /// Creates an empty matrix.
    pub fn new(amx: Amx) -> Self {
        Self {
            amx,
            panels: Panels { lines: Vec::new(), initial: Vec::new(), columns: 0, steps: 0 },
            depth: 0,
        }
    }

    /// Returns the proof of AMX with which the matrix was created.
    pub fn amx(&self) -> Amx {
        self.amx
    }

    /// Packs a matrix from slices of its columns.
    ///
    /// # Panics
    /// If `depth` is 0, or the length of a column is not `depth`.
    pub fn pack_columns<'a>(
        &mut self,
        depth: usize,
        columns: usize,
        column: impl Fn(usize) -> &'a [f32],
    ) {
        self.resize(depth, columns);
        let steps = self.panels.steps;
        for index in 0..columns {
            let values = column(index);
            assert_eq!(values.len(), depth, "values of column {index}");
            let (panel, tile, position) =
                (index / PAIR_SIZE, index % PAIR_SIZE / TILE_SIZE, index % TILE_SIZE);
            for (step, values) in values.chunks(STEP_DEPTH).enumerate() {
                let mut parts = [Line::ZERO; PARTS];
                self.split(values, &mut parts);
                let first = (panel * steps + step) * f32::LINES + tile * TILE_SIZE;
                for (index, part) in parts.iter().enumerate() {
                    let lines =
                        self.panels.lines[first + index * PART_LINES..][..TILE_SIZE].iter_mut();
                    for (line, word) in lines.zip(part.0.as_chunks::<4>().0) {
                        line.0.as_chunks_mut::<4>().0[position] = *word;
                    }
                }
            }
        }
    }

    /// Packs a matrix from slices of its rows.
    ///
    /// # Panics
    /// If `depth` is 0, or the length of a row is not `columns`.
    pub fn pack_rows<'a>(
        &mut self,
        depth: usize,
        columns: usize,
        row: impl Fn(usize) -> &'a [f32],
    ) {
        self.resize(depth, columns);
        let steps = self.panels.steps;
        let zeros = vec![0.0; columns];
        for pair in 0..depth.div_ceil(2) {
            let rows = [
                row(2 * pair),
                if 2 * pair + 1 < depth { row(2 * pair + 1) } else { zeros.as_slice() },
            ];
            assert!(
                rows.iter().all(|row| row.len() == columns),
                "values of rows {} and {}",
                2 * pair,
                2 * pair + 1
            );
            let (step, line) = (pair / TILE_SIZE, pair % TILE_SIZE);
            for (tile, (even, odd)) in
                rows[0].chunks(TILE_SIZE).zip(rows[1].chunks(TILE_SIZE)).enumerate()
            {
                let first = (tile / 2 * steps + step) * f32::LINES + tile % 2 * TILE_SIZE + line;
                let mut parts = [Line::ZERO; PARTS];
                if let (Some(even), Some(odd)) = (even.as_array(), odd.as_array()) {
                    self.interleave(even, odd, &mut parts);
                } else {
                    let mut padded = [[0.0; TILE_SIZE]; 2];
                    padded[0][..even.len()].copy_from_slice(even);
                    padded[1][..odd.len()].copy_from_slice(odd);
                    self.interleave(&padded[0], &padded[1], &mut parts);
                }
                for (index, part) in parts.into_iter().enumerate() {
                    self.panels.lines[first + index * PART_LINES] = part;
                }
            }
        }
    }

    /// Sets the values that are added to the columns of each product, until the matrix is packed
    /// again.
    ///
    /// # Panics
    /// If there is not one value per column.
    pub fn set_bias(&mut self, bias: &[f32]) {
        assert_eq!(bias.len(), self.panels.columns, "values of the bias");
        for (line, bias) in self.panels.initial.iter_mut().zip(bias.chunks(TILE_SIZE)) {
            for (to, value) in line.0.as_chunks_mut::<4>().0.iter_mut().zip(bias) {
                *to = value.to_ne_bytes();
            }
        }
    }

    /// Multiplies rows by the matrix. Writes rows of `out`, which are `stride` values apart. If the
    /// stride has room for it, each row is padded with zeros up to a multiple of 32 values.
    ///
    /// # Panics
    /// If the depths of rows and matrix differ, `stride` is below the number of columns, or `out`
    /// is too short.
    pub fn multiply(&self, rows: &FloatRows, out: &mut [f32], stride: usize) {
        assert_eq!(rows.depth, self.depth, "depth of rows and matrix");
        multiply(
            self.amx,
            &rows.lines,
            rows.rows,
            &self.panels,
            0,
            self.panels.columns,
            out,
            stride,
        );
    }

    /// Sets the dimensions and resizes the buffers. The padding of panels and steps is zero.
    fn resize(&mut self, depth: usize, columns: usize) {
        assert!(depth > 0, "a matrix without rows");
        let (panels, steps) = (columns.div_ceil(PAIR_SIZE), depth.div_ceil(STEP_DEPTH));
        if (self.depth, self.panels.columns) != (depth, columns) {
            self.panels.lines.clear();
        }
        self.panels.lines.resize(panels * steps * f32::LINES, Line::ZERO);
        self.panels.initial.clear();
        self.panels.initial.resize(panels * 2, Line::ZERO);
        (self.depth, self.panels.columns, self.panels.steps) = (depth, columns, steps);
    }

    fn split(&self, values: &[f32], parts: &mut [Line; PARTS]) {
        let _proof = self.amx.permission();
        if let Some(values) = values.as_array() {
            // SAFETY: `amx` proves that the CPU has AVX-512.
            unsafe { split(values, 1.0, parts) }
        } else {
            let mut padded = [0.0; STEP_DEPTH];
            padded[..values.len()].copy_from_slice(values);
            // SAFETY: As above.
            unsafe { split(&padded, 1.0, parts) }
        }
    }

    fn interleave(
        &self,
        even: &[f32; TILE_SIZE],
        odd: &[f32; TILE_SIZE],
        parts: &mut [Line; PARTS],
    ) {
        let _proof = self.amx.permission();
        // SAFETY: `amx` proves that the CPU has AVX-512.
        unsafe { interleave(even, odd, parts) }
    }
}

impl FloatRows {
    /// Creates an empty list of rows.
    pub fn new(amx: Amx) -> Self {
        Self { amx, lines: Vec::new(), rows: 0, depth: 0 }
    }

    /// Packs `count` rows of `depth` values, which it multiplies by `scale`.
    ///
    /// # Panics
    /// If `depth` is 0, or the length of a row is not `depth`.
    pub fn pack<'a>(
        &mut self,
        count: usize,
        depth: usize,
        scale: f32,
        row: impl Fn(usize) -> &'a [f32],
    ) {
        assert!(depth > 0, "rows without values");
        let steps = depth.div_ceil(STEP_DEPTH);
        (self.rows, self.depth) = (count, depth);
        self.lines.resize(count.div_ceil(PAIR_SIZE) * steps * f32::LINES, Line::ZERO);
        let _proof = self.amx.permission();
        for index in 0..count {
            let values = row(index);
            assert_eq!(values.len(), depth, "values of row {index}");
            let first = index / PAIR_SIZE * steps * f32::LINES + index % PAIR_SIZE;
            // SAFETY: `amx` proves that the CPU has AVX-512.
            unsafe { split_row(values, scale, &mut self.lines[first..]) }
        }
    }
}

/// Splits a row into the lines of its steps.
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx512f,avx512bw,avx512vl"))]
fn split_row(values: &[f32], scale: f32, lines: &mut [Line]) {
    let (complete, remainder) = values.as_chunks::<STEP_DEPTH>();
    let mut padded = [0.0; STEP_DEPTH];
    padded[..remainder.len()].copy_from_slice(remainder);
    let remainder = (!remainder.is_empty()).then_some(&padded);
    for (lines, values) in lines.chunks_mut(f32::LINES).zip(complete.iter().chain(remainder)) {
        let mut parts = [Line::ZERO; PARTS];
        split(values, scale, &mut parts);
        [lines[2 * PART_LINES], lines[PART_LINES], lines[0]] = parts;
    }
}

/// Splits values into a line of high parts, a line of middle parts and a line of low parts.
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx512f,avx512bw,avx512vl"))]
#[inline]
fn split(values: &[f32; STEP_DEPTH], scale: f32, [high, middle, low]: &mut [Line; PARTS]) {
    let lower_parts = middle.0.as_chunks_mut::<2>().0.iter_mut().zip(low.0.as_chunks_mut::<2>().0);
    let lines = high.0.as_chunks_mut::<2>().0.iter_mut().zip(lower_parts);
    for ((high, (middle, low)), value) in lines.zip(values) {
        let parts = parts(value * scale);
        *high = ((parts[0] >> 16) as u16).to_ne_bytes();
        *middle = ((parts[1] >> 16) as u16).to_ne_bytes();
        *low = ((parts[2] >> 16) as u16).to_ne_bytes();
    }
}

/// Splits two rows into lines of alternating values, the layout of an instruction's right-hand
/// tile.
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx512f,avx512bw,avx512vl"))]
#[inline]
fn interleave(
    even: &[f32; TILE_SIZE],
    odd: &[f32; TILE_SIZE],
    [high, middle, low]: &mut [Line; PARTS],
) {
    let lower_parts = middle.0.as_chunks_mut::<4>().0.iter_mut().zip(low.0.as_chunks_mut::<4>().0);
    let lines = high.0.as_chunks_mut::<4>().0.iter_mut().zip(lower_parts);
    for ((high, (middle, low)), (even, odd)) in lines.zip(even.iter().zip(odd)) {
        let (even, odd) = (parts(*even), parts(*odd));
        *high = (even[0] >> 16 | odd[0]).to_ne_bytes();
        *middle = (even[1] >> 16 | odd[1]).to_ne_bytes();
        *low = (even[2] >> 16 | odd[2]).to_ne_bytes();
    }
}

/// Returns the high, middle and low part of a value, as the upper halves of 32 bits.
#[inline(always)]
#[allow(clippy::inline_always)] // Required: the function that enables the instructions must contain the body.
fn parts(x: f32) -> [u32; PARTS] {
    let high = round(x);
    let remainder = x - f32::from_bits(high);
    let middle = round(remainder);
    [high, middle, round(remainder - f32::from_bits(middle))]
}

/// Rounds the lower half of a value's bits away: to nearest, ties to even.
#[inline(always)]
#[allow(clippy::inline_always)] // Required: the function that enables the instructions must contain the body.
fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000
}
