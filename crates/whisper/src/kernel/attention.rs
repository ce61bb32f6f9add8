//! The encoder's self-attention in f32.

use rten_gemm::{GemmInputA, GemmInputB, GemmOptions};
use rten_tensor::NdTensorView;

use super::{Gemm, exp_sum_max, vectorized};
use crate::TranscribeError;

/// Queries per block: 128 · 1 500 scores fit into the L2 cache.
const BLOCK: usize = 128;

/// Scratch buffers of the attention, reused across layers.
#[derive(Default)]
pub(crate) struct Attention {
    scores: Vec<f32>,
    context: Vec<f32>,
    sums: Vec<f32>,
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
