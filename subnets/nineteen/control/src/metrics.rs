//! Metrics of periods, handshakes and checks.

use std::time::Duration;

use taonet_nineteen_query::PeriodMiners;

use crate::topups;

const PERIOD: &str = "taonet_nineteen_period";
const CONTENDERS: &str = "taonet_nineteen_contenders";
const HANDSHAKES: &str = "taonet_nineteen_handshakes_total";
const CHECKS: &str = "taonet_nineteen_checks_total";
const CHECK_SECONDS: &str = "taonet_nineteen_check_seconds";
const SKIPPED: &str = "taonet_nineteen_synthetic_skipped_total";

/// Registers the help texts of the metrics of periods and checks. Call once, after the recorder is
/// installed.
pub fn describe() {
    metrics::describe_gauge!(PERIOD, "Number of the running period");
    metrics::describe_gauge!(CONTENDERS, "Miners' offers in the running period, by task");
    metrics::describe_counter!(HANDSHAKES, "Handshakes with miners, by result");
    metrics::describe_counter!(CHECKS, "Checked answers, by task and result");
    metrics::describe_histogram!(CHECK_SECONDS, "Time to check an answer");
    metrics::describe_gauge!("taonet_nineteen_weight", "Weight of each miner, by uid");
    metrics::describe_counter!(SKIPPED, "Synthetic requests that were not sent, by reason");
    topups::describe_metrics();
}

pub(crate) fn set_period(number: i64) {
    metrics::gauge!(PERIOD).set(number as f64);
}

pub(crate) fn set_contenders(period_miners: &PeriodMiners) {
    for task_miners in period_miners.tasks() {
        let (task, count) = (&task_miners.task.task, task_miners.contenders().len());
        metrics::gauge!(CONTENDERS, "task" => task.as_str().to_owned()).set(count as f64);
    }
}

pub(crate) fn count_handshake(succeeded: bool) {
    metrics::counter!(HANDSHAKES, "result" => if succeeded { "made" } else { "failed" })
        .increment(1);
}

pub(crate) fn record_check(task: &str, result: &'static str, elapsed: Duration) {
    metrics::counter!(CHECKS, "task" => task.to_owned(), "result" => result).increment(1);
    metrics::histogram!(CHECK_SECONDS).record(elapsed.as_secs_f64());
}

pub(crate) fn count_skipped(reason: &'static str) {
    metrics::counter!(SKIPPED, "reason" => reason).increment(1);
}
