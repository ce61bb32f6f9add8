//! Opens files at paths given by users, which may be pipes, devices or directories.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Opens a regular file; `None` for anything else. The type is checked after opening, so that the
/// file cannot be replaced in between; opening a named pipe does not block.
pub(crate) fn open_file(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits().cast_signed());
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata)))
}

/// Returns the mode bits of a regular file that users other than its owner can access; `None` for a
/// private file.
#[cfg(unix)]
pub(crate) fn exposed_mode(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;

    Some(metadata.permissions().mode() & 0o777)
        .filter(|mode| metadata.is_file() && mode & 0o077 != 0)
}

#[cfg(not(unix))]
pub(crate) const fn exposed_mode(_: &Metadata) -> Option<u32> {
    None
}

/// Logs a warning if a file with a secret is accessible to users other than its owner. Pipes and
/// terminals are skipped.
pub fn warn_if_exposed(file: &File, path: &Path) {
    if let Some(mode) = file.metadata().ok().as_ref().and_then(exposed_mode) {
        tracing::warn!(
            path = %path.display(), mode = format!("{mode:o}"),
            "secret is accessible to other users, run chmod 600"
        );
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;

    use super::*;

    /// Opening a pipe without a writer must not block.
    #[test]
    fn pipes_and_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert!(open_file(&pipe).unwrap().is_none());
        assert!(open_file(dir.path()).unwrap().is_none());
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(open_file(&dir.path().join("file")).unwrap().is_some());
    }
}
