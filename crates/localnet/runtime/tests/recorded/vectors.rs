//! Paths of the recordings, and the metadata of both runtimes.

use std::sync::OnceLock;

use codec::Decode;
use frame_metadata::v15::RuntimeMetadataV15;
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
pub(crate) use taonet_chain_vectors::{json, read};
use taonet_localnet_runtime::Runtime;

/// Root directory of the repository.
pub(crate) const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");

/// Returns the recorded metadata; `None` without the recordings.
pub(crate) fn recorded_metadata() -> Option<&'static RuntimeMetadataV15> {
    static THEIRS: OnceLock<Option<RuntimeMetadataV15>> = OnceLock::new();
    THEIRS
        .get_or_init(|| read("metadata_v15_spec461.scale.gz").map(|bytes| version_15(&bytes)))
        .as_ref()
}

/// Returns our metadata.
pub(crate) fn ours() -> &'static RuntimeMetadataV15 {
    static OURS: OnceLock<RuntimeMetadataV15> = OnceLock::new();
    OURS.get_or_init(|| version_15(&Runtime::metadata_at_version(15).unwrap()))
}

fn version_15(bytes: &[u8]) -> RuntimeMetadataV15 {
    let RuntimeMetadataPrefixed(_, RuntimeMetadata::V15(metadata)) =
        RuntimeMetadataPrefixed::decode(&mut &bytes[..]).unwrap()
    else {
        panic!("not metadata of version 15")
    };
    metadata
}

/// Decodes a hexadecimal JSON string.
pub(crate) fn bytes(json: &serde_json::Value) -> Vec<u8> {
    hex::decode(json.as_str().unwrap().trim_start_matches("0x")).unwrap()
}
