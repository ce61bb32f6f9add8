use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use taonet_primitives::Hotkey;
use taonet_wallet::{Keypair, Signature};
use taonet_wire::{Clock, SystemClock};

use crate::proof::{sign_exchange, sign_key};
use crate::{FernetError, FiberRules, KeyStore, KeyStoreFull, RsaError, RsaKey};

/// Response to `GET /public-encryption-key`: the miner's RSA key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublicKeyMessage {
    /// The miner's public key: SubjectPublicKeyInfo in PEM.
    pub public_key: String,
    /// Time on the miner's clock, in seconds since the Unix epoch.
    #[serde(deserialize_with = "deserialize_exact")]
    pub timestamp: f64,
}

/// Parses a number without rounding: its text is signed, and the default JSON parser may differ in
/// the last bit.
fn deserialize_exact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let text = Box::<RawValue>::deserialize(deserializer)?;
    text.get().parse().map_err(|_| D::Error::custom("expected a number"))
}

/// Body of `POST /exchange-symmetric-key`: the validator's symmetric key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeMessage {
    /// The 32-byte key, encrypted with the miner's RSA key, in standard base64.
    pub encrypted_symmetric_key: String,
}

/// Response to a key exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeReply {
    /// Human-readable status.
    pub status: String,
}

/// A miner's side of the handshake: hotkey, RSA key, and the symmetric keys that validators have
/// sent.
#[derive(Clone)]
pub struct MinerHandshake(Arc<HandshakeState>);

struct HandshakeState {
    keypair: Keypair,
    rsa: RsaKey,
    symmetric_keys: KeyStore,
    rules: FiberRules,
    clock: Arc<dyn Clock>,
}

/// Why the miner rejected a symmetric key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ExchangeError {
    #[error(transparent)]
    Rsa(#[from] RsaError),
    #[error(transparent)]
    Full(#[from] KeyStoreFull),
}

/// Why a body could not be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DecryptError {
    #[error("No symmetric key found for that hotkey and uuid")]
    UnknownKey,
    #[error(transparent)]
    Token(#[from] FernetError),
    #[error("Fernet token does not contain JSON")]
    NotJson,
}

impl MinerHandshake {
    /// Creates the handshake state of a miner, without symmetric keys.
    pub fn new(keypair: Keypair, rsa: RsaKey, rules: FiberRules) -> Self {
        Self::with_clock(keypair, rsa, rules, Arc::new(SystemClock))
    }

    /// Creates the handshake state of a miner with the given clock.
    pub fn with_clock(
        keypair: Keypair,
        rsa: RsaKey,
        rules: FiberRules,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(HandshakeState {
            keypair,
            rsa,
            symmetric_keys: KeyStore::default(),
            rules,
            clock,
        }))
    }

    /// Returns the miner's hotkey.
    pub fn hotkey(&self) -> Hotkey {
        self.0.keypair.hotkey()
    }

    pub(crate) fn rules(&self) -> FiberRules {
        self.0.rules
    }

    /// Returns the public key message and the hotkey's signature over the key.
    pub(crate) fn public_key(&self) -> (PublicKeyMessage, Signature) {
        let timestamp = Duration::from_nanos(self.0.clock.now_ns()).as_secs_f64();
        let public_key = self.0.rsa.public_pem().to_owned();
        let signature = sign_key(&self.0.keypair, &public_key, timestamp);
        (PublicKeyMessage { public_key, timestamp }, signature)
    }

    /// Stores a validator's symmetric key; returns the hotkey's signature that confirms it.
    pub(crate) fn exchange(
        &self,
        validator: Hotkey,
        key_id: &str,
        message: &ExchangeMessage,
    ) -> Result<Signature, ExchangeError> {
        let key = self.0.rsa.decrypt(&message.encrypted_symmetric_key)?;
        let signature = sign_exchange(&self.0.keypair, &validator, key_id, &key);
        self.0.symmetric_keys.insert(validator, key_id.to_owned(), key, self.0.clock.now_ns())?;
        Ok(signature)
    }

    /// Decrypts a request body; returns the JSON text inside the token.
    pub(crate) fn open(
        &self,
        validator: &Hotkey,
        key_id: &str,
        token: &[u8],
    ) -> Result<Vec<u8>, DecryptError> {
        let key = self
            .0
            .symmetric_keys
            .get(validator, key_id, self.0.clock.now_ns())
            .ok_or(DecryptError::UnknownKey)?;
        let text = key.open(token)?;
        serde_json::from_slice::<serde::de::IgnoredAny>(&text)
            .map_err(|_| DecryptError::NotJson)?;
        Ok(text)
    }
}

impl fmt::Debug for MinerHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MinerHandshake").field("hotkey", &self.hotkey()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signature covers the number's text, so that a rounded number would invalidate the
    /// signature.
    #[test]
    fn timestamps_are_parsed_exactly() {
        for step in 0..20_000 {
            let timestamp =
                Duration::from_nanos(1_795_260_844_123_456_789 + step * 7_919).as_secs_f64();
            let message = PublicKeyMessage { public_key: String::new(), timestamp };
            let text = serde_json::to_vec(&message).unwrap();
            let read: PublicKeyMessage = serde_json::from_slice(&text).unwrap();
            assert_eq!(read.timestamp.to_bits(), timestamp.to_bits(), "{timestamp}");
        }
        assert!(
            serde_json::from_str::<PublicKeyMessage>(r#"{"public_key": "", "timestamp": "1"}"#)
                .is_err()
        );
    }
}
