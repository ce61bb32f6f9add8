//! Checks of results against the validator's own model, which yield a quality in `0..=1`.

pub mod image;
pub mod text;
pub mod whole;
