//! Checks of miners' answers against the validator's own model, which yield a quality in `0..=1`.

pub mod embedding;
pub mod full_text;
pub mod image;
pub mod text;
