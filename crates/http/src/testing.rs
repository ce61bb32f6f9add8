//! Helpers of tests.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "test helpers")]

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;

/// Serves a router on a loopback port until the test's runtime ends, without the limits of
/// [`serve`](crate::serve); returns its address.
pub async fn listen(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Splits a text at these byte positions, in any order; some parts may be empty, or end within a
/// character.
pub fn split_at(text: &str, mut cuts: Vec<usize>) -> Vec<&[u8]> {
    cuts.sort_unstable();
    let (mut parts, mut remaining, mut start) = (Vec::new(), text.as_bytes(), 0);
    for cut in cuts {
        let (part, after) = remaining.split_at(cut - start);
        parts.push(part);
        (remaining, start) = (after, cut);
    }
    parts.push(remaining);
    parts
}
