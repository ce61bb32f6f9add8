use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 ranges that are not public: those that the IANA IPv4 Special-Purpose Address Registry
/// (updated 2025-10-09, <https://www.iana.org/assignments/iana-ipv4-special-registry>) does not
/// call globally reachable, and multicast (<https://www.iana.org/assignments/ipv4-address-space>).
///
/// The registry calls two addresses of 192.0.0.0/24 globally reachable. Both are anycast addresses
/// of services in the sender's own network, such as its router, so they are not public here.
const NOT_PUBLIC_V4: [(Ipv4Addr, u32); 14] = [
    (Ipv4Addr::UNSPECIFIED, 8),           // "this network", RFC 791
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private, RFC 1918
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // shared: carrier-grade NAT, RFC 6598
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback, RFC 1122
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local, RFC 3927; also metadata services of clouds
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private, RFC 1918
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // IETF protocol assignments, RFC 6890
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation, RFC 5737
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // 6to4 relays, deprecated by RFC 7526
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private, RFC 1918
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks, RFC 2544
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation, RFC 5737
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation, RFC 5737
    (Ipv4Addr::new(224, 0, 0, 0), 3), // multicast, reserved and broadcast, RFC 5771, 1112 and 919
];

/// The IPv6 range of global unicast addresses
/// (<https://www.iana.org/assignments/ipv6-address-space>). The others are unassigned, or local to
/// a machine, link or site, multicast, or embed IPv4 addresses.
const GLOBAL_UNICAST_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Ranges of [`GLOBAL_UNICAST_V6`] that are not public, from the IANA IPv6 Special-Purpose Address
/// Registry (updated 2025-10-09, <https://www.iana.org/assignments/iana-ipv6-special-registry>).
///
/// The registry calls parts of 2001::/23 globally reachable: anycast addresses of services in the
/// sender's own network, and identifiers that are not locations. They are not public here, nor are
/// Teredo tunnels (2001::/32), whose last relays were shut down.
const NOT_PUBLIC_V6: [(Ipv6Addr, u32); 3] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // IETF protocol assignments, RFC 2928; Teredo, RFC 4380
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation, RFC 3849
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation, RFC 9637
];

/// Whether an address is public: reachable from the internet, and not on this machine or its
/// network.
///
/// Addresses stated by untrusted peers must be public, so that no request reaches into the sender's
/// own network. Addresses that a neuron announces should be public, or others cannot reach it.
///
/// An IPv6 address that embeds an IPv4 address (IPv4-mapped, 6to4 and NAT64) is public if that
/// one is. The deprecated IPv4-compatible addresses (`::8.8.8.8`) and Teredo's are never public.
///
/// ```
/// use taonet_primitives::is_public;
///
/// assert!(is_public("8.8.8.8".parse()?));
/// assert!(!is_public("192.168.0.7".parse()?));
/// // 6to4 of 127.0.0.1.
/// assert!(!is_public("2002:7f00:1::".parse()?));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(embedded) => is_public_v4(embedded),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4.iter().any(|range| is_in_v4(address, *range))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    is_in_v6(address, GLOBAL_UNICAST_V6)
        && !NOT_PUBLIC_V6.iter().any(|range| is_in_v6(address, *range))
}

fn is_in_v4(address: Ipv4Addr, (start, prefix_length): (Ipv4Addr, u32)) -> bool {
    (address.to_bits() ^ start.to_bits()).leading_zeros() >= prefix_length
}

fn is_in_v6(address: Ipv6Addr, (start, prefix_length): (Ipv6Addr, u32)) -> bool {
    (address.to_bits() ^ start.to_bits()).leading_zeros() >= prefix_length
}

/// Returns the IPv4 address to which packets for an IPv6 address are delivered, for the forms that
/// embed one: mapped (::ffff:0:0/96, RFC 4291), NAT64 (64:ff9b::/96, RFC 6052) and 6to4 (2002::/16,
/// RFC 3056).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let ([0, 0, 0, 0, 0, 0xffff, high, low]
    | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
    | [0x2002, high, low, ..]) = address.segments()
    else {
        return None;
    };
    Some(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low)))
}

#[cfg(test)]
mod tests;
