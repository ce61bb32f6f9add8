use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use igd_next::aio::Gateway;
use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::{AddPortError, GetExternalIpError, PortMappingProtocol, RemovePortError, SearchError, SearchOptions};
use tokio::net::UdpSocket;

/// How long a mapping lasts unless it is renewed: what a killed process leaves behind is gone after it.
const LEASE: Duration = Duration::from_hours(1);
/// What the router shows beside the mapping.
const DESCRIPTION: &str = "taonet";

/// Why no port is mapped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpnpError {
    /// No router answered.
    #[error("no router answers to UPnP; forward the port by hand, or switch UPnP on in the router")]
    Search(#[from] SearchError),
    /// This machine's address in the router's network is not known.
    #[error("this machine's address towards the router cannot be found")]
    LocalAddress(#[source] std::io::Error),
    /// The router would not say its own address.
    #[error("the router does not tell its external address")]
    ExternalAddress(#[from] GetExternalIpError),
    /// The router refused.
    #[error("the router does not map port {port}")]
    Add {
        /// The external port.
        port: u16,
        /// Why.
        source: AddPortError,
    },
    /// The router refused to take the mapping back; it ends by itself within the hour.
    #[error("the router does not remove the mapping of port {port}")]
    Remove {
        /// The external port.
        port: u16,
        /// Why.
        source: RemovePortError,
    },
}

/// A TCP port of the home router that leads to this machine.
///
/// It lasts for an hour: call [`Self::renew`] every [`Self::RENEW_AFTER`], and [`Self::close`] at the end.
#[derive(Debug)]
pub struct PortMapping {
    gateway: Gateway<Tokio>,
    local: SocketAddr,
    external: SocketAddr,
}

impl PortMapping {
    /// How often a mapping should be renewed.
    pub const RENEW_AFTER: Duration = Duration::from_mins(30);

    /// Finds the router and maps `external_port` there to `local_port` here.
    ///
    /// # Errors
    /// [`UpnpError`]; without a router it takes ten seconds to say so.
    pub async fn open(local_port: u16, external_port: u16) -> Result<Self, UpnpError> {
        Self::search(SearchOptions::default(), local_port, external_port).await
    }

    async fn search(options: SearchOptions, local_port: u16, external_port: u16) -> Result<Self, UpnpError> {
        let gateway = search_gateway(options).await?;
        let local = SocketAddr::new(local_address(gateway.addr).await.map_err(UpnpError::LocalAddress)?, local_port);
        let external = SocketAddr::new(gateway.get_external_ip().await?, external_port);
        let mapping = Self { gateway, local, external };
        mapping.renew().await?;
        Ok(mapping)
    }

    /// The router's address and port.
    pub const fn external(&self) -> SocketAddr {
        self.external
    }

    /// Lets the hour begin anew.
    ///
    /// # Errors
    /// [`UpnpError::Add`].
    pub async fn renew(&self) -> Result<(), UpnpError> {
        let port = self.external.port();
        let add = |lease: Duration| {
            let seconds = u32::try_from(lease.as_secs()).unwrap_or(u32::MAX);
            self.gateway.add_port(PortMappingProtocol::TCP, port, self.local, seconds, DESCRIPTION)
        };
        let added = match add(LEASE).await {
            // Some routers know only mappings without end.
            Err(AddPortError::OnlyPermanentLeasesSupported) => add(Duration::ZERO).await,
            other => other,
        };
        added.map_err(|source| UpnpError::Add { port, source })
    }

    /// Takes the mapping back.
    ///
    /// # Errors
    /// [`UpnpError::Remove`].
    pub async fn close(self) -> Result<(), UpnpError> {
        let port = self.external.port();
        let removed = self.gateway.remove_port(PortMappingProtocol::TCP, port).await;
        removed.map_err(|source| UpnpError::Remove { port, source })
    }
}

/// The address that packets to the router come from. Nothing is sent.
async fn local_address(router: SocketAddr) -> std::io::Result<IpAddr> {
    let any: SocketAddr = if router.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(router).await?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests;
