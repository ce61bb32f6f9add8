use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};

use crate::{Check, Finding};

/// Free space from which a disk is too small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskNeeds {
    /// Free bytes below which writing will fail soon.
    pub fault_below: u64,
    /// Free bytes below which space should be made.
    pub warn_below: u64,
}

impl Default for DiskNeeds {
    /// 256 MiB, which the recordings of one round can fill, and 4 GiB, those of several days.
    fn default() -> Self {
        Self { fault_below: 256 << 20, warn_below: 4 << 30 }
    }
}

/// Checks that a directory can be written, and that its disk has space. A directory that does not exist yet is checked
/// where it would be created.
pub fn disk(what: &str, directory: &Path, needs: DiskNeeds) -> Finding {
    let subject = format!("{what}: {}", directory.display());
    let existing = match existing(directory) {
        Ok(existing) => existing,
        Err(error) => return Finding::error(Check::Disk, subject, &error, "choose another directory"),
    };
    if !existing.is_dir() {
        let seen = format!("{} is not a directory", existing.display());
        return Finding::fault(Check::Disk, subject, seen, "remove the file, or choose another directory");
    }
    if access(&existing, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let seen = format!("{} cannot be written", existing.display());
        let remedy = format!("run `sudo chown $USER {}`, or choose another directory", existing.display());
        return Finding::fault(Check::Disk, subject, seen, remedy);
    }
    free_space(subject, &existing, needs)
}

/// Checks only that the disk of a directory has space, for a daemon that may not need the directory.
pub fn disk_space(what: &str, directory: &Path, needs: DiskNeeds) -> Finding {
    let subject = format!("{what}: {}", directory.display());
    match existing(directory) {
        Ok(existing) => free_space(subject, &existing, needs),
        Err(error) => Finding::skipped(Check::Disk, subject, error.to_string()),
    }
}

fn free_space(subject: String, existing: &Path, needs: DiskNeeds) -> Finding {
    match statvfs(existing) {
        Ok(disk) => space(subject, disk.f_bavail.saturating_mul(disk.f_frsize), needs),
        Err(error) => Finding::skipped(Check::Disk, subject, format!("cannot read the free space: {error}")),
    }
}

fn space(subject: String, free: u64, needs: DiskNeeds) -> Finding {
    let seen = format!("{:.1} GB free", free as f64 / 1e9);
    let remedy = "free disk space: old recordings in the directories `logs` and `scores` are not needed by daemons";
    if free < needs.fault_below {
        Finding::fault(Check::Disk, subject, seen, remedy)
    } else if free < needs.warn_below {
        Finding::warning(Check::Disk, subject, seen, remedy)
    } else {
        Finding::ok(Check::Disk, subject, seen)
    }
}

/// Returns the directory, or its nearest ancestor that exists.
fn existing(directory: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(directory)?;
    let mut ancestors = absolute.ancestors();
    Ok(ancestors.find(|path| path.symlink_metadata().is_ok()).unwrap_or(Path::new("/")).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    const NOTHING: DiskNeeds = DiskNeeds { fault_below: 0, warn_below: 0 };

    #[test]
    fn full_disk_is_fault() {
        let needs = DiskNeeds::default();
        for (free, status) in
            [(0, Status::Fault), (255 << 20, Status::Fault), (1 << 30, Status::Warning), (5 << 30, Status::Ok)]
        {
            let finding = space("logs".to_owned(), free, needs);
            assert_eq!(finding.status, status, "{finding:?}");
        }
        let directory = tempfile::tempdir().unwrap();
        let too_small = DiskNeeds { fault_below: u64::MAX, warn_below: u64::MAX };
        assert_eq!(disk("logs", directory.path(), too_small).status, Status::Fault);
        assert_eq!(disk_space("logs", directory.path(), too_small).status, Status::Fault);
    }

    #[test]
    fn missing_directory_is_checked_where_it_would_be_created() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(disk("logs", &directory.path().join("a/b"), NOTHING).status, Status::Ok);
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let finding = disk("logs", &file.join("a"), NOTHING);
        assert_eq!(finding.status, Status::Fault);
        assert!(finding.seen.ends_with("file is not a directory"), "{finding:?}");
    }
}
