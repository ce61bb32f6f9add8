//! Products of f32 matrices in 16-bit fixed point.
//!
//! Each row and each column has a quantisation step; its values are stored as int16 multiples of
//! the step. The steps are as small as 32-bit sums allow. By the inequality of Cauchy and Schwarz,
//! no sum of products exceeds the product of the norms (the roots of the sums of the squares), so
//! the norms are at most 46 000 steps: below √2^31 after rounding too, for up to 65 536 values. A
//! value of typical size is rounded by about 2^-14 of itself in a row of 64 values, and by about
//! 2^-12 in a row of 1 500.
#![allow(clippy::inline_always)] // Required: the function that enables the instructions must contain the body.

use crate::product::{LANES, PANEL, Panels, Vnni, WordFormat};

/// Maximum norm of a row or column, in steps.
const MAX_NORM: f32 = 46_000.0;
/// Maximum absolute value, in steps.
const MAX_VALUE: f32 = 32_767.0;
/// Maximum number of values of a row or column. Rounding adds up to half of its root to the norm.
const MAX_DEPTH: usize = 1 << 16;
/// Sums of squares below this may have lost some to underflow.
const MIN_SUM_OF_SQUARES: f32 = 1e-30;
/// Rows of smaller values count as zeros: their steps would have no reciprocal.
const MIN_ROW_MAXIMUM: f32 = 1e-32;

/// A matrix in fixed point, packed for products with [`FixedRows`]. Later calls of the pack
/// functions reuse the memory.
///
/// Each factor of a product is rounded to a multiple of its step: the greater one of the norm of
/// its row or column divided by 46 000, and its maximum absolute value divided by 32 767. Rows and
/// columns with values outside ±1e-18 to ±1e18, other than 0, can be less accurate.
pub struct FixedMatrix {
    panels: Panels,
    /// The step of each column, padded to complete panels.
    steps: Vec<f32>,
    depth: usize,
}

/// Rows in fixed point, packed for products with a [`FixedMatrix`]. Later calls of
/// [`pack`](Self::pack) reuse the memory.
pub struct FixedRows {
    vnni: Vnni,
    /// `[row][word]`.
    words: Vec<u32>,
    /// The step of each row.
    steps: Vec<f32>,
    depth: usize,
}

impl FixedMatrix {
    /// Creates an empty matrix.
    pub fn new(vnni: Vnni) -> Self {
        Self { panels: Panels::new(vnni, WordFormat::Int16), steps: Vec::new(), depth: 0 }
    }

