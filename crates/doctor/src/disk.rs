use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};
use rustix::io::Errno;
use rustix::process::geteuid;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::finding::quoted;
use crate::{Check, Finding, UnitUser};

/// Free space from which a disk is too small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskNeeds {
    /// Free bytes below which writing will fail soon.
    pub fault_below: u64,
    /// Free bytes below which space should be made.
    pub warn_below: u64,
}

impl DiskNeeds {
    /// Recordings: 256 MiB, which one round can fill, and 4 GiB, those of several days.
    pub const RECORDINGS: Self = Self { fault_below: 256 << 20, warn_below: 4 << 30 };
    /// Ledgers and logs of requests, which grow by a few MiB a day: 16 MiB and 256 MiB.
    pub const STATE: Self = Self { fault_below: 16 << 20, warn_below: 256 << 20 };
}

/// A directory in which a daemon writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteDirectory {
    /// Description of the daemon's data there, such as `logs`.
    pub content: &'static str,
    /// The path, which need not exist yet.
    pub path: PathBuf,
    /// The space that the content needs.
    pub needs: DiskNeeds,
    /// The user as whom the daemon writes, if this process runs as root, who can write everywhere.
    pub user: Option<UnitUser>,
}

impl WriteDirectory {
    /// Creates the description of a directory.
    pub fn new(content: &'static str, path: impl Into<PathBuf>, needs: DiskNeeds) -> Self {
        Self { content, path: path.into(), needs, user: None }
    }

    /// Creates the description of the directory of a file.
    pub fn of_file(content: &'static str, file: &Path, needs: DiskNeeds) -> Self {
        // The parent of a bare file name is an empty path.
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        Self::new(content, parent.unwrap_or(Path::new(".")), needs)
    }

    /// Sets the user of systemd's units as the writer if the directory is one of theirs, and this
    /// process runs as root.
    #[must_use]
    pub fn written_by(mut self, user: Option<&UnitUser>) -> Self {
        let user = user.filter(|user| {
            geteuid().is_root()
                && std::path::absolute(&self.path).is_ok_and(|path| path.starts_with(&user.state))
        });
        self.user = user.cloned();
        self
    }

    fn subject(&self) -> String {
        format!("{}: {}", self.content, self.path.display())
    }
}

/// Checks that directories can be written, and that their disks have space; several directories on
/// one disk have one finding on its space. A directory that does not exist yet is checked where it
/// would be created.
///
/// A network file system can block for minutes, so the check runs on a blocking thread, and is
/// skipped without a result within `time_limit`.
pub async fn disks(directories: Vec<WriteDirectory>, time_limit: Duration) -> Vec<Finding> {
    let subject = directories.first().map(WriteDirectory::subject).unwrap_or_default();
    match timeout(time_limit, spawn_blocking(move || check_disks(&directories))).await {
        Ok(Ok(findings)) => findings,
        Ok(Err(error)) => vec![Finding::skipped(Check::Disk, subject, error.to_string())],
        Err(_) => {
            let reason =
                format!("no response from the file system within {} s", time_limit.as_secs_f64());
            vec![Finding::skipped(Check::Disk, subject, reason)]
        }
    }
}

/// Directories on one disk.
struct Disk {
    /// An existing directory on the disk.
    directory: PathBuf,
    /// Descriptions of the data on the disk.
    contents: Vec<&'static str>,
    /// The largest needs of the directories.
    needs: DiskNeeds,
}

fn check_disks(directories: &[WriteDirectory]) -> Vec<Finding> {
    let mut findings = Vec::new();
    // By device number.
    let mut disks = BTreeMap::<u64, Disk>::new();
    for directory in directories {
        match writable_ancestor(directory) {
            Ok((ancestor, device)) => {
                let WriteDirectory { content, needs, .. } = *directory;
                let disk = disks.entry(device).or_insert(Disk {
                    directory: ancestor,
                    contents: Vec::new(),
                    needs,
                });
                disk.contents.push(content);
                disk.needs = disk.needs.max(needs);
            }
            Err(finding) => findings.push(finding),
        }
    }
    findings.extend(disks.into_values().map(|disk| free_space(&disk)));
    findings
}

/// Returns the directory, or its nearest existing ancestor, and the number of its device; a fault
/// if it cannot be written.
fn writable_ancestor(directory: &WriteDirectory) -> Result<(PathBuf, u64), Finding> {
    let subject = directory.subject();
    let ancestor_with_metadata =
        existing_ancestor(&directory.path).and_then(|path| Ok((path.metadata()?, path)));
    let (metadata, ancestor) = match ancestor_with_metadata {
        Ok(ancestor_with_metadata) => ancestor_with_metadata,
        Err(error) => {
            return Err(Finding::error(Check::Disk, subject, &error, "choose another directory"));
        }
    };
    if !metadata.is_dir() {
        let seen = format!("{} is not a directory", ancestor.display());
        return Err(Finding::fault(
            Check::Disk,
            subject,
            seen,
            "remove the file, or choose another directory",
        ));
    }
    match access(&ancestor, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => match &directory.user {
            // Before the first start, systemd has not created the directory.
            Some(user) if ancestor.starts_with(&user.state) && !user.can_write(&metadata) => {
                Err(not_writable_by(user, subject, &ancestor))
            }
            _ => Ok((ancestor, metadata.dev())),
        },
        Err(error) => Err(not_writable(subject, &directory.path, &ancestor, error)),
    }
}

