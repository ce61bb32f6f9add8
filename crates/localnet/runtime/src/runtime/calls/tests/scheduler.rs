//! Tests of scheduled calls.

use frame_support::traits::OnInitialize as _;
use pallet_scheduler::{Agenda, Call, Event, Lookup, Retries};

use super::*;
use crate::runtime::{Runtime, RuntimeEvent, Scheduler, System};
use crate::testing::{account, at_first_block, balance, key, outcome, send};

/// Returns the name of the error of a call by root, or `ok`.
fn by_root(call: Call<Runtime>) -> String {
    outcome(
        RuntimeCall::from(call)
            .dispatch(RuntimeOrigin::root())
            .map(|_| ())
            .map_err(|failed| failed.error),
    )
}

/// Runs the start of every block up to this one.
fn run_to(block: u32) {
    while System::block_number() < block {
        let next = System::block_number() + 1;
        System::set_block_number(next);
        Scheduler::on_initialize(next);
    }
}

/// Returns a call by root that credits one TAO to an account.
fn grant(to: &AccountId) -> Box<RuntimeCall> {
    let (source, dest) = (MultiAddress::Id(account("Alice")), MultiAddress::Id(to.clone()));
    Box::new(pallet_balances::Call::force_transfer { source, dest, value: TAO }.into())
}

fn schedule_at(
    when: u32,
    maybe_periodic: Option<(u32, u32)>,
    call: Box<RuntimeCall>,
) -> Call<Runtime> {
    Call::schedule { when, maybe_periodic, priority: 0, call }
}

#[test]
fn scheduled_call_runs_in_its_block() {
    at_first_block(|| {
        let (alice, receiver) = (account("Alice"), key(1));
        let schedule = schedule_at(5, None, grant(&receiver));
        assert_eq!(outcome(send(&alice, schedule.clone())), "BadOrigin");
        // The sudo key schedules.
        assert_eq!(
            outcome(send(&alice, pallet_sudo::Call::sudo { call: Box::new(schedule.into()) })),
            "ok"
        );
        System::assert_has_event(RuntimeEvent::Scheduler(Event::Scheduled { when: 5, index: 0 }));
        run_to(4);
        assert_eq!(balance(&receiver), 0);
        run_to(5);
        assert_eq!((balance(&receiver), Agenda::<Runtime>::iter().count()), (TAO, 0));
        System::assert_has_event(RuntimeEvent::Scheduler(Event::Dispatched {
            task: (5, 0),
            id: None,
            result: Ok(()),
        }));
        run_to(20);
        assert_eq!(balance(&receiver), TAO);

        assert_eq!(by_root(schedule_at(20, None, grant(&receiver))), "TargetBlockNumberInPast");
        assert_eq!(by_root(schedule_at(0, None, grant(&receiver))), "TargetBlockNumberInPast");
        assert_eq!(by_root(schedule_at(u32::MAX, None, grant(&receiver))), "ok");
        let after = |after| Call::schedule_after {
            after,
            maybe_periodic: None,
            priority: 0,
            call: grant(&receiver),
        };
        assert_eq!(
            (by_root(after(0)), by_root(after(u32::MAX))),
            ("ok".to_owned(), "ok".to_owned())
        );
        run_to(21);
        assert_eq!(balance(&receiver), 2 * TAO);
        assert_eq!(Agenda::<Runtime>::get(u32::MAX).len(), 2);
    });
}