    /// Packs a matrix from slices of its columns.
    ///
    /// # Panics
    /// If `depth` (the inner dimension) is 0 or greater than 65 536, or the length of a column is
    /// not `depth`.
    pub fn pack_columns<'a>(
        &mut self,
        depth: usize,
        columns: usize,
        column: impl Fn(usize) -> &'a [f32],
    ) {
        self.resize(depth, columns);
        let mut words = vec![0; self.panels.words];
        for index in 0..columns {
            let values = column(index);
            assert_eq!(values.len(), depth, "values of column {index}");
            self.steps[index] = quantize(self.panels.vnni, values, &mut words);
            for (position, word) in words.iter().enumerate() {
                *self.panels.word(index, position) = *word;
            }
        }
    }

    /// Packs a matrix from slices of its rows.
    ///
    /// # Panics
    /// If `depth` is 0 or greater than 65 536, or the length of a row is not `columns`.
    pub fn pack_rows<'a>(
        &mut self,
        depth: usize,
        columns: usize,
        row: impl Fn(usize) -> &'a [f32],
    ) {
        self.resize(depth, columns);
        let Self { panels: Panels { vnni, vector_pairs, words, .. }, steps, .. } = self;
        let (mut squares, mut maxima) = (vec![0.0; columns], vec![0.0; columns]);
        for index in 0..depth {
            let values = row(index);
            assert_eq!(values.len(), columns, "values of row {index}");
            vnni.vectorize(
                #[inline(always)]
                || add_squares_and_maxima(values, &mut squares, &mut maxima),
            );
        }
        let mut scales = vec![0.0; steps.len()];
        for (((squares, maximum), scale), step) in
            squares.into_iter().zip(maxima).zip(&mut scales).zip(steps)
        {
            *scale = steps_per_unit(squares, maximum, depth);
            *step = 1.0 / *scale;
        }
        let zeros = vec![0.0; columns];
        let scales = scales.as_chunks::<LANES>().0;
        for word in 0..*words {
            let (even, odd) = (
                row(2 * word),
                if 2 * word + 1 < depth { row(2 * word + 1) } else { zeros.as_slice() },
            );
            for (index, (even, odd)) in even.chunks(LANES).zip(odd.chunks(LANES)).enumerate() {
                let line = &mut vector_pairs[index / 2 * *words + word][index % 2].0;
                let mut interleave = |even: &[f32; LANES], odd: &[f32; LANES]| {
                    vnni.vectorize(
                        #[inline(always)]
                        || {
                            let values = even.iter().zip(odd).zip(&scales[index]);
                            for (word, ((even, odd), scale)) in line.iter_mut().zip(values) {
                                *word = rounded(even * scale) | rounded(odd * scale) << 16;
                            }
                        },
                    );
                };
                if let (Some(even), Some(odd)) = (even.as_array(), odd.as_array()) {
                    interleave(even, odd);
                } else {
                    let mut padded = [[0.0; LANES]; 2];
                    padded[0][..even.len()].copy_from_slice(even);
                    padded[1][..odd.len()].copy_from_slice(odd);
                    interleave(&padded[0], &padded[1]);
                }
            }
        }
    }

    /// Multiplies rows by the matrix. Writes rows of `out`, which are `stride` values apart; the
    /// values between two rows stay.
    ///
    /// # Panics
    /// If the depths of rows and matrix differ, `stride` is below the number of columns, or `out`
    /// is too short.
    pub fn multiply(&self, rows: &FixedRows, out: &mut [f32], stride: usize) {
        assert_eq!(rows.depth, self.depth, "depth of rows and matrix");
        let Panels { vnni, columns, .. } = self.panels;
        assert!(stride >= columns, "stride {stride} is below the number of columns, {columns}");
        let needed_length =
            rows.steps.len().checked_sub(1).map_or(0, |last| last * stride + columns);
        assert!(
            out.len() >= needed_length,
            "output of {} values is too short: the products need {needed_length}",
            out.len()
        );
        let steps = self.steps.as_chunks::<PANEL>().0;
        self.panels.multiply(&rows.words, 0..columns, |row, columns, sums| {
            let steps = &steps[columns.start / PANEL];
            let out = out[row * stride + columns.start..].chunks_mut(stride);
            for ((sums, step), out) in sums.iter().zip(&rows.steps[row..]).zip(out) {
                let out = &mut out[..columns.len()];
                if let Some(out) = out.as_mut_array() {
                    vnni.scale_sums(sums, *step, steps, out);
                } else {
                    let mut products = [0.0; PANEL];
                    vnni.scale_sums(sums, *step, steps, &mut products);
                    out.copy_from_slice(&products[..out.len()]);
                }
            }
        });
    }

    /// Sets the dimensions and resizes the buffers.
    fn resize(&mut self, depth: usize, columns: usize) {
        assert!(
            (1..=MAX_DEPTH).contains(&depth),
            "matrix depth {depth} is outside 1..={MAX_DEPTH}"
        );
        self.depth = depth;
        self.panels.resize(columns, depth.div_ceil(2));
        self.steps.resize(columns.next_multiple_of(PANEL), 0.0);
    }
}

impl FixedRows {
    /// Creates an empty list of rows.
    pub fn new(vnni: Vnni) -> Self {
        Self { vnni, words: Vec::new(), steps: Vec::new(), depth: 0 }
    }

