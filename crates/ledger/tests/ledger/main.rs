//! Tests of the ledger on chains. One program, since most of them link the embedded chain.

mod localnet;
mod machine;
mod processes;
