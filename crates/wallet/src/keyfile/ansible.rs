//! Ansible vault 1.1: a header line, then a hex body that decodes to three lines of hex: salt,
//! HMAC, ciphertext.

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, Mac};
use pbkdf2::pbkdf2_hmac;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::Password;

pub(super) const PREFIX: &[u8] = b"$ANSIBLE_VAULT";

/// The number of PBKDF2 rounds, fixed by Ansible.
const ROUNDS: u32 = 10_000;

/// The AES block size: Ansible pads to it although its counter mode needs no padding.
const BLOCK_BYTES: usize = 16;

/// The cipher key, the HMAC key and the initial counter, derived together.
pub(super) type Keys = Zeroizing<[u8; 80]>;

/// An Ansible vault, parsed into its parts.
#[derive(Debug)]
pub(super) struct AnsibleVault {
    salt: Vec<u8>,
    tag: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl AnsibleVault {
    /// Parses a vault of version 1.1, or of version 1.2, which adds a label to the header.
    pub(super) fn parse(file: &[u8]) -> Option<Self> {
        let mut lines = str::from_utf8(file).ok()?.lines();
        let mut header = lines.next()?.trim_end().split(';');
        let (_, version, cipher) = (header.next()?, header.next()?, header.next()?);
        if !matches!(version, "1.1" | "1.2") || cipher != "AES256" {
            return None;
        }
        let body = hex::decode(lines.map(str::trim).collect::<String>()).ok()?;
        let mut parts = body.split(|byte| *byte == b'\n').map(hex::decode);
        let (salt, tag, ciphertext) =
            (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        parts.next().is_none().then_some(Self { salt, tag, ciphertext })
    }

    pub(super) fn derive(&self, password: &Password) -> Keys {
        let mut keys = Zeroizing::new([0; 80]);
        pbkdf2_hmac::<Sha256>(password.as_bytes(), &self.salt, ROUNDS, keys.as_mut_slice());
        keys
    }

    pub(super) fn open(&self, keys: &Keys) -> Option<Zeroizing<Vec<u8>>> {
        let (cipher_key, remaining) = keys.split_first_chunk::<32>()?;
        let (tag_key, counter) = remaining.split_first_chunk::<32>()?;
        let mac = Hmac::<Sha256>::new_from_slice(tag_key).ok()?.chain_update(&self.ciphertext);
        mac.verify_slice(&self.tag).ok()?;
        let mut plaintext = Zeroizing::new(self.ciphertext.clone());
        Ctr128BE::<Aes256>::new_from_slices(cipher_key, counter)
            .ok()?
            .apply_keystream(&mut plaintext);
        let padding = usize::from(*plaintext.last()?);
        let length = plaintext
            .len()
            .checked_sub(padding)
            .filter(|_| (1..=BLOCK_BYTES).contains(&padding))?;
        plaintext.truncate(length);
        Some(plaintext)
    }
}
