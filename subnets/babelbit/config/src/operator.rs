use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use taonet_validator::api::{DEFAULT_DELAY_S, DEFAULT_RETRIES};
use url::Url;

use super::Config;

/// What validator, signer and subtensor gateway are set to.
#[derive(Debug, Clone)]
pub struct OperatorSettings {
    /// Name of the wallet.
    pub wallet_name: String,
    /// Name of its hotkey.
    pub wallet_hotkey: String,
    /// The directory of wallets, or a keyfile.
    pub wallet_path: Option<PathBuf>,
    /// The node that is asked where the network's own fail.
    pub fallback_node: Option<String>,
    /// Where the signer is; see [`Config::signer_url`].
    pub signer_url: Option<Url>,
    /// Where the signer listens.
    pub signer_host: IpAddr,
    /// Where the signer listens.
    pub signer_port: u16,
    /// How often the signer has the gateway try.
    pub signer_retries: u32,
    /// The time between two attempts for the signer.
    pub signer_retry_delay: Duration,
    /// How often the validator has the gateway try; as often as the signer where not set.
    pub set_weights_retries: Option<u32>,
    /// The time between two attempts for the validator; as for the signer where not set.
    pub set_weights_retry_delay: Option<Duration>,
    /// Where the gateway is; see [`Config::gateway_url`].
    pub gateway_url: Option<Url>,
    /// Where the gateway listens.
    pub gateway_host: IpAddr,
    /// Where the gateway listens.
    pub gateway_port: u16,
    /// Time for one call of the gateway.
    pub gateway_timeout: Duration,
    /// The file with the token that callers of signer and gateway show.
    pub token_file: Option<PathBuf>,
    /// After so many epochs without scores everything goes to the burn uid.
    pub max_skipped_epochs: u32,
    /// Where the validator serves metrics.
    pub metrics_addr: IpAddr,
    /// Where the validator serves metrics.
    pub metrics_port: u16,
}

impl OperatorSettings {
    pub(super) fn defaults() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            wallet_name: "default".to_owned(),
            wallet_hotkey: "default".to_owned(),
            wallet_path: None,
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
            max_skipped_epochs: super::MAX_SKIPPED_EPOCHS,
            metrics_addr: loopback,
            metrics_port: 8010,
        }
    }
}

impl Config {
    /// Where the signer is: as set, else on this machine for a local network, else at its name in the compose file.
    pub fn signer_url(&self) -> Url {
        let operator = &self.operator;
        self.service_url(operator.signer_url.as_ref(), "http://127.0.0.1:8080", "http://signer:8080")
    }

    /// Where the scoring API is: as set, else on this machine for a local network, else the owner's.
    pub fn submit_api_url(&self) -> Url {
        self.service_url(self.submit_api_url.as_ref(), "http://127.0.0.1:8070", "https://scoring.babelbit.ai")
    }

    /// Where the gateway is: as set, else on this machine for a local network, else at its name in the compose file.
    pub fn gateway_url(&self) -> Url {
        let operator = &self.operator;
        self.service_url(operator.gateway_url.as_ref(), "http://127.0.0.1:8090", "http://subtensor-gateway:8090")
    }

    /// Where the arena gateway is: as set, else on this machine for a local network, else the owner's.
    pub fn arena_gateway_url(&self) -> Url {
        self.service_url(self.arena.gateway_url.as_ref(), "http://127.0.0.1:8060", "https://gw.babelbit.ai/")
    }

    fn service_url(&self, set: Option<&Url>, local: &'static str, compose: &'static str) -> Url {
        set.cloned().unwrap_or_else(|| constant(if self.network.is_local() { local } else { compose }))
    }

    /// Where the signer listens.
    pub const fn signer_listen(&self) -> SocketAddr {
        SocketAddr::new(self.operator.signer_host, self.operator.signer_port)
    }

    /// Where the gateway listens.
    pub const fn gateway_listen(&self) -> SocketAddr {
        SocketAddr::new(self.operator.gateway_host, self.operator.gateway_port)
    }

    /// Where the validator serves metrics.
    pub const fn metrics_listen(&self) -> SocketAddr {
        SocketAddr::new(self.operator.metrics_addr, self.operator.metrics_port)
    }

    /// How often, and how long apart, the validator has the gateway try to set weights.
    pub fn set_weights_retries(&self) -> (u32, Duration) {
        let operator = &self.operator;
        (
            operator.set_weights_retries.unwrap_or(operator.signer_retries),
            operator.set_weights_retry_delay.unwrap_or(operator.signer_retry_delay),
        )
    }
}

#[expect(clippy::expect_used, reason = "constants, covered by the tests of the defaults")]
fn constant(url: &'static str) -> Url {
    Url::parse(url).expect("a valid URL")
}
