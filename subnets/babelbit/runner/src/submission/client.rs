use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use taonet_babelbit_core::submission_api::Submission;
use taonet_wallet::Keypair;
use taonet_wire::sorted_json;
use url::Url;

use super::payload::{LocalFile, TAR_CONTENT_TYPE, artifact_data, is_artifact, text_data};
use crate::OutboxEntry;
use taonet_http::client::{builder, fault, join_path, read_capped, retry_after};
use taonet_http::{Fault, FormFile, MultipartForm, file_content};
use taonet_objects::StorageError;

/// Maximum number of bytes read from a response.
const MAX_RESPONSE_BYTES: usize = 64 << 10;
/// Maximum number of characters of a response body in an error.
const MAX_ERROR_CHARS: usize = 300;
/// Connect timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Minimum upload rate in bytes per second; the timeout for an audio bundle allows for this rate.
const MIN_UPLOAD_RATE: u64 = 256 << 10;

/// Why a submission failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The response status is not 200.
    #[error("the scoring API returned {}: {body}", status.as_u16())]
    Status {
        /// The response status.
        status: StatusCode,
        /// Start of the response body.
        body: String,
        /// Delay from the `Retry-After` header.
        retry_after: Option<Duration>,
    },
    /// The scoring API did not respond, or its response could not be read.
    #[error("request to the scoring API failed: {0}")]
    Fault(Fault),
    /// The response has status 200 but is not JSON: it may come from another server.
    #[error("the scoring API's response is not JSON")]
    NotJson,
    /// The upload to the bucket failed.
    #[error("{0}")]
    Storage(StorageError),
    /// The file is unreadable.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The file is missing, and its submission requires it.
    #[error("missing file {}", .0.display())]
    NoFile(PathBuf),
}

impl SubmitError {
    /// Whether a retry may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                !status.is_client_error()
                    || matches!(
                        *status,
                        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                    )
            }
            Self::NoFile(_) => false,
            Self::Fault(_) | Self::NotJson | Self::Storage(_) | Self::File { .. } => true,
        }
    }

    /// Returns the delay from the `Retry-After` header.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Outcome of a delivery to the scoring API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acceptance {
    /// The scoring API stored the result.
    Stored,
    /// The scoring API discarded the result, since it already has the same result or one signed
    /// later.
    Superseded,
}

/// Client of the scoring API's submission routes, for one hotkey.
pub(super) struct ScoringApi {
    http: reqwest::Client,
    submit_url: Url,
    artifact_url: Url,
    keypair: Arc<Keypair>,
    timeout: Duration,
}

impl ScoringApi {
    pub(super) fn new(
        base: &Url,
        keypair: Arc<Keypair>,
        timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        let http = builder().connect_timeout(CONNECT_TIMEOUT).build()?;
        let (submit_url, artifact_url) =
            (join_path(base, "/v1/submit"), join_path(base, "/v1/submit-artifact"));
        Ok(Self { http, submit_url, artifact_url, keypair, timeout })
    }

    /// Sends one submission of a file. `timestamp` is in seconds since the Unix epoch.
    pub(super) async fn submit(
        &self,
        entry: &OutboxEntry,
        file: &LocalFile,
        s3_path: Option<&str>,
        timestamp: i64,
    ) -> Result<Acceptance, SubmitError> {
        let sign_submission = |data| {
            let miner = (entry.miner.uid, entry.miner.hotkey);
            let submission = Submission::new(
                &self.keypair.hotkey(),
                Some(miner),
                timestamp,
                &entry.challenge_uid,
                data,
            );
            let signature =
                self.keypair.sign(sorted_json(&submission.signed()).as_bytes()).to_bare_hex();
            sorted_json(&submission.with_signature(signature, entry.file.kind()))
        };
        let name = file.name();
        let request = if is_artifact(entry.file) {
            let (file_handle, size) = file.open().await?;
            let metadata = sign_submission(artifact_data(entry, &name, size, s3_path));
            let file_field =
                FormFile { field: "file", name: &name, content_type: TAR_CONTENT_TYPE };
            let form = MultipartForm::new([("metadata", &*metadata)], file_field);
            self.http
                .post(self.artifact_url.clone())
                .timeout(self.timeout + Duration::from_secs(size / MIN_UPLOAD_RATE))
                .header(CONTENT_TYPE, form.content_type())
                .header(CONTENT_LENGTH, form.length(size))
                .body(form.stream(file_content(file_handle, size)))
        } else {
            let text = file.text(entry.file).await?;
            let body = sign_submission(text_data(entry, &name, text.as_deref(), s3_path));
            let request = self.http.post(self.submit_url.clone()).timeout(self.timeout);
            request.header(CONTENT_TYPE, "application/json").body(body)
        };
        read_acceptance(request.send().await.map_err(|error| SubmitError::Fault(fault(error)))?)
            .await
    }
}

/// Reads the outcome of a submission from the response.
async fn read_acceptance(response: Response) -> Result<Acceptance, SubmitError> {
    let status = response.status();
    let retry_after = retry_after(&response);
    let body = read_capped(response, MAX_RESPONSE_BYTES).await;
    if !status.is_success() {
        let body = String::from_utf8_lossy(&body.unwrap_or_default())
            .chars()
            .take(MAX_ERROR_CHARS)
            .collect();
        return Err(SubmitError::Status { status, body, retry_after });
    }
    let body = body.map_err(SubmitError::Fault)?;
    if body.is_empty() {
        return Ok(Acceptance::Stored);
    }
    let response: Value = serde_json::from_slice(&body).map_err(|_| SubmitError::NotJson)?;
    let is_superseded = response.get("stored").and_then(Value::as_bool) == Some(false);
    Ok(if is_superseded { Acceptance::Superseded } else { Acceptance::Stored })
}
