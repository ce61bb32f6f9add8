//! Checks of keys that outlive the process.
//!
//! # Why this is sound
//!
//! A file in the directory says that the key of a circuit follows from its network. Whoever can
//! create such a file can make a false key pass, so only this user and root must be able to. Both
//! can already replace the program that trusts the file, its arguments and its output: the
//! directory adds nobody to those who are trusted.
//!
//! - The directory and each file must belong to the effective user, and nobody else may write to
//!   them: a directory that somebody else prepared is ignored. The directory stays open, and all
//!   files are accessed relative to it, so that no other directory can take its place after that.
//! - The name of a file has the identity of a circuit, which covers its metadata, network and key.
//!   A file says nothing about any other circuit. The hashes of network and key are compared with
//!   the identity each time.
//! - The name has a version, too: that of the rules, and of the program. A later program may lay
//!   out networks in another way, because an earlier one had an error, so it compares all keys
//!   again.
//! - A file is created after the comparison, empty and in one step. No crash and no full disk
//!   leaves a part of it.
//!
//! The proof itself is verified each time.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, open, openat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use taonet_proof_core::Digest;

/// Version of the rules by which a key follows from a network: the SHA-256 of the `stark` keys in
/// `vectors/proof`, which has one of each format. A test compares it.
const RULES_DIGEST: &str = "4556390a7f52a58eb4dbdb365b20ccfd5c981669d8d2de0cd74aa96b60890b34";
/// Number of hexadecimal digits of a circuit's identity.
const ID_DIGITS: usize = 64;
/// Number of hexadecimal digits of the version in a file name.
const VERSION_DIGITS: usize = 16;
/// Maximum number of files. With more circuits, all keys are compared again from time to time.
const MAX_FILES: usize = 1_000;

/// Identities of circuits whose keys were compared with their networks, kept in a directory of the
/// user. Commands that end after one proof use it: comparing a key can take a hundred times as long
/// as verifying a proof.
#[derive(Clone, Debug)]
pub struct StoredChecks {
    directory: Arc<OwnedFd>,
    /// End of the file names: a digest of [`RULES_DIGEST`] and of the program.
    version: String,
}

impl StoredChecks {
    /// Opens a directory, and creates it for the user only if it does not exist. `program` must
    /// differ between programs: checks by another program are ignored.
    ///
    /// # Errors
    /// When the directory cannot be created or opened, is a symbolic link, belongs to another user
    /// or is writable by others.
    pub fn open(directory: &Path, program: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = open(directory, flags, Mode::empty())?;
        if !is_private(&fstat(&directory)?) {
            let reason = "the directory belongs to another user or is writable by others";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
        let mut version = Digest::of(format!("{RULES_DIGEST}\n{program}").as_bytes()).to_string();
        version.truncate(VERSION_DIGITS);
        Ok(Self { directory: Arc::new(directory), version })
    }

    /// Returns whether the circuit with this identity was checked by this program.
    pub(crate) fn contains(&self, id: &Digest) -> bool {
        let stat = statat(&self.directory, self.file_name(id), AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| {
            is_private(&stat) && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        })
    }

    /// Stores that the circuit with this identity was checked.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub(crate) fn insert(&self, id: &Digest) -> io::Result<()> {
        self.remove_if_full()?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.directory, self.file_name(id), flags, Mode::RUSR | Mode::WUSR) {
            // Another process may have checked the circuit, too.
            Ok(_) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes all stored checks, also those of other versions of the program, if their number has
    /// reached [`MAX_FILES`]. Keeps other files.
    fn remove_if_full(&self) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.directory)? {
            let entry = entry?;
            if is_check_name(entry.file_name().to_bytes()) {
                names.push(entry.file_name().to_owned());
            }
        }
        if names.len() < MAX_FILES {
            return Ok(());
        }
        for name in names {
            match unlinkat(&self.directory, name, AtFlags::empty()) {
                // Another process may remove them, too.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn file_name(&self, id: &Digest) -> String {
        format!("{id}-{}", self.version)
    }
}

/// Returns whether a file belongs to the effective user, and nobody else may write to it.
fn is_private(stat: &Stat) -> bool {
    let is_writable_by_others =
        Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH);
    stat.st_uid == geteuid().as_raw() && !is_writable_by_others
}

