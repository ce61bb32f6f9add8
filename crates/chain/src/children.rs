use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use taonet_primitives::{BlockNumber, Hotkey};

use crate::Share;
use crate::share::is_number;

/// A part of a hotkey's stake, in the chain's unit: parts of 2⁶⁴ − 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Proportion(u64);

/// The text does not parse as a proportion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "malformed proportion; hint: use a percentage above 0 and up to 100 with at most six decimals, such as 25 or 12.5"
)]
pub struct ProportionError;

/// The number of decimals of a proportion in percent.
const DECIMALS: usize = 6;
/// 100 %, in the smallest unit of the text.
const HUNDRED_PERCENT: u128 = 100_000_000;

impl Proportion {
    /// Creates a proportion from parts of 2⁶⁴ − 1.
    pub const fn new(parts: u64) -> Self {
        Self(parts)
    }

    /// Returns the proportion in parts of 2⁶⁴ − 1.
    pub const fn parts(self) -> u64 {
        self.0
    }
}

impl FromStr for Proportion {
    type Err = ProportionError;

    /// Parses a percentage, with or without `%`, rounding down.
    fn from_str(text: &str) -> Result<Self, ProportionError> {
        let text = text.strip_suffix('%').unwrap_or(text).trim_end();
        let (integer, decimals) = text.split_once('.').unwrap_or((text, "0"));
        if !is_number(integer) || !is_number(decimals) || decimals.len() > DECIMALS {
            return Err(ProportionError);
        }
        let units: u128 =
            format!("{integer}{decimals:0<DECIMALS$}").parse().map_err(|_| ProportionError)?;
        if units == 0 || units > HUNDRED_PERCENT {
            return Err(ProportionError);
        }
        let parts =
            units.checked_mul(u64::MAX.into()).and_then(|parts| parts.checked_div(HUNDRED_PERCENT));
        parts.and_then(|parts| u64::try_from(parts).ok()).map(Self).ok_or(ProportionError)
    }
}

impl fmt::Display for Proportion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = self.0 as f64 / u64::MAX as f64;
        let text = format!("{:.6}", fraction * 100.0);
        f.pad(&format!("{} %", text.trim_end_matches('0').trim_end_matches('.')))
    }
}

/// A child or parent of a hotkey on a subnet, with the part of the parent's stake that the child
/// receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relative {
    /// The hotkey of the child or parent.
    pub hotkey: Hotkey,
    /// The part of the parent's stake.
    pub proportion: Proportion,
}

/// The relatives of a hotkey on a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relatives {
    /// The hotkeys that receive a part of this hotkey's stake.
    pub children: Vec<Relative>,
    /// The hotkeys of whose stake this hotkey receives a part.
    pub parents: Vec<Relative>,
    /// The children that will replace the current ones; `None` if no change is scheduled.
    pub scheduled: Option<ScheduledChildren>,
    /// The share that this hotkey keeps of the dividends on its parents' stake.
    pub take: Share,
}

/// Children that take effect at an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledChildren {
    /// The children.
    pub children: Vec<Relative>,
    /// The block from which the next epoch applies them.
    pub from: BlockNumber,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_parse_and_display() {
        for (text, parts, expected) in [
            ("100", u64::MAX, "100 %"),
            ("100.000000 %", u64::MAX, "100 %"),
            ("50%", u64::MAX / 2, "50 %"),
            ("12.5", u64::MAX / 8, "12.5 %"),
            ("0.000001", 184_467_440_737, "0.000001 %"),
        ] {
            let proportion: Proportion = text.parse().unwrap();
            assert_eq!(
                (proportion.parts(), proportion.to_string().as_str()),
                (parts, expected),
                "{text}"
            );
        }
        // Three thirds do not exceed the whole.
        let third = "33.333333".parse::<Proportion>().unwrap().parts();
        assert!(u128::from(third) * 3 <= u128::from(u64::MAX));
        for text in [
            "",
            "%",
            "0",
            "0.0",
            "-1",
            "100.000001",
            "101",
            "1.1234567",
            ".5",
            "5.",
            "1e1",
            "9".repeat(60).as_str(),
        ] {
            assert_eq!(text.parse::<Proportion>(), Err(ProportionError), "{text:?}");
        }
    }
}
