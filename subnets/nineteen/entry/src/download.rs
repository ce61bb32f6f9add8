//! Download of images that buyers pass as URLs.
//!
//! A URL could make the gateway connect to hosts in its own network. Only public addresses are
//! allowed: the address is checked after name resolution, for each redirect too, and the client
//! connects to the checked address.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Url, redirect};
use taonet_http::Fault;
use taonet_http::client::{builder, fault, read_capped};
use taonet_wire::is_public;

/// Timeout of a download, with all redirects.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of an image, in bytes.
const MAX_IMAGE_BYTES: usize = 6 << 20;
/// Maximum number of redirects.
const MAX_REDIRECTS: usize = 3;
/// Maximum length of a URL, in bytes.
const MAX_URL_LENGTH: usize = 2_048;

/// Why an image cannot be downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DownloadError {
    #[error("the URL is malformed or too long")]
    Malformed,
    #[error("the URL must start with https://")]
    Scheme,
    #[error("the URL's host is not public")]
    Private,
    #[error("a redirect leads to an address that is not allowed, or there are too many redirects")]
    Redirect,
    #[error("the server returned {0}")]
    Status(reqwest::StatusCode),
    #[error(transparent)]
    Transfer(#[from] Fault),
}

/// Downloads files from public hosts. Also the DNS resolver of its client, which drops private
/// addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Downloader {
    scheme: &'static str,
    is_allowed: fn(IpAddr) -> bool,
    timeout: Duration,
}

impl Default for Downloader {
    fn default() -> Self {
        Self { scheme: "https", is_allowed: is_public, timeout: DOWNLOAD_TIMEOUT }
    }
}

impl Downloader {
    /// Returns whether a text begins like a URL of the allowed scheme.
    pub(crate) fn is_url(self, text: &str) -> bool {
        text.strip_prefix(self.scheme).is_some_and(|url| url.starts_with("://"))
    }

    /// Downloads a file of up to 6 MiB, within 10 s.
    pub(crate) async fn download(self, url: &str) -> Result<Vec<u8>, DownloadError> {
        if url.len() > MAX_URL_LENGTH {
            return Err(DownloadError::Malformed);
        }
        let url: Url = url.parse().map_err(|_| DownloadError::Malformed)?;
        self.check_url(&url)?;
        let redirects = redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > MAX_REDIRECTS {
                return attempt.error(DownloadError::Redirect);
            }
            match self.check_url(attempt.url()) {
                Ok(()) => attempt.follow(),
                Err(error) => attempt.error(error),
            }
        });
        let client =
            builder().redirect(redirects).referer(false).timeout(self.timeout).dns_resolver(self);
        let request = client.build().map_err(fault)?.get(url);
        let response = request.send().await.map_err(|error| {
            if error.is_redirect() {
                DownloadError::Redirect
            } else {
                DownloadError::Transfer(fault(error))
            }
        })?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(DownloadError::Status(response.status()));
        }
        Ok(read_capped(response, MAX_IMAGE_BYTES).await?)
    }

    /// Checks the scheme, and a host that is an address. Host names are checked by the resolver.
    fn check_url(self, url: &Url) -> Result<(), DownloadError> {
        if url.scheme() != self.scheme {
            return Err(DownloadError::Scheme);
        }
        let host = url.host_str().ok_or(DownloadError::Malformed)?;
        match host.trim_matches(['[', ']']).parse() {
            Ok(address) if !(self.is_allowed)(address) => Err(DownloadError::Private),
            _ => Ok(()),
        }
    }
}

