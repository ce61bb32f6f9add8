//! The user of the demonstration: a client of the validator's API, with an API key and TLS.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::{Certificate, Client};
use serde_json::{Value, json};
use taonet_http::ServeLimits;
use taonet_primitives::Hotkey;
use taonet_proof_api::{ApiKeys, ApiSettings, Identity, JobSettings, LiveKeys, router, serve_tls};
use taonet_proof_circuits::{Backends, Bundle, ModelBundle, ShippedModel};
use taonet_proof_core::Digest;
use taonet_proof_lm::{Text, TextBundle};
use taonet_proof_validator::Examiner;
use taonet_service::Shutdown;
use tokio::net::TcpListener;

/// Name of the user's API key.
const API_KEY_NAME: &str = "demo-user";
/// Timeout of each request to the API, such as that of the events until a proof is complete, on a
/// busy machine.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(3);

/// A client of the API with its key.
pub(super) struct User {
    client: Client,
    url: String,
    key: String,
}

/// A proof that the user received.
pub(super) struct UserProof {
    pub(super) circuit: Digest,
    pub(super) backend: String,
    /// Name of the miner that made the proof.
    pub(super) miner: &'static str,
    /// Integer outputs: one score for each digit.
    pub(super) outputs: Vec<i64>,
    /// Digit with the highest score.
    pub(super) digit: usize,
    /// Digit in the picture.
    pub(super) label: usize,
    /// Hash of the verification key.
    pub(super) verification_key: String,
    pub(super) proof_bytes: usize,
    /// Time from submission to bundle.
    pub(super) elapsed: Duration,
    /// Number of miners that received the request.
    pub(super) miners_asked: usize,
    /// Failure reasons of the miners that failed.
    pub(super) failures: Vec<String>,
    /// Path of the bundle, which was verified offline.
    pub(super) bundle: PathBuf,
}

/// An answer of a language model that the user received.
pub(super) struct UserAnswer {
    pub(super) circuit: Digest,
    /// Name of the language model.
    pub(super) model: String,
    /// Name of the miner that proved the answer.
    pub(super) miner: &'static str,
    /// Prompt and answer.
    pub(super) text: Text,
    pub(super) proof_bytes: usize,
    /// Time from submission to bundle.
    pub(super) elapsed: Duration,
    /// Time of the verification.
    pub(super) verification_time: Duration,
    /// Path of the bundle, which was verified offline.
    pub(super) bundle: PathBuf,
}

/// Response of the API to a request.
struct ApiResponse {
    /// The stream of events.
    events: String,
    bundle: String,
    /// Time from submission to bundle.
    elapsed: Duration,
}

