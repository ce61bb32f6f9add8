//! Client of the Hugging Face hub.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::call::{Body, Scheme, Service};
use super::{ApiError, Call, ChutesSettings, LocalFile, LocalModel};

/// Timeout of a request without a file.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Content type of requests to the large-file service.
const LFS: &str = "application/vnd.git-lfs+json";
/// Branch that receives uploads.
const BRANCH: &str = "main";

/// Information of the hub about a model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ModelInfo {
    /// Revision: ID of the commit.
    #[serde(default)]
    pub sha: Option<String>,
    /// Access restriction of the model: `false`, or the approval mode.
    #[serde(default)]
    gated: Value,
}

impl ModelInfo {
    /// Whether access to the model must be granted first.
    pub fn is_gated(&self) -> bool {
        !matches!(self.gated, Value::Null | Value::Bool(false))
    }
}

/// The hub's response to a pre-upload request: how it stores each file of a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UploadPlan {
    /// Names of the files that the large-file service stores.
    pub large: BTreeSet<String>,
    /// Names of the files that the hub does not store.
    pub ignored: BTreeSet<String>,
}

impl UploadPlan {
    /// Returns the files that the large-file service stores.
    fn large_files<'a>(&'a self, model: &'a LocalModel) -> impl Iterator<Item = &'a LocalFile> {
        model.files.iter().filter(move |file| self.large.contains(&file.name))
    }
}

/// An upload of one file to the large-file service.
#[derive(Debug, Clone, PartialEq)]
struct LargeUpload {
    upload: Call,
    verify: Option<Call>,
}

/// Client of the Hugging Face hub.
#[derive(Debug, Clone)]
pub struct HubApi {
    service: Service,
}

impl HubApi {
    /// Creates a client. Requests that need an API key fail with [`ApiError::NoKey`] if there is
    /// none.
    ///
    /// # Errors
    /// [`ApiError::Client`] when TLS initialisation fails.
    pub fn new(settings: &ChutesSettings) -> Result<Self, ApiError> {
        Self::with_timeout(settings, TIMEOUT)
    }

    /// Creates a client with another timeout of a request.
    ///
    /// # Errors
    /// [`ApiError::Client`] when TLS initialisation fails.
    pub fn with_timeout(settings: &ChutesSettings, timeout: Duration) -> Result<Self, ApiError> {
        let key = settings.hub_key.clone();
        Ok(Self {
            service: Service::new(
                &settings.hub_url,
                key,
                "HUGGINGFACE_API_KEY",
                Scheme::Bearer,
                timeout,
            )?,
        })
    }

    pub(crate) const fn service(&self) -> &Service {
        &self.service
    }

    /// Builds a request below a repository, whose name may have a slash.
    fn repository_call(
        &self,
        operation: &'static str,
        method: Method,
        repository: &str,
        segments: &[&str],
        body: Body,
    ) -> Call {
        let segments: Vec<&str> = ["api", "models"]
            .into_iter()
            .chain(repository.split('/'))
            .chain(segments.iter().copied())
            .collect();
        self.service.call(operation, method, &segments, body)
    }

    /// Request to create a public model repository.
    pub fn create(&self, repository: &str) -> Call {
        let (organization, name) = repository.split_once('/').unwrap_or(("", repository));
        let mut body = json!({ "type": "model", "name": name, "private": false });
        if let Some(fields) = body.as_object_mut().filter(|_| !organization.is_empty()) {
            fields.insert("organization".to_owned(), organization.into());
        }
        self.service.call(
            "create the repository",
            Method::POST,
            &["api", "repos", "create"],
            Body::Json(body),
        )
    }

    /// Builds the request for the hub's decision on how to store each file.
    pub fn preupload(&self, repository: &str, model: &LocalModel) -> Call {
        let file = |file: &LocalFile| json!({ "path": file.name, "size": file.size, "sample": STANDARD.encode(&file.sample) });
        let body = json!({ "files": model.files.iter().map(file).collect::<Vec<_>>() });
        self.repository_call(
            "prepare the upload",
            Method::POST,
            repository,
            &["preupload", BRANCH],
            Body::Json(body),
        )
    }