fn not_writable(subject: String, directory: &Path, ancestor: &Path, error: Errno) -> Finding {
    let create_command = if ancestor == directory {
        String::new()
    } else {
        format!("sudo mkdir -p {} && ", quoted(directory))
    };
    let ancestor = ancestor.display();
    if error == Errno::ROFS {
        let directory = directory.display();
        let remedy = format!(
            "mount a writable volume at {directory}, or choose another directory; if the disk was mounted writable, \
             `dmesg` has the error that made it read-only"
        );
        return Finding::fault(
            Check::Disk,
            subject,
            format!("{ancestor} is on a read-only file system"),
            remedy,
        );
    }
    let remedy = format!(
        "run `{create_command}sudo chown $USER {}`, or choose another directory",
        quoted(directory)
    );
    Finding::fault(Check::Disk, subject, format!("{ancestor} cannot be written: {error}"), remedy)
}

fn not_writable_by(user: &UnitUser, subject: String, ancestor: &Path) -> Finding {
    let name = &user.name;
    let seen = format!(
        "{} can be written by root, but not by {name}, the user of the units",
        ancestor.display()
    );
    let remedy = format!("run `sudo chown {name}: {}`", quoted(ancestor));
    Finding::fault(Check::Disk, subject, seen, remedy)
}

fn free_space(disk: &Disk) -> Finding {
    let subject = format!("{}: {}", disk.contents.join(", "), disk.directory.display());
    let statistics = match statvfs(&disk.directory) {
        Ok(statistics) => statistics,
        Err(error) => {
            return Finding::skipped(
                Check::Disk,
                subject,
                format!("cannot read the free space: {error}"),
            );
        }
    };
    // Some FUSE and network file systems have no sizes. Nor has /proc, in which nobody can create
    // files, although its permissions let root. The temporary file has no name, or not for long.
    if statistics.f_blocks == 0 {
        return match tempfile::tempfile_in(&disk.directory) {
            Ok(_) => Finding::skipped(Check::Disk, subject, "the file system reports no sizes"),
            Err(error) => {
                let seen = format!("cannot create files: {error}");
                Finding::fault(Check::Disk, subject, seen, "choose another directory")
            }
        };
    }
    if statistics.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Finding::skipped(Check::Disk, subject, "the file system is read-only");
    }
    classify_space(subject, statistics.f_bavail.saturating_mul(statistics.f_frsize), disk.needs)
}

fn classify_space(subject: String, free_bytes: u64, needs: DiskNeeds) -> Finding {
    let seen = format!("{:.1} GB free", free_bytes as f64 / 1e9);
    let remedy = "free disk space: old recordings in the directories `logs` and `scores` are not needed by daemons";
    if free_bytes < needs.fault_below {
        Finding::fault(Check::Disk, subject, seen, remedy)
    } else if free_bytes < needs.warn_below {
        Finding::warning(Check::Disk, subject, seen, remedy)
    } else {
        Finding::ok(Check::Disk, subject, seen)
    }
}

