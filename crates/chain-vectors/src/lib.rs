//! Recordings of the real chain, as test vectors.
//!
//! The files come from a local node with the main network's runtime (node-subtensor, spec version
//! 461) and from Bittensor's own libraries: metadata, storage keys, calls, extrinsics, timelock and
//! MEV shield ciphertexts, prices and emission. Tests compare our codecs, the client and the
//! development chain with them. The files are too large for the repository and are kept beside it,
//! in `../shared/vectors/chain`; the environment variable `TAONET_CHAIN_VECTORS` names another
//! directory.
//!
//! - [`read`] returns the bytes of a file, decompressed if its name ends in `.gz`;
//! - [`json`] returns the parsed JSON document.
//!
//! If the directory is missing, both print `NOT TESTED` with a hint to standard error and return
//! `None`. The test then returns early and passes, so that `cargo test` works in a plain clone. If
//! the environment variable `CI` is set, both panic instead, so that no CI run passes without the
//! recordings.
//!
//! ```no_run
//! let Some(metadata) = taonet_chain_vectors::json("runtime_spec461.json") else { return };
//! assert_eq!(metadata["spec_version"], 461);
//! ```
//!
//! Functions panic on errors, because only tests call them. The crate does not record anything, and
//! no product code depends on it.
//!
//! Uses no other crate of the workspace. Used by the tests of `taonet-chain`, `taonet-shield`,
//! `taonet-timelock` and `taonet-localnet-runtime`, and by the end-to-end tests.

#![allow(clippy::panic, reason = "tests fail by panicking")]

use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Reads a recorded file, decompressed if its name ends in `.gz`; `None` if the recordings are
/// missing.
///
/// # Panics
/// If the file cannot be read; with `CI` set, also if the recordings are missing.
#[must_use]
pub fn read(name: &str) -> Option<Vec<u8>> {
    let path = recordings_directory()?.join(name);
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

fn recordings_directory() -> Option<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let directory = std::env::var_os("TAONET_CHAIN_VECTORS");
    let directory = repository.join(directory.unwrap_or_else(|| "../shared/vectors/chain".into()));
    let is_ci = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
    // Standard error itself, since the test harness captures what passing tests print.
    require_directory(directory, is_ci, &mut std::io::stderr())
}

/// Returns the directory if it exists. Otherwise panics in CI, and elsewhere writes a line that
/// `./test` repeats in its summary.
fn require_directory(directory: PathBuf, is_ci: bool, output: &mut impl Write) -> Option<PathBuf> {
    if directory.is_dir() {
        return Some(directory);
    }
    let message = format!(
        "NOT TESTED: no recordings in {}; hint: set TAONET_CHAIN_VECTORS to their directory",
        directory.display()
    );
    assert!(!is_ci, "{message}");
    let _ = writeln!(output, "{message}");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn existing_recordings_print_no_message() {
        let (directory, mut output) = (PathBuf::from(env!("CARGO_MANIFEST_DIR")), Vec::<u8>::new());
        assert_eq!(require_directory(directory.clone(), true, &mut output), Some(directory));
        assert!(output.is_empty());
    }

    #[test]
    fn missing_recordings_are_reported() {
        let (directory, mut output) =
            (Path::new(env!("CARGO_MANIFEST_DIR")).join("missing"), Vec::<u8>::new());
        assert_eq!(require_directory(directory.clone(), false, &mut output), None);
        let expected = format!(
            "NOT TESTED: no recordings in {}; hint: set TAONET_CHAIN_VECTORS to their directory\n",
            directory.display()
        );
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }

    #[test]
    #[should_panic(expected = "NOT TESTED: no recordings in")]
    fn missing_recordings_fail_in_ci() {
        require_directory(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("missing"),
            true,
            &mut Vec::<u8>::new(),
        );
    }
}
