//! Whole networks through the real binaries.
