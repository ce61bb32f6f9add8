//! Fernet tokens: `urlsafe-base64( 0x80 | u64 BE seconds | IV | AES-128-CBC ciphertext |
//! HMAC-SHA256 )`.

use std::fmt;

use aes::Aes128;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use cbc::{Decryptor, Encryptor};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Version byte at the start of every token.
const VERSION: u8 = 0x80;
/// Bytes before the ciphertext: version, time, IV.
const HEADER_BYTES: usize = 1 + 8 + IV_BYTES;
const IV_BYTES: usize = 16;
const TAG_BYTES: usize = 32;
const BLOCK_BYTES: usize = 16;

/// Why a token cannot be decrypted. No variant reveals which check of the contents failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FernetError {
    /// The text is not a token: not base64, too short, or of a different version.
    #[error("body is not a Fernet token")]
    Malformed,
    /// The token was encrypted with a different key, or modified.
    #[error("cannot decrypt the Fernet token with this key")]
    NotAuthentic,
}

/// A Fernet key of 32 bytes: 16 for authentication, 16 for encryption.
#[derive(Clone)]
pub struct FernetKey(Zeroizing<[[u8; 16]; 2]>);

impl FernetKey {
    /// Creates a key from its bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(bytes);
        let mut key = Self(Zeroizing::default());
        key.0.as_flattened_mut().copy_from_slice(&*bytes);
        key
    }

    /// Generates a random key.
    pub fn random() -> Self {
        Self::from_bytes(rand::random())
    }

    /// Parses a key in standard or URL-safe base64; `None` if the text is malformed.
    #[cfg(test)]
    pub(crate) fn from_base64(text: &str) -> Option<Self> {
        use base64::engine::general_purpose::STANDARD;

        let bytes = Zeroizing::new(STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()?);
        bytes.as_slice().try_into().ok().map(Self::from_bytes)
    }

    /// Returns the key's 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_flattened()
    }

    /// Returns the SHA-256 hash of the key.
    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.as_bytes()).into()
    }

    /// Encrypts a plaintext into a token, with a random IV. `seconds` is the time since the Unix
    /// epoch.
    pub fn seal(&self, plaintext: &[u8], seconds: u64) -> String {
        self.seal_with(plaintext, seconds, &rand::random())
    }

    /// Returns the size in bytes of the token of a plaintext with a number of bytes.
    pub(crate) const fn sealed_size(plaintext: usize) -> usize {
        (HEADER_BYTES + plaintext / BLOCK_BYTES * BLOCK_BYTES + BLOCK_BYTES + TAG_BYTES).div_ceil(3)
            * 4
    }

    /// Encrypts a plaintext with the given IV, which must never be reused.
    pub(crate) fn seal_with(&self, plaintext: &[u8], seconds: u64, iv: &[u8; IV_BYTES]) -> String {
        let [tag_key, cipher_key] = &*self.0;
        let mut token =
            Vec::with_capacity(HEADER_BYTES + plaintext.len() + BLOCK_BYTES + TAG_BYTES);
        token.push(VERSION);
        token.extend_from_slice(&seconds.to_be_bytes());
        token.extend_from_slice(iv);
        token.extend_from_slice(plaintext);
        // Padding completes the last block, or adds one.
        token.resize(HEADER_BYTES + plaintext.len() / BLOCK_BYTES * BLOCK_BYTES + BLOCK_BYTES, 0);
        let cipher = Encryptor::<Aes128>::new(cipher_key.into(), iv.into());
        let padded_plaintext = token.get_mut(HEADER_BYTES..).unwrap_or_default();
        // The buffer was resized for the padding.
        let _ = cipher.encrypt_padded_mut::<Pkcs7>(padded_plaintext, plaintext.len());
        let tag = hmac_with_key(tag_key).chain_update(&token).finalize().into_bytes();
        token.extend_from_slice(&tag);
        URL_SAFE.encode(token)
    }

    /// Verifies and decrypts a token, regardless of its age.
    ///
    /// # Errors
    /// [`FernetError`] when the token is malformed, modified or encrypted with a different key.
    pub fn open(&self, token: &[u8]) -> Result<Vec<u8>, FernetError> {
        let mut token = URL_SAFE.decode(token).map_err(|_| FernetError::Malformed)?;
        let (signed, tag) = token.split_last_chunk::<TAG_BYTES>().ok_or(FernetError::Malformed)?;
        let length = signed.len();
        let (header, ciphertext) =
            signed.split_at_checked(HEADER_BYTES).ok_or(FernetError::Malformed)?;
        if header.first() != Some(&VERSION)
            || ciphertext.is_empty()
            || ciphertext.len() % BLOCK_BYTES != 0
        {
            return Err(FernetError::Malformed);
        }
        let [tag_key, cipher_key] = &*self.0;
        // Compares in constant time.
        hmac_with_key(tag_key)
            .chain_update(signed)
            .verify_slice(tag)
            .map_err(|_| FernetError::NotAuthentic)?;
        let iv: [u8; IV_BYTES] = *header.last_chunk().ok_or(FernetError::Malformed)?;
        // Decrypts in place, which avoids a copy of large bodies.
        token.truncate(length);
        token.drain(..HEADER_BYTES);
        let cipher = Decryptor::<Aes128>::new(cipher_key.into(), &iv.into());
        let length = cipher
            .decrypt_padded_mut::<Pkcs7>(&mut token)
            .map_err(|_| FernetError::NotAuthentic)?
            .len();
        token.truncate(length);
        Ok(token)
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn hmac_with_key(key: &[u8; 16]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

impl fmt::Debug for FernetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FernetKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn example_of_the_fernet_specification_is_sealed_and_opened() {
        let key = FernetKey::from_base64("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=").unwrap();
        let iv = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let token = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
        assert_eq!(key.seal_with(b"hello", 499_162_800, &iv), token);
        assert_eq!(key.open(token.as_bytes()).unwrap(), b"hello");
    }

    #[test]
    fn fernet_key_is_read_from_both_base64_alphabets() {
        let bytes = [0xfb; 32];
        for text in
            [base64::engine::general_purpose::STANDARD.encode(bytes), URL_SAFE.encode(bytes)]
        {
            assert_eq!(FernetKey::from_base64(&text).unwrap().as_bytes(), bytes);
        }
        assert!(FernetKey::from_base64("c2hvcnQ=").is_none());
        assert!(FernetKey::from_base64("%").is_none());
        assert_eq!(format!("{:?}", FernetKey::random()), "FernetKey(..)");
    }

    #[test]
    fn token_with_a_flipped_bit_is_refused() {
        let key = FernetKey::random();
        let token = URL_SAFE.decode(key.seal(b"{\"a\": 1}", 1)).unwrap();
        for bit in 0..8 * token.len() {
            let mut token = token.clone();
            token[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(URL_SAFE.encode(token).as_bytes()).is_err(), "bit {bit}");
        }
        assert_eq!(
            FernetKey::random().open(URL_SAFE.encode(&token).as_bytes()),
            Err(FernetError::NotAuthentic)
        );
    }

    proptest! {
        #[test]
        fn sealed_token_opens_to_its_plaintext(plaintext: Vec<u8>, seconds: u64, key: [u8; 32]) {
            let key = FernetKey::from_bytes(key);
            prop_assert_eq!(key.open(key.seal(&plaintext, seconds).as_bytes()), Ok(plaintext));
        }

        #[test]
        fn opening_arbitrary_token_never_panics(token: Vec<u8>, start in 0..200_usize, length in 0..200_usize) {
            let key = FernetKey::from_bytes([7; 32]);
            let _ = key.open(&token);
            let sealed = key.seal(&token, 1);
            let part: Vec<_> = sealed.bytes().skip(start).take(length).collect();
            let _ = key.open(&part);
        }
    }
}
