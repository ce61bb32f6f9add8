use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Scoring rules: they either reproduce or correct those defects of the reference system that
/// change scores or weights.
///
/// `docs/compat.md` compares both sets of rules, difference by difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rules {
    /// Reproduces the reference system's defects, so that validators agree with the rest of the
    /// subnet.
    #[default]
    Reference,
    /// Corrects the reference system's defects.
    Strict,
}

/// The text is not a known set of rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown rules `{0}`, expected `reference` or `strict`")]
pub struct UnknownRules(String);

impl FromStr for Rules {
    type Err = UnknownRules;

    fn from_str(text: &str) -> Result<Self, UnknownRules> {
        match text {
            "reference" => Ok(Self::Reference),
            "strict" => Ok(Self::Strict),
            other => Err(UnknownRules(other.to_owned())),
        }
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reference => "reference",
            Self::Strict => "strict",
        })
    }
}
