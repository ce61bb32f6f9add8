//! Files of questions at a URL, verified by their SHA-256 or by their IPFS CID.

mod cid;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use taonet_http::Fault;
use taonet_http::client::fault;
use taonet_http::download::{Download, DownloadError, Origin, RemainingFile, open_at, sha256};
use url::{Host, Url};

use crate::lines::MAX_BYTES;

pub use cid::CidError;

/// The datasets of the hub whose files `hub:` URLs name.
const HUB: &str = "https://huggingface.co/datasets";
/// A download without data for this long is resumed.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of consecutive attempts without progress.
const MAX_ATTEMPTS: u32 = 4;
/// Pause after a failed attempt.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Maximum length of the suffix of a file.
const MAX_SUFFIX_CHARS: usize = 8;

/// Why a file at a URL cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The text is not an `http` or `https` URL.
    #[error("`{0}` is not an http or https URL")]
    Url(String),
    /// The text names no file of the hub.
    #[error(
        "`{0}` names no file of the hub; hint: expected hub:OWNER/NAME/FILE or hub:OWNER/NAME@REVISION/FILE"
    )]
    Hub(String),
    /// The URL names no content that can be verified.
    #[error("the content of {0} cannot be verified; hint: state its SHA-256")]
    Unverified(String),
    /// The CID in the URL does not say which bytes the file has.
    #[error("the content of {url} cannot be verified by its CID; hint: state its SHA-256")]
    Cid {
        /// URL of the file.
        url: String,
        /// Why the CID cannot be used.
        source: CidError,
    },
    /// The stated SHA-256 is not that of the CID.
    #[error("the stated SHA-256 is not that of the CID in {0}")]
    Contradiction(String),
    /// The request failed.
    #[error("cannot download {url}")]
    Http {
        /// URL of the file.
        url: String,
        /// Why the request failed.
        source: Fault,
    },
    /// The file is too large.
    #[error("{url} is larger than {} MiB; hint: split it", MAX_BYTES >> 20)]
    TooLarge {
        /// URL of the file.
        url: String,
    },
    /// The downloaded content has another SHA-256. It was deleted.
    #[error(
        "{url} has other content: expected SHA-256 {expected}, found {found}; hint: the download was deleted"
    )]
    Content {
        /// URL of the file.
        url: String,
        /// Expected SHA-256.
        expected: String,
        /// SHA-256 of the content.
        found: String,
    },
    /// The downloaded file cannot be read or written.
    #[error("cannot read or write {path}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
}

/// A file of questions at a URL, such as on a hub of datasets or at an IPFS gateway. Its content is
/// known beforehand, so a server can neither change the questions of a validator nor learn the next
/// ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    url: Url,
    sha256: [u8; 32],
    suffix: String,
}

impl RemoteFile {
    /// Creates a file with a stated SHA-256, or with that of the CID in the URL of an IPFS gateway
    /// (`https://GATEWAY/ipfs/CID` or `https://CID.ipfs.GATEWAY`). Only the CID of a raw block
    /// states it: version 1, codec raw, sha2-256, in base32. `hub:OWNER/NAME/FILE` and
    /// `hub:OWNER/NAME@REVISION/FILE` name a file of a dataset on the Hugging Face hub.
    ///
    /// # Errors
    /// [`RemoteError`] when the URL is malformed, or the content cannot be verified.
    pub fn new(url: &str, sha256: Option<[u8; 32]>) -> Result<Self, RemoteError> {
        let url = if let Some(name) = url.strip_prefix("hub:") {
            hub_url(name).ok_or_else(|| RemoteError::Hub(url.to_owned()))?
        } else {
            let parsed = Url::parse(url).ok();
            parsed
                .filter(|url| matches!(url.scheme(), "http" | "https"))
                .ok_or_else(|| RemoteError::Url(url.to_owned()))?
        };
        let cid_digest = cid_of(&url).map(|cid| cid::raw_sha256(&cid));
        let sha256 = match (sha256, cid_digest) {
            (Some(expected_digest), Some(Ok(cid_digest))) if expected_digest != cid_digest => {
                return Err(RemoteError::Contradiction(redact_url(&url)));
            }
            (Some(expected_digest), _) => expected_digest,
            (None, Some(Ok(cid_digest))) => cid_digest,
            (None, Some(Err(source))) => {
                return Err(RemoteError::Cid { url: redact_url(&url), source });
            }
            (None, None) => return Err(RemoteError::Unverified(redact_url(&url))),
        };
        let suffix = suffix_of(&url);
        Ok(Self { url, sha256, suffix })
    }

    /// Returns the URL, without credentials and parameters.
    pub fn redacted_url(&self) -> String {
        redact_url(&self.url)
    }

