//! Tests of circuits with both backends and the programs of others.
//!
//! One program, since each one links the proof systems.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod catalogue;
mod external;
mod golden;
mod inputs;
mod keys;
mod models;
mod onnx;
mod onnxruntime;
mod operators;
mod slices;
mod solidity;
