//! The encoder's self-attention in f32, or with AMX in three bf16 parts.

use rten_gemm::{GemmInputA, GemmInputB, GemmOptions};
use rten_tensor::NdTensorView;
use taonet_amx::{Amx, FloatMatrix, FloatRows};

use super::{Gemm, exp_sum_max, vectorized};
use crate::TranscribeError;

/// Queries per block: 128 · 1 500 scores fit into the L2 cache.
const BLOCK: usize = 128;
/// Queries per block of products in tiles: keys, values, scores and packed weights fit into the L2 cache together.
const TILED_BLOCK: usize = 32;

/// Scratch buffers of the attention, reused across layers.
#[derive(Default)]
pub(crate) struct Attention {
    scores: Vec<f32>,
    context: Vec<f32>,
    sums: Vec<f32>,
    tiles: Option<Tiles>,
}

/// Matrices of one head, packed for tiles.
struct Tiles {
    queries: FloatRows,
    keys: FloatMatrix,
    weights: FloatRows,
    values: FloatMatrix,
}

impl Attention {
    /// Computes full self-attention: `qkv` contains rows of queries, keys and values, each `width` values wide. Writes
    /// rows of `width` values to `out`.
    pub(crate) fn forward(
        &mut self,
        gemm: &Gemm,
        qkv: &[f32],
        width: usize,
        heads: usize,
        out: &mut [f32],
    ) -> Result<(), TranscribeError> {
        if let Some(amx) = gemm.extensions.amx {
            self.forward_in_tiles(amx, qkv, width, heads, out);
            return Ok(());
        }
        let count = out.len() / width;
        let head = width / heads;
        let rows = NdTensorView::from_data([count, 3 * width], qkv);
        let alpha = 1.0 / (head as f32).sqrt();
        for h in 0..heads {
            let columns = |part: usize| part * width + h * head..part * width + (h + 1) * head;
            let queries = rows.slice((.., columns(0)));
            let keys = gemm.float.prepack_b(rows.slice((.., columns(1))).transposed());
            let values = gemm.float.prepack_b(rows.slice((.., columns(2))));
            for start in (0..count).step_by(BLOCK) {
                let end = count.min(start + BLOCK);
                let block = end - start;
                self.scores.resize(block * count, 0.0);
                self.context.resize(block * head, 0.0);
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
                self.sums.extend(self.scores.chunks_exact_mut(count).map(exp_sum_max));
                gemm.float
                    .gemm(
                        &mut self.context,
                        GemmInputA::Unpacked(NdTensorView::from_data([block, count], self.scores.as_slice())),
                        GemmInputB::Packed(&values),
                        GemmOptions::default(),
                    )
                    .map_err(|error| TranscribeError::Product(error.to_string()))?;
                let out = &mut out[start * width..end * width];
                normalize(&self.context, &self.sums, head, out, width, h * head);
            }
        }
        Ok(())
    }

    fn forward_in_tiles(&mut self, amx: Amx, qkv: &[f32], width: usize, heads: usize, out: &mut [f32]) {
        let Self { scores, context, sums, tiles } = self;
        let Tiles { queries, keys, weights, values } = tiles.get_or_insert_with(|| Tiles {
            queries: FloatRows::new(amx),
            keys: FloatMatrix::new(amx),
            weights: FloatRows::new(amx),
            values: FloatMatrix::new(amx),
        });
        let count = out.len() / width;
        let head = width / heads;
        let alpha = 1.0 / (head as f32).sqrt();
        // Room for complete tiles.
        let stride = count.next_multiple_of(32);
        for h in 0..heads {
            let part = |row: usize, part: usize| &qkv[row * 3 * width + part * width + h * head..][..head];
            keys.pack_columns(head, count, |position| part(position, 1));
            values.pack_rows(count, head, |position| part(position, 2));
            for start in (0..count).step_by(TILED_BLOCK) {
                let end = count.min(start + TILED_BLOCK);
                let block = end - start;
                scores.resize(block * stride, 0.0);
                context.resize(block * head, 0.0);
                queries.pack(block, head, alpha, |row| part(start + row, 0));
                keys.multiply(queries, scores, stride);
                sums.clear();
                sums.extend(scores.chunks_exact_mut(stride).map(|row| exp_sum_max(&mut row[..count])));
                weights.pack(block, count, 1.0, |row| &scores[row * stride..][..count]);
                values.multiply(weights, context, head);
                normalize(context, sums, head, &mut out[start * width..end * width], width, h * head);
            }
        }
    }
}

/// Divides each row of `context` by its sum, and writes it to the same row of `out`, starting at `column`.
fn normalize(context: &[f32], sums: &[f32], head: usize, out: &mut [f32], width: usize, column: usize) {
    vectorized(
        #[inline(always)]
        || {
            for ((context, sum), out) in context.chunks_exact(head).zip(sums).zip(out.chunks_exact_mut(width)) {
                let scale = 1.0 / sum;
                for (to, from) in out[column..column + head].iter_mut().zip(context) {
                    *to = from * scale;
                }
            }
        },
    );
}
