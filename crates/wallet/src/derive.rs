use bip39::{Language, Mnemonic};
use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use pbkdf2::pbkdf2_hmac;
use schnorrkel::derive::{ChainCode, Derivation};
use schnorrkel::{ExpansionMode, MiniSecretKey, SecretKey};
use sha2::Sha512;
use zeroize::Zeroizing;

/// The public phrase behind `//Alice`, `//Bob` and the other development keys. Never fund them.
pub const DEV_PHRASE: &str = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";

/// Rounds that turn a mnemonic's entropy into a seed.
const ROUNDS: u32 = 2048;

/// Why no key could be made. Never repeats the secret text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A mnemonic has 12, 15, 18, 21 or 24 words.
    #[error("mnemonic has {0} words, expected 12, 15, 18, 21 or 24")]
    WordCount(usize),
    /// A word, counted from 1, is not in the English list.
    #[error("word {0} of the mnemonic is not in the English word list")]
    UnknownWord(usize),
    /// The words are all known, but not in this order.
    #[error("mnemonic checksum does not match: a word is wrong or out of order")]
    Checksum,
    /// A seed is `0x` and 64 hex digits.
    #[error("seed is not 0x and 64 hex digits")]
    Seed,
    /// A private key is `0x` and 128 hex digits that hold a canonical scalar.
    #[error("private key is not 0x and 128 hex digits of a canonical sr25519 key")]
    PrivateKey,
    /// The part after the phrase is not a row of `/soft` and `//hard` junctions.
    #[error("derivation path has an empty junction")]
    Path,
}

/// A parsed derivation URI.
pub(crate) struct SecretUri<'a> {
    phrase: &'a str,
    junctions: Vec<Junction>,
    password: &'a str,
}

/// One step of a derivation path.
struct Junction {
    hard: bool,
    code: ChainCode,
}

impl<'a> SecretUri<'a> {
    pub(crate) fn parse(uri: &'a str) -> Result<Self, KeyError> {
        let (rest, password) = uri.split_once("///").unwrap_or((uri, ""));
        let (phrase, mut path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let mut junctions = Vec::new();
        while let Some(step) = path.strip_prefix('/') {
            let (hard, step) = step.strip_prefix('/').map_or((false, step), |step| (true, step));
            let (name, after) = step.find('/').map_or((step, ""), |at| step.split_at(at));
            if name.is_empty() {
                return Err(KeyError::Path);
            }
            junctions.push(Junction { hard, code: chain_code(name) });
            path = after;
        }
        let phrase = if phrase.is_empty() { DEV_PHRASE } else { phrase };
        Ok(Self { phrase, junctions, password })
    }

    pub(crate) fn derive(&self) -> Result<schnorrkel::Keypair, KeyError> {
        let seed = match self.phrase.strip_prefix("0x") {
            Some(digits) => seed_from_hex(digits)?,
            None => seed_from_phrase(self.phrase, self.password)?,
        };
        let root = MiniSecretKey::from_bytes(seed.as_slice()).map_err(|_| KeyError::Seed)?;
        let mut secret: SecretKey = root.expand(ExpansionMode::Ed25519);
        for Junction { hard, code } in &self.junctions {
            secret = if *hard {
                secret.hard_derive_mini_secret_key(Some(*code), b"").0.expand(ExpansionMode::Ed25519)
            } else {
                secret.derived_key_simple(*code, b"").0
            };
        }
        Ok(secret.to_keypair())
    }
}

fn seed_from_hex(digits: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, seed.as_mut_slice()).map_err(|_| KeyError::Seed)?;
    Ok(seed)
}

/// Substrate stretches the entropy that the words stand for, where BIP-39 stretches the text of the words.
fn seed_from_phrase(phrase: &str, password: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mnemonic = Mnemonic::parse_in_normalized(Language::English, phrase).map_err(|error| match error {
        bip39::Error::BadWordCount(count) => KeyError::WordCount(count),
        bip39::Error::UnknownWord(index) => KeyError::UnknownWord(index + 1),
        _ => KeyError::Checksum,
    })?;
    let (entropy, length) = mnemonic.to_entropy_array();
    let entropy = Zeroizing::new(entropy);
    let salt = Zeroizing::new(["mnemonic", password].concat());
    let mut seed = Zeroizing::new([0; 32]);
    pbkdf2_hmac::<Sha512>(entropy.get(..length).unwrap_or_default(), salt.as_bytes(), ROUNDS, seed.as_mut_slice());
    Ok(seed)
}

/// A decimal number stands for its 8 bytes, little-endian; other text for its SCALE form (compact length and UTF-8),
/// hashed when it is longer than a chain code.
fn chain_code(name: &str) -> ChainCode {
    let mut code = [0; 32];
    let encoded = match name.parse::<u64>() {
        Ok(number) => number.to_le_bytes().to_vec(),
        Err(_) => [compact(name.len()).as_slice(), name.as_bytes()].concat(),
    };
    match code.get_mut(..encoded.len()) {
        Some(start) => start.copy_from_slice(&encoded),
        None => code = Blake2b::<U32>::digest(&encoded).into(),
    }
    ChainCode(code)
}

/// SCALE's compact form of a length; a derivation URI is far shorter than the 2^30 that four bytes can say.
fn compact(length: usize) -> Vec<u8> {
    let tagged = (length as u32) << 2;
    match length {
        0..64 => vec![tagged as u8],
        64..16_384 => (tagged as u16 | 0b01).to_le_bytes().to_vec(),
        _ => (tagged | 0b10).to_le_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Keypair;

    fn address(uri: &str) -> String {
        Keypair::from_uri(uri).unwrap().hotkey().to_string()
    }

    #[test]
    fn the_phrase_may_be_left_out_or_be_a_seed() {
        let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        assert_eq!(address("//Alice"), alice);
        assert_eq!(address(&format!("{DEV_PHRASE}//Alice")), alice);
        let seed = "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";
        assert_eq!(address(&format!("{seed}//Alice")), alice);
        assert_eq!(address(""), address(DEV_PHRASE));
    }

    #[test]
    fn each_mistake_is_named() {
        let error = |uri: &str| Keypair::from_uri(uri).unwrap_err();
        assert_eq!(error("Alice"), KeyError::WordCount(1));
        assert_eq!(error(&DEV_PHRASE.replace("lake", "laek")), KeyError::UnknownWord(4));
        assert_eq!(error(&DEV_PHRASE.replace("walk", "bottom")), KeyError::Checksum);
        assert_eq!(error("0x1234"), KeyError::Seed);
        assert_eq!(error(&format!("0x{}", "g".repeat(64))), KeyError::Seed);
        assert_eq!(error("/"), KeyError::Path);
        assert_eq!(error("//"), KeyError::Path);
        assert_eq!(error("//Alice/"), KeyError::Path);
    }

    #[test]
    fn lengths_are_compact() {
        assert_eq!(compact(63), [0xfc]);
        assert_eq!(compact(64), [0x01, 0x01]);
        assert_eq!(compact(16_384), [0x02, 0x00, 0x01, 0x00]);
    }

    #[test]
    fn a_number_and_its_text_differ() {
        assert_ne!(address("//1"), address("//01x"));
        assert_eq!(address("//1"), address("//01"));
        assert_ne!(address("//Alice"), address("/Alice"));
        assert_ne!(address("//Alice"), address("//Alice///password"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_text_panics(text in "[a-z0-9/ éx]{0,80}") {
            let _ = Keypair::from_uri(&text);
        }
    }
}
