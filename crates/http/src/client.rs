//! An HTTP client that follows no redirects and uses no proxy, and size-limited reads of responses.

use std::time::Duration;

use reqwest::header::{HeaderValue, RETRY_AFTER};
use reqwest::{ClientBuilder, Response, redirect};
use url::Url;
use zeroize::Zeroizing;

use crate::Fault;

/// Creates the builder of a client that follows no redirect and uses no proxy, so that tokens and
/// signatures reach only the intended service.
pub fn builder() -> ClientBuilder {
    reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("taonet/", env!("CARGO_PKG_VERSION")))
}

/// Appends a path to the path of a base URL, with exactly one slash between the two.
pub fn join_path(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let path =
        format!("{}/{}", url.path().trim_end_matches('/'), path.trim().trim_start_matches('/'));
    url.set_path(&path);
    url
}

/// Returns a token as the value of an `Authorization` header that logs do not show; `None` if the
/// token has a character that no header may contain.
pub fn bearer(token: &str) -> Option<HeaderValue> {
    let text = Zeroizing::new(format!("Bearer {}", token.trim()));
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Converts a `reqwest` error into a [`Fault`].
pub fn fault(error: reqwest::Error) -> Fault {
    if error.is_timeout() { Fault::Timeout } else { Fault::Transport(error.without_url()) }
}

/// Reads a response body of at most `limit` bytes.
///
/// # Errors
/// [`Fault::TooLarge`] if the body exceeds the limit, [`Fault::Timeout`] or [`Fault::Transport`] if
/// reading fails.
pub async fn read_capped(mut response: Response, limit: usize) -> Result<Vec<u8>, Fault> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(Fault::TooLarge(limit));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(fault)? {
        if bytes.len() + chunk.len() > limit {
            return Err(Fault::TooLarge(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Returns the delay in a response's `Retry-After` header; `None` if the header is absent or not a
/// positive number of seconds.
pub fn retry_after(response: &Response) -> Option<Duration> {
    response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(seconds)
}

/// Parses a positive decimal number of seconds; `None` for any other text.
pub fn seconds(text: &str) -> Option<Duration> {
    let seconds = text.trim().parse::<f64>().ok().filter(|seconds| *seconds > 0.0)?;
    Duration::try_from_secs_f64(seconds).ok()
}
