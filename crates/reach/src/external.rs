use std::net::IpAddr;
use std::time::Duration;

use reqwest::redirect::Policy;
use taonet_primitives::is_public;

/// Services that return the caller's IP address as plain text, in the order in which they are
/// queried.
pub const SOURCES: [&str; 5] = [
    "https://checkip.amazonaws.com",
    "https://api.ipify.org",
    "https://ifconfig.me/ip",
    "https://ipinfo.io/ip",
    "https://v4.ident.me",
];

/// Maximum number of bytes to read of a response; an address has at most 45 characters.
const MAX_RESPONSE_BYTES: usize = 64;

/// Why a service returned no usable address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The request failed or timed out.
    #[error("no response: {0}")]
    Request(#[from] reqwest::Error),
    /// The response is not an IP address.
    #[error("the response is not an IP address")]
    NotAnAddress,
    /// The response is an address that is not reachable from the internet.
    #[error("{0} is not a public address")]
    NotPublic(IpAddr),
}

/// Why the external address is unknown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalIpError {
    /// Setting up the HTTP client failed.
    #[error("cannot set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// Every service failed, each with its own error.
    #[error("cannot determine the external address of this machine ({}); hint: pass the address explicitly", list(.0))]
    NoSource(Vec<(String, SourceError)>),
}

fn list(failures: &[(String, SourceError)]) -> String {
    failures
        .iter()
        .map(|(source, error)| format!("{source}: {error}"))
        .collect::<Vec<_>>()
        .join("; ")
}

/// Determines this machine's external IP address: the first public address returned by a source.
///
/// The sources (usually [`SOURCES`]) are queried one after another, each with the timeout
/// `timeout`, so that the machine's address is disclosed to no more services than necessary. The
/// first public address is trusted: a wrong one only makes a neuron unreachable, which its operator
/// notices. Failing sources are logged.
///
/// # Errors
/// [`ExternalIpError::NoSource`] with the error of each source if all fail,
/// [`ExternalIpError::Setup`] if the HTTP client cannot be set up.
pub async fn external_ip<S: AsRef<str>>(
    sources: &[S],
    timeout: Duration,
) -> Result<IpAddr, ExternalIpError> {
    let client =
        reqwest::Client::builder().redirect(Policy::none()).timeout(timeout).no_proxy().build();
    let client = client.map_err(ExternalIpError::Setup)?;
    let mut failures = Vec::new();
    for source in sources.iter().map(AsRef::as_ref) {
        match query_source(&client, source).await {
            Ok(address) => return Ok(address),
            Err(error) => {
                tracing::debug!(source, %error, "query for the external address failed");
                failures.push((source.to_owned(), error));
            }
        }
    }
    Err(ExternalIpError::NoSource(failures))
}

async fn query_source(client: &reqwest::Client, source: &str) -> Result<IpAddr, SourceError> {
    let mut response = client.get(source).send().await?.error_for_status()?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_RESPONSE_BYTES {
            return Err(SourceError::NotAnAddress);
        }
    }
    let text = std::str::from_utf8(&body).map_err(|_| SourceError::NotAnAddress)?;
    let address: IpAddr = text.trim().parse().map_err(|_| SourceError::NotAnAddress)?;
    if is_public(address) { Ok(address) } else { Err(SourceError::NotPublic(address)) }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::response::{IntoResponse, Redirect, Response};
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;

    const SHORT_TIMEOUT: Duration = Duration::from_secs(2);

    async fn source(respond: impl Fn() -> Response + Clone + Send + Sync + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let router = Router::new().route("/", get(move || async move { respond() }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    #[tokio::test]
    async fn first_public_address_is_used() {
        let sources = [
            source(|| StatusCode::SERVICE_UNAVAILABLE.into_response()).await,
            source(|| "192.168.1.7".into_response()).await,
            source(|| "<html>your address is 8.8.8.8</html>".into_response()).await,
            source(|| "9".repeat(100_000).into_response()).await,
            source(|| Redirect::temporary("http://127.0.0.1:1/").into_response()).await,
            source(|| " 8.8.4.4\n".into_response()).await,
            source(|| "1.1.1.1".into_response()).await,
        ];
        assert_eq!(external_ip(&sources, SHORT_TIMEOUT).await.unwrap(), IpAddr::from([8, 8, 4, 4]));
        let v6 = [source(|| "2606:4700:4700::1111".into_response()).await];
        assert_eq!(
            external_ip(&v6, SHORT_TIMEOUT).await.unwrap(),
            "2606:4700:4700::1111".parse::<IpAddr>().unwrap()
        );
    }

    #[tokio::test]
    async fn silent_source_times_out() {
        // Accepts connections and never responds.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent_url = format!("http://{}/", silent.local_addr().unwrap());
        let sources = [silent_url.clone(), source(|| "8.8.8.8".into_response()).await];
        assert_eq!(external_ip(&sources, SHORT_TIMEOUT).await.unwrap(), IpAddr::from([8, 8, 8, 8]));
        let error =
            external_ip(std::slice::from_ref(&silent_url), SHORT_TIMEOUT).await.unwrap_err();
        assert!(error.to_string().contains(&silent_url), "{error}");
    }

    #[tokio::test]
    async fn empty_source_list_is_an_error() {
        let address = external_ip::<&str>(&[], SHORT_TIMEOUT).await;
        assert!(matches!(address, Err(ExternalIpError::NoSource(none)) if none.is_empty()));
    }
}
