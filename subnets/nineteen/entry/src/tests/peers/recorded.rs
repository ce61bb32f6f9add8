//! Requests of the clients, recorded from their contract tests. These compare the recording with
//! the requests that they send; with `TAONET_RECORD_REQUESTS` set, they write it again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::manifest_path;

/// Stands for the API key in a header.
pub(in crate::tests) const KEY: &str = "KEY";
/// Headers of the connection, which a test sets itself.
const CONNECTION_HEADERS: [&str; 4] = ["accept-encoding", "connection", "content-length", "host"];
/// Text of a request that fails, and that the client repeats.
const FLAKY: &[u8] = b"flaky";

/// A request of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::tests) struct RecordedRequest {
    pub(in crate::tests) method: String,
    pub(in crate::tests) path: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::tests) headers: BTreeMap<String, String>,
    /// Body, if it is JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::tests) json: Option<Value>,
    /// Any other body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// The file of a client.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recording {
    /// Headers of all requests.
    headers: BTreeMap<String, String>,
    requests: Vec<RecordedRequest>,
}

impl RecordedRequest {
    /// Returns the bytes of the body.
    pub(in crate::tests) fn body(&self) -> Vec<u8> {
        match (&self.json, &self.base64) {
            (Some(json), _) => json.to_string().into_bytes(),
            (None, Some(base64)) => STANDARD.decode(base64).unwrap(),
            (None, None) => Vec::new(),
        }
    }

    /// Returns the route, and the names of the fields of the body.
    fn shape(&self) -> (String, BTreeSet<String>) {
        let fields = self
            .json
            .as_ref()
            .and_then(Value::as_object)
            .map(|fields| fields.keys().cloned().collect());
        (format!("{} {}", self.method, self.path), fields.unwrap_or_default())
    }
}

fn recording_path(client: &str) -> PathBuf {
    manifest_path("src/tests/recorded").join(client).with_extension("json")
}

/// Returns the recorded requests of a client.
pub(in crate::tests) fn recorded_requests(client: &str) -> Vec<RecordedRequest> {
    let recording: Recording =
        serde_json::from_slice(&fs::read(recording_path(client)).unwrap()).unwrap();
    let mut requests = recording.requests;
    for request in &mut requests {
        for (name, value) in &recording.headers {
            request.headers.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    requests
}

/// The requests that arrive at a gateway with the API key of its buyer.
#[derive(Debug, Clone, Default)]
pub(super) struct Recorder(Arc<Mutex<Vec<RecordedRequest>>>);

impl Recorder {
    /// Records a request, and passes it on.
    pub(super) async fn record_and_forward(
        &self,
        key: &str,
        request: Request,
        next: Next,
    ) -> Response {
        let (head, body) = request.into_parts();
        let body = match to_bytes(body, usize::MAX).await {
            Ok(body) => body,
            Err(error) => {
                let broken = Body::from_stream(futures::stream::iter([Err::<Vec<u8>, _>(error)]));
                return next.run(Request::from_parts(head, broken)).await;
            }
        };
        let text = |value: &axum::http::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        let headers =
            head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
        let headers: BTreeMap<String, String> =
            headers.filter(|(name, _)| !CONNECTION_HEADERS.contains(&name.as_str())).collect();
        let is_flaky = memchr::memmem::find(&body, FLAKY).is_some();
        if !is_flaky && headers.values().any(|value| value.contains(key)) {
            let json = serde_json::from_slice(&body).ok();
            let base64 = (json.is_none() && !body.is_empty()).then(|| STANDARD.encode(&body));
            let headers =
                headers.into_iter().map(|(name, value)| (name, value.replace(key, KEY))).collect();
            let (method, path) = (head.method.to_string(), head.uri.to_string());
            self.0.lock().unwrap().push(RecordedRequest { method, path, headers, json, base64 });
        }
        next.run(Request::from_parts(head, Body::from(body))).await
    }

    /// Compares the requests of a client with its recording, or writes it.
    pub(super) fn compare(&self, client: &str) {
        let sent = std::mem::take(&mut *self.0.lock().unwrap());
        let shapes =
            |requests: &[RecordedRequest]| requests.iter().map(RecordedRequest::shape).collect();
        let actual: BTreeSet<_> = shapes(&sent);
        if std::env::var_os("TAONET_RECORD_REQUESTS").is_some() {
            fs::write(recording_path(client), to_json_text(sent)).unwrap();
        }
        let expected: BTreeSet<_> = shapes(&recorded_requests(client));
        assert_eq!(
            actual, expected,
            "{client} sends other requests than recorded; set TAONET_RECORD_REQUESTS to record them"
        );
    }
}

/// Returns a recording as its file: a request in each line, without repeated ones.
fn to_json_text(requests: Vec<RecordedRequest>) -> String {
    let mut distinct: Vec<RecordedRequest> = Vec::new();
    for request in requests {
        if !distinct.contains(&request) {
            distinct.push(request);
        }
    }
    let mut common_headers =
        distinct.first().map(|first| first.headers.clone()).unwrap_or_default();
    common_headers.retain(|name, value| {
        distinct.iter().all(|request| request.headers.get(name) == Some(value))
    });
    for request in &mut distinct {
        request.headers.retain(|name, _| !common_headers.contains_key(name));
    }
    let lines: Vec<String> = distinct.iter().map(|request| json!(request).to_string()).collect();
    format!(
        "{{\n\"headers\":{},\n\"requests\":[\n{}\n]\n}}\n",
        json!(common_headers),
        lines.join(",\n")
    )
}