/// Returns the directory, or its nearest ancestor that exists.
fn existing_ancestor(directory: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(directory)?;
    let mut ancestors = absolute.ancestors();
    Ok(ancestors.find(|path| path.symlink_metadata().is_ok()).unwrap_or(Path::new("/")).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    const NO_MINIMUM: DiskNeeds = DiskNeeds { fault_below: 0, warn_below: 0 };
    const UNREACHABLE_MINIMUM: DiskNeeds =
        DiskNeeds { fault_below: u64::MAX, warn_below: u64::MAX };
    const SHORT_TIMEOUT: Duration = Duration::from_secs(10);

    #[test]
    fn full_disk_is_fault() {
        for (needs, free, status) in [
            (DiskNeeds::RECORDINGS, 0, Status::Fault),
            (DiskNeeds::RECORDINGS, 255 << 20, Status::Fault),
            (DiskNeeds::RECORDINGS, 1 << 30, Status::Warning),
            (DiskNeeds::RECORDINGS, 5 << 30, Status::Ok),
            (DiskNeeds::STATE, 15 << 20, Status::Fault),
            (DiskNeeds::STATE, 1 << 30, Status::Ok),
        ] {
            let finding = classify_space("logs".to_owned(), free, needs);
            assert_eq!(finding.status, status, "{finding:?}");
        }
    }

    #[tokio::test]
    async fn directories_on_one_disk_have_one_finding() {
        let directory = tempfile::tempdir().unwrap();
        let directory_in =
            |content, name, needs| WriteDirectory::new(content, directory.path().join(name), needs);
        let directories = vec![
            directory_in("logs", "a", NO_MINIMUM),
            directory_in("scores", "b/c", UNREACHABLE_MINIMUM),
        ];
        let findings = disks(directories, SHORT_TIMEOUT).await;
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].subject.starts_with("logs, scores: "), "{findings:?}");
        assert_eq!(findings[0].status, Status::Fault, "the larger needs count");
        assert_eq!(disks(Vec::new(), SHORT_TIMEOUT).await, []);
        assert_eq!(
            WriteDirectory::of_file("log", Path::new("a/b"), NO_MINIMUM).path,
            Path::new("a")
        );
        assert_eq!(WriteDirectory::of_file("log", Path::new("b"), NO_MINIMUM).path, Path::new("."));
    }

    #[tokio::test]
    async fn missing_directory_is_checked_where_it_would_be_created() {
        let directory = tempfile::tempdir().unwrap();
        let check = |path: PathBuf| {
            disks(vec![WriteDirectory::new("logs", path, NO_MINIMUM)], SHORT_TIMEOUT)
        };
        assert_eq!(check(directory.path().join("a/b")).await[0].status, Status::Ok);
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let findings = check(file.join("a")).await;
        assert_eq!(findings[0].status, Status::Fault);
        assert!(findings[0].seen.ends_with("file is not a directory"), "{findings:?}");
    }

    #[test]
    fn root_checks_whether_the_user_of_units_can_write() {
        let directory = tempfile::tempdir().unwrap();
        let metadata = directory.path().metadata().unwrap();
        let check = |uid, gid, state: &Path| {
            let user = UnitUser { name: "taonet".to_owned(), uid, gid, state: state.to_owned() };
            let path = directory.path().join("logs");
            let directory = WriteDirectory {
                user: Some(user),
                ..WriteDirectory::new("logs", path, NO_MINIMUM)
            };
            check_disks(&[directory]).remove(0)
        };
        // The directory has mode 0700.
        assert_eq!(check(metadata.uid(), metadata.gid(), directory.path()).status, Status::Ok);
        let finding = check(metadata.uid() + 1, metadata.gid(), directory.path());
        assert_eq!(finding.status, Status::Fault, "{finding:?}");
        let remedy = format!("run `sudo chown taonet: {}`", directory.path().display());
        assert_eq!(finding.remedy, Some(remedy));
        // Systemd creates the directory of the units when they start.
        let state = directory.path().join("logs");
        assert_eq!(check(metadata.uid() + 1, metadata.gid(), &state).status, Status::Ok);
        let without_unit_user =
            WriteDirectory::new("logs", "/srv/logs", NO_MINIMUM).written_by(None);
        assert_eq!(without_unit_user.user, None);
    }

    #[test]
    fn directory_in_proc_is_fault() {
        // Linux's /proc has no blocks; whether its permissions let this user write depends on the
        // user and the container.
        let proc = Path::new("/proc/self");
        if proc.is_dir() {
            let disk = Disk {
                directory: proc.to_owned(),
                contents: vec!["logs"],
                needs: UNREACHABLE_MINIMUM,
            };
            let finding = free_space(&disk);
            assert_eq!(finding.status, Status::Fault, "{finding:?}");
            assert!(finding.seen.starts_with("cannot create files: "), "{finding:?}");
        }
    }

    #[test]
    fn read_only_file_system_has_its_own_remedy() {
        let finding = |error| {
            not_writable("logs".to_owned(), Path::new("/srv/logs"), Path::new("/srv"), error)
        };
        assert!(finding(Errno::ROFS).seen.ends_with("is on a read-only file system"));
        assert!(
            finding(Errno::ROFS)
                .remedy
                .unwrap()
                .starts_with("mount a writable volume at /srv/logs")
        );
        let remedy = finding(Errno::ACCESS).remedy.unwrap();
        assert!(
            remedy.starts_with("run `sudo mkdir -p /srv/logs && sudo chown $USER /srv/logs`"),
            "{remedy}"
        );
        let logs = Path::new("/srv/logs");
        let remedy = not_writable("logs".to_owned(), logs, logs, Errno::ACCESS).remedy.unwrap();
        assert!(remedy.starts_with("run `sudo chown $USER /srv/logs`"), "{remedy}");
        let (srv, logs) = (Path::new("/srv"), Path::new("/srv/my logs"));
        let remedy = not_writable("logs".to_owned(), logs, srv, Errno::ACCESS).remedy.unwrap();
        let command = "run `sudo mkdir -p '/srv/my logs' && sudo chown $USER '/srv/my logs'`";
        assert!(remedy.starts_with(command), "{remedy}");
    }
}
