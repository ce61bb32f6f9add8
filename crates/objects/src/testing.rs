//! An in-process S3 server for tests, over real HTTP, that checks signatures.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::new_without_default,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test helpers"
)]

use std::path::PathBuf;

use axum::Router;
use axum::error_handling::HandleError;
use axum::http::StatusCode;
use s3s::auth::SimpleAuth;
use s3s::host::MultiDomain;
use s3s::service::S3ServiceBuilder;
use tempfile::TempDir;
use tokio::net::TcpListener;
use url::Url;

use taonet_settings::Secret;

use crate::{S3Addressing, S3Settings};

/// Name of the test bucket.
pub const BUCKET: &str = "results";
const ID: &str = "AKIAEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI";

/// An S3 server with one bucket.
pub struct S3Server {
    folder: TempDir,
    /// Base URL of the server.
    pub url: Url,
}

impl S3Server {
    /// Starts a server on a free port.
    pub async fn start() -> Self {
        Self::start_behind(None).await
    }

    /// Starts a server on a free port. It also accepts requests to the port `proxy`, which a proxy
    /// forwards to it.
    pub async fn start_behind(proxy: Option<u16>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(ID, SECRET));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let hosts = [port]
            .into_iter()
            .chain(proxy)
            .flat_map(|port| ["localhost", "127.0.0.1"].map(|host| (host, port)));
        builder.set_host(
            MultiDomain::new(hosts.map(|(host, port)| format!("{host}:{port}"))).unwrap(),
        );
        let failed = |error: s3s::HttpError| async move {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}"))
        };
        let routes = Router::new().fallback_service(HandleError::new(builder.build(), failed));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { folder, url: format!("http://127.0.0.1:{port}").parse().unwrap() }
    }

    /// Returns the path of an object's file on disk.
    pub fn object(&self, key: &str) -> PathBuf {
        self.folder.path().join(BUCKET).join(key)
    }
}

/// Returns settings for the test bucket of the server at `url`.
pub fn settings(url: &Url, addressing: S3Addressing) -> S3Settings {
    S3Settings {
        enabled: true,
        endpoint_url: Some(url.as_str().trim_end_matches('/').to_owned()),
        region: "us-east-1".to_owned(),
        access_key_id: Some(Secret::new(ID)),
        secret_access_key: Some(Secret::new(SECRET)),
        bucket: BUCKET.to_owned(),
        log_dir: "logs".to_owned(),
        addressing,
        use_ssl: true,
    }
}
