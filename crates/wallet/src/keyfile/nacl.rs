//! The format `$NACL`: prefix, nonce, Poly1305 tag, XSalsa20 ciphertext. The key is derived from
//! the password by Argon2i with a fixed salt.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use crypto_secretbox::aead::AeadInPlace;
use crypto_secretbox::{KeyInit, Nonce, Tag, XSalsa20Poly1305};
use zeroize::Zeroizing;

use super::KeyfileError;
use crate::{KeyError, Password};

pub(super) const PREFIX: &[u8] = b"$NACL";

/// The Argon2i salt of every Bittensor wallet.
const SALT: [u8; 16] = [
    0x13, 0x71, 0x83, 0xdf, 0xf1, 0x5a, 0x09, 0xbc, 0x9c, 0x90, 0xb5, 0x51, 0x87, 0x39, 0xe9, 0xb1,
];
const PASSES: u32 = 8;
const MEMORY_KIB: u32 = 512 * 1024;

pub(super) type Key = Zeroizing<[u8; 32]>;

/// A keyfile in the format `$NACL`, parsed into its parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Nacl {
    nonce: [u8; 24],
    tag: [u8; 16],
    ciphertext: Vec<u8>,
}

impl Nacl {
    pub(super) fn parse(file: &[u8]) -> Option<Self> {
        let (nonce, tagged_ciphertext) = file.strip_prefix(PREFIX)?.split_first_chunk()?;
        let (tag, ciphertext) = tagged_ciphertext.split_first_chunk()?;
        Some(Self { nonce: *nonce, tag: *tag, ciphertext: ciphertext.to_vec() })
    }

    pub(super) fn open(&self, key: &Key) -> Option<Zeroizing<Vec<u8>>> {
        let mut plaintext = Zeroizing::new(self.ciphertext.clone());
        let cipher = XSalsa20Poly1305::new(key.as_slice().into());
        let result = cipher.decrypt_in_place_detached(
            Nonce::from_slice(&self.nonce),
            b"",
            &mut plaintext,
            Tag::from_slice(&self.tag),
        );
        result.ok().map(|()| plaintext)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [PREFIX, &self.nonce, &self.tag, &self.ciphertext].concat()
    }
}

pub(super) fn seal(plaintext: &[u8], password: &Password) -> Result<Vec<u8>, KeyfileError> {
    let mut nonce = [0; 24];
    getrandom::fill(&mut nonce).map_err(|_| KeyError::Randomness)?;
    let sealed = seal_with(plaintext, &derive(password)?, nonce);
    sealed.map(|sealed| sealed.to_bytes()).ok_or(KeyfileError::Memory)
}

pub(super) fn seal_with(plaintext: &[u8], key: &Key, nonce: [u8; 24]) -> Option<Nacl> {
    let mut ciphertext = plaintext.to_vec();
    let cipher = XSalsa20Poly1305::new(key.as_slice().into());
    let tag =
        cipher.encrypt_in_place_detached(Nonce::from_slice(&nonce), b"", &mut ciphertext).ok()?;
    Some(Nacl { nonce, tag: tag.into(), ciphertext })
}

/// Derives the key by Argon2i 1.3 with one lane, as in every Bittensor wallet. The memory is
/// allocated once and wiped afterwards.
pub(super) fn derive(password: &Password) -> Result<Key, KeyfileError> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(32)).map_err(|_| KeyfileError::Memory)?;
    let mut memory = Zeroizing::new(Vec::new());
    memory.try_reserve_exact(params.block_count()).map_err(|_| KeyfileError::Memory)?;
    memory.resize(params.block_count(), Block::default());
    let mut key = Key::default();
    Argon2::new(Algorithm::Argon2i, Version::V0x13, params)
        .hash_password_into_with_memory(
            password.as_bytes(),
            &SALT,
            key.as_mut_slice(),
            memory.as_mut_slice(),
        )
        .map_err(|_| KeyfileError::Memory)?;
    Ok(key)
}
