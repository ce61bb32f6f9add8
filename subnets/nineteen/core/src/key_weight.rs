use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Maximum weight. With larger ratios, a busy key of weight 1 would get a slot only every few
/// minutes.
const MAX_KEY_WEIGHT: u32 = 100;

/// Weight of an API key, in `1..=100`: while all miners are busy, keys share them in proportion to
/// their weights. The default is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct KeyWeight(u32);

/// The number is not a valid weight of an API key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a weight of a key; hint: use an integer in 1..=100")]
pub struct KeyWeightError(String);

impl KeyWeight {
    /// Returns the weight as a number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for KeyWeight {
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<u32> for KeyWeight {
    type Error = KeyWeightError;

    fn try_from(number: u32) -> Result<Self, KeyWeightError> {
        if (1..=MAX_KEY_WEIGHT).contains(&number) {
            Ok(Self(number))
        } else {
            Err(KeyWeightError(number.to_string()))
        }
    }
}

impl From<KeyWeight> for u32 {
    fn from(weight: KeyWeight) -> Self {
        weight.0
    }
}

impl FromStr for KeyWeight {
    type Err = KeyWeightError;

    fn from_str(text: &str) -> Result<Self, KeyWeightError> {
        let number: u32 =
            text.parse().map_err(|_| KeyWeightError(text.chars().take(16).collect()))?;
        number.try_into()
    }
}

impl fmt::Display for KeyWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_integers_from_1_to_100() {
        for (text, weight) in [("1", 1), ("7", 7), ("100", 100)] {
            assert_eq!(text.parse::<KeyWeight>().map(KeyWeight::get), Ok(weight));
            assert_eq!(serde_json::to_string(&KeyWeight(weight)).unwrap(), text);
        }
        for text in ["", "0", "101", "-1", "1.5", "1e1", "99999999999"] {
            assert!(
                text.parse::<KeyWeight>().is_err()
                    && serde_json::from_str::<KeyWeight>(text).is_err(),
                "{text}"
            );
        }
        assert_eq!(KeyWeight::default().to_string(), "1");
    }
}
