use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use url::Url;

use super::{EngineError, EngineOptions};
use taonet_http::Fault;
use taonet_http::client::{builder, fault, join_path, read_capped, retry_after, seconds};

/// Maximum number of bytes read from an error response, for the retry hint.
const MAX_ERROR_BODY_BYTES: usize = 64 << 10;

/// The engine's URL, without trailing slashes.
#[derive(Clone)]
pub(super) struct BaseUrl(Url);

impl BaseUrl {
    pub(super) fn parse(text: &str) -> Result<Self, EngineError> {
        // An unparsable URL cannot be redacted, so the error omits the URL.
        let mut url =
            Url::parse(text.trim()).map_err(|_| EngineError::BaseUrl { url: "…".to_owned() })?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(EngineError::BaseUrl { url: url.scheme().to_owned() });
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        url.set_query(None);
        url.set_fragment(None);
        Ok(Self(url))
    }

    pub(super) const fn url(&self) -> &Url {
        &self.0
    }

    /// Returns the URL to record, without credentials or a trailing slash.
    pub(super) fn without_credentials(&self) -> String {
        let mut url = self.0.clone();
        // Both calls fail only for URLs without a host, which `parse` rejects.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.as_str().trim_end_matches('/').to_owned()
    }

    fn join(&self, path: &str) -> Url {
        join_path(&self.0, path)
    }
}

/// HTTP client of one engine, with all limits applied.
#[derive(Clone)]
pub(super) struct Http {
    client: reqwest::Client,
    base: BaseUrl,
    max_body_bytes: usize,
}

impl Http {
    pub(super) fn new(base: BaseUrl, options: &EngineOptions) -> Result<Self, EngineError> {
        let client = builder().timeout(options.timeout).build().map_err(EngineError::Client)?;
        Ok(Self { client, base, max_body_bytes: options.max_body_bytes })
    }

    pub(super) const fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// Sends a request and returns the JSON object of the response.
    pub(super) async fn request_object(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        token: Option<&str>,
    ) -> Result<Value, Fault> {
        let mut request = self.client.request(method, self.base.join(path));
        if let Some(token) = token {
            request = request.bearer_auth(token).header("content-type", "application/json");
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(fault)?;
        if response.status() != StatusCode::OK {
            return Err(status_fault(response).await);
        }
        let bytes = read_capped(response, self.max_body_bytes).await?;
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(object @ Value::Object(_)) => Ok(object),
            _ => Err(Fault::NotAnObject),
        }
    }
}

async fn status_fault(response: Response) -> Fault {
    let status = response.status();
    if status != StatusCode::TOO_MANY_REQUESTS {
        return Fault::Status { status, retry_after: None };
    }
    let retry_after = match retry_after(&response) {
        Some(delay) => Some(delay),
        None => read_capped(response, MAX_ERROR_BODY_BYTES)
            .await
            .ok()
            .and_then(|body| retry_hint(&body)),
    };
    Fault::Status { status, retry_after }
}

/// Returns the first positive number of `detail.retry_after` and `detail.window_sec`.
fn retry_hint(body: &[u8]) -> Option<Duration> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let detail = body.get("detail")?;
    ["retry_after", "window_sec"].into_iter().find_map(|key| match detail.get(key)? {
        Value::Number(number) => seconds(&number.to_string()),
        Value::String(text) => seconds(text),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_must_be_a_positive_number() {
        #[rustfmt::skip]
        let table = [
            (r#"{"detail":{"retry_after":7,"window_sec":60}}"#, Some(7.0)),
            (r#"{"detail":{"retry_after":0,"window_sec":60}}"#, Some(60.0)),
            (r#"{"detail":{"retry_after":-1,"window_sec":1.5}}"#, Some(1.5)),
            (r#"{"detail":{"retry_after":"9"}}"#, Some(9.0)),
            (r#"{"detail":{"retry_after":"soon","window_sec":null}}"#, None),
            (r#"{"detail":{"retry_after":1e300}}"#, None),
            (r#"{"detail":"slow down"}"#, None),
            (r#"{"retry_after":7}"#, None),
            ("garbage", None),
        ];
        for (body, expected) in table {
            assert_eq!(
                retry_hint(body.as_bytes()),
                expected.map(Duration::from_secs_f64),
                "{body}"
            );
        }
        for text in ["", "0", "-3", "nan", "inf", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn slashes_in_the_engine_url_are_ignored() {
        for base in ["http://a:1", "http://a:1/", "http://a:1//"] {
            let base = BaseUrl::parse(base).unwrap();
            assert_eq!(base.join("auth/verify").as_str(), "http://a:1/auth/verify");
            assert_eq!(base.without_credentials(), "http://a:1");
        }
        let base = BaseUrl::parse("https://me:secret@a/engine//").unwrap();
        assert_eq!(base.join("auth").path(), "/engine/auth");
        assert_eq!(base.without_credentials(), "https://a/engine");
    }

    #[test]
    fn unsupported_engine_url_is_refused() {
        for base in ["", "engine:9000", "ftp://a", "http://", "/auth", "http://a:99999"] {
            assert!(BaseUrl::parse(base).is_err(), "{base}");
        }
    }
}
