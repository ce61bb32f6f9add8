use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use taonet_validator::api::{DEFAULT_DELAY_S, DEFAULT_RETRIES};
use url::Url;

use super::Config;

/// Settings of validator, signer and subtensor gateway.
#[derive(Debug, Clone)]
pub struct ServiceSettings {
    /// Fallback chain endpoint, used when the network's own endpoints fail.
    pub fallback_node: Option<String>,
    /// URL of the signer; see [`Config::signer_url`].
    pub signer_url: Option<Url>,
    /// Listen address of the signer.
    pub signer_host: IpAddr,
    /// Listen port of the signer.
    pub signer_port: u16,
    /// Maximum number of attempts that the gateway makes for a request from the signer.
    pub signer_retries: u32,
    /// Delay between two attempts for a request from the signer.
    pub signer_retry_delay: Duration,
    /// Maximum number of attempts that the gateway makes for a request from the validator; defaults
    /// to the number for the signer.
    pub set_weights_retries: Option<u32>,
    /// Delay between two attempts for a request from the validator; defaults to the delay for the
    /// signer.
    pub set_weights_retry_delay: Option<Duration>,
    /// URL of the gateway; see [`Config::gateway_url`].
    pub gateway_url: Option<Url>,
    /// Listen address of the gateway.
    pub gateway_host: IpAddr,
    /// Listen port of the gateway.
    pub gateway_port: u16,
    /// Timeout of one request to the gateway.
    pub gateway_timeout: Duration,
    /// File with the access token of signer and gateway.
    pub token_file: Option<PathBuf>,
    /// Number of consecutive epochs without scores after which all weight goes to the burn uid.
    pub max_skipped_epochs: u32,
    /// Listen address of the validator's metrics.
    pub metrics_addr: IpAddr,
    /// Listen port of the validator's metrics.
    pub metrics_port: u16,
}

impl ServiceSettings {
    pub(super) fn defaults() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            fallback_node: None,
            signer_url: None,
            signer_host: loopback,
            signer_port: 8080,
            signer_retries: DEFAULT_RETRIES,
            signer_retry_delay: Duration::from_secs_f64(DEFAULT_DELAY_S),
            set_weights_retries: None,
            set_weights_retry_delay: None,
            gateway_url: None,
            gateway_host: loopback,
            gateway_port: 8090,
            gateway_timeout: Duration::from_mins(5),
            token_file: None,
            max_skipped_epochs: super::DEFAULT_MAX_SKIPPED_EPOCHS,
            metrics_addr: loopback,
            metrics_port: 8010,
        }
    }
}

impl Config {
    /// Returns the URL of the signer: the configured URL, else loopback on a local network, else
    /// the host in the compose file.
    pub fn signer_url(&self) -> Url {
        let services = &self.services;
        self.service_url(
            services.signer_url.as_ref(),
            "http://127.0.0.1:8080",
            "http://signer:8080",
        )
    }

    /// Returns the URL of the scoring API: the configured URL, else loopback on a local network,
    /// else the URL of the subnet owner.
    pub fn submit_api_url(&self) -> Url {
        self.service_url(
            self.submit_api_url.as_ref(),
            "http://127.0.0.1:8070",
            "https://scoring.babelbit.ai",
        )
    }

    /// Returns the URL of the gateway: the configured URL, else loopback on a local network, else
    /// the host in the compose file.
    pub fn gateway_url(&self) -> Url {
        let services = &self.services;
        self.service_url(
            services.gateway_url.as_ref(),
            "http://127.0.0.1:8090",
            "http://subtensor-gateway:8090",
        )
    }

    /// Returns the URL of the arena gateway: the configured URL, else loopback on a local network,
    /// else the URL of the subnet owner.
    pub fn arena_gateway_url(&self) -> Url {
        self.service_url(
            self.arena.gateway_url.as_ref(),
            "http://127.0.0.1:8060",
            "https://gw.babelbit.ai/",
        )
    }

    fn service_url(
        &self,
        configured: Option<&Url>,
        local: &'static str,
        remote: &'static str,
    ) -> Url {
        configured.cloned().unwrap_or_else(|| {
            parse_constant_url(if self.operator.network.is_local() { local } else { remote })
        })
    }

    /// Returns the listen address and port of the signer.
    pub const fn signer_listen(&self) -> SocketAddr {
        SocketAddr::new(self.services.signer_host, self.services.signer_port)
    }

    /// Returns the listen address and port of the gateway.
    pub const fn gateway_listen(&self) -> SocketAddr {
        SocketAddr::new(self.services.gateway_host, self.services.gateway_port)
    }

    /// Returns the listen address and port of the validator's metrics.
    pub const fn metrics_listen(&self) -> SocketAddr {
        SocketAddr::new(self.services.metrics_addr, self.services.metrics_port)
    }

    /// Returns the gateway's maximum number of attempts for a request from the validator, and the
    /// delay between them.
    pub fn set_weights_retries(&self) -> (u32, Duration) {
        let services = &self.services;
        (
            services.set_weights_retries.unwrap_or(services.signer_retries),
            services.set_weights_retry_delay.unwrap_or(services.signer_retry_delay),
        )
    }
}

#[expect(clippy::expect_used, reason = "constants, covered by the tests of the defaults")]
fn parse_constant_url(url: &'static str) -> Url {
    Url::parse(url).expect("a valid URL")
}
