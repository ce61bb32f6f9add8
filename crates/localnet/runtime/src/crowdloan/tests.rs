use frame_support::traits::OriginTrait as _;
use proptest::prelude::*;
use sp_runtime::traits::Dispatchable as _;
use sp_runtime::{DispatchError, MultiAddress};

use super::*;
use crate::runtime::{
    AccountId, Balances, Runtime, RuntimeCall, RuntimeEvent, RuntimeOrigin, System,
};
use crate::testing::{account, at_first_block, balance, jump_to, key, outcome, send};

const TAO: u64 = 1_000_000_000;

fn tao(number: u64) -> TaoBalance {
    TaoBalance(number * TAO)
}

fn create(
    cap: TaoBalance,
    end: u32,
    call: Option<RuntimeCall>,
    target_address: Option<AccountId>,
) -> Call<Runtime> {
    let (deposit, min_contribution, call) = (tao(10), tao(1), call.map(Box::new));
    Call::create { deposit, min_contribution, cap, end, call, target_address }
}

fn contribute(amount: TaoBalance) -> Call<Runtime> {
    Call::contribute { crowdloan_id: 0, amount }
}

/// Sends a call of the pallet, and returns the name of its error, or `ok`.
fn dispatch_result(who: &AccountId, call: Call<Runtime>) -> String {
    outcome(send(who, call))
}

/// Creates crowdloan 0 of Alice, with a cap of 100 TAO that Eve receives.
fn create_open_crowdloan() -> [AccountId; 3] {
    let accounts = ["Alice", "Bob", "Eve"].map(account);
    assert_eq!(
        dispatch_result(&accounts[0], create(tao(100), 100, None, Some(accounts[2].clone()))),
        "ok"
    );
    accounts
}

fn crowdloan() -> CrowdloanInfoOf<Runtime> {
    Crowdloans::<Runtime>::get(0).unwrap()
}

/// Checks that each open crowdloan's recorded sum equals its contributions and the balance of its
/// account.
fn assert_sums_agree() {
    for (id, crowdloan) in
        Crowdloans::<Runtime>::iter().filter(|(_, crowdloan)| !crowdloan.finalized)
    {
        let contributions: Vec<_> =
            Contributions::<Runtime>::iter_prefix(id).map(|(_, amount)| amount.0).collect();
        assert_eq!(contributions.iter().sum::<u64>(), crowdloan.raised.0);
        assert_eq!(contributions.len(), crowdloan.contributors_count as usize);
        assert_eq!(balance(&crowdloan.funds_account), crowdloan.raised.0);
        assert!(crowdloan.raised <= crowdloan.cap);
    }
}

#[test]
fn completed_crowdloan_pays_its_target() {
    at_first_block(|| {
        let [alice, bob, eve] = create_open_crowdloan();
        let funds = crowdloan().funds_account;
        let expected: AccountId =
            sp_runtime::traits::AccountIdConversion::into_sub_account_truncating(
                &crate::runtime::CrowdloanId::get(),
                0_u32,
            );
        assert_eq!((&funds, balance(&funds)), (&expected, 10 * TAO));
        let created =
            Event::Created { crowdloan_id: 0, creator: alice.clone(), end: 100, cap: tao(100) };
        System::assert_has_event(RuntimeEvent::Crowdloan(created));

        assert_eq!(dispatch_result(&alice, Call::finalize { crowdloan_id: 0 }), "CapNotRaised");
        assert_eq!(dispatch_result(&bob, contribute(tao(50))), "ok");
        // Of a contribution above the cap, only the remaining amount is accepted.
        let before = balance(&bob);
        assert_eq!(dispatch_result(&bob, contribute(tao(500))), "ok");
        assert_eq!((before - balance(&bob), crowdloan().raised), (40 * TAO, tao(100)));
        let contributed =
            Event::Contributed { crowdloan_id: 0, contributor: bob.clone(), amount: tao(40) };
        System::assert_has_event(RuntimeEvent::Crowdloan(contributed));
        assert_sums_agree();
        assert_eq!(dispatch_result(&eve, contribute(tao(1))), "CapRaised");

        assert_eq!(dispatch_result(&bob, Call::finalize { crowdloan_id: 0 }), "InvalidOrigin");
        let before = balance(&eve);
        assert_eq!(dispatch_result(&alice, Call::finalize { crowdloan_id: 0 }), "ok");
        assert_eq!((balance(&eve) - before, balance(&funds)), (100 * TAO, 0));
        assert!(crowdloan().finalized);
        System::assert_has_event(RuntimeEvent::Crowdloan(Event::Finalized { crowdloan_id: 0 }));

        for call in [
            Call::finalize { crowdloan_id: 0 },
            Call::withdraw { crowdloan_id: 0 },
            Call::refund { crowdloan_id: 0 },
            Call::dissolve { crowdloan_id: 0 },
            Call::update_cap { crowdloan_id: 0, new_cap: tao(200) },
            Call::update_end { crowdloan_id: 0, new_end: 200 },
            Call::update_min_contribution { crowdloan_id: 0, new_min_contribution: tao(2) },
            Call::set_max_contribution { crowdloan_id: 0, new_max_contribution: None },
        ] {
            assert_eq!(dispatch_result(&alice, call.clone()), "AlreadyFinalized", "{call:?}");
        }
    });
}

