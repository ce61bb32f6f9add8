//! Metrics of automatic updates; docs/metrics.md lists them.

use metrics::{counter, describe_counter};

const CHECKS: &str = "taonet_update_checks_total";

/// Registers the metrics' help texts. Call after the recorder is installed.
pub fn describe() {
    describe_counter!(CHECKS, "Checks for a newer release, by result");
}

pub(crate) fn count_check(result: &'static str) {
    counter!(CHECKS, "result" => result).increment(1);
}
