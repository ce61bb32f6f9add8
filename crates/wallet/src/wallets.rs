use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::WalletError;

mod list;
mod name;
mod wallet;

pub use list::{Backup, ListedHotkey, ListedWallet, SecretState};
pub use name::{Name, NameError};
pub use wallet::Wallet;

/// The default directory of wallets; see [`expand_home`].
pub const DEFAULT_ROOT: &str = "~/.bittensor/wallets";

/// The directory of a wallet's hotkeys.
pub(crate) const HOTKEYS: &str = "hotkeys";

/// Expands a leading `~` to the home directory.
///
/// # Errors
/// [`WalletError::NoHome`] for a path that begins with `~` if `home` is `None`.
pub fn expand_home(path: impl AsRef<Path>, home: Option<&Path>) -> Result<PathBuf, WalletError> {
    let path = path.as_ref();
    match (path.strip_prefix("~"), home) {
        (Err(_), _) => Ok(path.into()),
        (Ok(_), None) => Err(WalletError::NoHome(path.into())),
        (Ok(relative), Some(home)) if relative.as_os_str().is_empty() => Ok(home.into()),
        (Ok(relative), Some(home)) => Ok(home.join(relative)),
    }
}

/// A directory of wallets, in the layout of Bittensor's tools:
///
/// ```text
/// ROOT/WALLET/coldkey               usually encrypted
/// ROOT/WALLET/coldkeypub.txt        its public half
/// ROOT/WALLET/hotkeys/HOTKEY        usually plain
/// ROOT/WALLET/hotkeys/HOTKEYpub.txt its public half
/// ```
///
/// This crate adds `ROOT/WALLET/.backups` with overwritten keys (`coldkey.1`, `hotkeys/HOTKEY.1`),
/// and the empty file `ROOT/WALLET/.lock`.
#[derive(Debug, Clone)]
pub struct Wallets {
    root: PathBuf,
}

impl Wallets {
    /// Creates a handle to a directory of wallets, which need not exist yet. A leading `~` is not
    /// expanded: see [`expand_home`].
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns the directory of the wallets.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the wallet with this name, which need not exist yet.
    pub fn wallet(&self, name: Name) -> Wallet {
        Wallet::new(&self.root, name)
    }

    /// Lists all wallets, sorted by name, without decrypting anything. Keys that cannot be read are
    /// `None`.
    ///
    /// # Errors
    /// [`WalletError::Read`] when the directory cannot be read. A missing directory counts as
    /// empty.
    pub fn list(&self) -> Result<Vec<ListedWallet>, WalletError> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => {
                entries.map_err(|source| WalletError::Read { path: self.root.clone(), source })?
            }
        };
        let mut wallets = Vec::new();
        for entry in entries {
            let entry =
                entry.map_err(|source| WalletError::Read { path: self.root.clone(), source })?;
            let Some(name) = name::from_entry(&entry) else { continue };
            wallets.extend(self.wallet(name).list());
        }
        wallets.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(wallets)
    }
}
