use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Client;
use semver::Version;
use taonet_http::client::builder;
use taonet_service::lock_file;
use tokio::task::spawn_blocking;

use crate::download::{Download, Progress};
use crate::program::{
    copy_permissions, other_programs, replace, restore, self_test, sibling_path, version_of,
};
use crate::release::{file_name, latest_version, listed_digest};
use crate::trial::clear_rejected;
use crate::{Release, ReleaseKey, ReleaseSource, TARGET, UpdateError};

/// Maximum size of `latest.json`, `SHA256SUMS` and its signature, in bytes.
const MAX_DOCUMENT_BYTES: u64 = 64 << 10;
/// Timeout for a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Suffix of the partial download beside the program.
const PARTIAL: &str = ".update";

/// Limits of an update.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Maximum size of a program, in bytes.
    pub program: u64,
    /// Timeout for reading `latest.json`, `SHA256SUMS` or its signature.
    pub document_timeout: Duration,
    /// Timeout for each chunk of a download.
    pub stall_timeout: Duration,
    /// Timeout for a complete download.
    pub download_timeout: Duration,
    /// Maximum number of consecutive download attempts without progress.
    pub attempts: u32,
    /// Pause after a failed download attempt. It doubles with each consecutive attempt that makes
    /// no progress.
    pub pause: Duration,
    /// Timeout for a self-test.
    pub self_test_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            program: 512 << 20,
            document_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(30),
            download_timeout: Duration::from_hours(1),
            attempts: 5,
            pause: Duration::from_millis(500),
            self_test_timeout: Duration::from_secs(10),
        }
    }
}

/// Updater of one program from one release server.
#[derive(Debug)]
pub struct Updater {
    source: ReleaseSource,
    client: Client,
    key: ReleaseKey,
    current: Version,
    program: PathBuf,
    limits: Limits,
}

/// Result of a check for a newer release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// The latest release is the running version.
    Current,
    /// The latest release is older than the running version, and is not installed.
    Older(Version),
    /// A newer release exists.
    Newer(Release),
}

/// A completed installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Version that was installed.
    pub version: Version,
    /// Path to which the replaced program was moved; `None` if another process had already
    /// installed the release.
    pub previous: Option<PathBuf>,
    /// Files in the program's directory that are named like links to it, such as `bb`, but are
    /// separate programs. They were not updated.
    pub other_programs: Vec<PathBuf>,
}

impl Updater {
    /// Creates an updater of the file `program`, whose version is `current`. `program` must not be
    /// a link.
    ///
    /// # Errors
    /// When TLS cannot be initialised.
    pub fn new(
        source: ReleaseSource,
        key: ReleaseKey,
        current: Version,
        program: PathBuf,
    ) -> Result<Self, UpdateError> {
        let client =
            builder().connect_timeout(CONNECT_TIMEOUT).build().map_err(UpdateError::Client)?;
        Ok(Self { source, client, key, current, program, limits: Limits::default() })
    }

