use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::runtime::Runtime;
use crate::subtensor::Call;
use crate::testing::{BABELBIT, account, at_first_block, jump_to, key, last_event, outcome, send};

fn axon(ip: u128, port: u16, ip_type: u8) -> Call<Runtime> {
    let (protocol, placeholder1, placeholder2) = (4, 5, 6);
    Call::serve_axon {
        netuid: BABELBIT,
        version: 10,
        ip,
        port,
        ip_type,
        protocol,
        placeholder1,
        placeholder2,
    }
}

fn prometheus(ip: u128, port: u16, ip_type: u8) -> Call<Runtime> {
    Call::serve_prometheus { netuid: BABELBIT, version: 10, ip, port, ip_type }
}

fn v4(a: u8, b: u8, c: u8, d: u8) -> u128 {
    u128::from(u32::from(Ipv4Addr::new(a, b, c, d)))
}

fn v6(ip: Ipv6Addr) -> u128 {
    u128::from(ip)
}

#[test]
fn announced_endpoint_is_stored() {
    at_first_block(|| {
        jump_to(9);
        let hotkey = account("Alice_hk");
        let ip = v4(203, 0, 113, 9);
        assert_eq!(outcome(send(&hotkey, axon(ip, 8_091, 4))), "ok");
        assert!(matches!(last_event(), Event::AxonServed(BABELBIT, who) if who == hotkey));
        let (block, version, port, ip_type) = (9, 10, 8_091, 4);
        let expected = AxonInfo {
            block,
            version,
            ip,
            port,
            ip_type,
            protocol: 4,
            placeholder1: 5,
            placeholder2: 6,
        };
        assert_eq!(Axons::<Runtime>::get(BABELBIT, &hotkey), Some(expected));
        assert_eq!(outcome(send(&hotkey, prometheus(ip, 8_091, 4))), "ok");
        assert!(matches!(last_event(), Event::PrometheusServed(BABELBIT, who) if who == hotkey));
        let expected = PrometheusInfo { block, version, ip, port, ip_type };
        assert_eq!(Prometheus::<Runtime>::get(BABELBIT, &hotkey), Some(expected));
    });
}

#[test]
fn invalid_endpoints_are_refused() {
    // Address, port, type, result for an axon, result for metrics.
    let cases = [
        (v4(8, 8, 8, 8), 1, 4, "ok", "ok"),
        (v4(10, 0, 0, 1), u16::MAX, 4, "ok", "ok"),
        (v4(127, 0, 0, 2), 1, 4, "ok", "ok"),
        (v4(255, 255, 255, 254), 1, 4, "ok", "ok"),
        (v6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 1, 6, "ok", "ok"),
        (v4(127, 0, 0, 1), 1, 6, "ok", "ok"),
        (u128::from(u32::MAX), 1, 6, "ok", "ok"),
        (0, 1, 4, "ok", "InvalidIpAddress"),
        (0, 1, 6, "ok", "InvalidIpAddress"),
        (v4(127, 0, 0, 1), 1, 4, "InvalidIpAddress", "InvalidIpAddress"),
        (v4(255, 255, 255, 255), 1, 4, "InvalidIpAddress", "InvalidIpAddress"),
        (u128::from(u32::MAX) + 1, 1, 4, "InvalidIpAddress", "InvalidIpAddress"),
        (v6(Ipv6Addr::LOCALHOST), 1, 6, "InvalidIpAddress", "InvalidIpAddress"),
        (u128::MAX, 1, 6, "InvalidIpAddress", "InvalidIpAddress"),
        (v4(8, 8, 8, 8), 1, 0, "InvalidIpType", "InvalidIpType"),
        (v4(8, 8, 8, 8), 1, 5, "InvalidIpType", "InvalidIpType"),
        (v4(8, 8, 8, 8), 0, 4, "InvalidPort", "InvalidPort"),
        (0, 0, 4, "InvalidPort", "InvalidIpAddress"),
        // The type is checked before the address, the address before the port.
        (v4(127, 0, 0, 1), 0, 7, "InvalidIpType", "InvalidIpType"),
        (v4(127, 0, 0, 1), 0, 4, "InvalidIpAddress", "InvalidIpAddress"),
    ];
    for (ip, port, ip_type, for_axon, for_prometheus) in cases {
        let hotkey = account("Alice_hk");
        let results = at_first_block(|| {
            (
                outcome(send(&hotkey, axon(ip, port, ip_type))),
                send(&hotkey, prometheus(ip, port, ip_type)),
            )
        });
        assert_eq!(results.0, for_axon, "axon {ip} {port} {ip_type}");
        assert_eq!(outcome(results.1), for_prometheus, "metrics {ip} {port} {ip_type}");
    }
}

