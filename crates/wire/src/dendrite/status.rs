use std::time::Duration;

use http::{HeaderMap, StatusCode};

pub(super) const CODE: &str = "bt_header_axon_status_code";
pub(super) const MESSAGE: &str = "bt_header_axon_status_message";
pub(super) const PROCESS_TIME: &str = "bt_header_axon_process_time";

/// The axon's status in the response headers. None of it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AxonStatus {
    /// HTTP status code of the axon.
    pub code: StatusCode,
    /// The status message, e.g. `Success`.
    pub message: String,
    /// The processing time, if the axon states it.
    pub process_time: Option<Duration>,
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

impl AxonStatus {
    /// Parses the status headers of a response; `None` if the status code is missing or malformed.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let seconds = text(headers, PROCESS_TIME).and_then(|text| text.parse().ok());
        Some(Self {
            code: StatusCode::from_bytes(text(headers, CODE)?.as_bytes()).ok()?,
            message: text(headers, MESSAGE).unwrap_or_default().to_owned(),
            process_time: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        })
    }
}
