//! Fernet tokens, used by the first Bittensor wallets: URL-safe base64 of version, time, IV,
//! AES-128-CBC ciphertext and HMAC.

use aes::Aes128;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut, KeyIvInit};
use hmac::{Hmac, Mac};
use pbkdf2::pbkdf2_hmac;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::Password;

/// The prefix of every token: version 0x80 and a time before the year 2106, in base64.
pub(super) const PREFIX: &[u8] = b"gAAAAA";

/// The PBKDF2 salt of the first Bittensor wallets.
const SALT: &[u8] = b"Iguesscyborgslikemyselfhaveatendencytobeparanoidaboutourorigins";
const ROUNDS: u32 = 10_000_000;

/// The length in bytes of version and timestamp; the timestamp is ignored.
const HEADER_BYTES: usize = 9;

/// The HMAC key, followed by the cipher key.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// A Fernet token, parsed into its parts.
#[derive(Debug)]
pub(super) struct Fernet {
    /// The token without its HMAC tag.
    signed_bytes: Vec<u8>,
    tag: [u8; 32],
}

impl Fernet {
    pub(super) fn parse(file: &[u8]) -> Option<Self> {
        let token = URL_SAFE.decode(file.trim_ascii()).ok()?;
        let (signed_bytes, tag) = token.split_last_chunk()?;
        Some(Self { signed_bytes: signed_bytes.to_vec(), tag: *tag })
    }

    pub(super) fn open(&self, key: &Key) -> Option<Zeroizing<Vec<u8>>> {
        let (tag_key, cipher_key) = key.split_first_chunk::<16>()?;
        let mac = Hmac::<Sha256>::new_from_slice(tag_key).ok()?.chain_update(&self.signed_bytes);
        mac.verify_slice(&self.tag).ok()?;
        let (iv, ciphertext) = self.signed_bytes.get(HEADER_BYTES..)?.split_first_chunk::<16>()?;
        let mut plaintext = Zeroizing::new(ciphertext.to_vec());
        let cipher = Decryptor::<Aes128>::new_from_slices(cipher_key, iv).ok()?;
        let length = cipher.decrypt_padded_mut::<Pkcs7>(&mut plaintext).ok()?.len();
        plaintext.truncate(length);
        Some(plaintext)
    }
}

pub(super) fn derive(password: &Password) -> Key {
    let mut key = Key::default();
    pbkdf2_hmac::<Sha256>(password.as_bytes(), SALT, ROUNDS, key.as_mut_slice());
    key
}
