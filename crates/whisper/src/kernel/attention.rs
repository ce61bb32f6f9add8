//! The encoder's self-attention: with AMX in three bf16 parts, with AVX-512 VNNI in 16-bit fixed
//! point, and otherwise in f32.

use rten_gemm::{GemmInputA, GemmInputB, GemmOptions};
use rten_tensor::NdTensorView;
use taonet_amx::{Amx, FloatMatrix, FloatRows};
use taonet_avx512::{FixedMatrix, FixedRows, Vnni};

use super::{Extension, Gemm, exp_and_sum, vectorized};
use crate::TranscribeError;

/// Queries per block: 128 · 1 500 scores fit into the L2 cache.
const BLOCK_QUERIES: usize = 128;

/// Scratch buffers of the attention, reused across layers.
#[derive(Default)]
pub(crate) struct Attention {
    block: BlockResults,
    amx: Option<AttentionHead<FloatMatrix>>,
    vnni: Option<AttentionHead<FixedMatrix>>,
}

/// Results of a block of queries.
#[derive(Default)]
struct BlockResults {
    scores: Vec<f32>,
    context: Vec<f32>,
    sums: Vec<f32>,
    /// Keys or values of a head, less their mean.
    centered: Vec<f32>,
    /// Added to the results: the mean of the values where they are centered, otherwise zeros.
    mean: Vec<f32>,
}

/// Matrices of one head, packed for a kernel.
struct AttentionHead<M: PackedMatrix> {
    queries: M::Rows,
    keys: M,
    weights: M::Rows,
    values: M,
}

/// A matrix that is packed for a kernel.
trait PackedMatrix {
    /// Proof that this CPU has the kernel's instructions.
    type Proof: Copy;
    /// Rows that are packed for a product with the matrix.
    type Rows;
    /// Queries per block: keys, values, scores and packed weights fit into the L2 cache together. A
    /// multiple of the rows that the kernel multiplies at a time.
    const BLOCK_QUERIES: usize;

    /// Creates an empty matrix.
    fn matrix(proof: Self::Proof) -> Self;

    /// Creates an empty list of rows.
    fn rows(proof: Self::Proof) -> Self::Rows;

    /// Packs a matrix from slices of its columns.
    fn pack_columns<'a>(
        &mut self,
        depth: usize,
        columns: usize,
        column: impl Fn(usize) -> &'a [f32],
    );

    /// Packs a matrix from slices of its rows.
    fn pack_rows<'a>(&mut self, depth: usize, columns: usize, row: impl Fn(usize) -> &'a [f32]);

    /// Packs `count` rows of `depth` values, which it multiplies by `factor`.
    fn pack<'a>(
        rows: &mut Self::Rows,
        count: usize,
        depth: usize,
        factor: f32,
        row: impl Fn(usize) -> &'a [f32],
    );

    /// Writes products as rows of `out`, which are `stride` values apart. The values between two
    /// rows are undefined.
    fn multiply(&self, rows: &Self::Rows, out: &mut [f32], stride: usize);
}

/// Implements [`PackedMatrix`] by the types' own methods.
macro_rules! impl_packed_matrix {
    ($proof:ty, $matrix:ty, $rows:ty, $block:literal) => {
        impl PackedMatrix for $matrix {
            type Proof = $proof;
            type Rows = $rows;
            const BLOCK_QUERIES: usize = $block;

            fn matrix(proof: $proof) -> Self {
                <$matrix>::new(proof)
            }

            fn rows(proof: $proof) -> $rows {
                <$rows>::new(proof)
            }

            fn pack_columns<'a>(
                &mut self,
                depth: usize,
                columns: usize,
                column: impl Fn(usize) -> &'a [f32],
            ) {
                <$matrix>::pack_columns(self, depth, columns, column);
            }

            fn pack_rows<'a>(
                &mut self,
                depth: usize,
                columns: usize,
                row: impl Fn(usize) -> &'a [f32],
            ) {
                <$matrix>::pack_rows(self, depth, columns, row);
            }

            fn pack<'a>(
                rows: &mut $rows,
                count: usize,
                depth: usize,
                factor: f32,
                row: impl Fn(usize) -> &'a [f32],
            ) {
                rows.pack(count, depth, factor, row);
            }

            fn multiply(&self, rows: &$rows, out: &mut [f32], stride: usize) {
                <$matrix>::multiply(self, rows, out, stride);
            }
        }
    };
}

impl_packed_matrix!(Amx, FloatMatrix, FloatRows, 32);
impl_packed_matrix!(Vnni, FixedMatrix, FixedRows, 48);

impl Attention {
    /// Computes full self-attention: `qkv` contains rows of queries, keys and values, each `width`
    /// values wide. Writes rows of `width` values to `out`.
    pub(crate) fn forward(
        &mut self,
        gemm: &Gemm,
        qkv: &[f32],
        width: usize,
        heads: usize,
        out: &mut [f32],
    ) -> Result<(), TranscribeError> {
        match gemm.extension {
            Some(Extension::Amx(amx)) => {
                self.amx.get_or_insert_with(|| AttentionHead::new(amx)).forward(
                    &mut self.block,
                    qkv,
                    width,
                    heads,
                    out,
                );
                Ok(())
            }
            Some(Extension::Vnni(vnni)) => {
                self.vnni.get_or_insert_with(|| AttentionHead::new(vnni)).forward(
                    &mut self.block,
                    qkv,
                    width,
                    heads,
                    out,
                );
                Ok(())
            }
            None => self.block.forward(gemm, qkv, width, heads, out),
        }
    }
}

