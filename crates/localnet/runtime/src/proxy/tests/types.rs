//! Tests of the calls that each proxy type allows.

use std::collections::BTreeSet;

use frame_support::traits::{GetCallMetadata, InstanceFilter};

use super::*;
use crate::types::{AlphaBalance, NetUid};

/// Returns calls, each with the proxy types, besides `Any`, that allow it.
fn cases() -> Vec<(RuntimeCall, &'static [ProxyType])> {
    use crate::admin_utils::Call as Admin;
    use crate::subtensor::Call as Subtensor;
    use ProxyType as Kind;
    let (hotkey, netuid) = (account("Bob"), NetUid(59));
    let stake = |alpha| Subtensor::transfer_stake {
        destination_coldkey: key(1),
        hotkey: account("Bob"),
        origin_netuid: netuid,
        destination_netuid: netuid,
        alpha_amount: AlphaBalance(alpha),
    };
    let broad: &[Kind] = &[Kind::NonCritical, Kind::NonTransfer, Kind::NonFungible];
    let sudo =
        |call: frame_system::Call<Runtime>| pallet_sudo::Call::<Runtime>::sudo_unchecked_weight {
            call: Box::new(call.into()),
            weight: frame_support::weights::Weight::zero(),
        };
    let set_code = || frame_system::Call::set_code { code: vec![1] };
    let remark = || frame_system::Call::<Runtime>::remark { remark: vec![1] };
    vec![
        (remark().into(), broad),
        (
            pay(&key(1), SMALL_TRANSFER_LIMIT - 1),
            &[Kind::NonCritical, Kind::Transfer, Kind::SmallTransfer],
        ),
        (pay(&key(1), SMALL_TRANSFER_LIMIT), &[Kind::NonCritical, Kind::Transfer]),
        (pay(&key(1), u64::MAX), &[Kind::NonCritical, Kind::Transfer]),
        (
            pallet_balances::Call::transfer_all { dest: id(&key(1)), keep_alive: false }.into(),
            &[Kind::NonCritical, Kind::Transfer],
        ),
        (pallet_balances::Call::burn { value: 1, keep_alive: true }.into(), &[Kind::NonCritical]),
        (
            stake(SMALL_TRANSFER_LIMIT - 1).into(),
            &[Kind::NonCritical, Kind::Transfer, Kind::SmallTransfer],
        ),
        (stake(SMALL_TRANSFER_LIMIT).into(), &[Kind::NonCritical, Kind::Transfer]),
        (
            Subtensor::add_stake { hotkey: hotkey.clone(), netuid, amount_staked: TaoBalance(1) }
                .into(),
            &[Kind::NonCritical, Kind::NonTransfer, Kind::Staking],
        ),
        (
            Subtensor::burned_register { netuid, hotkey: hotkey.clone() }.into(),
            &[Kind::NonTransfer, Kind::Registration],
        ),
        (Subtensor::root_register { hotkey: hotkey.clone() }.into(), &[Kind::NonTransfer]),
        (Subtensor::register_network { hotkey }.into(), &[Kind::NonCritical, Kind::NonTransfer]),
        (
            Subtensor::start_call { netuid }.into(),
            &[
                Kind::NonCritical,
                Kind::NonTransfer,
                Kind::NonFungible,
                Kind::SubnetLeaseBeneficiary,
            ],
        ),
        (
            Admin::sudo_set_rho { netuid, rho: 1 }.into(),
            &[
                Kind::Owner,
                Kind::NonCritical,
                Kind::NonTransfer,
                Kind::NonFungible,
                Kind::SubnetLeaseBeneficiary,
            ],
        ),
        (Admin::sudo_set_kappa { netuid, kappa: 1 }.into(), broad),
        (Admin::sudo_set_sn_owner_hotkey { netuid, hotkey: key(1) }.into(), &[]),
        (sudo(set_code()).into(), &[Kind::SudoUncheckedSetCode]),
        (sudo(remark()).into(), &[]),
        (pallet_sudo::Call::sudo { call: Box::new(set_code().into()) }.into(), &[]),
        (add(&key(1), Kind::Any, 0).into(), broad),
    ]
}

#[test]
fn each_proxy_type_allows_only_its_calls() {
    for (call, allowing) in cases() {
        for kind in ProxyType::ALL {
            let expected = kind == ProxyType::Any || allowing.contains(&kind);
            assert_eq!(kind.filter(&call), expected, "{kind:?}: {call:?}");
        }
    }
}

