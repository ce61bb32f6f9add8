use crate::admin_utils;
use crate::runtime::{AccountId, Runtime};
use crate::subtensor::{
    ActivityCutoffFactorMilli, AdminFreezeWindow, BlocksSinceLastStep, Call,
    CommitRevealWeightsEnabled, Event, LastEpochBlock, OwnerHyperparamRateLimit, PendingEpochAt,
    SubnetEpochIndex, SubnetOwner, Tempo,
};
use crate::testing::{
    BABELBIT, Subtensor, at_first_block, jump_to, key, last_event, outcome, send, send_as_root,
};
use crate::types::NetUid;

/// Sets the schedule: tempo, last epoch, triggered epoch, blocks since the last epoch.
fn schedule(tempo: u16, last: u64, pending_at: u64, blocks_since_epoch: u64) {
    Tempo::<Runtime>::insert(BABELBIT, tempo);
    LastEpochBlock::<Runtime>::insert(BABELBIT, last);
    PendingEpochAt::<Runtime>::insert(BABELBIT, pending_at);
    BlocksSinceLastStep::<Runtime>::insert(BABELBIT, blocks_since_epoch);
}

#[test]
fn epoch_is_due_after_tempo_on_trigger_or_at_maximum_wait() {
    // The schedule, whether an epoch is due at block 1 000, and the block of the next one after it.
    let cases = [
        ((0, 0, 0, 60_000), false, None),
        ((0, 0, 900, 0), false, None),
        ((100, 901, 0, 99), false, Some(1_001)),
        ((100, 900, 0, 100), true, Some(1_001)),
        ((100, 850, 0, 150), true, Some(1_001)),
        ((360, 990, 0, 10), false, Some(1_350)),
        ((360, 990, 1_020, 10), false, Some(1_020)),
        ((360, 990, 1_400, 10), false, Some(1_350)),
        ((360, 990, 1_000, 10), true, Some(1_001)),
        ((60_000, 990, 0, 50_400), false, Some(1_002)),
        ((60_000, 990, 0, 50_401), true, Some(1_001)),
    ];
    for ((tempo, last, pending_at, blocks_since_epoch), is_due, next) in cases {
        at_first_block(|| {
            jump_to(1_000);
            schedule(tempo, last, pending_at, blocks_since_epoch);
            SubnetEpochIndex::<Runtime>::insert(BABELBIT, 5);
            let case = format!("{tempo} {last} {pending_at} {blocks_since_epoch}");
            assert_eq!(Subtensor::is_epoch_due(BABELBIT, 1_000), is_due, "{case}");
            assert_eq!(Subtensor::next_epoch_block(BABELBIT), next, "{case}");
            assert_eq!(Subtensor::epoch_index_now(BABELBIT), 5 + u64::from(is_due), "{case}");
        });
    }
}

#[test]
fn settings_freeze_in_window_before_epoch() {
    at_first_block(|| {
        jump_to(1_000);
        AdminFreezeWindow::<Runtime>::put(10);
        // The schedule and whether settings are frozen.
        let cases = [
            ((100, 910, 0, 0), false),
            ((100, 909, 0, 0), true),
            ((100, 800, 0, 0), true),
            ((0, 800, 0, 0), false),
            ((360, 990, 1_300, 0), true),
            ((360, 990, 1_001, 0), true),
            ((360, 990, 1_000, 0), false),
            ((0, 990, 1_300, 0), false),
        ];
        for ((tempo, last, pending_at, blocks_since_epoch), frozen) in cases {
            schedule(tempo, last, pending_at, blocks_since_epoch);
            assert_eq!(
                Subtensor::is_in_freeze_window(BABELBIT),
                frozen,
                "{tempo} {last} {pending_at}"
            );
        }
        AdminFreezeWindow::<Runtime>::put(0);
        schedule(100, 800, 0, 0);
        assert!(!Subtensor::is_in_freeze_window(BABELBIT));
    });
}

#[test]
fn activity_cutoff_is_a_share_of_epochs_and_at_least_one_block() {
    at_first_block(|| {
        for (factor, tempo, blocks) in
            [(13_889, 360, 5_000), (13_889, 10, 138), (1, 10, 1), (50_000, 0, 1)]
        {
            ActivityCutoffFactorMilli::<Runtime>::insert(BABELBIT, factor);
            Tempo::<Runtime>::insert(BABELBIT, tempo);
            assert_eq!(Subtensor::activity_cutoff(BABELBIT), blocks);
        }
    });
}

/// Advances to block 1 000, outside the freeze window, and returns the subnet's owner.
fn owner_outside_freeze_window() -> AccountId {
    jump_to(1_000);
    schedule(360, 900, 0, 0);
    SubnetOwner::<Runtime>::get(BABELBIT)
}

fn set_tempo(who: &AccountId, netuid: NetUid, tempo: u16) -> String {
    outcome(send(who, admin_utils::Call::sudo_set_tempo { netuid, tempo }))
}

