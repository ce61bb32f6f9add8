use std::collections::HashMap;

use scale_info::TypeDef;

use super::{MAX_NESTING_DEPTH, PortableRegistry};

/// Why a type is rejected: decoding it would not terminate, or would exhaust the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecursionError {
    /// The type of this ID contains itself, not through an enum or a list.
    #[error("type {0} is recursive without an enum or a list")]
    Recursive(u32),
    /// The type of this ID is nested too deeply.
    #[error("type {0} is nested too deeply")]
    TooDeep(u32),
}

/// Rejects types that are recursive or nested too deeply, except through an enum or a list. Code
/// that walks such types without consuming bytes would not terminate.
///
/// # Errors
/// [`RecursionError`] with the ID of the first such type.
pub fn check_recursion(types: &PortableRegistry) -> Result<(), RecursionError> {
    // `None` while the type's parts are being visited.
    let mut depths: HashMap<u32, Option<u8>> = HashMap::new();
    for entry in &types.types {
        let mut stack = vec![(entry.id, false)];
        while let Some((type_id, has_visited_parts)) = stack.pop() {
            let parts = component_types(type_id, types);
            if has_visited_parts {
                let part_depth = parts
                    .filter_map(|part| depths.get(&part).copied().flatten())
                    .max()
                    .unwrap_or(0);
                if part_depth >= MAX_NESTING_DEPTH {
                    return Err(RecursionError::TooDeep(type_id));
                }
                depths.insert(type_id, Some(part_depth.saturating_add(1)));
                continue;
            }
            match depths.get(&type_id) {
                Some(Some(_)) => continue,
                Some(None) => return Err(RecursionError::Recursive(type_id)),
                None => {}
            }
            depths.insert(type_id, None);
            stack.push((type_id, true));
            stack.extend(parts.map(|part| (part, false)));
        }
    }
    Ok(())
}

/// Returns the component types that every value of a type contains.
fn component_types(type_id: u32, types: &PortableRegistry) -> Box<dyn Iterator<Item = u32> + '_> {
    match types.resolve(type_id).map(|resolved| &resolved.type_def) {
        Some(TypeDef::Composite(composite)) => {
            Box::new(composite.fields.iter().map(|field| field.ty.id))
        }
        Some(TypeDef::Tuple(tuple)) => Box::new(tuple.fields.iter().map(|field| field.id)),
        Some(TypeDef::Array(array)) => Box::new(std::iter::once(array.type_param.id)),
        Some(TypeDef::Compact(compact)) => Box::new(std::iter::once(compact.type_param.id)),
        _ => Box::new(std::iter::empty()),
    }
}