/// Resolves names to the allowed addresses.
impl Resolve for Downloader {
    fn resolve(&self, name: Name) -> Resolving {
        let is_allowed = self.is_allowed;
        Box::pin(async move {
            let resolved = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> =
                resolved.filter(|address| is_allowed(address.ip())).collect();
            if addresses.is_empty() {
                return Err(DownloadError::Private.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::net::Ipv4Addr;

    use super::*;

    /// Rules under which the tests' server is a public one, and the rest of this machine is
    /// private.
    pub(crate) fn rules() -> Downloader {
        let is_allowed = |ip| ip == IpAddr::V4(Ipv4Addr::LOCALHOST);
        Downloader { scheme: "http", is_allowed, timeout: Duration::from_secs(2) }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::Router;
    use axum::body::Body;
    use axum::response::Redirect;
    use axum::routing::get;
    use taonet_http::testing::listen;

    use super::testing::rules;
    use super::*;

    async fn server() -> String {
        let endless = || async {
            Body::from_stream(futures::stream::repeat(Ok::<_, Infallible>(vec![0_u8; 4_096])))
        };
        let silent = || async {
            Body::from_stream(futures::stream::pending::<Result<Vec<u8>, Infallible>>())
        };
        let redirect_to =
            |location: &'static str| get(move || async move { Redirect::temporary(location) });
        let router = Router::new()
            .route("/image", get(|| async { "image" }))
            .route("/once", redirect_to("/image"))
            .route("/loop", redirect_to("/loop"))
            .route("/private", redirect_to("http://127.0.0.2/image"))
            .route("/mapped", redirect_to("http://[::ffff:127.0.0.2]/image"))
            .route("/metadata", redirect_to("http://169.254.169.254/latest"))
            .route("/scheme", redirect_to("ftp://127.0.0.1/image"))
            .route("/endless", get(endless))
            .route("/silent", get(silent));
        format!("http://{}", listen(router).await)
    }

    #[tokio::test]
    async fn redirects_sizes_and_resolved_hosts_are_checked() {
        let (url, rules) = (server().await, rules());
        let download = async |rules: Downloader, url: &str| rules.download(url).await;
        assert_eq!(download(rules, &format!("{url}/image")).await.unwrap(), b"image");
        assert_eq!(download(rules, &format!("{url}/once")).await.unwrap(), b"image");
        for path in ["/loop", "/private", "/mapped", "/metadata", "/scheme"] {
            let error = download(rules, &format!("{url}{path}")).await.unwrap_err();
            assert!(matches!(error, DownloadError::Redirect), "{path}: {error}");
        }
        let error = download(rules, &format!("{url}/none")).await.unwrap_err();
        assert!(
            matches!(error, DownloadError::Status(status) if status.as_u16() == 404),
            "{error}"
        );
        // Size and time are limited.
        let error = download(rules, &format!("{url}/endless")).await.unwrap_err();
        assert!(matches!(error, DownloadError::Transfer(Fault::TooLarge(_))), "{error}");
        let error = download(rules, &format!("{url}/silent")).await.unwrap_err();
        assert!(matches!(error, DownloadError::Transfer(Fault::Timeout)), "{error}");
        // A name is checked after its resolution; the server is reachable by this name.
        let named = url.replace("127.0.0.1", "localhost");
        assert_eq!(download(rules, &format!("{named}/image")).await.unwrap(), b"image");
        let none_callable = Downloader { is_allowed: |_| false, ..rules };
        let error = download(none_callable, &format!("{named}/image")).await.unwrap_err();
        assert!(matches!(error, DownloadError::Transfer(Fault::Transport(_))), "{error}");
    }

    #[test]
    fn only_public_https_addresses_are_allowed() {
        let check = |url: &str| Downloader::default().check_url(&url.parse().unwrap());
        for url in
            ["https://example.org/a.png", "https://8.8.8.8:8443/a", "https://[2606:4700::1111]/a"]
        {
            assert!(check(url).is_ok(), "{url}");
        }
        for url in [
            "https://127.0.0.1/a",
            "https://2130706433/a",
            "https://0x7f.1/a",
            "https://10.0.0.1/a",
            "https://169.254.169.254/a",
            "https://[::1]/a",
            "https://[::ffff:10.0.0.1]/a",
        ] {
            assert!(matches!(check(url), Err(DownloadError::Private)), "{url}");
        }
        for url in [
            "http://example.org/a",
            "file:///etc/passwd",
            "gopher://example.org/",
            "data:image/png;base64,AA",
        ] {
            assert!(matches!(check(url), Err(DownloadError::Scheme)), "{url}");
        }
    }
}
