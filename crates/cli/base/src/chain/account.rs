use std::fmt;
use std::str::FromStr;

use clap::Args;
use taonet_chain::{Block, Client};
use taonet_primitives::{AccountId, Coldkey, Hotkey};
use taonet_wallet::Keypair;

use super::{AtArgs, NetworkArgs};
use crate::wallet_args::WalletArgs;

/// Account argument: an SS58 address, or a development key such as `//Alice`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account([u8; 32]);

impl Account {
    /// Returns the account's ID.
    pub fn id(self) -> AccountId {
        AccountId::from_bytes(self.0)
    }

    /// Returns the account as a coldkey.
    pub fn coldkey(self) -> Coldkey {
        Coldkey::from_bytes(self.0)
    }

    /// Returns the account as a hotkey.
    pub fn hotkey(self) -> Hotkey {
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
        text.parse()
            .map(|account: AccountId| Self(*account.as_bytes()))
            .map_err(|error| error.to_string())
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id().fmt(f)
    }
}

/// Arguments that select a coldkey, and the block at which its state is read
#[derive(Debug, Args)]
pub struct ReadColdkeyArgs {
    /// Coldkey address, or a development account such as //Alice [default: the wallet's coldkey]
    #[arg(value_name = "ACCOUNT")]
    account: Option<Account>,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    wallet: WalletArgs,
}

impl ReadColdkeyArgs {
    /// Returns the selected coldkey; no password is needed.
    pub fn coldkey(&self) -> anyhow::Result<Coldkey> {
        // An invalid network is reported before a missing wallet.
        self.network.network()?;
        match self.account {
            Some(account) => Ok(account.coldkey()),
            None => Ok(self.wallet.wallet()?.coldkeypub()?.coldkey()),
        }
    }

    /// Connects to the chain, and resolves the block.
    pub async fn connect(&self) -> anyhow::Result<(Client, Block)> {
        let chain = self.network.connect().await?;
        let block = self.at.block(&chain).await?;
        Ok((chain, block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_is_parsed_from_address_or_development_name() {
        let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        assert_eq!("//Alice".parse(), alice.parse::<Account>());
        assert_eq!("//Alice".parse::<Account>().unwrap().to_string(), alice);
        for text in ["", "Alice", "5Grwva", "bottom drive obey"] {
            assert!(text.parse::<Account>().is_err(), "{text}");
        }
    }
}
