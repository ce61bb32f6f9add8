//! Wallet and key selection.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use taonet_neuron::WalletSettings;
use taonet_wallet::{
    DEFAULT_ROOT, Keypair, Name, PublicKey, StoredKey, Wallet, Wallets, expand_home,
};

use crate::exit::ClassifiedError;
use crate::keys::stored_hotkey;
use crate::password::PasswordArgs;
use crate::settings;

const DEFAULT_NAME: &str = "default";

/// Argument that selects the wallet directory
#[derive(Debug, Args)]
#[command(next_help_heading = "Wallet options")]
pub struct RootArgs {
    /// Wallet directory [env: BT_WALLET_PATH] [default: ~/.bittensor/wallets]
    #[arg(long, short = 'p', aliases = ["wallet.path", "wallet_path"], value_name = "DIR")]
    wallet_path: Option<PathBuf>,
}

/// Arguments that select a wallet
#[derive(Debug, Args)]
#[command(next_help_heading = "Wallet options")]
pub struct WalletArgs {
    /// Name of the wallet [env: BT_WALLET_NAME, BT_WALLET] [default: default]
    #[arg(long, short = 'w', aliases = ["wallet.name", "wallet_name", "name", "wallet"], value_name = "NAME")]
    wallet_name: Option<String>,
    #[command(flatten)]
    root: RootArgs,
}

/// Arguments that select a hotkey of a wallet
#[derive(Debug, Args)]
#[command(next_help_heading = "Wallet options")]
pub struct HotkeyArgs {
    #[command(flatten)]
    wallet: WalletArgs,
    /// Name of the hotkey [env: BT_WALLET_HOTKEY] [default: default]
    #[arg(long, short = 'H', aliases = ["wallet.hotkey", "wallet-hotkey", "wallet_hotkey"], value_name = "NAME")]
    hotkey: Option<String>,
}

/// Arguments that select the coldkey or a hotkey of a wallet
#[derive(Debug, Args)]
#[command(next_help_heading = "Wallet options")]
pub struct KeyArgs {
    #[command(flatten)]
    hotkey: HotkeyArgs,
    /// Use the hotkey instead of the coldkey
    #[arg(long)]
    use_hotkey: bool,
}

impl RootArgs {
    /// Returns the wallets in the selected directory.
    pub fn wallets(&self) -> anyhow::Result<Wallets> {
        let root = self.selected_root().unwrap_or_else(|| PathBuf::from(DEFAULT_ROOT));
        Ok(Wallets::new(expand_home(root, dirs::home_dir().as_deref())?))
    }

    fn selected_root(&self) -> Option<PathBuf> {
        self.wallet_path
            .clone()
            .or_else(|| first_set_variable(&["BT_WALLET_PATH"]).map(PathBuf::from))
    }
}

impl WalletArgs {
    /// Returns the selected wallet.
    pub fn wallet(&self) -> anyhow::Result<Wallet> {
        Ok(self.root.wallets()?.wallet(name_or_default(self.selected_wallet()?)?))
    }

    fn selected_wallet(&self) -> anyhow::Result<Option<Name>> {
        read_name(self.wallet_name.as_deref(), &["BT_WALLET_NAME", "BT_WALLET"], "--wallet-name")
    }
}

impl HotkeyArgs {
    /// Returns whether the command line selects a wallet or hotkey, regardless of the environment.
    pub const fn is_given(&self) -> bool {
        let WalletArgs { wallet_name, root } = &self.wallet;
        self.hotkey.is_some() || wallet_name.is_some() || root.wallet_path.is_some()
    }

    /// Returns the selected wallet.
    pub fn wallet(&self) -> anyhow::Result<Wallet> {
        self.wallet.wallet()
    }

    /// Returns the name of the selected hotkey.
    pub fn name(&self) -> anyhow::Result<Name> {
        name_or_default(self.selected_hotkey()?)
    }

    fn selected_hotkey(&self) -> anyhow::Result<Option<Name>> {
        read_name(self.hotkey.as_deref(), &["BT_WALLET_HOTKEY"], "--hotkey")
    }

