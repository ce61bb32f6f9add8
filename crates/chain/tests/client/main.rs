//! Tests of the client against nodes. One program, since each one links the embedded chain.

mod common;
mod faults;
mod localnet;
