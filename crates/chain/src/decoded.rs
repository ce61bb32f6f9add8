use serde::Serialize;
use taonet_primitives::{AccountId, ExtrinsicHash, Rao};

use crate::extrinsic::hex_bytes;
use crate::hash::blake2_256;

/// Bytes decoded with a runtime's metadata; see [`Client::inspect`](crate::Client::inspect).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decoded {
    /// An extrinsic with its length prefix.
    Extrinsic(DecodedExtrinsic),
    /// A call alone, such as the argument of a proxy or multisig call.
    Call(DecodedCall),
}

/// A call, decoded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecodedCall {
    /// The pallet, e.g. `Balances`.
    pub pallet: String,
    /// The name of the call, e.g. `transfer_keep_alive`.
    pub name: String,
    /// The arguments, in the form of [`Event::fields`](crate::Event::fields).
    pub args: serde_json::Value,
    /// The encoded call.
    #[serde(serialize_with = "hex_bytes::serialize")]
    pub data: Vec<u8>,
}

impl DecodedCall {
    /// Returns the BLAKE2b-256 hash of the encoded call, by which proxies and multisigs identify
    /// it.
    pub fn hash(&self) -> [u8; 32] {
        blake2_256(&self.data)
    }
}

/// An extrinsic, decoded without its block.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecodedExtrinsic {
    /// The hash of the encoded extrinsic.
    pub hash: ExtrinsicHash,
    /// The account that signed the extrinsic; `None` if it is unsigned.
    pub signer: Option<AccountId>,
    /// The signer's nonce; `None` if the extrinsic has none.
    pub nonce: Option<u64>,
    /// The tip; `None` if the extrinsic has none.
    pub tip: Option<Rao>,
    /// The era; `None` if the extrinsic is immortal or unsigned.
    pub era: Option<Mortality>,
    /// The call.
    pub call: DecodedCall,
}

/// The era of a mortal extrinsic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Mortality {
    /// The length of the era, in blocks.
    pub period: u32,
    /// The number of the era's first block, modulo the period.
    pub phase: u32,
}

impl Mortality {
    /// Decodes the two bytes of a mortal era.
    pub(crate) fn from_bytes(bytes: [u8; 2]) -> Option<Self> {
        let encoded = u32::from(u16::from_le_bytes(bytes));
        let exponent = encoded.checked_rem(16)?;
        let period = 2_u32.checked_shl(exponent)?;
        let unit = period.checked_div(4096)?.max(1);
        Some(Self { period, phase: encoded.checked_div(16)?.checked_mul(unit)? })
    }
}

/// A call of the runtime, as its metadata describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallInfo {
    /// The pallet, e.g. `Balances`.
    pub pallet: String,
    /// The name of the call, e.g. `transfer_keep_alive`.
    pub name: String,
    /// The arguments, in order.
    pub arguments: Vec<ArgumentInfo>,
    /// The first line of the call's documentation.
    pub summary: String,
}

/// An argument of a call, as the metadata describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArgumentInfo {
    /// The name of the argument.
    pub name: String,
    /// The name of its type in the pallet's source.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// A storage item of the runtime, as its metadata describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageItem {
    /// The pallet, e.g. `SubtensorModule`.
    pub pallet: String,
    /// The name of the item, e.g. `Tempo`.
    pub name: String,
    /// The number of keys; 0 for an item with a single value.
    pub keys: usize,
    /// The first line of the item's documentation.
    pub summary: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eras_are_decoded_as_documented() {
        // Examples of the Polkadot specification, and the longest period, whose phase has a unit of
        // 16 blocks.
        for (bytes, period, phase) in [
            ([0x4e, 0x9c], 32_768, 20_000),
            ([0xc5, 0x02], 64, 44),
            ([0x11, 0x00], 4, 1),
            ([0x1f, 0x00], 65_536, 16),
        ] {
            assert_eq!(
                Mortality::from_bytes(bytes),
                Some(Mortality { period, phase }),
                "{bytes:?}"
            );
        }
    }
}
