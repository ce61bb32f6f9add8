use proptest::prelude::*;

use super::*;

/// The registries' rows of IPv4, with the column "globally reachable"; `None` is "N/A" or empty.
const REGISTRY_V4: [(&str, Option<bool>); 28] = [
    ("0.0.0.0/8", Some(false)),
    ("0.0.0.0/32", Some(false)),
    ("10.0.0.0/8", Some(false)),
    ("100.64.0.0/10", Some(false)),
    ("127.0.0.0/8", Some(false)),
    ("169.254.0.0/16", Some(false)),
    ("172.16.0.0/12", Some(false)),
    ("192.0.0.0/24", Some(false)),
    ("192.0.0.0/29", Some(false)),
    ("192.0.0.8/32", Some(false)),
    ("192.0.0.9/32", Some(true)),
    ("192.0.0.10/32", Some(true)),
    ("192.0.0.170/32", Some(false)),
    ("192.0.0.171/32", Some(false)),
    ("192.0.2.0/24", Some(false)),
    ("192.31.196.0/24", Some(true)),
    ("192.52.193.0/24", Some(true)),
    ("192.88.99.0/24", None),
    ("192.88.99.2/32", Some(false)),
    ("192.168.0.0/16", Some(false)),
    ("192.175.48.0/24", Some(true)),
    ("198.18.0.0/15", Some(false)),
    ("198.51.100.0/24", Some(false)),
    ("203.0.113.0/24", Some(false)),
    ("224.0.0.0/4", Some(false)),
    ("240.0.0.0/4", Some(false)),
    ("255.255.255.255/32", Some(false)),
    ("8.0.0.0/8", Some(true)),
];

/// The registries' rows of IPv6, with the column "globally reachable"; `None` is "N/A".
const REGISTRY_V6: [(&str, Option<bool>); 28] = [
    ("::/128", Some(false)),
    ("::1/128", Some(false)),
    ("::ffff:0:0/96", Some(false)),
    ("64:ff9b::/96", Some(true)),
    ("64:ff9b:1::/48", Some(false)),
    ("100::/64", Some(false)),
    ("100:0:0:1::/64", Some(false)),
    ("2001::/23", Some(false)),
    ("2001::/32", None),
    ("2001:1::1/128", Some(true)),
    ("2001:1::2/128", Some(true)),
    ("2001:1::3/128", Some(true)),
    ("2001:2::/48", Some(false)),
    ("2001:3::/32", Some(true)),
    ("2001:4:112::/48", Some(true)),
    ("2001:10::/28", None),
    ("2001:20::/28", Some(true)),
    ("2001:30::/28", Some(true)),
    ("2001:db8::/32", Some(false)),
    ("2002::/16", None),
    ("2620:4f:8000::/48", Some(true)),
    ("3fff::/20", Some(false)),
    ("5f00::/16", Some(false)),
    ("fc00::/7", Some(false)),
    ("fe80::/10", Some(false)),
    ("fec0::/10", Some(false)),
    ("ff00::/8", Some(false)),
    ("2600::/12", Some(true)),
];

/// First and last address of a range.
fn bounds(range: &str) -> (IpAddr, IpAddr) {
    let (start, prefix_length) = range.split_once('/').unwrap();
    let prefix_length: u32 = prefix_length.parse().unwrap();
    match start.parse().unwrap() {
        IpAddr::V4(start) => {
            let host_mask = u32::MAX.checked_shr(prefix_length).unwrap_or(0);
            assert_eq!(start.to_bits() & host_mask, 0, "{range}");
            (start.into(), Ipv4Addr::from_bits(start.to_bits() | host_mask).into())
        }
        IpAddr::V6(start) => {
            let host_mask = u128::MAX.checked_shr(prefix_length).unwrap_or(0);
            assert_eq!(start.to_bits() & host_mask, 0, "{range}");
            (start.into(), Ipv6Addr::from_bits(start.to_bits() | host_mask).into())
        }
    }
}

fn is_in(address: IpAddr, range: &str) -> bool {
    let (first, last) = bounds(range);
    (first..=last).contains(&address)
}

/// Whether an address is globally reachable according to the registries: the column of the longest
/// prefix that contains it.
fn reachable_by_registry(address: IpAddr) -> bool {
    let rows = REGISTRY_V4.iter().chain(&REGISTRY_V6).filter(|(range, _)| is_in(address, range));
    let prefix_length = |range: &str| range.split_once('/').unwrap().1.parse::<u32>().unwrap();
    match rows.max_by_key(|(range, _)| prefix_length(range)) {
        Some((_, reachable)) => *reachable == Some(true),
        // The registry of the address space assigns nothing outside 2000::/3.
        None => address.is_ipv4() || is_in(address, "2000::/3"),
    }
}

/// Ranges that `is_public` deliberately does not treat as the registry's column says.
const DIFFERENCES: [&str; 5] =
    ["192.0.0.0/24", "2001::/23", "2002::/16", "64:ff9b::/96", "::ffff:0:0/96"];

fn assert_matches_registry(address: IpAddr) {
    if !DIFFERENCES.iter().any(|range| is_in(address, range)) {
        assert_eq!(is_public(address), reachable_by_registry(address), "{address}");
    }
}