#[test]
fn endpoint_announcements_require_registration_and_are_rate_limited() {
    at_first_block(|| {
        let hotkey = account("Alice_hk");
        let ip = v4(8, 8, 8, 8);
        for call in [axon, prometheus] {
            assert_eq!(outcome(send(&key(1), call(ip, 0, 4))), "HotKeyNotRegisteredInNetwork");
            jump_to(1);
            // The first announcement is not limited, regardless of the block.
            assert_eq!(outcome(send(&hotkey, call(ip, 1, 4))), "ok");
            jump_to(50);
            assert_eq!(outcome(send(&hotkey, call(ip, 1, 4))), "ServingRateLimitExceeded");
            assert_eq!(
                outcome(send(&hotkey, call(ip, 0, 4))),
                "ServingRateLimitExceeded",
                "the port is checked last"
            );
            jump_to(51);
            assert_eq!(outcome(send(&hotkey, call(ip, 1, 4))), "ok");
        }
        ServingRateLimit::<Runtime>::insert(BABELBIT, 0);
        assert_eq!(outcome(send(&hotkey, axon(ip, 1, 4))), "ok");
        // The registration is checked first for an axon, and after the address for metrics.
        assert_eq!(outcome(send(&key(1), axon(ip, 1, 9))), "HotKeyNotRegisteredInNetwork");
        assert_eq!(outcome(send(&key(1), prometheus(ip, 1, 9))), "InvalidIpType");
        // Alice's hotkey is not a neuron of subnet 1.
        let in_other_subnet = |netuid| Call::<Runtime>::serve_prometheus {
            netuid,
            version: 1,
            ip,
            port: 1,
            ip_type: 4,
        };
        assert_eq!(
            outcome(send(&hotkey, in_other_subnet(NetUid(1)))),
            "HotKeyNotRegisteredInNetwork"
        );
        assert_eq!(outcome(send(&hotkey, in_other_subnet(NetUid(77)))), "SubnetNotExists");
    });
}

#[test]
fn certificate_key_has_at_most_64_bytes() {
    let tls = |certificate: Vec<u8>| Call::<Runtime>::serve_axon_tls {
        netuid: BABELBIT,
        version: 1,
        ip: v4(8, 8, 8, 8),
        port: 1,
        ip_type: 4,
        protocol: 4,
        placeholder1: 0,
        placeholder2: 0,
        certificate,
    };
    let hotkey = account("Alice_hk");
    for (bytes, key_length) in [(0, None), (1, Some(0)), (33, Some(32)), (65, Some(64)), (66, None)]
    {
        at_first_block(|| {
            assert_eq!(outcome(send(&hotkey, tls(vec![7; bytes]))), "ok");
            assert!(Axons::<Runtime>::contains_key(BABELBIT, &hotkey), "{bytes}");
            let stored = NeuronCertificates::<Runtime>::get(BABELBIT, &hotkey);
            assert_eq!(
                stored.as_ref().map(|certificate| certificate.public_key.len()),
                key_length,
                "{bytes}"
            );
            assert!(stored.is_none_or(|certificate| certificate.algorithm == 7));
            assert_eq!(outcome(send(&hotkey, tls(vec![7; 33]))), "ServingRateLimitExceeded");
        });
    }
}
