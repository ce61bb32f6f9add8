use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The netuid of a subnet, e.g. 59 for Babelbit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NetUid(pub u16);

/// The uid of a neuron: its slot within the subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub u16);

/// The index of an incentive mechanism of a subnet; most subnets have only mechanism 0.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MechId(pub u8);

/// The error for a text that does not parse as a netuid, a uid or the index of a mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an integer in 0..={max}")]
pub struct IdError {
    max: u16,
}

impl MechId {
    /// Returns the key of a subnet's mechanism in storage maps of the chain such as `Weights`:
    /// mechanism index × 4096 + netuid.
    #[must_use]
    pub const fn storage_index(self, netuid: NetUid) -> u16 {
        (self.0 as u16).wrapping_mul(4_096).wrapping_add(netuid.0)
    }
}

impl fmt::Display for NetUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for MechId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for NetUid {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self).map_err(|_| IdError { max: u16::MAX })
    }
}

impl FromStr for Uid {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self).map_err(|_| IdError { max: u16::MAX })
    }
}

impl FromStr for MechId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self).map_err(|_| IdError { max: u8::MAX.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_id_names_its_range() {
        assert_eq!("65535".parse(), Ok(NetUid(u16::MAX)));
        for text in ["", "x", "-1", "1.0", "65536"] {
            let error = text.parse::<NetUid>().unwrap_err();
            assert_eq!(error.to_string(), "expected an integer in 0..=65535", "{text}");
            assert_eq!(text.parse::<Uid>(), Err(error), "{text}");
        }
        let error = "256".parse::<MechId>().unwrap_err();
        assert_eq!(error.to_string(), "expected an integer in 0..=255");
    }
}