#[test]
fn boundaries_of_registry_ranges_match_the_registry() {
    for (range, _) in REGISTRY_V4.iter().chain(&REGISTRY_V6) {
        let (first, last) = bounds(range);
        assert_matches_registry(first);
        assert_matches_registry(last);
        // The neighbours of the range.
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                assert_matches_registry(
                    Ipv4Addr::from_bits(first.to_bits().wrapping_sub(1)).into(),
                );
                assert_matches_registry(Ipv4Addr::from_bits(last.to_bits().wrapping_add(1)).into());
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                assert_matches_registry(
                    Ipv6Addr::from_bits(first.to_bits().wrapping_sub(1)).into(),
                );
                assert_matches_registry(Ipv6Addr::from_bits(last.to_bits().wrapping_add(1)).into());
            }
            _ => unreachable!("one family"),
        }
    }
}

#[test]
fn forms_of_loopback_and_private_addresses_are_not_public() {
    for text in [
        "2002:7f00:1::",            // 6to4 of 127.0.0.1
        "2002:a9fe:a9fe::1",        // 6to4 of 169.254.169.254
        "::ffff:127.0.0.1",         // mapped
        "::ffff:169.254.169.254",   // mapped
        "64:ff9b::10.0.0.1",        // NAT64
        "64:ff9b:1::8.8.8.8",       // NAT64 of a local network
        "::127.0.0.1",              // compatible
        "::8.8.8.8",                // compatible
        "::ffff:0:8.8.8.8",         // translated, RFC 2765
        "2001:0:808:808::",         // Teredo
        "2001:1::1",                // the own network's router, by anycast
        "192.0.0.9",                // the own network's router, by anycast
        "2001:0:7f00:1::f5ff:fffe", // Teredo, from 127.0.0.1 to 10.0.0.1
    ] {
        assert!(!is_public(text.parse().unwrap()), "{text}");
    }
}

#[test]
fn addresses_outside_of_reserved_ranges_are_public() {
    for text in [
        "1.1.1.1",
        "100.128.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "223.255.255.255",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a00:1450::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ] {
        assert!(is_public(text.parse().unwrap()), "{text}");
    }
}

/// IPv4 addresses, half of them close to a boundary of a registry's range.
fn v4() -> impl Strategy<Value = Ipv4Addr> {
    let near_range_bound = (prop::sample::select(REGISTRY_V4.to_vec()), -4_i32..4, any::<bool>())
        .prop_map(|((range, _), distance, from_start)| match bounds(range) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let bound = if from_start { first } else { last };
                Ipv4Addr::from_bits(bound.to_bits().wrapping_add_signed(distance))
            }
            _ => unreachable!("an IPv4 range"),
        });
    prop_oneof![any::<Ipv4Addr>(), near_range_bound]
}

/// IPv6 addresses, most of them with the prefix of a registry's range.
fn v6() -> impl Strategy<Value = Ipv6Addr> {
    let in_range = (prop::sample::select(REGISTRY_V6.to_vec()), any::<u128>(), 0_u32..128)
        .prop_map(|((range, _), bits, spread)| match bounds(range) {
            (IpAddr::V6(first), _) => Ipv6Addr::from_bits(first.to_bits() ^ (bits >> spread)),
            _ => unreachable!("an IPv6 range"),
        });
    prop_oneof![1 => any::<Ipv6Addr>(), 1 => any::<u128>().prop_map(|bits| {
        Ipv6Addr::from_bits((bits >> 3) | (1 << 125))
    }), 3 => in_range]
}

proptest! {
    #[test]
    fn public_addresses_match_registry(v4 in v4(), v6 in v6()) {
        assert_matches_registry(v4.into());
        assert_matches_registry(v6.into());
    }

    #[test]
    fn embedded_addresses_are_checked(v4 in v4(), other_bits: u128) {
        let bits = u128::from(v4.to_bits());
        let nat64 = (0x64_ff9b << 96) | bits;
        let six_to_four = (0x2002 << 112) | (bits << 80) | (other_bits >> 48);
        for form in [v4.to_ipv6_mapped().to_bits(), nat64, six_to_four] {
            let form = Ipv6Addr::from_bits(form);
            prop_assert_eq!(is_public(form.into()), is_public(v4.into()), "{} of {}", form, v4);
        }
        // Deprecated forms are never public: compatible, translated and Teredo.
        let teredo = (0x2001 << 112) | (bits << 64) | (other_bits >> 64);
        for form in [bits, (0xffff << 48) | bits, teredo] {
            let form = Ipv6Addr::from_bits(form);
            prop_assert!(!is_public(form.into()), "{}", form);
        }
    }

    #[test]
    fn addresses_with_a_local_meaning_are_not_public(v4 in v4(), v6 in v6()) {
        let local_v4 = v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_multicast()
            || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified();
        prop_assert!(!(local_v4 && is_public(v4.into())), "{}", v4);
        let local_v6 = v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.is_unique_local()
            || v6.is_unicast_link_local();
        prop_assert!(!(local_v6 && is_public(v6.into())), "{}", v6);
    }
}
