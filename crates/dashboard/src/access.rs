use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use taonet_http::AccessToken;

/// Who may read the page.
#[derive(Debug, Default)]
pub enum Access {
    /// Programs and people of this machine; for loopback addresses.
    #[default]
    Local,
    /// Bearers of a token. Browsers ask for it as a password, with any user name.
    Token(AccessToken),
}

impl Access {
    /// The refusal of a request; `None` if it is admitted.
    pub(crate) fn refusal(&self, headers: &HeaderMap) -> Option<Response> {
        match self {
            // A web site could point its own name at this address, and read the page with a visitor's browser.
            Self::Local if is_own_name(headers) => None,
            Self::Local => {
                let text = "unknown host name; hint: use the address of the page, or start it with --token-file";
                Some((StatusCode::MISDIRECTED_REQUEST, text).into_response())
            }
            Self::Token(token) if is_shown(token, headers) => None,
            Self::Token(_) => {
                let ask = [(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"taonet\", charset=\"UTF-8\""))];
                Some((StatusCode::UNAUTHORIZED, ask, "an access token is required").into_response())
            }
        }
    }
}

/// Whether the request is addressed to an IP address or to `localhost`.
fn is_own_name(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// Whether a request carries the token, as bearer or as the password of basic authentication.
fn is_shown(token: &AccessToken, headers: &HeaderMap) -> bool {
    if token.is_shown_in(headers) {
        return true;
    }
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, encoded)) = header.and_then(|header| header.split_once(' ')) else { return false };
    let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let password = decoded.as_deref().and_then(|text| text.split_once(':')).map(|(_, password)| password);
    let bearer = password.and_then(|password| HeaderValue::from_str(&format!("Bearer {password}")).ok());
    let Some(bearer) = bearer.filter(|_| scheme.eq_ignore_ascii_case("basic")) else { return false };
    token.is_shown_in(&[(AUTHORIZATION, bearer)].into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: axum::http::HeaderName, value: &str) -> HeaderMap {
        [(name, value.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn other_names_than_our_own_are_refused_without_a_token() {
        for (host, is_admitted) in [
            ("127.0.0.1:8099", true),
            ("[::1]:8099", true),
            ("localhost", true),
            ("LOCALHOST:1", true),
            ("attacker.example:8099", false),
            ("localhost.attacker.example", false),
            ("", false),
        ] {
            assert_eq!(Access::Local.refusal(&headers(HOST, host)).is_none(), is_admitted, "{host}");
        }
        assert!(Access::Local.refusal(&HeaderMap::new()).is_some());
    }

    #[test]
    fn browsers_show_the_token_as_a_password() {
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
            assert_eq!(access.refusal(&headers(AUTHORIZATION, &value)).is_none(), is_admitted, "{value}");
        }
        assert_eq!(access.refusal(&HeaderMap::new()).unwrap().status(), 401);
    }
}
