use std::str::FromStr;
use std::time::Duration;

use taonet_localnet::Clock;

/// Value of `--block-time`: interval, `fast`, `instant` or `manual`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockTime(pub(super) Clock);

impl FromStr for BlockTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "fast" => Clock::Fastest,
            "manual" => Clock::Manual,
            "instant" => Clock::Instant,
            text => {
                let (digits, unit): (_, fn(u64) -> Duration) = match text.strip_suffix("ms") {
                    Some(digits) => (digits, Duration::from_millis),
                    None => (text.strip_suffix('s').unwrap_or(text), Duration::from_secs),
                };
                let is_plain_number = !digits.is_empty()
                    && digits.len() <= 6
                    && digits.bytes().all(|byte| byte.is_ascii_digit());
                let number = is_plain_number
                    .then(|| digits.parse().ok())
                    .flatten()
                    .filter(|number| *number > 0);
                let number = number.filter(|_| text.ends_with('s'));
                Clock::Every(number.map(unit).ok_or(
                    "expected a block time such as 12s or 250ms, `fast`, `instant` or `manual`",
                )?)
            }
        }))
    }
}

/// Describes the clock as text.
pub(crate) fn describe(clock: Clock) -> String {
    match clock {
        Clock::Every(interval) => format!("one block every {interval:?}"),
        Clock::Fastest => "as fast as possible".to_owned(),
        Clock::Manual => "manual: `tao localnet mine N` produces blocks".to_owned(),
        Clock::Instant => "instant: one block per submission".to_owned(),
    }
}

/// Returns the clock in the form that `--block-time` accepts.
pub(crate) fn block_time_option(clock: Clock) -> String {
    match clock {
        Clock::Every(interval) => format!("{}ms", interval.as_millis()),
        Clock::Fastest => "fast".to_owned(),
        Clock::Manual => "manual".to_owned(),
        Clock::Instant => "instant".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_times_and_clock_names_are_parsed() {
        for (text, clock) in [
            ("12s", Clock::PRODUCTION),
            ("250ms", Clock::FAST),
            ("1s", Clock::Every(Duration::from_secs(1))),
            ("fast", Clock::Fastest),
            ("manual", Clock::Manual),
            ("instant", Clock::Instant),
        ] {
            assert_eq!(text.parse(), Ok(BlockTime(clock)), "{text}");
            assert_eq!(block_time_option(clock).parse(), Ok(BlockTime(clock)), "{text}");
        }
        for text in ["", "12", "0s", "s", "ms", "-1s", "1.5s", "1m", "9999999s", "Fast", "١s"] {
            assert!(text.parse::<BlockTime>().is_err(), "{text}");
        }
    }
}
