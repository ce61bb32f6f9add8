//! HTTP requests as values, which a dry run can show without sending.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use taonet_http::client::{builder, fault, join_path, read_capped, retry_after};
use taonet_http::sse::{EventStream, EventTooLong, MAX_EVENT_LENGTH, ServerEvent};
use taonet_http::{Fault, FormFile, MultipartForm};
use taonet_primitives::printable_excerpt;
use taonet_settings::Secret;
use tokio_util::io::ReaderStream;
use url::Url;

/// Maximum size of a response in bytes.
const MAX_RESPONSE_BYTES: usize = 4 << 20;
/// Maximum number of characters of a response body in an error.
const MAX_QUOTED_CHARS: usize = 300;
/// Maximum number of redirects of a request.
const MAX_REDIRECTS: usize = 5;
/// Minimum upload rate in bytes per second; the timeout of an upload allows for this rate.
const MIN_UPLOAD_RATE: u64 = 256 << 10;

/// Why a request to Chutes or to the hub failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The request needs an API key, and none is set.
    #[error("cannot {operation}: an API key is required\nhint: set {variable}")]
    NoKey {
        /// The request.
        operation: &'static str,
        /// Environment variable of the key.
        variable: &'static str,
    },
    /// The API key contains a character that is invalid in a header.
    #[error(
        "{variable} is not a valid API key: it contains a character that is invalid in an HTTP header"
    )]
    MalformedKey {
        /// Environment variable of the key.
        variable: &'static str,
    },
    /// TLS initialisation failed.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The service refused the request or did not respond.
    #[error("cannot {operation}: {fault}{}", error_text(answer))]
    Refused {
        /// The request.
        operation: &'static str,
        /// Why the request failed.
        fault: Fault,
        /// Start of the response body.
        answer: String,
    },
    /// A field of the response is missing or has another type.
    #[error("cannot {operation}: the response has no field {field} of the expected type")]
    Field {
        /// The request.
        operation: &'static str,
        /// Name of the field.
        field: &'static str,
    },
    /// The service could not build an image.
    #[error(
        "the build of {image} failed: {status}\nhint: its log tells why; delete the image with `chutes images delete \
         {image}` before you push again"
    )]
    Build {
        /// Name and tag of the image.
        image: String,
        /// Status of the image.
        status: String,
    },
    /// A local file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Path of the file or directory.
        path: PathBuf,
        /// The I/O error.
        source: std::io::Error,
    },
    /// A local file or directory cannot be uploaded.
    #[error("{}: {reason}", path.display())]
    Unsuitable {
        /// Path of the file or directory.
        path: PathBuf,
        /// Why it cannot be uploaded, with a hint.
        reason: &'static str,
    },
}

fn error_text(answer: &str) -> String {
    if answer.is_empty() { String::new() } else { format!(": {answer}") }
}

impl ApiError {
    /// Returns the error of a service that did not respond, or whose response does not explain the
    /// fault.
    pub(crate) fn refused(operation: &'static str, fault: Fault) -> Self {
        Self::Refused { operation, fault, answer: String::new() }
    }

    /// Returns a function that adds the path of a local file or directory to an I/O error.
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }

    /// Returns the status of the response, if there was one.
    pub const fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { fault: Fault::Status { status, .. }, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the service rejected the API key, or there is none.
    pub fn is_auth(&self) -> bool {
        matches!(self, Self::NoKey { .. } | Self::MalformedKey { .. })
            || matches!(self.status(), Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))
    }
}

/// Body of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Body {
    None,
    Json(Value),
    /// One JSON value per line, as the hub's commits need.
    Lines(Vec<Value>),
    /// A file; the value is its size in bytes.
    File(PathBuf, u64),
    Form(Form),
}

/// A form with text fields and one file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Form {
    /// Names and values of the text fields.
    pub(crate) fields: Vec<(&'static str, String)>,
    /// Name of the file's field.
    pub(crate) field: &'static str,
    /// Name of the file.
    pub(crate) file: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) content: Vec<u8>,
}

impl Form {
    fn summary(&self) -> Value {
        let mut fields = serde_json::Map::new();
        for (name, value) in &self.fields {
            fields.insert((*name).to_owned(), abbreviate(&Value::from(value.as_str())));
        }
        fields.insert(
            self.field.to_owned(),
            json!({ "file": self.file, "bytes": self.content.len() }),
        );
        Value::Object(fields)
    }
}

/// Authentication scheme of a request: how it sends the API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// The URL itself authorises the request.
    None,
    /// `Authorization: KEY`.
    Raw,
    /// `Authorization: Bearer KEY`.
    Bearer,
}

/// A request that is not sent yet, without the API key.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub(crate) operation: &'static str,
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) scheme: Scheme,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

impl Call {
    /// Returns the error of a response in which the field is missing or has another type.
    pub(crate) fn missing_field(&self, field: &'static str) -> ApiError {
        ApiError::Field { operation: self.operation, field }
    }

