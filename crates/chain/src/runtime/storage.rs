use std::borrow::Cow;

use serde_json::Value as Json;
use subxt::ext::frame_decode::storage::{
    StorageInfo, StorageTypeInfo, encode_storage_key_prefix, encode_storage_key_with_info,
};
use subxt::ext::scale_decode::DecodeAsType;
use subxt::ext::scale_value::Value;
use subxt::ext::scale_value::scale::encode_as_type;
use subxt::metadata::StorageMetadata;
use taonet_primitives::counted;
use taonet_scale_json::{JsonError, to_json, to_value};

use super::{Runtime, check_consumed, first_doc_line};
use crate::{ChainError, StorageItem};

/// The length of the key prefix in bytes: the hashes of pallet and item.
const PREFIX_BYTES: usize = 32;

impl Runtime {
    /// Encodes the storage key of a value. With fewer keys than the map has, returns the common
    /// prefix of its entries' storage keys.
    pub(crate) fn storage_key(
        &self,
        pallet: &str,
        item: &str,
        keys: &[Value],
    ) -> Result<Vec<u8>, ChainError> {
        let info = self.storage_info(pallet, item)?;
        encode_storage_key_with_info(pallet, item, keys.to_vec(), &info, self.types())
            .map_err(|error| ChainError::encode(describe_item(pallet, item), error))
    }

    /// Encodes the storage key of a value from JSON keys. With fewer keys than the map has, returns
    /// the common prefix of its entries' storage keys.
    pub(crate) fn storage_key_of_json(
        &self,
        pallet: &str,
        item: &str,
        keys: &[Json],
    ) -> Result<Vec<u8>, ChainError> {
        let info = self.storage_info(pallet, item)?;
        let values = info
            .keys
            .iter()
            .zip(keys)
            .map(|(key, json)| to_value(json, key.key_id, self.types(), "key"));
        let values: Result<Vec<Value>, JsonError> = values.collect();
        self.storage_key(
            pallet,
            item,
            &values.map_err(|error| ChainError::encode(describe_item(pallet, item), error))?,
        )
    }

    /// Encodes the storage key and the value of an item from JSON, with all keys of the item.
    pub(crate) fn storage_entry_of_json(
        &self,
        pallet: &str,
        item: &str,
        keys: &[Json],
        value: Option<&Json>,
    ) -> Result<(Vec<u8>, Option<Vec<u8>>), ChainError> {
        let info = self.storage_info(pallet, item)?;
        if info.keys.len() != keys.len() {
            let error = WrongKeyCount { expected: info.keys.len(), actual: keys.len() };
            return Err(ChainError::encode(describe_item(pallet, item), error));
        }
        let key = self.storage_key_of_json(pallet, item, keys)?;
        let Some(json) = value else { return Ok((key, None)) };
        let value = to_value(json, info.value_id, self.types(), "value")
            .map_err(|error| ChainError::encode(describe_item(pallet, item), error))?;
        let mut bytes = Vec::new();
        encode_as_type(&value, info.value_id, self.types(), &mut bytes)
            .map_err(|error| ChainError::encode(describe_item(pallet, item), error))?;
        Ok((key, Some(bytes)))
    }

    /// Decodes a storage value. Without bytes, decodes the item's default; `None` if the item has
    /// no default.
    pub(crate) fn storage_value<T: DecodeAsType>(
        &self,
        pallet: &str,
        item: &str,
        bytes: Option<&[u8]>,
    ) -> Result<Option<T>, ChainError> {
        let info = self.storage_info(pallet, item)?;
        let bytes = bytes.or(info.default_value.as_deref());
        bytes
            .map(|bytes| self.decode(&describe_item(pallet, item), bytes, info.value_id))
            .transpose()
    }

    /// Decodes a storage value to JSON. Without bytes, decodes the item's default; `None` if the
    /// item has no default.
    pub(crate) fn storage_value_json(
        &self,
        pallet: &str,
        item: &str,
        bytes: Option<&[u8]>,
    ) -> Result<Option<Json>, ChainError> {
        let info = self.storage_info(pallet, item)?;
        let bytes = bytes.or(info.default_value.as_deref());
        bytes
            .map(|bytes| self.decode_json(&describe_item(pallet, item), bytes, info.value_id))
            .transpose()
    }

    /// Decodes the keys of a map entry, provided that the map's hashers preserve them.
    pub(crate) fn storage_keys<T: StorageKeys>(
        &self,
        pallet: &str,
        item: &str,
        key: &[u8],
    ) -> Result<T, ChainError> {
        T::decode_keys(self, pallet, item, key)
    }