    /// Packs `count` rows of `depth` values, which it multiplies by `factor`.
    ///
    /// # Panics
    /// If `depth` is 0 or greater than 65 536, or the length of a row is not `depth`.
    pub fn pack<'a>(
        &mut self,
        count: usize,
        depth: usize,
        factor: f32,
        row: impl Fn(usize) -> &'a [f32],
    ) {
        assert!((1..=MAX_DEPTH).contains(&depth), "row depth {depth} is outside 1..={MAX_DEPTH}");
        let words = depth.div_ceil(2);
        self.depth = depth;
        self.words.resize(count * words, 0);
        self.steps.clear();
        for (index, words) in self.words.chunks_exact_mut(words).enumerate() {
            let values = row(index);
            assert_eq!(values.len(), depth, "values of row {index}");
            self.steps.push(factor * quantize(self.vnni, values, words));
        }
    }
}

/// Returns the steps per unit of a row or column of `depth` values, from the sum of its squares and
/// its maximum absolute value. NaN if one of its values is NaN or infinite: then all of its
/// products are NaN.
pub(crate) fn steps_per_unit(squares: f32, maximum: f32, depth: usize) -> f32 {
    if squares.is_nan() || maximum == f32::INFINITY {
        return f32::NAN;
    }
    if maximum < MIN_ROW_MAXIMUM {
        return 1.0;
    }
    let by_norm = if (MIN_SUM_OF_SQUARES..f32::INFINITY).contains(&squares) {
        MAX_NORM / squares.sqrt()
    } else {
        MAX_NORM / (depth as f32).sqrt() / maximum
    };
    by_norm.min(MAX_VALUE / maximum)
}

/// Quantises a row or column to words of two values. The last word of an odd number of values is
/// padded with zero. Returns the step.
pub(crate) fn quantize(vnni: Vnni, values: &[f32], words: &mut [u32]) -> f32 {
    vnni.vectorize(
        #[inline(always)]
        || {
            let (mut squares, mut maxima) = ([0.0; PANEL], [0.0; PANEL]);
            let (chunks, remainder) = values.as_chunks::<PANEL>();
            for chunk in chunks {
                add_squares_and_maxima(chunk, &mut squares, &mut maxima);
            }
            let mut padded = [0.0; PANEL];
            padded[..remainder.len()].copy_from_slice(remainder);
            add_squares_and_maxima(&padded, &mut squares, &mut maxima);
            let scale = steps_per_unit(squares.iter().sum(), max_lane(maxima), values.len());
            let (complete, remainder) = values.as_chunks::<2>();
            for (word, [first, second]) in words.iter_mut().zip(complete) {
                *word = rounded(first * scale) | rounded(second * scale) << 16;
            }
            if let ([value], Some(word)) = (remainder, words.last_mut()) {
                *word = rounded(value * scale);
            }
            1.0 / scale
        },
    )
}

/// Adds values to the sum of squares and the maximum absolute value of their lane.
#[inline(always)]
fn add_squares_and_maxima(values: &[f32], squares: &mut [f32], maxima: &mut [f32]) {
    for ((value, square), maximum) in values.iter().zip(squares).zip(maxima) {
        *square = value.mul_add(*value, *square);
        *maximum = if value.abs() > *maximum { value.abs() } else { *maximum };
    }
}

/// Returns the greatest value, comparing half of the lanes with the other half at a time.
#[inline(always)]
fn max_lane(mut lanes: [f32; PANEL]) -> f32 {
    let mut half = PANEL / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] =
                if lanes[lane] > lanes[lane + half] { lanes[lane] } else { lanes[lane + half] };
        }
        half /= 2;
    }
    lanes[0]
}

/// Rounds a value between -2^15 and 2^15 - 1 to the nearest integer, ties to even, in the low 16
/// bits.
#[inline(always)]
fn rounded(x: f32) -> u32 {
    /// 1.5 · 2^23, at which the step between two values of f32 is 1.
    const SHIFT: f32 = 12_582_912.0;
    (x + SHIFT).to_bits() & 0xffff
}
