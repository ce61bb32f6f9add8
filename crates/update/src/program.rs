//! The installed program: its version, and its replacement.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use semver::Version;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// Name that the program reports before its version.
const NAME: &str = "tao";
/// Names of the links to the program.
const LINKS: [&str; 3] = ["bb", "sn2-miner", "sn2-validator"];
/// Maximum number of bytes that are read from each output stream of a program under test.
const MAX_OUTPUT_BYTES: u64 = 4096;
/// Maximum attempts to execute a file while another thread's child process still has it open for
/// writing.
const MAX_START_ATTEMPTS: u32 = 20;
/// Pause between two attempts to execute a file.
const START_PAUSE: Duration = Duration::from_millis(50);

/// Why a program failed its self-test.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelfTestError {
    /// The program cannot be executed.
    #[error("cannot execute the program: {0}")]
    Start(#[source] io::Error),
    /// The program did not exit within the timeout.
    #[error("the program did not exit within {0:?}")]
    Timeout(Duration),
    /// The program exited with an error.
    #[error("{status}: {stderr}")]
    Failed {
        /// Exit status of the program.
        status: std::process::ExitStatus,
        /// Beginning of the program's standard error.
        stderr: String,
    },
    /// The program did not report a version.
    #[error("the program reports `{0}`, which is not a version of {NAME}")]
    Malformed(String),
    /// The program reported a different version.
    #[error("the program reports version {actual}, not {expected}")]
    OtherVersion {
        /// Version that the program reported.
        actual: Version,
        /// Version of the release.
        expected: Version,
    },
}

/// Executes `PROGRAM --version` and returns the reported version.
pub(crate) async fn version_of(
    program: &Path,
    time_limit: Duration,
) -> Result<Version, SelfTestError> {
    let run = async {
        let mut child = start(program).await?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = tokio::join!(read_beginning(stdout), read_beginning(stderr));
        Ok::<_, io::Error>((child.wait().await?, stdout?, stderr?))
    };
    let output = timeout(time_limit, run).await.map_err(|_| SelfTestError::Timeout(time_limit))?;
    let (status, stdout, stderr) = output.map_err(SelfTestError::Start)?;
    if !status.success() {
        return Err(SelfTestError::Failed { status, stderr });
    }
    let version = stdout
        .strip_prefix(NAME)
        .and_then(|version| Version::parse(version.strip_prefix(' ')?).ok());
    version.ok_or(SelfTestError::Malformed(stdout))
}

/// Tests that a program reports this version.
pub(crate) async fn self_test(
    program: &Path,
    expected: &Version,
    time_limit: Duration,
) -> Result<(), SelfTestError> {
    match version_of(program, time_limit).await? {
        actual if actual == *expected => Ok(()),
        actual => Err(SelfTestError::OtherVersion { actual, expected: expected.clone() }),
    }
}

async fn start(program: &Path) -> io::Result<Child> {
    let mut attempts = 0;
    loop {
        let mut command = Command::new(program);
        // The program selects its commands by this name.
        command.arg0(NAME).arg("--version").kill_on_drop(true);
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        match child {
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy
                    && attempts < MAX_START_ATTEMPTS =>
            {
                attempts += 1;
                sleep(START_PAUSE).await;
            }
            other => return other,
        }
    }
}

async fn read_beginning(stream: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(MAX_OUTPUT_BYTES).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Returns the path of a file in the program's directory.
pub(crate) fn sibling_path(program: &Path, prefix: &str, suffix: &str) -> PathBuf {
    let name = program.file_name().unwrap_or(OsStr::new(NAME));
    program.with_file_name([OsStr::new(prefix), name, OsStr::new(suffix)].join(OsStr::new("")))
}

/// Copies the permissions of the program to a file, and lets the owner execute the file.
pub(crate) fn copy_permissions(program: &Path, file: &Path) -> io::Result<()> {
    let mode = fs::metadata(program)?.permissions().mode() & 0o777;
    fs::set_permissions(file, Permissions::from_mode(mode | 0o100))
}

/// Moves `new` to the program's path, and the old program to the same path with the suffix
/// `.previous`. The program's path exists at all times. Returns the new path of the old program.
pub(crate) fn replace(new: &Path, program: &Path) -> io::Result<PathBuf> {
    let (previous, draft) =
        (sibling_path(program, "", ".previous"), sibling_path(program, ".", ".previous"));
    remove(&draft)?;
    // Some file systems have no hard links.
    if fs::hard_link(program, &draft).is_err() {
        fs::copy(program, &draft)?;
    }
    fs::rename(&draft, &previous)?;
    // If both are hard links to the same file, the rename does nothing and leaves `draft`.
    remove(&draft)?;
    fs::rename(new, program)?;
    sync_directory(program)?;
    Ok(previous)
}

/// Moves the old program back to its path.
pub(crate) fn restore(previous: &Path, program: &Path) -> io::Result<()> {
    fs::rename(previous, program)?;
    sync_directory(program)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_directory(program: &Path) -> io::Result<()> {
    let directory = program.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// Returns the files in the program's directory that are named like links to it, such as `bb`, but
/// are separate programs. An update does not replace them.
pub(crate) fn other_programs(program: &Path) -> Vec<PathBuf> {
    let own_path = fs::canonicalize(program).ok();
    let link_paths = LINKS.iter().map(|name| program.with_file_name(OsString::from(name)));
    link_paths
        .filter(|path| fs::canonicalize(path).is_ok_and(|target| Some(target) != own_path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_program_is_kept_and_can_be_restored() {
        let folder = tempfile::tempdir().unwrap();
        let (program, new) = (folder.path().join("tao"), folder.path().join(".tao.update"));
        fs::write(&program, "1").unwrap();
        for version in ["2", "3"] {
            fs::write(&new, version).unwrap();
            replace(&new, &program).unwrap();
        }
        let previous = folder.path().join("tao.previous");
        assert_eq!(
            (fs::read(&program).unwrap(), fs::read(&previous).unwrap()),
            (b"3".to_vec(), b"2".to_vec())
        );
        restore(&previous, &program).unwrap();
        assert_eq!(fs::read(&program).unwrap(), b"2");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    /// A process was killed between the two renames: both paths are hard links to the same file.
    #[test]
    fn interrupted_replacement_is_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let (program, new) = (folder.path().join("tao"), folder.path().join(".tao.update"));
        fs::write(&program, "1").unwrap();
        fs::hard_link(&program, folder.path().join("tao.previous")).unwrap();
        fs::write(&new, "2").unwrap();
        let previous = replace(&new, &program).unwrap();
        assert_eq!(
            (fs::read(&program).unwrap(), fs::read(previous).unwrap()),
            (b"2".to_vec(), b"1".to_vec())
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn links_do_not_count_as_other_programs() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("tao");
        fs::write(&program, "1").unwrap();
        std::os::unix::fs::symlink("tao", folder.path().join("sn2-miner")).unwrap();
        assert_eq!(other_programs(&program), Vec::<PathBuf>::new());
        fs::write(folder.path().join("bb"), "1").unwrap();
        assert_eq!(other_programs(&program), [folder.path().join("bb")]);
    }
}