impl User {
    /// Serves the user API on this machine and creates a key for it.
    pub(super) async fn start(
        examiner: &Arc<Examiner>,
        directory: &Path,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Self> {
        let path = directory.join("api-keys.json");
        let key = ApiKeys::open(&path)?.add(API_KEY_NAME, &path)?;
        let identity = Identity::self_signed(directory)?;
        let root = Certificate::from_pem(identity.certificate())?;
        let client =
            Client::builder().tls_certs_only([root]).no_proxy().timeout(REQUEST_TIMEOUT).build()?;
        let listener =
            TcpListener::bind("127.0.0.1:0").await.context("cannot listen on this machine")?;
        let url = format!("https://{}", listener.local_addr()?);
        let defaults = ApiSettings::default();
        let jobs = JobSettings { directory: Some(directory.join("user-proofs")), ..defaults.jobs };
        let routes = router(
            Arc::clone(examiner),
            LiveKeys::open(&path)?,
            &ApiSettings { jobs, ..defaults },
            shutdown,
        )?;
        shutdown.spawn_until("api", |stop| async move {
            if let Err(error) =
                serve_tls(listener, routes, &identity, ServeLimits::default(), &stop).await
            {
                tracing::error!(%error, "the user API stopped");
            }
        });
        Ok(Self { client, url, key })
    }

    /// Submits a picture to a circuit, waits for the proof, and verifies the bundle offline. Writes
    /// the bundle to `bundle`.
    pub(super) async fn prove(
        &self,
        circuit: Digest,
        picture: usize,
        bundle: PathBuf,
        names: &BTreeMap<Hotkey, &'static str>,
    ) -> anyhow::Result<UserProof> {
        let sample = ShippedModel::DigitsMlp.sample()?;
        let (input, label) = (sample.inputs.get(picture), sample.labels.get(picture));
        let (input, label) = input.zip(label).context("the sample has too few pictures")?;
        let response = self.request(&json!({ "circuit": circuit, "input": input })).await?;
        let ApiResponse { events, bundle: text, elapsed } = response;
        let parsed = ModelBundle::from_json(text.as_bytes())?;
        anyhow::ensure!(parsed.id()? == circuit, "the bundle is for a different circuit");
        let verified = parsed.clone();
        tokio::task::spawn_blocking(move || verified.verify()).await??;
        tokio::fs::write(&bundle, &text)
            .await
            .with_context(|| format!("cannot write {}", bundle.display()))?;
        let proof = parsed.proofs().first().context("the bundle has no proof")?;
        anyhow::ensure!(proof.inputs == *input, "the bundle is for a different input");
        let digit = (0..)
            .zip(&proof.outputs)
            .max_by_key(|(_, score)| **score)
            .map_or(0, |(digit, _)| digit);
        let progress_events = progress_events(&events);
        let miners_asked = progress_events.iter().filter(|step| step["event"] == "asked").count();
        let failures =
            progress_events.iter().filter_map(|step| step["fault"].as_str().map(str::to_owned));
        Ok(UserProof {
            circuit,
            backend: proof.circuit.backend.clone(),
            miner: names.get(&proof.miner).copied().unwrap_or_default(),
            outputs: proof.outputs.clone(),
            digit,
            label: *label,
            verification_key: proof.circuit.verification_key()?.to_string(),
            proof_bytes: proof.proof.len() / 2,
            elapsed,
            miners_asked,
            failures: failures.collect(),
            bundle,
        })
    }

    /// Submits a prompt to a language model, waits for the proof of its answer, and verifies the
    /// bundle offline. Writes the bundle to `bundle`.
    pub(super) async fn ask(
        &self,
        circuit: Digest,
        prompt: &str,
        bundle: PathBuf,
        names: &BTreeMap<Hotkey, &'static str>,
    ) -> anyhow::Result<UserAnswer> {
        let response = self.request(&json!({ "circuit": circuit, "prompt": prompt })).await?;
        let ApiResponse { bundle: document, elapsed, .. } = response;
        let parsed =
            TextBundle::from_json(document.as_bytes())?.context("the bundle has no answer")?;
        anyhow::ensure!(
            parsed.proof.circuit_id()? == circuit,
            "the bundle is for a different circuit"
        );
        let (parsed, text, verification_time) = tokio::task::spawn_blocking(move || {
            let start = Instant::now();
            let text = parsed.verify_with(&Backends::default())?;
            anyhow::Ok((parsed, text, start.elapsed()))
        })
        .await??;
        anyhow::ensure!(text.prompt == prompt, "the bundle is for a different prompt");
        tokio::fs::write(&bundle, &document)
            .await
            .with_context(|| format!("cannot write {}", bundle.display()))?;
        let Bundle { circuit: metadata, miner, proof, .. } = parsed.proof;
        Ok(UserAnswer {
            circuit,
            model: metadata.name,
            miner: names.get(&miner).copied().unwrap_or_default(),
            text,
            proof_bytes: proof.len() / 2,
            elapsed,
            verification_time,
            bundle,
        })
    }

    /// Submits a request and waits for its bundle.
    async fn request(&self, submission: &Value) -> anyhow::Result<ApiResponse> {
        let start = Instant::now();
        let request = self
            .client
            .post(format!("{}/v1/proofs", self.url))
            .bearer_auth(&self.key)
            .json(submission);
        let response: Value = request.send().await?.error_for_status()?.json().await?;
        let id = response.get("id").and_then(Value::as_str).context("the API returned no id")?;
        let events = self.get(&format!("/v1/proofs/{id}/events")).await?;
        let document: Value = serde_json::from_str(&self.get(&format!("/v1/proofs/{id}")).await?)?;
        anyhow::ensure!(
            document.get("status").and_then(Value::as_str) == Some("done"),
            "the user's proof failed: {document}"
        );
        let bundle = self.get(&format!("/v1/proofs/{id}/bundle")).await?;
        Ok(ApiResponse { events, bundle, elapsed: start.elapsed() })
    }

    async fn get(&self, path: &str) -> anyhow::Result<String> {
        let response =
            self.client.get(format!("{}{path}", self.url)).bearer_auth(&self.key).send().await?;
        Ok(response.error_for_status()?.text().await?)
    }
}

/// Returns the progress events of a stream of server-sent events.
fn progress_events(events: &str) -> Vec<Value> {
    let data = events.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|data| serde_json::from_str(data.trim()).ok())
        .filter(|step: &Value| step.get("event").is_some())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_events_are_parsed_from_stream() {
        let stream = "event: progress\ndata: {\"event\":\"asked\",\"slice\":0}\n\n: keep-alive\n\n\
                      event: progress\ndata: {\"event\":\"failed\",\"fault\":\"invalid\"}\n\n\
                      event: end\ndata: {\"status\":\"done\"}\n\n";
        let progress_events = progress_events(stream);
        assert_eq!(progress_events.len(), 2);
        assert_eq!(
            (&progress_events[0]["event"], &progress_events[1]["fault"]),
            (&json!("asked"), &json!("invalid"))
        );
    }
}
