//! The kernel of CPUs without AVX-512 VNNI, which cannot be called.

use crate::product::{PANEL, VectorPair};

/// Proof that the CPU has the instructions. It has no values: no CPU of this platform has them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum VnniToken {}

impl VnniToken {
    pub(crate) fn detect() -> Option<Self> {
        None
    }
}

pub(crate) unsafe fn int8_product<const ROWS: usize>(
    permission: VnniToken,
    _: &[u32],
    _: &[VectorPair],
    _: &VectorPair,
) -> [[i32; PANEL]; ROWS] {
    match permission {}
}

pub(crate) unsafe fn int16_product<const ROWS: usize>(
    permission: VnniToken,
    _: &[u32],
    _: &[VectorPair],
    _: &VectorPair,
) -> [[i32; PANEL]; ROWS] {
    match permission {}
}

pub(crate) unsafe fn call_with_vnni<R>(permission: VnniToken, _: impl FnOnce() -> R) -> R {
    match permission {}
}

pub(crate) unsafe fn scale_sums(
    permission: VnniToken,
    _: &[i32; PANEL],
    _: f32,
    _: &[f32; PANEL],
    _: &mut [f32; PANEL],
) {
    match permission {}
}
