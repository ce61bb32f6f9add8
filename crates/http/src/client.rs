//! A client that talks to one service only, and reads bounded answers.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{ClientBuilder, Response, redirect};
use url::Url;

use crate::Fault;

/// A client that goes where it is sent and nowhere else: it follows no redirect and uses no proxy, so that tokens and
/// signatures reach one service only.
pub fn builder() -> ClientBuilder {
    reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("taonet/", env!("CARGO_PKG_VERSION")))
}

/// The address of a route below a base, however many slashes stand between them.
pub fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let path = format!("{}/{}", url.path().trim_end_matches('/'), path.trim().trim_start_matches('/'));
    url.set_path(&path);
    url
}

/// What went wrong with a request or its answer.
pub fn fault(error: reqwest::Error) -> Fault {
    if error.is_timeout() { Fault::Timeout } else { Fault::Transport(error.without_url()) }
}

/// The body of an answer, up to `limit` bytes.
///
/// # Errors
/// [`Fault::TooLarge`] beyond that, or why it did not arrive.
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

/// How long an answer's header asks to wait.
pub fn retry_after(response: &Response) -> Option<Duration> {
    response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(seconds)
}

/// A positive number of seconds.
pub fn seconds(text: &str) -> Option<Duration> {
    let seconds = text.trim().parse::<f64>().ok().filter(|seconds| *seconds > 0.0)?;
    Duration::try_from_secs_f64(seconds).ok()
}
