//! Encryption and decryption of extrinsics.

use chacha20poly1305::aead::Aead;
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use ml_kem::{
    B32, Ciphertext, Decapsulate as _, DecapsulationKey, EncapsulationKey, KeyExport as _,
    MlKem768, TryKeyInit as _,
};
use rand::CryptoRng;
use sp_crypto_hashing::twox_128;

/// Length of an encapsulation key, in bytes.
pub const KEY_LEN: usize = 1_184;
/// Maximum size of a ciphertext that the chain accepts, in bytes.
pub const MAX_CIPHERTEXT: u32 = 8_192;
/// Length of a key's hash, in bytes.
const HASH_LEN: usize = 16;
/// Length of an encapsulated secret, in bytes.
const SECRET_LEN: u16 = 1_088;
/// Length of a nonce, in bytes.
const NONCE_LEN: usize = 24;
/// Length of an authentication tag, in bytes.
const TAG_LEN: usize = 16;
/// Maximum size of an extrinsic, in bytes.
const MAX_EXTRINSIC: usize =
    MAX_CIPHERTEXT as usize - HASH_LEN - 2 - SECRET_LEN as usize - NONCE_LEN - TAG_LEN;

/// Why an extrinsic cannot be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// The bytes are not an ML-KEM-768 encapsulation key.
    #[error(
        "the key of the MEV shield is malformed: expected an ML-KEM-768 key of {} bytes, got {length}",
        KEY_LEN
    )]
    Key {
        /// The number of bytes.
        length: usize,
    },
    /// The ciphertext would exceed the chain's limit.
    #[error("the extrinsic has {length} bytes; the MEV shield accepts at most {}", MAX_EXTRINSIC)]
    TooLong {
        /// The length of the extrinsic, in bytes.
        length: usize,
    },
}

/// Encrypts a signed extrinsic to an encapsulation key. Fresh randomness makes every ciphertext
/// different.
///
/// # Errors
/// [`EncryptError`] if the key is malformed, or the extrinsic too long.
pub fn encrypt(
    key: &[u8],
    extrinsic: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, EncryptError> {
    let too_long = EncryptError::TooLong { length: extrinsic.len() };
    if extrinsic.len() > MAX_EXTRINSIC {
        return Err(too_long);
    }
    let encapsulation_key = EncapsulationKey::<MlKem768>::new_from_slice(key);
    let encapsulation_key =
        encapsulation_key.map_err(|_| EncryptError::Key { length: key.len() })?;
    let (mut seed, mut nonce) = ([0; 32], [0; NONCE_LEN]);
    rng.fill_bytes(&mut seed);
    rng.fill_bytes(&mut nonce);
    let (encapsulated, secret) = encapsulation_key.encapsulate_deterministic(&B32::from(seed));
    let cipher = XChaCha20Poly1305::new(Key::from_slice(secret.as_slice()));
    let encrypted_extrinsic =
        cipher.encrypt(XNonce::from_slice(&nonce), extrinsic).map_err(|_| too_long)?;
    let (hash, length) = (twox_128(key), SECRET_LEN.to_le_bytes());
    Ok([&hash[..], &length, encapsulated.as_slice(), &nonce, encrypted_extrinsic.as_slice()]
        .concat())
}

/// Key pair of the MEV shield.
#[derive(Debug)]
pub struct ShieldKey(DecapsulationKey<MlKem768>);

impl ShieldKey {
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
        let CiphertextParts { key_hash, secret, nonce, encrypted_extrinsic } =
            CiphertextParts::parse(ciphertext)?;
        if key_hash != twox_128(&self.public()) {
            return None;
        }
        let secret = Ciphertext::<MlKem768>::try_from(secret).ok()?;
        let secret = self.0.decapsulate(&secret);
        let cipher = XChaCha20Poly1305::new(Key::from_slice(secret.as_slice()));
        cipher.decrypt(XNonce::from_slice(nonce), encrypted_extrinsic).ok()
    }
}

/// The parts of a ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CiphertextParts<'a> {
    /// Twox128 hash of the encapsulation key.
    pub key_hash: [u8; HASH_LEN],
    /// The encapsulated secret.
    pub secret: &'a [u8],
    /// The nonce of XChaCha20-Poly1305.
    pub nonce: &'a [u8],
    /// The encrypted extrinsic with its authentication tag.
    pub encrypted_extrinsic: &'a [u8],
}

impl<'a> CiphertextParts<'a> {
    /// Splits a ciphertext; `None` if it is too short.
    pub fn parse(ciphertext: &'a [u8]) -> Option<Self> {
        let (key_hash, remaining) = ciphertext.split_first_chunk::<HASH_LEN>()?;
        let (length, remaining) = remaining.split_first_chunk::<2>()?;
        let (secret, remaining) =
            remaining.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        let (nonce, encrypted_extrinsic) = remaining.split_at_checked(NONCE_LEN)?;
        Some(Self { key_hash: *key_hash, secret, nonce, encrypted_extrinsic })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(json: &serde_json::Value) -> Vec<u8> {
        hex::decode(json.as_str().unwrap().trim_start_matches("0x")).unwrap()
    }

    #[test]
    fn ciphertext_of_the_real_client_is_decrypted() {
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
            let plaintext = bytes(&case["plaintext_hex"]);
            assert_eq!(key.open(&ciphertext), Some(plaintext.clone()));
            assert_eq!(ShieldKey::from_seed([1; 32], [2; 32]).open(&ciphertext), None);
            let ours = encrypt(&key.public(), &plaintext, &mut rand::rng()).unwrap();
            assert_eq!((ours.len(), &ours[..18]), (ciphertext.len(), &ciphertext[..18]));
            assert_eq!(key.open(&ours), Some(plaintext));
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

    #[test]
    fn equal_messages_have_different_ciphertexts() {
        let key = ShieldKey::from_seed([1; 32], [2; 32]);
        let [first, second] =
            [(); 2].map(|()| encrypt(&key.public(), b"twice", &mut rand::rng()).unwrap());
        let parts = [&first, &second].map(|ciphertext| CiphertextParts::parse(ciphertext).unwrap());
        assert_ne!(parts[0].secret, parts[1].secret);
        assert_ne!(parts[0].nonce, parts[1].nonce);
        assert_ne!(parts[0].encrypted_extrinsic, parts[1].encrypted_extrinsic);
    }

    #[test]
    fn extrinsic_above_the_chains_limit_is_not_encrypted() {
        let key = ShieldKey::from_seed([1; 32], [2; 32]).public();
        let longest = encrypt(&key, &[7; MAX_EXTRINSIC], &mut rand::rng()).unwrap();
        assert_eq!(longest.len(), MAX_CIPHERTEXT as usize);
        let error = encrypt(&key, &[7; MAX_EXTRINSIC + 1], &mut rand::rng()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the extrinsic has 7047 bytes; the MEV shield accepts at most 7046"
        );
        // Coefficients above the modulus.
        for malformed in [&[][..], &key[1..], &[255; KEY_LEN]] {
            let error = encrypt(malformed, b"x", &mut rand::rng()).unwrap_err();
            assert_eq!(error, EncryptError::Key { length: malformed.len() });
        }
    }
}
