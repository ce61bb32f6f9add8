use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use taonet_primitives::{AccountId, BlockNumber, Rao};

/// The calls that a proxy may make for an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProxyType(&'static str);

/// The text is not the name of a proxy type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown proxy type; hint: use one of {}", ProxyType::NAMES.join(", "))]
pub struct ProxyTypeError;

impl ProxyType {
    /// The names of the proxy types that allow calls. The chain has others, which allow none any
    /// more.
    pub const NAMES: [&'static str; 15] = [
        "Any",
        "Owner",
        "NonCritical",
        "NonTransfer",
        "NonFungible",
        "Staking",
        "Registration",
        "Transfer",
        "SmallTransfer",
        "ChildKeys",
        "SudoUncheckedSetCode",
        "SwapHotkey",
        "SubnetLeaseBeneficiary",
        "RootClaim",
        "BasketTrading",
    ];

    /// Returns the name of the proxy type.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

impl FromStr for ProxyType {
    type Err = ProxyTypeError;

    /// Parses the name of a proxy type in any letter case, with or without hyphens.
    fn from_str(text: &str) -> Result<Self, ProxyTypeError> {
        let normalized = text.replace(['-', '_'], "");
        let name = Self::NAMES.into_iter().find(|name| name.eq_ignore_ascii_case(&normalized));
        name.map(Self).ok_or(ProxyTypeError)
    }
}

impl fmt::Display for ProxyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

/// The proxies of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Proxies {
    /// The proxies.
    pub proxies: Vec<Proxy>,
    /// The deposit that is reserved for them.
    pub deposit: Rao,
}

/// An account that may make calls for another account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proxy {
    /// The account of the proxy.
    pub delegate: AccountId,
    /// The calls that the proxy may make, by the name of the proxy type.
    pub proxy_type: String,
    /// The number of blocks between the announcement of a call and the call; 0 if announcements are
    /// not needed.
    pub delay: u32,
}

/// A call that a proxy announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// The account for which the call will be made.
    pub real: AccountId,
    /// The BLAKE2b-256 hash of the call, as `0x…`.
    pub call_hash: String,
    /// The block of the announcement.
    pub height: BlockNumber,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_types_parse_in_any_spelling() {
        for (text, name) in
            [("Any", "Any"), ("non-transfer", "NonTransfer"), ("small_transfer", "SmallTransfer")]
        {
            assert_eq!(text.parse::<ProxyType>().unwrap().to_string(), name);
        }
        for text in ["", "All", "Senate"] {
            let error = text.parse::<ProxyType>().unwrap_err().to_string();
            assert!(error.contains("Any, Owner,"), "{error}");
        }
    }
}
