//! Texts that clients show and compare.

use std::collections::BTreeMap;

use frame_metadata::v15::RuntimeMetadataV15;
use scale_info::TypeDef;

use crate::vectors;

/// Returns the texts of all errors, by pallet and name.
fn errors(metadata: &RuntimeMetadataV15) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for pallet in &metadata.pallets {
        let Some(errors) = &pallet.error else { continue };
        let errors = metadata.types.resolve(errors.ty.id).unwrap();
        let TypeDef::Variant(errors) = &errors.type_def else {
            panic!("{}: not an enum", pallet.name)
        };
        for error in &errors.variants {
            let lines: Vec<_> = error.docs.iter().map(|line| line.trim()).collect();
            texts.insert(format!("{}.{}", pallet.name, error.name), lines.join("\n"));
        }
    }
    texts
}

#[test]
fn error_texts_match_the_real_chain() {
    let Some(theirs) = vectors::recorded_metadata() else { return };
    let theirs = errors(theirs);
    let mut compared = 0;
    for (name, ours) in errors(vectors::ours()) {
        // Which errors exist is compared elsewhere.
        let Some(theirs) = theirs.get(&name) else { continue };
        assert_eq!(ours, *theirs, "{name}");
        compared += 1;
    }
    assert!(compared > 300, "{compared}");
}
