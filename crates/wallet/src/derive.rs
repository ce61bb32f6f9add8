use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};
use schnorrkel::derive::{ChainCode, Derivation};
use schnorrkel::{ExpansionMode, MiniSecretKey, SecretKey};
use zeroize::Zeroizing;

use crate::hex_text::secret_from_hex;
use crate::{DEV_PHRASE, KeyError, Mnemonic};

/// A parsed derivation URI.
pub(crate) struct SecretUri<'a> {
    phrase: &'a str,
    junctions: Vec<Junction>,
    password: &'a str,
}

/// A junction of a derivation path, hard or soft.
struct Junction {
    is_hard: bool,
    code: [u8; 32],
}

impl<'a> SecretUri<'a> {
    pub(crate) fn parse(uri: &'a str) -> Result<Self, KeyError> {
        let (phrase_and_path, password) = uri.split_once("///").unwrap_or((uri, ""));
        let (phrase, mut path) = phrase_and_path
            .find('/')
            .map_or((phrase_and_path, ""), |at| phrase_and_path.split_at(at));
        let mut junctions = Vec::new();
        while let Some(step) = path.strip_prefix('/') {
            let (is_hard, step) = step.strip_prefix('/').map_or((false, step), |step| (true, step));
            let (name, after) = step.find('/').map_or((step, ""), |at| step.split_at(at));
            if name.is_empty() {
                return Err(KeyError::Path);
            }
            junctions.push(Junction { is_hard, code: chain_code(name) });
            path = after;
        }
        let phrase = if phrase.is_empty() { DEV_PHRASE } else { phrase };
        Ok(Self { phrase, junctions, password })
    }

    fn root_seed(&self) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        if self.phrase.starts_with("0x") {
            secret_from_hex(self.phrase).ok_or(KeyError::Seed)
        } else {
            Ok(Mnemonic::parse(self.phrase)?.to_seed(self.password))
        }
    }

    pub(crate) fn derive_sr25519(&self) -> Result<schnorrkel::Keypair, KeyError> {
        let root =
            MiniSecretKey::from_bytes(self.root_seed()?.as_slice()).map_err(|_| KeyError::Seed)?;
        let mut secret: SecretKey = root.expand(ExpansionMode::Ed25519);
        for Junction { is_hard, code } in &self.junctions {
            let code = ChainCode(*code);
            secret = if *is_hard {
                secret.hard_derive_mini_secret_key(Some(code), b"").0.expand(ExpansionMode::Ed25519)
            } else {
                secret.derived_key_simple(code, b"").0
            };
        }
        Ok(secret.to_keypair())
    }

    /// Derives the seed of an ed25519 key: each hard junction hashes a tag, the previous seed and
    /// the junction's chain code.
    pub(crate) fn derive_ed25519(&self) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        let mut seed = self.root_seed()?;
        for Junction { is_hard, code } in &self.junctions {
            if !is_hard {
                return Err(KeyError::SoftJunction);
            }
            let tag = scale_text("Ed25519HDKD");
            let hash = Blake2b::<U32>::new()
                .chain_update(tag)
                .chain_update(seed.as_slice())
                .chain_update(code);
            seed.copy_from_slice(&Zeroizing::new(<[u8; 32]>::from(hash.finalize()))[..]);
        }
        Ok(seed)
    }
}

/// Returns the chain code of a junction: a decimal number as 8 bytes, little-endian; other text in
/// SCALE form, hashed with BLAKE2b-256 if longer than 32 bytes.
fn chain_code(name: &str) -> [u8; 32] {
    let mut code = [0; 32];
    let encoded = match name.parse::<u64>() {
        Ok(number) => number.to_le_bytes().to_vec(),
        Err(_) => scale_text(name),
    };
    match code.get_mut(..encoded.len()) {
        Some(start) => start.copy_from_slice(&encoded),
        None => code = Blake2b::<U32>::digest(&encoded).into(),
    }
    code
}

/// Returns the SCALE encoding of a text: compact length and UTF-8.
fn scale_text(text: &str) -> Vec<u8> {
    [compact_length(text.len()).as_slice(), text.as_bytes()].concat()
}

/// Returns the SCALE compact encoding of a length below 2^30, the limit of the four-byte form.
/// Derivation URIs are far shorter.
fn compact_length(length: usize) -> Vec<u8> {
    let shifted = (length as u32) << 2;
    match length {
        0..64 => vec![shifted as u8],
        64..16_384 => (shifted as u16 | 0b01).to_le_bytes().to_vec(),
        _ => (shifted | 0b10).to_le_bytes().to_vec(),
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
    fn uri_phrase_may_be_omitted_or_a_seed() {
        let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
        assert_eq!(address("//Alice"), alice);
        assert_eq!(address(&format!("{DEV_PHRASE}//Alice")), alice);
        let seed = "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e";
        assert_eq!(address(&format!("{seed}//Alice")), alice);
        assert_eq!(address(""), address(DEV_PHRASE));
    }

    #[test]
    fn malformed_uris_have_distinct_errors() {
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
    fn ed25519_has_hard_junctions_only() {
        let ed25519 = |uri| Keypair::from_uri_with(uri, crate::CryptoType::Ed25519);
        assert_eq!(ed25519("//Alice/soft").unwrap_err(), KeyError::SoftJunction);
        assert_eq!(
            ed25519("//Alice").unwrap().public().to_string(),
            "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"
        );
    }

    #[test]
    fn junction_lengths_are_compact_encoded() {
        assert_eq!(compact_length(63), [0xfc]);
        assert_eq!(compact_length(64), [0x01, 0x01]);
        assert_eq!(compact_length(16_384), [0x02, 0x00, 0x01, 0x00]);
    }

    #[test]
    fn keys_depend_on_junctions_and_passwords() {
        assert_ne!(address("//1"), address("//01x"));
        assert_eq!(address("//1"), address("//01"));
        assert_ne!(address("//Alice"), address("/Alice"));
        assert_ne!(address("//Alice"), address("//Alice///password"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn random_text_never_panics(text in "[a-z0-9/ éx]{0,80}") {
            let _ = Keypair::from_uri(&text);
        }
    }
}
