use proptest::prelude::*;
use sp_core::H256;
use sp_runtime::traits::{BlakeTwo256, Dispatchable as _, Hash as _};
use sp_runtime::{DispatchResult, MultiAddress};

use super::*;
use crate::runtime::{AccountId, Runtime, RuntimeCall, RuntimeEvent, RuntimeOrigin, System};
use crate::testing::{account, at_first_block, balance, jump_to, key, outcome, send};
use crate::types::TaoBalance;

mod fees;
mod types;

type Proxy = Pallet<Runtime>;

const TAO: u64 = 1_000_000_000;

fn id(account: &AccountId) -> MultiAddress<AccountId, ()> {
    MultiAddress::Id(account.clone())
}

fn add(delegate: &AccountId, proxy_type: ProxyType, delay: u32) -> Call<Runtime> {
    Call::add_proxy { delegate: id(delegate), proxy_type, delay }
}

fn remove(delegate: &AccountId, proxy_type: ProxyType, delay: u32) -> Call<Runtime> {
    Call::remove_proxy { delegate: id(delegate), proxy_type, delay }
}

fn by_proxy(real: &AccountId, call: impl Into<RuntimeCall>) -> Call<Runtime> {
    Call::proxy { real: id(real), force_proxy_type: None, call: Box::new(call.into()) }
}

fn pay(to: &AccountId, value: u64) -> RuntimeCall {
    pallet_balances::Call::transfer_keep_alive { dest: id(to), value }.into()
}

fn reserved(who: &AccountId) -> u64 {
    System::account(who).data.reserved
}

/// Sends a call of the pallet, and returns the name of its error, or `ok`.
fn dispatch_result(who: &AccountId, call: Call<Runtime>) -> String {
    outcome(send(who, call))
}

/// Makes a call for an account, and returns the call's result.
fn execute_by_proxy(
    delegate: &AccountId,
    real: &AccountId,
    call: impl Into<RuntimeCall>,
) -> DispatchResult {
    assert_eq!(dispatch_result(delegate, by_proxy(real, call)), "ok");
    let result = last_proxy_result();
    assert_eq!(LastCallResult::<Runtime>::get(real), Some(result));
    result
}

/// Returns the result in the last event `ProxyExecuted`.
fn last_proxy_result() -> DispatchResult {
    let events = System::events().into_iter().rev();
    let mut results = events.filter_map(|record| match record.event {
        RuntimeEvent::Proxy(Event::ProxyExecuted { result }) => Some(result),
        _ => None,
    });
    results.next().unwrap()
}

/// Returns `Ok` if the proxy type allows the call, otherwise the error of a forbidden call.
fn expected_result(is_allowed: bool) -> DispatchResult {
    if is_allowed { Ok(()) } else { Err(frame_system::Error::<Runtime>::CallFiltered.into()) }
}

#[test]
fn delegate_makes_calls_until_removed() {
    at_first_block(|| {
        let [alice, bob, eve] = ["Alice", "Bob", "Eve"].map(account);
        let receiver = key(1);
        assert_eq!(dispatch_result(&bob, by_proxy(&alice, pay(&receiver, TAO))), "NotProxy");
        assert_eq!(dispatch_result(&alice, add(&bob, ProxyType::Transfer, 0)), "ok");
        assert_eq!(reserved(&alice), 60_000_000 + 33_000_000);

        let before = balance(&alice);
        assert_eq!(execute_by_proxy(&bob, &alice, pay(&receiver, TAO)), Ok(()));
        assert_eq!((before - balance(&alice), balance(&receiver)), (TAO, TAO));
        assert_eq!(dispatch_result(&eve, by_proxy(&alice, pay(&receiver, TAO))), "NotProxy");
        let other_type = Call::proxy {
            real: id(&alice),
            force_proxy_type: Some(ProxyType::Any),
            call: Box::new(pay(&receiver, TAO)),
        };
        assert_eq!(dispatch_result(&bob, other_type), "NotProxy");

        // Results are kept for one block only.
        <Proxy as frame_support::traits::OnFinalize<u32>>::on_finalize(1);
        assert_eq!(LastCallResult::<Runtime>::iter().count(), 0);

        assert_eq!(dispatch_result(&alice, remove(&bob, ProxyType::Any, 0)), "NotFound");
        assert_eq!(dispatch_result(&alice, remove(&bob, ProxyType::Transfer, 0)), "ok");
        assert_eq!(dispatch_result(&alice, remove(&bob, ProxyType::Transfer, 0)), "NotFound");
        assert_eq!((reserved(&alice), Proxies::<Runtime>::contains_key(&alice)), (0, false));
        assert_eq!(dispatch_result(&bob, by_proxy(&alice, pay(&receiver, TAO))), "NotProxy");
    });
}

