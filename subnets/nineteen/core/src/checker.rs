//! Checks of results against the validator's own model (§4.3–4.4): a quality in `0..=1`.

pub mod image;
pub mod text;
pub mod whole;
