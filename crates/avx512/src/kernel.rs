//! The functions that are compiled for AVX-512 VNNI.

use std::arch::x86_64::{__m512i, _mm512_dpbusd_epi32, _mm512_dpwssd_epi32};
use std::mem::transmute;

use crate::product::{LANES, PANEL, VectorPair};

/// Proof that the CPU has the instructions, which makes calls of this module's functions sound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VnniToken(());

impl VnniToken {
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni"))
            .then_some(Self(()))
    }
}

/// Runs a closure, compiled for these instructions if it is `#[inline(always)]`.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(crate) fn call_with_vnni<R>(_: VnniToken, work: impl FnOnce() -> R) -> R {
    work()
}

/// Multiplies the sums of a row by its step and those of the columns. Not a closure for
/// [`call_with_vnni`], because only parameters are known not to overlap.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(crate) fn scale_sums(
    _: VnniToken,
    sums: &[i32; PANEL],
    row_step: f32,
    column_steps: &[f32; PANEL],
    out: &mut [f32; PANEL],
) {
    for ((out, sum), column_step) in out.iter_mut().zip(sums).zip(column_steps) {
        *out = *sum as f32 * row_step * column_step;
    }
}

/// Defines a matrix kernel around a multiply-add instruction.
macro_rules! product {
    ($name:ident, $instruction:ident) => {
        /// Multiplies rows by a panel and adds the products to `initial`.
        ///
        /// # Panics
        /// If the length of `rows` is not `ROWS` times that of `panel`.
        #[target_feature(enable = "avx512f,avx512vnni")]
        pub(crate) fn $name<const ROWS: usize>(
            _: VnniToken,
            rows: &[u32],
            panel: &[VectorPair],
            initial: &VectorPair,
        ) -> [[i32; PANEL]; ROWS] {
            let words = panel.len();
            assert_eq!(rows.len(), ROWS * words, "words of the rows");
            let mut sums = [initial.map(|line| vector(line.0)); ROWS];
            for (word, right) in panel.iter().enumerate() {
                let right = right.map(|line| vector(line.0));
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: `row` is below `ROWS` and `word` below `words`; the assertion bounds
                    // their index.
                    let left = unsafe { *rows.get_unchecked(row * words + word) };
                    let left = vector([left; LANES]);
                    for (sum, right) in sums.iter_mut().zip(right) {
                        *sum = $instruction(*sum, left, right);
                    }
                }
            }
            sums.map(|sums| {
                // SAFETY: The types have the same size and no invalid values.
                unsafe { transmute::<[__m512i; 2], [i32; PANEL]>(sums) }
            })
        }
    };
}

product!(int8_product, _mm512_dpbusd_epi32);
product!(int16_product, _mm512_dpwssd_epi32);

#[target_feature(enable = "avx512f,avx512vnni")]
fn vector(words: [u32; LANES]) -> __m512i {
    // SAFETY: The types have the same size and no invalid values.
    unsafe { transmute(words) }
}
