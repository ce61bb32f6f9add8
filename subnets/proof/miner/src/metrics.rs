//! Metrics of the miner; docs/metrics.md lists them.

use std::time::Duration;

use http::StatusCode;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const REQUESTS: &str = "taonet_proof_miner_requests_total";
const PROVING: &str = "taonet_proof_miner_proving";
const PROOF_SECONDS: &str = "taonet_proof_miner_proof_seconds";

/// Registers help texts of the miner's metrics. Call after the recorder is installed.
pub fn describe() {
    describe_counter!(REQUESTS, "Requests by HTTP status");
    describe_gauge!(PROVING, "Proofs in progress");
    describe_histogram!(PROOF_SECONDS, "Time to create a proof");
}

pub(crate) fn count_request(status: StatusCode) {
    counter!(REQUESTS, "status" => status.as_str().to_owned()).increment(1);
}

pub(crate) fn record_proof(duration: Duration) {
    histogram!(PROOF_SECONDS).record(duration.as_secs_f64());
}

/// Guard that counts a proof in progress until it is dropped.
pub(crate) struct ProofGuard(());

impl ProofGuard {
    pub(crate) fn begin() -> Self {
        gauge!(PROVING).increment(1.0);
        Self(())
    }
}

impl Drop for ProofGuard {
    fn drop(&mut self) {
        gauge!(PROVING).decrement(1.0);
    }
}