#[test]
fn failed_crowdloan_is_refunded_and_dissolved() {
    at_first_block(|| {
        let [alice, bob, _] = create_open_crowdloan();
        let before = balance(&alice) + 10 * TAO;
        let contributors: Vec<AccountId> = (0..60).map(key).collect();
        for contributor in &contributors {
            send(
                &bob,
                pallet_balances::Call::transfer_keep_alive {
                    dest: MultiAddress::Id(contributor.clone()),
                    value: 2 * TAO,
                },
            )
            .unwrap();
            assert_eq!(dispatch_result(contributor, contribute(tao(1))), "ok");
        }
        assert_eq!(dispatch_result(&contributors[7], Call::withdraw { crowdloan_id: 0 }), "ok");
        assert_eq!(
            dispatch_result(&contributors[7], Call::withdraw { crowdloan_id: 0 }),
            "NoContribution"
        );
        assert_eq!((crowdloan().raised, crowdloan().contributors_count), (tao(69), 60));
        assert_sums_agree();

        jump_to(100);
        assert_eq!(dispatch_result(&bob, contribute(tao(1))), "ContributionPeriodEnded");
        assert_eq!(
            dispatch_result(&alice, Call::dissolve { crowdloan_id: 0 }),
            "NotReadyToDissolve"
        );
        assert_eq!(dispatch_result(&bob, Call::refund { crowdloan_id: 0 }), "InvalidOrigin");
        for (event, remaining) in [
            (Event::PartiallyRefunded { crowdloan_id: 0 }, 10),
            (Event::AllRefunded { crowdloan_id: 0 }, 1),
        ] {
            assert_eq!(dispatch_result(&alice, Call::refund { crowdloan_id: 0 }), "ok");
            System::assert_last_event(RuntimeEvent::Crowdloan(event));
            assert_eq!(crowdloan().contributors_count, remaining);
            assert_sums_agree();
        }
        assert!(contributors.iter().all(|contributor| balance(contributor) == 2 * TAO));

        assert_eq!(dispatch_result(&bob, Call::dissolve { crowdloan_id: 0 }), "InvalidOrigin");
        assert_eq!(dispatch_result(&alice, Call::dissolve { crowdloan_id: 0 }), "ok");
        assert_eq!((balance(&alice), Crowdloans::<Runtime>::iter().count()), (before, 0));
        assert_eq!(Contributions::<Runtime>::iter().count(), 0);
        assert_eq!(
            dispatch_result(&alice, Call::dissolve { crowdloan_id: 0 }),
            "InvalidCrowdloanId"
        );
        // The next crowdloan has the next id.
        assert_eq!(dispatch_result(&alice, create(tao(100), 200, None, Some(bob))), "ok");
        assert!(Crowdloans::<Runtime>::contains_key(1));
    });
}