    /// Returns the storage items of all pallets.
    pub(crate) fn storage_items(&self) -> Vec<StorageItem> {
        let mut items = Vec::new();
        for pallet in self.metadata().pallets() {
            items.extend(pallet.storage().into_iter().flat_map(StorageMetadata::entries).map(
                |entry| StorageItem {
                    pallet: pallet.name().to_owned(),
                    name: entry.name().to_owned(),
                    keys: entry.keys().len(),
                    summary: first_doc_line(entry.docs()),
                },
            ));
        }
        items
    }

    pub(crate) fn storage_info(
        &self,
        pallet: &str,
        item: &str,
    ) -> Result<StorageInfo<'_, u32>, ChainError> {
        self.metadata()
            .storage_info(pallet, item)
            .map_err(|_| self.missing_error(&describe_item(pallet, item)))
    }

    /// Splits a storage key into the type and bytes of each map key. The key comes from a node and
    /// may be malformed.
    fn key_parts<'a>(
        &self,
        pallet: &str,
        item: &str,
        key: &'a [u8],
    ) -> Result<Vec<(u32, &'a [u8])>, ChainError> {
        let subject = format!("a key of {}", describe_item(pallet, item));
        if key.get(..PREFIX_BYTES) != Some(&encode_storage_key_prefix(pallet, item)) {
            return Err(ChainError::decode(subject.as_str(), KeyError::Prefix));
        }
        let mut remaining = key.get(PREFIX_BYTES..).unwrap_or_default();
        let mut parts = Vec::new();
        for part in &*self.storage_info(pallet, item)?.keys {
            let value = remaining.get(part.hasher.len_excluding_key()..);
            let value =
                value.ok_or_else(|| ChainError::decode(subject.as_str(), KeyError::Short))?;
            if !part.hasher.ends_with_key() {
                return Err(ChainError::decode(subject.as_str(), KeyError::Hashed));
            }
            let length = taonet_scale_json::encoded_len(value, part.key_id, self.types());
            let length = length.map_err(|error| ChainError::decode(subject.as_str(), error))?;
            let (value, following) = value.split_at_checked(length).unwrap_or((value, &[]));
            parts.push((part.key_id, value));
            remaining = following;
        }
        check_consumed(&subject, remaining)?;
        Ok(parts)
    }
}

/// Rust types that decode from the keys of a map entry.
pub(crate) trait StorageKeys: Sized {
    fn decode_keys(
        runtime: &Runtime,
        pallet: &str,
        item: &str,
        key: &[u8],
    ) -> Result<Self, ChainError>;
}

/// Decodes each key to JSON.
impl StorageKeys for Vec<Json> {
    fn decode_keys(
        runtime: &Runtime,
        pallet: &str,
        item: &str,
        key: &[u8],
    ) -> Result<Self, ChainError> {
        runtime
            .key_parts(pallet, item, key)?
            .into_iter()
            .map(|(type_id, mut bytes)| {
                let value = taonet_scale_json::decode(&mut bytes, type_id, runtime.types());
                value.map(|value| to_json(&value, runtime.types())).map_err(|error| {
                    ChainError::decode(format!("a key of {}", describe_item(pallet, item)), error)
                })
            })
            .collect()
    }
}

/// The last key of a map entry, without the others.
#[derive(Debug)]
pub(crate) struct LastKey<T>(pub(crate) T);

impl<T: DecodeAsType> StorageKeys for LastKey<T> {
    fn decode_keys(
        runtime: &Runtime,
        pallet: &str,
        item: &str,
        key: &[u8],
    ) -> Result<Self, ChainError> {
        let subject = format!("a key of {}", describe_item(pallet, item));
        let parts = runtime.key_parts(pallet, item, key)?;
        let (type_id, bytes) =
            parts.last().ok_or_else(|| ChainError::decode(subject.as_str(), KeyError::Hashed))?;
        runtime.decode(&subject, bytes, *type_id).map(Self)
    }
}

/// An entry of a storage item is not determined by this number of keys.
#[derive(Debug, thiserror::Error)]
#[error("expected {}, not {actual}", counted(*expected, "key"))]
struct WrongKeyCount {
    expected: usize,
    actual: usize,
}

/// Why a storage key is malformed.
#[derive(Debug, thiserror::Error)]
enum KeyError {
    #[error("the key belongs to another storage item")]
    Prefix,
    #[error("the key is too short")]
    Short,
    #[error("the key contains only a hash")]
    Hashed,
}

fn describe_item(pallet: &str, item: &str) -> Cow<'static, str> {
    format!("storage {pallet}.{item}").into()
}
