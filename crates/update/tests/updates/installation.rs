//! Tests of checks and installations through the library.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use semver::Version;
use taonet_http::Fault;
use taonet_update::{
    Check, Limits, Progress, Release, ReleaseKey, ReleaseSource, UpdateError, Updater,
};
use tempfile::TempDir;

use crate::releases::{Keys, Releases, name, program, sha256};
use crate::server::{Server, ServerBehaviour};

const OLD: &str = "0.1.0";
const NEW: &str = "0.2.0";

/// A directory with the installed program.
pub(crate) struct Installation {
    folder: TempDir,
}

impl Installation {
    pub(crate) fn new() -> Self {
        let installation = Self { folder: TempDir::new().unwrap() };
        fs::write(installation.program(), program(OLD)).unwrap();
        fs::set_permissions(installation.program(), fs::Permissions::from_mode(0o750)).unwrap();
        installation
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.folder.path().join("tao")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Reads the installed program.
    fn content(&self) -> String {
        fs::read_to_string(self.program()).unwrap()
    }

    /// Returns the names of all files but the program and the lock.
    fn other_files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name != "tao" && name != ".tao.lock").collect();
        names.sort();
        names
    }
}

/// Returns short limits, so that failures are detected quickly.
fn limits() -> Limits {
    Limits { program: 1 << 20, attempts: 2, pause: Duration::from_millis(1), ..Limits::default() }
}

pub(crate) fn updater(source: ReleaseSource, key: ReleaseKey, program: PathBuf) -> Updater {
    Updater::new(source, key, Version::parse(OLD).unwrap(), program).unwrap().with_limits(limits())
}

fn source(releases: &Releases) -> ReleaseSource {
    releases.path().to_str().unwrap().parse().unwrap()
}

fn local_updater(releases: &Releases, installation: &Installation) -> Updater {
    updater(source(releases), releases.keys.key(), installation.program())
}

async fn newer_release(updater: &Updater) -> Release {
    match updater.check().await.unwrap() {
        Check::Newer(release) => release,
        other => panic!("{other:?}"),
    }
}

/// Returns the error of a check or installation, and asserts that the program is unchanged.
async fn refuse_install(updater: &Updater, installation: &Installation) -> UpdateError {
    let before = installation.content();
    let error = match updater.check().await {
        Ok(Check::Newer(release)) => updater.install(&release, |_| {}).await.unwrap_err(),
        Ok(other) => panic!("{other:?}"),
        Err(error) => error,
    };
    assert_eq!(installation.content(), before, "{error}");
    error
}

#[tokio::test]
async fn newer_release_is_installed_and_old_program_kept() {
    let (releases, installation) = (Releases::of(NEW), Installation::new());
    let server = Server::start(releases.path().to_owned(), ServerBehaviour::Honest).await;
    std::os::unix::fs::symlink("tao", installation.file("sn2-miner")).unwrap();
    fs::write(installation.file("bb"), "another program").unwrap();
    let updater = updater(server.source(), releases.keys.key(), installation.program());
    let release = newer_release(&updater).await;
    assert_eq!(release.version().to_string(), NEW);
    assert_eq!(release.digest(), sha256(program(NEW).as_bytes()));
    let mut reported = Vec::new();
    let installed = updater.install(&release, |progress| reported.push(progress)).await.unwrap();
    let total = program(NEW).len() as u64;
    assert_eq!(reported.last(), Some(&Progress { done: total, total: Some(total) }));
    assert_eq!(
        (installed.version.to_string(), installed.previous),
        (NEW.to_owned(), Some(installation.file("tao.previous")))
    );
    assert_eq!(installed.other_programs, [installation.file("bb")]);
    assert_eq!(installation.content(), program(NEW));
    assert_eq!(fs::read_to_string(installation.file("tao.previous")).unwrap(), program(OLD));
    assert_eq!(
        fs::read_to_string(installation.file("sn2-miner")).unwrap(),
        program(NEW),
        "links point to the new program"
    );
    assert_eq!(fs::metadata(installation.program()).unwrap().permissions().mode() & 0o777, 0o750);
    assert_eq!(installation.other_files(), ["bb", "sn2-miner", "tao.previous"]);
    // Another daemon that still runs the old version finds the new version installed.
    let second_install = updater.install(&release, |_| {}).await.unwrap();
    assert_eq!(
        (second_install.version.to_string(), second_install.previous),
        (NEW.to_owned(), None)
    );
    assert_eq!(server.offsets(), [0], "nothing is downloaded twice");
}

