use std::fmt;

use taonet_primitives::{Hotkey, Ss58Error};
use zeroize::Zeroizing;

use crate::{CryptoType, KeyError, Keypair, Mnemonic, Password, PublicKey};

mod ansible;
mod fernet;
mod json;
mod nacl;
mod sealed;

pub use sealed::{Encryption, Sealed};

/// Why bytes gave no key. Never repeats what they hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyfileError {
    /// The content is encrypted and there is no password.
    #[error("the key is encrypted ({0}); a password is needed")]
    Encrypted(Encryption),
    /// The content cannot be decrypted. Which of the two it is cannot be told.
    #[error("wrong password, or the keyfile is damaged")]
    WrongPassword,
    /// The content is not a JSON object with the fields of a keyfile.
    #[error("not keyfile JSON (line {line}, column {column})")]
    Json {
        /// Where reading stopped, counted from 1.
        line: usize,
        /// Where reading stopped, counted from 1.
        column: usize,
    },
    /// `ss58Address` is no address of Bittensor.
    #[error("ss58Address of the keyfile is malformed")]
    Address(#[from] Ss58Error),
    /// A key in the file is malformed, or of an unknown scheme.
    #[error("the keyfile's key is malformed")]
    Key(#[from] KeyError),
    /// The file holds a public key only.
    #[error("no secret key in it; is it a public keyfile?")]
    PublicOnly,
    /// The file holds neither a secret nor a public key.
    #[error("no key in it")]
    Empty,
    /// Neurons sign with sr25519 keys only.
    #[error("it holds an {0} key; sr25519 is needed")]
    Scheme(CryptoType),
    /// The keys in the file do not belong together.
    #[error("the file says {stated}, but its key belongs to {found}")]
    Mismatch {
        /// The address or public key in the file.
        stated: Hotkey,
        /// What the secret gives.
        found: Hotkey,
    },
    /// Encrypted keyfiles take 512 MiB of memory to open and to write.
    #[error("not enough memory: encrypted keyfiles need 512 MiB for a moment")]
    Memory,
}

/// What a keyfile holds: a public key and, unless it is a public keyfile, the secret it came from. Wiped from memory
/// when dropped; `Debug` shows the address only.
#[derive(Clone)]
pub struct Keyfile {
    public: PublicKey,
    pair: Option<Keypair>,
    mnemonic: Option<Mnemonic>,
    seed: Option<Zeroizing<[u8; 32]>>,
}

impl Keyfile {
    /// A key made from a mnemonic without a passphrase. The file keeps the mnemonic.
    pub fn from_mnemonic(mnemonic: &Mnemonic, crypto_type: CryptoType) -> Self {
        Self { mnemonic: Some(mnemonic.clone()), ..Self::from_seed(&mnemonic.to_seed(""), crypto_type) }
    }

    /// A key made from a seed. The file keeps the seed.
    pub fn from_seed(seed: &[u8; 32], crypto_type: CryptoType) -> Self {
        let pair = Keypair::from_seed_with(seed, crypto_type);
        Self { seed: Some(Zeroizing::new(*seed)), ..Self::from_keypair(pair) }
    }

    /// A key whose origin is not known, or cannot stand in a keyfile, as a derivation path cannot.
    pub fn from_keypair(pair: Keypair) -> Self {
        Self { public: pair.public(), pair: Some(pair), mnemonic: None, seed: None }
    }

    /// A public key alone.
    pub const fn from_public(public: PublicKey) -> Self {
        Self { public, pair: None, mnemonic: None, seed: None }
    }

    /// Reads the content of a keyfile, encrypted or plain. The password is used where the content is encrypted.
    ///
    /// # Errors
    /// [`KeyfileError`]: a password is missing or wrong, or the content is malformed.
    pub fn from_bytes(file: &[u8], password: Option<&Password>) -> Result<Self, KeyfileError> {
        Self::from_json(&Self::plain(file, password)?)
    }

    /// The plain content of a keyfile as it is, fields included that mean nothing to us.
    pub(crate) fn plain(file: &[u8], password: Option<&Password>) -> Result<Zeroizing<Vec<u8>>, KeyfileError> {
        match (Sealed::parse(file)?, password) {
            (None, _) => Ok(Zeroizing::new(file.to_vec())),
            (Some(sealed), Some(password)) => sealed.open(password),
            (Some(sealed), None) => Err(KeyfileError::Encrypted(sealed.encryption())),
        }
    }

    /// Encrypts plain content as [`Self::seal`] does.
    pub(crate) fn seal_plain(plain: &[u8], password: &Password) -> Result<Vec<u8>, KeyfileError> {
        nacl::seal(plain, password)
    }

    /// Reads plain keyfile JSON: `secretPhrase`, `secretSeed` or `privateKey`, tried in this order, else the public key.
    /// All keys and addresses in the file must belong together; a private key that cannot be read does no harm beside a
    /// phrase or a seed.
    ///
    /// # Errors
    /// [`KeyfileError`]: not JSON, a malformed key, or keys that do not belong together.
    pub fn from_json(text: &[u8]) -> Result<Self, KeyfileError> {
        json::read(text)
    }

    /// The public key that plain keyfile JSON names; no secret in it is looked at.
    pub(crate) fn stated_public(text: &[u8]) -> Option<PublicKey> {
        json::stated_public(text)
    }

    /// The file's plain content. This is the key itself.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        json::write(self)
    }

    /// The content of the public file beside it.
    pub fn to_public_json(&self) -> Vec<u8> {
        json::write(&Self::from_public(self.public)).to_vec()
    }

    /// The file's content, encrypted as Bittensor's wallet does (`$NACL`). Takes seconds and 512 MiB of memory.
    ///
    /// # Errors
    /// [`KeyfileError::Memory`] or [`KeyError::Randomness`].
    pub fn seal(&self, password: &Password) -> Result<Vec<u8>, KeyfileError> {
        Self::seal_plain(&self.to_json(), password)
    }

    /// The public key.
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The key pair, where the file holds a secret.
    pub const fn keypair(&self) -> Option<&Keypair> {
        self.pair.as_ref()
    }

    /// The key pair.
    ///
    /// # Errors
    /// [`KeyfileError::PublicOnly`] where the file holds none.
    pub fn into_keypair(self) -> Result<Keypair, KeyfileError> {
        self.pair.ok_or(KeyfileError::PublicOnly)
    }

    /// The mnemonic, where the file holds one.
    pub const fn mnemonic(&self) -> Option<&Mnemonic> {
        self.mnemonic.as_ref()
    }

    /// The seed, where the file holds it or a mnemonic that gives it.
    pub fn seed(&self) -> Option<&[u8; 32]> {
        self.seed.as_deref()
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
