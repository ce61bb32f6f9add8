//! External address of this machine.

use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use taonet_reach::{SOURCES, external_ip};

use crate::duration::parse_seconds;

/// External IP address, fixed or detected automatically.
#[derive(Debug, Clone, Copy)]
pub enum ExternalIp {
    /// The address that services on the internet see.
    Auto,
    /// A fixed address.
    Given(IpAddr),
}

impl std::str::FromStr for ExternalIp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse().map(Self::Given).map_err(|_| "expected an IP address or `auto`".to_owned())
    }
}

impl ExternalIp {
    /// Resolves the address; `auto` queries `sources`, or five public services if `sources` is
    /// empty.
    pub async fn resolve(self, sources: &[String], timeout: Duration) -> anyhow::Result<IpAddr> {
        Ok(match self {
            Self::Given(ip) => ip,
            Self::Auto if sources.is_empty() => external_ip(&SOURCES, timeout).await?,
            Self::Auto => external_ip(sources, timeout).await?,
        })
    }
}

/// Arguments that determine the published IP address
#[derive(Debug, Args)]
pub(crate) struct ExternalIpArgs {
    /// External IP address of this machine; `auto` queries public services [default: auto]
    #[arg(long, alias = "ip", value_name = "ADDRESS")]
    external_ip: Option<ExternalIp>,
    /// Services that `auto` queries, in this order [default: five public ones]
    #[arg(long, value_name = "URL")]
    ip_source: Vec<String>,
    /// Timeout of each query to a service, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = parse_seconds)]
    ip_timeout: Duration,
}

impl ExternalIpArgs {
    /// Resolves the address; `default` replaces `auto` as the default.
    pub(crate) async fn resolve(&self, default: Option<IpAddr>) -> anyhow::Result<IpAddr> {
        let default = default.map_or(ExternalIp::Auto, ExternalIp::Given);
        self.external_ip.unwrap_or(default).resolve(&self.ip_source, self.ip_timeout).await
    }
}