    /// Downloads the file to a directory unless it is there, and returns its path. An interrupted
    /// download is resumed, also by the next start.
    ///
    /// # Errors
    /// [`RemoteError`] when the download fails, or has other content.
    pub async fn fetch(&self, directory: &Path) -> Result<PathBuf, RemoteError> {
        let name = format!("{}.{}", hex::encode(self.sha256), self.suffix);
        let (path, part_path) = (directory.join(&name), directory.join(format!("{name}.part")));
        if sha256(&path).await.map_err(file_error(&path))? == Some(self.sha256) {
            return Ok(path);
        }
        tokio::fs::create_dir_all(directory).await.map_err(file_error(directory))?;
        let client = Client::builder().connect_timeout(STALL_TIMEOUT).build();
        let client = client.map_err(|error| self.http_error(fault(error)))?;
        let download = Download {
            file: &part_path,
            limit: MAX_BYTES,
            attempts: MAX_ATTEMPTS,
            pause: RETRY_DELAY,
        };
        let origin = UrlOrigin { client: &client, file: self };
        download.run(&origin, |_, _| ()).await.map_err(|error| match error {
            DownloadError::Origin(error) => error,
            DownloadError::File(source) => RemoteError::File { path: part_path.clone(), source },
            DownloadError::TooLarge => RemoteError::TooLarge { url: redact_url(&self.url) },
        })?;
        let digest = sha256(&part_path).await.map_err(file_error(&part_path))?.unwrap_or_default();
        if digest != self.sha256 {
            tokio::fs::remove_file(&part_path).await.map_err(file_error(&part_path))?;
            let [expected, found] = [self.sha256, digest].map(hex::encode);
            return Err(RemoteError::Content { url: redact_url(&self.url), expected, found });
        }
        tokio::fs::rename(&part_path, &path).await.map_err(file_error(&path))?;
        Ok(path)
    }

    fn http_error(&self, source: Fault) -> RemoteError {
        RemoteError::Http { url: redact_url(&self.url), source }
    }
}

/// The file, read from an offset.
struct UrlOrigin<'a> {
    client: &'a Client,
    file: &'a RemoteFile,
}

impl Origin for UrlOrigin<'_> {
    type Error = RemoteError;

    async fn open(&self, offset: u64) -> Result<RemainingFile<RemoteError>, RemoteError> {
        let file = self.file.clone();
        let remaining_file = open_at(self.client, file.url.clone(), offset, STALL_TIMEOUT)
            .await
            .map_err(|source| file.http_error(source))?;
        Ok(remaining_file.map_err(move |source| file.http_error(source)))
    }

    fn is_retryable(error: &RemoteError) -> bool {
        matches!(error, RemoteError::Http { source, .. } if source.is_retryable())
    }

    fn status(error: &RemoteError) -> Option<StatusCode> {
        match error {
            RemoteError::Http { source: Fault::Status { status, .. }, .. } => Some(*status),
            _ => None,
        }
    }
}

/// Returns a function that adds the path of a file to an I/O error.
fn file_error(path: &Path) -> impl FnOnce(io::Error) -> RemoteError {
    move |source| RemoteError::File { path: path.to_owned(), source }
}

/// Returns the URL of a file on the hub: `OWNER/NAME/FILE` of the branch `main`, or
/// `OWNER/NAME@REVISION/FILE`.
fn hub_url(name: &str) -> Option<Url> {
    let mut parts = name.split('/');
    let (owner, dataset) = (parts.next()?, parts.next()?);
    let (dataset, revision) = dataset.split_once('@').unwrap_or((dataset, "main"));
    let file: Vec<&str> = parts.collect();
    let segments = [&[owner, dataset, "resolve", revision][..], &file].concat();
    let is_complete =
        !file.is_empty() && segments.iter().all(|segment| !matches!(*segment, "" | "." | ".."));
    let mut url = Url::parse(HUB).ok().filter(|_| is_complete)?;
    url.path_segments_mut().ok()?.extend(segments);
    Some(url)
}

/// Returns the CID in the URL of an IPFS gateway. Below a CID, a path names an entry of a
/// directory, whose content the CID does not state.
fn cid_of(url: &Url) -> Option<String> {
    let segments: Vec<&str> = url.path_segments()?.filter(|segment| !segment.is_empty()).collect();
    match (url.host(), segments.as_slice()) {
        (_, ["ipfs", cid]) => Some((*cid).to_owned()),
        (Some(Host::Domain(domain)), []) => {
            let (cid, gateway) = domain.split_once('.')?;
            gateway.starts_with("ipfs.").then(|| cid.to_owned())
        }
        _ => None,
    }
}

/// Returns the suffix of the file: of the parameter `filename` that gateways know, or of the path.
fn suffix_of(url: &Url) -> String {
    let file_name =
        url.query_pairs().find(|(name, _)| name == "filename").map(|(_, value)| value.into_owned());
    let name = file_name.unwrap_or_else(|| url.path().to_owned());
    let suffix =
        Path::new(&name).extension().and_then(|suffix| suffix.to_str()).unwrap_or_default();
    let is_plain = (1..=MAX_SUFFIX_CHARS).contains(&suffix.len())
        && suffix.chars().all(|c| c.is_ascii_alphanumeric());
    if is_plain { suffix.to_ascii_lowercase() } else { "txt".to_owned() }
}

/// Returns a URL without credentials and parameters, which can be secrets.
fn redact_url(url: &Url) -> String {
    let mut url = url.clone();
    // Both calls fail only for URLs without a host, and http URLs have one.
    let _ = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests;
