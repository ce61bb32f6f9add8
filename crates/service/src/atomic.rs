use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Who may read a written file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Everybody (mode 0644).
    #[default]
    Everyone,
    /// The owner only (mode 0600): for keys, tokens and passwords.
    Owner,
}

/// A file that could not be replaced. The old content, if any, is untouched.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Replaces the file at `path` as a whole: whoever reads it, even after a crash or a power cut, finds the old bytes or
/// the new ones.
///
/// The bytes go to a temporary file in the same directory, which is synced and renamed; then the directory is synced.
/// This blocks on the disk: call it from a blocking task where that matters.
///
/// # Errors
/// [`WriteError`]: no such directory, no permission, disk full.
pub fn atomic_write(path: impl AsRef<Path>, bytes: &[u8], access: Access) -> Result<(), WriteError> {
    let path = path.as_ref();
    replace(path, bytes, access).map_err(|source| WriteError { path: path.into(), source })
}

fn replace(path: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Removed when dropped; what a kill leaves behind is recognised by its name.
    let mut builder = tempfile::Builder::new();
    let prefix = [OsStr::new("."), name, OsStr::new(".")].join(OsStr::new(""));
    builder.prefix(&prefix).suffix(".tmp");
    #[cfg(unix)]
    builder.permissions(permissions(access));
    let mut file = builder.tempfile_in(dir)?;
    file.write_all(bytes)?;
    // The umask may have taken bits away that the file should have.
    #[cfg(unix)]
    file.as_file().set_permissions(permissions(access))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    #[cfg(unix)]
    File::open(dir)?.sync_all()?;
    Ok(())
}

#[cfg(unix)]
fn permissions(access: Access) -> Permissions {
    use std::os::unix::fs::PermissionsExt;

    Permissions::from_mode(match access {
        Access::Everyone => 0o644,
        Access::Owner => 0o600,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_file_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        atomic_write(&path, b"a long first version", Access::Everyone).unwrap();
        atomic_write(&path, b"second", Access::Everyone).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[cfg(unix)]
    #[test]
    fn secrets_are_for_the_owner() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        for (access, mode) in [(Access::Owner, 0o600), (Access::Everyone, 0o644)] {
            let path = dir.path().join(format!("{mode:o}"));
            atomic_write(&path, b"x", access).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[test]
    fn a_failure_names_the_file_and_keeps_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("none/file");
        assert_eq!(atomic_write(&missing, b"x", Access::Everyone).unwrap_err().path, missing);
        let taken = dir.path().join("taken");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("file"), b"old").unwrap();
        atomic_write(&taken, b"x", Access::Everyone).unwrap_err();
        assert_eq!(fs::read(taken.join("file")).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
        assert!(atomic_write("/", b"x", Access::Everyone).is_err());
    }
}