#[test]
fn call_forbidden_by_proxy_type_changes_nothing() {
    at_first_block(|| {
        let alice = account("Alice");
        for (number, kind) in (0_u32..).zip(ProxyType::ALL) {
            let delegate = key(number);
            assert_eq!(dispatch_result(&alice, add(&delegate, kind, 0)), "ok", "{kind:?}");
            let before = balance(&alice);
            let paid = execute_by_proxy(&delegate, &alice, pay(&account("Bob"), TAO));
            let pays =
                [ProxyType::Any, ProxyType::NonCritical, ProxyType::Transfer].contains(&kind);
            assert_eq!(
                (paid, before - balance(&alice)),
                (expected_result(pays), if pays { TAO } else { 0 }),
                "{kind:?}"
            );

            // In a batch too.
            let batch = pallet_utility::Call::batch_all { calls: vec![pay(&account("Bob"), TAO)] };
            let paid = execute_by_proxy(&delegate, &alice, batch);
            let batches = [ProxyType::Any, ProxyType::NonCritical].contains(&kind);
            assert_eq!(paid, expected_result(batches), "{kind:?}");

            assert_eq!(dispatch_result(&alice, remove(&delegate, kind, 0)), "ok");
        }
    });
}

#[test]
fn delegates_do_not_extend_their_permissions() {
    at_first_block(|| {
        let (alice, other) = (account("Alice"), key(50));
        for (number, kind) in (0_u32..).zip(ProxyType::ALL) {
            let delegate = key(number);
            send(&alice, add(&delegate, kind, 0)).unwrap();
            let added = execute_by_proxy(&delegate, &alice, add(&other, ProxyType::Any, 0));
            assert_eq!(added, expected_result(kind == ProxyType::Any), "{kind:?}");
            let reaches_proxies = kind.allows_call_name("Proxy", "add_proxy");
            for proxy_type in ProxyType::ALL {
                let added = execute_by_proxy(&delegate, &alice, add(&other, proxy_type, 1));
                assert_eq!(
                    added,
                    expected_result(reaches_proxies && kind.includes(proxy_type)),
                    "{kind:?} {proxy_type:?}"
                );
                let _ = send(&alice, remove(&other, proxy_type, 1));
            }
            for call in [
                Call::remove_proxies {},
                Call::set_real_pays_fee { delegate: id(&delegate), pays_fee: true },
            ] {
                let result = execute_by_proxy(&delegate, &alice, call);
                assert_eq!(result, expected_result(kind == ProxyType::Any), "{kind:?}");
                // The first call has removed the delegate, if it was allowed.
                let _ = send(&alice, add(&delegate, kind, 0));
            }
            send(&alice, Call::remove_proxies {}).unwrap();
        }
    });
}

#[test]
fn proxy_type_allows_calls_of_included_types() {
    let calls = every_call();
    for (kind, other) in
        ProxyType::ALL.into_iter().flat_map(|kind| ProxyType::ALL.map(|other| (kind, other)))
    {
        if kind.includes(other) {
            let lost = calls.iter().find(|(pallet, call)| {
                other.allows_call_name(pallet, call) && !kind.allows_call_name(pallet, call)
            });
            assert_eq!(lost, None, "{kind:?} includes {other:?}");
        }
    }
}

#[test]
fn every_call_of_the_real_chain_is_in_one_group() {
    use groups::*;
    let all: [&[CallGroup]; 19] = [
        COMMON,
        UNRESTRICTED,
        TRANSFERS,
        BALANCES,
        STAKE_TRANSFERS,
        STAKE,
        BASKET_TRADES,
        REGISTRATION,
        BURNED_REGISTRATION,
        ROOT_REGISTRATION,
        HOTKEY_SWAP,
        SUBNET_DISSOLUTION,
        CHILD_KEYS,
        ROOT_CLAIM,
        SUBNET_IDENTITY,
        SUBNET_START,
        SPENDING,
        NEURONS,
        SUBNET_MANAGEMENT,
    ];
    for (pallet, call) in every_call() {
        let groups = all.iter().copied().chain([ROOT_PARAMETERS]);
        let count = groups.flatten().filter(|group| group.contains(&pallet, &call)).count();
        let expected = usize::from(!["EVM", "Contracts"].contains(&pallet.as_str()));
        assert_eq!(count, expected, "{pallet}.{call}");
    }
}

/// Returns the pallet and name of every call of this runtime and of the recorded one.
fn every_call() -> BTreeSet<(String, String)> {
    let pallets = RuntimeCall::get_module_names().iter();
    let mut calls: BTreeSet<_> = pallets
        .flat_map(|pallet| {
            RuntimeCall::get_call_names(pallet)
                .iter()
                .map(|call| ((*pallet).to_owned(), (*call).to_owned()))
        })
        .collect();
    if let Some(recorded) = taonet_chain_vectors::json("runtime_spec461.json") {
        for pallet in recorded["pallets"].as_array().unwrap() {
            let name = pallet["name"].as_str().unwrap();
            let recorded_calls = pallet["calls"].as_array().into_iter().flatten();
            calls.extend(
                recorded_calls.map(|call| (name.to_owned(), call[1].as_str().unwrap().to_owned())),
            );
        }
    }
    calls
}
