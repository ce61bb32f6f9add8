//! Checks of verification keys that earlier commands made, in the user's cache directory.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use taonet_proof_circuits::{Backends, StoredChecks};

/// Makes the backends accept checks of earlier commands, and store those of this one. Without a
/// usable directory, the keys are compared with their networks each time.
pub(super) fn with_stored_checks(backends: Backends) -> Backends {
    let Some(cache) = dirs::cache_dir() else { return backends };
    match open_stored_checks(&cache) {
        Ok(checks) => backends.with_stored_checks(checks),
        Err(error) => {
            tracing::debug!(%error, "cannot keep the checks of verification keys");
            backends
        }
    }
}

fn open_stored_checks(cache: &Path) -> io::Result<StoredChecks> {
    StoredChecks::open(&cache.join("taonet").join("checked-circuits"), &program_fingerprint()?)
}

/// Returns a fingerprint that differs between this program and earlier ones at its path.
fn program_fingerprint() -> io::Result<String> {
    let file = std::env::current_exe()?.metadata()?;
    // A change of the contents also changes the inode change time, which no system call can set,
    // unlike the modification time.
    let change_time = format!("{}.{:09}", file.ctime(), file.ctime_nsec());
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!("{version} {} {} {} {change_time}", file.dev(), file.ino(), file.size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_description_is_stable() {
        let program = program_fingerprint().unwrap();
        assert_eq!(program, program_fingerprint().unwrap());
        assert_eq!(program.split(' ').count(), 5, "{program}");
    }

    #[test]
    fn checks_are_kept_in_a_private_directory_of_the_cache() {
        let cache = tempfile::tempdir().unwrap();
        open_stored_checks(cache.path()).unwrap();
        let mode = cache.path().join("taonet/checked-circuits").metadata().unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        // Without a cache directory that can be created, keys are compared each time.
        let file = cache.path().join("file");
        std::fs::write(&file, b"").unwrap();
        assert!(open_stored_checks(&file).is_err());
    }
}
