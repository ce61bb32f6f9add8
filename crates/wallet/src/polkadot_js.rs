use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::AeadInPlace;
use crypto_secretbox::{KeyInit, Nonce, Tag, XSalsa20Poly1305};
use schnorrkel::SecretKey;
use scrypt::Params;
use serde::Deserialize;
use serde_json::json;
use taonet_primitives::{Ss58, bytes_without_bom};
use zeroize::Zeroizing;

use crate::{CryptoType, KeyError, Keypair, Password};

/// The header before the secret in the plain content: PKCS#8 as written by Polkadot-JS, with a
/// secret key of 64 bytes.
const HEADER: [u8; 16] = [
    0x30, 0x53, 0x02, 0x01, 0x01, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The bytes between the secret and the public key.
const DIVIDER: [u8; 5] = [0xa1, 0x23, 0x03, 0x21, 0x00];

const PLAIN_BYTES: usize = HEADER.len() + 64 + DIVIDER.len() + 32;

/// The scrypt parameters of new exports, as in Polkadot-JS: log2(N), r and p.
const LOG_N: u8 = 15;
const R: u32 = 8;
const P: u32 = 1;

/// Limits on a file's scrypt parameters. scrypt takes 128 · r · (N + p) bytes, which is little more
/// than 256 MiB at these limits. Exports written by Polkadot-JS take 32 MiB, with one lane.
const MAX_N_R: u32 = 1 << 21;
const MAX_R: u32 = 64;
const MAX_P: u32 = 16;

/// Why a Polkadot-JS export could not be read or written. Messages never contain the export's
/// content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolkadotJsError {
    /// The text is not the JSON of an account export.
    #[error("not a Polkadot-JS account in JSON (line {line}, column {column})")]
    Json {
        /// The line of the error, counted from 1.
        line: usize,
        /// The column of the error, counted from 1.
        column: usize,
    },
    /// The version is not 3, the only supported one.
    #[error(
        "unsupported export version, expected 3; hint: export the account again with a current Polkadot-JS wallet"
    )]
    Version,
    /// The account is not sr25519, the only supported scheme.
    #[error("the export does not contain an sr25519 account")]
    Content,
    /// The encryption is unsupported: neither `scrypt` with `xsalsa20-poly1305`, nor
    /// `xsalsa20-poly1305` alone, nor `none`.
    #[error("unsupported encryption type of the export")]
    Encryption,
    /// The scrypt parameters are invalid or exceed the limits.
    #[error(
        "unsupported scrypt parameters of the export: N={n}, r={r}, p={p}; expected a power of two as N, N*r at most \
         2^21, r at most 64 and p at most 16"
    )]
    Cost {
        /// The scrypt parameter N: memory and time.
        n: u32,
        /// The scrypt parameter r: block size.
        r: u32,
        /// The scrypt parameter p: lanes.
        p: u32,
    },
    /// The password is wrong or the content is damaged; the two are indistinguishable.
    #[error("wrong password, or the export is damaged")]
    WrongPassword,
    /// The address in the file does not match the key.
    #[error("the export states address {stated}, but its key belongs to {derived}")]
    Mismatch {
        /// The address stated in the file.
        stated: Ss58,
        /// The address of the key, on the same network.
        derived: Ss58,
    },
    /// The pair is not sr25519, the only scheme of exports.
    #[error("only sr25519 keys can be exported, but this key is {0}")]
    Scheme(CryptoType),
    /// The system's random number generator failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The fields of an export that are used here.
#[derive(Deserialize)]
struct Fields {
    encoded: String,
    encoding: Encoding,
    address: Ss58,
}

#[derive(Deserialize)]
struct Encoding {
    content: Vec<String>,
    #[serde(rename = "type")]
    kind: Vec<String>,
    version: String,
}

/// The encryption of the content.
enum Cipher {
    /// The content is not encrypted.
    None,
    /// The content is encrypted with the password itself, padded with zeros.
    Password { nonce: [u8; 24] },
    /// The content is encrypted with a key derived from the password by scrypt.
    Scrypt { salt: [u8; 32], params: Params, nonce: [u8; 24] },
}