    /// Opens the selected hotkey, with its password if it is encrypted.
    pub fn unlock(&self, password: &PasswordArgs) -> anyhow::Result<Keypair> {
        unlock(&self.wallet()?.hotkey(&self.name()?)?, password)
    }

    /// Opens the hotkey that an option or its variable selects, or else the one in the operator's
    /// settings.
    pub fn unlock_configured(
        &self,
        mut settings: WalletSettings,
        password: &PasswordArgs,
    ) -> anyhow::Result<Keypair> {
        let home = dirs::home_dir();
        self.override_wallet(&mut settings, home.as_deref())?;
        let hint = "select a wallet with --wallet-name and --hotkey, or set BITTENSOR_WALLET_COLD and \
            BITTENSOR_WALLET_HOT";
        unlock(&stored_hotkey(&settings, home.as_deref(), hint)?, password)
    }

    /// Replaces the parts of the configured wallet that options or their variables select.
    fn override_wallet(
        &self,
        settings: &mut WalletSettings,
        home: Option<&Path>,
    ) -> anyhow::Result<()> {
        let (wallet, hotkey) = (self.wallet.selected_wallet()?, self.selected_hotkey()?);
        if let Some(root) = self.wallet.root.selected_root() {
            settings.path = Some(root);
        } else if wallet.is_some() || hotkey.is_some() {
            // A configured path of a key file would take precedence over the names, so it is
            // dropped.
            let path = settings.path.take().map(|path| expand_home(path, home)).transpose()?;
            settings.path = path.filter(|path| !path.is_file());
        }
        if let Some(name) = wallet {
            settings.name = name.to_string();
        }
        if let Some(name) = hotkey {
            settings.hotkey = name.to_string();
        }
        Ok(())
    }
}

impl KeyArgs {
    /// Returns the arguments that select the hotkey.
    pub fn hotkey(&self) -> &HotkeyArgs {
        &self.hotkey
    }

    /// Reads the keyfile of the selected key without decrypting it.
    pub fn stored_key(&self) -> anyhow::Result<StoredKey> {
        let wallet = self.hotkey.wallet()?;
        Ok(if self.use_hotkey { wallet.hotkey(&self.hotkey.name()?)? } else { wallet.coldkey()? })
    }

    /// Returns the selected public key; no password is needed.
    pub fn public_key(&self) -> anyhow::Result<PublicKey> {
        let wallet = self.hotkey.wallet()?;
        Ok(if self.use_hotkey {
            wallet.hotkeypub(&self.hotkey.name()?)?
        } else {
            wallet.coldkeypub()?
        })
    }

    /// Returns the name of the wallet, or that of the hotkey with `--use-hotkey`.
    pub fn name(&self) -> anyhow::Result<String> {
        let name = if self.use_hotkey {
            self.hotkey.name()?
        } else {
            self.hotkey.wallet()?.name().clone()
        };
        Ok(name.to_string())
    }

    /// Opens the selected key, with its password if it is encrypted.
    pub fn unlock(&self, password: &PasswordArgs) -> anyhow::Result<Keypair> {
        unlock(&self.stored_key()?, password)
    }
}

pub(crate) fn unlock(stored: &StoredKey, password: &PasswordArgs) -> anyhow::Result<Keypair> {
    let keyfile = password.open(stored)?;
    keyfile.into_keypair().with_context(|| format!("cannot sign with {}", stored.path().display()))
}

/// Reads a name from an option, else from the first variable that is set.
fn read_name(
    argument: Option<&str>,
    variables: &[&str],
    option: &str,
) -> anyhow::Result<Option<Name>> {
    let text = argument.map(str::to_owned).or_else(|| first_set_variable(variables));
    let name = text.map(|text| text.parse::<Name>()).transpose();
    name.map_err(|error| ClassifiedError::usage(format!("{option}: {error}")))
}

fn name_or_default(name: Option<Name>) -> anyhow::Result<Name> {
    name.map_or_else(|| Ok(DEFAULT_NAME.parse()?), Ok)
}

fn first_set_variable(variables: &[&str]) -> Option<String> {
    variables.iter().find_map(|name| settings::text(name).filter(|value| !value.is_empty()))
}
