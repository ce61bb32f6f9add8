//! Audits of Babelbit results: recomputed scores, evidence bundles, and conformance tests of miners.
//!
//! - [`audit`]: recomputes every score of a challenge from ledger and WAV files, names each difference (`bb audit`);
//! - [`evidence`]: a bundle with all inputs of the scores, for verification by anyone (`bb evidence`);
//! - [`conformance`]: plays the subnet protocol to a miner and reports its violations (`bb test-miner`).
//!
//! Uses `taonet-babelbit-runner` (ledger, files, connections) and `taonet-babelbit-scorer` (recognition and scores).
//! Used by `bb audit`, `bb evidence` and `bb test-miner`.

pub mod audit;
pub mod conformance;
pub mod evidence;