/// An account export of Polkadot-JS and browser wallets: JSON of version 3 with an sr25519 key.
///
/// [`PolkadotJs::parse`] is cheap; [`PolkadotJs::open`] takes the time and memory that the file's
/// scrypt parameters require, within limits. The content is wiped from memory when dropped; `Debug`
/// shows the address only.
pub struct PolkadotJs {
    address: Ss58,
    cipher: Cipher,
    /// The Poly1305 tag and ciphertext, or the plain content.
    content: Zeroizing<Vec<u8>>,
}

impl PolkadotJs {
    /// Parses an export.
    ///
    /// # Errors
    /// [`PolkadotJsError`] if the text is not a supported export, or decrypting it would need too
    /// much memory.
    pub fn parse(json: &[u8]) -> Result<Self, PolkadotJsError> {
        let Fields { encoded, encoding, address } =
            serde_json::from_slice(bytes_without_bom(json)).map_err(|error| {
                PolkadotJsError::Json { line: error.line(), column: error.column() }
            })?;
        // In unencrypted exports this text contains the key.
        let encoded = Zeroizing::new(encoded);
        if encoding.version != "3" {
            return Err(PolkadotJsError::Version);
        }
        if encoding.content != ["pkcs8", "sr25519"] {
            return Err(PolkadotJsError::Content);
        }
        let bytes =
            Zeroizing::new(STANDARD.decode(&*encoded).map_err(|_| PolkadotJsError::WrongPassword)?);
        let kind: Vec<_> = encoding.kind.iter().map(String::as_str).collect();
        let (cipher, content) = match kind.as_slice() {
            ["none"] => (Cipher::None, bytes.as_slice()),
            ["xsalsa20-poly1305"] => {
                let (nonce, content) = split_array(&bytes)?;
                (Cipher::Password { nonce }, content)
            }
            ["scrypt", "xsalsa20-poly1305"] => {
                let (salt, remaining) = split_array(&bytes)?;
                let (n, remaining) = split_array(remaining)?;
                let (p, remaining) = split_array(remaining)?;
                let (r, remaining) = split_array(remaining)?;
                let params = scrypt_params(
                    u32::from_le_bytes(n),
                    u32::from_le_bytes(r),
                    u32::from_le_bytes(p),
                )?;
                let (nonce, content) = split_array(remaining)?;
                (Cipher::Scrypt { salt, params, nonce }, content)
            }
            _ => return Err(PolkadotJsError::Encryption),
        };
        let content = Zeroizing::new(content.to_vec());
        Ok(Self { address, cipher, content })
    }

    /// Returns the account's address on the export's network, not yet checked against the key.
    pub const fn address(&self) -> Ss58 {
        self.address
    }

    /// Whether [`Self::open`] needs a password.
    pub const fn is_encrypted(&self) -> bool {
        !matches!(self.cipher, Cipher::None)
    }

    /// Decrypts the account's key. An unencrypted export opens with any password.
    ///
    /// # Errors
    /// [`PolkadotJsError::WrongPassword`] for a wrong password or a damaged file;
    /// [`PolkadotJsError::Mismatch`] when the key does not match the address.
    pub fn open(&self, password: &Password) -> Result<Keypair, PolkadotJsError> {
        let plaintext = match &self.cipher {
            Cipher::None => self.content.clone(),
            Cipher::Password { nonce } => self.decrypt(&padded_key(password), nonce)?,
            Cipher::Scrypt { salt, params, nonce } => {
                self.decrypt(&*derive_key(password, salt, params)?, nonce)?
            }
        };
        let pair = read_pkcs8(&plaintext).ok_or(PolkadotJsError::WrongPassword)?;
        let derived = pair.public().address_on(self.address.prefix());
        if derived == self.address {
            Ok(pair)
        } else {
            Err(PolkadotJsError::Mismatch { stated: self.address, derived })
        }
    }

    fn decrypt(
        &self,
        key: &[u8; 32],
        nonce: &[u8; 24],
    ) -> Result<Zeroizing<Vec<u8>>, PolkadotJsError> {
        let (tag, ciphertext) = split_array::<16>(&self.content)?;
        let mut plaintext = Zeroizing::new(ciphertext.to_vec());
        XSalsa20Poly1305::new(key.into())
            .decrypt_in_place_detached(
                Nonce::from_slice(nonce),
                b"",
                &mut plaintext,
                Tag::from_slice(&tag),
            )
            .map_err(|_| PolkadotJsError::WrongPassword)?;
        Ok(plaintext)
    }

