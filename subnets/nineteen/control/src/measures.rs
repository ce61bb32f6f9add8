//! Metrics of periods, handshakes and checks.

use std::time::Duration;

const PERIOD: &str = "taonet_nineteen_period";
const CONTENDERS: &str = "taonet_nineteen_contenders";
const HANDSHAKES: &str = "taonet_nineteen_handshakes_total";
const CHECKS: &str = "taonet_nineteen_checks_total";
const CHECK_SECONDS: &str = "taonet_nineteen_check_seconds";
const SKIPPED: &str = "taonet_nineteen_synthetic_skipped_total";
const DEPOSITS: &str = "taonet_nineteen_deposits_total";
const DEPOSIT_CREDITS: &str = "taonet_nineteen_deposit_credits_total";
const DEPOSIT_BLOCK: &str = "taonet_nineteen_deposit_block";
const DEPOSITS_FAILING: &str = "taonet_nineteen_deposits_failing";

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
    metrics::describe_counter!(DEPOSITS, "Transfers of TAO to deposit addresses, by result");
    metrics::describe_counter!(DEPOSIT_CREDITS, "Credits granted for transfers of TAO");
    metrics::describe_gauge!(DEPOSIT_BLOCK, "Last finalized block whose transfers are recorded");
    metrics::describe_gauge!(
        DEPOSITS_FAILING,
        "1 while transfers of TAO cannot be credited, otherwise 0"
    );
}

pub(crate) fn period(number: i64) {
    metrics::gauge!(PERIOD).set(number as f64);
}

pub(crate) fn contenders(task: &str, count: usize) {
    metrics::gauge!(CONTENDERS, "task" => task.to_owned()).set(count as f64);
}

pub(crate) fn handshake(succeeded: bool) {
    metrics::counter!(HANDSHAKES, "result" => if succeeded { "made" } else { "failed" })
        .increment(1);
}

pub(crate) fn check(task: &str, result: &'static str, elapsed: Duration) {
    metrics::counter!(CHECKS, "task" => task.to_owned(), "result" => result).increment(1);
    metrics::histogram!(CHECK_SECONDS).record(elapsed.as_secs_f64());
}

pub(crate) fn skipped(reason: &'static str) {
    metrics::counter!(SKIPPED, "reason" => reason).increment(1);
}

pub(crate) fn deposit(is_credited: bool, credits: i64) {
    metrics::counter!(DEPOSITS, "result" => if is_credited { "credited" } else { "unattributed" })
        .increment(1);
    metrics::counter!(DEPOSIT_CREDITS).increment(credits.unsigned_abs());
}

pub(crate) fn record_worthless_deposits(count: u64) {
    metrics::counter!(DEPOSITS, "result" => "worthless").increment(count);
}

pub(crate) fn deposits_failing(is_failing: bool) {
    metrics::gauge!(DEPOSITS_FAILING).set(f64::from(u8::from(is_failing)));
}

pub(crate) fn deposit_block(number: u32) {
    metrics::gauge!(DEPOSIT_BLOCK).set(f64::from(number));
}
