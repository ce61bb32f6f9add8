//! Tests of building calls: their bytes, and the arguments that are read back.

use taonet_primitives::{Alpha, Coldkey, Hotkey, NetUid};

use super::*;

#[test]
fn encoded_calls_equal_recorded_bytes() {
    let (Some(runtime), Some(golden)) = (runtime(), golden()) else { return };
    let transfer = |to: &str| json!({ "Balances": { "transfer_keep_alive": { "dest": to, "value": if to == bob().to_string() { 1 } else { 2 } } } });
    let charlie = "5FLSigC9HGRKVhB9FiEo4Y3koPsNmBmLJbpXg2mp1hXcS59Y";
    for case in items(&golden, "calls", 10) {
        let (pallet, name) = (text(&case["module"]), text(&case["function"]));
        let args = match (pallet, name) {
            ("Sudo", "sudo") => {
                json!({ "call": { "System": { "remark": { "remark": "0xdeadbeef" } } } })
            }
            ("Utility", "batch") => {
                json!({ "calls": [transfer(&bob().to_string()), transfer(charlie)] })
            }
            ("Proxy", "proxy") => json!({
                "real": case["params"]["real"],
                "force_proxy_type": "Transfer",
                "call": transfer(&bob().to_string()),
            }),
            _ => case["params"].clone(),
        };
        let call = runtime.call(pallet, name, &args).unwrap();
        assert_eq!(runtime.call_data(&call).unwrap(), bytes(&case["data_hex"]), "{pallet}.{name}");
    }
}

#[test]
fn encoded_typed_calls_equal_recorded_bytes() {
    let (Some(runtime), Some(golden)) = (runtime(), golden()) else { return };
    let hotkey: Hotkey = "5G6Fyo6U2fDhJXDJGp4Dr6XViVCdPcryiyLBDsusguSRcYvJ".parse().unwrap();
    let charlie = "5FLSigC9HGRKVhB9FiEo4Y3koPsNmBmLJbpXg2mp1hXcS59Y".parse().unwrap();
    let transfer = |to, rao| calls::transfer_keep_alive(to, Rao::new(rao));
    let remark = runtime.call("System", "remark", &json!({ "remark": "0xdeadbeef" })).unwrap();
    let typed = [
        transfer(bob(), 12345),
        calls::transfer_allow_death(bob(), Rao::new(1)),
        calls::add_stake(hotkey, NetUid(1), Rao::new(1_000_000_000)),
        calls::remove_stake(hotkey, NetUid(1), Alpha::new(5)),
        calls::burned_register(NetUid(1), hotkey),
        calls::sudo(remark),
        calls::batch([transfer(bob(), 1), transfer(charlie, 2)]),
    ];
    let recorded: Vec<Vec<u8>> =
        items(&golden, "calls", 10).iter().map(|case| bytes(&case["data_hex"])).collect();
    for call in typed {
        assert!(recorded.contains(&runtime.call_data(&call).unwrap()), "{call:?}");
    }
}

