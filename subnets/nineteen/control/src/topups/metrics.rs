//! Metrics of transfers to deposit addresses.

const DEPOSITS: &str = "taonet_nineteen_deposits_total";
const DEPOSIT_CREDITS: &str = "taonet_nineteen_deposit_credits_total";
const DEPOSIT_BLOCK: &str = "taonet_nineteen_deposit_block";
const DEPOSITS_FAILING: &str = "taonet_nineteen_deposits_failing";

/// Registers the help texts of the metrics of deposits.
pub(crate) fn describe() {
    metrics::describe_counter!(DEPOSITS, "Transfers of TAO to deposit addresses, by result");
    metrics::describe_counter!(DEPOSIT_CREDITS, "Credits granted for transfers of TAO");
    metrics::describe_gauge!(DEPOSIT_BLOCK, "Last finalized block whose transfers are recorded");
    metrics::describe_gauge!(
        DEPOSITS_FAILING,
        "1 while transfers of TAO cannot be credited, otherwise 0"
    );
}

pub(super) fn record_deposit(is_credited: bool, credits: i64) {
    metrics::counter!(DEPOSITS, "result" => if is_credited { "credited" } else { "unattributed" })
        .increment(1);
    metrics::counter!(DEPOSIT_CREDITS).increment(credits.unsigned_abs());
}

pub(super) fn record_worthless_deposits(count: u64) {
    metrics::counter!(DEPOSITS, "result" => "worthless").increment(count);
}

pub(super) fn set_deposits_failing(is_failing: bool) {
    metrics::gauge!(DEPOSITS_FAILING).set(f64::from(u8::from(is_failing)));
}

pub(super) fn set_deposit_block(number: u32) {
    metrics::gauge!(DEPOSIT_BLOCK).set(f64::from(number));
}