#[tokio::test]
async fn only_newer_versions_are_offered() {
    let installation = Installation::new();
    for (version, expected) in [
        (OLD, Check::Current),
        ("0.1.0+build.7", Check::Current),
        ("0.0.9", Check::Older(Version::parse("0.0.9").unwrap())),
        ("0.1.0-rc.1", Check::Older(Version::parse("0.1.0-rc.1").unwrap())),
    ] {
        assert_eq!(
            local_updater(&Releases::of(version), &installation).check().await.unwrap(),
            expected,
            "{version}"
        );
    }
    for version in ["0.1.1", "0.10.0", "1.0.0-rc.1"] {
        assert_eq!(
            newer_release(&local_updater(&Releases::of(version), &installation))
                .await
                .version()
                .to_string(),
            version
        );
    }
}

/// An old release with a valid signature is published under a new version.
#[tokio::test]
async fn old_release_under_a_new_version_is_refused() {
    let (releases, installation) = (Releases::of("0.0.9"), Installation::new());
    fs::rename(releases.path().join("0.0.9"), releases.path().join(NEW)).unwrap();
    releases.announce(NEW);
    assert!(matches!(
        refuse_install(&local_updater(&releases, &installation), &installation).await,
        UpdateError::NotListed { .. }
    ));
    // The new list contains the old program.
    releases.publish(NEW, program("0.0.9").as_bytes());
    let error = refuse_install(&local_updater(&releases, &installation), &installation).await;
    assert!(error.to_string().contains("the program reports version 0.0.9, not 0.2.0"), "{error}");
    assert_eq!(installation.other_files(), Vec::<String>::new());
}

#[tokio::test]
async fn signatures_that_do_not_verify_are_refused() {
    let (releases, installation) = (Releases::of(NEW), Installation::new());
    let updater = local_updater(&releases, &installation);
    let signature = releases.file(NEW, "SHA256SUMS.minisig");
    let list = fs::read(releases.file(NEW, "SHA256SUMS")).unwrap();
    let good = fs::read_to_string(&signature).unwrap();
    let other_signature = Keys::new(2).sign(&list);
    let impostor = releases.keys.with_same_id().sign(&list);
    let other_list = releases.keys.sign(b"another list");
    let comment = good.replace("taonet release", "taonet Release");
    let truncated = good.lines().take(2).collect::<Vec<_>>().join("\n");
    let signatures =
        [&other_signature, &impostor, &other_list, &comment, &truncated].map(String::as_str);
    for bad_signature in signatures.into_iter().chain(["", "\u{0}\u{ffff}"]) {
        fs::write(&signature, bad_signature).unwrap();
        let error = refuse_install(&updater, &installation).await;
        assert!(
            error.is_authentication() && error.to_string().contains("\nhint: "),
            "{bad_signature}: {error}"
        );
    }
    // One byte of the list is changed.
    fs::write(&signature, &good).unwrap();
    let mut changed = list.clone();
    changed[0] ^= 1;
    fs::write(releases.file(NEW, "SHA256SUMS"), changed).unwrap();
    assert!(refuse_install(&updater, &installation).await.is_authentication());
    fs::write(releases.file(NEW, "SHA256SUMS"), list).unwrap();
    newer_release(&updater).await;
    fs::remove_file(&signature).unwrap();
    assert!(matches!(refuse_install(&updater, &installation).await, UpdateError::Read { .. }));
    assert_eq!(installation.other_files(), Vec::<String>::new(), "nothing was downloaded");
}

#[tokio::test]
async fn program_with_wrong_checksum_is_deleted() {
    let (releases, installation) = (Releases::of(NEW), Installation::new());
    fs::write(releases.file(NEW, &name(NEW)), program(NEW) + "# changed\n").unwrap();
    let error = refuse_install(&local_updater(&releases, &installation), &installation).await;
    assert!(matches!(error, UpdateError::Checksum { .. }), "{error}");
    assert_eq!(installation.other_files(), Vec::<String>::new());
}

#[tokio::test]
async fn interrupted_download_resumes() {
    let (releases, installation) = (Releases::of(NEW), Installation::new());
    let long_program = program(NEW) + &"# padding\n".repeat(10_000);
    releases.publish(NEW, long_program.as_bytes());
    let server = Server::start(releases.path().to_owned(), ServerBehaviour::Breaks(30_000)).await;
    let updater = updater(server.source(), releases.keys.key(), installation.program());
    let release = newer_release(&updater).await;
    // Every attempt makes progress, so the limit of two attempts is never reached.
    updater.install(&release, |_| {}).await.unwrap();
    assert_eq!(installation.content(), long_program);
    assert_eq!(server.offsets(), [0, 30_000, 60_000, 90_000]);
}

