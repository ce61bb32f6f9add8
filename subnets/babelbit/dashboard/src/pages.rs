//! Pages of the dashboard, rendered from the index, the ledger and the request.

pub(crate) mod audio;
pub(crate) mod challenge;
pub(crate) mod challenges;
pub(crate) mod miner;
pub(crate) mod miners;
pub(crate) mod overview;
mod parts;
mod validators;
