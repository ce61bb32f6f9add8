//! How others reach this machine.
//!
//! - [`external_ip`] asks services on the internet which address they see;
//! - [`ChainIp`] is an address in the form in which the chain keeps it;
//! - [`HomeRouter`] is the router, found by UPnP; a [`PortMapping`] is an open port of it.

mod chain_ip;
mod external;
mod upnp;

pub use chain_ip::{ChainIp, ChainIpError};
pub use external::{ExternalIpError, SOURCES, SourceError, external_ip, is_public};
pub use upnp::{HomeRouter, PortMapping, UpnpError};
