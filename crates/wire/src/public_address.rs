use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is public: not on this machine or its network, and not reserved. Addresses stated by untrusted
/// peers must be public, so that no request reaches into the sender's own network.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let reserved = match ip.octets() {
        [0 | 240..=255, ..] // "this network"; reserved and broadcast
        | [100, 64..=127, ..] // carrier-grade NAT
        | [192, 0, 0, _] // protocol assignments
        | [198, 18 | 19, ..] // benchmarks
        => true,
        _ => false,
    };
    !(reserved
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation())
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    // IPv6 addresses that embed an IPv4 address: mapped, 6to4 and NAT64.
    let embedded = match ip.segments() {
        [0, 0, 0, 0, 0, 0xffff, a, b] | [0x2002, a, b, ..] | [0x64, 0xff9b, 0, 0, 0, 0, a, b] => Some((a, b)),
        _ => None,
    };
    if let Some((a, b)) = embedded {
        return is_public_v4(Ipv4Addr::from_bits((u32::from(a) << 16) | u32::from(b)));
    }
    // Only 2000::/3 is global unicast; of it, 2001:db8::/32 is for documentation and 2001::/32 for Teredo tunnels.
    let [first, second, ..] = ip.segments();
    first & 0xe000 == 0x2000 && !(first == 0x2001 && matches!(second, 0 | 0xdb8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_and_reserved_addresses_are_not_public() {
        for text in
            ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "203.0.113.7", "::1", "fc00::1", "2002:7f00:1::"]
        {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["8.8.8.8", "2606:4700::1111"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
