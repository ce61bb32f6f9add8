use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use igd_next::aio::Gateway;
use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::{
    AddPortError, GetExternalIpError, PortMappingProtocol, RemovePortError, SearchError,
    SearchOptions,
};
use taonet_primitives::is_public;
use tokio::net::UdpSocket;

/// The lease of a port mapping: unless the process renews the mapping, it expires after this time.
const LEASE_DURATION: Duration = Duration::from_hours(1);
/// The description of the port mapping, as shown by the router.
const DESCRIPTION: &str = "taonet";

/// Why a port mapping could not be opened or closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpnpError {
    /// No router responded.
    #[error(
        "no router responded to UPnP discovery; hint: enable UPnP in the router, or forward the port manually"
    )]
    Search(#[from] SearchError),
    /// This machine's local address is unknown.
    #[error("cannot determine this machine's address on the local network")]
    LocalAddress(#[source] std::io::Error),
    /// The service listens on loopback, where the router cannot reach it.
    #[error(
        "the router cannot reach a service that listens on {0}; hint: listen on 0.0.0.0 or on an address of the \
         local network"
    )]
    Loopback(IpAddr),
    /// The router did not return its external address.
    #[error("the router does not report its external address")]
    ExternalAddress(#[from] GetExternalIpError),
    /// The router's external address is not public, so the router is behind another one.
    #[error(
        "the router's external address {0} is not public: the router is behind another one; hint: forward the \
         port there too"
    )]
    NotPublic(IpAddr),
    /// The router refused the mapping.
    #[error("the router refused to map port {port}")]
    Add {
        /// The external port.
        port: u16,
        /// The router's error.
        source: AddPortError,
    },
    /// The router refused to remove the mapping.
    #[error(
        "the router refused to remove the mapping of port {port}: {}",
        mapping_lifetime(*lease)
    )]
    Remove {
        /// The external port.
        port: u16,
        /// The lease of the mapping; `None` if it never expires.
        lease: Option<Duration>,
        /// The router's error.
        source: RemovePortError,
    },
}

fn mapping_lifetime(lease: Option<Duration>) -> String {
    lease.map_or_else(
        || "the port stays open until it is closed in the router".to_owned(),
        |lease| format!("the port stays open for at most {} min", lease.as_secs() / 60),
    )
}

/// The router between the local network and the internet, discovered by UPnP.
#[derive(Debug)]
pub struct HomeRouter {
    gateway: Gateway<Tokio>,
}

impl HomeRouter {
    /// Discovers the router.
    ///
    /// # Errors
    /// [`UpnpError::Search`] if no router responds within ten seconds.
    pub async fn find() -> Result<Self, UpnpError> {
        Self::search(SearchOptions::default()).await
    }

    async fn search(options: SearchOptions) -> Result<Self, UpnpError> {
        Ok(Self { gateway: search_gateway(options).await? })
    }

    /// Returns the router's external address.
    ///
    /// # Errors
    /// [`UpnpError::ExternalAddress`] if the router reports no address, [`UpnpError::NotPublic`] if
    /// the address is not public.
    pub async fn external_ip(&self) -> Result<IpAddr, UpnpError> {
        let ip = self.gateway.get_external_ip().await?;
        if is_public(ip) { Ok(ip) } else { Err(UpnpError::NotPublic(ip)) }
    }

    /// Maps `external_port` of the router to a service that listens on `local` on this machine.
    ///
    /// # Errors
    /// [`UpnpError::Loopback`] if the service listens on loopback, [`UpnpError::LocalAddress`] if
    /// this machine's address is unknown, [`UpnpError::Add`] if the router refuses.
    pub async fn map(
        self,
        local: SocketAddr,
        external_port: u16,
    ) -> Result<PortMapping, UpnpError> {
        let listen_ip = local.ip().to_canonical();
        let ip = match listen_ip {
            ip if ip.is_loopback() => return Err(UpnpError::Loopback(ip)),
            ip if ip.is_unspecified() => {
                local_address(self.gateway.addr).await.map_err(UpnpError::LocalAddress)?
            }
            ip => ip,
        };
        let local = SocketAddr::new(ip, local.port());
        let mut mapping = PortMapping {
            gateway: self.gateway,
            local,
            external_port,
            lease: Some(LEASE_DURATION),
        };
        mapping.renew().await?;
        Ok(mapping)
    }
}

/// An open TCP port of the router, forwarded to this machine.
///
/// The mapping expires after [`Self::lease`]: call [`Self::renew`] every
/// [`Self::RENEWAL_INTERVAL`], and [`Self::close`] at shutdown.
#[derive(Debug)]
pub struct PortMapping {
    gateway: Gateway<Tokio>,
    local: SocketAddr,
    external_port: u16,
    lease: Option<Duration>,
}

impl PortMapping {
    /// The interval at which to renew a mapping.
    pub const RENEWAL_INTERVAL: Duration = Duration::from_mins(30);

    /// Returns the lease of the mapping; `None` if the router supports only permanent mappings: a
    /// killed process then leaves the port open.
    pub const fn lease(&self) -> Option<Duration> {
        self.lease
    }

    /// Renews the lease.
    ///
    /// # Errors
    /// [`UpnpError::Add`] if the router refuses.
    pub async fn renew(&mut self) -> Result<(), UpnpError> {
        let port = self.external_port;
        let added = match self.add(self.lease).await {
            Err(AddPortError::OnlyPermanentLeasesSupported) if self.lease.is_some() => {
                let added = self.add(None).await;
                if added.is_ok() {
                    self.lease = None;
                }
                added
            }
            other => other,
        };
        added.map_err(|source| UpnpError::Add { port, source })
    }

    /// Adds the mapping with this lease; `None` is a permanent one.
    async fn add(&self, lease: Option<Duration>) -> Result<(), AddPortError> {
        let (port, local) = (self.external_port, self.local);
        let seconds = lease.map_or(0, |lease| u32::try_from(lease.as_secs()).unwrap_or(u32::MAX));
        self.gateway.add_port(PortMappingProtocol::TCP, port, local, seconds, DESCRIPTION).await
    }

    /// Removes the mapping.
    ///
    /// # Errors
    /// [`UpnpError::Remove`] if the router refuses.
    pub async fn close(self) -> Result<(), UpnpError> {
        let (port, lease) = (self.external_port, self.lease);
        let result = self.gateway.remove_port(PortMappingProtocol::TCP, port).await;
        result.map_err(|source| UpnpError::Remove { port, lease, source })
    }
}

/// Returns the local address used for packets to the router. No packet is sent.
async fn local_address(router: SocketAddr) -> std::io::Result<IpAddr> {
    let unspecified: SocketAddr =
        if router.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(unspecified).await?;
    socket.connect(router).await?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests;
