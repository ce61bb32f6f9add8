//! Settings of a bucket, and parsers for their environment variables.

use taonet_settings::value::Expected;
use taonet_settings::{DisplayValue, Secret};

/// Position of the bucket's name in object URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Addressing {
    /// `https://host/bucket/key`.
    Path,
    /// `https://bucket.host/key`.
    Virtual,
}

impl S3Addressing {
    /// Returns the value of the environment variable for this style.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Virtual => "virtual",
        }
    }
}

impl DisplayValue for S3Addressing {
    fn display_value(&self) -> String {
        self.as_str().to_owned()
    }
}

/// Connection settings of an S3 bucket, and whether results are uploaded to it.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// Whether result files are uploaded before they are submitted.
    pub enabled: bool,
    /// URL of the service; AWS S3 if unset.
    pub endpoint_url: Option<String>,
    /// Region of the bucket.
    pub region: String,
    /// Access key ID.
    pub access_key_id: Option<Secret>,
    /// Secret access key, which signs requests.
    pub secret_access_key: Option<Secret>,
    /// Name of the bucket.
    pub bucket: String,
    /// Parent folder of run logs, which are written below `{log_dir}/logs`.
    pub log_dir: String,
    /// Position of the bucket's name in object URLs.
    pub addressing: S3Addressing,
    /// Whether TLS is used for an endpoint without a scheme.
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

/// Parses [`S3Addressing`]; `auto` means path addressing, as in the S3 library of the reference
/// implementation.
///
/// # Errors
/// Returns the expected form if `text` does not have it.
pub fn addressing(text: &str) -> Result<S3Addressing, Expected> {
    match text {
        "path" | "auto" => Ok(S3Addressing::Path),
        "virtual" => Ok(S3Addressing::Virtual),
        _ => Err("path or virtual"),
    }
}

/// Parses the endpoint URL of the service.
///
/// # Errors
/// Returns the expected form for schemes other than HTTP(S), and for URLs with credentials or
/// without a host.
pub fn endpoint(text: &str) -> Result<Option<String>, Expected> {
    let (scheme, authority) = text.split_once("://").unwrap_or(("https", text));
    let host = authority.trim_end_matches('/');
    if matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains('@') {
        Ok(Some(text.trim_end_matches('/').to_owned()))
    } else {
        Err("an http or https URL without credentials, or HOST:PORT")
    }
}

/// Accepts `s3v4`, the only supported signature version.
///
/// # Errors
/// Returns the expected form for any other version.
pub fn signature_version(text: &str) -> Result<(), Expected> {
    if text == "s3v4" { Ok(()) } else { Err("s3v4, the only supported signature version") }
}

/// Parses a folder of a bucket; leading and trailing slashes are removed.
///
/// # Errors
/// Never.
pub fn folder(text: &str) -> Result<String, Expected> {
    Ok(text.trim_matches('/').to_owned())
}
