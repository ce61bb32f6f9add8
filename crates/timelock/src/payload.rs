//! The plaintext of a timelocked weights commit.

use codec::{Decode as _, DecodeAll as _, Encode as _};
use taonet_primitives::{Hotkey, Uid};

/// Why bytes are not a weights payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The bytes are not a SCALE-encoded payload.
    #[error(
        "the decrypted commit is malformed, expected hotkey, uids, values and version key (SCALE)"
    )]
    Malformed,
    /// The payload has the weights of another hotkey than the commit's.
    #[error("the decrypted commit has the weights of another hotkey")]
    Hotkey,
}

/// The plaintext of a timelocked commit (version 4): weights with their hotkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightsPayload {
    /// The hotkey that commits the weights; the chain refuses a payload in the commit of any other
    /// hotkey.
    pub hotkey: Hotkey,
    /// The uids of the weighted neurons.
    pub uids: Vec<Uid>,
    /// The weights, in the order of `uids`.
    pub values: Vec<u16>,
    /// The version key: the version of the validator's code.
    pub version_key: u64,
}

impl WeightsPayload {
    /// Encodes the plaintext in SCALE: hotkey as a byte vector, uids, values, version key.
    pub fn to_bytes(&self) -> Vec<u8> {
        let uids: Vec<u16> = self.uids.iter().map(|uid| uid.0).collect();
        (self.hotkey.as_bytes().as_slice(), uids, &self.values, self.version_key).encode()
    }

    /// Decodes a decrypted plaintext.
    ///
    /// # Errors
    /// [`PayloadError::Malformed`] when the bytes are malformed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PayloadError> {
        let (hotkey, uids, values, version_key) =
            <(Vec<u8>, Vec<u16>, Vec<u16>, u64)>::decode_all(&mut &*bytes)
                .map_err(|_| PayloadError::Malformed)?;
        let hotkey = hotkey.try_into().map_err(|_| PayloadError::Malformed)?;
        let uids = uids.into_iter().map(Uid).collect();
        Ok(Self { hotkey: Hotkey::from_bytes(hotkey), uids, values, version_key })
    }

    /// Decodes the decrypted commit of `hotkey` as the chain does. Payloads of older clients have
    /// no hotkey, and bytes after the payload are ignored.
    ///
    /// # Errors
    /// [`PayloadError::Malformed`] when the bytes are malformed, [`PayloadError::Hotkey`] when the
    /// weights are those of another hotkey.
    pub fn from_commit(hotkey: Hotkey, bytes: &[u8]) -> Result<Self, PayloadError> {
        let decoded = <(Vec<u8>, Vec<u16>, Vec<u16>, u64)>::decode(&mut &*bytes).ok();
        let decoded = decoded.and_then(|(owner, uids, values, version_key)| {
            Some((Hotkey::from_bytes(*owner.first_chunk()?), uids, values, version_key))
        });
        let (uids, values, version_key) = match decoded {
            Some((owner, ..)) if owner != hotkey => return Err(PayloadError::Hotkey),
            Some((_, uids, values, version_key)) => (uids, values, version_key),
            None => <(Vec<u16>, Vec<u16>, u64)>::decode(&mut &*bytes)
                .map_err(|_| PayloadError::Malformed)?,
        };
        Ok(Self { hotkey, uids: uids.into_iter().map(Uid).collect(), values, version_key })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn payload_has_the_encoding_of_the_chain() {
        let payload = WeightsPayload {
            hotkey: Hotkey::from_bytes([0xab; 32]),
            uids: vec![Uid(0), Uid(258)],
            values: vec![65_535, 1],
            version_key: 3,
        };
        let expected = format!("80{}080000020108ffff01000300000000000000", "ab".repeat(32));
        assert_eq!(hex::encode(payload.to_bytes()), expected);
    }

    #[test]
    fn payload_with_short_hotkey_is_malformed() {
        let short = ([1_u8; 31].as_slice(), Vec::<u16>::new(), Vec::<u16>::new(), 0_u64).encode();
        assert_eq!(WeightsPayload::from_bytes(&short), Err(PayloadError::Malformed));
    }

    #[test]
    fn commit_of_another_hotkey_is_rejected() {
        let hotkey = Hotkey::from_bytes([0xab; 32]);
        let payload = WeightsPayload {
            hotkey,
            uids: vec![Uid(0), Uid(258)],
            values: vec![65_535, 1],
            version_key: 3,
        };
        let bytes = payload.to_bytes();
        assert_eq!(WeightsPayload::from_commit(hotkey, &bytes), Ok(payload.clone()));
        assert_eq!(
            WeightsPayload::from_commit(hotkey, &[&bytes[..], &[0]].concat()),
            Ok(payload.clone())
        );
        let other = Hotkey::from_bytes([0xac; 32]);
        assert_eq!(WeightsPayload::from_commit(other, &bytes), Err(PayloadError::Hotkey));
        // Older clients encrypt the weights alone.
        assert_eq!(WeightsPayload::from_commit(hotkey, &bytes[33..]), Ok(payload));
        for end in [0, 8, bytes.len() - 1] {
            assert_eq!(
                WeightsPayload::from_commit(hotkey, &bytes[..end]),
                Err(PayloadError::Malformed),
                "{end} bytes"
            );
        }
    }

    proptest! {
        #[test]
        fn encoded_payload_decodes_to_itself(hotkey: [u8; 32], uids: Vec<u16>, values: Vec<u16>, version_key: u64) {
            let uids = uids.into_iter().map(Uid).collect();
            let payload = WeightsPayload { hotkey: Hotkey::from_bytes(hotkey), uids, values, version_key };
            let bytes = payload.to_bytes();
            prop_assert_eq!(WeightsPayload::from_bytes(&bytes), Ok(payload));
            prop_assert_eq!(WeightsPayload::from_bytes(&[&bytes[..], &[0]].concat()), Err(PayloadError::Malformed));
        }

        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let _ = WeightsPayload::from_bytes(&bytes);
            let _ = WeightsPayload::from_commit(Hotkey::from_bytes([0; 32]), &bytes);
        }
    }
}
