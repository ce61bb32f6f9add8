//! Time of a localnet: `tao localnet advance`, and the time at which a chain begins.

use std::time::Duration;

use clap::Args;
use jiff::{Span, SpanRelativeTo, Timestamp};
use serde_json::json;
use taonet_cli_base::context::Context;

use super::control::TargetArgs;
use super::rpc::{call_control_method, number};

/// Add to the timestamps of the following blocks
#[derive(Debug, Args)]
pub(crate) struct AdvanceArgs {
    /// Duration, such as 7d, 12h or 1h30m
    #[arg(value_parser = parse_duration)]
    duration: Duration,
    #[command(flatten)]
    target: TargetArgs,
}

pub(crate) fn advance(args: &AdvanceArgs, context: &Context) -> anyhow::Result<()> {
    let params = json!([u64::try_from(args.duration.as_millis()).unwrap_or(u64::MAX)]);
    let response = context.block_on(async {
        call_control_method(&args.target.url()?, "dev_advance", params).await
    })?;
    let millis = number(&response, "time")?;
    let time =
        i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    let time = time.map_or_else(|| millis.to_string(), |time| time.to_string());
    if context.json {
        return context.print_json(&json!({ "time": time, "time_ms": millis }));
    }
    context.print(&format!("the next block is stamped after {time}"))
}

/// Parses a duration of at least one millisecond.
fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    let expected = "expected a duration such as 7d, 12h or 1h30m";
    let span: Span = text.parse().map_err(|_| expected)?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected)?;
    let duration = Duration::try_from(duration).map_err(|_| expected)?;
    if duration < Duration::from_millis(1) { Err("expected at least 1ms") } else { Ok(duration) }
}

/// Parses a time since 1970, and returns it in milliseconds since the Unix epoch.
pub(crate) fn parse_instant(text: &str) -> Result<u64, &'static str> {
    let time: Timestamp =
        text.parse().map_err(|_| "expected a time such as 2026-01-31T12:00:00Z")?;
    u64::try_from(time.as_millisecond()).map_err(|_| "expected a time since 1970")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_with_units_are_parsed() {
        for (text, seconds) in [
            ("7d", 604_800),
            ("12h", 43_200),
            ("1h30m", 5_400),
            ("2 weeks", 1_209_600),
            ("P1D", 86_400),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        for text in ["", "7", "d", "-7d", "0s", "1us", "1 month", "1y", "7days!"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn time_without_zone_is_refused() {
        assert_eq!(parse_instant("2026-01-31T12:00:00Z"), Ok(1_769_860_800_000));
        assert_eq!(parse_instant("2026-01-31T12:00:00+01:00"), Ok(1_769_857_200_000));
        for text in ["", "2026-01-31", "2026-01-31T12:00:00", "1960-01-01T00:00:00Z", "tomorrow"] {
            assert!(parse_instant(text).is_err(), "{text}");
        }
    }
}
