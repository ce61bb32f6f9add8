use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, MultipartUpload, ObjectStore as _,
    ObjectStoreExt as _, RetryConfig,
};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use crate::{S3Addressing, S3Settings};

/// Part size of multipart uploads in bytes, used for larger files; services require at least 5 MiB.
const PART_BYTES: usize = 8 << 20;
/// Timeout of one request; an upload request carries at most [`PART_BYTES`] bytes.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(2);

/// Why a storage operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// No bucket name is configured.
    #[error("S3_BUCKET_NAME is empty; hint: name the bucket, or disable uploads")]
    NoBucket,
    /// Only one of access key and secret key is configured.
    #[error(
        "only one of S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY is set; hint: set both or neither"
    )]
    IncompleteCredentials,
    /// The endpoint is not a valid URL.
    #[error("invalid S3_ENDPOINT_URL: {0}")]
    Endpoint(url::ParseError),
    /// The file to upload cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The object is larger than the caller allows.
    #[error("object {key} in bucket {bucket} is larger than {limit} bytes")]
    TooLarge {
        /// The bucket's name.
        bucket: String,
        /// The object's key.
        key: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The service failed or refused the request.
    #[error("request to bucket {bucket} failed: {source}")]
    Service {
        /// The bucket's name.
        bucket: String,
        /// Error of the S3 client.
        source: object_store::Error,
    },
}

impl StorageError {
    fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    /// Whether the error means that the object does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Service { source: object_store::Error::NotFound { .. }, .. })
    }

    /// Whether retrying is useless until credentials, permissions or settings change.
    pub fn is_refusal(&self) -> bool {
        use object_store::Error::{NotFound, PermissionDenied, Unauthenticated};
        matches!(
            self,
            Self::Service {
                source: NotFound { .. } | PermissionDenied { .. } | Unauthenticated { .. },
                ..
            }
        )
    }
}

/// An S3 bucket. Cheap to clone.
#[derive(Clone)]
pub struct ObjectStorage {
    store: Arc<AmazonS3>,
    bucket: String,
    log_dir: String,
}

impl fmt::Debug for ObjectStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStorage").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

/// Returns HTTP client options with a request timeout; plain HTTP is allowed.
pub fn client_options(timeout: Duration) -> ClientOptions {
    ClientOptions::new().with_timeout(timeout).with_allow_http(true)
}

impl ObjectStorage {
    /// Opens the configured bucket, without sending a request.
    ///
    /// # Errors
    /// [`StorageError`] when settings are missing or contradictory.
    pub fn open(settings: &S3Settings) -> Result<Self, StorageError> {
        Self::open_with(settings, client_options(REQUEST_TIMEOUT))
    }

