use std::time::Duration;

use futures::{StreamExt as _, stream};
use reqwest::Client;
use taonet_http::Fault;
use taonet_http::client::{builder, fault};
use taonet_http::download::{RemainingFile, open_at};
use taonet_objects::{ObjectStorage, StorageError};
use thiserror::Error;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use url::Url;

use crate::{Listing, ListingError};

/// Maximum size of a catalogue document, in bytes.
const MAX_DOCUMENT_BYTES: usize = 64 << 20;
/// Timeout of a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for the head of a response, and for each chunk of its body.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A catalogue over HTTP or in a bucket.
#[derive(Clone, Debug)]
pub struct Source(SourceKind);

#[derive(Clone, Debug)]
enum SourceKind {
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
    #[error("'{0}' is not an http or https URL")]
    Address(String),
    /// An HTTP request failed.
    #[error("{url}: {source}")]
    Http {
        /// URL of the request.
        url: Box<Url>,
        /// Why the request failed.
        source: Fault,
    },
    /// The bucket sent no data for 30 s.
    #[error("{0}: no data for 30 s")]
    Stalled(String),
    /// The request to the bucket failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The document is too large.
    #[error("the catalogue is larger than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge,
    /// The document is not a valid catalogue.
    #[error(transparent)]
    Listing(#[from] ListingError),
}

impl SourceError {
    /// Returns whether a retry may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Http { source, .. } => source.is_retryable(),
            Self::Stalled(_) => true,
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
        let address = require_http(document.clone())?;
        let client = builder().connect_timeout(CONNECT_TIMEOUT).build();
        let client = client.map_err(|source| SourceError::Http {
            url: Box::new(address.clone()),
            source: fault(source),
        })?;
        Ok(Self(SourceKind::Http { client, document: address }))
    }

    /// Creates a source for the catalogue at a key in a bucket; file locations are relative to that
    /// key.
    pub fn bucket(storage: ObjectStorage, document: &str) -> Self {
        Self(SourceKind::Bucket { storage, document: document.trim_matches('/').to_owned() })
    }

    /// Reads the catalogue document.
    pub(crate) async fn listing(&self) -> Result<Listing, SourceError> {
        let location = match &self.0 {
            SourceKind::Http { document, .. } => document.to_string(),
            SourceKind::Bucket { document, .. } => {
                document.rsplit('/').next().unwrap_or_default().to_owned()
            }
        };
        let mut document_file = self.open(&location, 0).await?;
        let mut text = Vec::new();
        while let Some(bytes) = document_file.chunks.next().await.transpose()? {
            if text.len() + bytes.len() > MAX_DOCUMENT_BYTES {
                return Err(SourceError::TooLarge);
            }
            text.extend_from_slice(&bytes);
        }
        Ok(Listing::from_json(&text)?)
    }

    /// Opens a file at a byte offset. A server that ignores the offset starts at 0.
    pub(crate) async fn open(
        &self,
        location: &str,
        offset: u64,
    ) -> Result<RemainingFile<SourceError>, SourceError> {
        match &self.0 {
            SourceKind::Http { client, document } => {
                let url = document
                    .join(location)
                    .map_err(|_| SourceError::Address(location.to_owned()))?;
                let url = require_http(url)?;
                let http_error = {
                    let url = Box::new(url.clone());
                    move |source| SourceError::Http { url: url.clone(), source }
                };
                Ok(open_at(client, url, offset, STALL_TIMEOUT)
                    .await
                    .map_err(&http_error)?
                    .map_err(http_error))
            }
            SourceKind::Bucket { storage, document } => {
                let parent = document
                    .rsplit_once('/')
                    .map(|(parent, _)| format!("{parent}/"))
                    .unwrap_or_default();
                let key = format!("{parent}{location}");
                let location = location.to_owned();
                let stall_error = move |_: Elapsed| SourceError::Stalled(location.clone());
                let object = timeout(STALL_TIMEOUT, storage.read(&key, offset))
                    .await
                    .map_err(&stall_error)??;
                let chunks = stream::try_unfold(
                    (object, stall_error),
                    |(mut object, stall_error)| async move {
                        let chunk = timeout(STALL_TIMEOUT, object.next())
                            .await
                            .map_err(&stall_error)?
                            .transpose()?;
                        Ok::<_, SourceError>(chunk.map(|chunk| (chunk, (object, stall_error))))
                    },
                );
                Ok(RemainingFile { from: offset, total: None, chunks: chunks.boxed() })
            }
        }
    }
}

fn require_http(url: Url) -> Result<Url, SourceError> {
    if matches!(url.scheme(), "http" | "https") {
        Ok(url)
    } else {
        Err(SourceError::Address(url.to_string()))
    }
}
