use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::process::Command;
use tokio::time::timeout;

use crate::{Check, Finding};

/// Open files that a daemon needs: a connection to each of 256 miners, and those of its callers.
const MIN_OPEN_FILES: u64 = 4_096;
/// The oldest systemd on which the units were verified: that of Ubuntu 22.04.
const MIN_SYSTEMD_VERSION: u32 = 249;
/// Timeout of a query to systemd.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The user as whom the units of systemd run.
const UNIT_USER: &str = "taonet";
/// The directory in which the units write: `StateDirectory=` in their common settings.
const UNIT_STATE: &str = "/var/lib/taonet";

/// The user as whom the units of systemd run, and the directory in which they write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitUser {
    /// Name of the user.
    pub name: String,
    /// User ID.
    pub uid: u32,
    /// ID of the user's primary group.
    pub gid: u32,
    /// The directory in which the units write.
    pub state: PathBuf,
}

impl UnitUser {
    /// Finds the user in the content of `/etc/passwd`.
    fn find(passwd: &str) -> Option<Self> {
        let row =
            passwd.lines().find_map(|line| line.strip_prefix(UNIT_USER)?.strip_prefix(':'))?;
        let mut columns = row.split(':').skip(1);
        let (uid, gid) = (columns.next()?.parse().ok()?, columns.next()?.parse().ok()?);
        Some(Self { name: UNIT_USER.to_owned(), uid, gid, state: UNIT_STATE.into() })
    }

    /// Whether the user can create files in a directory, by its owner, its group and its mode.
    pub(crate) fn can_write(&self, directory: &Metadata) -> bool {
        let permission_shift = if directory.uid() == self.uid {
            6
        } else if directory.gid() == self.gid {
            3
        } else {
            0
        };
        (directory.mode() >> permission_shift) & 0o3 == 0o3
    }
}

/// Properties of the system on which the daemons run: container, mounts, limits and systemd units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// The program that runs the container; `None` outside containers.
    pub container: Option<&'static str>,
    /// Content of `/proc/self/mountinfo`.
    pub mounts: String,
    /// Maximum number of open files that a daemon can have; `None` for no limit.
    pub open_files: Option<u64>,
    /// Version of systemd, if it runs and has units of this program.
    pub systemd: Option<u32>,
    /// The failed units among those of this program.
    pub failed_units: Vec<String>,
    /// The user of these units; `None` without units, or if there is no such user.
    pub unit_user: Option<UnitUser>,
}

impl Host {
    /// Detects containers and systemd.
    pub async fn read() -> Self {
        let containers = [("/.dockerenv", "Docker"), ("/run/.containerenv", "Podman")];
        let (systemd, failed_units) = systemd().await;
        let passwd = systemd.and_then(|_| std::fs::read_to_string("/etc/passwd").ok());
        Self {
            container: containers
                .into_iter()
                .find(|(file, _)| Path::new(file).exists())
                .map(|(_, name)| name),
            mounts: std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(),
            open_files: getrlimit(Resource::Nofile).maximum,
            systemd,
            failed_units,
            unit_user: passwd.as_deref().and_then(UnitUser::find),
        }
    }
}

/// Returns the version of systemd and the failed units of this program; `None` without systemd or
/// units.
async fn systemd() -> (Option<u32>, Vec<String>) {
    // This directory exists exactly if systemd is running.
    if !Path::new("/run/systemd/system").is_dir() {
        return (None, Vec::new());
    }
    let units = systemctl(&["list-units", "--all", "--plain", "--no-legend", "taonet-*"]).await;
    if units.trim().is_empty() {
        return (None, Vec::new());
    }
    (systemd_version(&systemctl(&["--version"]).await), failed_units(&units))
}

/// Returns the output of systemctl; empty if it fails.
async fn systemctl(arguments: &[&str]) -> String {
    let mut command = Command::new("systemctl");
    command.args(arguments).kill_on_drop(true);
    match timeout(TIMEOUT, command.output()).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => String::new(),
    }
}

fn systemd_version(text: &str) -> Option<u32> {
    text.split_whitespace().nth(1)?.parse().ok()
}

