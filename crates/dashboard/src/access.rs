use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use taonet_http::AccessToken;

/// Access policy of the dashboard.
#[derive(Debug, Default)]
pub enum Access {
    /// No authentication: any local user or program may read the pages. Use it only with a loopback
    /// address.
    #[default]
    Local,
    /// Token authentication: only clients with this token are admitted. Browsers prompt for the
    /// token as a password; any user name is accepted.
    Token(AccessToken),
}

impl Access {
    /// Returns the error response to a request; `None` if the request is admitted.
    pub(crate) fn refusal(&self, headers: &HeaderMap) -> Option<Response> {
        match self {
            // DNS rebinding: a web site could resolve its name to this address and read the page
            // through a visitor's browser.
            Self::Local if has_local_host(headers) => None,
            Self::Local => {
                let text =
                    "unknown host name; hint: use the IP address or localhost, or set --token-file";
                Some((StatusCode::MISDIRECTED_REQUEST, text).into_response())
            }
            Self::Token(token) if has_token(token, headers) => None,
            Self::Token(_) => {
                let challenge = [(
                    WWW_AUTHENTICATE,
                    HeaderValue::from_static("Basic realm=\"taonet\", charset=\"UTF-8\""),
                )];
                Some(
                    (StatusCode::UNAUTHORIZED, challenge, "an access token is required")
                        .into_response(),
                )
            }
        }
    }
}

/// Returns the error response to a cross-site request that may change state; `None` if the request
/// is admitted.
///
/// Browsers send the origin of the page with every such request, which prevents other web sites
/// from sending requests with a visitor's access.
pub(crate) fn cross_site_refusal(method: &Method, headers: &HeaderMap) -> Option<Response> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()?.split_once("://"));
    let is_same_site =
        origin.zip(host).is_some_and(|((_, origin), host)| origin.eq_ignore_ascii_case(host));
    (!method.is_safe() && !is_same_site).then(|| {
        (StatusCode::FORBIDDEN, "the request does not come from a page of this site")
            .into_response()
    })
}

/// Returns whether the request is addressed to an IP address or to `localhost`.
fn has_local_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// Returns whether a request has the token, as a bearer token or as the password of basic
/// authentication.
fn has_token(token: &AccessToken, headers: &HeaderMap) -> bool {
    if token.authorizes(headers) {
        return true;
    }
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, encoded)) = header.and_then(|header| header.split_once(' ')) else {
        return false;
    };
    let decoded =
        STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let password =
        decoded.as_deref().and_then(|text| text.split_once(':')).map(|(_, password)| password);
    let bearer =
        password.and_then(|password| HeaderValue::from_str(&format!("Bearer {password}")).ok());
    let Some(bearer) = bearer.filter(|_| scheme.eq_ignore_ascii_case("basic")) else {
        return false;
    };
    token.authorizes(&[(AUTHORIZATION, bearer)].into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: axum::http::HeaderName, value: &str) -> HeaderMap {
        [(name, value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn foreign_host_names_are_refused_without_a_token() {
        for (host, is_admitted) in [
            ("127.0.0.1:8099", true),
            ("[::1]:8099", true),
            ("localhost", true),
            ("LOCALHOST:1", true),
            ("attacker.example:8099", false),
            ("localhost.attacker.example", false),
            ("", false),
        ] {
            assert_eq!(
                Access::Local.refusal(&headers(HOST, host)).is_none(),
                is_admitted,
                "{host}"
            );
        }
        assert!(Access::Local.refusal(&HeaderMap::new()).is_some());
    }

    /// Columns: method · origin · whether the request is admitted
    #[test]
    fn cross_site_requests_may_not_change_state() {
        let own_origin = "http://127.0.0.1:8099";
        for (method, origin, is_admitted) in [
            (Method::GET, None, true),
            (Method::HEAD, Some("http://attacker.example"), true),
            (Method::POST, Some(own_origin), true),
            (Method::POST, Some("https://127.0.0.1:8099"), true),
            (Method::POST, None, false),
            (Method::POST, Some("null"), false),
            (Method::POST, Some("http://127.0.0.1"), false),
            (Method::POST, Some("http://127.0.0.1:8099.attacker.example"), false),
            (Method::DELETE, Some("http://attacker.example"), false),
        ] {
            let mut headers = headers(HOST, "127.0.0.1:8099");
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(
                cross_site_refusal(&method, &headers).is_none(),
                is_admitted,
                "{method} {origin:?}"
            );
        }
        let without_host = headers(ORIGIN, own_origin);
        assert!(cross_site_refusal(&Method::POST, &without_host).is_some());
    }

    #[test]
    fn token_is_accepted_as_basic_password() {
        let access = Access::Token(AccessToken::parse("0123456789abcdef").unwrap());
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (value, is_admitted) in [
            ("Bearer 0123456789abcdef".to_owned(), true),
            (basic("anybody:0123456789abcdef"), true),
            (basic(":0123456789abcdef"), true),
            (basic("0123456789abcdef"), false),
            (basic("anybody:0123456789abcdeX"), false),
            ("Basic ?".to_owned(), false),
        ] {
            assert_eq!(
                access.refusal(&headers(AUTHORIZATION, &value)).is_none(),
                is_admitted,
                "{value}"
            );
        }
        assert_eq!(access.refusal(&HeaderMap::new()).unwrap().status(), 401);
    }
}
