//! Test of the spec version. Clients cache metadata by this version, and the node uses it to detect
//! chains of a different runtime.

use codec::Encode;
use frame_metadata::v15::RuntimeMetadataV15;
use scale_info::TypeDef;
use sp_io::hashing::blake2_256;
use taonet_localnet_runtime::VERSION;
use taonet_localnet_runtime::genesis::genesis;

use crate::vectors;

/// The spec version, and the hashes of the metadata and of the genesis state that belong to it.
const RECORDED_VERSION: (u32, &str, &str) = (
    1_000_014,
    "5faa05748cdbccbf43cff4dd7017f0db9b69d0cd8d4d5f8a5d8bfcfa4afdc7df",
    "c5465475a9201d26c71a92c4f3da6642e435e1eb6f7a7c9a1665226a2d511ccd",
);

#[test]
fn metadata_and_genesis_belong_to_their_version() {
    let metadata =
        hex::encode(blake2_256(&without_docs(vectors::localnet_metadata().clone()).encode()));
    let first_block = hex::encode(blake2_256(&genesis(&[]).unwrap().top.encode()));
    let actual = (VERSION.spec_version, metadata.as_str(), first_block.as_str());
    let remedy = if VERSION.spec_version == RECORDED_VERSION.0 {
        "The metadata or the genesis state has changed. Clients cache metadata by the spec version, and the node \
         detects chains of other builds by it: raise VERSION.spec_version in src/runtime.rs and run this test again"
    } else {
        "The version was raised: copy the new values into RECORDED_VERSION"
    };
    assert_eq!(actual, RECORDED_VERSION, "{remedy}");
}

/// Returns metadata without documentation, with which no client decodes anything.
fn without_docs(mut metadata: RuntimeMetadataV15) -> RuntimeMetadataV15 {
    for portable in &mut metadata.types.types {
        portable.ty.docs.clear();
        match &mut portable.ty.type_def {
            TypeDef::Composite(composite) => {
                composite.fields.iter_mut().for_each(|field| field.docs.clear());
            }
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
        pallet
            .storage
            .iter_mut()
            .flat_map(|storage| &mut storage.entries)
            .for_each(|entry| entry.docs.clear());
        pallet.constants.iter_mut().for_each(|constant| constant.docs.clear());
    }
    for api in &mut metadata.apis {
        api.docs.clear();
        api.methods.iter_mut().for_each(|method| method.docs.clear());
    }
    metadata
}
