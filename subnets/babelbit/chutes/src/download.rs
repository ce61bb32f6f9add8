//! Downloads of language models from the Hugging Face hub.
//!
//! A model is downloaded to `DIRECTORY/OWNER+NAME/COMMIT/`, so that a new revision never mixes with
//! an old one. The file `DIRECTORY/OWNER+NAME/complete/REVISION` names the commit whose files are
//! complete. With it, a model can be used again while the hub does not respond, and a model of a
//! fixed commit needs no request at all.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use taonet_http::download::{Download, DownloadError, Origin, RemainingFile, open_with, sha256};
use taonet_service::{Access, atomic_write, lock_file};
use tokio::fs;
use tokio::task::spawn_blocking;

use super::call::{Body, Service};
use super::{ApiError, Call, HubApi};

/// Files of a model besides its weights; the last two have the chat template. Each is downloaded if
/// the repository has it.
const DESCRIPTIONS: [&str; 5] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];
/// Weights in one file.
const WEIGHTS: &str = "model.safetensors";
/// Index of weights in several files.
const INDEX: &str = "model.safetensors.index.json";
/// Branch of models without a revision.
const BRANCH: &str = "main";
/// A download without data for this long is resumed.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of consecutive attempts without progress.
const MAX_ATTEMPTS: u32 = 4;
/// Pause after a failed attempt.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Maximum length of a part of a model's name.
const MAX_NAME: usize = 96;

/// A language model on the hub. As text: `NAME` or `OWNER/NAME`, or `OWNER/NAME/FILE.gguf`; each
/// may end with `@REVISION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    /// Name of the repository.
    pub repository: String,
    /// GGUF file in the repository; `None` for a model in safetensors.
    pub file: Option<String>,
    /// Branch, tag or commit; the branch `main` if unset.
    pub revision: Option<String>,
}

impl FromStr for HubModel {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "OWNER/NAME or OWNER/NAME/FILE.gguf of letters, digits, hyphens, underscores and dots, \
            optionally with @REVISION";
        let (name, revision) =
            text.split_once('@').map_or((text, None), |(name, revision)| (name, Some(revision)));
        let parts: Vec<&str> = name.split('/').collect();
        if !parts
            .iter()
            .copied()
            .chain(revision.into_iter().flat_map(|text| text.split('/')))
            .all(is_plain)
        {
            return Err(EXPECTED);
        }
        let (repository, file) = match parts.as_slice() {
            [_] | [_, _] => (name.to_owned(), None),
            [owner, name, file @ ..] => (format!("{owner}/{name}"), Some(file.join("/"))),
            [] => return Err(EXPECTED),
        };
        if file.as_ref().is_some_and(|file| !has_extension(file, "gguf")) {
            return Err(EXPECTED);
        }
        Ok(Self { repository, file, revision: revision.map(str::to_owned) })
    }
}

/// Whether a part of a name may be part of a path.
fn is_plain(part: &str) -> bool {
    !part.is_empty()
        && part.len() <= MAX_NAME
        && !part.starts_with('.')
        && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|actual| actual == extension)
}

impl fmt::Display for HubModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(file) = &self.file {
            write!(f, "/{file}")?;
        }
        self.revision.as_ref().map_or(Ok(()), |revision| write!(f, "@{revision}"))
    }
}

impl HubModel {
    fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or(BRANCH)
    }

    /// Name of the file that names the complete commit.
    fn record(&self) -> String {
        let file = self.file.as_ref().map(|file| format!("@{file}")).unwrap_or_default();
        format!("{}{file}", self.revision()).replace('/', "+")
    }

    /// Path of the model in the directory of its commit: the directory, or the GGUF file.
    fn path(&self, snapshot: &Path) -> PathBuf {
        self.file.as_ref().map_or_else(|| snapshot.to_owned(), |file| snapshot.join(file))
    }
}