#[test]
fn delegates_are_limited_and_need_deposits() {
    at_first_block(|| {
        let (alice, bob) = (account("Alice"), account("Bob"));
        assert_eq!(dispatch_result(&alice, add(&alice, ProxyType::Any, 0)), "NoSelfProxy");
        for number in 0..20 {
            assert_eq!(dispatch_result(&alice, add(&key(number), ProxyType::Staking, 0)), "ok");
        }
        assert_eq!(reserved(&alice), 60_000_000 + 20 * 33_000_000);
        assert_eq!(dispatch_result(&alice, add(&key(3), ProxyType::Staking, 0)), "Duplicate");
        assert_eq!(dispatch_result(&alice, add(&bob, ProxyType::Any, 0)), "TooMany");
        let (delegates, deposit) = Proxies::<Runtime>::get(&alice);
        assert!(delegates.is_sorted() && delegates.len() == 20);
        assert_eq!(deposit, TaoBalance(reserved(&alice)));

        assert_eq!(dispatch_result(&alice, Call::remove_proxies {}), "ok");
        assert_eq!((reserved(&alice), Proxies::<Runtime>::iter().count()), (0, 0));

        // A delegate without a delay and one with the maximum delay are two delegates.
        assert_eq!(dispatch_result(&alice, add(&bob, ProxyType::Any, 0)), "ok");
        assert_eq!(dispatch_result(&alice, add(&bob, ProxyType::Any, u32::MAX)), "ok");
        assert_eq!(Proxies::<Runtime>::get(&alice).0.len(), 2);

        let poor = key(99);
        assert_eq!(dispatch_result(&poor, add(&bob, ProxyType::Any, 0)), "InsufficientBalance");
        assert!(!Proxies::<Runtime>::contains_key(&poor));
    });
}

