use subxt::ext::scale_value::Value;

use crate::Call;

/// Builds a call that submits an encrypted extrinsic; see
/// [`Chain::shield_key`](crate::Chain::shield_key). The author of the block decrypts it and
/// includes it in the same block.
pub fn submit_encrypted(ciphertext: &[u8]) -> Call {
    Call::new("MevShield", "submit_encrypted", vec![("ciphertext", Value::from_bytes(ciphertext))])
}
