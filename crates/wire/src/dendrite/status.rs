use std::time::Duration;

use http::{HeaderMap, StatusCode};

pub(super) const CODE: &str = "bt_header_axon_status_code";
pub(super) const MESSAGE: &str = "bt_header_axon_status_message";
pub(super) const PROCESS_TIME: &str = "bt_header_axon_process_time";

/// What an axon says of an answer in its headers. Nothing of it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AxonStatus {
    /// How it went.
    pub code: StatusCode,
    /// The same in words: `Success`.
    pub message: String,
    /// How long the axon took, where it says so.
    pub process_time: Option<Duration>,
}

impl AxonStatus {
    /// Reads an answer's headers; `None` when they say nothing or nothing sensible.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let seconds = text(PROCESS_TIME).and_then(|text| text.parse().ok());
        Some(Self {
            code: StatusCode::from_bytes(text(CODE)?.as_bytes()).ok()?,
            message: text(MESSAGE).unwrap_or_default().to_owned(),
            process_time: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        })
    }
}