/// Returns whether a file has the name of a check, by any program.
fn is_check_name(name: &[u8]) -> bool {
    name.len() == ID_DIGITS + 1 + VERSION_DIGITS
        && name.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::TempDir;

    use super::*;
    use crate::ModelBundle;

    fn digest(number: usize) -> Digest {
        Digest::of(&number.to_le_bytes())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn stored_check_is_valid_for_the_same_program_only() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("new/checks");
        let checks = StoredChecks::open(&path, "one").unwrap();
        assert!(!checks.contains(&digest(1)));
        checks.insert(&digest(1)).unwrap();
        checks.insert(&digest(1)).unwrap();
        let files: Vec<_> =
            fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(is_check_name(files[0].file_name().unwrap().as_encoded_bytes()), "{files:?}");
        assert_eq!((files.len(), mode(&path), mode(&files[0])), (1, 0o700, 0o600));
        let reopened = StoredChecks::open(&path, "one").unwrap();
        assert!(reopened.contains(&digest(1)) && !reopened.contains(&digest(2)));
        assert!(!StoredChecks::open(&path, "two").unwrap().contains(&digest(1)));
    }

    #[test]
    fn directory_that_others_can_write_to_is_refused() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("checks");
        fs::create_dir(&path).unwrap();
        for (mode, accepted) in
            [(0o755, true), (0o775, false), (0o757, false), (0o1777, false), (0o700, true)]
        {
            set_mode(&path, mode);
            assert_eq!(StoredChecks::open(&path, "one").is_ok(), accepted, "{mode:o}");
        }
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(StoredChecks::open(&link, "one").is_err(), "a symbolic link");
        if !geteuid().is_root() {
            assert!(
                StoredChecks::open(Path::new("/"), "one").is_err(),
                "the directory of another user"
            );
        }
    }

    #[test]
    fn file_that_others_can_write_to_is_ignored() {
        let folder = TempDir::new().unwrap();
        let checks = StoredChecks::open(folder.path(), "one").unwrap();
        checks.insert(&digest(1)).unwrap();
        let file = folder.path().join(checks.file_name(&digest(1)));
        set_mode(&file, 0o666);
        assert!(!checks.contains(&digest(1)));
        set_mode(&file, 0o600);
        assert!(checks.contains(&digest(1)));
        symlink(&file, folder.path().join(checks.file_name(&digest(2)))).unwrap();
        fs::create_dir(folder.path().join(checks.file_name(&digest(3)))).unwrap();
        assert!(!checks.contains(&digest(2)) && !checks.contains(&digest(3)));
    }

    /// The directory is not the one at its path any more.
    #[test]
    fn directory_replacing_the_open_one_is_ignored() {
        let folder = TempDir::new().unwrap();
        let (path, moved_path) = (folder.path().join("checks"), folder.path().join("moved"));
        let checks = StoredChecks::open(&path, "one").unwrap();
        fs::rename(&path, &moved_path).unwrap();
        fs::create_dir(&path).unwrap();
        File::create(path.join(checks.file_name(&digest(1)))).unwrap();
        assert!(!checks.contains(&digest(1)));
        checks.insert(&digest(1)).unwrap();
        assert!(
            checks.contains(&digest(1)) && moved_path.join(checks.file_name(&digest(1))).exists()
        );
    }

    #[test]
    fn full_check_directory_is_emptied() {
        let folder = TempDir::new().unwrap();
        let checks = StoredChecks::open(folder.path(), "one").unwrap();
        File::create(folder.path().join("other")).unwrap();
        for number in 0..MAX_FILES {
            checks.insert(&digest(number)).unwrap();
        }
        assert!((0..MAX_FILES).all(|number| checks.contains(&digest(number))));
        // Files of other programs count towards the limit.
        StoredChecks::open(folder.path(), "two").unwrap().insert(&digest(0)).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(!checks.contains(&digest(0)) && folder.path().join("other").exists());
    }

    /// If this test fails, a format of keys was added: set [`RULES_DIGEST`] to the digest that it
    /// prints.
    #[test]
    fn stored_check_rules_cover_keys_of_all_formats() {
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../vectors/proof");
        let mut names: Vec<_> = fs::read_dir(&vectors)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.retain(|name| name.starts_with("stark-"));
        names.sort();
        let key = |name: &String| match ModelBundle::open(&vectors.join(name)).unwrap() {
            ModelBundle::Single(bundle) => hex::decode(bundle.verification_key).unwrap(),
            ModelBundle::Sliced(_) => panic!("{name} is sliced"),
        };
        let keys: Vec<Vec<u8>> = names.iter().map(key).collect();
        assert_eq!(Digest::of(&keys.concat()).to_string(), RULES_DIGEST);
    }
}
