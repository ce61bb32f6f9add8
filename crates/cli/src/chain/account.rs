use std::fmt;
use std::str::FromStr;

use taonet_primitives::{AccountId, Coldkey, Hotkey};
use taonet_wallet::Keypair;

/// Account argument: an SS58 address, or a development key such as `//Alice`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account([u8; 32]);

impl Account {
    pub(crate) fn id(self) -> AccountId {
        AccountId::from_bytes(self.0)
    }

    pub(crate) fn coldkey(self) -> Coldkey {
        Coldkey::from_bytes(self.0)
    }

    pub(crate) fn hotkey(self) -> Hotkey {
        Hotkey::from_bytes(self.0)
    }
}

impl From<Coldkey> for Account {
    fn from(coldkey: Coldkey) -> Self {
        Self(*coldkey.as_bytes())
    }
}

impl FromStr for Account {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The public key of a well-known development key: not a secret.
        if text.starts_with("//") {
            let pair = Keypair::from_uri(text).map_err(|error| error.to_string())?;
            return Ok(pair.coldkey().into());
        }
        text.parse().map(|account: AccountId| Self(*account.as_bytes())).map_err(|error| error.to_string())
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_have_addresses_and_development_accounts_names() {
        let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        assert_eq!("//Alice".parse(), alice.parse::<Account>());
        assert_eq!("//Alice".parse::<Account>().unwrap().to_string(), alice);
        for text in ["", "Alice", "5Grwva", "bottom drive obey"] {
            assert!(text.parse::<Account>().is_err(), "{text}");
        }
    }
}
