//! Helpers of the benchmark's tests.

use std::time::Duration;

use axum::http::StatusCode;
use taonet_primitives::Hotkey;
use taonet_wire::ReturnCode;

use super::load::{LoadResults, Plan, Sample};
use super::report::{BenchTarget, Report};

/// Returns the sample of a call that started 100 ms after the one before it.
pub(super) fn sample(call: u32, latency_ms: u64, status: u16, reason: &str) -> Sample {
    let status = StatusCode::from_u16(status).unwrap();
    Sample {
        call,
        scheduled_start: Duration::from_millis(100) * call,
        start: Duration::from_millis(100) * call,
        service_time: Duration::from_millis(latency_ms),
        code: ReturnCode::from_status(status),
        status,
        reason: reason.to_owned(),
        bytes: 10,
    }
}

/// Returns the report of 10 planned calls with these samples.
pub(super) fn report(samples: Vec<Sample>) -> Report {
    let target = BenchTarget {
        url: "http://127.0.0.1:8091/".to_owned(),
        hotkey: Hotkey::from_bytes([1; 32]),
        kind: "summing".to_owned(),
        scheme: "dendrite",
        size: Some(9),
    };
    let plan = Plan {
        calls: 10,
        batch: 1,
        rate: 10.0,
        concurrency: 64,
        timeout: Duration::from_secs(12),
        max_time: Duration::from_mins(1),
        max_response_bytes: 1_000,
    };
    Report::new(target, plan, LoadResults { samples, elapsed: Duration::from_secs(2) })
}