/// Progress of the download of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubProgress<'a> {
    /// Name of the file.
    pub file: &'a str,
    /// Number of bytes on disk, including those of earlier attempts.
    pub done: u64,
    /// Size of the file in bytes.
    pub total: u64,
}

/// Why a model could not be downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubDownloadError {
    /// The hub refused a request or did not respond.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The hub has no such model or revision, or it is private.
    #[error(
        "the hub has no public model {0}\nhint: check its name and revision; a private model needs HF_TOKEN"
    )]
    Unknown(HubModel),
    /// Access to the model must be granted first.
    #[error(
        "access to {0} is gated\nhint: request access on its page on the hub, then set HF_TOKEN"
    )]
    Gated(HubModel),
    /// The repository lacks a file.
    #[error(
        "{model} has no {file}\nhint: choose a model in safetensors, or name a GGUF file: OWNER/NAME/FILE.gguf"
    )]
    Missing {
        /// The model.
        model: HubModel,
        /// Name of the missing file.
        file: String,
    },
    /// A downloaded file does not match the hub's list of files, and was deleted.
    #[error(
        "{file} of {model} differs from the hub's list of files\nhint: the download was deleted; try again"
    )]
    Wrong {
        /// The model.
        model: HubModel,
        /// Name of the file.
        file: String,
    },
    /// Another process is downloading the same model.
    #[error("another process is downloading {0}\nhint: wait until it has finished")]
    Busy(HubModel),
    /// Reading or writing a file failed.
    #[error("cannot read or write {}: {source}", path.display())]
    File {
        /// Path of the file or directory.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
}

impl HubDownloadError {
    /// Returns whether a retry may succeed: the network failed rather than the request.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Api(ApiError::Refused { fault, .. }) => fault.is_retryable(),
            Self::Busy(_) => true,
            _ => false,
        }
    }

    /// Returns whether the hub rejected the API key, or a key is needed.
    pub fn is_auth(&self) -> bool {
        match self {
            Self::Api(error) => error.is_auth(),
            Self::Gated(_) => true,
            _ => false,
        }
    }

    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// The hub's description of a revision.
#[derive(Debug, Deserialize)]
struct Listing {
    sha: String,
    siblings: Vec<Sibling>,
}

/// A file of a revision.
#[derive(Debug, Clone, Deserialize)]
struct Sibling {
    rfilename: String,
    size: u64,
    #[serde(default)]
    lfs: Option<LargeFile>,
}

/// A file in the hub's storage for large files.
#[derive(Debug, Clone, Deserialize)]
struct LargeFile {
    sha256: String,
}

impl Listing {
    fn find(&self, name: &str) -> Option<&Sibling> {
        self.siblings.iter().find(|file| file.rfilename == name)
    }

    fn find_required(&self, model: &HubModel, name: &str) -> Result<&Sibling, HubDownloadError> {
        self.find(name).ok_or_else(|| HubDownloadError::Missing {
            model: model.clone(),
            file: name.to_owned(),
        })
    }

    /// Selects the files of a model: the GGUF file, or configuration, tokenizer and weights in
    /// safetensors.
    fn files(&self, model: &HubModel) -> Result<Vec<&Sibling>, HubDownloadError> {
        if let Some(file) = &model.file {
            // A tokenizer beside the file has precedence over the one in it.
            let folder =
                file.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
            let tokenizer = self.find(&format!("{folder}tokenizer.json"));
            return Ok(std::iter::once(self.find_required(model, file)?)
                .chain(tokenizer)
                .collect());
        }
        self.find_required(model, "config.json")?;
        self.find_required(model, "tokenizer.json")?;
        let mut files: Vec<&Sibling> =
            DESCRIPTIONS.iter().filter_map(|name| self.find(name)).collect();
        if let Some(weights) = self.find(WEIGHTS) {
            files.push(weights);
            return Ok(files);
        }
        // Without an index, the single file is what is missing.
        files.push(self.find(INDEX).map_or_else(|| self.find_required(model, WEIGHTS), Ok)?);
        let is_part = |file: &&Sibling| {
            let name = &file.rfilename;
            name.starts_with("model-") && has_extension(name, "safetensors") && is_plain(name)
        };
        files.extend(self.siblings.iter().filter(is_part));
        Ok(files)
    }
}