    /// Replaces the default limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Returns the path of the program that is updated.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Tests that the program can be replaced.
    ///
    /// # Errors
    /// [`UpdateError::File`] when its directory is not writable.
    pub fn check_writable(&self) -> Result<(), UpdateError> {
        let path = self.partial();
        create(&path).map_err(file_error(&path))?;
        // A file that is not empty is a partial download, which can resume.
        let is_empty = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() == 0);
        if is_empty { std::fs::remove_file(&path).map_err(file_error(&path)) } else { Ok(()) }
    }

    /// Compares the latest release with the running version. Verifies the signature of a newer
    /// release.
    ///
    /// # Errors
    /// When the release cannot be read or is not authentic.
    pub async fn check(&self) -> Result<Check, UpdateError> {
        let target = TARGET.ok_or(UpdateError::Platform)?;
        let latest = self.document("latest.json").await?;
        let version =
            latest_version(&latest).map_err(|reason| self.malformed("latest.json", reason))?;
        match version.cmp_precedence(&self.current) {
            std::cmp::Ordering::Less => return Ok(Check::Older(version)),
            std::cmp::Ordering::Equal => return Ok(Check::Current),
            std::cmp::Ordering::Greater => {}
        }
        let list = format!("{version}/SHA256SUMS");
        let signature = format!("{list}.minisig");
        let (sums, signature_text) =
            (self.document(&list).await?, self.document(&signature).await?);
        let signature_text = String::from_utf8_lossy(&signature_text);
        self.key.verify(&sums, &signature_text).map_err(|source| UpdateError::Signature {
            location: self.source.location(&list),
            source,
        })?;
        let sums =
            String::from_utf8(sums).map_err(|error| self.malformed(&list, error.to_string()))?;
        let name = file_name(&version, target);
        let digest = listed_digest(&sums, &name).map_err(|reason| self.malformed(&list, reason))?;
        let path = format!("{version}/{name}");
        let digest =
            digest.ok_or_else(|| UpdateError::NotListed { version: version.clone(), name })?;
        Ok(Check::Newer(Release { version, path, digest }))
    }

    fn malformed(&self, path: &str, reason: String) -> UpdateError {
        UpdateError::Malformed { location: self.source.location(path), reason }
    }

    /// Downloads a release, tests it, and replaces the program. The old program stays in the same
    /// directory, with the suffix `.previous`. Interrupted downloads resume.
    ///
    /// # Errors
    /// When the program cannot be downloaded, has a different digest, fails its self-test, or
    /// cannot be replaced.
    pub async fn install(
        &self,
        release: &Release,
        progress: impl FnMut(Progress),
    ) -> Result<Installed, UpdateError> {
        let time_limit = self.limits.self_test_timeout;
        let lock = sibling_path(&self.program, ".", ".lock");
        let locked = lock_file(&lock).await.map_err(file_error(&lock))?;
        let Some(_locked) = locked else { return Err(UpdateError::Busy(self.program.clone())) };
        // Another daemon on this machine may have installed the release.
        if let Ok(version) = version_of(&self.program, time_limit).await
            && version.cmp_precedence(&release.version).is_ge()
        {
            return Ok(Installed {
                version,
                previous: None,
                other_programs: self.other_programs().await?,
            });
        }
        let file = self.partial();
        run_blocking(&file, create).await?;
        let download = Download {
            source: &self.source,
            client: &self.client,
            release,
            file: &file,
            limits: &self.limits,
        };
        let result =
            tokio::time::timeout(self.limits.download_timeout, download.run(progress)).await;
        result.map_err(|_| UpdateError::Timeout(self.source.location(&release.path)))??;
        let program = self.program.clone();
        run_blocking(&file, move |file| copy_permissions(&program, file)).await?;
        if let Err(error) = self_test(&file, &release.version, time_limit).await {
            tokio::fs::remove_file(&file).await.map_err(file_error(&file))?;
            return Err(UpdateError::SelfTest(error));
        }
        let replaced = run_blocking(&self.program, move |program| {
            let previous = replace(&file, program)?;
            clear_rejected(program);
            Ok(previous)
        });
        let previous = replaced.await?;
        if let Err(error) = self_test(&self.program, &release.version, time_limit).await {
            run_blocking(&self.program, move |program| restore(&previous, program)).await?;
            return Err(UpdateError::RolledBack(error));
        }
        let other_programs = self.other_programs().await?;
        Ok(Installed { version: release.version.clone(), previous: Some(previous), other_programs })
    }

    /// Returns the files in the program's directory that are separate programs with the names of
    /// its links.
    async fn other_programs(&self) -> Result<Vec<PathBuf>, UpdateError> {
        run_blocking(&self.program, |program| Ok(other_programs(program))).await
    }

    async fn document(&self, path: &str) -> Result<Vec<u8>, UpdateError> {
        self.source.read(&self.client, path, MAX_DOCUMENT_BYTES, self.limits.document_timeout).await
    }

    /// Returns the path of a partial download.
    fn partial(&self) -> PathBuf {
        sibling_path(&self.program, ".", PARTIAL)
    }
}

/// Creates the file of a partial download if it does not exist.
fn create(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).open(path).map(drop)
}

/// Runs work on a file on a thread for blocking work.
async fn run_blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, UpdateError> {
    let owned_path = path.to_owned();
    let result = match spawn_blocking(move || work(&owned_path)).await {
        Ok(result) => result,
        Err(stopped) => Err(stopped.into()),
    };
    result.map_err(file_error(path))
}

pub(crate) fn file_error(path: &Path) -> impl FnOnce(io::Error) -> UpdateError {
    let path = path.to_owned();
    move |source| UpdateError::File { path, source }
}
