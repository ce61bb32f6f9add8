//! Inputs of parsers that read files.

use std::path::Path;

/// Calls `read` with the path of a file of this name and content, which is deleted afterwards.
pub(crate) fn with_file<T>(name: &str, content: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("a temporary file");
    read(&path)
}
