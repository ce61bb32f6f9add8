//! Products of unsigned and signed bytes, as exact 32-bit integers.

use std::ops::Range;

use crate::product::{PANEL, Panels, Vnni, WordFormat};

/// A matrix of signed bytes, packed for products with rows of unsigned bytes.
pub struct Int8Matrix {
    panels: Panels,
    inputs: usize,
}

/// Rows of unsigned bytes, packed for products with an [`Int8Matrix`]. Later calls of
/// [`pack`](Self::pack) reuse the memory.
#[derive(Default)]
pub struct Int8Rows {
    /// `[row][word]`.
    words: Vec<u32>,
    inputs: usize,
}

impl Int8Matrix {
    /// Packs `values`, `[output][input]` with `inputs` values per output. Products with a row `x`
    /// are Σ (x\[i\] - `zero_point`) · values\[output\]\[i\]. They are exact up to 65 536 inputs;
    /// sums beyond 32 bits wrap around.
    ///
    /// # Panics
    /// If `inputs` is 0, or `values` has an incomplete row.
    pub fn pack(vnni: Vnni, values: &[i8], inputs: usize, zero_point: u8) -> Self {
        assert!(inputs > 0 && values.len().is_multiple_of(inputs), "complete rows");
        let mut panels = Panels::new(vnni, WordFormat::Int8);
        panels.resize(values.len() / inputs, inputs.div_ceil(4));
        for (output, values) in values.chunks_exact(inputs).enumerate() {
            for (word, values) in values.chunks(4).enumerate() {
                let mut bytes = [0; 4];
                for (byte, value) in bytes.iter_mut().zip(values) {
                    *byte = value.cast_unsigned();
                }
                *panels.word(output, word) = u32::from_le_bytes(bytes);
            }
            let sum: i32 = values.iter().map(|value| i32::from(*value)).sum();
            *panels.initial(output) = sum.wrapping_mul(-i32::from(zero_point)).cast_unsigned();
        }
        Self { panels, inputs }
    }

    /// Returns the number of outputs.
    pub fn outputs(&self) -> usize {
        self.panels.columns
    }

    /// Multiplies rows by a range of outputs, which must start at a multiple of 32. Writes
    /// `outputs.len()` values per row to `out`.
    ///
    /// # Panics
    /// If the numbers of inputs of rows and matrix differ, the range does not start at a multiple
    /// of 32 or exceeds the matrix, or `out` is too short.
    pub fn multiply(&self, rows: &Int8Rows, outputs: Range<usize>, out: &mut [i32]) {
        assert_eq!(rows.inputs, self.inputs, "inputs of rows and matrix");
        let stride = outputs.len();
        let needed_length = rows.words.len() / self.panels.words * stride;
        assert!(
            out.len() >= needed_length,
            "output of {} values is too short: the products need {needed_length}",
            out.len()
        );
        self.panels.multiply(&rows.words, outputs, |row, columns, sums| {
            for (out, sums) in out[row * stride..].chunks_exact_mut(stride).zip(sums) {
                let out = &mut out[columns.clone()];
                match out.as_mut_array::<PANEL>() {
                    // A copy of a known size.
                    Some(out) => *out = *sums,
                    None => out.copy_from_slice(&sums[..out.len()]),
                }
            }
        });
    }
}

impl Int8Rows {
    /// Packs rows of `inputs` values.
    ///
    /// # Panics
    /// If `inputs` is 0, or `values` has an incomplete row.
    pub fn pack(&mut self, values: &[u8], inputs: usize) {
        assert!(inputs > 0 && values.len().is_multiple_of(inputs), "complete rows");
        self.inputs = inputs;
        self.words.clear();
        for row in values.chunks_exact(inputs) {
            let (complete, remainder) = row.as_chunks::<4>();
            self.words.extend(complete.iter().map(|bytes| u32::from_le_bytes(*bytes)));
            if !remainder.is_empty() {
                let mut bytes = [0; 4];
                bytes[..remainder.len()].copy_from_slice(remainder);
                self.words.push(u32::from_le_bytes(bytes));
            }
        }
    }
}
