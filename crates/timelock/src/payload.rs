//! The plaintext of a timelocked weights commit.

use codec::{DecodeAll as _, Encode as _};
use taonet_primitives::{Hotkey, Uid};

/// Why bytes are not a weights payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The bytes are not a SCALE-encoded payload.
    #[error("the decrypted commit is malformed, expected hotkey, uids, values and version key (SCALE)")]
    Form,
}

/// The plaintext of a timelocked commit (version 4): weights with their hotkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightsPayload {
    /// The hotkey that commits the weights; the chain refuses a payload in the commit of any other hotkey.
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
    /// [`PayloadError::Form`] when the bytes are malformed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PayloadError> {
        let (hotkey, uids, values, version_key) =
            <(Vec<u8>, Vec<u16>, Vec<u16>, u64)>::decode_all(&mut &*bytes).map_err(|_| PayloadError::Form)?;
        let hotkey = hotkey.try_into().map_err(|_| PayloadError::Form)?;
        let uids = uids.into_iter().map(Uid).collect();
        Ok(Self { hotkey: Hotkey::from_bytes(hotkey), uids, values, version_key })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_form_is_the_chains() {
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
    fn a_hotkey_has_32_bytes() {
        let short = ([1_u8; 31].as_slice(), Vec::<u16>::new(), Vec::<u16>::new(), 0_u64).encode();
        assert_eq!(WeightsPayload::from_bytes(&short), Err(PayloadError::Form));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(hotkey: [u8; 32], uids: Vec<u16>, values: Vec<u16>, version_key: u64) {
            let uids = uids.into_iter().map(Uid).collect();
            let payload = WeightsPayload { hotkey: Hotkey::from_bytes(hotkey), uids, values, version_key };
            let bytes = payload.to_bytes();
            prop_assert_eq!(WeightsPayload::from_bytes(&bytes), Ok(payload));
            prop_assert_eq!(WeightsPayload::from_bytes(&[&bytes[..], &[0]].concat()), Err(PayloadError::Form));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = WeightsPayload::from_bytes(&bytes);
        }
    }
}
