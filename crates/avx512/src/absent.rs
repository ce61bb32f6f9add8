//! The kernel of CPUs without AVX-512 VNNI, which cannot be called.

use crate::product::{PANEL, Step};

/// Has no values.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Permission {}

impl Permission {
    pub(crate) fn request() -> Option<Self> {
        None
    }
}

pub(crate) unsafe fn product<const ROWS: usize>(
    permission: Permission,
    _: &[u32],
    _: &[Step],
    _: &Step,
) -> [[i32; PANEL]; ROWS] {
    match permission {}
}
