//! Reachability of this machine from the internet.
//!
//! A neuron publishes an IP address and a port on the chain, to which other neurons connect. Behind
//! a home router, the machine does not know its external address, which is the router's, and
//! connections reach it only through an open port of the router. This crate determines the address
//! and opens the port.
//!
//! - [`external_ip`] queries services on the internet ([`SOURCES`], or your own) one after another,
//!   and returns the first public address ([`is_public`]). Services are queried one at a time, to
//!   disclose this machine's address to as few of them as possible.
//! - [`HomeRouter`] is the router, discovered by UPnP; [`HomeRouter::map`] opens one of its ports.
//!   A [`PortMapping`] expires with its lease, unless the router supports only permanent mappings:
//!   renew the mapping every [`PortMapping::RENEWAL_INTERVAL`], and close it at shutdown.
//! - [`ChainIp`] is an address as the chain stores it, an integer and a version. The address 0.0.0.0
//!   means "not serving".
//!
//! ```
//! use std::net::IpAddr;
//!
//! use taonet_reach::{ChainIp, is_public};
//!
//! let address = IpAddr::from([198, 18, 0, 1]);
//! let stored = ChainIp::from(address);
//! assert_eq!((stored.ip, stored.ip_type), (0xc612_0001, 4));
//! assert_eq!(stored.to_ip(), Ok(address));
//! assert!(!is_public(IpAddr::from([192, 168, 0, 7])));
//! ```
//!
//! The crate does not test whether the port is reachable (`tao axon ping` does, from another
//! machine), and does not publish the address: `tao serve-axon` submits the call.
//!
//! Uses `taonet-primitives` ([`is_public`]). Used by commands: `tao axon serve` and `tao
//! serve-axon` determine the address with it, and `tao axon serve` opens the port.

mod chain_ip;
mod external;
mod upnp;

pub use chain_ip::{ChainIp, ChainIpError};
pub use external::{ExternalIpError, SOURCES, SourceError, external_ip};
pub use taonet_primitives::is_public;
pub use upnp::{HomeRouter, PortMapping, UpnpError};