impl HubApi {
    /// Downloads a language model below a directory, unless it is there: configuration, tokenizer
    /// and safetensors, or one GGUF file. Interrupted downloads resume. Returns the path of the
    /// model's directory or GGUF file.
    ///
    /// A branch is looked up each time; if the hub does not respond, its last complete commit is
    /// used.
    ///
    /// # Errors
    /// [`HubDownloadError`] when the hub refuses or does not respond, the model has another format,
    /// or a file cannot be written.
    pub async fn download(
        &self,
        model: &HubModel,
        directory: &Path,
        mut progress: impl FnMut(HubProgress<'_>),
    ) -> Result<PathBuf, HubDownloadError> {
        let model_directory = directory.join(model.repository.replace('/', "+"));
        let record = model_directory.join("complete").join(model.record());
        let complete = find_complete(model, &model_directory, &record).await;
        if let Some((commit, path)) = &complete
            && commit.eq_ignore_ascii_case(model.revision())
        {
            return Ok(path.clone());
        }
        let listing = match self.listing(model).await {
            Ok(listing) => listing,
            Err(error) if error.is_retryable() => {
                let Some((commit, path)) = complete else { return Err(error) };
                tracing::warn!(%model, commit, %error, "the hub does not respond: the model's last download is used");
                return Ok(path);
            }
            Err(error) => return Err(error),
        };
        let snapshot = model_directory.join(&listing.sha);
        for folder in [&snapshot, &model_directory.join("complete")] {
            fs::create_dir_all(folder).await.map_err(HubDownloadError::file(folder))?;
        }
        let lock = snapshot.join(".lock");
        let lock = lock_file(&lock).await.map_err(HubDownloadError::file(&lock))?;
        let _lock = lock.ok_or_else(|| HubDownloadError::Busy(model.clone()))?;
        for file in listing.files(model)? {
            self.fetch(model, &listing.sha, file, &snapshot, &mut progress).await?;
        }
        write_record(record, listing.sha).await?;
        Ok(model.path(&snapshot))
    }

    /// Lists the files of a model's revision.
    async fn listing(&self, model: &HubModel) -> Result<Listing, HubDownloadError> {
        let mut call = self.model(&model.repository, Some(model.revision()));
        call.url.query_pairs_mut().append_pair("blobs", "true");
        let call = self.service().follow_redirects(self.with_key(call)).await?;
        let answer = self.send(&call).await.map_err(|error| match error.status() {
            // The hub does not tell whether a private model exists.
            Some(StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED) => {
                HubDownloadError::Unknown(model.clone())
            }
            Some(StatusCode::FORBIDDEN) => HubDownloadError::Gated(model.clone()),
            _ => error.into(),
        })?;
        let listing = Listing::deserialize(&answer).map_err(|_| call.missing_field("siblings"))?;
        let is_commit =
            listing.sha.len() == 40 && listing.sha.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_commit { Ok(listing) } else { Err(call.missing_field("sha").into()) }
    }

    /// Downloads a file, unless it is there.
    async fn fetch(
        &self,
        model: &HubModel,
        commit: &str,
        file: &Sibling,
        snapshot: &Path,
        progress: &mut impl FnMut(HubProgress<'_>),
    ) -> Result<(), HubDownloadError> {
        let Sibling { rfilename: name, size, lfs } = file;
        let target = snapshot.join(name);
        // A file gets its name when it is complete.
        if length(&target).await == Some(*size) {
            return Ok(());
        }
        let part = snapshot.join(format!("{name}.part"));
        if let Some(folder) = part.parent() {
            fs::create_dir_all(folder).await.map_err(HubDownloadError::file(folder))?;
        }
        if length(&part).await.is_some_and(|length| length > *size) {
            fs::remove_file(&part).await.map_err(HubDownloadError::file(&part))?;
        }
        if length(&part).await != Some(*size) {
            let mut segments: Vec<&str> = model.repository.split('/').collect();
            segments.extend(["resolve", commit]);
            segments.extend(name.split('/'));
            let call =
                self.service().call("download the model", Method::GET, &segments, Body::None);
            let remote = Remote { service: self.service(), call: self.with_key(call) };
            let download =
                Download { file: &part, limit: *size, attempts: MAX_ATTEMPTS, pause: RETRY_DELAY };
            let report_progress =
                |done, _| progress(HubProgress { file: name, done, total: *size });
            download.run(&remote, report_progress).await.map_err(|error| match error {
                DownloadError::Origin(error) => match error.status() {
                    Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                        HubDownloadError::Gated(model.clone())
                    }
                    _ => error.into(),
                },
                DownloadError::File(source) => {
                    HubDownloadError::File { path: part.clone(), source }
                }
                DownloadError::TooLarge => {
                    HubDownloadError::Wrong { model: model.clone(), file: name.clone() }
                }
            })?;
        }
        let hash = sha256(&part).await.map_err(HubDownloadError::file(&part))?.map(hex::encode);
        let is_listed = lfs
            .as_ref()
            .is_none_or(|lfs| hash.is_some_and(|hash| lfs.sha256.eq_ignore_ascii_case(&hash)));
        if !is_listed || length(&part).await != Some(*size) {
            fs::remove_file(&part).await.map_err(HubDownloadError::file(&part))?;
            return Err(HubDownloadError::Wrong { model: model.clone(), file: name.clone() });
        }
        fs::rename(&part, &target).await.map_err(HubDownloadError::file(&target))
    }

    /// Removes the key from a request if there is none: most models are public.
    fn with_key(&self, call: Call) -> Call {
        if self.service().has_key() { call } else { call.without_key() }
    }
}

/// Returns the last complete commit of a model, and the path of its files.
async fn find_complete(
    model: &HubModel,
    model_directory: &Path,
    record: &Path,
) -> Option<(String, PathBuf)> {
    let commit = fs::read_to_string(record).await.ok()?;
    let path = model.path(&model_directory.join(is_plain(&commit).then_some(&commit)?));
    fs::metadata(&path).await.ok()?;
    Some((commit, path))
}

/// Records that the files of a commit are complete.
async fn write_record(record: PathBuf, commit: String) -> Result<(), HubDownloadError> {
    let path = record.clone();
    let result =
        spawn_blocking(move || atomic_write(&path, commit.as_bytes(), Access::Everyone)).await;
    let result =
        result.map_err(io::Error::from).and_then(|result| result.map_err(|error| error.source));
    result.map_err(|source| HubDownloadError::File { path: record, source })
}

/// Returns the length of a file; `None` if it does not exist.
async fn length(path: &Path) -> Option<u64> {
    fs::metadata(path).await.ok().map(|metadata| metadata.len())
}

/// A file on the hub, or in the storage to which the hub redirects.
struct Remote<'a> {
    service: &'a Service,
    call: Call,
}

impl Origin for Remote<'_> {
    type Error = ApiError;

    async fn open(&self, from: u64) -> Result<RemainingFile<ApiError>, ApiError> {
        let operation = self.call.operation;
        // The address in the storage expires.
        let call = self.service.follow_redirects(self.call.clone()).await?;
        let request = self.service.request(&call, Method::GET)?;
        let part = open_with(request, from, STALL_TIMEOUT)
            .await
            .map_err(|fault| ApiError::refused(operation, fault))?;
        Ok(part.map_err(move |fault| ApiError::refused(operation, fault)))
    }

    fn is_retryable(error: &ApiError) -> bool {
        matches!(error, ApiError::Refused { fault, .. } if fault.is_retryable())
    }

    fn status(error: &ApiError) -> Option<StatusCode> {
        error.status()
    }
}

#[cfg(test)]
mod tests;
