use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::request::Parts;

use crate::Refusal;

/// The limits on each request, and on all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of header lines.
    pub header_count: usize,
    /// Maximum total size of the header names and values, in bytes.
    pub header_bytes: usize,
    /// Maximum size of the body, in bytes.
    pub body_bytes: usize,
    /// Size, in bytes, of the memory that all bodies share while they arrive and wait in the queue;
    /// the first 64 KiB of each body do not count. Requests that do not fit are refused.
    pub large_bodies_bytes: usize,
    /// The timeout for receiving the body.
    pub body_timeout: Duration,
    /// The timeout of a handler, including the complete streamed response.
    pub answer_timeout: Duration,
    /// Maximum number of requests of one sender in the replay cache (the window is 12 s to about a
    /// minute long), or of its processes where only the last nonce of a process counts. A request
    /// takes about 20 bytes, a process about 80.
    pub requests_per_sender: usize,
    /// Maximum number of requests of all senders together in the replay cache. A sender's first
    /// request takes up to 350 bytes.
    pub requests_in_total: usize,
}

impl Default for Limits {
    /// Returns the defaults: 64 header lines of 16 KiB in all, 1 MiB of body within 10 s, 64 MiB of
    /// shared memory for large bodies, 5 minutes for a response; 262 144 requests per sender (5 MB;
    /// 21 000 per second under `btauth/1`), 1 048 576 in total (350 MB when each has a different
    /// sender).
    fn default() -> Self {
        Self {
            header_count: 64,
            header_bytes: 16 * 1024,
            body_bytes: 1024 * 1024,
            large_bodies_bytes: 64 * 1024 * 1024,
            body_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_mins(5),
            requests_per_sender: 1 << 18,
            requests_in_total: 1 << 20,
        }
    }
}

impl Limits {
    /// Refuses requests by their head alone: headers too large, or announced body too large.
    pub(super) fn check_head(&self, head: &Parts) -> Result<(), Refusal> {
        let bytes: usize =
            head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if head.headers.len() > self.header_count || bytes > self.header_bytes {
            return Err(Refusal::HeadersTooLarge);
        }
        let announced = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if announced
            .and_then(|text| text.parse().ok())
            .is_some_and(|bytes: u64| bytes > self.body_bytes as u64)
        {
            return Err(Refusal::BodyTooLarge { limit: self.body_bytes });
        }
        Ok(())
    }
}
