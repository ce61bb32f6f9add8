//! Wallet and key selection.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use taonet_wallet::{DEFAULT_ROOT, Keypair, Name, PublicKey, StoredKey, Wallet, Wallets, expand_home};

use crate::exit::{Classified, Failure};
use crate::password::PasswordArgs;

const DEFAULT_NAME: &str = "default";

/// Argument that selects the wallet directory
#[derive(Debug, Args)]
#[command(next_help_heading = "Wallet options")]
pub(crate) struct RootArgs {
    /// Wallet directory [env: BT_WALLET_PATH] [default: ~/.bittensor/wallets]
    #[arg(long, short = 'p', aliases = ["wallet.path", "wallet_path"], value_name = "DIR")]
    wallet_path: Option<PathBuf>,
}

/// Arguments that select a wallet
#[derive(Debug, Args)]
#[command(next_help_heading = "Wallet options")]
pub(crate) struct WalletArgs {
    /// Name of the wallet [env: BT_WALLET_NAME, BT_WALLET] [default: default]
    #[arg(long, short = 'w', aliases = ["wallet.name", "wallet_name", "name", "wallet"], value_name = "NAME")]
    wallet_name: Option<String>,
    #[command(flatten)]
    root: RootArgs,
}

/// Arguments that select a hotkey of a wallet
#[derive(Debug, Args)]
#[command(next_help_heading = "Wallet options")]
pub(crate) struct HotkeyArgs {
    #[command(flatten)]
    wallet: WalletArgs,
    /// Name of the hotkey [env: BT_WALLET_HOTKEY] [default: default]
    #[arg(long, short = 'H', aliases = ["wallet.hotkey", "wallet-hotkey", "wallet_hotkey"], value_name = "NAME")]
    hotkey: Option<String>,
}

/// Arguments that select the coldkey or a hotkey of a wallet
#[derive(Debug, Args)]
#[command(next_help_heading = "Wallet options")]
pub(crate) struct KeyArgs {
    #[command(flatten)]
    hotkey: HotkeyArgs,
    /// Use the hotkey instead of the coldkey
    #[arg(long)]
    use_hotkey: bool,
}

impl RootArgs {
    pub(crate) fn wallets(&self) -> anyhow::Result<Wallets> {
        let given = self.wallet_path.clone().or_else(|| setting(&["BT_WALLET_PATH"]).map(PathBuf::from));
        let root = given.unwrap_or_else(|| PathBuf::from(DEFAULT_ROOT));
        Ok(Wallets::new(expand_home(root, dirs::home_dir().as_deref())?))
    }
}

impl WalletArgs {
    pub(crate) fn wallet(&self) -> anyhow::Result<Wallet> {
        let name = name(self.wallet_name.as_deref(), &["BT_WALLET_NAME", "BT_WALLET"], "--wallet-name")?;
        Ok(self.root.wallets()?.wallet(name))
    }
}

impl HotkeyArgs {
    /// Returns whether the command line selects a wallet or hotkey, regardless of the environment.
    pub(crate) const fn is_given(&self) -> bool {
        let WalletArgs { wallet_name, root } = &self.wallet;
        self.hotkey.is_some() || wallet_name.is_some() || root.wallet_path.is_some()
    }

    pub(crate) fn wallet(&self) -> anyhow::Result<Wallet> {
        self.wallet.wallet()
    }

    pub(crate) fn name(&self) -> anyhow::Result<Name> {
        name(self.hotkey.as_deref(), &["BT_WALLET_HOTKEY"], "--hotkey")
    }

    /// Opens the selected hotkey, with its password if it is encrypted.
    pub(crate) fn unlock(&self, password: &PasswordArgs) -> anyhow::Result<Keypair> {
        unlock(&self.wallet()?.hotkey(&self.name()?)?, password)
    }
}

impl KeyArgs {
    pub(crate) fn hotkey(&self) -> &HotkeyArgs {
        &self.hotkey
    }

    /// Reads the keyfile of the selected key without decrypting it.
    pub(crate) fn stored(&self) -> anyhow::Result<StoredKey> {
        let wallet = self.hotkey.wallet()?;
        Ok(if self.use_hotkey { wallet.hotkey(&self.hotkey.name()?)? } else { wallet.coldkey()? })
    }

    /// Returns the selected public key; no password is needed.
    pub(crate) fn public(&self) -> anyhow::Result<PublicKey> {
        let wallet = self.hotkey.wallet()?;
        Ok(if self.use_hotkey { wallet.hotkeypub(&self.hotkey.name()?)? } else { wallet.coldkeypub()? })
    }

    /// Returns the name of the wallet, or that of the hotkey with `--use-hotkey`.
    pub(crate) fn name(&self) -> anyhow::Result<String> {
        let name = if self.use_hotkey { self.hotkey.name()? } else { self.hotkey.wallet()?.name().clone() };
        Ok(name.to_string())
    }

    /// Opens the selected key, with its password if it is encrypted.
    pub(crate) fn unlock(&self, password: &PasswordArgs) -> anyhow::Result<Keypair> {
        unlock(&self.stored()?, password)
    }
}

pub(crate) fn unlock(stored: &StoredKey, password: &PasswordArgs) -> anyhow::Result<Keypair> {
    let keyfile = password.open(stored)?;
    keyfile.into_keypair().with_context(|| format!("cannot sign with {}", stored.path().display()))
}

/// Reads a name from an option, else from the first variable that is set.
fn name(given: Option<&str>, variables: &[&str], option: &str) -> anyhow::Result<Name> {
    let text = given.map(str::to_owned).or_else(|| setting(variables)).unwrap_or_else(|| DEFAULT_NAME.to_owned());
    text.parse().map_err(|error| Classified::error(Failure::Usage, format!("{option}: {error}")))
}

fn setting(variables: &[&str]) -> Option<String> {
    variables.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}