impl BlockResults {
    /// As [`Attention::forward`], in f32.
    fn forward(
        &mut self,
        gemm: &Gemm,
        qkv: &[f32],
        width: usize,
        heads: usize,
        out: &mut [f32],
    ) -> Result<(), TranscribeError> {
        let count = out.len() / width;
        let head_width = width / heads;
        let rows = NdTensorView::from_data([count, 3 * width], qkv);
        let alpha = 1.0 / (head_width as f32).sqrt();
        self.mean.clear();
        self.mean.resize(head_width, 0.0);
        for h in 0..heads {
            let [queries, keys, values] = [0, width, 2 * width]
                .map(|first| first + h * head_width..first + (h + 1) * head_width);
            let queries = rows.slice((.., queries));
            let keys = gemm.float.prepack_b(rows.slice((.., keys)).transposed());
            let values = gemm.float.prepack_b(rows.slice((.., values)));
            for start in (0..count).step_by(BLOCK_QUERIES) {
                let end = count.min(start + BLOCK_QUERIES);
                let block = end - start;
                self.scores.resize(block * count, 0.0);
                self.context.resize(block * head_width, 0.0);
                let options = GemmOptions { alpha, ..GemmOptions::default() };
                gemm.float
                    .gemm(
                        &mut self.scores,
                        GemmInputA::Unpacked(queries.slice(start..end)),
                        GemmInputB::Packed(&keys),
                        options,
                    )
                    .map_err(|error| TranscribeError::Product(error.to_string()))?;
                self.sums.clear();
                self.sums.extend(self.scores.chunks_exact_mut(count).map(exp_and_sum));
                gemm.float
                    .gemm(
                        &mut self.context,
                        GemmInputA::Unpacked(NdTensorView::from_data(
                            [block, count],
                            self.scores.as_slice(),
                        )),
                        GemmInputB::Packed(&values),
                        GemmOptions::default(),
                    )
                    .map_err(|error| TranscribeError::Product(error.to_string()))?;
                let out = &mut out[start * width..end * width];
                normalize(&self.context, &self.sums, &self.mean, out, width, h * head_width);
            }
        }
        Ok(())
    }
}

impl<M: PackedMatrix> AttentionHead<M> {
    fn new(proof: M::Proof) -> Self {
        Self {
            queries: M::rows(proof),
            keys: M::matrix(proof),
            weights: M::rows(proof),
            values: M::matrix(proof),
        }
    }

    /// As [`Attention::forward`].
    fn forward(
        &mut self,
        results: &mut BlockResults,
        qkv: &[f32],
        width: usize,
        heads: usize,
        out: &mut [f32],
    ) {
        let Self { queries, keys, weights, values } = self;
        let BlockResults { scores, context, sums, centered, mean } = results;
        let count = out.len() / width;
        let head_width = width / heads;
        let alpha = 1.0 / (head_width as f32).sqrt();
        // With room up to a multiple of 32 values, tiles need no copy.
        let stride = count.next_multiple_of(32);
        for h in 0..heads {
            let head_slice = |row: usize, part: usize| {
                &qkv[row * 3 * width + part * width + h * head_width..][..head_width]
            };
            // Fixed point rounds less without the mean. That of the keys adds the same to all
            // scores of a query, which does not change softmax. That of the values is added to the
            // results.
            center((0..count).map(|row| head_slice(row, 1)), head_width, centered, mean);
            keys.pack_columns(head_width, count, |position| {
                &centered[position * head_width..][..head_width]
            });
            center((0..count).map(|row| head_slice(row, 2)), head_width, centered, mean);
            values.pack_rows(count, head_width, |position| {
                &centered[position * head_width..][..head_width]
            });
            for start in (0..count).step_by(M::BLOCK_QUERIES) {
                let end = count.min(start + M::BLOCK_QUERIES);
                let block = end - start;
                scores.resize(block * stride, 0.0);
                context.resize(block * head_width, 0.0);
                M::pack(queries, block, head_width, alpha, |row| head_slice(start + row, 0));
                keys.multiply(queries, scores, stride);
                sums.clear();
                sums.extend(
                    scores.chunks_exact_mut(stride).map(|row| exp_and_sum(&mut row[..count])),
                );
                M::pack(weights, block, count, 1.0, |row| &scores[row * stride..][..count]);
                values.multiply(weights, context, head_width);
                normalize(
                    context,
                    sums,
                    mean,
                    &mut out[start * width..end * width],
                    width,
                    h * head_width,
                );
            }
        }
    }
}

/// Copies rows of a head to `to`, less their mean.
fn center<'a>(
    rows: impl Iterator<Item = &'a [f32]> + Clone,
    head_width: usize,
    to: &mut Vec<f32>,
    mean: &mut Vec<f32>,
) {
    mean.clear();
    mean.resize(head_width, 0.0);
    to.clear();
    vectorized(
        #[inline(always)]
        || {
            let mut count = 0;
            for row in rows.clone() {
                for (mean, value) in mean.iter_mut().zip(row) {
                    *mean += value;
                }
                count += 1;
            }
            for mean in mean.iter_mut() {
                *mean /= count as f32;
            }
            for row in rows {
                to.extend(row.iter().zip(&*mean).map(|(value, mean)| value - mean));
            }
        },
    );
}

/// Divides each row of `context` by its sum, adds `mean`, and writes it to the same row of `out`,
/// starting at `column`.
fn normalize(
    context: &[f32],
    sums: &[f32],
    mean: &[f32],
    out: &mut [f32],
    width: usize,
    column: usize,
) {
    vectorized(
        #[inline(always)]
        || {
            for ((context, sum), out) in
                context.chunks_exact(mean.len()).zip(sums).zip(out.chunks_exact_mut(width))
            {
                let scale = 1.0 / sum;
                for ((to, from), mean) in
                    out[column..column + mean.len()].iter_mut().zip(context).zip(mean)
                {
                    *to = from * scale + mean;
                }
            }
        },
    );
}
