use frame_support::traits::OnInitialize as _;
use pallet_safe_mode::{Call, EnteredUntil};
use sp_runtime::MultiAddress;
use sp_runtime::traits::Dispatchable as _;

use super::*;
use crate::runtime::{RuntimeOrigin, SafeMode};
use crate::testing::{account, at_first_block, balance, jump_to, key, outcome, send};

fn pay(to: &AccountId) -> RuntimeCall {
    let dest = MultiAddress::Id(to.clone());
    pallet_balances::Call::transfer_keep_alive { dest, value: 1_000_000 }.into()
}

/// Returns the name of the error of a call by root, or `ok`.
fn by_root(call: Call<Runtime>) -> String {
    outcome(
        RuntimeCall::from(call)
            .dispatch(RuntimeOrigin::root())
            .map(|_| ())
            .map_err(|failed| failed.error),
    )
}

fn pay_outcome(by: &AccountId) -> String {
    outcome(send(by, pay(&key(1))))
}

#[test]
fn root_enters_and_leaves_safe_mode() {
    at_first_block(|| {
        let alice = account("Alice");
        assert_eq!(by_root(Call::force_exit {}), "Exited");
        assert_eq!(by_root(Call::force_extend {}), "Exited");
        // The sudo key is root.
        let enter = Call::<Runtime>::force_enter {}.into();
        assert_eq!(outcome(send(&alice, pallet_sudo::Call::sudo { call: Box::new(enter) })), "ok");
        assert_eq!(EnteredUntil::<Runtime>::get(), Some(7_201));
        assert_eq!(by_root(Call::force_enter {}), "Entered");
        assert_eq!(by_root(Call::force_extend {}), "ok");
        assert_eq!(EnteredUntil::<Runtime>::get(), Some(10_801));

        assert_eq!(pay_outcome(&account("Bob")), "CallFiltered");
        // Batches and calls of the Proxy pallet are filtered too. Sudo calls pass, with the calls
        // that they dispatch.
        let batch = pallet_utility::Call::batch { calls: vec![pay(&key(1))] };
        assert_eq!(outcome(send(&alice, batch)), "CallFiltered");
        let add = crate::proxy::Call::add_proxy {
            delegate: MultiAddress::Id(key(2)),
            proxy_type: crate::proxy::ProxyType::Any,
            delay: 0,
        };
        assert_eq!(outcome(send(&alice, add)), "CallFiltered");
        assert_eq!(outcome(send(&alice, frame_system::Call::remark { remark: vec![1] })), "ok");
        let (source, dest) = (MultiAddress::Id(alice.clone()), MultiAddress::Id(key(1)));
        let force =
            pallet_balances::Call::<Runtime>::force_transfer { source, dest, value: 5_000_000 };
        assert_eq!(
            outcome(send(&alice, pallet_sudo::Call::sudo { call: Box::new(force.into()) })),
            "ok"
        );
        assert_eq!(balance(&key(1)), 5_000_000);

        assert_eq!(by_root(Call::force_exit {}), "ok");
        assert_eq!(pay_outcome(&account("Bob")), "ok");
    });
}

#[test]
fn safe_mode_ends_after_its_duration() {
    at_first_block(|| {
        assert_eq!(by_root(Call::force_enter {}), "ok");
        for (block, expected) in [(7_201, "CallFiltered"), (7_202, "ok")] {
            jump_to(block);
            SafeMode::on_initialize(block);
            assert_eq!(pay_outcome(&account("Bob")), expected, "{block}");
        }
    });
}

#[test]
fn users_cannot_enter_safe_mode() {
    at_first_block(|| {
        let alice = account("Alice");
        let (account, block) = (alice.clone(), 1);
        let cases = [
            (Call::enter {}, "NotConfigured"),
            (Call::force_enter {}, "BadOrigin"),
            (Call::force_extend {}, "BadOrigin"),
            (Call::force_exit {}, "BadOrigin"),
            (Call::force_slash_deposit { account: account.clone(), block }, "BadOrigin"),
            (Call::force_release_deposit { account: account.clone(), block }, "BadOrigin"),
            (Call::release_deposit { account: account.clone(), block }, "NoDeposit"),
        ];
        for (call, expected) in cases {
            assert_eq!(outcome(send(&alice, call.clone())), expected, "{call:?}");
        }
        assert_eq!(by_root(Call::force_release_deposit { account, block }), "NoDeposit");
        assert_eq!(by_root(Call::force_enter {}), "ok");
        assert_eq!(outcome(send(&alice, Call::extend {})), "NotConfigured");
    });
}
