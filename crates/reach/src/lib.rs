//! Reachability of this machine from the internet.
//!
//! - [`external_ip`] queries services on the internet for this machine's external address;
//! - [`ChainIp`] is an IP address as stored on the chain;
//! - [`HomeRouter`] is the router, discovered by UPnP; a [`PortMapping`] is one of its open ports.
//!
//! Uses no other crate of the workspace. Used by the command line, where a miner or an axon announces its address.

mod chain_ip;
mod external;
mod upnp;

pub use chain_ip::{ChainIp, ChainIpError};
pub use external::{ExternalIpError, SOURCES, SourceError, external_ip, is_public};
pub use upnp::{HomeRouter, PortMapping, UpnpError};