    /// Summarises the request as JSON: `request`, `method`, `url`, `authorization`, `body`. The key
    /// and the content of files are not part of it.
    pub fn summary(&self) -> Value {
        let authorization = match self.scheme {
            Scheme::None => None,
            Scheme::Raw => Some("(API key)"),
            Scheme::Bearer => Some("Bearer (API key)"),
        };
        let body = match &self.body {
            Body::None => Value::Null,
            Body::Json(body) => abbreviate(body),
            Body::Lines(lines) => lines.iter().map(abbreviate).collect(),
            Body::File(path, size) => json!({ "file": path, "bytes": size }),
            Body::Form(form) => form.summary(),
        };
        json!({
            "request": self.operation, "method": self.method.as_str(), "url": self.url.as_str(),
            "authorization": authorization, "body": body,
        })
    }

    /// Returns the request without an API key, for a public resource.
    #[must_use]
    pub fn without_key(self) -> Self {
        Self { scheme: Scheme::None, ..self }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }
}

/// Replaces long texts by their length.
fn abbreviate(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() > 2_000 => format!("({} bytes)", text.len()).into(),
        Value::Array(values) => values.iter().map(abbreviate).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), abbreviate(value))).collect()
        }
        other => other.clone(),
    }
}

/// Why a log is not read further.
enum LogStop {
    /// The caller has read enough.
    Break,
    /// A line or an event is too long.
    TooLong,
}

impl From<EventTooLong> for LogStop {
    fn from(_: EventTooLong) -> Self {
        Self::TooLong
    }
}

/// An HTTP service with an API key.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    http: reqwest::Client,
    base: Url,
    key: Option<Secret>,
    variable: &'static str,
    scheme: Scheme,
    timeout: Duration,
}

impl Service {
    pub(crate) fn new(
        base: &Url,
        key: Option<Secret>,
        variable: &'static str,
        scheme: Scheme,
        timeout: Duration,
    ) -> Result<Self, ApiError> {
        let http = builder().connect_timeout(timeout).build().map_err(ApiError::Client)?;
        Ok(Self { http, base: base.clone(), key, variable, scheme, timeout })
    }

    /// Builds a request below the service's URL. Each of `segments` is one segment of the path.
    pub(crate) fn call(
        &self,
        operation: &'static str,
        method: Method,
        segments: &[&str],
        body: Body,
    ) -> Call {
        let mut url = join_path(&self.base, "");
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        Call { operation, method, url, scheme: self.scheme, headers: HeaderMap::new(), body }
    }

    /// Whether a URL has the service's origin.
    pub(crate) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Follows the redirects of a GET request; returns the request for the last URL. Only the
    /// service's own URLs get the key.
    pub(crate) async fn follow_redirects(&self, mut call: Call) -> Result<Call, ApiError> {
        let operation = call.operation;
        let mut redirects = 0;
        loop {
            let request = self.request(&call, Method::HEAD)?.timeout(self.timeout);
            let response =
                request.send().await.map_err(|error| ApiError::refused(operation, fault(error)))?;
            let status = response.status();
            if !status.is_redirection() {
                return Ok(call);
            }
            let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
            let target = target.and_then(|target| call.url.join(target).ok());
            let is_allowed =
                |target: &Url| target.scheme() == "https" || target.scheme() == call.url.scheme();
            let Some(target) =
                target.filter(|target| redirects < MAX_REDIRECTS && is_allowed(target))
            else {
                return Err(ApiError::refused(
                    operation,
                    Fault::Status { status, retry_after: None },
                ));
            };
            if !self.is_own(&target) {
                call.scheme = Scheme::None;
            }
            call.url = target;
            redirects += 1;
        }
    }

    /// Prepares a request with its key, but without its headers and body.
    pub(crate) fn request(&self, call: &Call, method: Method) -> Result<RequestBuilder, ApiError> {
        let mut request = self.http.request(method, call.url.clone());
        if call.scheme != Scheme::None {
            request = request.header(AUTHORIZATION, self.authorization(call)?);
        }
        Ok(request)
    }

