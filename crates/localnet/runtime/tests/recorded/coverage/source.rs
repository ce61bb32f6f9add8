//! Finds in the runtime's source code what clients can decode, but the runtime does not use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::document;
use crate::explanations::{Absence, AbsentItems, UNUSED};
use crate::items::{self, Kind};
use crate::vectors;

/// Storage that the runtime defines for clients and never writes.
const NEVER_WRITTEN: [&str; 16] = [
    "BurnRegistrationsThisInterval",
    "HasMigrationRun",
    "LastAdjustmentBlock",
    "LastTxBlockDelegateTake",
    "MaturityRate",
    "MaxWeightsLimit",
    "NetworkPowRegistrationAllowed",
    "POWRegistrationsThisInterval",
    "RootClaimType",
    "RootClaimed",
    "ScalingLawPower",
    "SubnetEmaProtocolFlow",
    "SubnetEpochConsensus",
    "TaoWeight",
    "UnlockRate",
    "WeightsVersionKeyRateLimit",
];

/// Methods that write storage.
const WRITE_METHODS: [&str; 15] = [
    "append",
    "clear",
    "clear_prefix",
    "drain",
    "drain_prefix",
    "insert",
    "kill",
    "mutate",
    "mutate_exists",
    "put",
    "remove",
    "set",
    "take",
    "try_mutate",
    "try_mutate_exists",
];

/// Writing methods that return the stored value.
const READING_WRITES: [&str; 3] = ["drain", "drain_prefix", "take"];

/// A pallet, a kind and the name of an item.
type Name = (String, Kind, String);

#[test]
fn storage_that_never_changes_is_named_in_the_document() {
    let code: String = modules().into_values().collect();
    let definitions =
        code.split("#[pallet::storage]").skip(1).filter_map(|text| text.split_once("pub type "));
    let items: BTreeSet<&str> = definitions.map(|(_, text)| identifier(text)).collect();
    let written_items: BTreeSet<&str> = accesses(&code)
        .filter(|(_, method)| WRITE_METHODS.contains(method))
        .map(|(item, _)| item)
        .collect();
    assert!(items.len() > 250, "{} storage items", items.len());
    let actual: Vec<&str> = items.difference(&written_items).copied().collect();
    assert_eq!(actual, NEVER_WRITTEN);
    let document = document::document(&[]);
    for item in NEVER_WRITTEN {
        assert!(document.contains(&format!("`{item}`")), "{item}");
    }
}

#[test]
fn items_for_clients_only_match_the_document() {
    let modules = modules();
    let used: BTreeSet<Name> =
        modules.iter().flat_map(|(module, code)| variants(module, code)).collect();
    let code: String = modules.values().map(String::as_str).collect();
    let (writes, reads): (Vec<_>, Vec<_>) = accesses(&code).partition(|(_, method)| {
        WRITE_METHODS.contains(method) && !READING_WRITES.contains(method)
    });
    let written_items: BTreeSet<&str> = writes.into_iter().map(|(item, _)| item).collect();
    let read_items: BTreeSet<&str> = reads.into_iter().map(|(item, _)| item).collect();
    let pallets: BTreeSet<String> = modules.keys().map(|module| pallet(module)).collect();
    let own = items::from_metadata(vectors::localnet_metadata())
        .into_iter()
        .filter(|item| pallets.contains(&item.owner));
    let unused = own.map(|item| (item.owner, item.kind, item.name)).filter(|name| match name.1 {
        Kind::Event | Kind::Error => !used.contains(name),
        Kind::Storage => {
            written_items.contains(name.2.as_str()) && !read_items.contains(name.2.as_str())
        }
        _ => false,
    });
    let actual: BTreeSet<Name> = unused.collect();
    let explained: Vec<Name> = UNUSED.iter().flat_map(names).collect();
    let explained_once: BTreeSet<Name> = explained.iter().cloned().collect();
    assert_eq!(explained.len(), explained_once.len(), "UNUSED names an item twice");
    let without_reason: Vec<_> = actual.difference(&explained_once).collect();
    let with_effect: Vec<_> = explained_once.difference(&actual).collect();
    assert!(without_reason.is_empty(), "no entry of UNUSED explains {without_reason:#?}");
    assert!(
        with_effect.is_empty(),
        "UNUSED names items that are used or unknown: {with_effect:#?}"
    );
}

/// Returns the items that an entry of UNUSED explains.
fn names(entry: &Absence) -> Vec<Name> {
    let AbsentItems::Items(kind, names) = entry.items else { panic!("{entry:?} names no items") };
    let items_of = |owner: &&str| -> Vec<Name> {
        names.iter().map(|name| ((*owner).to_owned(), kind, (*name).to_owned())).collect()
    };
    entry.owners.iter().flat_map(items_of).collect()
}

/// Returns the storage items that the code accesses, and with which methods, as in
/// `Owner::<T>::insert`.
fn accesses(code: &str) -> impl Iterator<Item = (&str, &str)> {
    code.match_indices("::<").filter_map(|(at, _)| {
        let (_, method) = code[at..].split_once('>')?;
        Some((last_identifier(&code[..at]), identifier(method.strip_prefix("::")?)))
    })
}

/// Returns the events and errors that the code of a module uses, as in `Event::StakeAdded`,
/// `SubtensorEvent::StakeAdded` or `subtensor::Error::<T>::AmountTooLow`.
fn variants(module: &str, code: &str) -> Vec<Name> {
    let uses =
        [("Event", Kind::Event), ("Error", Kind::Error)].into_iter().flat_map(|(name, kind)| {
            code.match_indices(name).filter_map(move |(at, _)| {
                let (before, after) = (&code[..at], &code[at + name.len()..]);
                let after = after
                    .strip_prefix("::<")
                    .map_or(Some(after), |generic| Some(generic.split_once('>')?.1))?;
                let variant = identifier(after.strip_prefix("::")?);
                let owner = match (last_identifier(before), before.strip_suffix("::")) {
                    ("", Some(path)) => last_identifier(path),
                    ("", None) => module,
                    (part_of_name, _) => part_of_name,
                };
                Some((pallet(owner), kind, variant.to_owned()))
            })
        });
    uses.collect()
}

/// Returns the name of the pallet of a module.
fn pallet(module: &str) -> String {
    let mut pallet = String::new();
    for word in module.split('_') {
        let (first, remaining) = word.split_at(1.min(word.len()));
        pallet += &first.to_uppercase();
        pallet += remaining;
    }
    if pallet == "Subtensor" { "SubtensorModule".to_owned() } else { pallet }
}

/// Returns the code of the crate's modules, with that of their children, without comments and
/// tests.
fn modules() -> BTreeMap<String, String> {
    let mut modules: BTreeMap<String, String> = BTreeMap::new();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().and_then(|name| name.to_str()).unwrap().to_owned();
        modules.entry(module).or_default().push_str(&code_in(&path));
    }
    modules
}

/// Returns the code of a file, or of all files in a folder.
fn code_in(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap();
    if matches!(name, "tests" | "tests.rs" | "testing.rs") {
        return String::new();
    }
    if path.is_dir() {
        return std::fs::read_dir(path)
            .unwrap()
            .map(|entry| code_in(&entry.unwrap().path()))
            .collect();
    }
    let text = std::fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// Returns the identifier at the start of a text.
fn identifier(text: &str) -> &str {
    text.split(|character: char| !is_in_identifier(character)).next().unwrap_or_default()
}

/// Returns the identifier at the end of a text.
fn last_identifier(text: &str) -> &str {
    text.rsplit(|character: char| !is_in_identifier(character)).next().unwrap_or_default()
}

fn is_in_identifier(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}
