//! Where the recorded chain is, and both runtimes' metadata.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use codec::Decode;
use frame_metadata::v15::RuntimeMetadataV15;
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use serde_json::Value as Json;
use taonet_localnet_runtime::Runtime;

/// The folder that holds the repository.
pub(crate) const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");

/// The folder of the vectors; none where it is absent, which is an error where everything must be tested.
fn folder() -> Option<PathBuf> {
    let default = || Path::new(REPOSITORY).join("../shared/vectors/chain");
    let folder = std::env::var_os("TAONET_CHAIN_VECTORS").map_or_else(default, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    let message =
        format!("NOT TESTED: no chain vectors at {}; TAONET_CHAIN_VECTORS says where they are", folder.display());
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{message}");
    eprintln!("{message}");
    None
}

/// A JSON file of the vectors. Numbers beyond 64 bits become floats: compare these by their bytes.
pub(crate) fn json(name: &str) -> Option<Json> {
    Some(serde_json::from_str(&std::fs::read_to_string(folder()?.join(name)).unwrap()).unwrap())
}

/// A compressed file of the vectors.
pub(crate) fn gunzip(name: &str) -> Option<Vec<u8>> {
    let file = std::fs::File::open(folder()?.join(name)).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

/// The recorded metadata, read once.
pub(crate) fn theirs() -> Option<&'static RuntimeMetadataV15> {
    static THEIRS: OnceLock<Option<RuntimeMetadataV15>> = OnceLock::new();
    THEIRS.get_or_init(|| gunzip("metadata_v15_spec461.scale.gz").map(|bytes| version_15(&bytes))).as_ref()
}

/// Our metadata, made once.
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

/// Bytes that JSON has as hexadecimal text.
pub(crate) fn bytes(json: &Json) -> Vec<u8> {
    hex::decode(json.as_str().unwrap().trim_start_matches("0x")).unwrap()
}