    /// Opens the configured bucket with custom HTTP client options, without sending a request.
    ///
    /// # Errors
    /// [`StorageError`] when settings are missing or contradictory.
    pub fn open_with(settings: &S3Settings, options: ClientOptions) -> Result<Self, StorageError> {
        let bucket = settings.bucket.trim();
        if bucket.is_empty() {
            return Err(StorageError::NoBucket);
        }
        let is_virtual = settings.addressing == S3Addressing::Virtual;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&settings.region)
            .with_virtual_hosted_style_request(is_virtual)
            .with_client_options(options)
            // The uploader has its own retries, over a longer period than one call should take.
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: 2,
                retry_timeout: Duration::from_secs(30),
            });
        if let Some(endpoint) = &settings.endpoint_url {
            builder = builder.with_endpoint(endpoint_of(
                endpoint,
                settings.use_ssl,
                is_virtual.then_some(bucket),
            )?);
        }
        match (&settings.access_key_id, &settings.secret_access_key) {
            (Some(id), Some(secret)) => {
                builder =
                    builder.with_access_key_id(id.expose()).with_secret_access_key(secret.expose());
            }
            (None, None) => {}
            _ => return Err(StorageError::IncompleteCredentials),
        }
        let store = builder
            .build()
            .map_err(|source| StorageError::Service { bucket: bucket.to_owned(), source })?;
        Ok(Self {
            store: Arc::new(store),
            bucket: bucket.to_owned(),
            log_dir: settings.log_dir.clone(),
        })
    }

    /// Returns the parent folder of run logs, as an object key prefix.
    pub fn log_dir(&self) -> &str {
        &self.log_dir
    }

    /// Uploads a file as the object with this key; replaces an existing object atomically.
    ///
    /// # Errors
    /// [`StorageError`] when the file cannot be read, or the service fails or refuses the request.
    pub async fn upload(&self, key: &str, path: &Path) -> Result<(), StorageError> {
        let mut file = File::open(path).await.map_err(|source| StorageError::file(path, source))?;
        let key = Key::from(key);
        let first =
            read_part(&mut file).await.map_err(|source| StorageError::file(path, source))?;
        if first.len() < PART_BYTES {
            self.store
                .put(&key, first.into())
                .await
                .map_err(|source| self.service_error(source))?;
            return Ok(());
        }
        let mut upload =
            self.store.put_multipart(&key).await.map_err(|source| self.service_error(source))?;
        let uploaded = self.upload_parts(&mut *upload, first, &mut file, path).await;
        if uploaded.is_err() {
            // If the abort fails, the bucket's lifecycle rule for incomplete uploads cleans up.
            let _ = upload.abort().await;
        }
        uploaded
    }

    async fn upload_parts(
        &self,
        upload: &mut dyn MultipartUpload,
        first: Bytes,
        file: &mut File,
        path: &Path,
    ) -> Result<(), StorageError> {
        let mut part = first;
        while !part.is_empty() {
            upload.put_part(part.into()).await.map_err(|source| self.service_error(source))?;
            part = read_part(file).await.map_err(|source| StorageError::file(path, source))?;
        }
        upload.complete().await.map_err(|source| self.service_error(source))?;
        Ok(())
    }

    /// Uploads bytes as the object with this key; replaces an existing object atomically.
    ///
    /// # Errors
    /// [`StorageError`] when the service fails or refuses the request.
    pub async fn put(&self, key: &str, content: Bytes) -> Result<(), StorageError> {
        self.store
            .put(&Key::from(key), content.into())
            .await
            .map(drop)
            .map_err(|source| self.service_error(source))
    }

    /// Reads the complete object with this key.
    ///
    /// # Errors
    /// [`StorageError`] when the object does not exist or is larger than `limit` bytes, or the
    /// service fails or refuses the request.
    pub async fn get(&self, key: &str, limit: usize) -> Result<Vec<u8>, StorageError> {
        let mut chunks = self.read(key, 0).await?;
        let mut content = Vec::new();
        while let Some(chunk) = chunks.try_next().await? {
            if content.len() + chunk.len() > limit {
                return Err(StorageError::TooLarge {
                    bucket: self.bucket.clone(),
                    key: key.to_owned(),
                    limit,
                });
            }
            content.extend_from_slice(&chunk);
        }
        Ok(content)
    }

    /// Streams the object with this key, starting at byte offset `from`.
    ///
    /// # Errors
    /// [`StorageError`] when the object does not exist, `from` is beyond its end, or the service
    /// fails or refuses the request. The chunks of the stream can fail with the same errors.
    pub async fn read(
        &self,
        key: &str,
        from: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, StorageError>>, StorageError> {
        let range = (from > 0).then_some(GetRange::Offset(from));
        let options = GetOptions { range, ..GetOptions::default() };
        let object = self
            .store
            .get_opts(&Key::from(key), options)
            .await
            .map_err(|source| self.service_error(source))?;
        let bucket = self.bucket.clone();
        Ok(object
            .into_stream()
            .map_err(move |source| StorageError::Service { bucket: bucket.clone(), source })
            .boxed())
    }

    /// Deletes the object with this key, if it exists.
    ///
    /// # Errors
    /// [`StorageError`] when the service fails or refuses the request.
    pub async fn remove(&self, key: &str) -> Result<(), StorageError> {
        match self.store.delete(&Key::from(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.service_error(source)),
        }
    }

    /// Lists the keys under a prefix ending in `/` whose objects were last modified before `time`.
    ///
    /// # Errors
    /// [`StorageError`] when the service fails or refuses the request.
    pub async fn written_before(
        &self,
        prefix: &str,
        time: SystemTime,
    ) -> Result<Vec<String>, StorageError> {
        let prefix = Key::from(prefix);
        let mut objects = self.store.list(Some(&prefix));
        let mut keys = Vec::new();
        while let Some(object) =
            objects.try_next().await.map_err(|source| self.service_error(source))?
        {
            if SystemTime::from(object.last_modified) < time {
                keys.push(object.location.to_string());
            }
        }
        Ok(keys)
    }

    fn service_error(&self, source: object_store::Error) -> StorageError {
        StorageError::Service { bucket: self.bucket.clone(), source }
    }
}

/// Returns the endpoint URL with a scheme and, for virtual-host addressing, with the bucket's name
/// before the host.
fn endpoint_of(
    endpoint: &str,
    use_ssl: bool,
    bucket: Option<&str>,
) -> Result<String, StorageError> {
    let scheme = if use_ssl { "https" } else { "http" };
    let full_endpoint = if endpoint.contains("://") {
        endpoint.to_owned()
    } else {
        format!("{scheme}://{endpoint}")
    };
    let Some(bucket) = bucket else { return Ok(full_endpoint) };
    let mut url = url::Url::parse(&full_endpoint).map_err(StorageError::Endpoint)?;
    let host = format!("{bucket}.{}", url.host_str().unwrap_or_default());
    url.set_host(Some(&host)).map_err(StorageError::Endpoint)?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

async fn read_part(file: &mut File) -> std::io::Result<Bytes> {
    let mut part = Vec::new();
    file.take(PART_BYTES as u64).read_to_end(&mut part).await?;
    Ok(part.into())
}

#[cfg(test)]
mod tests;