#[tokio::test]
async fn next_update_resumes_partial_download() {
    let (releases, installation) = (Releases::of(NEW), Installation::new());
    let long_program = program(NEW) + &"# padding\n".repeat(10_000);
    releases.publish(NEW, long_program.as_bytes());
    let server = Server::start(releases.path().to_owned(), ServerBehaviour::Stalls(60_000)).await;
    let updater = updater(server.source(), releases.keys.key(), installation.program());
    let release = newer_release(&updater).await;
    let partial = installation.file(".tao.update");
    let downloaded = async {
        while !fs::metadata(&partial).is_ok_and(|file| file.len() >= 60_000) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // Dropping the future simulates a killed process.
    tokio::select! {
        ended = updater.install(&release, |_| {}) => panic!("{ended:?}"),
        () = downloaded => {}
    }
    assert_eq!(fs::metadata(&partial).unwrap().len(), 60_000);
    server.set(ServerBehaviour::Down);
    assert!(refuse_install(&updater, &installation).await.is_network());
    server.set(ServerBehaviour::Honest);
    updater.install(&release, |_| {}).await.unwrap();
    assert_eq!(installation.content(), long_program);
    assert_eq!(server.offsets(), [0, 60_000, 60_000, 60_000]);
}

#[tokio::test]
async fn download_restarts_without_ranges_or_with_other_partial_file() {
    for (behaviour, partial) in [
        (ServerBehaviour::IgnoresRange, program(NEW)[..5].to_owned()),
        (ServerBehaviour::Honest, "others".to_owned()),
        (ServerBehaviour::Honest, "longer than the program".repeat(1000)),
    ] {
        let (releases, installation) = (Releases::of(NEW), Installation::new());
        let server = Server::start(releases.path().to_owned(), behaviour).await;
        let updater = updater(server.source(), releases.keys.key(), installation.program());
        fs::write(installation.file(".tao.update"), &partial).unwrap();
        updater.install(&newer_release(&updater).await, |_| {}).await.unwrap();
        assert_eq!(installation.content(), program(NEW), "{behaviour:?}");
        assert_eq!(installation.other_files(), ["tao.previous"]);
    }
}

#[tokio::test]
async fn endless_bodies_are_cut_off() {
    let (releases, installation) = (Releases::of(NEW), Installation::new());
    let server = Server::start(releases.path().to_owned(), ServerBehaviour::Endless).await;
    let updater = updater(server.source(), releases.keys.key(), installation.program());
    assert!(matches!(
        refuse_install(&updater, &installation).await,
        UpdateError::TooLarge { limit: 1_048_576, .. }
    ));
    assert_eq!(installation.other_files(), Vec::<String>::new());
    fs::write(releases.path().join("latest.json"), vec![b' '; 1 << 17]).unwrap();
    assert!(matches!(
        refuse_install(&updater, &installation).await,
        UpdateError::TooLarge { limit: 65_536, .. }
    ));
    // The announced length exceeds the limit.
    let (releases, installation) = (Releases::of(NEW), Installation::new());
    releases.publish(NEW, &vec![0; (1 << 20) + 1]);
    let updater = local_updater(&releases, &installation);
    assert!(matches!(refuse_install(&updater, &installation).await, UpdateError::TooLarge { .. }));
}

#[tokio::test]
async fn silent_servers_time_out() {
    let (releases, installation) = (Releases::of(NEW), Installation::new());
    let server = Server::start(releases.path().to_owned(), ServerBehaviour::Stalls(0)).await;
    let short = Limits { stall_timeout: Duration::from_millis(500), ..limits() };
    let silent =
        updater(server.source(), releases.keys.key(), installation.program()).with_limits(short);
    let error = refuse_install(&silent, &installation).await;
    assert!(
        matches!(error, UpdateError::Http { source: Fault::Timeout, .. }) && error.is_network(),
        "{error}"
    );
    let unreachable =
        updater("http://127.0.0.1:1".parse().unwrap(), releases.keys.key(), installation.program());
    assert!(refuse_install(&unreachable, &installation).await.is_network());
}

#[tokio::test]
async fn program_failing_its_self_test_is_not_installed() {
    for (script, expected) in [
        ("#!/bin/sh\necho broken >&2\nexit 3\n", "broken"),
        ("#!/bin/sh\necho tao 0.3.0\n", "the program reports version 0.3.0, not 0.2.0"),
        ("#!/bin/sh\necho something else\n", "something else"),
        ("#!/bin/sh\nyes\n", "self-test"),
        ("#!/no/such/interpreter\n", "cannot execute the program"),
        ("not a program", "self-test"),
    ] {
        let (releases, installation) = (Releases::of(NEW), Installation::new());
        releases.publish(NEW, script.as_bytes());
        let error = refuse_install(&local_updater(&releases, &installation), &installation).await;
        assert!(matches!(error, UpdateError::SelfTest(_)), "{error}");
        assert!(error.to_string().contains(expected), "{script}: {error}");
        assert_eq!(installation.other_files(), Vec::<String>::new(), "{script}");
    }
}

#[tokio::test]
async fn hanging_self_test_is_killed() {
    let (releases, installation) = (Releases::of(NEW), Installation::new());
    releases.publish(NEW, b"#!/bin/sh\nexec sleep 600\n");
    let short = Limits { self_test_timeout: Duration::from_millis(300), ..limits() };
    let error =
        refuse_install(&local_updater(&releases, &installation).with_limits(short), &installation)
            .await;
    assert!(error.to_string().contains("did not exit within 300ms"), "{error}");
}

/// The program passes its self-test only under the name of the download.
#[tokio::test]
async fn program_failing_after_replacement_is_rolled_back() {
    let (releases, installation) = (Releases::of(NEW), Installation::new());
    let script = format!(
        "#!/bin/sh\ncase $0 in *.update) echo tao {NEW} ;; *) echo broken >&2; exit 1 ;; esac\n"
    );
    releases.publish(NEW, script.as_bytes());
    let error = refuse_install(&local_updater(&releases, &installation), &installation).await;
    assert!(
        matches!(error, UpdateError::RolledBack(_)) && error.to_string().contains("broken"),
        "{error}"
    );
    assert_eq!(installation.other_files(), Vec::<String>::new());
}

#[tokio::test]
async fn unwritable_directories_are_reported_before_the_download() {
    let releases = Releases::of(NEW);
    let server = Server::start(releases.path().to_owned(), ServerBehaviour::Honest).await;
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    // Root may write to any directory, but not to /sys.
    let read_only = if fs::write(folder.path().join("x"), "").is_ok() {
        Path::new("/sys")
    } else {
        folder.path()
    };
    let updater = updater(server.source(), releases.keys.key(), read_only.join("tao"));
    let error = updater.check_writable().unwrap_err();
    assert!(error.to_string().contains("\nhint: update as the owner"), "{error}");
    let error = updater.install(&newer_release(&updater).await, |_| {}).await.unwrap_err();
    assert!(matches!(error, UpdateError::File { .. }), "{error}");
    assert_eq!(server.offsets(), Vec::<u64>::new());
}

#[tokio::test]
async fn concurrent_update_is_refused() {
    let (releases, installation) = (Releases::of(NEW), Installation::new());
    let updater = local_updater(&releases, &installation);
    let lock = fs::File::create(installation.file(".tao.lock")).unwrap();
    lock.lock().unwrap();
    assert!(matches!(refuse_install(&updater, &installation).await, UpdateError::Busy(_)));
    drop(lock);
    updater.install(&newer_release(&updater).await, |_| {}).await.unwrap();
}

#[tokio::test]
async fn malformed_metadata_is_refused() {
    let (releases, installation) = (Releases::of(NEW), Installation::new());
    let updater = local_updater(&releases, &installation);
    for malformed in ["", "{}", "0.2.0", r#"{"version": "../../0.2.0"}"#] {
        fs::write(releases.path().join("latest.json"), malformed).unwrap();
        assert!(
            matches!(refuse_install(&updater, &installation).await, UpdateError::Malformed { .. }),
            "{malformed}"
        );
    }
    releases.announce(NEW);
    for malformed in [
        format!("xyz  {}\n", name(NEW)),
        format!("{}  {n}\n{0}  {n}\n", "00".repeat(32), n = name(NEW)),
    ] {
        releases.list(NEW, &malformed);
        assert!(
            matches!(refuse_install(&updater, &installation).await, UpdateError::Malformed { .. }),
            "{malformed}"
        );
    }
    releases.list(NEW, "");
    assert!(matches!(refuse_install(&updater, &installation).await, UpdateError::NotListed { .. }));
    fs::remove_file(releases.path().join("latest.json")).unwrap();
    assert!(matches!(refuse_install(&updater, &installation).await, UpdateError::Read { .. }));
}
