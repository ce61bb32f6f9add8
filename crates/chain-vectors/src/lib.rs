//! Recordings of the real chain, as test vectors.
//!
//! The files come from a local node with the main network's runtime (node-subtensor, spec version 461) and from
//! Bittensor's own libraries: metadata, storage keys, calls, extrinsics, timelock and MEV shield ciphertexts, prices
//! and emission. Tests compare our codecs, the client and the development chain with them. The files are too large for
//! the repository and are kept beside it, in `../shared/vectors/chain`; the environment variable
//! `TAONET_CHAIN_VECTORS` names another directory.
//!
//! - [`read`] returns the bytes of a file, decompressed if its name ends in `.gz`;
//! - [`json`] returns the parsed JSON document.
//!
//! If the directory is missing, both print `NOT TESTED` with a hint to standard error and return `None`. The test then
//! returns early and passes, so that `cargo test` works in a plain clone. If the environment variable `CI` is set, both
//! panic instead, so that no CI run passes without the recordings.
//!
//! ```no_run
//! let Some(metadata) = taonet_chain_vectors::json("runtime_spec461.json") else { return };
//! assert_eq!(metadata["spec_version"], 461);
//! ```
//!
//! Functions panic on errors, because only tests call them. The crate does not record anything, and no product code
//! depends on it.
//!
//! Uses no other crate of the workspace. Used by the tests of `taonet-chain`, `taonet-shield`, `taonet-timelock` and
//! `taonet-localnet-runtime`, and by the end-to-end tests.

#![allow(clippy::panic, reason = "tests fail by panicking")]

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Reads a recorded file, decompressed if its name ends in `.gz`; `None` if the recordings are missing.
///
/// # Panics
/// If the file cannot be read; with `CI` set, also if the recordings are missing.
#[must_use]
pub fn read(name: &str) -> Option<Vec<u8>> {
    let path = folder()?.join(name);
    let unpacked = std::fs::read(&path).and_then(|bytes| {
        if Path::new(name).extension().is_none_or(|extension| extension != "gz") {
            return Ok(bytes);
        }
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked)?;
        Ok(unpacked)
    });
    Some(unpacked.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// Reads a recorded JSON file; `None` if the recordings are missing.
///
/// # Panics
/// If [`read`] panics, or if the file is not valid JSON.
#[must_use]
pub fn json(name: &str) -> Option<Value> {
    let value = serde_json::from_slice(&read(name)?);
    Some(value.unwrap_or_else(|error| panic!("malformed recording {name}: {error}")))
}

fn folder() -> Option<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let given = std::env::var_os("TAONET_CHAIN_VECTORS");
    let folder = repository.join(given.unwrap_or_else(|| "../shared/vectors/chain".into()));
    if folder.is_dir() {
        return Some(folder);
    }
    let message =
        format!("NOT TESTED: no recordings in {}; hint: set TAONET_CHAIN_VECTORS to their directory", folder.display());
    assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{message}");
    // Bypasses the test harness, which captures the output of passing tests.
    let _ = writeln!(std::io::stderr(), "{message}");
    None
}
