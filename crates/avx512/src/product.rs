//! Products of rows with panels of columns.
//!
//! Rows and columns consist of words of 32 bits: four values of int8, or two of int16.

use std::ops::Range;

use crate::kernel;

/// Lanes of a vector.
pub(crate) const LANES: usize = 16;
/// Columns per panel: the lanes of two vectors.
pub(crate) const PANEL: usize = 2 * LANES;
/// Maximum number of rows per product of the kernel: their sums fill 24 of the 32 vector registers.
const MAX_ROWS: usize = 12;

/// A vector of words, one per column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub(crate) struct Line(pub(crate) [u32; LANES]);

/// The words of a panel's columns at one position, in two vectors.
pub(crate) type VectorPair = [Line; 2];

const ZERO_PAIR: VectorPair = [Line([0; LANES]); 2];

/// Proof that this process may execute the instructions of AVX-512 VNNI.
#[derive(Debug, Clone, Copy)]
pub struct Vnni(kernel::VnniToken);

impl Vnni {
    /// Returns `None` if the CPU or the operating system does not support the instructions.
    pub fn detect() -> Option<Self> {
        kernel::VnniToken::detect().map(Self)
    }

    /// Runs a closure, compiled for these instructions if it is `#[inline(always)]`.
    pub(crate) fn vectorize<R>(self, work: impl FnOnce() -> R) -> R {
        // SAFETY: `self` proves that the CPU has the instructions.
        unsafe { kernel::call_with_vnni(self.0, work) }
    }

    /// Multiplies the sums of a row by its step and those of the columns.
    pub(crate) fn scale_sums(
        self,
        sums: &[i32; PANEL],
        row_step: f32,
        column_steps: &[f32; PANEL],
        out: &mut [f32; PANEL],
    ) {
        // SAFETY: As above.
        unsafe { kernel::scale_sums(self.0, sums, row_step, column_steps, out) }
    }
}

/// How a word holds values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WordFormat {
    /// Four of 8 bits: unsigned in rows, signed in columns.
    Int8,
    /// Two of 16 bits, signed.
    Int16,
}

/// Columns, packed in panels.
pub(crate) struct Panels {
    pub(crate) vnni: Vnni,
    pub(crate) format: WordFormat,
    /// `[panel][word]`.
    pub(crate) vector_pairs: Vec<VectorPair>,
    /// Values to which the products of a panel are added.
    pub(crate) initial: Vec<VectorPair>,
    pub(crate) columns: usize,
    /// Words per column.
    pub(crate) words: usize,
}

impl Panels {
    pub(crate) fn new(vnni: Vnni, format: WordFormat) -> Self {
        Self { vnni, format, vector_pairs: Vec::new(), initial: Vec::new(), columns: 0, words: 0 }
    }

    /// Sets the dimensions and resizes the buffers. The padding of panels is zero.
    pub(crate) fn resize(&mut self, columns: usize, words: usize) {
        if (self.columns, self.words) != (columns, words) {
            self.vector_pairs.clear();
        }
        (self.columns, self.words) = (columns, words);
        let count = columns.div_ceil(PANEL);
        self.vector_pairs.resize(count * words, ZERO_PAIR);
        self.initial.resize(count, ZERO_PAIR);
    }

    /// Returns a word of a column.
    pub(crate) fn word(&mut self, column: usize, word: usize) -> &mut u32 {
        lane(&mut self.vector_pairs[column / PANEL * self.words + word], column)
    }

    /// Returns the value to which the products of a column are added.
    pub(crate) fn initial(&mut self, column: usize) -> &mut u32 {
        lane(&mut self.initial[column / PANEL], column)
    }

    /// Multiplies rows, `[row][word]`, by a range of columns. Calls `write` with the index of the
    /// first of some rows, up to 32 columns as indices into the range, and the sums of these rows
    /// and columns.
    ///
    /// # Panics
    /// If the range does not start at a multiple of [`PANEL`] or exceeds the columns.
    pub(crate) fn multiply(
        &self,
        rows: &[u32],
        columns: Range<usize>,
        mut write: impl FnMut(usize, Range<usize>, &[[i32; PANEL]]),
    ) {
        assert!(
            columns.start.is_multiple_of(PANEL) && columns.end <= self.columns,
            "columns {columns:?}"
        );
        if columns.is_empty() {
            return;
        }
        let count = rows.len() / self.words;
        // Groups of nearly equal sizes.
        let group_size = count.div_ceil(count.div_ceil(MAX_ROWS).max(1)).max(1);
        // A panel stays in the cache for all rows.
        for first in columns.clone().step_by(PANEL) {
            let panel = first / PANEL;
            let (vector_pairs, initial) =
                (&self.vector_pairs[panel * self.words..][..self.words], &self.initial[panel]);
            let range = first - columns.start..(first + PANEL).min(columns.end) - columns.start;
            for (index, rows) in rows.chunks(group_size * self.words).enumerate() {
                macro_rules! sized {
                    ($($rows:literal)*) => {
                        match rows.len() / self.words {
                            $($rows => write(index * group_size, range.clone(), &self.product::<$rows>(rows, vector_pairs, initial)),)*
                            _ => {}
                        }
                    };
                }
                sized!(1 2 3 4 5 6 7 8 9 10 11 12);
            }
        }
    }

    fn product<const ROWS: usize>(
        &self,
        rows: &[u32],
        vector_pairs: &[VectorPair],
        initial: &VectorPair,
    ) -> [[i32; PANEL]; ROWS] {
        let Vnni(token) = self.vnni;
        match self.format {
            // SAFETY: `vnni` proves that the CPU has the instructions.
            WordFormat::Int8 => unsafe { kernel::int8_product(token, rows, vector_pairs, initial) },
            // SAFETY: As above.
            WordFormat::Int16 => unsafe {
                kernel::int16_product(token, rows, vector_pairs, initial)
            },
        }
    }
}

fn lane(pair: &mut VectorPair, column: usize) -> &mut u32 {
    &mut pair[column % PANEL / LANES].0[column % LANES]
}
