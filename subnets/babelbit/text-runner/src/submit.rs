//! Submission of result files to the scoring API.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use taonet_babelbit_core::records::ChallengeType;
use taonet_babelbit_core::submission_api::{Submission, SubmissionKind};
use taonet_http::Fault;
use taonet_http::client::{below, builder, fault, read_capped, retry_after};
use taonet_service::{Clock, Sleeper, sleeper, system_clock, unix_time};
use taonet_wallet::Keypair;
use taonet_wire::sorted_json;
use url::Url;

use super::{TextReport, WrittenFile, WrittenKind};

/// Maximum number of attempts for a file.
const ATTEMPTS: u32 = 4;
/// Number of files without success or refusal, one after the other, after which a submission ends.
const MAX_UNANSWERED: u32 = 20;
/// Pause after the first failure; it doubles with each one.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Maximum accepted `Retry-After`.
const MAX_PAUSE: Duration = Duration::from_mins(5);
/// Maximum number of bytes read from a response.
const MAX_ANSWER: usize = 64 << 10;

/// Why a file was not submitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// TLS could not be set up.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The file could not be read.
    #[error("cannot read {}: {source}", file.display())]
    File {
        /// The file.
        file: std::path::PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The scoring API refused the file or could not be reached.
    #[error("the scoring API did not accept {file}: {fault} {answer}")]
    Refused {
        /// Name of the file.
        file: String,
        /// The HTTP fault.
        fault: Fault,
        /// Start of the response.
        answer: String,
    },
}

impl SubmitError {
    /// Whether another attempt would fail too.
    fn is_final(&self) -> bool {
        match self {
            Self::Refused { fault, .. } => is_final(fault),
            Self::Client(_) | Self::File { .. } => true,
        }
    }
}

fn is_final(fault: &Fault) -> bool {
    matches!(fault, Fault::Status { status, .. } if status.is_client_error() && !matches!(status.as_u16(), 408 | 429))
}

/// Sends the files of a run to the scoring API.
pub struct Submitter {
    http: reqwest::Client,
    url: Url,
    keypair: Arc<Keypair>,
    clock: Clock,
    sleeper: Sleeper,
}

impl std::fmt::Debug for Submitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submitter").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Submitter {
    /// A submitter to the scoring API at `base`, in the name of `keypair`.
    ///
    /// # Errors
    /// [`SubmitError::Client`].
    pub fn new(base: &Url, keypair: Arc<Keypair>, timeout: Duration) -> Result<Self, SubmitError> {
        let http = builder().timeout(timeout).build().map_err(SubmitError::Client)?;
        Ok(Self { http, url: below(base, "/v1/submit"), keypair, clock: system_clock(), sleeper: sleeper() })
    }

    /// Submits all files of a run: each miner's logs and scores, then its mean. A file has up to four attempts, 2, 4 and 8
    /// s apart. A refused file does not keep the others back; an API that does not answer ends the submission.
    ///
    /// # Errors
    /// [`SubmitError`] of the first file that could not be submitted.
    pub async fn submit(&self, report: &TextReport) -> Result<(), SubmitError> {
        let (mut first_error, mut unanswered) = (None, 0);
        for file in &report.files {
            // While the API does not answer, a file has one attempt.
            let attempts = if unanswered == 0 { ATTEMPTS } else { 1 };
            let submitted = self.submit_file(report.challenge_uid.as_deref(), report.challenge_type, file, attempts);
            let Err(error) = submitted.await else {
                unanswered = 0;
                continue;
            };
            tracing::warn!(%error, "a file was not submitted");
            unanswered = if error.is_final() { 0 } else { unanswered + 1 };
            first_error = first_error.or(Some(error));
            if unanswered >= MAX_UNANSWERED {
                break;
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    async fn submit_file(
        &self,
        challenge_uid: Option<&str>,
        challenge_type: ChallengeType,
        file: &WrittenFile,
        attempts: u32,
    ) -> Result<(), SubmitError> {
        let unread = |source| SubmitError::File { file: file.path.clone(), source };
        let content = tokio::fs::read_to_string(&file.path).await.map_err(unread)?;
        let name = file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (file_type, kind) = match file.kind {
            WrittenKind::DialogueLog => ("dialogue_log", SubmissionKind::DialogueLogs),
            WrittenKind::DialogueScore => ("dialogue_scores", SubmissionKind::DialogueScores),
            WrittenKind::ChallengeScore => ("challenge_scores", SubmissionKind::ChallengeScores),
        };
        let challenge_id = challenge_uid.unwrap_or("unknown");
        let data = json!({
            "file_type": file_type, "file_name": name, "challenge_uid": challenge_uid, "main_challenge_uid": null,
            "miner_uid": file.miner.uid, "miner_hotkey": file.miner.hotkey, "dialogue_uid": file.dialogue_uid,
            "s3_path": null, "file_size": content.len(), "content": content, "challenge_type": challenge_type,
        });
        let miner = Some((file.miner.uid, file.miner.hotkey));
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let now = i64::try_from(unix_time((self.clock)()).as_secs()).unwrap_or(i64::MAX);
            let submission = Submission::new(&self.keypair.hotkey(), miner, now, challenge_id, data.clone());
            let signature = self.keypair.sign(sorted_json(&submission.signed()).as_bytes()).to_bare_hex();
            let body = sorted_json(&submission.with_signature(signature, kind));
            let (fault, answer) = match self.post(body).await {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            let asked = match &fault {
                Fault::Status { retry_after, .. } => *retry_after,
                _ => None,
            };
            if is_final(&fault) || attempt >= attempts {
                return Err(SubmitError::Refused { file: name, fault, answer });
            }
            let wait = pause.max(asked.unwrap_or_default()).min(MAX_PAUSE);
            tracing::warn!(attempt, file = name, error = %fault, "the scoring API did not accept a file, retrying");
            (self.sleeper)(wait).await;
            pause = pause.saturating_mul(2);
        }
        Ok(())
    }

    /// Posts a body; an error has the start of the response.
    async fn post(&self, body: String) -> Result<(), (Fault, String)> {
        let request = self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        let response = request.send().await.map_err(|error| (fault(error), String::new()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let retry_after = retry_after(&response);
        let answer = read_capped(response, MAX_ANSWER).await.unwrap_or_default();
        let answer = String::from_utf8_lossy(&answer).chars().take(300).collect();
        Err((Fault::Status { status, retry_after }, answer))
    }
}