#[test]
fn announced_calls_wait_for_their_delay() {
    at_first_block(|| {
        let [alice, bob, eve] = ["Alice", "Bob", "Eve"].map(account);
        let call = pay(&key(1), TAO);
        let hash = BlakeTwo256::hash_of(&call);
        let announce = |hash: H256| Call::announce { real: id(&alice), call_hash: hash };
        let call_announced = || Call::proxy_announced {
            delegate: id(&bob),
            real: id(&alice),
            force_proxy_type: None,
            call: Box::new(call.clone()),
        };
        assert_eq!(dispatch_result(&bob, announce(hash)), "NotProxy");
        assert_eq!(dispatch_result(&alice, add(&bob, ProxyType::Any, 10)), "ok");
        assert_eq!(dispatch_result(&bob, by_proxy(&alice, call.clone())), "Unannounced");
        assert_eq!(dispatch_result(&bob, call_announced()), "Unannounced");
        assert_eq!(dispatch_result(&bob, announce(hash)), "ok");
        assert_eq!(reserved(&bob), 36_000_000 + 68_000_000);

        jump_to(10);
        assert_eq!(dispatch_result(&bob, call_announced()), "Unannounced");
        jump_to(11);
        assert_eq!(dispatch_result(&eve, call_announced()), "ok");
        assert_eq!((last_proxy_result(), balance(&key(1)), reserved(&bob)), (Ok(()), TAO, 0));
        assert_eq!(dispatch_result(&eve, call_announced()), "Unannounced");

        // The account rejects an announcement, the delegate withdraws one.
        let reject = |hash: H256| Call::reject_announcement { delegate: id(&bob), call_hash: hash };
        let withdraw = |hash: H256| Call::remove_announcement { real: id(&alice), call_hash: hash };
        let other = H256::repeat_byte(7);
        assert_eq!(
            (dispatch_result(&bob, announce(hash)), dispatch_result(&bob, announce(other))),
            ("ok".to_owned(), "ok".to_owned())
        );
        assert_eq!(reserved(&bob), 36_000_000 + 2 * 68_000_000);
        assert_eq!(dispatch_result(&eve, reject(hash)), "NotFound");
        assert_eq!(dispatch_result(&alice, reject(hash)), "ok");
        assert_eq!(dispatch_result(&bob, withdraw(hash)), "NotFound");
        assert_eq!(dispatch_result(&bob, withdraw(other)), "ok");
        assert_eq!((reserved(&bob), Announcements::<Runtime>::iter().count()), (0, 0));

        for _ in 0..75 {
            assert_eq!(dispatch_result(&bob, announce(hash)), "ok");
        }
        assert_eq!(dispatch_result(&bob, announce(hash)), "TooMany");
    });
}

#[test]
fn pure_proxy_is_controlled_by_its_creator() {
    at_first_block(|| {
        let [alice, bob] = ["Alice", "Bob"].map(account);
        let create = |index| Call::create_pure { proxy_type: ProxyType::Any, delay: 0, index };
        assert_eq!(dispatch_result(&alice, create(7)), "ok");
        assert_eq!(dispatch_result(&alice, create(7)), "Duplicate");
        let pure = Proxy::pure_account(&alice, ProxyType::Any, 7, (1, 0)).unwrap();
        assert!(System::events().iter().any(|record| matches!(&record.event,
            RuntimeEvent::Proxy(Event::PureCreated { pure: created, disambiguation_index: 7, .. }) if *created == pure)));
        assert_eq!((reserved(&alice), reserved(&pure)), (93_000_000, 0));

        assert_eq!(outcome(send(&alice, pay(&pure, 5 * TAO))), "ok");
        assert_eq!(execute_by_proxy(&alice, &pure, pay(&bob, TAO)), Ok(()));
        assert_eq!(balance(&pure), 4 * TAO);
        assert_eq!(dispatch_result(&bob, by_proxy(&pure, pay(&bob, TAO))), "NotProxy");

        let kill = |spawner: &AccountId, height| Call::kill_pure {
            spawner: id(spawner),
            proxy_type: ProxyType::Any,
            index: 7,
            height,
            ext_index: 0,
        };
        assert_eq!(dispatch_result(&alice, kill(&alice, 1)), "NoPermission");
        for wrong in [kill(&alice, 2), kill(&bob, 1)] {
            assert_eq!(
                execute_by_proxy(&alice, &pure, wrong),
                Err(Error::<Runtime>::NoPermission.into())
            );
        }
        assert_eq!(execute_by_proxy(&alice, &pure, kill(&alice, 1)), Ok(()));
        assert_eq!((reserved(&alice), Proxies::<Runtime>::contains_key(&pure)), (0, false));
        assert_eq!(dispatch_result(&alice, by_proxy(&pure, pay(&bob, TAO))), "NotProxy");
    });
}

