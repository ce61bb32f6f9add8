use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::WalletError;

mod list;
mod name;
mod wallet;

pub use list::{ListedHotkey, ListedWallet, SecretState};
pub use name::{Name, NameError};
pub use wallet::Wallet;

/// Where wallets are unless someone says otherwise; see [`expand_home`].
pub const DEFAULT_ROOT: &str = "~/.bittensor/wallets";

/// The directory of a wallet's hotkeys.
pub(crate) const HOTKEYS: &str = "hotkeys";

/// Puts the home directory in the place of a `~` at the path's beginning. Without a home the path stays as it is.
pub fn expand_home(path: impl AsRef<Path>, home: Option<&Path>) -> PathBuf {
    let path = path.as_ref();
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) if rest.as_os_str().is_empty() => home.into(),
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}

/// A directory of wallets, laid out as Bittensor's tools do:
///
/// ```text
/// ROOT/WALLET/coldkey               usually encrypted
/// ROOT/WALLET/coldkeypub.txt        its public half
/// ROOT/WALLET/hotkeys/HOTKEY        usually plain
/// ROOT/WALLET/hotkeys/HOTKEYpub.txt its public half
/// ```
///
/// Ours alone are `ROOT/WALLET/.backups`, with keys that were overwritten (`coldkey.1`, `hotkeys/HOTKEY.1`), and
/// `ROOT/WALLET/.lock`, which is empty.
#[derive(Debug, Clone)]
pub struct Wallets {
    root: PathBuf,
}

impl Wallets {
    /// The wallets in a directory, which need not exist yet. `~` is not special here: see [`expand_home`].
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// One wallet, which need not exist yet.
    pub fn wallet(&self, name: Name) -> Wallet {
        Wallet::new(&self.root, name)
    }

    /// All wallets in the order of their names. Nothing is decrypted; a file that cannot be read leaves a gap.
    ///
    /// # Errors
    /// [`WalletError::Read`] when the directory cannot be read. One that does not exist has no wallets.
    pub fn list(&self) -> Result<Vec<ListedWallet>, WalletError> {
        let failed = |source| WalletError::Read { path: self.root.clone(), source };
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut wallets = Vec::new();
        for entry in entries {
            let Some(name) = name::of(&entry.map_err(failed)?) else { continue };
            wallets.extend(self.wallet(name).list());
        }
        wallets.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(wallets)
    }
}
