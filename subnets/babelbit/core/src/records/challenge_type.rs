use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The contest of a challenge.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum ChallengeType {
    /// Main contest, between miners at their own axons. Older files name it `round1`.
    #[default]
    #[serde(alias = "round1")]
    Main,
    /// Solo contest, between miners at their own axons: each validator has a separate challenge.
    Solo,
    /// Arena contest, between miners in managed containers. Older files name it `round2`.
    #[serde(alias = "round2")]
    Arena,
}

impl ChallengeType {
    /// Returns the name of the contest in paths and files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Solo => "solo",
            Self::Arena => "arena",
        }
    }
}

impl fmt::Display for ChallengeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not a known contest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown challenge type `{0}`, expected `main`, `solo` or `arena`")]
pub struct UnknownChallengeType(String);

impl FromStr for ChallengeType {
    type Err = UnknownChallengeType;

    fn from_str(text: &str) -> Result<Self, UnknownChallengeType> {
        match text.trim().to_ascii_lowercase().as_str() {
            "main" | "round1" => Ok(Self::Main),
            "solo" => Ok(Self::Solo),
            "arena" | "round2" => Ok(Self::Arena),
            _ => Err(UnknownChallengeType(text.to_owned())),
        }
    }
}
