use codec::{Compact, Decode as _};
use scale_info::TypeDef;
use serde_json::{Map, Value as Json};
use subxt::config::substrate::U256;
use subxt::ext::scale_decode::visitor::{IgnoreVisitor, decode_with_visitor};
use subxt::ext::scale_value::scale::{DecodeError, decode_as_type};
use subxt::ext::scale_value::{BitSequence, Composite, Primitive, Value, ValueDef};
use taonet_primitives::AccountId;

use super::PortableRegistry;

/// Types within types that are read, at most: calls may stand in calls without end, and reading them takes stack.
const MOST_NESTED: u8 = 128;

/// Reads a value by its type; what is left of the bytes stays in `bytes`.
///
/// A list says its length first, and the reader makes room for as many. So the bytes are walked through once before,
/// which takes no room: a length that the bytes do not bear out is an error there.
pub(crate) fn read(bytes: &mut &[u8], type_id: u32, types: &PortableRegistry) -> Result<Value<u32>, DecodeError> {
    walk(&mut &**bytes, type_id, types, MOST_NESTED)?;
    decode_as_type(bytes, type_id, types)
}

/// Goes past a value of a type.
fn walk(bytes: &mut &[u8], type_id: u32, types: &PortableRegistry, levels: u8) -> Result<(), DecodeError> {
    let levels = levels.checked_sub(1).ok_or(codec::Error::from("more than 128 values within each other"))?;
    let found = types.resolve(type_id).ok_or_else(|| DecodeError::TypeIdNotFound(type_id.to_string()))?;
    let mut each = |type_id| walk(bytes, type_id, types, levels);
    match &found.type_def {
        TypeDef::Composite(composite) => composite.fields.iter().try_for_each(|field| each(field.ty.id)),
        TypeDef::Tuple(tuple) => tuple.fields.iter().try_for_each(|field| each(field.id)),
        TypeDef::Variant(variants) => {
            let index = u8::decode(bytes)?;
            let variant = variants.variants.iter().find(|variant| variant.index == index);
            let variant = variant.ok_or(DecodeError::VariantNotFound(index))?;
            variant.fields.iter().try_for_each(|field| walk(bytes, field.ty.id, types, levels))
        }
        TypeDef::Sequence(list) => {
            let count = Compact::<u32>::decode(bytes)?.0;
            walk_items(bytes, list.type_param.id, count, types, levels)
        }
        TypeDef::Array(array) => walk_items(bytes, array.type_param.id, array.len, types, levels),
        TypeDef::Primitive(_) | TypeDef::Compact(_) | TypeDef::BitSequence(_) => {
            decode_with_visitor(bytes, type_id, types, IgnoreVisitor::new())
        }
    }
}

fn walk_items(
    bytes: &mut &[u8],
    type_id: u32,
    count: u32,
    types: &PortableRegistry,
    levels: u8,
) -> Result<(), DecodeError> {
    for _ in 0..count {
        let before = bytes.len();
        walk(bytes, type_id, types, levels)?;
        if bytes.len() == before {
            // Such a list could be as long as it likes.
            return Err(codec::Error::from("a list of nothing").into());
        }
    }
    Ok(())
}

/// A value that was read by its type, as JSON. The context of each value is its type.
pub(crate) fn to_json(value: &Value<u32>, types: &PortableRegistry) -> Json {
    match &value.value {
        ValueDef::Composite(fields) => composite(fields, value.context, types),
        ValueDef::Variant(variant) => {
            let name = variant.name.clone();
            match (type_name(value.context, types), name.as_str()) {
                (Some("Option"), "None") => Json::Null,
                (Some("Option"), "Some") | (Some("MultiAddress"), "Id") => fields_of(&variant.values, types),
                _ if variant.values.is_empty() => Json::String(name),
                _ => Json::Object([(name, fields_of(&variant.values, types))].into_iter().collect()),
            }
        }
        ValueDef::BitSequence(bits) => bit_text(bits),
        ValueDef::Primitive(primitive) => plain(primitive),
    }
}

/// The fields of an event or of an enum's variant: an object where they have names, the value itself where there is
/// one without a name, else an array.
pub(crate) fn fields_of(fields: &Composite<u32>, types: &PortableRegistry) -> Json {
    match fields {
        Composite::Named(fields) => named(fields, types),
        Composite::Unnamed(fields) => match fields.as_slice() {
            [only] => to_json(only, types),
            fields => fields.iter().map(|field| to_json(field, types)).collect(),
        },
    }
}

