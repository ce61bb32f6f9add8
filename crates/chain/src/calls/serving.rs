use std::net::{IpAddr, SocketAddr};

use subxt::ext::scale_value::Value;
use taonet_primitives::NetUid;

use super::{SUBTENSOR, number};
use crate::Call;

/// The conventional protocol number of axons.
const AXON_PROTOCOL: u8 = 4;

/// Builds a call that publishes the address of a neuron's axon. Sign it with the neuron's hotkey.
pub fn serve_axon(netuid: NetUid, version: u32, address: SocketAddr) -> Call {
    let mut args = endpoint_args(netuid, version, address);
    args.extend([
        ("protocol", number(AXON_PROTOCOL)),
        ("placeholder1", number(0_u8)),
        ("placeholder2", number(0_u8)),
    ]);
    Call::new(SUBTENSOR, "serve_axon", args)
}

/// Builds a call that publishes the address of a neuron's Prometheus endpoint. Sign it with the
/// neuron's hotkey.
pub fn serve_prometheus(netuid: NetUid, version: u32, address: SocketAddr) -> Call {
    Call::new(SUBTENSOR, "serve_prometheus", endpoint_args(netuid, version, address))
}

fn endpoint_args(netuid: NetUid, version: u32, address: SocketAddr) -> Vec<(&'static str, Value)> {
    // The chain refuses an IPv4-mapped address as IPv6.
    let (ip, ip_type) = match address.ip().to_canonical() {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)), 4_u8),
        IpAddr::V6(ip) => (u128::from(ip), 6),
    };
    vec![
        ("netuid", number(netuid.0)),
        ("version", number(version)),
        ("ip", number(ip)),
        ("port", number(address.port())),
        ("ip_type", number(ip_type)),
    ]
}
