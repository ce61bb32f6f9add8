//! Keyfiles and wallets on disk.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use taonet_wallet::{
    DEFAULT_ROOT, Mnemonic, Name, Overwrite, Password, StoredKey, Wallets, expand_home,
};

use crate::convert::crypto_type;
use crate::errors::Failure;
use crate::keys::Keypair;

/// The content of a keyfile: a public key and, unless it is a public keyfile, its secret, which is
/// never shown.
#[pyclass(frozen, module = "taonet")]
pub(crate) struct Keyfile(taonet_wallet::Keyfile);

#[pymethods]
impl Keyfile {
    /// Creates a keyfile from a mnemonic, which the file will contain.
    #[staticmethod]
    #[pyo3(signature = (mnemonic, *, crypto_type="sr25519"))]
    fn from_mnemonic(py: Python<'_>, mnemonic: &str, crypto_type: &str) -> Result<Self, Failure> {
        let (mnemonic, crypto_type) = (Mnemonic::parse(mnemonic)?, self::crypto_type(crypto_type)?);
        Ok(Self(py.detach(|| taonet_wallet::Keyfile::from_mnemonic(&mnemonic, crypto_type))))
    }

    /// Creates a keyfile from a key pair.
    #[staticmethod]
    fn from_keypair(keypair: &Keypair) -> Self {
        Self(taonet_wallet::Keyfile::from_keypair(keypair.pair().clone()))
    }

    /// Parses the content of a keyfile, encrypted or plain. The password is used only if the
    /// content is encrypted.
    #[staticmethod]
    #[pyo3(signature = (content, password=None))]
    fn from_bytes(
        py: Python<'_>,
        content: &[u8],
        password: Option<String>,
    ) -> Result<Self, Failure> {
        let password = password.map(Password::new);
        Ok(Self(py.detach(|| taonet_wallet::Keyfile::from_bytes(content, password.as_ref()))?))
    }

    /// Reads a keyfile, encrypted or plain.
    #[staticmethod]
    #[pyo3(signature = (path, password=None))]
    fn read(py: Python<'_>, path: PathBuf, password: Option<String>) -> Result<Self, Failure> {
        let password = password.map(Password::new);
        Ok(Self(py.detach(|| StoredKey::read(path)?.open(password.as_ref()))?))
    }

    /// Encrypts the keyfile in the format of Bittensor's wallet. Takes seconds and 512 MiB of
    /// memory.
    fn encrypt<'py>(
        &self,
        py: Python<'py>,
        password: String,
    ) -> Result<Bound<'py, PyBytes>, Failure> {
        let password = new_password(password)?;
        let sealed = py.detach(|| self.0.seal(&password))?;
        Ok(PyBytes::new(py, &sealed))
    }

    /// The SS58 address of the public key.
    #[getter]
    fn address(&self) -> String {
        self.0.public().to_string()
    }

    /// The key pair; `None` if the file has no secret.
    #[getter]
    fn keypair(&self) -> Option<Keypair> {
        self.0.keypair().cloned().map(Keypair::new)
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// A wallet on disk: a coldkey and its hotkeys, in the layout of Bittensor's tools.
#[pyclass(frozen, module = "taonet")]
pub(crate) struct Wallet {
    wallet: taonet_wallet::Wallet,
    hotkey: Name,
}

#[pymethods]
impl Wallet {
    #[new]
    #[pyo3(signature = (name="default", hotkey="default", path=None))]
    fn new(name: &str, hotkey: &str, path: Option<PathBuf>) -> Result<Self, Failure> {
        let root = expand_home(
            path.unwrap_or_else(|| DEFAULT_ROOT.into()),
            std::env::home_dir().as_deref(),
        )?;
        Ok(Self { wallet: Wallets::new(root).wallet(name.parse()?), hotkey: hotkey.parse()? })
    }

    /// The address of the coldkey, from its public file.
    #[getter]
    fn coldkey_address(&self) -> Result<String, Failure> {
        Ok(self.wallet.coldkeypub()?.to_string())
    }

    /// The address of the hotkey, from its public file or a plain keyfile.
    #[getter]
    fn hotkey_address(&self) -> Result<String, Failure> {
        Ok(self.wallet.hotkeypub(&self.hotkey)?.to_string())
    }

    /// Reads the coldkey. Decryption takes seconds and 512 MiB of memory.
    #[pyo3(signature = (password=None))]
    fn open_coldkey(&self, py: Python<'_>, password: Option<String>) -> Result<Keypair, Failure> {
        let password = password.map(Password::new);
        let key = py.detach(|| self.wallet.coldkey()?.open(password.as_ref()))?;
        Ok(Keypair::new(key.into_keypair()?))
    }

    /// Reads the hotkey.
    #[pyo3(signature = (password=None))]
    fn open_hotkey(&self, py: Python<'_>, password: Option<String>) -> Result<Keypair, Failure> {
        let password = password.map(Password::new);
        let key = py.detach(|| self.wallet.hotkey(&self.hotkey)?.open(password.as_ref()))?;
        Ok(Keypair::new(key.into_keypair()?))
    }

    /// Writes the coldkey and its public file, encrypted unless `password` is `None`. With
    /// `overwrite`, a backup of the old key is kept.
    #[pyo3(signature = (keyfile, password, *, overwrite=false))]
    fn write_coldkey(
        &self,
        py: Python<'_>,
        keyfile: &Keyfile,
        password: Option<String>,
        overwrite: bool,
    ) -> Result<(), Failure> {
        let password = password.map(new_password).transpose()?;
        py.detach(|| self.wallet.write_coldkey(&keyfile.0, password.as_ref(), mode(overwrite)))?;
        Ok(())
    }

    /// Writes the hotkey and its public file, encrypted if a password is given.
    #[pyo3(signature = (keyfile, password=None, *, overwrite=false))]
    fn write_hotkey(
        &self,
        py: Python<'_>,
        keyfile: &Keyfile,
        password: Option<String>,
        overwrite: bool,
    ) -> Result<(), Failure> {
        let password = password.map(new_password).transpose()?;
        py.detach(|| {
            self.wallet.write_hotkey(&self.hotkey, &keyfile.0, password.as_ref(), mode(overwrite))
        })?;
        Ok(())
    }

    fn __repr__(&self) -> String {
        let directory = self.wallet.directory();
        let (name, hotkey) = (self.wallet.name().as_str(), self.hotkey.as_str());
        format!("Wallet({name:?}, {hotkey:?}, {:?})", directory.to_string_lossy())
    }
}

/// Checks the strength of a password for a new keyfile.
fn new_password(text: String) -> Result<Password, Failure> {
    let password = Password::new(text);
    password.check_new()?;
    Ok(password)
}

const fn mode(overwrite: bool) -> Overwrite {
    if overwrite { Overwrite::KeepBackup } else { Overwrite::Refuse }
}
