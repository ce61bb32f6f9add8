use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use reqwest::redirect::Policy;

/// Services that return the caller's IP address as plain text, in the order in which they are queried.
pub const SOURCES: [&str; 5] = [
    "https://checkip.amazonaws.com",
    "https://api.ipify.org",
    "https://ifconfig.me/ip",
    "https://ipinfo.io/ip",
    "https://v4.ident.me",
];

/// Maximum number of bytes to read of a response; an address has at most 45 characters.
const ANSWER_BYTES: usize = 64;

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
    failures.iter().map(|(source, error)| format!("{source}: {error}")).collect::<Vec<_>>().join("; ")
}

/// Determines this machine's external IP address: the first public address returned by a source.
///
/// The sources (usually [`SOURCES`]) are queried one after another, each with the timeout `timeout`, so that the
/// machine's address is disclosed to no more services than necessary. The first public address is trusted: a wrong one
/// only makes a neuron unreachable, which its operator notices. Failing sources are logged.
///
/// # Errors
/// [`ExternalIpError::NoSource`] with the error of each source if all fail, [`ExternalIpError::Setup`] if the HTTP
/// client cannot be set up.
pub async fn external_ip<S: AsRef<str>>(sources: &[S], timeout: Duration) -> Result<IpAddr, ExternalIpError> {
    let client = reqwest::Client::builder().redirect(Policy::none()).timeout(timeout).no_proxy().build();
    let client = client.map_err(ExternalIpError::Setup)?;
    let mut failures = Vec::new();
    for source in sources.iter().map(AsRef::as_ref) {
        match ask(&client, source).await {
            Ok(address) => return Ok(address),
            Err(error) => {
                tracing::debug!(source, %error, "query for the external address failed");
                failures.push((source.to_owned(), error));
            }
        }
    }
    Err(ExternalIpError::NoSource(failures))
}

async fn ask(client: &reqwest::Client, source: &str) -> Result<IpAddr, SourceError> {
    let mut response = client.get(source).send().await?.error_for_status()?;
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        answer.extend_from_slice(&chunk);
        if answer.len() > ANSWER_BYTES {
            return Err(SourceError::NotAnAddress);
        }
    }
    let text = std::str::from_utf8(&answer).map_err(|_| SourceError::NotAnAddress)?;
    let address: IpAddr = text.trim().parse().map_err(|_| SourceError::NotAnAddress)?;
    if is_public(address) { Ok(address) } else { Err(SourceError::NotPublic(address)) }
}

/// Whether an address is routable on the internet: not loopback, private, link-local, shared (carrier NAT), multicast,
/// for documentation or benchmarks, or reserved.
pub const fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

const fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && b & 0xc0 == 64;
    let benchmark = a == 198 && b & 0xfe == 18;
    let protocol = a == 192 && b == 0 && c == 0;
    !(a == 0
        || a >= 240
        || shared
        || benchmark
        || protocol
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation())
}

const fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(address) = address.to_ipv4_mapped() {
        return is_public_v4(address);
    }
    // Only 2000::/3 is allocated; 2001:db8::/32 is for documentation.
    let [first, second, ..] = address.segments();
    first & 0xe000 == 0x2000 && !(first == 0x2001 && second == 0xdb8)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::response::{IntoResponse, Redirect, Response};
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;

    const BRIEF: Duration = Duration::from_secs(2);

    async fn source(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let router = Router::new().route("/", get(move || async move { answer() }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    #[tokio::test]
    async fn the_first_public_address_counts() {
        let sources = [
            source(|| StatusCode::SERVICE_UNAVAILABLE.into_response()).await,
            source(|| "192.168.1.7".into_response()).await,
            source(|| "<html>your address is 8.8.8.8</html>".into_response()).await,
            source(|| "9".repeat(100_000).into_response()).await,
            source(|| Redirect::temporary("http://127.0.0.1:1/").into_response()).await,
            source(|| " 8.8.4.4\n".into_response()).await,
            source(|| "1.1.1.1".into_response()).await,
        ];
        assert_eq!(external_ip(&sources, BRIEF).await.unwrap(), IpAddr::from([8, 8, 4, 4]));
        let v6 = [source(|| "2606:4700:4700::1111".into_response()).await];
        assert_eq!(external_ip(&v6, BRIEF).await.unwrap(), "2606:4700:4700::1111".parse::<IpAddr>().unwrap());
    }

    #[tokio::test]
    async fn a_silent_source_is_given_up() {
        // Accepts connections and never responds.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent_url = format!("http://{}/", silent.local_addr().unwrap());
        let sources = [silent_url.clone(), source(|| "8.8.8.8".into_response()).await];
        assert_eq!(external_ip(&sources, BRIEF).await.unwrap(), IpAddr::from([8, 8, 8, 8]));
        let error = external_ip(std::slice::from_ref(&silent_url), BRIEF).await.unwrap_err();
        assert!(error.to_string().contains(&silent_url), "{error}");
    }

    #[tokio::test]
    async fn without_sources_there_is_no_address() {
        assert!(
            matches!(external_ip::<&str>(&[], BRIEF).await, Err(ExternalIpError::NoSource(none)) if none.is_empty())
        );
    }

    #[test]
    fn addresses_that_nobody_can_reach_are_not_public() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.0.1",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["8.8.8.8", "100.128.0.1", "172.32.0.1", "2606:4700::1", "::ffff:8.8.8.8"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
