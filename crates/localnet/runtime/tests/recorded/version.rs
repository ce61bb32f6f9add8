//! Test of the spec version, by which clients cache metadata and the node detects chains of another runtime.

use codec::Encode;
use frame_metadata::v15::RuntimeMetadataV15;
use scale_info::TypeDef;
use sp_io::hashing::blake2_256;
use taonet_localnet_runtime::VERSION;
use taonet_localnet_runtime::genesis::genesis;

use crate::vectors;

/// The spec version, and the hashes of the metadata and of the genesis state that belong to it.
const KNOWN: (u32, &str, &str) = (
    1_000_003,
    "eedb709b3c6ab84455ca5ba1ff721d71bd8386e2f4b47ccd1fdbca04bd6b87ee",
    "00dd217c99f20de580a81358e2b0895f3e0842e74cde7f84a158ff9e584854bb",
);

#[test]
fn metadata_and_genesis_belong_to_their_version() {
    let metadata = hex::encode(blake2_256(&without_words(vectors::ours().clone()).encode()));
    let first_block = hex::encode(blake2_256(&genesis(&[]).unwrap().top.encode()));
    let found = (VERSION.spec_version, metadata.as_str(), first_block.as_str());
    let remedy = if VERSION.spec_version == KNOWN.0 {
        "The metadata or the first block's state has changed, and clients keep metadata by the version, by which the node \
         also knows stored chains of another build: raise VERSION.spec_version in src/runtime.rs, and run this again"
    } else {
        "The version was raised: write what was found into KNOWN"
    };
    assert_eq!(found, KNOWN, "{remedy}");
}

/// Returns metadata without documentation, which does not matter to clients and depends on how dependencies are built.
fn without_words(mut metadata: RuntimeMetadataV15) -> RuntimeMetadataV15 {
    for known in &mut metadata.types.types {
        known.ty.docs.clear();
        match &mut known.ty.type_def {
            TypeDef::Composite(composite) => composite.fields.iter_mut().for_each(|field| field.docs.clear()),
            TypeDef::Variant(variants) => {
                for variant in &mut variants.variants {
                    variant.docs.clear();
                    variant.fields.iter_mut().for_each(|field| field.docs.clear());
                }
            }
            _ => {}
        }
    }
    for pallet in &mut metadata.pallets {
        pallet.docs.clear();
        pallet.storage.iter_mut().flat_map(|storage| &mut storage.entries).for_each(|entry| entry.docs.clear());
        pallet.constants.iter_mut().for_each(|constant| constant.docs.clear());
    }
    for api in &mut metadata.apis {
        api.docs.clear();
        api.methods.iter_mut().for_each(|method| method.docs.clear());
    }
    metadata
}
