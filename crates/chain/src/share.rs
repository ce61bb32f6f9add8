use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A share in the chain's unit: parts of 65535.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Share(u16);

/// The text does not parse as a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "malformed share; hint: use a percentage from 0 to 100 with at most four decimals, such as 18 or 12.5"
)]
pub struct ShareError;

impl Share {
    /// The largest and the default take of delegates: 18 %.
    pub const MAX_TAKE: Self = Self(11_796);

    /// Creates a share from parts of 65535.
    pub const fn new(parts: u16) -> Self {
        Self(parts)
    }

    /// Returns the share in parts of 65535.
    pub const fn parts(self) -> u16 {
        self.0
    }

    /// Returns the share as a number in `0..=1`.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(u16::MAX)
    }
}

impl FromStr for Share {
    type Err = ShareError;

    /// Parses a percentage, with or without `%`, rounding down: `18` gives 11796 parts.
    fn from_str(text: &str) -> Result<Self, ShareError> {
        let text = text.strip_suffix('%').unwrap_or(text).trim_end();
        let (integer, decimals) = text.split_once('.').unwrap_or((text, "0"));
        if !is_number(integer) || !is_number(decimals) || decimals.len() > 4 {
            return Err(ShareError);
        }
        // In millionths: a percentage with four decimals.
        let millionths: u64 = format!("{integer}{decimals:0<4}").parse().map_err(|_| ShareError)?;
        let parts = millionths.checked_mul(u64::from(u16::MAX)).ok_or(ShareError)? / 1_000_000;
        u16::try_from(parts).map(Self).map_err(|_| ShareError)
    }
}

/// Returns whether a text consists of decimal digits.
pub(crate) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.2} %", self.fraction() * 100.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_parsed_exactly() {
        for (text, parts) in [
            ("18", 11_796),
            ("18%", 11_796),
            ("0", 0),
            ("100 %", 65_535),
            ("12.5", 8191),
            ("0.0016", 1),
        ] {
            assert_eq!(text.parse(), Ok(Share(parts)), "{text}");
        }
        for text in ["", "%", "-1", "101", "1.23456", ".5", "5.", "1e1", "99999999999999999999"] {
            assert_eq!(text.parse::<Share>(), Err(ShareError), "{text:?}");
        }
        assert_eq!(Share::MAX_TAKE.to_string(), "18.00 %");
    }
}