#[test]
fn crowdloan_with_invalid_terms_is_refused() {
    at_first_block(|| {
        let [alice, bob] = ["Alice", "Bob"].map(account);
        let target = || Some(account("Bob"));
        let remark = || RuntimeCall::from(frame_system::Call::remark { remark: vec![1] });
        let create_with = |deposit: u64, min_contribution: u64, cap: u64, end: u32| {
            let (deposit, min_contribution, cap) =
                (deposit.into(), min_contribution.into(), cap.into());
            Call::create {
                deposit,
                min_contribution,
                cap,
                end,
                call: None,
                target_address: target(),
            }
        };
        let (ten, tenth) = (10 * TAO, TAO / 10);
        let cases = [
            (create_with(ten - 1, tenth, 2 * ten, 51), "DepositTooLow"),
            (create_with(0, 0, 0, 0), "DepositTooLow"),
            (create_with(ten, tenth, ten, 51), "CapTooLow"),
            (create_with(ten, tenth - 1, 2 * ten, 51), "MinimumContributionTooLow"),
            (create(tao(100), 51, None, None), "InvalidFinalizationConfig"),
            (create(tao(100), 51, Some(remark()), target()), "InvalidFinalizationConfig"),
            (create_with(ten, tenth, 2 * ten, 1), "CannotEndInPast"),
            (create_with(ten, tenth, 2 * ten, 50), "BlockDurationTooShort"),
            (create_with(ten, tenth, 2 * ten, 20_002), "BlockDurationTooLong"),
            (create_with(ten, tenth, 2 * ten, u32::MAX), "BlockDurationTooLong"),
            (create_with(u64::MAX - 1, tenth, u64::MAX, 51), "InsufficientBalance"),
            (create_with(ten, tenth, 2 * ten, 51), "ok"),
            (create_with(ten, u64::MAX, u64::MAX, 20_001), "ok"),
        ];
        for (call, expected) in cases {
            assert_eq!(dispatch_result(&alice, call.clone()), expected, "{call:?}");
        }
        assert_eq!(NextCrowdloanId::<Runtime>::get(), 2);
        NextCrowdloanId::<Runtime>::put(u32::MAX);
        assert_eq!(dispatch_result(&alice, create_with(ten, tenth, 2 * ten, 51)), "Overflow");
        assert_eq!(
            dispatch_result(&bob, Call::contribute { crowdloan_id: u32::MAX, amount: tao(1) }),
            "InvalidCrowdloanId"
        );
    });
}

