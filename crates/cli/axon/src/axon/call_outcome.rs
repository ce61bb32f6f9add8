//! Outcome of a call to a neuron.

use axum::http::{HeaderMap, StatusCode};
use taonet_cli_base::exit::{Failure, QuotingError};
use taonet_primitives::{page_text, with_causes};
use taonet_wire::{AxonStatus, CallError, CallResponse, ReturnCode};

/// Outcome of a call: return code, HTTP status and message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CallOutcome {
    pub(crate) code: ReturnCode,
    pub(crate) status: StatusCode,
    /// Reason for the failure; for a success, the peer's message.
    pub(crate) message: String,
}

impl CallOutcome {
    pub(crate) fn from_result(result: &Result<CallResponse, CallError>, is_dendrite: bool) -> Self {
        match result {
            Ok(response) => {
                Self::from_response(response.status, &response.headers, &response.body, is_dendrite)
            }
            Err(error) => Self::from_error(error),
        }
    }

    /// Classifies a response. `body` is used for failures only. In the dendrite scheme, an axon
    /// also sends a status in an unsigned header, which can turn a success into a failure, but not
    /// a failure into a success.
    pub(crate) fn from_response(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        is_dendrite: bool,
    ) -> Self {
        let axon = AxonStatus::of(headers)
            .filter(|axon| is_dendrite && (status.is_success() || axon.code == status));
        let (status, message) = match axon {
            Some(axon) => (axon.code, axon.message),
            None if status.is_success() => (status, String::new()),
            None => {
                let body = String::from_utf8_lossy(body);
                let text = match page_text(&body) {
                    Some(text) => format!("page of a web server or proxy: {text}"),
                    None => body.trim_end().to_owned(),
                };
                (status, format!("{status}: {text}"))
            }
        };
        Self { code: ReturnCode::from_status(status), status, message }
    }

    pub(crate) fn from_error(error: &CallError) -> Self {
        Self {
            code: ReturnCode::from_error(error),
            status: error.status(),
            message: with_causes(error),
        }
    }

    /// Returns an error with an exit code, unless the call succeeded.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.code.is_success() { Ok(()) } else { Err(self.failure()) }
    }

    fn failure(&self) -> anyhow::Error {
        let failure = match self.code {
            ReturnCode::Unavailable | ReturnCode::Timeout | ReturnCode::NoReturn => {
                Some(Failure::Network)
            }
            ReturnCode::Unauthenticated | ReturnCode::SenderUnknown => {
                Some(Failure::Authentication)
            }
            _ => None,
        };
        QuotingError::error(
            failure,
            &format!("{} ({})", self.code, self.code.code()),
            &self.message,
            None,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_of_a_web_server_is_shown_as_text() {
        let body = b"<html>\n<title>Error</title>\n<h1>Error</h1>\n<p>No POST</p></html>\n";
        let status = StatusCode::NOT_IMPLEMENTED;
        let outcome = CallOutcome::from_response(status, &HeaderMap::new(), body, false);
        assert_eq!(
            outcome.message,
            "501 Not Implemented: page of a web server or proxy: Error No POST"
        );
    }

    #[test]
    fn axon_status_overrides_http_success_only() {
        for (status, axon, is_dendrite, http_status, message) in [
            (200, Some(200), true, 200, "its words"),
            (200, Some(401), true, 401, "its words"),
            (200, Some(401), false, 200, ""),
            (200, None, true, 200, ""),
            (403, Some(403), true, 403, "its words"),
            (500, Some(200), true, 500, "500 Internal Server Error: body"),
            (500, Some(403), true, 500, "500 Internal Server Error: body"),
            (302, Some(200), true, 302, "302 Found: body"),
            (404, None, false, 404, "404 Not Found: body"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(axon) = axon {
                headers.insert("bt_header_axon_status_code", axon.into());
                headers.insert("bt_header_axon_status_message", "its words".parse().unwrap());
            }
            let status = StatusCode::from_u16(status).unwrap();
            let outcome = CallOutcome::from_response(status, &headers, b"body\n", is_dendrite);
            let http_status = StatusCode::from_u16(http_status).unwrap();
            let expected = CallOutcome {
                code: ReturnCode::from_status(http_status),
                status: http_status,
                message: message.to_owned(),
            };
            assert_eq!(outcome, expected, "{status} {axon:?} {is_dendrite}");
            assert_eq!(outcome.check().is_ok(), http_status.is_success());
        }
    }
}
