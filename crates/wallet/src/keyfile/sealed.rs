use std::fmt;

use zeroize::Zeroizing;

use super::KeyfileError;
use super::ansible::AnsibleVault;
use super::fernet::Fernet;
use super::nacl::Nacl;
use crate::Password;

/// The encryption format of a keyfile, identified by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encryption {
    /// NaCl secretbox with an Argon2i key: the format of Bittensor's current wallet.
    Nacl,
    /// Ansible vault 1.1 or 1.2: an older format of Bittensor's wallets.
    AnsibleVault,
    /// Fernet: the format of the first Bittensor wallets.
    Fernet,
}

impl Encryption {
    /// Detects the format from the start of a keyfile, of which 16 bytes suffice; `None` for plain
    /// JSON.
    pub fn of(file: &[u8]) -> Option<Self> {
        [
            (super::nacl::PREFIX, Self::Nacl),
            (super::ansible::PREFIX, Self::AnsibleVault),
            (super::fernet::PREFIX, Self::Fernet),
        ]
        .into_iter()
        .find_map(|(prefix, method)| file.starts_with(prefix).then_some(method))
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nacl => "NaCl",
            Self::AnsibleVault => "Ansible vault",
            Self::Fernet => "Fernet",
        })
    }
}

/// An encrypted keyfile, parsed but not decrypted: parsing is cheap, [`EncryptedKeyfile::open`]
/// takes seconds.
#[derive(Debug)]
pub struct EncryptedKeyfile(ParsedKeyfile);

#[derive(Debug)]
enum ParsedKeyfile {
    Nacl(Nacl),
    AnsibleVault(AnsibleVault),
    Fernet(Fernet),
}

impl EncryptedKeyfile {
    /// Parses the content of an encrypted keyfile; `None` for plain JSON.
    ///
    /// # Errors
    /// [`KeyfileError::WrongPassword`] when the content begins like an encrypted keyfile but is
    /// malformed.
    pub fn parse(file: &[u8]) -> Result<Option<Self>, KeyfileError> {
        let Some(encryption) = Encryption::of(file) else { return Ok(None) };
        let parsed = match encryption {
            Encryption::Nacl => Nacl::parse(file).map(ParsedKeyfile::Nacl),
            Encryption::AnsibleVault => AnsibleVault::parse(file).map(ParsedKeyfile::AnsibleVault),
            Encryption::Fernet => Fernet::parse(file).map(ParsedKeyfile::Fernet),
        };
        parsed.map(|keyfile| Some(Self(keyfile))).ok_or(KeyfileError::WrongPassword)
    }

    /// Returns the encryption format of the file.
    pub const fn encryption(&self) -> Encryption {
        match self.0 {
            ParsedKeyfile::Nacl(_) => Encryption::Nacl,
            ParsedKeyfile::AnsibleVault(_) => Encryption::AnsibleVault,
            ParsedKeyfile::Fernet(_) => Encryption::Fernet,
        }
    }

    /// Decrypts the content. Damaged content is never decrypted: each format authenticates first,
    /// with a constant-time comparison.
    ///
    /// # Errors
    /// [`KeyfileError::WrongPassword`] for a wrong password or a damaged file;
    /// [`KeyfileError::Memory`] if allocation fails.
    pub fn open(&self, password: &Password) -> Result<Zeroizing<Vec<u8>>, KeyfileError> {
        match &self.0 {
            ParsedKeyfile::Nacl(sealed) => sealed.open(&super::nacl::derive(password)?),
            ParsedKeyfile::AnsibleVault(sealed) => sealed.open(&sealed.derive(password)),
            ParsedKeyfile::Fernet(sealed) => sealed.open(&super::fernet::derive(password)),
        }
        .ok_or(KeyfileError::WrongPassword)
    }
}