    /// Returns the timeout of a request.
    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether there is an API key.
    pub(crate) const fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Sends a request; returns the JSON of a response with a status of success, or null for an
    /// empty response.
    pub(crate) async fn send(&self, call: &Call) -> Result<Value, ApiError> {
        let operation = call.operation;
        let mut request = self.request(call, call.method.clone())?.timeout(self.timeout);
        request = match &call.body {
            Body::None => request,
            Body::Json(body) => {
                request.header(CONTENT_TYPE, "application/json").body(body.to_string())
            }
            Body::Lines(lines) => {
                let lines =
                    lines.iter().fold(String::new(), |text, line| text + &line.to_string() + "\n");
                let timeout =
                    self.timeout + Duration::from_secs(lines.len() as u64 / MIN_UPLOAD_RATE);
                request.timeout(timeout).header(CONTENT_TYPE, "application/x-ndjson").body(lines)
            }
            Body::File(path, size) => {
                let file = tokio::fs::File::open(path).await;
                let file = file.map_err(|source| ApiError::File { path: path.clone(), source })?;
                let timeout = self.timeout + Duration::from_secs(size / MIN_UPLOAD_RATE);
                let body = reqwest::Body::wrap_stream(ReaderStream::new(file));
                request.timeout(timeout).header(CONTENT_LENGTH, *size).body(body)
            }
            Body::Form(form) => {
                let file = FormFile {
                    field: form.field,
                    name: form.file,
                    content_type: form.content_type,
                };
                let encoded = MultipartForm::new(
                    form.fields.iter().map(|(name, value)| (*name, &**value)),
                    file,
                );
                request
                    .header(CONTENT_TYPE, encoded.content_type())
                    .body(encoded.body(&form.content))
            }
        };
        // After the content type of the body, which a header of the call replaces.
        request = request.headers(call.headers.clone());
        tracing::debug!(method = %call.method, url = %call.url, "{operation}");
        let response =
            request.send().await.map_err(|error| ApiError::refused(operation, fault(error)))?;
        let (status, retry_after) = (response.status(), retry_after(&response));
        let answer = read_capped(response, MAX_RESPONSE_BYTES).await;
        if !status.is_success() {
            let answer = self.excerpt(&answer.unwrap_or_default());
            return Err(ApiError::Refused {
                operation,
                fault: Fault::Status { status, retry_after },
                answer,
            });
        }
        let answer = answer.map_err(|fault| ApiError::refused(operation, fault))?;
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer).map_err(|error| ApiError::Refused {
            operation,
            fault: Fault::Payload(error),
            answer: self.excerpt(&answer),
        })
    }

    /// Sends a request without a body, and calls `line` with each line of the response, without the
    /// field name of an event stream, until the response ends or `line` breaks. The response has no
    /// total time limit; `idle` limits the wait for each part of it.
    pub(crate) async fn lines(
        &self,
        call: &Call,
        idle: Option<Duration>,
        mut line: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(), ApiError> {
        let operation = call.operation;
        let result =
            tokio::time::timeout(self.timeout, self.request(call, call.method.clone())?.send())
                .await;
        let result = result.map_err(|_| ApiError::refused(operation, Fault::Timeout))?;
        let mut response = result.map_err(|error| ApiError::refused(operation, fault(error)))?;
        let (status, retry_after) = (response.status(), retry_after(&response));
        if !status.is_success() {
            let answer =
                tokio::time::timeout(self.timeout, read_capped(response, MAX_RESPONSE_BYTES)).await;
            let answer = self.excerpt(&answer.ok().and_then(Result::ok).unwrap_or_default());
            return Err(ApiError::Refused {
                operation,
                fault: Fault::Status { status, retry_after },
                answer,
            });
        }
        let mut each_event = |event: ServerEvent<'_>| {
            let text = String::from_utf8_lossy(event.data);
            let text = text.trim();
            if !text.is_empty() && line(text).is_break() { Err(LogStop::Break) } else { Ok(()) }
        };
        let mut events = EventStream::with_text();
        loop {
            let chunk = tokio::time::timeout(idle.unwrap_or(Duration::MAX), response.chunk()).await;
            let chunk = chunk.map_err(|_| ApiError::refused(operation, Fault::Timeout))?;
            let chunk = chunk.map_err(|error| ApiError::refused(operation, fault(error)))?;
            let parsed = match &chunk {
                Some(chunk) => events.push(chunk, &mut each_event),
                None => events.finish(&mut each_event),
            };
            match parsed {
                Ok(()) if chunk.is_some() => {}
                Ok(()) | Err(LogStop::Break) => return Ok(()),
                Err(LogStop::TooLong) => {
                    return Err(ApiError::refused(operation, Fault::TooLarge(MAX_EVENT_LENGTH)));
                }
            }
        }
    }

    fn authorization(&self, call: &Call) -> Result<HeaderValue, ApiError> {
        let no_key = ApiError::NoKey { operation: call.operation, variable: self.variable };
        let key = self.key.as_ref().ok_or(no_key)?.expose().trim();
        let malformed = ApiError::MalformedKey { variable: self.variable };
        if call.scheme == Scheme::Bearer {
            return taonet_http::client::bearer(key).ok_or(malformed);
        }
        let mut header = HeaderValue::from_str(key).map_err(|_| malformed)?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// Returns the start of a response body, without the key.
    fn excerpt(&self, body: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(body).into_owned();
        if let Some(key) =
            self.key.as_ref().map(Secret::expose).filter(|key| !key.trim().is_empty())
        {
            text = text.replace(key.trim(), "(API key)");
        }
        printable_excerpt(&text, MAX_QUOTED_CHARS)
    }
}
