//! Style sheet, script and icon, embedded in the binary.

use std::sync::LazyLock;

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// A file embedded in the binary.
pub(crate) struct Asset {
    name: &'static str,
    kind: &'static str,
    body: &'static str,
}

pub(crate) static STYLE: Asset = Asset {
    name: "page.css",
    kind: "text/css; charset=utf-8",
    body: include_str!("../assets/page.css"),
};
pub(crate) static SCRIPT: Asset = Asset {
    name: "page.js",
    kind: "text/javascript; charset=utf-8",
    body: include_str!("../assets/page.js"),
};
pub(crate) static ICON: Asset =
    Asset { name: "icon.svg", kind: "image/svg+xml", body: include_str!("../assets/icon.svg") };

/// Hash of the embedded files in their URLs, so that browsers never use a cached older version.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let hash = [&STYLE, &SCRIPT, &ICON]
        .iter()
        .fold(Sha256::new(), |hash, asset| hash.chain_update(asset.body));
    hex::encode(hash.finalize().get(..8).unwrap_or_default())
});

impl Asset {
    /// Returns the URL path of the asset, relative to the base path.
    pub(crate) fn path(&self) -> String {
        format!("/assets/{}/{}", *VERSION, self.name)
    }
}

/// Serves an asset; its URL changes with its content.
pub(crate) fn serve(name: &str) -> Response {
    match [&STYLE, &SCRIPT, &ICON].into_iter().find(|asset| asset.name == name) {
        Some(asset) => {
            let headers = [
                (CONTENT_TYPE, asset.kind),
                (CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ];
            (headers, asset.body).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
