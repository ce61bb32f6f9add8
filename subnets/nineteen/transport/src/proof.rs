//! Signatures that bind a miner's keys to its hotkey, in headers that fiber's clients ignore.

use sha2::{Digest, Sha256};
use taonet_primitives::Hotkey;
use taonet_wallet::{Keypair, Signature, verify};

use crate::FernetKey;

/// Header of the public key response: the signature over [`key_text`].
pub(crate) const KEY_SIGNATURE: &str = "x-taonet-key-signature";
/// Header of the exchange response: the signature over [`exchange_text`].
pub(crate) const EXCHANGE_SIGNATURE: &str = "x-taonet-exchange-signature";

/// Returns the signed text of the public key, with the timestamp of the response.
fn key_text(miner: &Hotkey, public_key: &str, timestamp: f64) -> String {
    let hash = hex::encode(Sha256::digest(public_key));
    format!("taonet-fiber/1 key {miner} {timestamp} {hash}")
}

/// Returns the signed text of the key exchange, which commits to the symmetric key's hash and ID
/// and the validator.
fn exchange_text(miner: &Hotkey, validator: &Hotkey, key_id: &str, key: &FernetKey) -> String {
    let hash = hex::encode(key.digest());
    format!("taonet-fiber/1 exchange {miner} {validator} {hash} {key_id}")
}

pub(crate) fn sign_key(keypair: &Keypair, public_key: &str, timestamp: f64) -> Signature {
    keypair.sign(key_text(&keypair.hotkey(), public_key, timestamp).as_bytes())
}

pub(crate) fn sign_exchange(
    keypair: &Keypair,
    validator: &Hotkey,
    key_id: &str,
    key: &FernetKey,
) -> Signature {
    keypair.sign(exchange_text(&keypair.hotkey(), validator, key_id, key).as_bytes())
}

pub(crate) fn verify_key_signature(
    miner: &Hotkey,
    public_key: &str,
    timestamp: f64,
    signature: &Signature,
) -> bool {
    verify(miner, key_text(miner, public_key, timestamp).as_bytes(), signature)
}

pub(crate) fn verify_exchange_signature(
    miner: &Hotkey,
    validator: &Hotkey,
    key_id: &str,
    key: &FernetKey,
    signature: &Signature,
) -> bool {
    verify(miner, exchange_text(miner, validator, key_id, key).as_bytes(), signature)
}
