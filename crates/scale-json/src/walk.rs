use codec::{Compact, Decode as _};
use scale_info::TypeDef;
use subxt::ext::scale_decode::visitor::{IgnoreVisitor, decode_with_visitor};
use subxt::ext::scale_value::scale::DecodeError;

use super::{MAX_NESTING_DEPTH, PortableRegistry};

/// Maximum number of values in one response; metagraphs have several hundred thousand.
const MAX_VALUES: usize = 1 << 22;
/// Maximum number of values per encoded byte, in addition to [`BASE_VALUES`]: empty fields
/// and nested newtypes have no encoded bytes.
const MAX_VALUES_PER_BYTE: usize = 64;
const BASE_VALUES: usize = 1 << 12;

/// Returns the length of an encoded value in bytes, without allocating for its contents.
///
/// Call this before decoding bytes from a node: decoders allocate memory for a list's declared
/// length, and use stack space for each level of nesting.
///
/// # Errors
/// The bytes are not a value of this type, or it has too many values or levels.
pub fn encoded_len(
    bytes: &[u8],
    type_id: u32,
    types: &PortableRegistry,
) -> Result<usize, DecodeError> {
    let remaining_values =
        bytes.len().saturating_mul(MAX_VALUES_PER_BYTE).saturating_add(BASE_VALUES).min(MAX_VALUES);
    let mut walker = ValueWalker { remaining: bytes, types, remaining_values };
    walker.visit_value(type_id, MAX_NESTING_DEPTH)?;
    Ok(bytes.len().saturating_sub(walker.remaining.len()))
}

struct ValueWalker<'a> {
    remaining: &'a [u8],
    types: &'a PortableRegistry,
    /// The number of values that may still be visited.
    remaining_values: usize,
}

impl ValueWalker<'_> {
    fn visit_value(&mut self, type_id: u32, levels: u8) -> Result<(), DecodeError> {
        let levels = levels.checked_sub(1).ok_or_else(too_deep)?;
        self.remaining_values =
            self.remaining_values.checked_sub(1).ok_or(codec::Error::from("too many values"))?;
        let types = self.types;
        match type_of(type_id, types)? {
            TypeDef::Composite(composite) => {
                composite.fields.iter().try_for_each(|field| self.visit_value(field.ty.id, levels))
            }
            TypeDef::Tuple(tuple) => {
                tuple.fields.iter().try_for_each(|field| self.visit_value(field.id, levels))
            }
            TypeDef::Variant(variants) => {
                let index = u8::decode(&mut self.remaining)?;
                let variant = variants.variants.iter().find(|variant| variant.index == index);
                let variant = variant.ok_or(DecodeError::VariantNotFound(index))?;
                variant.fields.iter().try_for_each(|field| self.visit_value(field.ty.id, levels))
            }
            TypeDef::Sequence(list) => {
                let count = Compact::<u32>::decode(&mut self.remaining)?.0;
                self.visit_items(list.type_param.id, count, levels)
            }
            TypeDef::Array(array) => self.visit_items(array.type_param.id, array.len, levels),
            TypeDef::Compact(inner) => {
                check_compact(inner.type_param.id, types, levels)?;
                self.visit_leaf(type_id)
            }
            TypeDef::Primitive(_) | TypeDef::BitSequence(_) => self.visit_leaf(type_id),
        }
    }

    fn visit_items(&mut self, type_id: u32, count: u32, levels: u8) -> Result<(), DecodeError> {
        for _ in 0..count {
            let old_length = self.remaining.len();
            self.visit_value(type_id, levels)?;
            if self.remaining.len() == old_length {
                // The length of such a list is not bounded by its bytes.
                return Err(codec::Error::from("a list of zero-sized values").into());
            }
        }
        Ok(())
    }

    fn visit_leaf(&mut self, type_id: u32) -> Result<(), DecodeError> {
        decode_with_visitor(&mut self.remaining, type_id, self.types, IgnoreVisitor::new())
    }
}

/// Checks the type of a compact number, which may be inside up to `levels` newtypes.
fn check_compact(
    mut type_id: u32,
    types: &PortableRegistry,
    mut levels: u8,
) -> Result<(), DecodeError> {
    loop {
        levels = levels.checked_sub(1).ok_or_else(too_deep)?;
        type_id = match type_of(type_id, types)? {
            TypeDef::Primitive(_) => return Ok(()),
            TypeDef::Composite(composite) => match composite.fields.as_slice() {
                [only] => only.ty.id,
                _ => return Err(DecodeError::CannotDecodeCompactIntoType),
            },
            TypeDef::Tuple(tuple) => match tuple.fields.as_slice() {
                [only] => only.id,
                _ => return Err(DecodeError::CannotDecodeCompactIntoType),
            },
            _ => return Err(DecodeError::CannotDecodeCompactIntoType),
        };
    }
}

fn type_of(
    type_id: u32,
    types: &PortableRegistry,
) -> Result<&TypeDef<scale_info::form::PortableForm>, DecodeError> {
    let resolved =
        types.resolve(type_id).ok_or_else(|| DecodeError::TypeIdNotFound(type_id.to_string()))?;
    Ok(&resolved.type_def)
}

fn too_deep() -> codec::Error {
    codec::Error::from("values are nested more than 128 levels deep")
}
