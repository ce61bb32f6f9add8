use scale_info::TypeDef;
use serde_json::{Map, Value as Json};
use subxt::config::substrate::U256;
use subxt::ext::scale_value::scale::{DecodeError, decode_as_type};
use subxt::ext::scale_value::{BitSequence, Composite, Primitive, Value, ValueDef};
use taonet_primitives::AccountId;

use super::{PortableRegistry, encoded_len};

/// Decodes a value by its type and advances `bytes` past it.
///
/// # Errors
/// As [`encoded_len`].
pub fn decode(
    bytes: &mut &[u8],
    type_id: u32,
    types: &PortableRegistry,
) -> Result<Value<u32>, DecodeError> {
    // Rejects deep nesting and too many values before anything is decoded.
    encoded_len(bytes, type_id, types)?;
    decode_as_type(bytes, type_id, types)
}

/// Converts a decoded value to JSON. Each value's context is its type ID.
pub fn to_json(value: &Value<u32>, types: &PortableRegistry) -> Json {
    match &value.value {
        ValueDef::Composite(fields) => composite_to_json(fields, value.context, types),
        ValueDef::Variant(variant) => {
            let name = variant.name.clone();
            match (type_name(value.context, types), name.as_str()) {
                (Some("Option"), "None") => Json::Null,
                (Some("Option"), "Some") | (Some("MultiAddress"), "Id") => {
                    fields_of(&variant.values, types)
                }
                _ if variant.values.is_empty() => Json::String(name),
                _ => {
                    Json::Object([(name, fields_of(&variant.values, types))].into_iter().collect())
                }
            }
        }
        ValueDef::BitSequence(bits) => bit_text(bits),
        ValueDef::Primitive(primitive) => primitive_to_json(primitive),
    }
}

/// Converts the fields of an event or variant to JSON: an object if they have names, the value
/// itself for a single unnamed field, otherwise an array.
pub fn fields_of(fields: &Composite<u32>, types: &PortableRegistry) -> Json {
    match fields {
        Composite::Named(fields) => named_fields_to_json(fields, types),
        Composite::Unnamed(fields) => match fields.as_slice() {
            [only] => to_json(only, types),
            fields => fields.iter().map(|field| to_json(field, types)).collect(),
        },
    }
}

fn composite_to_json(fields: &Composite<u32>, type_id: u32, types: &PortableRegistry) -> Json {
    match type_name(type_id, types) {
        Some("AccountId32") => {
            if let Some(account) = bytes_of(fields).and_then(|bytes| bytes.try_into().ok()) {
                return Json::String(AccountId::from_bytes(account).to_string());
            }
        }
        Some("U256") => {
            if let Some(number) = u256_to_json(fields) {
                return number;
            }
        }
        Some("BTreeMap") => {
            if let Some(map) = map_to_json(fields, types) {
                return map;
            }
        }
        _ => {}
    }
    match fields {
        Composite::Named(fields) => named_fields_to_json(fields, types),
        Composite::Unnamed(items) => {
            if let Some(kind) = byte_sequence_kind(type_id, types) {
                let bytes =
                    items.iter().map(to_byte).collect::<Option<Vec<u8>>>().unwrap_or_default();
                return kind.to_json(bytes);
            }
            match items.as_slice() {
                [only] if is_struct(type_id, types) => to_json(only, types),
                items => items.iter().map(|item| to_json(item, types)).collect(),
            }
        }
    }
}

fn named_fields_to_json(fields: &[(String, Value<u32>)], types: &PortableRegistry) -> Json {
    Json::Object(fields.iter().map(|(name, field)| (name.clone(), to_json(field, types))).collect())
}

fn primitive_to_json(primitive: &Primitive) -> Json {
    match primitive {
        Primitive::Bool(value) => Json::Bool(*value),
        Primitive::Char(value) => Json::String(value.to_string()),
        Primitive::String(value) => Json::String(value.clone()),
        Primitive::U128(value) => {
            u64::try_from(*value).map_or_else(|_| Json::String(value.to_string()), Json::from)
        }
        Primitive::I128(value) => {
            i64::try_from(*value).map_or_else(|_| Json::String(value.to_string()), Json::from)
        }
        Primitive::U256(value) => Json::String(U256::from_little_endian(value).to_string()),
        Primitive::I256(value) => Json::String(hex_text(value)),
    }
}

/// The kind of a byte sequence, which determines its JSON form.
enum ByteSequence {
    Array,
    List,
}

impl ByteSequence {
    fn to_json(&self, bytes: Vec<u8>) -> Json {
        match self {
            Self::Array => Json::String(hex_text(&bytes)),
            Self::List => Json::String(
                String::from_utf8(bytes).unwrap_or_else(|error| hex_text(error.as_bytes())),
            ),
        }
    }
}

fn byte_sequence_kind(type_id: u32, types: &PortableRegistry) -> Option<ByteSequence> {
    use scale_info::TypeDefPrimitive;
    let (kind, item) = match &types.resolve(type_id)?.type_def {
        TypeDef::Array(array) => (ByteSequence::Array, array.type_param.id),
        TypeDef::Sequence(sequence) => (ByteSequence::List, sequence.type_param.id),
        _ => return None,
    };
    matches!(types.resolve(item)?.type_def, TypeDef::Primitive(TypeDefPrimitive::U8))
        .then_some(kind)
}

/// Whether a type is a struct; a struct with one unnamed field is a newtype.
fn is_struct(type_id: u32, types: &PortableRegistry) -> bool {
    types
        .resolve(type_id)
        .is_some_and(|resolved| matches!(resolved.type_def, TypeDef::Composite(_)))
}

fn type_name(type_id: u32, types: &PortableRegistry) -> Option<&str> {
    types.resolve(type_id)?.path.segments.last().map(String::as_str)
}

/// Returns the bytes of a value inside any number of newtypes.
fn bytes_of(fields: &Composite<u32>) -> Option<Vec<u8>> {
    let Composite::Unnamed(items) = fields else { return None };
    match items.as_slice() {
        [Value { value: ValueDef::Composite(inner), .. }] => bytes_of(inner),
        items => items.iter().map(to_byte).collect(),
    }
}

fn to_byte(value: &Value<u32>) -> Option<u8> {
    value.as_u128().and_then(|byte| u8::try_from(byte).ok())
}

fn u256_to_json(fields: &Composite<u32>) -> Option<Json> {
    let limbs = fields.values().next()?;
    let ValueDef::Composite(limbs) = &limbs.value else { return None };
    let limbs = limbs
        .values()
        .map(|limb| u64::try_from(limb.as_u128()?).ok())
        .collect::<Option<Vec<u64>>>()?;
    Some(Json::String(U256(limbs.try_into().ok()?).to_string()))
}

fn map_to_json(fields: &Composite<u32>, types: &PortableRegistry) -> Option<Json> {
    let ValueDef::Composite(entries) = &fields.values().next()?.value else { return None };
    let mut map = Map::new();
    for entry in entries.values() {
        let ValueDef::Composite(entry) = &entry.value else { return None };
        let mut parts = entry.values();
        let (key, value) = (to_json(parts.next()?, types), to_json(parts.next()?, types));
        map.insert(key.as_str().map_or_else(|| key.to_string(), str::to_owned), value);
    }
    Some(Json::Object(map))
}

fn bit_text(bits: &BitSequence) -> Json {
    Json::String(bits.iter().map(|bit| if bit { '1' } else { '0' }).collect())
}

fn hex_text(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}
