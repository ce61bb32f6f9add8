use std::fmt;
use std::str::FromStr;

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest as _};
use serde::{Deserialize, Serialize};

use crate::{Ss58, Ss58Error, Ss58Prefix};

/// Defines a public key with a role: 32 bytes, written as a Bittensor address. Each role has its
/// own type, so that a coldkey cannot be used as a hotkey.
macro_rules! account {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 32]);

        impl $name {
            /// Creates a key from its 32 bytes.
            pub const fn from_bytes(key: [u8; 32]) -> Self {
                Self(key)
            }

            /// Returns the 32 bytes of the public key.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Ss58Error;

            fn from_str(text: &str) -> Result<Self, Ss58Error> {
                text.parse::<Ss58>()?.key_with_prefix(Ss58Prefix::BITTENSOR).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Ss58::new(self.0, Ss58Prefix::BITTENSOR).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Ss58Error;

            fn try_from(text: String) -> Result<Self, Ss58Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(account: $name) -> Self {
                account.to_string()
            }
        }
    };
}

account! {
    /// A hotkey: the public key with which a neuron signs its requests; written as an SS58 address
    /// with prefix 42.
    Hotkey
}

account! {
    /// A coldkey: the public key of an owner's account, which holds the funds; written as an SS58
    /// address with prefix 42.
    Coldkey
}

account! {
    /// The public key of any account on the chain, in any role; written as an SS58 address with
    /// prefix 42.
    AccountId
}

impl AccountId {
    /// Returns the account for which this account can make calls with `Utility.as_derivative` and
    /// the same index. It has no key of its own.
    #[must_use]
    pub fn derivative(self, index: u16) -> Self {
        let hash = Blake2b::<U32>::new()
            .chain_update(b"modlpy/utilisuba")
            .chain_update(self.0)
            .chain_update(index.to_le_bytes())
            .finalize();
        Self(hash.into())
    }
}

impl From<Hotkey> for AccountId {
    fn from(key: Hotkey) -> Self {
        Self(key.0)
    }
}

impl From<Coldkey> for AccountId {
    fn from(key: Coldkey) -> Self {
        Self(key.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

    #[test]
    fn address_of_alice_round_trips() {
        let alice: Hotkey = ALICE.parse().unwrap();
        assert_eq!(alice.to_string(), ALICE);
        assert_eq!(serde_json::to_string(&alice).unwrap(), format!("\"{ALICE}\""));
    }

    #[test]
    fn malformed_addresses_have_distinct_errors() {
        assert_eq!("0OIl".parse::<Hotkey>(), Err(Ss58Error::Base58));
        assert_eq!("".parse::<Hotkey>(), Err(Ss58Error::Length(0)));
        assert_eq!(
            "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ".parse::<Hotkey>(),
            Err(Ss58Error::Checksum)
        );
        let other = Ss58Error::Prefix {
            actual: Ss58Prefix::new(0).unwrap(),
            expected: Ss58Prefix::BITTENSOR,
        };
        // The same key under Polkadot's prefix 0.
        assert_eq!(
            "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5".parse::<Hotkey>(),
            Err(other)
        );
        assert!(matches!("5".repeat(10_000).parse::<Hotkey>(), Err(Ss58Error::Length(_))));
    }

    /// The address is that of `encodeDerivedAddress` in polkadot.js.
    #[test]
    fn derivative_matches_polkadot_js_address() {
        let account: AccountId =
            "5GvUh7fGKsdBEh5XpypkfkGuf7j3vXLxH9BdxjxnJNVXRYi1".parse().unwrap();
        let derived = account.derivative(0);
        assert_eq!(derived.to_string(), "5E5XxqPxm7QbEs6twYfp3tyjXidn4kqRrNPH4o6JK9JSLUeD");
        assert_ne!(account.derivative(1), derived);
        assert_ne!(account.derivative(256), account.derivative(1));
    }

    proptest! {
        #[test]
        fn every_key_round_trips(key: [u8; 32]) {
            let hotkey = Hotkey::from_bytes(key);
            prop_assert_eq!(hotkey.to_string().parse::<Hotkey>(), Ok(hotkey));
        }

        #[test]
        fn random_text_never_panics(text in ".{0,70}") {
            let _ = text.parse::<Hotkey>();
        }
    }
}
