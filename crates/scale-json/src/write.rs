use serde_json::Value as Json;
use subxt::ext::scale_value::{Composite, Value};
use taonet_primitives::{AccountId, Ss58, Ss58Error, Ss58Prefix};

use super::PortableRegistry;
use scale_info::form::PortableForm;
use scale_info::{Field, TypeDef, TypeDefPrimitive, Variant};

/// Maximum nesting depth of values, ample for nested calls in batches.
const MAX_DEPTH: u32 = 128;

/// Why a JSON value does not match a chain type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The value has the wrong JSON type.
    #[error("{at}: found {actual}, expected {expected}")]
    Kind {
        /// Path of the value within the arguments.
        at: String,
        /// The JSON type of the value.
        actual: String,
        /// The expected JSON type.
        expected: String,
    },
    /// A field is missing.
    #[error("{at}: missing field {field}")]
    Missing {
        /// Path of the value within the arguments.
        at: String,
        /// The name of the field.
        field: String,
    },
    /// The field or variant is unknown.
    #[error("{at}: unknown name {name}, expected {expected}")]
    Unknown {
        /// Path of the value within the arguments.
        at: String,
        /// The unknown name.
        name: String,
        /// The expected names.
        expected: String,
    },
    /// The address is malformed.
    #[error("{at}: {source}")]
    Address {
        /// Path of the value within the arguments.
        at: String,
        /// Why the address does not parse.
        source: Ss58Error,
    },
    /// The value is nested too deeply, or its type cannot be converted from JSON.
    #[error("{at}: the value is nested too deeply, or its type has no JSON form")]
    Unsupported {
        /// Path of the value within the arguments.
        at: String,
    },
}

/// Converts JSON to a value of a type. `name` is the value's name in error messages.
///
/// # Errors
/// [`JsonError`] with the path of the part that does not match the type.
pub fn to_value(
    json: &Json,
    type_id: u32,
    types: &PortableRegistry,
    name: &str,
) -> Result<Value, JsonError> {
    JsonConverter { types, path: name.to_owned(), depth: 0 }.value(json, type_id)
}

/// A converter of one value from JSON, which tracks the value's path for error messages.
struct JsonConverter<'a> {
    types: &'a PortableRegistry,
    path: String,
    depth: u32,
}

