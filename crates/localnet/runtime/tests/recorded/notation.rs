//! Notation of types as in `runtime_spec461.json`.

use scale_info::form::PortableForm;
use scale_info::{Field, PortableRegistry, TypeDef};
use serde_json::{Value as Json, json};
use taonet_localnet_runtime::fork::primitive_name;

use crate::vectors;

/// Generic types whose names include their parameters, with the number of parameters; bounds are
/// omitted.
const GENERIC: [(&str, usize); 7] = [
    ("Option", 1),
    ("Result", 2),
    ("BTreeMap", 2),
    ("BTreeSet", 1),
    ("BoundedVec", 1),
    ("WeakBoundedVec", 1),
    ("Cow", 1),
];

/// Returns the name of a type, without its path.
pub(crate) fn name(registry: &PortableRegistry, id: u32) -> String {
    let ty = registry.resolve(id).unwrap();
    if let Some(ident) = ty.path.ident() {
        let Some((_, parameters)) = GENERIC.iter().find(|(name, _)| *name == ident) else {
            return ident;
        };
        let parameters = ty.type_params.iter().take(*parameters);
        let parameters: Vec<_> =
            parameters.filter_map(|parameter| Some(name(registry, parameter.ty?.id))).collect();
        return format!("{ident}<{}>", parameters.join(", "));
    }
    match &ty.type_def {
        TypeDef::Primitive(primitive) => primitive_name(primitive).into(),
        TypeDef::Array(array) => {
            format!("[{}; {}]", name(registry, array.type_param.id), array.len)
        }
        TypeDef::Sequence(sequence) => format!("Vec<{}>", name(registry, sequence.type_param.id)),
        TypeDef::Compact(compact) => format!("Compact<{}>", name(registry, compact.type_param.id)),
        TypeDef::Tuple(tuple) => {
            let parts: Vec<_> = tuple.fields.iter().map(|field| name(registry, field.id)).collect();
            format!("({})", parts.join(", "))
        }
        other => panic!("{other:?} has no name"),
    }
}

/// Returns fields as a list of names and types.
pub(crate) fn fields(registry: &PortableRegistry, fields: &[Field<PortableForm>]) -> Json {
    fields.iter().map(|field| json!([field.name, name(registry, field.ty.id)])).collect()
}

fn definition(registry: &PortableRegistry, id: u32) -> Json {
    match &registry.resolve(id).unwrap().type_def {
        TypeDef::Composite(composite) => json!({ "struct": fields(registry, &composite.fields) }),
        TypeDef::Variant(variant) => {
            let variants = variant.variants.iter();
            let variants: Json = variants
                .map(|variant| {
                    json!([variant.index, variant.name, fields(registry, &variant.fields)])
                })
                .collect();
            json!({ "enum": variants })
        }
        other => panic!("{other:?} is neither a struct nor an enum"),
    }
}

/// The recorded JSON description agrees with the recorded metadata; all other tests compare the
/// metadata.
#[test]
fn types_are_written_as_in_the_recorded_runtime() {
    let (Some(json), Some(theirs)) =
        (vectors::json("runtime_spec461.json"), vectors::recorded_metadata())
    else {
        return;
    };
    let mut compared = 0;
    for (path, written) in json["types"].as_object().unwrap() {
        let id = match path.split_once('#') {
            Some((_, id)) => id.parse().unwrap(),
            None => {
                theirs.types.types.iter().find(|ty| ty.ty.path.to_string() == *path).unwrap().id
            }
        };
        // One enum is described in words: it has a variant for each length.
        if !written["enum"].is_string() {
            assert_eq!(definition(&theirs.types, id), *written, "{path}");
            compared += 1;
        }
    }
    assert_eq!(compared, 282, "types of runtime_spec461.json");
}
