use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::Refusal;

/// What a server takes from a stranger before it knows who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Header lines.
    pub header_count: usize,
    /// Bytes in all header names and values together.
    pub header_bytes: usize,
    /// Bytes of the body.
    pub body_bytes: usize,
    /// How long the body may take to arrive.
    pub body_timeout: Duration,
    /// Requests of one sender that the replay memory keeps (the window is about a minute long); where only the last
    /// nonce of a process counts, processes.
    pub requests_per_sender: usize,
    /// The same of all senders together; about 20 bytes a request, 80 a process.
    pub requests_in_total: usize,
}

impl Default for Limits {
    /// 64 header lines of 16 KiB in all, 8 MiB of body within 10 s, 65 536 requests a sender, 1 048 576 in total.
    fn default() -> Self {
        Self {
            header_count: 64,
            header_bytes: 16 * 1024,
            body_bytes: 8 * 1024 * 1024,
            body_timeout: Duration::from_secs(10),
            requests_per_sender: 1 << 16,
            requests_in_total: 1 << 20,
        }
    }
}

impl Limits {
    /// Refuses what the head alone gives away: headers too large, a body announced too large.
    pub(super) fn check_head(&self, head: &Parts) -> Result<(), Refusal> {
        let bytes: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if head.headers.len() > self.header_count || bytes > self.header_bytes {
            return Err(Refusal::HeadersTooLarge);
        }
        let announced = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if announced.and_then(|text| text.parse().ok()).is_some_and(|bytes: u64| bytes > self.body_bytes as u64) {
            return Err(Refusal::BodyTooLarge { limit: self.body_bytes });
        }
        Ok(())
    }

    pub(super) async fn read_body(&self, body: Body) -> Result<Bytes, Refusal> {
        let reading = Limited::new(body, self.body_bytes).collect();
        match tokio::time::timeout(self.body_timeout, reading).await {
            Err(_) => Err(Refusal::BodyTimeout { limit: self.body_timeout }),
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge { limit: self.body_bytes }),
            Ok(Err(_)) => Err(Refusal::BodyUnreadable),
        }
    }
}
