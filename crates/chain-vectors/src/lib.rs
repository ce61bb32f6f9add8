//! Recordings of the real chain, as test vectors.
//!
//! The recordings are beside the repository, in `../shared/vectors/chain`; `TAONET_CHAIN_VECTORS` names another folder.
//! If they are missing, a test prints a notice and passes without testing anything; if `CI` is set, it fails.
//!
//! Uses no other crate of the workspace. Used by the tests of `taonet-timelock`, `taonet-localnet-runtime` and
//! `taonet-chain`.

#![allow(clippy::panic, reason = "for tests, which end so")]

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
/// Same as [`read`]; also if the file is not valid JSON.
#[must_use]
pub fn json(name: &str) -> Option<Value> {
    let value = serde_json::from_slice(&read(name)?);
    Some(value.unwrap_or_else(|error| panic!("{name} of the recordings: {error}")))
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
