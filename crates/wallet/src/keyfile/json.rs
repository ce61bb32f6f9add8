use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use taonet_primitives::{Hotkey, Ss58, Ss58Prefix, bytes_without_bom};
use zeroize::Zeroizing;

use super::{Keyfile, KeyfileError};
use crate::hex_text::{secret_from_hex, secret_to_hex};
use crate::{CryptoType, KeyError, Keypair, Mnemonic, PublicKey};

/// Initial capacity of the output buffer: more than any keyfile needs, so that the buffer never
/// reallocates.
const OUTPUT_CAPACITY: usize = 2048;

/// The fields of a keyfile; any may be absent or null.
#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_phrase: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_seed: Option<Zeroizing<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ss58_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "crypto_type_number")]
    crypto_type: Option<u8>,
}

/// Parses `cryptoType` from a number or from the text `"1"` (sr25519). Other texts are refused,
/// because Bittensor's wallet reads every text as sr25519.
fn crypto_type_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Number(u8),
        Text(String),
    }

    match Option::deserialize(deserializer)? {
        None => Ok(None),
        Some(Number::Number(number)) => Ok(Some(number)),
        Some(Number::Text(text)) if text == "1" => Ok(Some(CryptoType::Sr25519.number())),
        Some(Number::Text(_)) => Err(D::Error::custom("cryptoType is not a number")),
    }
}

pub(super) fn read(text: &[u8]) -> Result<Keyfile, KeyfileError> {
    let text = bytes_without_bom(text);
    // Serde would also accept an array, and fill the fields by position.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(KeyfileError::Json { line: 1, column: 1 });
    }
    let fields: Fields = serde_json::from_slice(text)
        .map_err(|error| KeyfileError::Json { line: error.line(), column: error.column() })?;
    let crypto_type = fields.crypto_type.map_or(Ok(CryptoType::Sr25519), CryptoType::try_from)?;
    let stated_public = fields.stated_keys()?;
    let keyfile = match fields.secret_keyfile(crypto_type)? {
        Some(keyfile) => keyfile,
        None => Keyfile::from_public(PublicKey::new(
            *stated_public.first().ok_or(KeyfileError::Empty)?,
            crypto_type,
        )),
    };
    match stated_public.into_iter().find(|key| key != keyfile.public.as_bytes()) {
        Some(key) => Err(KeyfileError::Mismatch {
            stated: Hotkey::from_bytes(key),
            derived: keyfile.public.hotkey(),
        }),
        None => Ok(keyfile),
    }
}

/// The address and scheme of a keyfile, which are not secret.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicFields {
    ss58_address: Hotkey,
    #[serde(default, deserialize_with = "crypto_type_number")]
    crypto_type: Option<u8>,
}

pub(super) fn stated_public(text: &[u8]) -> Option<PublicKey> {
    let fields: PublicFields = serde_json::from_slice(bytes_without_bom(text)).ok()?;
    let crypto_type =
        fields.crypto_type.map_or(Ok(CryptoType::Sr25519), CryptoType::try_from).ok()?;
    Some(PublicKey::new(*fields.ss58_address.as_bytes(), crypto_type))
}

impl Fields {
    /// Returns every public key stated in the file.
    fn stated_keys(&self) -> Result<Vec<[u8; 32]>, KeyfileError> {
        let mut keys = Vec::new();
        if let Some(address) = &self.ss58_address {
            keys.push(address.parse::<Ss58>()?.key_with_prefix(Ss58Prefix::BITTENSOR)?);
        }
        for digits in [&self.public_key, &self.account_id].into_iter().flatten() {
            keys.push(*secret_from_hex(digits).ok_or(KeyError::PublicKey)?);
        }
        Ok(keys)
    }

    /// Returns the first secret in the file, in the order phrase, seed, private key. A private key
    /// beside another secret must match it.
    fn secret_keyfile(&self, crypto_type: CryptoType) -> Result<Option<Keyfile>, KeyfileError> {
        let Some(keyfile) = self.first_secret(crypto_type)? else { return Ok(None) };
        let pair = self.private_key.as_ref().and_then(|text| private_key(text, crypto_type).ok());
        match pair
            .map(|pair| pair.public())
            .filter(|stated_public| *stated_public != keyfile.public)
        {
            Some(stated_public) => Err(KeyfileError::Mismatch {
                stated: stated_public.hotkey(),
                derived: keyfile.public.hotkey(),
            }),
            None => Ok(Some(keyfile)),
        }
    }

    fn first_secret(&self, crypto_type: CryptoType) -> Result<Option<Keyfile>, KeyError> {
        if let Some(phrase) = &self.secret_phrase {
            return Ok(Some(Keyfile::from_mnemonic(&Mnemonic::parse(phrase)?, crypto_type)));
        }
        let seed =
            self.secret_seed.as_ref().map(|text| secret_from_hex(text).ok_or(KeyError::Seed));
        match (seed, &self.private_key) {
            (Some(Ok(seed)), _) => Ok(Some(Keyfile::from_seed(&seed, crypto_type))),
            // Wallet 4.1.1 wrote some seeds as raw text after 0x; such a file still has its private
            // key.
            (_, Some(key)) => {
                private_key(key, crypto_type).map(|pair| Some(Keyfile::from_keypair(pair)))
            }
            (Some(Err(error)), None) => Err(error),
            (None, None) => Ok(None),
        }
    }
}

fn private_key(text: &str, crypto_type: CryptoType) -> Result<Keypair, KeyError> {
    match crypto_type {
        CryptoType::Sr25519 => {
            Keypair::from_private_key(&*secret_from_hex::<64>(text).ok_or(KeyError::PrivateKey)?)
        }
        CryptoType::Ed25519 => {
            let seed = secret_from_hex::<32>(text).ok_or(KeyError::PrivateKey)?;
            Ok(Keypair::from_seed_with(&seed, crypto_type))
        }
    }
}

#[expect(clippy::expect_used, reason = "strings and a number always serialize to JSON")]
pub(super) fn write(keyfile: &Keyfile) -> Zeroizing<Vec<u8>> {
    let public = secret_to_hex(keyfile.public.as_bytes()).to_string();
    let fields = Fields {
        account_id: Some(public.clone()),
        public_key: Some(public),
        private_key: keyfile.pair.as_ref().map(|pair| secret_to_hex(&pair.to_private_key())),
        secret_phrase: keyfile.mnemonic.as_ref().map(Mnemonic::phrase),
        secret_seed: keyfile.seed.as_ref().map(|seed| secret_to_hex(seed)),
        ss58_address: Some(keyfile.public.to_string()),
        crypto_type: Some(keyfile.public.crypto_type().number()),
    };
    let mut text = Zeroizing::new(Vec::with_capacity(OUTPUT_CAPACITY));
    serde_json::to_writer(&mut *text, &fields).expect("a keyfile is JSON");
    text
}