/// Returns the units whose state, the third column, is `failed`.
fn failed_units(list: &str) -> Vec<String> {
    let rows = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let failed = rows.filter(|columns| columns.get(2) == Some(&"failed"));
    failed.filter_map(|columns| Some((*columns.first()?).to_owned())).collect()
}

/// Checks for problems of containers and systemd: state outside of volumes, failed units,
/// limits. `directories` are those that must outlive a container.
pub fn host(host: &Host, directories: &[PathBuf]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(container) = host.container {
        let deleted = directories.iter().filter(|path| is_on_container_layer(&host.mounts, path));
        findings.extend(deleted.map(|path| {
            Finding::fault(
                Check::Host,
                path.display().to_string(),
                format!(
                    "in the writable layer of the {container} container: deleted with the container"
                ),
                format!("mount a volume at {}, as compose.yml does", path.display()),
            )
        }));
        if directories.is_empty() {
            findings.push(Finding::skipped(
                Check::Host,
                container,
                "no daemon's directories are known",
            ));
        } else if findings.is_empty() {
            findings.push(Finding::ok(
                Check::Host,
                container,
                "no directory is in the container's writable layer",
            ));
        }
    }
    if let Some(version) = host.systemd {
        let subject = format!("systemd {version}");
        findings.push(if version < MIN_SYSTEMD_VERSION {
            let seen = format!("older than {MIN_SYSTEMD_VERSION}: the units do not start");
            Finding::fault(
                Check::Host,
                subject,
                seen,
                "upgrade to Debian 12, Ubuntu 22.04 or newer, or use Docker",
            )
        } else {
            Finding::ok(Check::Host, subject, "supports the units")
        });
        findings.extend(host.failed_units.iter().map(|unit| {
            let remedy =
                format!("see `journalctl --unit {unit}`, then run `sudo systemctl restart {unit}`");
            Finding::fault(Check::Host, unit, "the unit has failed", remedy)
        }));
    }
    findings.extend(host.unit_user.as_ref().and_then(|user| other_directories(user, directories)));
    findings.extend(open_files(host.open_files));
    if findings.is_empty() {
        findings.push(Finding::ok(Check::Host, "system", "no container, no units of systemd"));
    }
    findings
}

/// Returns a finding if no directory is one of the units': each user has its own directories.
fn other_directories(user: &UnitUser, directories: &[PathBuf]) -> Option<Finding> {
    let is_of_units = directories.iter().any(|path| {
        std::path::absolute(path).is_ok_and(|absolute| absolute.starts_with(&user.state))
    });
    if directories.is_empty() || is_of_units {
        return None;
    }
    let state = user.state.display();
    let reason = format!(
        "the directories of this user are checked, and the units write in {state}: run `sudo env --chdir={state} \
         HOME={state} tao doctor --keyfile /etc/taonet/hotkey --token-file /etc/taonet/api-token \
         --env-file /etc/taonet/taonet.env`"
    );
    Some(Finding::skipped(Check::Host, format!("directories of the user {}", user.name), reason))
}

/// Checks the maximum number of open files, `None` for no limit; `None` if it suffices.
pub fn open_files(limit: Option<u64>) -> Option<Finding> {
    let limit = limit.filter(|limit| *limit < MIN_OPEN_FILES)?;
    Some(Finding::warning(
        Check::Host,
        "open files",
        format!("at most {limit}, of which every connection takes one"),
        format!(
            "raise the hard limit to {MIN_OPEN_FILES}: `ulimit -Hn`, LimitNOFILE= in systemd, \
             ulimits in compose"
        ),
    ))
}

/// Whether a path is on a writable overlay file system, which a container's own layer is. A
/// read-only layer loses nothing: the check of the disk reports it.
fn is_on_container_layer(mounts: &str, path: &Path) -> bool {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let containing_mounts =
        mounts.lines().filter_map(Mount::parse).filter(|mount| absolute.starts_with(&mount.point));
    // Of several mounts at one path, the last one is visible.
    let visible = containing_mounts.max_by_key(|mount| mount.point.components().count());
    visible.is_some_and(|mount| mount.kind == "overlay" && !mount.is_read_only)
}

