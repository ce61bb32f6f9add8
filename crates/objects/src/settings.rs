//! Settings of a bucket, and the parsers of their variables.

use taonet_settings::value::Expected;
use taonet_settings::{Secret, Shown};

/// How a bucket's name is part of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Addressing {
    /// `https://host/bucket/key`.
    Path,
    /// `https://bucket.host/key`.
    Virtual,
}

impl S3Addressing {
    /// As the variable names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Virtual => "virtual",
        }
    }
}

impl Shown for S3Addressing {
    fn shown(&self) -> String {
        self.as_str().to_owned()
    }
}

/// A bucket of an S3 service, and whether results are uploaded to it.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// Whether result files are uploaded before they are submitted.
    pub enabled: bool,
    /// Where the service is; without it, AWS.
    pub endpoint_url: Option<String>,
    /// Its region.
    pub region: String,
    /// Who uploads.
    pub access_key_id: Option<Secret>,
    /// What signs.
    pub secret_access_key: Option<Secret>,
    /// The bucket.
    pub bucket: String,
    /// Run logs go below `{log_dir}/logs`.
    pub log_dir: String,
    /// How the bucket's name is part of addresses.
    pub addressing: S3Addressing,
    /// Whether an endpoint without a scheme is reached over TLS.
    pub use_ssl: bool,
}

impl Default for S3Settings {
    fn default() -> Self {
        Self {
            enabled: false,
            endpoint_url: None,
            region: "us-east-1".to_owned(),
            access_key_id: None,
            secret_access_key: None,
            bucket: String::new(),
            log_dir: "logs".to_owned(),
            addressing: S3Addressing::Path,
            use_ssl: true,
        }
    }
}

/// Parses [`S3Addressing`]; `auto` is what the reference's library makes of it, paths.
///
/// # Errors
/// For any other text.
pub fn addressing(text: &str) -> Result<S3Addressing, Expected> {
    match text {
        "path" | "auto" => Ok(S3Addressing::Path),
        "virtual" => Ok(S3Addressing::Virtual),
        _ => Err("path or virtual"),
    }
}

/// Parses the address of the service.
///
/// # Errors
/// For other schemes than HTTP, and for addresses with credentials.
pub fn endpoint(text: &str) -> Result<Option<String>, Expected> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let host = rest.trim_end_matches('/');
    if matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains('@') {
        Ok(Some(text.trim_end_matches('/').to_owned()))
    } else {
        Err("an http or https URL without user and password, or HOST:PORT")
    }
}

/// Accepts the signature version `s3v4`, the only one.
///
/// # Errors
/// For any other version.
pub fn signature_version(text: &str) -> Result<(), Expected> {
    if text == "s3v4" { Ok(()) } else { Err("s3v4, the only version of signatures that is supported") }
}

/// Parses a folder of a bucket; slashes around it are dropped.
///
/// # Errors
/// Never.
pub fn folder(text: &str) -> Result<String, Expected> {
    Ok(text.trim_matches('/').to_owned())
}
