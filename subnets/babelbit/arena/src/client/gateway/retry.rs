//! Retry policy of calls through the gateway.

use std::time::Duration;

use taonet_primitives::Backoff;

/// Markers of transient failures of the gateway, or of the miner behind it.
const TRANSIENT_MARKERS: [&str; 12] = [
    "endpoint_not_found",
    "pod_capacity_exhausted",
    "pod_recreating",
    "miner pod is being recreated",
    "cold pod could not be started",
    "warming",
    "rate_limited",
    "upstream_unavailable",
    "upstream_error",
    "upstream request failed",
    "miner_unavailable",
    "miner endpoint unavailable",
];
/// Markers of final refusals by a running miner.
const FINAL_MARKERS: [&str; 3] =
    ["miner_app_unavailable", "miner not initialized", "not initialized"];
/// Minimum pause between attempts.
const MIN_PAUSE: Duration = Duration::from_millis(100);
/// Time reserved for the attempt after a pause.
const ATTEMPT_RESERVE: Duration = Duration::from_millis(500);

/// Whether a call with this response may succeed on a retry.
pub(super) fn is_retryable(status: u16, body: &str) -> bool {
    let body = body.to_lowercase();
    let mentions = |markers: &[&str]| markers.iter().any(|marker| body.contains(marker));
    if mentions(&FINAL_MARKERS) {
        return false;
    }
    match status {
        404 | 429 | 503 | 504 => true,
        409 | 410 if mentions(&["upstream", "unavailable"]) => true,
        _ => mentions(&TRANSIENT_MARKERS),
    }
}

/// Returns the pause after this many retries; `None` if no time is left for another attempt.
pub(super) fn pause(backoff: Backoff, retries: u32, remaining: Duration) -> Option<Duration> {
    let remaining =
        remaining.checked_sub(ATTEMPT_RESERVE).filter(|remaining| !remaining.is_zero())?;
    Some(backoff.delay(retries).max(MIN_PAUSE).min(remaining))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: status · body · whether it is retried
    #[test]
    fn retry_decision_depends_on_status_and_body() {
        for (status, body, retried) in [
            (404, "", true),
            (429, "", true),
            (503, "", true),
            (504, "", true),
            (500, "", false),
            (502, "", false),
            (400, "", false),
            (401, "", false),
            (409, "", false),
            (409, "upstream conflict", true),
            (410, "gone", false),
            (410, r#"{"detail":"miner_unavailable"}"#, true),
            (410, "endpoint unavailable", true),
            (500, r#"{"error":"pod_capacity_exhausted"}"#, true),
            (500, "Miner pod is being recreated", true),
            (502, "UPSTREAM_ERROR", true),
            (500, "cold pod could not be started", true),
            (400, "warming up", true),
            (503, r#"{"error":"miner_app_unavailable"}"#, false),
            (503, "Miner not initialized", false),
            (404, "session not initialized", false),
            (503, "miner_unavailable, miner_app_unavailable", false),
            (502, r#"{"error":"invalid_miner_response"}"#, false),
            (500, r#"{"error":"storage_failed"}"#, false),
            // Codes of arena gateways before taonet 0.2.
            (502, r#"{"error":"miner_answer"}"#, false),
            (500, r#"{"error":"not_kept"}"#, false),
        ] {
            assert_eq!(is_retryable(status, body), retried, "{status} {body}");
        }
        for marker in TRANSIENT_MARKERS {
            assert!(is_retryable(500, marker), "{marker}");
        }
    }

    #[test]
    fn retry_pauses_double_up_to_a_limit_and_leave_time_for_the_attempt() {
        let backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(10));
        let pauses = |remaining| {
            (0..5).map(move |repeats| {
                pause(backoff, repeats, remaining).map(|pause| pause.as_millis())
            })
        };
        let with_long_deadline: Vec<_> = pauses(Duration::from_mins(10)).collect();
        assert_eq!(with_long_deadline, [2_000, 4_000, 8_000, 10_000, 10_000].map(Some));
        let with_short_deadline: Vec<_> = pauses(Duration::from_millis(3_500)).collect();
        assert_eq!(with_short_deadline, [2_000, 3_000, 3_000, 3_000, 3_000].map(Some));
        assert_eq!(pause(backoff, 0, Duration::from_millis(500)), None);
        assert_eq!(
            pause(backoff, u32::MAX, Duration::from_mins(10)),
            Some(Duration::from_secs(10))
        );
        let without_delay = Backoff::new(Duration::ZERO, Duration::ZERO);
        assert_eq!(pause(without_delay, 0, Duration::from_mins(1)), Some(MIN_PAUSE));
    }
}
