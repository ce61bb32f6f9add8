//! All named items of a runtime as one list.

use std::fmt;

use frame_metadata::v15::{
    RuntimeMetadataV15, StorageEntryModifier, StorageEntryType, StorageHasher,
};
use scale_info::{PortableRegistry, TypeDef};
use serde_json::{Value as Json, json};

use crate::{notation, vectors};

/// Kind of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Call,
    Storage,
    Constant,
    Event,
    Error,
    Method,
    Extension,
}

impl Kind {
    pub(crate) const PALLET_KINDS: [Self; 5] =
        [Self::Call, Self::Storage, Self::Event, Self::Error, Self::Constant];
}

impl fmt::Display for Kind {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Call => "calls",
            Self::Storage => "storage",
            Self::Constant => "constants",
            Self::Event => "events",
            Self::Error => "errors",
            Self::Method => "methods",
            Self::Extension => "extensions",
        })
    }
}

/// A named item of a runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// The pallet or runtime API that contains the item.
    pub(crate) owner: String,
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// All properties but the name, in the notation of the recorded runtime.
    pub(crate) text: Json,
    /// IDs of the types in the item, in a fixed order.
    pub(crate) types: Vec<u32>,
}

/// Returns all items of a runtime.
pub(crate) fn from_metadata(metadata: &RuntimeMetadataV15) -> Vec<Item> {
    let types = &metadata.types;
    let name = |id| notation::name(types, id);
    let mut items = Vec::new();
    let mut add = |owner: &str, kind, name: &str, text, types| {
        items.push(Item { owner: owner.into(), kind, name: name.into(), text, types });
    };
    for pallet in &metadata.pallets {
        let parts = [
            (Kind::Call, pallet.calls.as_ref().map(|calls| calls.ty.id)),
            (Kind::Event, pallet.event.as_ref().map(|event| event.ty.id)),
            (Kind::Error, pallet.error.as_ref().map(|error| error.ty.id)),
        ];
        for (kind, id) in parts {
            for (index, variant, text, ids) in id.map_or_else(Vec::new, |id| variants(types, id)) {
                let text = if kind == Kind::Error { json!([index]) } else { json!([index, text]) };
                add(&pallet.name, kind, &variant, text, ids);
            }
        }
        for entry in pallet.storage.iter().flat_map(|storage| &storage.entries) {
            let modifier = match entry.modifier {
                StorageEntryModifier::Optional => "Optional",
                StorageEntryModifier::Default => "Default",
            };
            let default = format!("0x{}", hex::encode(&entry.default));
            let (text, ids) = match &entry.ty {
                StorageEntryType::Plain(value) => {
                    (json!(["plain", [], null, name(value.id), modifier, default]), vec![value.id])
                }
                StorageEntryType::Map { hashers, key, value } => {
                    let hashers: Vec<_> = hashers.iter().map(hasher).collect();
                    let text =
                        json!(["map", hashers, name(key.id), name(value.id), modifier, default]);
                    (text, vec![key.id, value.id])
                }
            };
            add(&pallet.name, Kind::Storage, &entry.name, text, ids);
        }
        for constant in &pallet.constants {
            let value = format!("0x{}", hex::encode(&constant.value));
            let text = json!([name(constant.ty.id), value]);
            add(&pallet.name, Kind::Constant, &constant.name, text, vec![constant.ty.id]);
        }
    }
    for api in &metadata.apis {
        for method in &api.methods {
            let arguments: Json =
                method.inputs.iter().map(|input| json!([input.name, name(input.ty.id)])).collect();
            let text = json!([arguments, name(method.output.id)]);
            let ids =
                method.inputs.iter().map(|input| input.ty.id).chain([method.output.id]).collect();
            add(&api.name, Kind::Method, &method.name, text, ids);
        }
    }
    for extension in &metadata.extrinsic.signed_extensions {
        let text = json!([name(extension.ty.id), name(extension.additional_signed.id)]);
        let ids = vec![extension.ty.id, extension.additional_signed.id];
        add("Extrinsic", Kind::Extension, &extension.identifier, text, ids);
    }
    items
}

fn variants(types: &PortableRegistry, id: u32) -> Vec<(u8, String, Json, Vec<u32>)> {
    let TypeDef::Variant(variant) = &types.resolve(id).unwrap().type_def else {
        panic!("type {id} is not an enum")
    };
    let variants = variant.variants.iter().map(|variant| {
        let ids = variant.fields.iter().map(|field| field.ty.id).collect();
        (variant.index, variant.name.clone(), notation::fields(types, &variant.fields), ids)
    });
    variants.collect()
}

fn hasher(hasher: &StorageHasher) -> String {
    format!("{hasher:?}")
}

/// Returns the items of `runtime_spec461.json`, without type IDs.
fn recorded_items(runtime: &Json) -> Vec<Item> {
    let list = |json: &Json| json.as_array().cloned().unwrap_or_default();
    let item = |owner: &Json, kind, name: &Json, text| {
        let [owner, name] = [owner, name].map(|json| json.as_str().unwrap().to_owned());
        Item { owner, kind, name, text, types: Vec::new() }
    };
    let mut items = Vec::new();
    for pallet in list(&runtime["pallets"]) {
        for (kind, key) in [(Kind::Call, "calls"), (Kind::Event, "events"), (Kind::Error, "errors")]
        {
            items.extend(list(&pallet[key]).iter().map(|entry| {
                let text = if kind == Kind::Error {
                    json!([entry[0]])
                } else {
                    json!([entry[0], entry[2]])
                };
                item(&pallet["name"], kind, &entry[1], text)
            }));
        }
        for (kind, key) in [(Kind::Storage, "storage"), (Kind::Constant, "constants")] {
            items.extend(list(&pallet[key]).iter().map(|entry| {
                item(&pallet["name"], kind, &entry[0], Json::Array(list(entry).split_off(1)))
            }));
        }
    }
    for api in list(&runtime["runtime_apis"]) {
        let methods = list(&api["methods"]);
        let methods = methods.iter();
        items.extend(methods.map(|method| {
            item(&api["name"], Kind::Method, &method[0], json!([method[1], method[2]]))
        }));
    }
    let extensions = list(&runtime["extrinsic"]["signed_extensions"]);
    items.extend(extensions.iter().map(|extension| {
        let text = json!([extension["extra"], extension["additional_signed"]]);
        item(&json!("Extrinsic"), Kind::Extension, &extension["id"], text)
    }));
    items
}

/// The recorded JSON description agrees with the recorded metadata; all other tests compare the
/// metadata.
#[test]
fn recorded_json_equals_recorded_metadata() {
    let (Some(json), Some(theirs)) =
        (vectors::json("runtime_spec461.json"), vectors::real_chain_metadata())
    else {
        return;
    };
    let (mut recorded_items, mut read) = (recorded_items(&json), from_metadata(theirs));
    for item in &mut read {
        item.types.clear();
    }
    // The JSON description lists calls by index.
    for items in [&mut recorded_items, &mut read] {
        items.sort_by(|one, other| {
            (&one.owner, one.kind, &one.name).cmp(&(&other.owner, other.kind, &other.name))
        });
    }
    assert_eq!(read.len(), recorded_items.len());
    for (read, recorded) in read.iter().zip(&recorded_items) {
        assert_eq!(read, recorded);
    }
}
