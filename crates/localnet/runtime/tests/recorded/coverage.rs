//! Compares the supported, missing and different items of both runtimes.

mod document;
mod source;

use std::collections::BTreeSet;
use std::path::Path;

use codec::Decode;
use scale_info::{PortableRegistry, TypeDef};
use serde_json::{Value as Json, json};
use sp_version::RuntimeVersion;

use crate::explanations::{ABSENCES, AbsentItems, EXPLANATIONS, Explanation, NOT_THEIRS};
use crate::items::{self, Item, Kind};
use crate::structure::Pairs;
use crate::vectors;

const UPDATE: &str = "TAONET_UPDATE_DOCS";

/// Why the name of a type differs although its encoding is equal.
const AMOUNTS: &str =
    "polkadot-sdk's pallets use `u64` for TAO instead of `TaoBalance`; the encoding is equal";

/// Support status of an item of the recorded runtime, or of an item that only our runtime has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Served,
    Missing,
    /// The item differs for a known reason, or only our runtime has it.
    Different(&'static str),
    Unexplained(String),
}

/// An item and its status.
pub(crate) struct Row {
    pub(crate) item: Item,
    pub(crate) status: Status,
}

/// An explanation that applied to an item, and the item's name.
pub(crate) type AppliedExplanation = (&'static Explanation, String);

/// Compares all items of both runtimes.
pub(crate) fn rows(
    ours: &[Item],
    theirs: &[Item],
    pairs: &mut Pairs<'_>,
) -> (Vec<Row>, Vec<AppliedExplanation>) {
    let mut used = Vec::new();
    let mut explain = |item: &Item, difference: String| {
        let Some((explanation, expected)) =
            EXPLANATIONS.iter().find_map(|entry| Some((entry, entry.expected(item)?)))
        else {
            return Status::Unexplained(difference);
        };
        used.push((explanation, item.name.clone()));
        if difference == expected {
            Status::Different(explanation.reason)
        } else {
            Status::Unexplained(format!(
                "{difference:?}, where the explanation expects {expected:?}"
            ))
        }
    };
    let find =
        |items: &[Item], item: &Item| items.iter().position(|other| is_same_item(other, item));
    let mut rows = Vec::new();
    for their in theirs {
        let status = match find(ours, their).map(|position| &ours[position]) {
            None => Status::Missing,
            Some(our) => match difference(our, their, pairs) {
                None if our.text == their.text => Status::Served,
                None => Status::Different(AMOUNTS),
                Some(difference) => explain(our, difference),
            },
        };
        rows.push(Row { item: their.clone(), status });
    }
    for our in ours.iter().filter(|our| find(theirs, our).is_none()) {
        rows.push(Row { item: our.clone(), status: explain(our, NOT_THEIRS.into()) });
    }
    (rows, used)
}

fn is_same_item(one: &Item, other: &Item) -> bool {
    (&one.owner, one.kind, &one.name) == (&other.owner, other.kind, &other.name)
}

/// Returns all differences between two items. Ignores that FRAME's pallets use plain integers for
/// TAO in our runtime.
fn difference(our: &Item, their: &Item, pairs: &mut Pairs<'_>) -> Option<String> {
    let mut differences = Vec::new();
    if (our.owner.as_str(), our.name.as_str()) == ("System", "Version") {
        collect_differences(&version(our), &version(their), &mut differences);
    } else {
        collect_differences(&our.text, &their.text, &mut differences);
    }
    // All types are compared, so that the test of the corpus covers all of them.
    let types = our.types.iter().zip(&their.types);
    differences.extend(types.filter_map(|(ours, theirs)| pairs.difference(*ours, *theirs)));
    differences.dedup();
    (!differences.is_empty()).then(|| differences.join("; "))
}

/// Appends the differing parts of two JSON texts to `differences`.
fn collect_differences(our: &Json, their: &Json, differences: &mut Vec<String>) {
    match (our, their) {
        (Json::Array(ours), Json::Array(theirs)) if ours.len() == theirs.len() => {
            ours.iter()
                .zip(theirs)
                .for_each(|(our, their)| collect_differences(our, their, differences));
        }
        // Missing named items are counted elsewhere.
        (Json::Object(ours), Json::Object(theirs)) => {
            ours.iter().for_each(|(name, our)| {
                collect_differences(our, theirs.get(name).unwrap_or(&Json::Null), differences);
            });
        }
        (Json::String(our), Json::String(their)) if *our == their.replace("TaoBalance", "u64") => {}
        _ if our == their => {}
        _ => differences.push(format!("{our} is not {their}")),
    }
}

/// Returns a runtime version without the spec version, which changes with every release.
fn version(constant: &Item) -> Json {
    let version =
        RuntimeVersion::decode(&mut vectors::bytes(&constant.text[1]).as_slice()).unwrap();
    let apis: serde_json::Map<_, _> =
        version.apis.iter().map(|(id, version)| (hex::encode(id), json!(version))).collect();
    let numbers = [
        version.authoring_version,
        version.impl_version,
        version.transaction_version,
        version.system_version.into(),
    ];
    json!([version.spec_name, version.impl_name, numbers, apis])
}

/// Returns the names of the transaction extensions, in order.
fn extensions(items: &[Item]) -> Vec<&str> {
    items
        .iter()
        .filter(|item| item.kind == Kind::Extension)
        .map(|item| item.name.as_str())
        .collect()
}

#[test]
fn served_items_differ_from_the_real_chain_only_as_explained() {
    let Some(recorded) = vectors::real_chain_metadata() else { return };
    let metadata = vectors::localnet_metadata();
    let (ours, theirs) = (items::from_metadata(metadata), items::from_metadata(recorded));
    let (our_types, their_types): (&PortableRegistry, &PortableRegistry) =
        (&metadata.types, &recorded.types);

    for pallet in &metadata.pallets {
        let their = recorded.pallets.iter().find(|their| their.name == pallet.name).unwrap();
        assert_eq!(pallet.index, their.index, "index of {}", pallet.name);
        let prefix = |storage: &Option<
            frame_metadata::v15::PalletStorageMetadata<scale_info::form::PortableForm>,
        >| { storage.as_ref().map(|storage| storage.prefix.clone()) };
        if pallet.storage.is_some() {
            assert_eq!(
                prefix(&pallet.storage),
                prefix(&their.storage),
                "storage prefix of {}",
                pallet.name
            );
        }
    }
    assert_eq!(metadata.extrinsic.version, recorded.extrinsic.version);

    let mut pairs = Pairs::new(our_types, their_types);
    let (rows, used) = rows(&ours, &theirs, &mut pairs);
    let unexplained: Vec<_> = rows
        .iter()
        .filter_map(|row| match &row.status {
            Status::Unexplained(difference) => Some(format!(
                "{} {} {}: {difference}",
                row.item.owner, row.item.kind, row.item.name
            )),
            _ => None,
        })
        .collect();
    assert!(
        unexplained.is_empty(),
        "{} unexplained:\n{}",
        unexplained.len(),
        unexplained.join("\n")
    );
    for explanation in EXPLANATIONS {
        for (name, _) in explanation.differences {
            let needed =
                used.iter().any(|(by, item)| std::ptr::eq(*by, explanation) && item == name);
            assert!(needed, "{name} does not differ as in {explanation:?}");
        }
    }
    check_absences(&rows);
    assert_eq!(extensions(&ours), extensions(&theirs));

    let document = document::document(&rows);
    println!("{document}");
    let path = Path::new(vectors::REPOSITORY).join("docs/localnet-coverage.md");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let current = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(current == document, "docs/localnet-coverage.md is out of date; {UPDATE}=1 updates it");
}

#[test]
fn calls_without_effect_are_named_in_the_document() {
    let (metadata, document) = (vectors::localnet_metadata(), document::document(&[]));
    let mut count = 0;
    for pallet in &metadata.pallets {
        let Some(calls) = &pallet.calls else { continue };
        let TypeDef::Variant(calls) = &metadata.types.resolve(calls.ty.id).unwrap().type_def else {
            panic!("calls are an enum")
        };
        for call in
            calls.variants.iter().filter(|call| call.docs.join(" ").contains("without effect"))
        {
            assert!(
                document.contains(&format!("`{}`", call.name)),
                "{}.{}",
                pallet.name,
                call.name
            );
            count += 1;
        }
    }
    assert!(count >= 5, "{count} calls say that they have no effect");
}

/// Checks that every unsupported item has one reason, and no other item has any.
fn check_absences(rows: &[Row]) {
    let mut wrong = Vec::new();
    for Row { item, status } in rows {
        let reasons = ABSENCES.iter().filter(|absence| absence.covers(item)).count();
        if reasons != usize::from(*status == Status::Missing) {
            wrong.push(format!("{} {} {}: {reasons} reasons", item.owner, item.kind, item.name));
        }
    }
    assert!(
        wrong.is_empty(),
        "unsupported items need one reason in ABSENCES, others none:\n{}",
        wrong.join("\n")
    );
    for absence in ABSENCES {
        let items = rows.iter().map(|row| &row.item).filter(|item| absence.covers(item));
        let covered: BTreeSet<&str> = items
            .map(|item| match absence.items {
                AbsentItems::All => item.owner.as_str(),
                AbsentItems::Items(..) => item.name.as_str(),
            })
            .collect();
        assert_eq!(covered.len(), absence.count(), "unknown names in {absence:?}");
    }
}

/// Returns the recorded types that our runtime has: recorded type ID to our type ID.
pub(crate) fn equal_types() -> Option<std::collections::BTreeMap<u32, u32>> {
    let recorded = vectors::real_chain_metadata()?;
    let metadata = vectors::localnet_metadata();
    let mut pairs = Pairs::new(&metadata.types, &recorded.types);
    rows(&items::from_metadata(metadata), &items::from_metadata(recorded), &mut pairs);
    Some(pairs.equal())
}
