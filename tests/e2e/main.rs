//! Whole networks through the real binaries.

mod yuma;