    /// Builds the request for the addresses to which the large files are uploaded.
    pub fn batch(&self, repository: &str, model: &LocalModel, plan: &UploadPlan) -> Call {
        let object = |file: &LocalFile| json!({ "oid": file.sha256, "size": file.size });
        let body = json!({
            "operation": "upload", "transfers": ["basic"], "hash_algo": "sha256",
            "objects": plan.large_files(model).map(object).collect::<Vec<_>>(),
        });
        let (organization, name) = repository.split_once('/').unwrap_or(("", repository));
        let git = format!("{name}.git");
        let mut segments = vec![organization, &git, "info", "lfs", "objects", "batch"];
        segments.retain(|segment| !segment.is_empty());
        let call =
            self.service.call("upload large files", Method::POST, &segments, Body::Json(body));
        call.header("accept", LFS).header("content-type", LFS)
    }

    /// Request that adds the files as one commit. Reads the small files.
    ///
    /// # Errors
    /// [`ApiError::File`] when a file is unreadable.
    pub fn commit(
        &self,
        repository: &str,
        model: &LocalModel,
        plan: &UploadPlan,
    ) -> Result<Call, ApiError> {
        let mut lines = vec![
            json!({ "key": "header", "value": { "summary": "Upload of bb push", "description": "" } }),
        ];
        for file in model.files.iter().filter(|file| !plan.ignored.contains(&file.name)) {
            lines.push(if plan.large.contains(&file.name) {
                json!({ "key": "lfsFile", "value": {
                    "path": file.name, "algo": "sha256", "oid": file.sha256, "size": file.size } })
            } else {
                let content = std::fs::read(&file.path);
                let content = content.map_err(|source| ApiError::File { path: file.path.clone(), source })?;
                json!({ "key": "file", "value": {
                    "path": file.name, "encoding": "base64", "content": STANDARD.encode(content) } })
            });
        }
        Ok(self.repository_call(
            "commit the files",
            Method::POST,
            repository,
            &["commit", BRANCH],
            Body::Lines(lines),
        ))
    }

    /// Request for a model, or for one revision of it.
    pub fn model(&self, repository: &str, revision: Option<&str>) -> Call {
        let segments: Vec<&str> =
            revision.into_iter().flat_map(|revision| ["revision", revision]).collect();
        self.repository_call(
            "read the model's revision",
            Method::GET,
            repository,
            &segments,
            Body::None,
        )
    }

    /// Request for a model without an API key.
    pub fn public_model(&self, repository: &str) -> Call {
        self.model(repository, None).without_key()
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`ApiError`] when the hub refuses or does not respond.
    pub async fn send(&self, call: &Call) -> Result<Value, ApiError> {
        self.service.send(call).await
    }

    /// Reads a model from the response to [`Self::model`].
    ///
    /// # Errors
    /// [`ApiError::Field`] when the response is not a model.
    pub fn info(call: &Call, answer: &Value) -> Result<ModelInfo, ApiError> {
        ModelInfo::deserialize(answer).map_err(|_| call.missing_field("sha"))
    }