#[test]
fn contribution_outside_the_crowdloan_limits_is_refused() {
    at_first_block(|| {
        let [alice, bob, eve] = create_open_crowdloan();
        for amount in [0, 1, TAO - 1] {
            assert_eq!(dispatch_result(&bob, contribute(amount.into())), "ContributionTooLow");
        }
        assert_eq!(dispatch_result(&key(9), contribute(tao(1))), "InsufficientBalance");
        assert_eq!(
            dispatch_result(&alice, Call::withdraw { crowdloan_id: 0 }),
            "DepositCannotBeWithdrawn"
        );

        let max = |max: Option<u64>| Call::set_max_contribution {
            crowdloan_id: 0,
            new_max_contribution: max.map(tao),
        };
        assert_eq!(dispatch_result(&bob, max(Some(20))), "InvalidOrigin");
        assert_eq!(dispatch_result(&alice, max(Some(9))), "MaximumContributionTooLow");
        assert_eq!(dispatch_result(&alice, max(Some(20))), "ok");
        let min =
            |min| Call::update_min_contribution { crowdloan_id: 0, new_min_contribution: tao(min) };
        assert_eq!(dispatch_result(&alice, min(21)), "MinimumContributionTooHigh");
        assert_eq!(dispatch_result(&alice, min(0)), "MinimumContributionTooLow");
        assert_eq!(dispatch_result(&alice, min(15)), "ok");
        assert_eq!(dispatch_result(&bob, contribute(tao(15))), "ok");
        // Only five more are accepted, although they are fewer than the minimum.
        assert_eq!(
            (dispatch_result(&bob, contribute(tao(15))), crowdloan().raised),
            ("ok".to_owned(), tao(30))
        );
        assert_eq!(dispatch_result(&bob, contribute(tao(15))), "MaxContributionReached");
        assert_eq!(dispatch_result(&alice, max(None)), "ok");
        assert_eq!(dispatch_result(&bob, contribute(tao(15))), "ok");

        let cap = |cap| Call::update_cap { crowdloan_id: 0, new_cap: tao(cap) };
        assert_eq!(dispatch_result(&eve, cap(50)), "InvalidOrigin");
        assert_eq!(dispatch_result(&alice, cap(44)), "CapTooLow");
        assert_eq!(dispatch_result(&alice, cap(45)), "ok");
        assert_eq!(dispatch_result(&bob, contribute(tao(15))), "CapRaised");
        let end = |new_end| Call::update_end { crowdloan_id: 0, new_end };
        assert_eq!(dispatch_result(&eve, end(60)), "InvalidOrigin");
        assert_eq!(
            (dispatch_result(&alice, end(1)), dispatch_result(&alice, end(60))),
            ("CannotEndInPast".to_owned(), "ok".to_owned())
        );
        assert_sums_agree();

        // The creator's own contributions above the deposit.
        assert_eq!(dispatch_result(&alice, cap(100)), "ok");
        assert_eq!(dispatch_result(&alice, contribute(tao(20))), "ok");
        assert_eq!(dispatch_result(&alice, Call::withdraw { crowdloan_id: 0 }), "ok");
        assert_eq!(Contributions::<Runtime>::get(0, &alice), Some(tao(10)));
        assert_sums_agree();

        Crowdloans::<Runtime>::mutate(0, |info| info.as_mut().unwrap().contributors_count = 500);
        assert_eq!(dispatch_result(&eve, contribute(tao(15))), "MaxContributorsReached");
    });
}

/// Creates crowdloan 0 of Alice with this call, and contributions up to its cap of 20 TAO.
fn raised_crowdloan(call: RuntimeCall) -> [AccountId; 2] {
    let accounts = ["Alice", "Bob"].map(account);
    assert_eq!(dispatch_result(&accounts[0], create(tao(20), 100, Some(call), None)), "ok");
    assert_eq!(dispatch_result(&accounts[1], contribute(tao(10))), "ok");
    accounts
}

/// Returns a sudo call that transfers TAO from the account of crowdloan 0 to `key(1)`.
fn transfer_funds(value: TaoBalance) -> RuntimeCall {
    let funds: AccountId = sp_runtime::traits::AccountIdConversion::into_sub_account_truncating(
        &crate::runtime::CrowdloanId::get(),
        0_u32,
    );
    let (source, dest) = (MultiAddress::Id(funds), MultiAddress::Id(key(1)));
    let call = pallet_balances::Call::<Runtime>::force_transfer { source, dest, value: value.0 };
    pallet_sudo::Call::sudo { call: Box::new(call.into()) }.into()
}

#[test]
fn finalization_call_spends_the_raised_amount() {
    at_first_block(|| {
        let [alice, _] = raised_crowdloan(transfer_funds(tao(20)));
        assert_eq!(dispatch_result(&alice, Call::finalize { crowdloan_id: 0 }), "ok");
        assert_eq!((balance(&key(1)), CurrentCrowdloanId::<Runtime>::get()), (20 * TAO, None));
        assert!(crowdloan().finalized);
    });
}

