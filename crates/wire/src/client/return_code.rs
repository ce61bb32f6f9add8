use std::fmt;

use http::StatusCode;

use super::{CallError, CallResponse};

/// The result of a call as one of Bittensor's return codes (0 to 23).
///
/// The codes date from Bittensor's first protocol, before HTTP; logs and dashboards still use them.
/// Each variant names the results that it covers; "status" is the HTTP status of the response.
/// Unused codes exist so that every number has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ReturnCode {
    /// 0: the connection was lost before the response arrived.
    NoReturn = 0,
    /// 1: status 2xx.
    Success = 1,
    /// 2: the caller's deadline passed, or status 408.
    Timeout = 2,
    /// 3: status 429, too many requests.
    Backoff = 3,
    /// 4: the connection could not be opened.
    Unavailable = 4,
    /// 5: status 404, 405 or 501: the peer does not support the request.
    NotImplemented = 5,
    /// 6: status 411: the peer requires a body.
    EmptyRequest = 6,
    /// 7: status 204: the response is empty.
    EmptyResponse = 7,
    /// 8: the response has an unexpected status, e.g. 3xx.
    InvalidResponse = 8,
    /// 9: status 400, and every 4xx without a more specific code.
    InvalidRequest = 9,
    /// 10: status 413, 414 or 431, or a body too large to sign: the request is too large.
    RequestShapeException = 10,
    /// 11: the response exceeds the caller's limit.
    ResponseShapeException = 11,
    /// 12: the request could not be signed, addressed or read from its source.
    RequestSerializationException = 12,
    /// 13: status 406: the peer cannot produce an acceptable content type.
    ResponseSerializationException = 13,
    /// 14: status 415 or 422: the peer could not parse the request.
    RequestDeserializationException = 14,
    /// 15: the caller could not parse the response. Only callers that parse responses can set it.
    ResponseDeserializationException = 15,
    /// 16: status 502: the peer has no service behind it.
    NotServingNucleus = 16,
    /// 17: status 504: a timeout at the peer.
    NucleusTimeout = 17,
    /// 18: status 503: the peer is overloaded.
    NucleusFull = 18,
    /// 19: status 426 or 505: the peer uses a different version.
    RequestIncompatibleVersion = 19,
    /// 20: unused, for responses of an incompatible version.
    ResponseIncompatibleVersion = 20,
    /// 21: status 403: the peer identified the caller and denies access.
    SenderUnknown = 21,
    /// 22: status 500, and every 5xx without a more specific code.
    UnknownException = 22,
    /// 23: status 401: the signature, nonce or receiver is invalid.
    Unauthenticated = 23,
}

impl ReturnCode {
    /// Returns the code of a call's result.
    pub fn of(result: &Result<CallResponse, CallError>) -> Self {
        match result {
            Ok(response) => Self::from_status(response.status),
            Err(error) => Self::from_error(error),
        }
    }

    /// Returns the code of an HTTP status.
    pub const fn from_status(status: StatusCode) -> Self {
        match status.as_u16() {
            204 => Self::EmptyResponse,
            200..=299 => Self::Success,
            401 => Self::Unauthenticated,
            403 => Self::SenderUnknown,
            404 | 405 | 501 => Self::NotImplemented,
            406 => Self::ResponseSerializationException,
            408 => Self::Timeout,
            411 => Self::EmptyRequest,
            413 | 414 | 431 => Self::RequestShapeException,
            415 | 422 => Self::RequestDeserializationException,
            426 | 505 => Self::RequestIncompatibleVersion,
            429 => Self::Backoff,
            400..=499 => Self::InvalidRequest,
            502 => Self::NotServingNucleus,
            503 => Self::NucleusFull,
            504 => Self::NucleusTimeout,
            500..=599 => Self::UnknownException,
            _ => Self::InvalidResponse,
        }
    }

    /// Returns the code of a failed call.
    pub const fn from_error(error: &CallError) -> Self {
        match error {
            CallError::Status { status, .. } => Self::from_status(*status),
            CallError::Timeout { .. } => Self::Timeout,
            CallError::Connect { .. } => Self::Unavailable,
            CallError::ConnectionLost(_) => Self::NoReturn,
            CallError::TooLarge { .. } => Self::ResponseShapeException,
            CallError::RequestTooLarge { .. } => Self::RequestShapeException,
            CallError::Signing(_) | CallError::InvalidUrl { .. } | CallError::RequestBody(_) => {
                Self::RequestSerializationException
            }
            CallError::Setup(_) => Self::UnknownException,
        }
    }

    /// Returns the code's number, in `0..=23`.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether the call succeeded.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Success | Self::EmptyResponse)
    }
}

impl fmt::Display for ReturnCode {
    /// Writes the name, e.g. `NucleusTimeout`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_http_status_maps_to_its_return_code() {
        let statuses = [
            (200, ReturnCode::Success, 1),
            (201, ReturnCode::Success, 1),
            (204, ReturnCode::EmptyResponse, 7),
            (307, ReturnCode::InvalidResponse, 8),
            (400, ReturnCode::InvalidRequest, 9),
            (401, ReturnCode::Unauthenticated, 23),
            (403, ReturnCode::SenderUnknown, 21),
            (404, ReturnCode::NotImplemented, 5),
            (408, ReturnCode::Timeout, 2),
            (413, ReturnCode::RequestShapeException, 10),
            (418, ReturnCode::InvalidRequest, 9),
            (422, ReturnCode::RequestDeserializationException, 14),
            (429, ReturnCode::Backoff, 3),
            (500, ReturnCode::UnknownException, 22),
            (502, ReturnCode::NotServingNucleus, 16),
            (503, ReturnCode::NucleusFull, 18),
            (504, ReturnCode::NucleusTimeout, 17),
            (505, ReturnCode::RequestIncompatibleVersion, 19),
        ];
        for (status, name, code) in statuses {
            let return_code = ReturnCode::from_status(StatusCode::from_u16(status).unwrap());
            assert_eq!((return_code, return_code.code()), (name, code), "{status}");
        }
        assert_eq!(ReturnCode::NucleusTimeout.to_string(), "NucleusTimeout");
    }

    #[test]
    fn failures_have_the_statuses_of_the_dendrite() {
        let broken = || std::io::Error::other("gone").into();
        let failures = [
            (
                CallError::Connect { peer: "127.0.0.1:1".into(), source: broken() },
                ReturnCode::Unavailable,
                503,
            ),
            (CallError::ConnectionLost(broken()), ReturnCode::NoReturn, 503),
            (CallError::Timeout { after: Duration::from_secs(12) }, ReturnCode::Timeout, 408),
            (CallError::TooLarge { limit: 1 }, ReturnCode::ResponseShapeException, 422),
            (CallError::RequestTooLarge { limit: 1 }, ReturnCode::RequestShapeException, 400),
            (CallError::RequestBody(broken()), ReturnCode::RequestSerializationException, 400),
            (CallError::Setup(broken()), ReturnCode::UnknownException, 500),
        ];
        for (error, code, status) in failures {
            assert_eq!(
                (ReturnCode::from_error(&error), error.status().as_u16()),
                (code, status),
                "{error}"
            );
        }
    }
}