#[test]
fn tempo_change_by_owner_begins_new_cycle() {
    at_first_block(|| {
        let owner = owner_outside_freeze_window();
        assert_eq!(set_tempo(&key(1), NetUid(77), 360), "BadOrigin");
        assert_eq!(set_tempo(&key(1), BABELBIT, 360), "BadOrigin");
        assert_eq!(set_tempo(&owner, BABELBIT, 359), "TempoOutOfBounds");
        assert_eq!(set_tempo(&owner, BABELBIT, 50_401), "TempoOutOfBounds");
        LastEpochBlock::<Runtime>::insert(BABELBIT, 649);
        assert_eq!(set_tempo(&owner, BABELBIT, 360), "AdminActionProhibitedDuringWeightsWindow");
        LastEpochBlock::<Runtime>::insert(BABELBIT, 650);
        assert_eq!(set_tempo(&owner, BABELBIT, 50_400), "ok");
        assert_eq!(last_event(), Event::TempoSet(BABELBIT, 50_400));
        assert_eq!(Subtensor::next_epoch_block(BABELBIT), Some(51_400));
        jump_to(1_359);
        assert_eq!(set_tempo(&owner, BABELBIT, 360), "TxRateLimitExceeded");
        jump_to(1_360);
        assert_eq!(set_tempo(&owner, BABELBIT, 360), "ok");
        assert_eq!(Subtensor::next_epoch_block(BABELBIT), Some(1_720));
    });
}

#[test]
fn tempo_change_by_root_begins_new_cycle() {
    at_first_block(|| {
        owner_outside_freeze_window();
        AdminFreezeWindow::<Runtime>::put(1_000);
        let set =
            |netuid| outcome(send_as_root(admin_utils::Call::sudo_set_tempo { netuid, tempo: 7 }));
        assert_eq!(set(NetUid(77)), "SubnetNotExists");
        for _ in 0..2 {
            assert_eq!(set(BABELBIT), "ok");
            assert_eq!(Subtensor::next_epoch_block(BABELBIT), Some(1_007));
        }
    });
}

#[test]
fn deprecated_calls_succeed_without_effect() {
    at_first_block(|| {
        let owner = owner_outside_freeze_window();
        let netuid = BABELBIT;
        let settings =
            || (Tempo::<Runtime>::get(netuid), ActivityCutoffFactorMilli::<Runtime>::get(netuid));
        let before = settings();
        let calls: [Call<Runtime>; 3] = [
            Call::set_tempo { netuid, tempo: 400 },
            Call::set_activity_cutoff_factor { netuid, factor_milli: 2_000 },
            Call::set_tempo { netuid: NetUid(77), tempo: 0 },
        ];
        for call in calls {
            assert_eq!(outcome(send(&owner, call.clone())), "ok");
            assert_eq!(outcome(send_as_root(call)), "ok");
        }
        assert_eq!(settings(), before);
    });
}

#[test]
fn activity_cutoff_changes_are_rate_limited_by_epochs() {
    at_first_block(|| {
        let owner = owner_outside_freeze_window();
        let set = |who: &AccountId, factor_milli| {
            outcome(send(
                who,
                admin_utils::Call::sudo_set_activity_cutoff_factor {
                    netuid: BABELBIT,
                    factor_milli,
                },
            ))
        };
        assert_eq!(set(&key(1), 2_000), "BadOrigin");
        assert_eq!(set(&owner, 999), "ActivityCutoffFactorMilliOutOfBounds");
        assert_eq!(set(&owner, 50_001), "ActivityCutoffFactorMilliOutOfBounds");
        assert_eq!(set(&owner, 2_000), "ok");
        assert_eq!(
            last_event(),
            Event::ActivityCutoffFactorMilliSet { netuid: BABELBIT, factor_milli: 2_000 }
        );
        let wait = 360 * u32::from(OwnerHyperparamRateLimit::<Runtime>::get());
        for (block, expected) in [(1_000 + wait - 1, "TxRateLimitExceeded"), (1_000 + wait, "ok")] {
            jump_to(block);
            LastEpochBlock::<Runtime>::insert(BABELBIT, u64::from(block));
            assert_eq!(set(&owner, 3_000), expected);
        }
    });
}

#[test]
fn epoch_trigger_checks_run_in_order() {
    at_first_block(|| {
        let owner = owner_outside_freeze_window();
        let trigger = |who: &AccountId, netuid| outcome(send(who, Call::trigger_epoch { netuid }));
        CommitRevealWeightsEnabled::<Runtime>::insert(BABELBIT, true);
        schedule(360, 640, 1_001, 0);
        assert_eq!(trigger(&owner, NetUid(77)), "BadOrigin");
        assert_eq!(trigger(&key(1), BABELBIT), "BadOrigin");
        assert_eq!(trigger(&owner, BABELBIT), "DynamicTempoBlockedByCommitReveal");
        CommitRevealWeightsEnabled::<Runtime>::insert(BABELBIT, false);
        assert_eq!(trigger(&owner, BABELBIT), "EpochTriggerAlreadyPending");
        PendingEpochAt::<Runtime>::insert(BABELBIT, 0);
        assert_eq!(trigger(&owner, BABELBIT), "AutoEpochAlreadyImminent");
        LastEpochBlock::<Runtime>::insert(BABELBIT, 900);
        assert_eq!(trigger(&owner, BABELBIT), "ok");
        assert_eq!(
            last_event(),
            Event::EpochTriggered { netuid: BABELBIT, by: owner.clone(), fires_at: 1_010 }
        );
        assert_eq!(Subtensor::next_epoch_block(BABELBIT), Some(1_010));
        PendingEpochAt::<Runtime>::insert(BABELBIT, 0);
        assert_eq!(trigger(&owner, BABELBIT), "TxRateLimitExceeded");
    });
}