#[test]
fn scheduled_calls_can_be_cancelled_and_repeated() {
    at_first_block(|| {
        let receiver = key(1);
        assert_eq!(by_root(schedule_at(5, None, grant(&receiver))), "ok");
        assert_eq!(
            outcome(send(&account("Alice"), Call::cancel { when: 5, index: 0 })),
            "BadOrigin"
        );
        assert_eq!(by_root(Call::cancel { when: 5, index: 1 }), "NotFound");
        assert_eq!(by_root(Call::cancel { when: 5, index: 0 }), "ok");
        assert_eq!(by_root(Call::cancel { when: 5, index: 0 }), "NotFound");

        // Three times, each three blocks after the other.
        let named = |id| {
            let (maybe_periodic, call) = (Some((3, 3)), grant(&receiver));
            by_root(Call::schedule_named { id, when: 4, maybe_periodic, priority: 0, call })
        };
        assert_eq!(
            (named([1; 32]), named([1; 32])),
            ("ok".to_owned(), "FailedToSchedule".to_owned())
        );
        let mut paid = Vec::new();
        for block in [3, 4, 6, 7, 9, 10, 13, 30] {
            run_to(block);
            paid.push(balance(&receiver) / TAO);
        }
        assert_eq!((paid, Lookup::<Runtime>::iter().count()), (vec![0, 1, 1, 2, 2, 3, 3, 3], 0));
        assert_eq!(by_root(Call::cancel_named { id: [1; 32] }), "NotFound");

        let later = Call::schedule_named_after {
            id: [2; 32],
            after: 9,
            maybe_periodic: None,
            priority: 0,
            call: grant(&receiver),
        };
        assert_eq!(by_root(later), "ok");
        assert_eq!(by_root(Call::cancel { when: 40, index: 0 }), "ok");
        assert_eq!(by_root(Call::cancel_named { id: [2; 32] }), "NotFound");
    });
}

#[test]
fn failed_calls_are_retried() {
    at_first_block(|| {
        // The call fails until the account can pay.
        let (poor, receiver) = (key(7), key(1));
        let (source, dest) = (MultiAddress::Id(poor.clone()), MultiAddress::Id(receiver.clone()));
        let call = || {
            Box::new(
                pallet_balances::Call::force_transfer {
                    source: source.clone(),
                    dest: dest.clone(),
                    value: TAO,
                }
                .into(),
            )
        };
        assert_eq!(by_root(Call::set_retry { task: (5, 0), retries: 3, period: 2 }), "NotFound");
        assert_eq!(by_root(schedule_at(5, None, call())), "ok");
        assert_eq!(by_root(Call::set_retry { task: (5, 0), retries: 3, period: 2 }), "ok");
        run_to(8);
        assert_eq!((balance(&receiver), Retries::<Runtime>::iter().count()), (0, 1));
        send(&account("Alice"), pay(&poor, 5 * TAO)).unwrap();
        run_to(9);
        assert_eq!((balance(&receiver), Retries::<Runtime>::iter().count()), (TAO, 0));

        let id = [9; 32];
        let named =
            Call::schedule_named { id, when: 20, maybe_periodic: None, priority: 0, call: call() };
        assert_eq!(by_root(named), "ok");
        assert_eq!(by_root(Call::set_retry_named { id, retries: 1, period: 1 }), "ok");
        assert_eq!(by_root(Call::cancel_retry_named { id }), "ok");
        assert_eq!(by_root(Call::cancel_retry { task: (20, 0) }), "ok");
        assert_eq!(Retries::<Runtime>::iter().count(), 0);
    });
}

#[test]
fn at_most_fifty_calls_are_scheduled_per_block() {
    at_first_block(|| {
        let long =
            || Box::new(frame_system::Call::remark_with_event { remark: vec![3; 1_000] }.into());
        assert_eq!(by_root(schedule_at(5, None, long())), "ok");
        // A long call is stored as a preimage.
        assert_eq!(pallet_preimage::PreimageFor::<Runtime>::iter().count(), 1);
        for _ in 1..50 {
            assert_eq!(by_root(schedule_at(5, None, grant(&key(1)))), "ok");
        }
        assert_eq!(by_root(schedule_at(5, None, grant(&key(1)))), "Exhausted");
        run_to(5);
        assert_eq!(balance(&key(1)), 49 * TAO);
        let has_run = |record: frame_system::EventRecord<RuntimeEvent, _>| {
            matches!(record.event, RuntimeEvent::Scheduler(Event::Dispatched { task: (5, 0), .. }))
        };
        assert!(System::events().into_iter().any(has_run));
    });
}
