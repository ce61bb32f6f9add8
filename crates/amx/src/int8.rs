//! Products of unsigned and signed bytes, as exact 32-bit integers.

use std::ops::Range;

use crate::Amx;
use crate::tiles::{Element, Line, PAIR_SIZE, Panels, TILE_SIZE, multiply};

/// Bytes along the depth (the inner dimension) per step.
const STEP_DEPTH: usize = 64;
/// Bytes whose products are added to one accumulator by one instruction.
const GROUP_BYTES: usize = 4;

/// A matrix of signed bytes, packed for products with rows of unsigned bytes.
pub struct Int8Matrix {
    amx: Amx,
    panels: Panels,
    inputs: usize,
}

/// Rows of unsigned bytes, packed for products with an [`Int8Matrix`]. The memory is reused by
/// later calls of [`pack`](Self::pack).
#[derive(Default)]
pub struct Int8Rows {
    /// `[pair of tiles][step][tile][row]`.
    lines: Vec<Line>,
    rows: usize,
    inputs: usize,
}

impl Int8Matrix {
    /// Packs `values`, `[output][input]` with `inputs` values per output. Products with a row `x`
    /// are Σ (x\[i\] - `zero_point`) · values\[output\]\[i\]. They are exact up to 65 536 inputs;
    /// sums beyond 32 bits wrap around.
    ///
    /// # Panics
    /// If `inputs` is 0, or `values` has an incomplete row.
    pub fn pack(amx: Amx, values: &[i8], inputs: usize, zero_point: u8) -> Self {
        assert!(inputs > 0 && values.len().is_multiple_of(inputs), "complete rows");
        let (outputs, steps) = (values.len() / inputs, inputs.div_ceil(STEP_DEPTH));
        let mut lines = vec![Line::ZERO; outputs.div_ceil(PAIR_SIZE) * steps * i32::LINES];
        let mut initial = vec![Line::ZERO; outputs.div_ceil(PAIR_SIZE) * 2];
        for (output, values) in values.chunks_exact(inputs).enumerate() {
            let (tile, column) = (output / TILE_SIZE, output % TILE_SIZE);
            for (group, values) in values.chunks(GROUP_BYTES).enumerate() {
                let (step, line) = (group / TILE_SIZE, group % TILE_SIZE);
                let position = ((tile / 2 * steps + step) * 2 + tile % 2) * TILE_SIZE + line;
                for (to, from) in lines[position].0[column * GROUP_BYTES..].iter_mut().zip(values) {
                    *to = from.cast_unsigned();
                }
            }
            let sum: i32 = values.iter().map(|value| i32::from(*value)).sum();
            let offset = sum.wrapping_mul(-i32::from(zero_point));
            initial[tile].0[column * 4..][..4].copy_from_slice(&offset.to_ne_bytes());
        }
        Self { amx, panels: Panels { lines, initial, columns: outputs, steps }, inputs }
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
        let count = outputs.len();
        multiply(self.amx, &rows.lines, rows.rows, &self.panels, outputs.start, count, out, count);
    }
}

impl Int8Rows {
    /// Packs rows of `inputs` values.
    ///
    /// # Panics
    /// If `inputs` is 0, or `values` has an incomplete row.
    pub fn pack(&mut self, values: &[u8], inputs: usize) {
        assert!(inputs > 0 && values.len().is_multiple_of(inputs), "complete rows");
        let steps = inputs.div_ceil(STEP_DEPTH);
        (self.rows, self.inputs) = (values.len() / inputs, inputs);
        self.lines.resize(self.rows.div_ceil(PAIR_SIZE) * steps * i32::LINES, Line::ZERO);
        for (row, values) in values.chunks_exact(inputs).enumerate() {
            let first = (row / PAIR_SIZE * steps * 2 + row % PAIR_SIZE / TILE_SIZE) * TILE_SIZE
                + row % TILE_SIZE;
            let lines = self.lines[first..].iter_mut().step_by(2 * TILE_SIZE);
            let (complete, remainder) = values.as_chunks::<STEP_DEPTH>();
            let mut lines = lines.take(steps);
            // `complete` is first, since `zip` must not take a line once `complete` is exhausted.
            for (values, line) in complete.iter().zip(lines.by_ref()) {
                line.0 = *values;
            }
            if let Some(line) = lines.next() {
                line.0[..remainder.len()].copy_from_slice(remainder);
                line.0[remainder.len()..].fill(0);
            }
        }
    }
}
