//! The pages, each a function of index, ledger and request.

pub(crate) mod audio;
pub(crate) mod challenge;
pub(crate) mod challenges;
pub(crate) mod miner;
pub(crate) mod miners;
pub(crate) mod overview;
mod parts;
