use std::fmt;

use taonet_primitives::{Hotkey, Ss58Error};
use zeroize::Zeroizing;

use crate::{CryptoType, KeyError, Keypair, Mnemonic, Password, PublicKey};

mod ansible;
mod fernet;
mod json;
mod nacl;
mod sealed;

pub use sealed::{EncryptedKeyfile, Encryption};

/// Why a keyfile could not be read or written. Messages never contain the file's content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyfileError {
    /// The content is encrypted, and no password was given.
    #[error("the key is encrypted ({0}); hint: provide the password")]
    Encrypted(Encryption),
    /// The password is wrong or the content is damaged; the two are indistinguishable.
    #[error("wrong password, or the keyfile is damaged")]
    WrongPassword,
    /// The content is not a JSON object with the fields of a keyfile.
    #[error("keyfile is not JSON (line {line}, column {column})")]
    Json {
        /// The line of the error, counted from 1.
        line: usize,
        /// The column of the error, counted from 1.
        column: usize,
    },
    /// `ss58Address` is not a Bittensor address.
    #[error("malformed ss58Address in the keyfile")]
    Address(#[from] Ss58Error),
    /// A key in the file is malformed, or its scheme is unknown.
    #[error("malformed key in the keyfile")]
    Key(#[from] KeyError),
    /// The file has only a public key.
    #[error("the keyfile has no secret key; hint: it may be a public keyfile")]
    PublicOnly,
    /// The file has neither a secret nor a public key.
    #[error("the keyfile has no key")]
    Empty,
    /// The keys in the file do not match.
    #[error("the keyfile states address {stated}, but its key belongs to {derived}")]
    Mismatch {
        /// The address or public key stated in the file.
        stated: Hotkey,
        /// The public key of the secret.
        derived: Hotkey,
    },
    /// The allocation of 512 MiB of memory for an encrypted keyfile failed.
    #[error("out of memory; hint: encrypted keyfiles briefly need 512 MiB")]
    Memory,
}

/// The content of a keyfile: a public key and, unless it is a public keyfile, its secret. Wiped
/// from memory when dropped; `Debug` shows the address only.
#[derive(Clone)]
pub struct Keyfile {
    public: PublicKey,
    pair: Option<Keypair>,
    mnemonic: Option<Mnemonic>,
    seed: Option<Zeroizing<Vec<u8>>>,
}

impl Keyfile {
    /// Creates a keyfile from a mnemonic without a passphrase. The file contains the mnemonic.
    pub fn from_mnemonic(mnemonic: &Mnemonic, crypto_type: CryptoType) -> Self {
        Self {
            mnemonic: Some(mnemonic.clone()),
            ..Self::from_seed(&mnemonic.to_seed(""), crypto_type)
        }
    }

    /// Creates a keyfile from a seed. The file contains the seed.
    pub fn from_seed(seed: &[u8; 32], crypto_type: CryptoType) -> Self {
        let pair = Keypair::from_seed_with(seed, crypto_type);
        Self { seed: Some(Zeroizing::new(seed.to_vec())), ..Self::from_keypair(pair) }
    }

    /// Creates a keyfile from a key pair whose origin is unknown, or has no field in a keyfile,
    /// such as a derivation path.
    pub fn from_keypair(pair: Keypair) -> Self {
        Self { public: pair.public(), pair: Some(pair), mnemonic: None, seed: None }
    }

    /// Creates a keyfile with a public key only.
    pub const fn from_public(public: PublicKey) -> Self {
        Self { public, pair: None, mnemonic: None, seed: None }
    }

    /// Parses the content of a keyfile, encrypted or plain. The password is used only if the
    /// content is encrypted.
    ///
    /// # Errors
    /// [`KeyfileError`]: the password is missing or wrong, or the content is malformed.
    pub fn from_bytes(file: &[u8], password: Option<&Password>) -> Result<Self, KeyfileError> {
        Self::from_json(&Self::plaintext(file, password)?)
    }

    /// Returns the decrypted content of a keyfile unchanged, including unknown fields.
    pub(crate) fn plaintext(
        file: &[u8],
        password: Option<&Password>,
    ) -> Result<Zeroizing<Vec<u8>>, KeyfileError> {
        match (EncryptedKeyfile::parse(file)?, password) {
            (None, _) => Ok(Zeroizing::new(file.to_vec())),
            (Some(sealed), Some(password)) => sealed.open(password),
            (Some(sealed), None) => Err(KeyfileError::Encrypted(sealed.encryption())),
        }
    }

    /// Encrypts plain content in the format of [`Self::seal`].
    pub(crate) fn seal_plaintext(
        plaintext: &[u8],
        password: &Password,
    ) -> Result<Vec<u8>, KeyfileError> {
        nacl::seal(plaintext, password)
    }

    /// Parses plain keyfile JSON: `secretPhrase`, `secretSeed` or `privateKey`, tried in this
    /// order, otherwise the public key. All keys and addresses in the file must match; a malformed
    /// private key is ignored if there is a phrase or a seed.
    ///
    /// # Errors
    /// [`KeyfileError`]: not JSON, a malformed key, or keys that do not match.
    pub fn from_json(text: &[u8]) -> Result<Self, KeyfileError> {
        json::read(text)
    }

    /// Returns the public key stated in plain keyfile JSON, without reading any secret.
    pub(crate) fn stated_public(text: &[u8]) -> Option<PublicKey> {
        json::stated_public(text)
    }

    /// Returns the unencrypted keyfile JSON, including the secret key if there is one.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        json::write(self)
    }

    /// Returns the keyfile JSON with the public key only.
    pub fn to_public_json(&self) -> Vec<u8> {
        json::write(&Self::from_public(self.public)).to_vec()
    }

    /// Encrypts the keyfile in the format of Bittensor's wallet (`$NACL`). Takes seconds and 512
    /// MiB of memory.
    ///
    /// # Errors
    /// [`KeyfileError::Memory`] if allocation fails, [`KeyError::Randomness`] if the random number
    /// generator fails.
    pub fn seal(&self, password: &Password) -> Result<Vec<u8>, KeyfileError> {
        Self::seal_plaintext(&self.to_json(), password)
    }

    /// Returns the public key.
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// Returns the key pair; `None` if the file has no secret.
    pub const fn keypair(&self) -> Option<&Keypair> {
        self.pair.as_ref()
    }

    /// Converts the keyfile into its key pair.
    ///
    /// # Errors
    /// [`KeyfileError::PublicOnly`] if the file has no secret.
    pub fn into_keypair(self) -> Result<Keypair, KeyfileError> {
        self.pair.ok_or(KeyfileError::PublicOnly)
    }
}

impl fmt::Debug for Keyfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.pair.is_some() { "secret" } else { "public" };
        write!(f, "Keyfile({}, {kind})", self.public)
    }
}

#[cfg(test)]
mod tests;