    /// Exports a pair as encrypted JSON for Polkadot-JS, with scrypt (N = 32 768, r = 8, p = 1).
    /// `created` is in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`PolkadotJsError::Scheme`] for an ed25519 pair; [`PolkadotJsError::Key`] if the random
    /// number generator fails.
    pub fn export(
        pair: &Keypair,
        password: &Password,
        name: &str,
        created: u64,
    ) -> Result<String, PolkadotJsError> {
        let secret = pair.sr25519().ok_or(PolkadotJsError::Scheme(pair.crypto_type()))?;
        let (mut salt, mut nonce) = ([0; 32], [0; 24]);
        getrandom::fill(&mut salt)
            .and_then(|()| getrandom::fill(&mut nonce))
            .map_err(|_| KeyError::Randomness)?;
        let params = Params::new(LOG_N, R, P, 32).map_err(|_| PolkadotJsError::Encryption)?;
        let mut plaintext = write_pkcs8(&secret.secret, pair.public().as_bytes());
        let tag = XSalsa20Poly1305::new((&*derive_key(password, &salt, &params)?).into())
            .encrypt_in_place_detached(Nonce::from_slice(&nonce), b"", &mut plaintext)
            .map_err(|_| PolkadotJsError::Encryption)?;
        let (n, p, r) = ((1_u32 << LOG_N).to_le_bytes(), P.to_le_bytes(), R.to_le_bytes());
        let encoded = [&salt[..], &n, &p, &r, &nonce, &tag, &plaintext].concat();
        Ok(json!({
            "encoded": STANDARD.encode(encoded),
            "encoding": {"content": ["pkcs8", "sr25519"], "type": ["scrypt", "xsalsa20-poly1305"], "version": "3"},
            "address": pair.public().to_string(),
            "meta": {"genesisHash": "", "name": name, "whenCreated": created},
        })
        .to_string())
    }
}

impl fmt::Debug for PolkadotJs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolkadotJs({})", self.address)
    }
}

fn split_array<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), PolkadotJsError> {
    bytes
        .split_first_chunk()
        .map(|(head, tail)| (*head, tail))
        .ok_or(PolkadotJsError::WrongPassword)
}

fn scrypt_params(n: u32, r: u32, p: u32) -> Result<Params, PolkadotJsError> {
    let error = PolkadotJsError::Cost { n, r, p };
    if !n.is_power_of_two()
        || n.checked_mul(r).is_none_or(|n_r| n_r > MAX_N_R)
        || r > MAX_R
        || p > MAX_P
    {
        return Err(error);
    }
    Params::new(n.ilog2() as u8, r, p, 32).map_err(|_| error)
}

fn padded_key(password: &Password) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    for (to, from) in key.iter_mut().zip(password.as_bytes()) {
        *to = *from;
    }
    key
}

fn derive_key(
    password: &Password,
    salt: &[u8],
    params: &Params,
) -> Result<Zeroizing<[u8; 32]>, PolkadotJsError> {
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(password.as_bytes(), salt, params, key.as_mut_slice())
        .map_err(|_| PolkadotJsError::Encryption)?;
    Ok(key)
}

/// Reads a key pair from PKCS#8, where the scalar is in ed25519's expanded form: multiplied by 8.
fn read_pkcs8(plaintext: &[u8]) -> Option<Keypair> {
    let (secret, remaining) = plaintext.strip_prefix(&HEADER)?.split_first_chunk::<64>()?;
    let public = remaining.strip_prefix(&DIVIDER)?;
    let pair = SecretKey::from_ed25519_bytes(secret).ok()?.to_keypair();
    (pair.public.to_bytes() == *public).then(|| pair.into())
}

fn write_pkcs8(secret: &SecretKey, public: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    let mut plaintext = Zeroizing::new(Vec::with_capacity(PLAIN_BYTES));
    plaintext.extend_from_slice(&HEADER);
    plaintext.extend_from_slice(Zeroizing::new(secret.to_ed25519_bytes()).as_slice());
    plaintext.extend_from_slice(&DIVIDER);
    plaintext.extend_from_slice(public);
    plaintext
}

#[cfg(test)]
mod tests;
