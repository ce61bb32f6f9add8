//! `bb`.
fn main() {}
