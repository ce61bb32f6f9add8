//! HTTP client without redirects or proxy, and bounded reads of responses.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{ClientBuilder, Response, redirect};
use url::Url;

use crate::Fault;

/// Creates the builder of a client that follows no redirect and uses no proxy, so that tokens and signatures reach only
/// the intended service.
pub fn builder() -> ClientBuilder {
    reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("taonet/", env!("CARGO_PKG_VERSION")))
}

/// Joins a path to a base address, collapsing slashes between them.
pub fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let path = format!("{}/{}", url.path().trim_end_matches('/'), path.trim().trim_start_matches('/'));
    url.set_path(&path);
    url
}

/// Converts a `reqwest` error into a [`Fault`].
pub fn fault(error: reqwest::Error) -> Fault {
    if error.is_timeout() { Fault::Timeout } else { Fault::Transport(error.without_url()) }
}

/// Reads a response body of at most `limit` bytes.
///
/// # Errors
/// [`Fault::TooLarge`] beyond the limit, or the transport's fault.
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

/// Returns the delay in a response's `Retry-After` header.
pub fn retry_after(response: &Response) -> Option<Duration> {
    response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(seconds)
}

/// Parses a positive number of seconds.
pub fn seconds(text: &str) -> Option<Duration> {
    let seconds = text.trim().parse::<f64>().ok().filter(|seconds| *seconds > 0.0)?;
    Duration::try_from_secs_f64(seconds).ok()
}