#[test]
fn finalization_whose_call_fails_or_leaves_tao_is_reverted() {
    at_first_block(|| {
        let nested = RuntimeCall::from(Call::<Runtime>::finalize { crowdloan_id: 0 });
        let withdraw = RuntimeCall::from(Call::<Runtime>::withdraw { crowdloan_id: 0 });
        let cases = [
            (transfer_funds(tao(19)), "FundsNotSettled"),
            (frame_system::Call::remark { remark: vec![1] }.into(), "FundsNotSettled"),
            (nested, "AlreadyFinalized"),
            (withdraw, "AlreadyFinalized"),
        ];
        for (number, (call, expected)) in (0_u32..).zip(cases) {
            NextCrowdloanId::<Runtime>::put(0);
            let [alice, bob] = raised_crowdloan(call);
            let before = (System::events().len(), crowdloan());
            assert_eq!(
                dispatch_result(&alice, Call::finalize { crowdloan_id: 0 }),
                expected,
                "case {number}"
            );
            assert_eq!((System::events().len(), crowdloan()), before);
            assert_eq!(CurrentCrowdloanId::<Runtime>::get(), None);
            assert_sums_agree();
            assert_eq!(dispatch_result(&bob, Call::withdraw { crowdloan_id: 0 }), "ok");
            assert_eq!(dispatch_result(&alice, Call::dissolve { crowdloan_id: 0 }), "ok");
        }
        CurrentCrowdloanId::<Runtime>::put(7);
        NextCrowdloanId::<Runtime>::put(0);
        let [alice, _] = raised_crowdloan(transfer_funds(tao(20)));
        assert_eq!(
            dispatch_result(&alice, Call::finalize { crowdloan_id: 0 }),
            "AlreadyFinalizing"
        );
    });
}

#[test]
fn crowdloan_call_keeps_the_call_filter_of_the_caller() {
    at_first_block(|| {
        let [alice, _] = raised_crowdloan(transfer_funds(tao(20)));
        let mut origin = RuntimeOrigin::signed(alice);
        origin.add_filter(|call: &RuntimeCall| !matches!(call, RuntimeCall::Sudo(_)));
        let refused =
            RuntimeCall::from(Call::<Runtime>::finalize { crowdloan_id: 0 }).dispatch(origin);
        assert_eq!(refused.unwrap_err().error, frame_system::Error::<Runtime>::CallFiltered.into());
        assert_sums_agree();
    });
}

#[test]
fn preimage_of_long_call_lasts_until_dissolution() {
    at_first_block(|| {
        let long_remark = frame_system::Call::remark { remark: vec![1; 1_000] };
        let alice = account("Alice");
        assert_eq!(
            dispatch_result(&alice, create(tao(20), 100, Some(long_remark.into()), None)),
            "ok"
        );
        assert_eq!(pallet_preimage::PreimageFor::<Runtime>::iter().count(), 1);
        assert_eq!(dispatch_result(&alice, Call::dissolve { crowdloan_id: 0 }), "ok");
        assert_eq!(pallet_preimage::PreimageFor::<Runtime>::iter().count(), 0);
    });
}

#[test]
fn unsigned_and_root_origins_are_refused() {
    at_first_block(|| {
        create_open_crowdloan();
        for call in [
            create(tao(20), 100, None, Some(key(1))),
            contribute(tao(1)),
            Call::finalize { crowdloan_id: 0 },
        ] {
            for origin in [RuntimeOrigin::none(), RuntimeOrigin::root()] {
                let refused = RuntimeCall::from(call.clone()).dispatch(origin).unwrap_err();
                assert_eq!(refused.error, DispatchError::BadOrigin, "{call:?}");
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After any sequence of calls, the crowdloan's recorded sum equals its contributions, and the
    /// total TAO is unchanged.
    #[test]
    fn crowdloan_sums_agree_after_random_calls(
        steps in prop::collection::vec((0_usize..3, 0_usize..7, prop_oneof![0_u64..200, Just(u64::MAX / TAO)]), 1..40)
    ) {
        at_first_block(|| {
            let accounts = create_open_crowdloan();
            let issued = Balances::total_issuance();
            for (who, kind, amount) in steps {
                let call = match kind {
                    0 | 1 => contribute(tao(amount)),
                    2 => Call::withdraw { crowdloan_id: 0 },
                    3 => Call::refund { crowdloan_id: 0 },
                    4 => Call::update_cap { crowdloan_id: 0, new_cap: tao(amount) },
                    5 => Call::set_max_contribution { crowdloan_id: 0, new_max_contribution: Some(tao(amount)) },
                    _ => Call::dissolve { crowdloan_id: 0 },
                };
                let _ = send(&accounts[who], call);
                assert_sums_agree();
                assert_eq!(Balances::total_issuance(), issued);
            }
        });
    }
}