fn composite(fields: &Composite<u32>, type_id: u32, types: &PortableRegistry) -> Json {
    match type_name(type_id, types) {
        Some("AccountId32") => {
            if let Some(account) = bytes_of(fields).and_then(|bytes| bytes.try_into().ok()) {
                return Json::String(AccountId::from_bytes(account).to_string());
            }
        }
        Some("U256") => {
            if let Some(number) = u256(fields) {
                return number;
            }
        }
        Some("BTreeMap") => {
            if let Some(map) = map(fields, types) {
                return map;
            }
        }
        _ => {}
    }
    match fields {
        Composite::Named(fields) => named(fields, types),
        Composite::Unnamed(items) => {
            if let Some(kind) = bytes_kind(type_id, types) {
                let bytes = items.iter().map(byte).collect::<Option<Vec<u8>>>().unwrap_or_default();
                return kind.json(bytes);
            }
            match items.as_slice() {
                [only] if is_wrapper(type_id, types) => to_json(only, types),
                items => items.iter().map(|item| to_json(item, types)).collect(),
            }
        }
    }
}

fn named(fields: &[(String, Value<u32>)], types: &PortableRegistry) -> Json {
    Json::Object(fields.iter().map(|(name, field)| (name.clone(), to_json(field, types))).collect())
}

fn plain(primitive: &Primitive) -> Json {
    match primitive {
        Primitive::Bool(value) => Json::Bool(*value),
        Primitive::Char(value) => Json::String(value.to_string()),
        Primitive::String(value) => Json::String(value.clone()),
        Primitive::U128(value) => u64::try_from(*value).map_or_else(|_| Json::String(value.to_string()), Json::from),
        Primitive::I128(value) => i64::try_from(*value).map_or_else(|_| Json::String(value.to_string()), Json::from),
        Primitive::U256(value) => Json::String(U256::from_little_endian(value).to_string()),
        Primitive::I256(value) => Json::String(hex_text(value)),
    }
}

/// How a list of bytes is written.
enum Bytes {
    Array,
    List,
}

impl Bytes {
    fn json(&self, bytes: Vec<u8>) -> Json {
        match self {
            Self::Array => Json::String(hex_text(&bytes)),
            Self::List => Json::String(String::from_utf8(bytes).unwrap_or_else(|error| hex_text(error.as_bytes()))),
        }
    }
}

fn bytes_kind(type_id: u32, types: &PortableRegistry) -> Option<Bytes> {
    use scale_info::TypeDefPrimitive;
    let (kind, item) = match &types.resolve(type_id)?.type_def {
        TypeDef::Array(array) => (Bytes::Array, array.type_param.id),
        TypeDef::Sequence(sequence) => (Bytes::List, sequence.type_param.id),
        _ => return None,
    };
    matches!(types.resolve(item)?.type_def, TypeDef::Primitive(TypeDefPrimitive::U8)).then_some(kind)
}

/// A struct of one field without a name.
fn is_wrapper(type_id: u32, types: &PortableRegistry) -> bool {
    types.resolve(type_id).is_some_and(|found| matches!(found.type_def, TypeDef::Composite(_)))
}

fn type_name(type_id: u32, types: &PortableRegistry) -> Option<&str> {
    types.resolve(type_id)?.path.segments.last().map(String::as_str)
}

/// The bytes within however many wrappers.
fn bytes_of(fields: &Composite<u32>) -> Option<Vec<u8>> {
    let Composite::Unnamed(items) = fields else { return None };
    match items.as_slice() {
        [Value { value: ValueDef::Composite(inner), .. }] => bytes_of(inner),
        items => items.iter().map(byte).collect(),
    }
}

fn byte(value: &Value<u32>) -> Option<u8> {
    value.as_u128().and_then(|byte| u8::try_from(byte).ok())
}

fn u256(fields: &Composite<u32>) -> Option<Json> {
    let limbs = fields.values().next()?;
    let ValueDef::Composite(limbs) = &limbs.value else { return None };
    let limbs = limbs.values().map(|limb| u64::try_from(limb.as_u128()?).ok()).collect::<Option<Vec<u64>>>()?;
    Some(Json::String(U256(limbs.try_into().ok()?).to_string()))
}

fn map(fields: &Composite<u32>, types: &PortableRegistry) -> Option<Json> {
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
