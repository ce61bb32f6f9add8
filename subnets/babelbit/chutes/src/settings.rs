use std::time::Duration;

use taonet_settings::Secret;
use url::Url;

/// Accounts and addresses of Chutes and of the Hugging Face hub.
#[derive(Debug, Clone)]
pub struct ChutesSettings {
    /// URL of the Chutes API.
    pub api_url: Url,
    /// Name of the Chutes account; empty if unknown.
    pub username: String,
    /// API key of the Chutes account.
    pub api_key: Option<Secret>,
    /// URL of a chute, with `{slug}` in place of its slug.
    pub base_url_template: String,
    /// Path of a chute's predict route.
    pub predict_endpoint: String,
    /// Number of retries of a call to a chute.
    pub retries: u32,
    /// Timeout of a call to a chute.
    pub timeout: Duration,
    /// URL of the Hugging Face hub.
    pub hub_url: Url,
    /// Name of the Hugging Face account; empty if unknown.
    pub hub_username: String,
    /// API key of the Hugging Face account.
    pub hub_key: Option<Secret>,
}

impl Default for ChutesSettings {
    /// Returns the defaults of the reference.
    #[expect(
        clippy::expect_used,
        reason = "constants, covered by every test that builds the settings"
    )]
    fn default() -> Self {
        Self {
            api_url: Url::parse("https://api.chutes.ai").expect("a valid URL"),
            username: String::new(),
            api_key: None,
            base_url_template: "https://{slug}.chutes.ai".to_owned(),
            predict_endpoint: "predict".to_owned(),
            retries: 0,
            timeout: Duration::from_secs(10),
            hub_url: Url::parse("https://huggingface.co").expect("a valid URL"),
            hub_username: String::new(),
            hub_key: None,
        }
    }
}
