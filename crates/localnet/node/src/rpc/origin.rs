//! Validation of the `Origin` header that browsers send for web pages.
//!
//! A browser lets any page open a WebSocket to this machine, and sends the page's origin in the
//! `Origin` header. Other programs send no `Origin` header, or send the address that they connect
//! to.

use std::net::Ipv6Addr;
use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};
use jsonrpsee::server::{HttpBody, HttpResponse};

/// The allowed origins: loopback origins and the configured ones.
#[derive(Debug, Clone)]
pub(super) struct Origins(Arc<[String]>);

impl Origins {
    pub(super) fn new(allowed: Vec<String>) -> Self {
        Self(allowed.into())
    }

    /// Whether a request with these headers is allowed.
    pub(super) fn allows(&self, headers: &HeaderMap) -> bool {
        headers.get_all(header::ORIGIN).iter().all(|origin| {
            let is_listed =
                |origin: &str| self.0.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin));
            origin.to_str().is_ok_and(|origin| is_loopback(origin) || is_listed(origin))
        })
    }
}

/// Returns the response to a page whose origin is not allowed.
pub(super) fn forbidden_response() -> HttpResponse {
    let mut response = HttpResponse::new(HttpBody::from(
        "The origin of this page is not allowed; hint: start the node with --allow-origin\n",
    ));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

/// Whether an origin, such as `http://localhost:3000`, is on this machine.
fn is_loopback(origin: &str) -> bool {
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let (is_loopback_host, port) = if let Some(address_and_port) = authority.strip_prefix('[') {
        let Some((address, port)) = address_and_port.split_once(']') else { return false };
        (address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()), port)
    } else {
        let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
        (host.eq_ignore_ascii_case("localhost") || host == "127.0.0.1", port)
    };
    let is_valid_port =
        port.strip_prefix(':').map_or(port.is_empty(), |port| port.parse::<u16>().is_ok());
    is_loopback_host && is_valid_port
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(allowed: &[&str], origins: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(header::ORIGIN, origin.parse().unwrap());
        }
        Origins::new(allowed.iter().map(ToString::to_string).collect()).allows(&headers)
    }

    #[test]
    fn local_origins_and_requests_without_origin_are_allowed() {
        assert!(allows(&[], &[]));
        for origin in [
            "http://localhost",
            "http://localhost:3000",
            "https://LOCALHOST:443",
            "http://127.0.0.1:9944",
            "http://[::1]",
            "ws://[::1]:9944",
        ] {
            assert!(allows(&[], &[origin]), "{origin}");
        }
    }

    #[test]
    fn foreign_origins_are_refused_unless_allowed() {
        for origin in [
            "http://evil.example",
            "https://polkadot.js.org",
            "null",
            "",
            "file://",
            "http://localhost.evil.example",
            "http://evil.example?//localhost",
            "http://localhost:x",
            "http://localhost:1@evil.example",
            "http://127.0.0.1.evil.example",
            "http://[::1]evil.example",
            "http://[::2]",
            "http://[::1",
            "localhost",
        ] {
            assert!(!allows(&[], &[origin]), "{origin}");
        }
        assert!(!allows(&[], &["http://localhost", "http://evil.example"]));
        let named = ["https://polkadot.js.org", "null"];
        assert!(allows(&named, &["https://polkadot.js.org"]));
        assert!(allows(&named, &["https://Polkadot.js.org"]));
        assert!(allows(&named, &["null"]));
        assert!(!allows(&named, &["https://polkadot.js.org.evil.example"]));
    }

    proptest::proptest! {
        #[test]
        fn random_origin_header_does_not_panic(bytes in proptest::collection::vec(0x20u8..0xff, 0..40)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = header::HeaderValue::from_bytes(&bytes) {
                headers.insert(header::ORIGIN, value);
                proptest::prop_assert!(!Origins::new(Vec::new()).allows(&headers) || bytes.contains(&b':'));
            }
        }
    }
}
