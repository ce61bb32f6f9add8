//! Key pair of the MEV shield, and decryption of ciphertexts.
//!
//! Layout of a ciphertext: hash of the key (16 bytes) ‖ length of the encapsulated secret (u16, little endian) ‖
//! encapsulated secret (1 088 bytes) ‖ nonce (24 bytes) ‖ output of XChaCha20-Poly1305 with the secret as key, tag at
//! the end.

use chacha20poly1305::aead::Aead;
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use ml_kem::{B32, Ciphertext, Decapsulate as _, DecapsulationKey, KeyExport as _, MlKem768};
use sp_io::hashing::{blake2_256, twox_128};

/// Length of an encapsulation key, in bytes.
pub const KEY_LEN: usize = 1_184;
/// Length of a key's hash, in bytes.
const HASH_LEN: usize = 16;
/// Length of a nonce, in bytes.
const NONCE_LEN: usize = 24;

/// Key pair of the MEV shield.
#[derive(Debug)]
pub struct ShieldKey(DecapsulationKey<MlKem768>);

impl ShieldKey {
    /// Returns the key pair that every development chain uses. Like the development accounts, it is public: clients can
    /// use the shield as on the real chain, but it hides nothing.
    pub fn development() -> Self {
        let half = |name: &[u8]| blake2_256(&[b"taonet development chain: MEV shield, ", name].concat());
        Self::from_seed(half(b"d"), half(b"z"))
    }

    /// Creates the key pair from a seed, whose halves are d and z in FIPS 203.
    pub fn from_seed(d: [u8; 32], z: [u8; 32]) -> Self {
        Self(DecapsulationKey::from_seed(B32::from(d).concat(B32::from(z))))
    }

    /// Returns the public encapsulation key, which has 1 184 bytes.
    pub fn public(&self) -> Vec<u8> {
        self.0.encapsulation_key().to_bytes().to_vec()
    }

    /// Decrypts a ciphertext; `None` if it is malformed, damaged, or encrypted to a different key.
    pub fn open(&self, ciphertext: &[u8]) -> Option<Vec<u8>> {
        let Parts { key_hash, secret, nonce, text } = Parts::parse(ciphertext)?;
        if key_hash != twox_128(&self.public()) {
            return None;
        }
        let secret = Ciphertext::<MlKem768>::try_from(secret).ok()?;
        let secret = self.0.decapsulate(&secret);
        let cipher = XChaCha20Poly1305::new(Key::from_slice(secret.as_slice()));
        cipher.decrypt(XNonce::from_slice(nonce), text).ok()
    }
}

/// The parts of a ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Twox128 hash of the encapsulation key.
    pub key_hash: [u8; HASH_LEN],
    /// The encapsulated secret.
    pub secret: &'a [u8],
    /// The nonce of XChaCha20-Poly1305.
    pub nonce: &'a [u8],
    /// The encrypted extrinsic with its authentication tag.
    pub text: &'a [u8],
}

impl<'a> Parts<'a> {
    /// Splits a ciphertext; `None` if it is too short.
    pub fn parse(ciphertext: &'a [u8]) -> Option<Self> {
        let (key_hash, rest) = ciphertext.split_first_chunk::<HASH_LEN>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (secret, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN)?;
        Some(Self { key_hash: *key_hash, secret, nonce, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(json: &serde_json::Value) -> Vec<u8> {
        hex::decode(json.as_str().unwrap().trim_start_matches("0x")).unwrap()
    }

    #[test]
    fn what_the_real_client_encrypted_is_opened() {
        let Some(vectors) = taonet_chain_vectors::json("mev_shield.json") else { return };
        let seed = bytes(&vectors["keygen_seed_d_z_hex"]);
        let (d, z) = seed.split_at(32);
        let key = ShieldKey::from_seed(d.try_into().unwrap(), z.try_into().unwrap());
        assert_eq!(key.public(), bytes(&vectors["encapsulation_key_hex"]));
        assert_eq!(key.public().len(), KEY_LEN);
        let cases = vectors["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            let ciphertext = bytes(&case["ciphertext_hex"]);
            assert_eq!(key.open(&ciphertext), Some(bytes(&case["plaintext_hex"])));
            assert_eq!(ShieldKey::development().open(&ciphertext), None);
            for at in [0, 16, 18, 1_106, 1_130, ciphertext.len() - 1] {
                let mut damaged = ciphertext.clone();
                damaged[at] ^= 1;
                assert_eq!(key.open(&damaged), None, "byte {at}");
            }
            for length in [0, 15, 17, 18, 1_105, 1_129] {
                assert_eq!(key.open(&ciphertext[..length]), None, "{length} bytes");
            }
        }
    }
}
