//! Tests of proofs of texts. One program, since each one links the proof systems.

mod facts;
mod families;