/// The calls of holders exist on the main network, with these arguments.
#[allow(clippy::too_many_lines, reason = "a table")]
#[test]
fn holder_calls_decode_to_their_arguments() {
    let Some(runtime) = runtime() else { return };
    let (bob, hotkey, netuid) = (bob(), Hotkey::from_bytes([7; 32]), NetUid(3));
    let coldkey = Coldkey::from_bytes(*bob.as_bytes());
    let hash = format!("0x{}", "05".repeat(32));
    let half = crate::Relative { hotkey, proportion: crate::Proportion::new(1 << 63) };
    let identity = crate::Identity { name: "Bob".to_owned(), ..crate::Identity::default() };
    let terms = crate::CrowdloanTerms {
        deposit: Rao::new(10),
        min_contribution: Rao::new(1),
        cap: Rao::new(100),
        end: BlockNumber::new(9),
    };
    let transfer = || calls::transfer_keep_alive(bob, Rao::new(1));
    let transfer_json =
        json!({ "Balances": { "transfer_keep_alive": { "dest": bob, "value": 1 } } });
    let staking = "staking".parse().unwrap();
    let limit = calls::PriceLimit { price: Rao::new(8), allow_partial: true };
    for (call, name, args) in [
        (
            calls::remove_stake_full_limit(hotkey, netuid, Some(limit.price)),
            "remove_stake_full_limit",
            json!({ "hotkey": hotkey, "netuid": 3, "limit_price": 8 }),
        ),
        (
            calls::remove_stake_full_limit(hotkey, netuid, None),
            "remove_stake_full_limit",
            json!({ "hotkey": hotkey, "netuid": 3, "limit_price": null }),
        ),
        (
            calls::move_stake_limit((hotkey, netuid), (hotkey, NetUid(4)), Alpha::new(9), limit),
            "move_stake_limit",
            json!({
                "origin_hotkey": hotkey,
                "destination_hotkey": hotkey,
                "origin_netuid": 3,
                "destination_netuid": 4,
                "alpha_amount": 9,
                "limit_price": 8,
                "allow_partial": true,
            }),
        ),
        (calls::claim_root(), "claim_root", json!({ "subnets": [] })),
        (
            calls::claim_root_with_hotkey(hotkey),
            "claim_root_with_hotkey",
            json!({ "hotkey": hotkey }),
        ),
        (calls::unstake_all_alpha(hotkey), "unstake_all_alpha", json!({ "hotkey": hotkey })),
        (
            calls::set_auto_stake_hotkey(netuid, hotkey),
            "set_coldkey_auto_stake_hotkey",
            json!({ "netuid": 3, "hotkey": hotkey }),
        ),
        (
            calls::set_children(hotkey, netuid, &[half]),
            "set_children",
            json!({ "hotkey": hotkey, "netuid": 3, "children": [[1_u64 << 63, hotkey]] }),
        ),
        (
            calls::set_childkey_take(hotkey, netuid, crate::Share::new(9)),
            "set_childkey_take",
            json!({ "hotkey": hotkey, "netuid": 3, "take": 9 }),
        ),
        (
            calls::swap_hotkey(hotkey, hotkey, Some(netuid), true),
            "swap_hotkey_v2",
            json!({ "hotkey": hotkey, "new_hotkey": hotkey, "netuid": 3, "keep_stake": true }),
        ),
        (
            calls::announce_coldkey_swap(coldkey),
            "announce_coldkey_swap",
            json!({ "new_coldkey_hash": format!("0x{}", hex::encode(crate::hash::blake2_256(bob.as_bytes()))) }),
        ),
        (
            calls::swap_coldkey_announced(coldkey),
            "swap_coldkey_announced",
            json!({ "new_coldkey": bob }),
        ),
        (calls::dispute_coldkey_swap(), "dispute_coldkey_swap", json!({})),
        (calls::clear_coldkey_swap_announcement(), "clear_coldkey_swap_announcement", json!({})),
        (calls::associate_hotkey(hotkey), "try_associate_hotkey", json!({ "hotkey": hotkey })),
        (
            calls::set_identity(&identity),
            "set_identity",
            json!({ "name": "Bob", "url": "", "github_repo": "", "image": "", "discord": "", "description": "",
                "additional": "" }),
        ),
        (
            calls::proxy(bob, transfer()),
            "proxy",
            json!({ "real": bob, "force_proxy_type": null, "call": transfer_json }),
        ),
        (
            calls::proxy_announced(bob, bob, transfer()),
            "proxy_announced",
            json!({ "delegate": bob, "real": bob, "force_proxy_type": null, "call": transfer_json }),
        ),
        (calls::announce_call(bob, [5; 32]), "announce", json!({ "real": bob, "call_hash": hash })),
        (
            calls::remove_announcement(bob, [5; 32]),
            "remove_announcement",
            json!({ "real": bob, "call_hash": hash }),
        ),
        (
            calls::reject_announcement(bob, [5; 32]),
            "reject_announcement",
            json!({ "delegate": bob, "call_hash": hash }),
        ),
        (
            calls::add_proxy(bob, staking, 5),
            "add_proxy",
            json!({ "delegate": bob, "proxy_type": "Staking", "delay": 5 }),
        ),
        (
            calls::remove_proxy(bob, staking, 5),
            "remove_proxy",
            json!({ "delegate": bob, "proxy_type": "Staking", "delay": 5 }),
        ),
        (calls::remove_proxies(), "remove_proxies", json!({})),
        (
            calls::create_pure(staking, 0, 2),
            "create_pure",
            json!({ "proxy_type": "Staking", "delay": 0, "index": 2 }),
        ),
        (
            calls::kill_pure(bob, staking, 2, (BlockNumber::new(8), 1)),
            "kill_pure",
            json!({ "spawner": bob, "proxy_type": "Staking", "index": 2, "height": 8, "ext_index": 1 }),
        ),
        (
            calls::create_crowdloan(terms, calls::CrowdloanPurpose::Account(bob)),
            "create",
            json!({ "deposit": 10, "min_contribution": 1, "cap": 100, "end": 9, "call": null, "target_address": bob }),
        ),
        (
            calls::create_crowdloan(terms, calls::CrowdloanPurpose::Call(transfer())),
            "create",
            json!({ "deposit": 10, "min_contribution": 1, "cap": 100, "end": 9, "call": transfer_json,
                "target_address": null }),
        ),
        (
            calls::contribute(4, Rao::new(7)),
            "contribute",
            json!({ "crowdloan_id": 4, "amount": 7 }),
        ),
        (calls::withdraw_contribution(4), "withdraw", json!({ "crowdloan_id": 4 })),
        (calls::finalize_crowdloan(4), "finalize", json!({ "crowdloan_id": 4 })),
        (calls::refund_crowdloan(4), "refund", json!({ "crowdloan_id": 4 })),
        (calls::dissolve_crowdloan(4), "dissolve", json!({ "crowdloan_id": 4 })),
        (
            calls::update_min_contribution(4, Rao::new(7)),
            "update_min_contribution",
            json!({ "crowdloan_id": 4, "new_min_contribution": 7 }),
        ),
        (
            calls::update_crowdloan_end(4, BlockNumber::new(7)),
            "update_end",
            json!({ "crowdloan_id": 4, "new_end": 7 }),
        ),
        (
            calls::update_crowdloan_cap(4, Rao::new(7)),
            "update_cap",
            json!({ "crowdloan_id": 4, "new_cap": 7 }),
        ),
        (
            calls::register_leased_network(30, Some(BlockNumber::new(9))),
            "register_leased_network",
            json!({ "emissions_share": 30, "end_block": 9 }),
        ),
        (
            calls::register_leased_network(100, None),
            "register_leased_network",
            json!({ "emissions_share": 100, "end_block": null }),
        ),
        (
            calls::terminate_lease(4, hotkey),
            "terminate_lease",
            json!({ "lease_id": 4, "hotkey": hotkey }),
        ),
        (
            calls::lock_stake(hotkey, netuid, Alpha::new(9)),
            "lock_stake",
            json!({ "hotkey": hotkey, "netuid": 3, "amount": 9 }),
        ),
        (
            calls::move_lock(hotkey, netuid),
            "move_lock",
            json!({ "destination_hotkey": hotkey, "netuid": 3 }),
        ),
        (
            calls::set_perpetual_lock(netuid, true),
            "set_perpetual_lock",
            json!({ "netuid": 3, "enabled": true }),
        ),
        (
            calls::add_stake_burn(hotkey, netuid, Rao::new(9), None),
            "add_stake_burn",
            json!({ "hotkey": hotkey, "netuid": 3, "amount": 9, "limit": null }),
        ),
    ] {
        let decoded = runtime.decoded(&call).unwrap();
        assert_eq!((&*decoded.name, &decoded.args), (name, &args), "{call:?}");
    }
    for name in crate::ProxyType::NAMES {
        let proxy_type = name.parse().unwrap();
        let decoded = runtime.decoded(&calls::add_proxy(bob, proxy_type, 0)).unwrap();
        assert_eq!(decoded.args["proxy_type"], name);
    }
}

