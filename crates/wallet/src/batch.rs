use schnorrkel::{PublicKey, signing_context};
use taonet_primitives::Hotkey;

use crate::public_key::{CONTEXT, sr25519_key};
use crate::{Signature, verify};

/// The number of signatures verified as one group. Larger groups are hardly faster, and one bad
/// signature voids the speed-up of its whole group.
const GROUP_SIZE: usize = 128;

/// A message with its sr25519 signature and claimed signer.
#[derive(Debug, Clone, Copy)]
pub struct SignedMessage<'a> {
    /// The claimed signer.
    pub signer: Hotkey,
    /// The message bytes.
    pub message: &'a [u8],
    /// The signature to verify.
    pub signature: Signature,
}

impl SignedMessage<'_> {
    fn parse(&self) -> Option<(PublicKey, schnorrkel::Signature)> {
        let key = sr25519_key(self.signer.as_bytes())?;
        Some((key, schnorrkel::Signature::from_bytes(self.signature.as_bytes()).ok()?))
    }
}

/// Verifies sr25519 signatures in batches, which is faster than one by one. Returns one result per
/// signature, equal to that of [`verify`].
///
/// A group with a bad signature is verified again one by one, so bad signatures raise the cost to
/// at most about 1.5 times that of single verification.
pub fn verify_batch(items: &[SignedMessage<'_>]) -> Vec<bool> {
    items.chunks(GROUP_SIZE).flat_map(verify_group).collect()
}

fn verify_group(items: &[SignedMessage<'_>]) -> Vec<bool> {
    let parsed: Option<(Vec<_>, Vec<_>)> = items.iter().map(SignedMessage::parse).collect();
    let all_valid = parsed.is_some_and(|(keys, signatures)| {
        let context = signing_context(CONTEXT);
        let transcripts = items.iter().map(|item| context.bytes(item.message));
        schnorrkel::verify_batch(transcripts, &signatures, &keys, false).is_ok()
    });
    if all_valid {
        return vec![true; items.len()];
    }
    items.iter().map(|item| verify(&item.signer, item.message, &item.signature)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Keypair;

    #[test]
    fn batch_verification_finds_exactly_the_invalid_signatures() {
        let keys: Vec<_> =
            (0..7).map(|number| Keypair::from_uri(&format!("//{number}")).unwrap()).collect();
        let messages: Vec<_> = (0..300_usize).map(|number| vec![number as u8; number]).collect();
        let mut items: Vec<_> = messages
            .iter()
            .zip(keys.iter().cycle())
            .map(|(message, key)| SignedMessage {
                signer: key.hotkey(),
                message,
                signature: key.sign(message),
            })
            .collect();
        assert_eq!(verify_batch(&items), vec![true; 300]);
        assert_eq!(verify_batch(&[]), Vec::<bool>::new());

        items[3].message = b"another";
        items[150].signer = Hotkey::from_bytes([0xff; 32]);
        items[299].signature = Signature::from_bytes([0; 64]);
        let invalid: Vec<_> = (0..300).filter(|index| !verify_batch(&items)[*index]).collect();
        assert_eq!(invalid, [3, 150, 299]);
    }

    /// The zero point is the public key of the secret 0, so anyone can sign for it; chains use it
    /// as the account without an owner.
    #[test]
    fn zero_key_verifies_no_signature() {
        let mut signature = [0; 64];
        signature[63] = 0x80;
        let item = SignedMessage {
            signer: Hotkey::from_bytes([0; 32]),
            message: b"anything",
            signature: Signature::from_bytes(signature),
        };
        assert!(!verify(&item.signer, item.message, &item.signature));
        assert_eq!(verify_batch(&[item]), [false]);
    }
}