#[test]
fn deposits_are_adjusted_on_request() {
    at_first_block(|| {
        let [alice, bob] = ["Alice", "Bob"].map(account);
        let poke = || RuntimeCall::from(Call::<Runtime>::poke_deposit {});
        let pays = |who: &AccountId| {
            let origin = RuntimeOrigin::signed(who.clone());
            poke().dispatch(origin).unwrap().pays_fee
        };
        assert_eq!(pays(&alice), frame_support::dispatch::Pays::Yes);
        send(&alice, add(&bob, ProxyType::Any, 1)).unwrap();
        send(&bob, Call::announce { real: id(&alice), call_hash: H256::zero() }).unwrap();
        // As if the deposits had been lower.
        for (who, reserved) in [(&alice, reserved(&alice)), (&bob, reserved(&bob))] {
            assert_eq!(
                Proxy::adjust_deposit(who, TaoBalance(reserved), TaoBalance(1)).unwrap(),
                TaoBalance(1)
            );
        }
        Proxies::<Runtime>::mutate(&alice, |stored| stored.1 = TaoBalance(1));
        Announcements::<Runtime>::mutate(&bob, |stored| stored.1 = TaoBalance(1));
        for (who, kind, new) in [
            (&alice, DepositKind::Proxies, 93_000_000),
            (&bob, DepositKind::Announcements, 104_000_000),
        ] {
            assert_eq!(pays(who), frame_support::dispatch::Pays::No);
            assert_eq!(reserved(who), new);
            let (old_deposit, new_deposit) = (TaoBalance(1), TaoBalance(new));
            let poked = Event::DepositPoked { who: who.clone(), kind, old_deposit, new_deposit };
            System::assert_has_event(RuntimeEvent::Proxy(poked));
        }
    });
}

#[test]
fn unsigned_and_root_origins_are_refused() {
    at_first_block(|| {
        let bob = account("Bob");
        let calls = [
            by_proxy(&bob, pay(&bob, 1)),
            add(&bob, ProxyType::Any, 0),
            remove(&bob, ProxyType::Any, 0),
            Call::remove_proxies {},
            Call::create_pure { proxy_type: ProxyType::Any, delay: 0, index: 0 },
            Call::poke_deposit {},
            Call::set_real_pays_fee { delegate: id(&bob), pays_fee: true },
        ];
        for call in calls {
            for origin in [RuntimeOrigin::none(), RuntimeOrigin::root()] {
                let refused = RuntimeCall::from(call.clone()).dispatch(origin);
                assert_eq!(
                    refused.unwrap_err().error,
                    sp_runtime::DispatchError::BadOrigin,
                    "{call:?}"
                );
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After any calls, the reserved balance of each account equals the deposits for its delegates
    /// and announcements.
    #[test]
    fn deposits_agree_after_random_calls(
        steps in prop::collection::vec((0_usize..3, 0_usize..3, 0_usize..7, 0_u8..19, 0_u32..2), 1..60)
    ) {
        at_first_block(|| {
            let accounts = ["Alice", "Bob", "Eve"].map(account);
            let totals = accounts.each_ref().map(|who| balance(who) + reserved(who));
            for (who, other, operation, kind, delay) in steps {
                let (kind, hash) = (ProxyType::ALL[usize::from(kind)], H256::repeat_byte(kind));
                let [who, other] = [&accounts[who], &accounts[other]];
                let call = match operation {
                    0 | 1 => add(other, kind, delay),
                    2 => remove(other, kind, delay),
                    3 => Call::announce { real: id(other), call_hash: hash },
                    4 => Call::remove_announcement { real: id(other), call_hash: hash },
                    5 => Call::reject_announcement { delegate: id(other), call_hash: hash },
                    _ => Call::remove_proxies {},
                };
                let _ = send(who, call);
                for (who, totals) in accounts.iter().zip(totals) {
                    let (proxies, for_proxies) = Proxies::<Runtime>::get(who);
                    let (pending, for_pending) = Announcements::<Runtime>::get(who);
                    assert_eq!(for_proxies, Proxy::proxy_deposit(proxies.len()));
                    assert_eq!(for_pending.0 == 0, pending.is_empty());
                    assert_eq!(reserved(who), for_proxies.0 + for_pending.0);
                    assert_eq!(balance(who) + reserved(who), totals);
                }
            }
        });
    }
}
