//! Products of a few f32 rows with an f16 matrix, for cross-attention in the decoder.
//!
//! At each step the few beams of a window read all of its keys and values. Memory bandwidth is the
//! bottleneck, so keys and values are stored as f16. Panels of 32 columns let one pass read memory
//! in order.

use rten_simd::ops::{BitOps, Extend, NarrowSaturate, NumOps};
use rten_simd::{Isa, SimdOp, f16};

/// Columns per panel.
pub(crate) const PANEL: usize = 32;

/// A matrix of `depth` rows in panels of 32 columns, f16: `[panel][row][column]`. Later calls of
/// the pack functions reuse the memory.
#[derive(Default)]
pub(crate) struct Panels {
    values: Vec<f16>,
    depth: usize,
}

impl Panels {
    /// Packs a matrix from slices of its rows; missing columns of the last panel are zero.
    pub(crate) fn pack_rows<'a>(
        &mut self,
        depth: usize,
        columns: usize,
        row: impl Fn(usize) -> &'a [f32],
    ) {
        self.resize(depth, columns);
        let mut block = [0.0; PANEL];
        for (panel, values) in self.values.chunks_exact_mut((depth * PANEL).max(1)).enumerate() {
            let first = panel * PANEL;
            let count = PANEL.min(columns - first);
            block[count..].fill(0.0);
            for (i, values) in values.as_chunks_mut::<PANEL>().0.iter_mut().enumerate() {
                block[..count].copy_from_slice(&row(i)[first..first + count]);
                Narrow { from: &block, to: values }.dispatch();
            }
        }
    }

    /// Packs a matrix from slices of its columns; missing columns of the last panel are zero.
    pub(crate) fn pack_columns<'a>(
        &mut self,
        depth: usize,
        columns: usize,
        column: impl Fn(usize) -> &'a [f32],
    ) {
        self.resize(depth, columns);
        // A panel is transposed in a block that fits into the L1 cache, because the columns are far
        // apart.
        let mut block = vec![[0.0; PANEL]; depth];
        for (panel, values) in self.values.chunks_exact_mut((depth * PANEL).max(1)).enumerate() {
            let first = panel * PANEL;
            for j in 0..PANEL {
                if first + j < columns {
                    for (row, value) in block.iter_mut().zip(column(first + j)) {
                        row[j] = *value;
                    }
                } else {
                    for row in &mut block {
                        row[j] = 0.0;
                    }
                }
            }
            for (block, values) in block.iter().zip(values.as_chunks_mut::<PANEL>().0) {
                Narrow { from: block, to: values }.dispatch();
            }
        }
    }

    /// Sets the dimensions and resizes the buffer.
    fn resize(&mut self, depth: usize, columns: usize) {
        self.depth = depth;
        self.values.resize(depth * columns.next_multiple_of(PANEL), f16::default());
    }
}

struct Narrow<'a> {
    from: &'a [f32; PANEL],
    to: &'a mut [f16; PANEL],
}

impl SimdOp for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let (float, half) = (isa.f32(), isa.f16());
        let width = half.len();
        for (from, to) in self.from.chunks_exact(width).zip(self.to.chunks_exact_mut(width)) {
            let (low, high) = (float.load(from), float.load(&from[float.len()..]));
            half.store(float.narrow_saturate(low, high), to);
        }
    }
}

/// Computes `out[r][panel · 32 + j] = Σ_i rows[r][i] · panels[panel][i][j]` for rows `stride`
/// apart; `out`'s rows are `out_stride` apart, a multiple of 32.
pub(crate) fn panel_product(
    rows: &[f32],
    stride: usize,
    panels: &Panels,
    out: &mut [f32],
    out_stride: usize,
) {
    let count = rows.len().div_ceil(stride);
    let mut first = 0;
    while first < count {
        let row_count = (count - first).min(5);
        let product = (&rows[first * stride..], &mut out[first * out_stride..]);
        match row_count {
            5 => Product::<5>::new(product, stride, panels, out_stride).dispatch(),
            4 => Product::<4>::new(product, stride, panels, out_stride).dispatch(),
            3 => Product::<3>::new(product, stride, panels, out_stride).dispatch(),
            2 => Product::<2>::new(product, stride, panels, out_stride).dispatch(),
            _ => Product::<1>::new(product, stride, panels, out_stride).dispatch(),
        }
        first += row_count;
    }
}

struct Product<'a, const R: usize> {
    rows: [&'a [f32]; R],
    panels: &'a Panels,
    out: &'a mut [f32],
    out_stride: usize,
}

impl<'a, const R: usize> Product<'a, R> {
    fn new(
        (rows, out): (&'a [f32], &'a mut [f32]),
        stride: usize,
        panels: &'a Panels,
        out_stride: usize,
    ) -> Self {
        let rows = std::array::from_fn(|r| &rows[r * stride..r * stride + panels.depth]);
        Self { rows, panels, out, out_stride }
    }
}

impl<const R: usize> SimdOp for Product<'_, R> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let (float, half) = (isa.f32(), isa.f16());
        let (width, lanes) = (half.len(), float.len());
        let depth = self.panels.depth;
        let rows = self.rows.map(|row| &row[..depth]);
        for (panel, values) in self.panels.values.chunks_exact((depth * PANEL).max(1)).enumerate() {
            for offset in (0..PANEL).step_by(width) {
                let mut sums = [[float.zero(); 2]; R];
                for (i, values) in values.as_chunks::<PANEL>().0.iter().enumerate() {
                    let values = half.load(&values[offset..]);
                    let (low, high) = (half.extend_low(values), half.extend_high(values));
                    for (sum, row) in sums.iter_mut().zip(&rows) {
                        let factor = float.splat(row[i]);
                        sum[0] = float.mul_add(low, factor, sum[0]);
                        sum[1] = float.mul_add(high, factor, sum[1]);
                    }
                }
                for (r, sum) in sums.into_iter().enumerate() {
                    let out = &mut self.out[r * self.out_stride + panel * PANEL + offset..];
                    float.store(sum[0], out);
                    float.store(sum[1], &mut out[lanes..]);
                }
            }
        }
    }
}
