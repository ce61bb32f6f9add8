//! Record of a simulation: a hash over all events, so that two runs can be compared, and the
//! violated invariants.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// The record of a simulation.
struct Record {
    time: Duration,
    hash: Sha256,
    violations: Vec<String>,
    is_verbose: bool,
}

static RECORD: Mutex<Option<Record>> = Mutex::new(None);

fn with_record<T>(change: impl FnOnce(&mut Record) -> T) -> T {
    let mut record = RECORD.lock().unwrap_or_else(PoisonError::into_inner);
    change(record.get_or_insert_with(|| Record {
        time: Duration::ZERO,
        hash: Sha256::new(),
        violations: Vec::new(),
        is_verbose: false,
    }))
}

/// Prints every event from now on.
pub(crate) fn enable_verbose_output() {
    with_record(|record| record.is_verbose = true);
}

/// Sets the time of the following events.
pub(crate) fn set_time(time: Duration) {
    with_record(|record| record.time = time);
}

/// Returns the time of the current events.
pub(crate) fn now() -> Duration {
    with_record(|record| record.time)
}

/// Records an event.
#[allow(clippy::print_stderr, reason = "the output of a development tool")]
pub(crate) fn record_event(event: &str) {
    with_record(|record| {
        record.hash.update(record.time.as_millis().to_le_bytes());
        record.hash.update(event);
        if record.is_verbose {
            eprintln!("{:>10.3} {event}", record.time.as_secs_f64());
        }
    });
}

/// Records the violation of an invariant.
pub(crate) fn fail(violation: &str) {
    record_event(&format!("VIOLATION: {violation}"));
    with_record(|record| {
        record.violations.push(format!("at {:.1} s: {violation}", record.time.as_secs_f64()));
    });
}

/// Records a violation after which the simulation cannot continue, prints all of them, and exits.
#[allow(
    clippy::print_stdout,
    clippy::exit,
    reason = "the output of a development tool, which other threads keep busy"
)]
pub(crate) fn abort(violation: &str) -> ! {
    fail(violation);
    for violation in finish().0 {
        println!("  {violation}");
    }
    std::process::exit(1)
}

/// Returns the violations, and the first digits of the hash over all events.
pub(crate) fn finish() -> (Vec<String>, String) {
    with_record(|record| {
        let digest = record.hash.clone().finalize();
        let digits = hex::encode(digest.get(..8).unwrap_or_default());
        (std::mem::take(&mut record.violations), digits)
    })
}