impl JsonConverter<'_> {
    fn value(&self, json: &Json, type_id: u32) -> Result<Value, JsonError> {
        let resolved = self.types.resolve(type_id).ok_or_else(|| self.unsupported())?;
        if self.depth > MAX_DEPTH {
            return Err(self.unsupported());
        }
        let name = resolved.path.segments.last().map_or("", String::as_str);
        match (&resolved.type_def, json) {
            (TypeDef::Composite(_), Json::String(text)) if name == "AccountId32" => {
                self.account(text)
            }
            (TypeDef::Variant(_), Json::String(text)) if name == "MultiAddress" => {
                Ok(Value::unnamed_variant("Id", [self.account(text)?]))
            }
            (TypeDef::Composite(composite), json) => self.composite(json, &composite.fields),
            (TypeDef::Variant(_), Json::Null) if name == "Option" => {
                Ok(Value::unnamed_variant("None", []))
            }
            (TypeDef::Variant(variant), json) if name == "Option" => {
                let inner = variant.variants.iter().find_map(|variant| variant.fields.first());
                let inner = inner.ok_or_else(|| self.unsupported())?;
                Ok(Value::unnamed_variant("Some", [self.nested().value(json, inner.ty.id)?]))
            }
            (TypeDef::Variant(variant), json) => self.variant(json, &variant.variants),
            (TypeDef::Sequence(sequence), json) => self.items(json, sequence.type_param.id, None),
            (TypeDef::Array(array), json) => self.items(json, array.type_param.id, Some(array.len)),
            (TypeDef::Tuple(tuple), json) => match tuple.fields.as_slice() {
                [only] => self.nested().value(json, only.id),
                fields => self.tuple(json, fields.iter().map(|field| field.id)),
            },
            (TypeDef::Primitive(primitive), json) => self.primitive_value(json, primitive),
            (TypeDef::Compact(compact), json) => self.nested().value(json, compact.type_param.id),
            (TypeDef::BitSequence(_), _) => Err(self.unsupported()),
        }
    }

    fn composite(&self, json: &Json, fields: &[Field<PortableForm>]) -> Result<Value, JsonError> {
        match (fields, json) {
            ([only], json)
                if !json.as_object().is_some_and(|object| {
                    only.name.as_ref().is_some_and(|name| object.contains_key(name))
                }) =>
            {
                self.nested().value(json, only.ty.id)
            }
            _ => self.fields(json, fields).map(|fields| Value {
                value: subxt::ext::scale_value::ValueDef::Composite(fields),
                context: (),
            }),
        }
    }

    fn fields(
        &self,
        json: &Json,
        fields: &[Field<PortableForm>],
    ) -> Result<Composite<()>, JsonError> {
        if fields.iter().any(|field| field.name.is_none()) {
            let ids = fields.iter().map(|field| field.ty.id);
            return match fields {
                [only] => Ok(Composite::Unnamed(vec![self.nested().value(json, only.ty.id)?])),
                _ => self.array_items(json, ids).map(Composite::Unnamed),
            };
        }
        if fields.is_empty() {
            return Ok(Composite::Unnamed(Vec::new()));
        }
        let object = json.as_object().ok_or_else(|| self.kind_error(json, "an object"))?;
        let names: Vec<&str> = fields.iter().filter_map(|field| field.name.as_deref()).collect();
        if let Some(unknown) = object.keys().find(|key| !names.contains(&key.as_str())) {
            return Err(self.unknown_name(unknown, names));
        }
        let mut values = Vec::with_capacity(fields.len());
        for field in fields {
            let name = field.name.as_deref().unwrap_or_default();
            let json = match object.get(name) {
                Some(json) => json,
                None if is_option(field.ty.id, self.types) => &Json::Null,
                None => {
                    return Err(JsonError::Missing {
                        at: self.path.clone(),
                        field: name.to_owned(),
                    });
                }
            };
            values.push((name.to_owned(), self.nested_at(name).value(json, field.ty.id)?));
        }
        Ok(Composite::Named(values))
    }

    fn variant(&self, json: &Json, variants: &[Variant<PortableForm>]) -> Result<Value, JsonError> {
        let (name, fields) = match json {
            Json::String(name) => (name, &Json::Null),
            Json::Object(object) if object.len() == 1 => {
                object.iter().next().ok_or_else(|| self.unsupported())?
            }
            other => return Err(self.kind_error(other, "\"Name\" or {\"Name\": …}")),
        };
        let variant = variants.iter().find(|variant| variant.name == *name);
        let variant = variant.ok_or_else(|| {
            self.unknown_name(name, variants.iter().map(|variant| variant.name.as_str()))
        })?;
        Ok(Value::variant(name.clone(), self.nested_at(name).fields(fields, &variant.fields)?))
    }

    fn items(&self, json: &Json, item: u32, len: Option<u32>) -> Result<Value, JsonError> {
        let is_bytes = self
            .types
            .resolve(item)
            .is_some_and(|item| matches!(item.type_def, TypeDef::Primitive(TypeDefPrimitive::U8)));
        let items = match json {
            Json::String(text) if is_bytes => {
                let bytes = match text.strip_prefix("0x") {
                    Some(digits) => {
                        hex::decode(digits).map_err(|_| self.kind_error(json, "hex digits"))?
                    }
                    None => text.as_bytes().to_vec(),
                };
                bytes.into_iter().map(|byte| Value::u128(byte.into())).collect()
            }
            Json::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, json)| self.nested_at(&index.to_string()).value(json, item))
                .collect::<Result<Vec<_>, _>>()?,
            other => {
                return Err(self.kind_error(
                    other,
                    if is_bytes { "text, 0x…, or an array" } else { "an array" },
                ));
            }
        };
        if len.is_some_and(|len| u32::try_from(items.len()) != Ok(len)) {
            return Err(
                self.kind_error(json, &format!("exactly {} values", len.unwrap_or_default()))
            );
        }
        Ok(Value::unnamed_composite(items))
    }

    fn tuple(
        &self,
        json: &Json,
        ids: impl ExactSizeIterator<Item = u32>,
    ) -> Result<Value, JsonError> {
        self.array_items(json, ids).map(Value::unnamed_composite)
    }

    fn array_items(
        &self,
        json: &Json,
        ids: impl ExactSizeIterator<Item = u32>,
    ) -> Result<Vec<Value>, JsonError> {
        if ids.len() == 0 && json.is_null() {
            return Ok(Vec::new());
        }
        let items = json.as_array().filter(|items| items.len() == ids.len());
        let items =
            items.ok_or_else(|| self.kind_error(json, &format!("an array of {}", ids.len())))?;
        items
            .iter()
            .enumerate()
            .zip(ids)
            .map(|((index, json), id)| self.nested_at(&index.to_string()).value(json, id))
            .collect()
    }

    fn primitive_value(
        &self,
        json: &Json,
        primitive: &TypeDefPrimitive,
    ) -> Result<Value, JsonError> {
        let value = match (primitive, json) {
            (TypeDefPrimitive::Bool, Json::Bool(value)) => Some(Value::bool(*value)),
            (TypeDefPrimitive::Str, Json::String(text)) => Some(Value::string(text.clone())),
            (TypeDefPrimitive::Char, Json::String(text)) => single_char(text).map(Value::char),
            (TypeDefPrimitive::Bool | TypeDefPrimitive::Str | TypeDefPrimitive::Char, _) => None,
            (_, Json::Number(number)) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => Some(Value::u128(number.into())),
                (None, Some(number)) => Some(Value::i128(number.into())),
                (None, None) => None,
            },
            (_, Json::String(text)) => {
                text.parse().map(Value::u128).ok().or_else(|| text.parse().map(Value::i128).ok())
            }
            _ => None,
        };
        value.ok_or_else(|| {
            let expected = match primitive {
                TypeDefPrimitive::Bool => "true or false",
                TypeDefPrimitive::Str => "text",
                TypeDefPrimitive::Char => "one character",
                _ => "an integer",
            };
            self.kind_error(json, expected)
        })
    }

    fn account(&self, text: &str) -> Result<Value, JsonError> {
        if let Some(bytes) = text.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok())
            && bytes.len() == 32
        {
            return Ok(Value::from_bytes(bytes));
        }
        let account = text
            .parse::<Ss58>()
            .and_then(|address| address.key_with_prefix(Ss58Prefix::BITTENSOR))
            .map_err(|source| JsonError::Address { at: self.path.clone(), source })?;
        Ok(Value::from_bytes(AccountId::from_bytes(account).as_bytes()))
    }

    /// Returns a converter for the inner value of a newtype.
    fn nested(&self) -> Self {
        JsonConverter {
            types: self.types,
            path: self.path.clone(),
            depth: self.depth.saturating_add(1),
        }
    }

    fn nested_at(&self, name: &str) -> Self {
        let depth = self.depth.saturating_add(1);
        JsonConverter { types: self.types, path: format!("{}.{name}", self.path), depth }
    }

    fn kind_error(&self, value: &Json, expected: &str) -> JsonError {
        let actual = match value {
            Json::Null => "nothing".to_owned(),
            Json::Object(_) => "an object".to_owned(),
            Json::Array(items) => format!("an array of {}", items.len()),
            scalar => scalar.to_string().chars().take(80).collect(),
        };
        JsonError::Kind { at: self.path.clone(), actual, expected: expected.to_owned() }
    }

    fn unknown_name<'a>(
        &self,
        name: &str,
        expected: impl IntoIterator<Item = &'a str>,
    ) -> JsonError {
        let expected: Vec<&str> = expected.into_iter().take(12).collect();
        JsonError::Unknown {
            at: self.path.clone(),
            name: name.to_owned(),
            expected: expected.join(", "),
        }
    }

    fn unsupported(&self) -> JsonError {
        JsonError::Unsupported { at: self.path.clone() }
    }
}

/// Returns whether a type is an `Option`, which an object can omit.
pub fn is_option(type_id: u32, types: &PortableRegistry) -> bool {
    let path = types.resolve(type_id).map(|resolved| &resolved.path.segments);
    path.and_then(|segments| segments.last()).is_some_and(|name| name == "Option")
}

fn single_char(text: &str) -> Option<char> {
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}
