//! Parses bytes of the form `METHOD PATH`, header lines, an empty line and a body as HTTP requests,
//! and checks them.

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Request};
use taonet_wire::{Claim, RefusedRequest, Scheme};

/// Parses the bytes as a request with a head and a body; `None` if they are malformed.
fn request(bytes: &[u8]) -> Option<(Parts, &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap_or(bytes.len());
    let (head, body) = bytes.split_at(end);
    let mut lines = head.split(|byte| *byte == b'\n');
    let (method, path) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(path);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b": ").unwrap_or(value);
        request = request
            .header(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    let (parts, ()) = request.body(()).ok()?.into_parts();
    Some((parts, body.get(2..).unwrap_or_default()))
}

/// Parses the bytes as a request and runs all checks of the scheme on it. The signed text must
/// always have `parts` parts, joined by `separator`.
pub fn check(scheme: &impl Scheme, bytes: &[u8], separator: u8, parts: usize) {
    let Some((head, body)) = request(bytes) else { return };
    let claim = scheme.claim(&head);
    let check_refusal = |claim: Option<&Claim>, refusal| {
        let request = RefusedRequest {
            head: &head,
            claim,
            now_ns: u64::MAX,
            elapsed: std::time::Duration::MAX,
        };
        let status = scheme.refuse(&refusal, &request).status();
        assert!(status.is_client_error() || status.is_server_error(), "{status}");
    };
    match claim {
        Err(refusal) => check_refusal(None, refusal),
        Ok(claim) => {
            match scheme.message(&head, &claim, body) {
                Ok(text) => assert_eq!(text.split(|byte| *byte == separator).count(), parts),
                Err(refusal) => check_refusal(Some(&claim), refusal),
            }
            if let Err(refusal) = scheme.check_body(&head, &claim, body) {
                check_refusal(Some(&claim), refusal);
            }
            scheme.echo(&head, &claim);
        }
    }
}
