//! Checks of Babelbit results: recompute them, pack the evidence, test a miner.
//!
//! - [`audit`]: recomputes every score of a challenge from ledger and WAV files, and names each difference (`bb audit`);
//! - [`evidence`]: a bundle of what a score follows from, that anybody can verify (`bb evidence`);
//! - [`conformance`]: plays the subnet protocol to a miner and says what it does wrong (`bb test-miner`).
//!
//! Uses `taonet-babelbit-runner` (ledger, files, connections) and `taonet-babelbit-scorer` (recognition and scores).

pub mod audit;
pub mod conformance;
pub mod evidence;
