//! Comparison of our decoded values with the JSON of the recorded client.

use frame_metadata::v15::{
    StorageEntryMetadata, StorageEntryModifier, StorageEntryType, StorageHasher,
};
use scale_info::TypeDef;
use scale_info::form::PortableForm;
use scale_value::{Composite, Primitive, Value, ValueDef};
use serde_json::Value as Json;
use sp_core::crypto::{AccountId32, Ss58Codec};
use sp_io::hashing::{blake2_128, twox_64, twox_128};

use crate::vectors;

/// Decodes bytes completely as one of our types, and checks that the value encodes to the same
/// bytes.
pub(crate) fn round_trip(id: u32, bytes: &[u8]) -> Result<Value<u32>, String> {
    let types = &vectors::localnet_metadata().types;
    let mut remaining = bytes;
    let value = scale_value::scale::decode_as_type(&mut remaining, id, types)
        .map_err(|error| error.to_string())?;
    if !remaining.is_empty() {
        return Err(format!("{} bytes too many", remaining.len()));
    }
    let mut reencoded = Vec::new();
    scale_value::scale::encode_as_type(&value, id, types, &mut reencoded)
        .map_err(|error| error.to_string())?;
    if reencoded != bytes {
        return Err(format!("{} became {}", hex::encode(bytes), hex::encode(reencoded)));
    }
    Ok(value)
}

/// Asserts that a value agrees with the JSON of the recorded client.
pub(crate) fn assert_agrees(value: &Value<u32>, json: &Json) {
    assert!(agrees(value, json), "{value:?} is not {json}");
}

fn agrees(value: &Value<u32>, json: &Json) -> bool {
    match (&value.value, json) {
        (ValueDef::Primitive(primitive), json) => primitive_agrees(primitive, json),
        (ValueDef::Variant(variant), Json::Null) => variant.name == "None",
        (ValueDef::Variant(variant), Json::String(name)) if variant.values.is_empty() => {
            variant.name == *name
        }
        (ValueDef::Variant(variant), Json::Object(object))
            if object.contains_key(&variant.name) =>
        {
            composite_agrees(&variant.values, &object[&variant.name])
        }
        // Accounts are written without the address variant, and optional values without the option.
        (ValueDef::Variant(variant), json) if ["Id", "Some"].contains(&variant.name.as_str()) => {
            composite_agrees(&variant.values, json)
        }
        (ValueDef::Composite(composite), json) => composite_agrees(composite, json),
        _ => false,
    }
}

fn primitive_agrees(primitive: &Primitive, json: &Json) -> bool {
    match primitive {
        Primitive::Bool(value) => json.as_bool() == Some(*value),
        Primitive::String(text) => json.as_str() == Some(text),
        Primitive::U128(number) => number_agrees(&number.to_string(), json),
        Primitive::I128(number) => number_agrees(&number.to_string(), json),
        other => panic!("{other:?} is not in the recorded values"),
    }
}

/// Compares a number with JSON. Numbers above 64 bits may have become floats when the JSON was
/// parsed; their bytes are compared elsewhere.
fn number_agrees(number: &str, json: &Json) -> bool {
    json.is_number() && (*json == number || json.as_f64() == number.parse().ok())
}

pub(crate) fn composite_agrees(composite: &Composite<u32>, json: &Json) -> bool {
    match (composite, json) {
        (Composite::Named(fields), Json::Object(object)) => {
            fields.len() == object.len()
                && fields
                    .iter()
                    .all(|(name, value)| object.get(name).is_some_and(|json| agrees(value, json)))
        }
        (Composite::Unnamed(values), Json::Array(list)) if values.len() == list.len() => {
            values.iter().zip(list).all(|(value, json)| agrees(value, json))
                || newtype_agrees(values, json)
        }
        (Composite::Unnamed(values), Json::String(text)) => {
            bytes_of(values).is_some_and(|bytes| decode_bytes(text) == Some(bytes))
                || newtype_agrees(values, json)
        }
        (Composite::Unnamed(values), json) => newtype_agrees(values, json),
        _ => false,
    }
}

fn newtype_agrees(values: &[Value<u32>], json: &Json) -> bool {
    matches!(values, [value] if agrees(value, json))
}

fn bytes_of(values: &[Value<u32>]) -> Option<Vec<u8>> {
    values.iter().map(|value| value.as_u128().and_then(|byte| u8::try_from(byte).ok())).collect()
}

fn decode_bytes(text: &str) -> Option<Vec<u8>> {
    match text.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).ok(),
        None => Some(account(text)?.into()),
    }
}

/// Returns the account of an SS58 address.
pub(crate) fn account(address: &str) -> Option<[u8; 32]> {
    Some(AccountId32::from_ss58check(address).ok()?.into())
}

/// Returns a storage entry of our metadata, with the prefix of its pallet.
pub(crate) fn storage(
    pallet: &str,
    item: &str,
) -> Option<(&'static str, &'static StorageEntryMetadata<PortableForm>)> {
    let pallet = vectors::localnet_metadata().pallets.iter().find(|ours| ours.name == pallet)?;
    let storage = pallet.storage.as_ref()?;
    Some((&storage.prefix, storage.entries.iter().find(|entry| entry.name == item)?))
}

/// Returns the ID of the type of an entry's value.
pub(crate) fn value_type(entry: &StorageEntryMetadata<PortableForm>) -> u32 {
    match &entry.ty {
        StorageEntryType::Plain(value) | StorageEntryType::Map { value, .. } => value.id,
    }
}

/// Returns the default of an entry, if it has one.
pub(crate) fn default(entry: &StorageEntryMetadata<PortableForm>) -> Option<&[u8]> {
    matches!(entry.modifier, StorageEntryModifier::Default).then_some(entry.default.as_slice())
}

/// Returns the storage key of an entry for these parameters, by our metadata; fewer parameters
/// yield a prefix.
pub(crate) fn storage_key(
    prefix: &str,
    entry: &StorageEntryMetadata<PortableForm>,
    parameters: &[&Json],
) -> Vec<u8> {
    let mut bytes = [twox_128(prefix.as_bytes()), twox_128(entry.name.as_bytes())].concat();
    if let StorageEntryType::Map { hashers, key, .. } = &entry.ty {
        let ids = match &vectors::localnet_metadata().types.resolve(key.id).unwrap().type_def {
            TypeDef::Tuple(tuple) if hashers.len() > 1 => {
                tuple.fields.iter().map(|field| field.id).collect()
            }
            _ => vec![key.id],
        };
        for ((hasher, id), parameter) in hashers.iter().zip(ids).zip(parameters) {
            let parameter = encode_parameter(id, parameter);
            match hasher {
                StorageHasher::Identity => {}
                StorageHasher::Blake2_128Concat => bytes.extend(blake2_128(&parameter)),
                StorageHasher::Twox64Concat => bytes.extend(twox_64(&parameter)),
                other => panic!("{other:?} is not in the recorded keys"),
            }
            bytes.extend(parameter);
        }
    }
    bytes
}

/// Encodes a number, an account or bytes, as a parameter of a storage key or a runtime API.
pub(crate) fn encode_parameter(id: u32, json: &Json) -> Vec<u8> {
    if let Some(text) = json.as_str() {
        return decode_bytes(text).unwrap();
    }
    let value = Value::u128(json.as_u64().unwrap().into());
    let mut bytes = Vec::new();
    scale_value::scale::encode_as_type(&value, id, &vectors::localnet_metadata().types, &mut bytes)
        .unwrap();
    bytes
}
