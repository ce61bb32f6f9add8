//! Signer selection: wallet keys and development keys.

use anyhow::Context as _;
use clap::Args;
use taonet_babelbit_config::OperatorSettings;
use taonet_chain::{Client, Network};
use taonet_primitives::{BlockHash, Hotkey};
use taonet_wallet::Keypair;

use super::{Account, NetworkArgs};
use crate::commands::wallet::place::{self, HotkeyArgs, WalletArgs};
use crate::exit::{Classified, Failure};
use crate::keys::DevelopmentUri;
use crate::memory;
use crate::password::PasswordArgs;

/// Argument that selects a development key
#[derive(Debug, Args)]
#[command(next_help_heading = "Wallet options")]
struct DevelopmentArgs {
    /// Sign with a development key such as //Alice instead of the wallet's key; localnets on this machine only
    #[arg(long, value_name = "URI", value_parser = DevelopmentUri)]
    key_uri: Option<String>,
}

/// Arguments that select the coldkey that signs a call
#[derive(Debug, Args)]
pub(crate) struct ColdkeyArgs {
    #[command(flatten)]
    wallet: WalletArgs,
    #[command(flatten)]
    development: DevelopmentArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Arguments that select the hotkey that signs a call
#[derive(Debug, Args)]
pub(crate) struct SigningHotkeyArgs {
    #[command(flatten)]
    hotkey: HotkeyArgs,
    #[command(flatten)]
    development: DevelopmentArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Arguments that select the coldkey or the hotkey that signs a call
#[derive(Debug, Args)]
pub(crate) struct AnyKeyArgs {
    #[command(flatten)]
    key: place::KeyArgs,
    #[command(flatten)]
    development: DevelopmentArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Arguments that select a hotkey, and the coldkey that signs a call for it
#[derive(Debug, Args)]
pub(crate) struct PairArgs {
    #[command(flatten)]
    hotkey: HotkeyArgs,
    /// Address of the hotkey, instead of a hotkey of the wallet
    #[arg(long, alias = "hotkey-ss58-address", value_name = "ADDRESS", help_heading = "Wallet options")]
    hotkey_ss58: Option<Account>,
    #[command(flatten)]
    development: DevelopmentArgs,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Arguments that select the key that signs a call.
pub(crate) trait SigningKey: Args {
    /// Opens the selected key, or the development key.
    fn unlock(&self, network: &NetworkArgs, chain: &Client) -> anyhow::Result<Keypair>;
}

impl DevelopmentArgs {
    /// Returns the development key, if the arguments select one.
    fn key(&self, network: &NetworkArgs, chain: &Client) -> anyhow::Result<Option<Keypair>> {
        memory::protect();
        let Some(uri) = &self.key_uri else { return Ok(None) };
        development_key(uri, network, chain).map(Some)
    }
}

impl SigningKey for ColdkeyArgs {
    fn unlock(&self, network: &NetworkArgs, chain: &Client) -> anyhow::Result<Keypair> {
        match self.development.key(network, chain)? {
            Some(key) => Ok(key),
            None => place::unlock(&self.wallet.wallet()?.coldkey()?, &self.password),
        }
    }
}

impl SigningKey for SigningHotkeyArgs {
    fn unlock(&self, network: &NetworkArgs, chain: &Client) -> anyhow::Result<Keypair> {
        match self.development.key(network, chain)? {
            Some(key) => Ok(key),
            None => self.hotkey.unlock(&self.password),
        }
    }
}

impl SigningHotkeyArgs {
    /// Like [`SigningKey::unlock`], but by default with the hotkey in Babelbit's settings.
    pub(crate) fn unlock_configured(
        &self,
        network: &NetworkArgs,
        chain: &Client,
        settings: &OperatorSettings,
    ) -> anyhow::Result<Keypair> {
        match self.development.key(network, chain)? {
            Some(key) => Ok(key),
            None => self.hotkey.unlock_configured(settings.clone(), &self.password),
        }
    }
}

impl SigningKey for AnyKeyArgs {
    fn unlock(&self, network: &NetworkArgs, chain: &Client) -> anyhow::Result<Keypair> {
        match self.development.key(network, chain)? {
            Some(key) => Ok(key),
            None => self.key.unlock(&self.password),
        }
    }
}

impl SigningKey for PairArgs {
    fn unlock(&self, network: &NetworkArgs, chain: &Client) -> anyhow::Result<Keypair> {
        match self.development.key(network, chain)? {
            Some(key) => Ok(key),
            None => place::unlock(&self.hotkey.wallet()?.coldkey()?, &self.password),
        }
    }
}

impl PairArgs {
    /// Returns the arguments that select the wallet and its hotkey.
    pub(crate) const fn wallet_hotkey(&self) -> &HotkeyArgs {
        &self.hotkey
    }

    /// Returns the address of the selected hotkey.
    pub(crate) fn hotkey(&self) -> anyhow::Result<Hotkey> {
        match self.hotkey_ss58 {
            Some(account) => Ok(account.hotkey()),
            None => Ok(self.hotkey.wallet()?.hotkeypub(&self.hotkey.name()?)?.hotkey()),
        }
    }
}

/// Derives a development key; an error unless the chain is a localnet.
pub(crate) fn development_key(uri: &str, network: &NetworkArgs, chain: &Client) -> anyhow::Result<Keypair> {
    check_development(&network.network()?, chain.genesis())?;
    Keypair::from_uri(uri).context("invalid key URI")
}

/// Refuses development keys on chains other than a localnet, because the secrets of these keys are public.
fn check_development(network: &Network, genesis: BlockHash) -> anyhow::Result<()> {
    let is_main = super::parse_network("finney")?.genesis() == Some(genesis);
    if network.nodes().iter().all(|node| is_on_this_machine(&node.to_string())) && !is_main {
        return Ok(());
    }
    let text = format!("development keys are public and cannot sign on {network}\nhint: sign with a wallet's key");
    Err(Classified::error(Failure::Usage, text))
}

fn is_on_this_machine(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn development_keys_sign_on_development_chains_of_this_machine() {
        let main = super::super::parse_network("finney").unwrap().genesis().unwrap();
        let other = BlockHash::from_bytes([7; 32]);
        for (network, genesis, signs) in [
            ("local", other, true),
            ("ws://localhost:1,ws://[::1]:2", other, true),
            // Loopback is not enough: many operators run a main-network node on their machine.
            ("local", main, false),
            ("ws://127.0.0.1:9944,wss://node.example", other, false),
            ("ws://localhost.example:1", other, false),
            ("test", other, false),
        ] {
            let result = check_development(&network.parse().unwrap(), genesis);
            assert_eq!(result.is_ok(), signs, "{network} {genesis}");
        }
    }
}
