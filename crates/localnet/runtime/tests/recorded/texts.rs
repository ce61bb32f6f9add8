//! Texts that clients show and compare.

use frame_metadata::v15::RuntimeMetadataV15;
use scale_info::TypeDef;

use crate::vectors;

/// Pallets that are not polkadot-sdk's.
const PALLETS: [&str; 8] =
    ["SubtensorModule", "Proxy", "Commitments", "AdminUtils", "Drand", "Crowdloan", "Swap", "MevShield"];

/// Returns the names and texts of a pallet's errors.
fn errors(metadata: &RuntimeMetadataV15, name: &str) -> Vec<(String, Vec<String>)> {
    let pallet = metadata.pallets.iter().find(|pallet| pallet.name == name).unwrap();
    let errors = metadata.types.resolve(pallet.error.as_ref().unwrap().ty.id).unwrap();
    let TypeDef::Variant(errors) = &errors.type_def else { panic!("{name}: not an enum") };
    errors.variants.iter().map(|error| (error.name.clone(), error.docs.clone())).collect()
}

#[test]
fn error_texts_are_the_real_chains() {
    let Some(theirs) = vectors::theirs() else { return };
    for pallet in PALLETS {
        let theirs = errors(theirs, pallet);
        assert!(!theirs.is_empty(), "{pallet}");
        for ((name, ours), (_, theirs)) in errors(vectors::ours(), pallet).into_iter().zip(theirs) {
            let trimmed: Vec<_> = theirs.iter().map(|line| line.trim()).collect();
            let ours: Vec<_> = ours.iter().map(|line| line.trim()).collect();
            assert_eq!(ours, trimmed, "{pallet}.{name}");
        }
    }
}
