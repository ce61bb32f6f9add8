use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode};
use taonet_http::client::builder;
use taonet_objects::{ObjectStorage, StorageError};
use thiserror::Error;
use tokio::time::timeout;
use url::Url;

use crate::{Listing, ListingError};

/// Maximum size of a catalogue document, in bytes.
const MAX_DOCUMENT: usize = 64 << 20;
/// Timeout of a connection attempt.
const CONNECTING: Duration = Duration::from_secs(10);
/// Timeout of a response's header, and of each chunk of its body.
const STALLED: Duration = Duration::from_secs(30);

/// A catalogue over HTTP or in a bucket.
#[derive(Clone, Debug)]
pub struct Source(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// URL of the document.
    Http { client: Client, document: Url },
    /// Key of the document in a bucket.
    Bucket { storage: ObjectStorage, document: String },
}

/// Why a catalogue or a file cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The address is not an HTTP URL.
    #[error("'{0}' is not an http or https address")]
    Address(String),
    /// The request failed.
    #[error("{url}: {source}")]
    Transport {
        /// The URL.
        url: Box<Url>,
        /// The transport error.
        source: reqwest::Error,
    },
    /// The server returned an unexpected status.
    #[error("{url}: status {status}")]
    Status {
        /// The URL.
        url: Box<Url>,
        /// The HTTP status.
        status: StatusCode,
    },
    /// No data arrived for 30 s.
    #[error("{0}: no data for 30 s")]
    Stalled(String),
    /// The request to the bucket failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The document is too large.
    #[error("the catalogue is larger than {MAX_DOCUMENT} bytes")]
    TooLarge,
    /// The document is not a valid catalogue.
    #[error(transparent)]
    Listing(#[from] ListingError),
}

impl SourceError {
    /// Returns whether a retry may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Stalled(_) => true,
            Self::Status { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::Storage(error) => !error.is_refusal(),
            Self::Address(_) | Self::TooLarge | Self::Listing(_) => false,
        }
    }
}

impl Source {
    /// Creates a source for the catalogue at an HTTP URL. Redirects are not followed.
    ///
    /// # Errors
    /// When the URL is not HTTP, or TLS cannot be initialised.
    pub fn http(document: &Url) -> Result<Self, SourceError> {
        let address = web(document.clone())?;
        let client = builder().connect_timeout(CONNECTING).build();
        let client = client.map_err(|source| SourceError::Transport { url: Box::new(address.clone()), source })?;
        Ok(Self(Kind::Http { client, document: address }))
    }

    /// Creates a source for the catalogue at a key in a bucket; file locations are relative to that key.
    pub fn bucket(storage: ObjectStorage, document: &str) -> Self {
        Self(Kind::Bucket { storage, document: document.trim_matches('/').to_owned() })
    }

    /// Reads the catalogue document.
    pub(crate) async fn listing(&self) -> Result<Listing, SourceError> {
        let place = match &self.0 {
            Kind::Http { document, .. } => document.to_string(),
            Kind::Bucket { document, .. } => document.rsplit('/').next().unwrap_or_default().to_owned(),
        };
        let mut part = self.open(&place, 0).await?;
        let mut text = Vec::new();
        while let Some(bytes) = part.next().await? {
            if text.len() + bytes.len() > MAX_DOCUMENT {
                return Err(SourceError::TooLarge);
            }
            text.extend_from_slice(&bytes);
        }
        Ok(Listing::from_json(&text)?)
    }

    /// Opens a file at a byte offset. A server that ignores the offset starts at 0.
    pub(crate) async fn open(&self, place: &str, from: u64) -> Result<Part, SourceError> {
        let stalled = |_| SourceError::Stalled(place.to_owned());
        match &self.0 {
            Kind::Http { client, document } => {
                let url = document.join(place).map_err(|_| SourceError::Address(place.to_owned()))?;
                let url = web(url)?;
                let failed = |source: reqwest::Error| SourceError::Transport {
                    url: Box::new(url.clone()),
                    source: source.without_url(),
                };
                let mut request = client.get(url.clone());
                if from > 0 {
                    request = request.header(RANGE, format!("bytes={from}-"));
                }
                let response = timeout(STALLED, request.send()).await.map_err(stalled)?.map_err(failed)?;
                let from = match response.status() {
                    StatusCode::OK => 0,
                    StatusCode::PARTIAL_CONTENT if starts_at(&response, from) => from,
                    status => return Err(SourceError::Status { url: Box::new(url), status }),
                };
                Ok(Part { from, body: Body::Http(response, Box::new(url)) })
            }
            Kind::Bucket { storage, document } => {
                let parent = document.rsplit_once('/').map(|(parent, _)| format!("{parent}/")).unwrap_or_default();
                let key = format!("{parent}{place}");
                let stream = timeout(STALLED, storage.read(&key, from)).await.map_err(stalled)??;
                Ok(Part { from, body: Body::Bucket(stream, place.to_owned()) })
            }
        }
    }
}

fn web(url: Url) -> Result<Url, SourceError> {
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(SourceError::Address(url.to_string())) }
}

/// Returns whether a partial response begins at the requested offset.
fn starts_at(response: &Response, from: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok());
    first == Some(from)
}

/// Response with the rest of a file.
pub(crate) struct Part {
    /// Offset of the first byte.
    pub(crate) from: u64,
    body: Body,
}

enum Body {
    Http(Response, Box<Url>),
    Bucket(futures::stream::BoxStream<'static, Result<Bytes, StorageError>>, String),
}

impl Part {
    /// Returns the next chunk.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, SourceError> {
        match &mut self.body {
            Body::Http(response, url) => {
                let piece = timeout(STALLED, response.chunk()).await;
                let piece = piece.map_err(|_| SourceError::Stalled(url.to_string()))?;
                piece.map_err(|source| SourceError::Transport { url: url.clone(), source: source.without_url() })
            }
            Body::Bucket(stream, place) => {
                let piece = timeout(STALLED, stream.next()).await;
                Ok(piece.map_err(|_| SourceError::Stalled(place.clone()))?.transpose()?)
            }
        }
    }
}