    /// Uploads a model to a repository, which it creates if necessary; returns the revision. Calls
    /// `progress` with the name of each large file before its upload.
    ///
    /// # Errors
    /// [`ApiError`] when a file is unreadable, or the hub refuses or does not respond.
    pub async fn upload(
        &self,
        repository: &str,
        model: &LocalModel,
        mut progress: impl FnMut(&str),
    ) -> Result<String, ApiError> {
        match self.send(&self.create(repository)).await {
            // The repository exists.
            Err(error) if error.status() == Some(StatusCode::CONFLICT) => {}
            created => drop(created?),
        }
        let call = self.preupload(repository, model);
        let plan = plan(&call, &self.send(&call).await?)?;
        if plan.large_files(model).next().is_some() {
            let call = self.batch(repository, model, &plan);
            let answer = self.send(&call).await?;
            for file in plan.large_files(model) {
                let Some(large_upload) = self.large_upload(&call, &answer, file)? else { continue };
                progress(&file.name);
                self.send(&large_upload.upload).await?;
                if let Some(verify) = &large_upload.verify {
                    self.send(verify).await?;
                }
            }
        }
        let call = self.commit(repository, model, &plan)?;
        let answer = self.send(&call).await?;
        let revision = answer.get("commitOid").and_then(Value::as_str);
        revision.map(str::to_owned).ok_or(call.missing_field("commitOid"))
    }

    /// Returns the upload of a large file; `None` if the hub already has its content.
    fn large_upload(
        &self,
        call: &Call,
        answer: &Value,
        file: &LocalFile,
    ) -> Result<Option<LargeUpload>, ApiError> {
        let objects =
            answer.get("objects").and_then(Value::as_array).ok_or(call.missing_field("objects"))?;
        let is_of_file =
            |object: &&Value| object.get("oid").and_then(Value::as_str) == Some(&file.sha256);
        let object = objects.iter().find(is_of_file).ok_or(call.missing_field("objects.oid"))?;
        if let Some(error) = object.get("error") {
            tracing::debug!(%error, file = file.name, "large file refused");
            return Err(call.missing_field("objects.actions"));
        }
        let Some(upload) = object.pointer("/actions/upload") else { return Ok(None) };
        let to = |action: &Value, method: Method, body: Body, field| -> Result<Call, ApiError> {
            let url =
                action.get("href").and_then(Value::as_str).and_then(|url| Url::parse(url).ok());
            let url = url.ok_or(call.missing_field(field))?;
            let mut call = Call {
                operation: call.operation,
                method,
                url,
                scheme: Scheme::None,
                headers: HeaderMap::new(),
                body,
            };
            let headers = action.get("header").and_then(Value::as_object);
            for (name, value) in headers.into_iter().flatten() {
                if let (Ok(name), Some(Ok(mut value))) = (
                    name.parse::<reqwest::header::HeaderName>(),
                    value.as_str().map(str::parse::<reqwest::header::HeaderValue>),
                ) {
                    value.set_sensitive(true);
                    call.headers.insert(name, value);
                }
            }
            Ok(call)
        };
        let body = Body::File(file.path.clone(), file.size);
        let upload = to(upload, Method::PUT, body, "objects.actions.upload.href")?;
        let verify = object.pointer("/actions/verify");
        let body = Body::Json(json!({ "oid": file.sha256, "size": file.size }));
        let verify = verify
            .map(|verify| to(verify, Method::POST, body, "objects.actions.verify.href"))
            .transpose()?;
        // The hub's own address needs the key; the storage's must not see it.
        let verify = verify.map(|call| {
            let scheme = if self.service.is_own(&call.url) { Scheme::Bearer } else { Scheme::None };
            Call { scheme, ..call }.header("content-type", LFS)
        });
        Ok(Some(LargeUpload { upload, verify }))
    }
}

/// Reads the response to [`HubApi::preupload`].
fn plan(call: &Call, answer: &Value) -> Result<UploadPlan, ApiError> {
    let mut plan = UploadPlan::default();
    for file in answer.get("files").and_then(Value::as_array).ok_or(call.missing_field("files"))? {
        let name = file.get("path").and_then(Value::as_str);
        let name = name.ok_or(call.missing_field("files.path"))?.to_owned();
        if file.get("shouldIgnore").and_then(Value::as_bool).unwrap_or_default() {
            plan.ignored.insert(name);
            continue;
        }
        let mode = file.get("uploadMode").and_then(Value::as_str);
        if mode.ok_or(call.missing_field("files.uploadMode"))? == "lfs" {
            plan.large.insert(name);
        }
    }
    Ok(plan)
}
