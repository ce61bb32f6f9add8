use std::ffi::OsStr;
#[cfg(unix)]
use std::fs::Permissions;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Read permission of a written file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Readable by all users (mode 0644).
    #[default]
    Everyone,
    /// Readable by the owner only (mode 0600): for keys, tokens and passwords.
    Owner,
}

/// Why a file could not be replaced. The old content, if any, is intact, unless only the final sync
/// of the directory failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
pub struct WriteError {
    /// Path of the file.
    pub path: PathBuf,
    /// The I/O error.
    pub source: io::Error,
}

/// Replaces the file at `path` atomically: a reader finds the old bytes or the new ones, even after
/// a crash or power cut.
///
/// The bytes go to a draft in the same directory, which is synced and renamed; then the directory
/// is synced. The draft has a fixed name, `.{name}.partial`: a killed process leaves at most one,
/// and the next write reuses it. The draft is locked while it is written, so that concurrent
/// writers are serialised.
///
/// A symbolic link stays: the file that it names is replaced. A file that is not a regular one,
/// such as a device or a named pipe, is not replaced: the bytes are written to it. With
/// [`Access::Everyone`], an existing file keeps its permissions.
///
/// This blocks on disk I/O: call it from a blocking task where that matters.
///
/// # Errors
/// [`WriteError`], for example for a missing directory, missing permissions or a full disk.
pub fn atomic_write(
    path: impl AsRef<Path>,
    bytes: &[u8],
    access: Access,
) -> Result<(), WriteError> {
    atomic_write_with(path, access, |file| file.write_all(bytes))
}

/// Replaces the file at `path` atomically with content that `write` produces. If `write` fails, the
/// old file remains.
///
/// # Errors
/// [`WriteError`]: the errors of [`atomic_write`], or the error of `write`.
pub fn atomic_write_with(
    path: impl AsRef<Path>,
    access: Access,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), WriteError> {
    let path = path.as_ref();
    let result = match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => {
            OpenOptions::new().write(true).open(path).and_then(|mut file| write(&mut file))
        }
        existing => replace(&link_target(path), access, existing.ok().as_ref(), write),
    };
    result.map_err(|source| WriteError { path: path.into(), source })
}

/// Returns the file that a symbolic link names; of any other path, and of a link without a target,
/// the path itself.
fn link_target(path: &Path) -> PathBuf {
    let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    let target = if is_link { fs::canonicalize(path).ok() } else { None };
    target.unwrap_or_else(|| path.to_owned())
}

fn replace(
    path: &Path,
    access: Access,
    existing: Option<&Metadata>,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let draft =
        path.with_file_name([OsStr::new("."), name, OsStr::new(".partial")].join(OsStr::new("")));
    let mut file = open_locked(&draft)?;
    let result = fill(&mut file, access, existing, write).and_then(|()| fs::rename(&draft, path));
    if result.is_err() {
        // The lock is still held: this is our own draft. If the removal fails, the next write
        // reuses it.
        let _ = fs::remove_file(&draft);
    }
    result?;
    #[cfg(unix)]
    File::open(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))?
        .sync_all()?;
    Ok(())
}

fn fill(
    file: &mut File,
    access: Access,
    existing: Option<&Metadata>,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    file.set_len(0)?;
    // Set before writing the content: the umask may have cleared bits, or an older draft may be
    // world-readable.
    #[cfg(unix)]
    file.set_permissions(permissions(access, existing))?;
    #[cfg(not(unix))]
    let _ = (access, existing);
    write(file)?;
    file.sync_all()
}

/// Opens and locks the draft file; waits while another writer holds the lock.
fn open_locked(draft: &Path) -> io::Result<File> {
    loop {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(draft)?;
        match file.lock() {
            // Some network file systems do not support locks.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            locked => locked?,
        }
        // The previous writer may have renamed or removed this very file.
        if is_same_file(&file, draft)? {
            return Ok(file);
        }
    }
}

#[cfg(unix)]
fn is_same_file(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    let opened_metadata = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => Err(io::ErrorKind::AlreadyExists.into()),
        Ok(metadata) => {
            Ok((metadata.dev(), metadata.ino()) == (opened_metadata.dev(), opened_metadata.ino()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn is_same_file(_: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}

#[cfg(unix)]
fn permissions(access: Access, existing: Option<&Metadata>) -> Permissions {
    use std::os::unix::fs::PermissionsExt;

    Permissions::from_mode(match (access, existing) {
        (Access::Everyone, Some(metadata)) => metadata.permissions().mode() & 0o777,
        (Access::Everyone, None) => 0o644,
        (Access::Owner, _) => 0o600,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_replaced_atomically() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        atomic_write(&path, b"a long first version", Access::Everyone).unwrap();
        atomic_write(&path, b"second", Access::Everyone).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn draft_of_killed_process_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (path, draft) = (dir.path().join("state.json"), dir.path().join(".state.json.partial"));
        fs::write(&draft, b"a draft that is longer than the content").unwrap();
        atomic_write(&path, b"whole", Access::Owner).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        let error = atomic_write_with(&path, Access::Owner, |file| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(error.unwrap_err().source.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft stays");
    }

    #[test]
    fn concurrent_writes_to_a_file_are_atomic() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        std::thread::scope(|scope| {
            for byte in b'a'..=b'd' {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..10 {
                        atomic_write(path, &[byte; 10_000], Access::Everyone).unwrap();
                        let contents = fs::read(path).unwrap();
                        assert!(
                            contents.len() == 10_000
                                && contents.iter().all(|other| *other == contents[0])
                        );
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn secret_files_are_readable_by_owner_only() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        for (access, mode) in [(Access::Owner, 0o600), (Access::Everyone, 0o644)] {
            let path = dir.path().join(format!("{mode:o}"));
            atomic_write(&path, b"x", access).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[cfg(unix)]
    #[test]
    fn symbolic_links_and_permissions_are_kept() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| dir.path().join(name));
        fs::write(&file, b"old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        atomic_write(&link, b"new", Access::Everyone).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("file"));
        let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o640);
        atomic_write(&link, b"secret", Access::Owner).unwrap();
        assert_eq!(mode(), 0o600);
        fs::remove_file(&file).unwrap();
        atomic_write(&link, b"without a target", Access::Everyone).unwrap();
        assert_eq!(fs::read(&link).unwrap(), b"without a target");
    }

    #[cfg(unix)]
    #[test]
    fn bytes_are_written_to_a_pipe() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        atomic_write(&pipe, b"samples", Access::Everyone).unwrap();
        assert_eq!(reader.join().unwrap(), b"samples");
        assert!(!fs::metadata(&pipe).unwrap().is_file());
    }

    #[test]
    fn failed_write_names_the_file_and_keeps_its_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("none/file");
        assert_eq!(atomic_write(&missing, b"x", Access::Everyone).unwrap_err().path, missing);
        let existing = dir.path().join("taken");
        fs::create_dir(&existing).unwrap();
        fs::write(existing.join("file"), b"old").unwrap();
        atomic_write(&existing, b"x", Access::Everyone).unwrap_err();
        assert_eq!(fs::read(existing.join("file")).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
        assert!(atomic_write("/", b"x", Access::Everyone).is_err());
    }
}
