//! Durations as arguments.

use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

/// Parses a timeout: more than 0 and at most 86400 seconds.
pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let timeout = seconds.filter(|seconds| !seconds.is_zero() && *seconds <= DAY);
    timeout.ok_or_else(|| {
        format!("expected a number of seconds above 0 and at most {}", DAY.as_secs())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_positive_and_a_day_at_most() {
        for (text, milliseconds) in [("12", 12_000), ("0.2", 200), ("86400", 86_400_000)] {
            assert_eq!(parse_seconds(text), Ok(Duration::from_millis(milliseconds)));
        }
        for text in ["", "x", "0", "-1", "1e-10", "86400.1", "1e19", "1e300", "inf", "NaN"] {
            assert_eq!(
                parse_seconds(text).unwrap_err(),
                "expected a number of seconds above 0 and at most 86400",
                "{text}"
            );
        }
    }
}