/// The calls of subnet owners exist on the main network, with these arguments.
#[test]
fn owner_calls_decode_to_their_arguments() {
    let Some(runtime) = runtime() else { return };
    let netuid = NetUid(3);
    let identity = crate::SubnetIdentity {
        subnet_name: "Tide".to_owned(),
        ..crate::SubnetIdentity::default()
    };
    for (call, name, args) in [
        (
            calls::set_subnet_identity(netuid, &identity),
            "set_subnet_identity",
            json!({ "netuid": 3, "subnet_name": "Tide", "github_repo": "", "subnet_contact": "", "subnet_url": "",
                "discord": "", "description": "", "logo_url": "", "additional": "" }),
        ),
        (calls::trigger_epoch(netuid), "trigger_epoch", json!({ "netuid": 3 })),
    ] {
        let decoded = runtime.decoded(&call).unwrap();
        assert_eq!((&*decoded.name, &decoded.args), (name, &args), "{call:?}");
    }
    assert_eq!(runtime.decoded(&calls::update_symbol(netuid, "t")).unwrap().args["netuid"], 3);
}

#[test]
fn calls_are_listed_with_their_arguments() {
    let Some(runtime) = runtime() else { return };
    let calls = runtime.calls();
    let call = calls
        .iter()
        .find(|call| call.pallet == "SubtensorModule" && call.name == "add_stake")
        .unwrap();
    let names: Vec<&str> = call.arguments.iter().map(|argument| argument.name.as_str()).collect();
    assert_eq!(names, ["hotkey", "netuid", "amount_staked"]);
    assert_eq!(call.arguments[1].type_name, "NetUid");
    assert!(!call.summary.is_empty());
}

#[test]
fn missing_required_argument_is_reported() {
    let Some(runtime) = runtime() else { return };
    let error =
        runtime.call("Balances", "transfer_keep_alive", &json!({ "value": 1 })).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "call Balances.transfer_keep_alive: missing field dest");
    let swap = json!({ "hotkey": bob(), "new_hotkey": bob(), "keep_stake": false });
    runtime.call("SubtensorModule", "swap_hotkey_v2", &swap).unwrap();
}