/// A line of mountinfo.
struct Mount<'a> {
    point: PathBuf,
    /// The type of the file system.
    kind: &'a str,
    is_read_only: bool,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (head, tail) = line.split_once(" - ")?;
        let mut columns = head.split(' ').skip(4);
        // White space is octal: `\040` is a space.
        let point = columns.next()?.replace("\\040", " ").into();
        let is_read_only = columns.next()?.split(',').any(|option| option == "ro");
        Some(Self { point, kind: tail.split(' ').next()?, is_read_only })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    const MOUNTS: &str = "\
1 0 0:1 / / rw,relatime - overlay overlay rw
2 1 8:1 /volumes/scores /home/taonet/scores rw shared:1 - ext4 /dev/sda1 rw
3 1 8:1 /volumes/my\\040logs /home/taonet/my\\040logs rw - ext4 /dev/sda1 rw
";

    #[test]
    fn state_in_layer_of_container_is_fault() {
        let docker =
            Host { container: Some("Docker"), mounts: MOUNTS.to_owned(), ..Host::default() };
        let state = ["/home/taonet/scores/a", "/home/taonet/my logs", "/home/taonet/.local"]
            .map(PathBuf::from);
        let findings = host(&docker, &state);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(
            (findings[0].status, findings[0].subject.as_str()),
            (Status::Fault, "/home/taonet/.local")
        );
        assert_eq!(host(&docker, &state[..2])[0].status, Status::Ok);
        assert_eq!(host(&docker, &[])[0].status, Status::Skipped);
        let read_only = Host { mounts: MOUNTS.replace("/ / rw", "/ / ro"), ..docker.clone() };
        assert_eq!(host(&read_only, &state)[0].status, Status::Ok);
        // Outside containers, the root can be an overlay too.
        assert_eq!(host(&Host { container: None, ..docker }, &state)[0].status, Status::Ok);
    }

    #[test]
    fn state_outside_the_unit_users_home_is_reported() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\ntaonetx:x:7:7::/:/bin/sh\ntaonet:x:998:997::/var/lib/taonet:/bin/sh\n";
        let user = UnitUser::find(passwd).unwrap();
        assert_eq!(
            (user.uid, user.gid, user.state.as_path()),
            (998, 997, Path::new("/var/lib/taonet"))
        );
        assert_eq!(UnitUser::find("root:x:0:0:root:/root:/bin/bash\n"), None);
        let systemd_host = Host { systemd: Some(252), unit_user: Some(user), ..Host::default() };
        let root_directories = [PathBuf::from("/root/.local/state/taonet/signer")];
        let findings = host(&systemd_host, &root_directories);
        let finding = findings.iter().find(|finding| finding.status == Status::Skipped).unwrap();
        assert!(
            finding
                .seen
                .contains("sudo env --chdir=/var/lib/taonet HOME=/var/lib/taonet tao doctor"),
            "{finding:?}"
        );
        let unit_directories = [PathBuf::from("/var/lib/taonet/.local/state/taonet/signer")];
        assert!(
            host(&systemd_host, &unit_directories)
                .iter()
                .all(|finding| finding.status == Status::Ok)
        );
    }

    #[test]
    fn failed_unit_old_systemd_and_low_file_limit_are_reported() {
        let units = "taonet-runner.service loaded failed failed Babelbit's runner\n\
                     taonet-signer.service loaded active running Babelbit's signer\n";
        assert_eq!(failed_units(units), ["taonet-runner.service"]);
        assert_eq!(systemd_version("systemd 252 (252.39-1~deb12u1)\n+PAM +AUDIT"), Some(252));
        assert_eq!(systemd_version(""), None);
        let outdated_host = Host {
            systemd: Some(248),
            failed_units: failed_units(units),
            open_files: Some(1_024),
            ..Host::default()
        };
        let statuses: Vec<_> =
            host(&outdated_host, &[]).iter().map(|finding| finding.status).collect();
        assert_eq!(statuses, [Status::Fault, Status::Fault, Status::Warning]);
    }
}
