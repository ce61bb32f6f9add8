//! `tao`.
fn main() {}
