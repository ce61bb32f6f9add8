//! Page that shows buyers the usage of their API keys.
//!
//! The page and its script are static. The buyer enters the key, which the script keeps in memory
//! only, and sends in the header of its requests to this gateway.

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::{IntoResponse as _, Response};

/// Content security policy: the pages load only their own script, and send requests only to this
/// gateway.
pub(crate) const PAGE_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; \
                                 style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                                 frame-ancestors 'none'";

/// Handler of `GET /usage`.
pub(crate) async fn page() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, PAGE_SECURITY_POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, include_str!("usage_page/page.html")).into_response()
}

/// Handler of `GET /usage.js`.
pub(crate) async fn script() -> Response {
    let headers = [(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    (headers, include_str!("usage_page/script.js")).into_response()
}
