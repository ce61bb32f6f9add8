use super::*;
use crate::runtime::{AccountId, Runtime};
use crate::subtensor::{Call, SubnetAlphaOut, SubnetOwner, SubtokenEnabled};
use crate::testing::{
    BABELBIT, Subtensor, account, at_first_block, attempt, jump_to, key, last_event, outcome,
    run_to, send_as_root,
};
use crate::types::TaoBalance;

const STAKE: u64 = 1_000_000_000_000;

/// Runs a test in which Bob has stake on a hotkey of Charlie.
fn with_stake(test: impl FnOnce(AccountId, AccountId)) {
    at_first_block(|| {
        jump_to(10);
        let (bob, hotkey) = (account("Bob"), key(1));
        Subtensor::own_hotkey(&account("Charlie"), &hotkey).unwrap();
        Subtensor::own_hotkey(&account("Dave"), &key(2)).unwrap();
        Subtensor::increase_stake(&hotkey, &bob, BABELBIT, AlphaBalance(STAKE));
        SubnetAlphaOut::<Runtime>::mutate(BABELBIT, |out| out.0 += STAKE);
        test(bob, hotkey);
    });
}

fn lock(hotkey: &AccountId, netuid: NetUid, amount: u64) -> Call<Runtime> {
    Call::lock_stake { hotkey: hotkey.clone(), netuid, amount: AlphaBalance(amount) }
}

fn unstake(hotkey: &AccountId, amount: u64) -> Call<Runtime> {
    Call::remove_stake {
        hotkey: hotkey.clone(),
        netuid: BABELBIT,
        amount_unstaked: AlphaBalance(amount),
    }
}

fn transfer_stake_call(to: &AccountId, hotkey: &AccountId, amount: u64) -> Call<Runtime> {
    Call::transfer_stake {
        destination_coldkey: to.clone(),
        hotkey: hotkey.clone(),
        origin_netuid: BABELBIT,
        destination_netuid: BABELBIT,
        alpha_amount: AlphaBalance(amount),
    }
}

fn locked_alpha(coldkey: &AccountId) -> u64 {
    Subtensor::locked_alpha(coldkey, BABELBIT).0
}

/// Checks that the totals of all hotkeys are the sums of the locks, but for rounding.
fn check_totals() {
    let mut locks = 0;
    for (_, hotkey, coldkey) in LockingColdkeys::<Runtime>::iter_keys() {
        let (locked_hotkey, lock) = Subtensor::lock_of(&coldkey, BABELBIT).unwrap();
        assert_eq!(locked_hotkey, hotkey);
        locks += lock.locked_mass.0;
    }
    assert_eq!(Lock::<Runtime>::iter().count(), LockingColdkeys::<Runtime>::iter().count());
    let owner = SubnetOwnerHotkey::<Runtime>::get(BABELBIT);
    let total =
        |hotkey: &AccountId, kind| Subtensor::total_lock(BABELBIT, hotkey, kind).locked_mass.0;
    let others = |kind: LockKind| {
        [key(1), key(2), key(3)].iter().map(|hotkey| total(hotkey, kind)).sum::<u64>()
    };
    let totals: u64 = LockKind::ALL
        .into_iter()
        .map(|kind| if kind.is_owner_lock { total(&owner, kind) } else { others(kind) })
        .sum();
    assert!(totals.abs_diff(locks) <= 1_000, "{totals} {locks}");
}

#[test]
fn invalid_lock_is_refused() {
    with_stake(|bob, hotkey| {
        assert_eq!(attempt(&bob, lock(&key(99), NetUid(77), 0)), "SubnetNotExists");
        assert_eq!(
            attempt(&bob, Call::move_lock { destination_hotkey: key(99), netuid: NetUid(77) }),
            "SubnetNotExists"
        );
        assert_eq!(
            attempt(&bob, Call::set_perpetual_lock { netuid: NetUid(77), enabled: true }),
            "SubnetNotExists"
        );
        assert_eq!(attempt(&bob, lock(&key(99), BABELBIT, 0)), "AmountTooLow");
        assert_eq!(attempt(&bob, lock(&key(99), BABELBIT, 1)), "HotKeyAccountNotExists");
        assert_eq!(attempt(&bob, lock(&hotkey, BABELBIT, STAKE + 1)), "InsufficientStakeForLock");
        assert_eq!(attempt(&bob, lock(&hotkey, BABELBIT, u64::MAX)), "InsufficientStakeForLock");
        assert_eq!(attempt(&bob, lock(&hotkey, NetUid(58), 1_000)), "InsufficientStakeForLock");
        assert_eq!(
            attempt(&account("Eve"), lock(&hotkey, BABELBIT, 1_000)),
            "InsufficientStakeForLock"
        );
        assert_eq!(attempt(&bob, lock(&hotkey, BABELBIT, STAKE / 2)), "ok");
        let (coldkey, netuid, amount) = (bob.clone(), BABELBIT, AlphaBalance(STAKE / 2));
        assert_eq!(
            last_event(),
            Event::StakeLocked { coldkey, hotkey: hotkey.clone(), netuid, amount }
        );
        assert_eq!(attempt(&bob, lock(&key(2), BABELBIT, 1)), "LockHotkeyMismatch");
        assert_eq!(
            attempt(&bob, lock(&hotkey, BABELBIT, STAKE / 2 + 1)),
            "InsufficientStakeForLock"
        );
        assert_eq!(attempt(&bob, lock(&hotkey, BABELBIT, STAKE / 2)), "ok");
        assert_eq!(locked_alpha(&bob), STAKE);
        check_totals();
    });
}

#[test]
fn locked_stake_cannot_be_unstaked() {
    with_stake(|bob, hotkey| {
        assert_eq!(attempt(&bob, lock(&hotkey, BABELBIT, STAKE / 2)), "ok");
        assert_eq!(attempt(&bob, unstake(&hotkey, STAKE / 2 + 1)), "StakeUnavailable");
        let burn = |amount| Call::burn_alpha {
            hotkey: hotkey.clone(),
            amount: AlphaBalance(amount),
            netuid: BABELBIT,
        };
        assert_eq!(attempt(&bob, burn(STAKE / 2 + 1)), "StakeUnavailable");
        let swap = Call::swap_stake {
            hotkey: hotkey.clone(),
            origin_netuid: BABELBIT,
            destination_netuid: NetUid::ROOT,
            alpha_amount: AlphaBalance(STAKE / 2 + 1),
        };
        assert_eq!(attempt(&bob, swap), "StakeUnavailable");
        assert_eq!(attempt(&bob, Call::unstake_all { hotkey: hotkey.clone() }), "StakeUnavailable");
        assert_eq!(attempt(&bob, unstake(&hotkey, STAKE / 4)), "ok");
        assert_eq!(attempt(&bob, burn(STAKE / 4)), "ok");
        assert_eq!(attempt(&bob, unstake(&hotkey, 100_000_000)), "StakeUnavailable");
        // A lock decays to a third in its timescale of 934 866 blocks.
        jump_to(934_876);
        assert!(
            locked_alpha(&bob).abs_diff(STAKE / 2 * 368 / 1_000) < STAKE / 1_000,
            "{}",
            locked_alpha(&bob)
        );
        assert_eq!(attempt(&bob, unstake(&hotkey, STAKE / 4)), "ok");
        check_totals();
    });
}

#[test]
fn perpetual_lock_keeps_stake_and_gains_conviction() {
    with_stake(|bob, hotkey| {
        let perpetual =
            |enabled| attempt(&bob, Call::set_perpetual_lock { netuid: BABELBIT, enabled });
        assert_eq!(attempt(&bob, lock(&hotkey, BABELBIT, STAKE)), "ok");
        assert_eq!(perpetual(true), "ok");
        let (coldkey, netuid) = (bob.clone(), BABELBIT);
        assert_eq!(last_event(), Event::PerpetualLockUpdated { coldkey, netuid, enabled: true });
        check_totals();
        jump_to(934_876);
        assert_eq!(locked_alpha(&bob), STAKE);
        let conviction: u64 = Subtensor::conviction_of(&hotkey, BABELBIT).to_num();
        assert!(conviction.abs_diff(STAKE * 632 / 1_000) < STAKE / 1_000, "{conviction}");
        assert_eq!(Subtensor::most_convicted_hotkey(BABELBIT), Some(hotkey.clone()));
        assert_eq!(perpetual(false), "ok");
        check_totals();
        jump_to(2 * 934_876);
        assert!(locked_alpha(&bob) < STAKE / 2);
        assert!(HotkeyLock::<Runtime>::get(BABELBIT, &hotkey).is_none());
    });
}

#[test]
fn lock_moves_to_another_hotkey() {
    with_stake(|bob, hotkey| {
        let move_to = |hotkey| Call::move_lock { destination_hotkey: hotkey, netuid: BABELBIT };
        assert_eq!(attempt(&bob, move_to(key(2))), "NoExistingLock");
        assert_eq!(attempt(&bob, move_to(key(99))), "HotKeyAccountNotExists");
        assert_eq!(attempt(&bob, lock(&hotkey, BABELBIT, STAKE)), "ok");
        Subtensor::own_hotkey(&account("Charlie"), &key(3)).unwrap();
        jump_to(100_010);
        let conviction = |hotkey| Subtensor::conviction_of(&hotkey, BABELBIT).to_num::<u64>();
        let before = conviction(key(1));
        assert_eq!(attempt(&bob, move_to(key(3))), "ok");
        assert!(conviction(key(3)).abs_diff(before) < 1_000, "the owner is the same");
        assert_eq!(attempt(&bob, move_to(key(2))), "ok");
        let (origin_hotkey, destination_hotkey, coldkey) = (key(3), key(2), bob.clone());
        assert_eq!(
            last_event(),
            Event::LockMoved { coldkey, origin_hotkey, destination_hotkey, netuid: BABELBIT }
        );
        assert_eq!((conviction(key(1)), conviction(key(2))), (0, 0));
        check_totals();
        // Stake locked to the owner's hotkey has full conviction at once.
        assert_eq!(attempt(&bob, move_to(account("Alice_hk"))), "ok");
        assert_eq!(conviction(account("Alice_hk")), locked_alpha(&bob));
        check_totals();
    });
}

#[test]
fn locked_stake_transfers_only_to_accepting_accounts() {
    with_stake(|bob, hotkey| {
        let eve = account("Eve");
        assert_eq!(attempt(&bob, lock(&hotkey, BABELBIT, STAKE / 2)), "ok");
        assert_eq!(
            attempt(&bob, transfer_stake_call(&eve, &hotkey, STAKE / 2)),
            "ok",
            "free stake moves first"
        );
        assert_eq!((locked_alpha(&bob), locked_alpha(&eve)), (STAKE / 2, 0));
        assert_eq!(
            attempt(&bob, transfer_stake_call(&eve, &hotkey, STAKE / 4)),
            "AccountRejectsLockedAlpha"
        );
        let reject = |enabled| attempt(&eve, Call::set_reject_locked_alpha { enabled });
        assert_eq!(reject(false), "ok");
        assert_eq!(
            last_event(),
            Event::RejectLockedAlphaUpdated { coldkey: eve.clone(), enabled: false }
        );
        assert_eq!(attempt(&bob, transfer_stake_call(&eve, &hotkey, STAKE / 4)), "ok");
        assert_eq!((locked_alpha(&bob), locked_alpha(&eve)), (STAKE / 4, STAKE / 4));
        check_totals();
        assert_eq!(
            attempt(&eve, Call::move_lock { destination_hotkey: key(2), netuid: BABELBIT }),
            "ok"
        );
        assert_eq!(
            attempt(&bob, transfer_stake_call(&eve, &hotkey, STAKE / 4)),
            "LockHotkeyMismatch"
        );
        assert_eq!(reject(true), "ok");
        assert!(!AccountFlags::<Runtime>::contains_key(&eve));
    });
}

#[test]
fn locks_follow_swapped_keys() {
    with_stake(|bob, hotkey| {
        assert_eq!(attempt(&bob, lock(&hotkey, BABELBIT, STAKE)), "ok");
        Subtensor::swap_hotkey_of_locks(BABELBIT, &hotkey, &key(3));
        assert_eq!(Subtensor::lock_of(&bob, BABELBIT).map(|(hotkey, _)| hotkey), Some(key(3)));
        check_totals();
        let new = account("Ferdie");
        DecayingLock::<Runtime>::insert(&bob, BABELBIT, false);
        Subtensor::set_accepts_locked_alpha(&bob, true);
        Subtensor::subtract_from_total_lock(
            BABELBIT,
            &key(3),
            LockKind::ALL[1],
            Subtensor::lock_of(&bob, BABELBIT).unwrap().1,
        );
        Subtensor::add_to_total_lock(
            BABELBIT,
            &key(3),
            LockKind::ALL[0],
            Subtensor::lock_of(&bob, BABELBIT).unwrap().1,
        );
        Subtensor::swap_coldkey_of_locks(&bob, &new).unwrap();
        assert_eq!((locked_alpha(&bob), locked_alpha(&new)), (0, STAKE));
        assert_eq!(DecayingLock::<Runtime>::get(&new, BABELBIT), Some(false));
        assert!(Subtensor::accepts_locked_alpha(&new) && !Subtensor::accepts_locked_alpha(&bob));
        check_totals();
        assert_eq!(outcome(Subtensor::swap_coldkey_of_locks(&bob, &new)), "ActiveLockExists");
        Subtensor::remove_locks(BABELBIT);
        assert_eq!(Lock::<Runtime>::iter().count() + HotkeyLock::<Runtime>::iter().count(), 0);
        assert_eq!(DecayingLock::<Runtime>::iter().count(), 0);
    });
}

#[test]
fn owner_cut_is_locked_if_enabled() {
    with_stake(|_, _| {
        let alice = account("Alice");
        let owner_hotkey = account("Alice_hk");
        Subtensor::increase_stake(&owner_hotkey, &alice, BABELBIT, AlphaBalance(STAKE));
        Subtensor::lock_owner_cut(BABELBIT, &alice, AlphaBalance(1_000));
        assert_eq!(locked_alpha(&alice), 0);
        let call =
            |netuid| crate::admin_utils::Call::<Runtime>::sudo_set_owner_cut_auto_lock_enabled {
                netuid,
                enabled: true,
            };
        assert_eq!(attempt(&account("Bob"), call(BABELBIT)), "BadOrigin");
        assert_eq!(outcome(send_as_root(call(NetUid::ROOT))), "NotPermittedOnRootSubnet");
        assert_eq!(outcome(send_as_root(call(BABELBIT))), "ok");
        Subtensor::lock_owner_cut(BABELBIT, &alice, AlphaBalance(1_000));
        assert_eq!(locked_alpha(&alice), 1_000);
        assert!(SubtokenEnabled::<Runtime>::get(BABELBIT));
        check_totals();
    });
}

#[test]
fn highest_conviction_takes_over_old_subnet() {
    with_stake(|bob, hotkey| {
        let (alice, charlie) = (account("Alice"), account("Charlie"));
        let age = u32::try_from(ownership::MIN_AGE).unwrap();
        let owner = || SubnetOwner::<Runtime>::get(BABELBIT);
        let set_alpha_out =
            |alpha: u64| SubnetAlphaOut::<Runtime>::insert(BABELBIT, AlphaBalance(alpha));
        assert_eq!(
            attempt(&bob, Call::set_perpetual_lock { netuid: BABELBIT, enabled: true }),
            "ok"
        );
        assert_eq!(attempt(&bob, lock(&hotkey, BABELBIT, STAKE)), "ok");
        // In a year, more than 90 % of the stake become conviction.
        set_alpha_out(STAKE * 9);
        jump_to(age - 1);
        Subtensor::change_owner_by_conviction(BABELBIT);
        assert_eq!(owner(), alice, "the subnet is too young");
        jump_to(age);
        set_alpha_out(STAKE * 10);
        Subtensor::change_owner_by_conviction(BABELBIT);
        assert_eq!(owner(), alice, "the conviction is too low");
        set_alpha_out(0);
        Subtensor::change_owner_by_conviction(BABELBIT);
        assert_eq!(owner(), alice, "there is no alpha");
        set_alpha_out(STAKE * 9);
        assert_eq!(Subtensor::uid_of(BABELBIT, &hotkey), None);
        Subtensor::change_owner_by_conviction(BABELBIT);
        let netuid = BABELBIT;
        assert_eq!(
            last_event(),
            Event::SubnetOwnerChanged { netuid, old_coldkey: alice, new_coldkey: charlie.clone() }
        );
        assert_eq!(
            (owner(), SubnetOwnerHotkey::<Runtime>::get(BABELBIT)),
            (charlie.clone(), hotkey.clone())
        );
        assert!(Subtensor::uid_of(BABELBIT, &hotkey).is_some());
        // Locks on the owner hotkey count in full.
        assert_eq!(Subtensor::conviction_of(&hotkey, BABELBIT).to_num::<u64>(), STAKE);
        check_totals();

        // A stronger lock prevails at the next epoch.
        let (eve, other) = (account("Eve"), key(2));
        Subtensor::increase_stake(&other, &eve, BABELBIT, AlphaBalance(STAKE * 3));
        assert_eq!(
            attempt(&eve, Call::set_perpetual_lock { netuid: BABELBIT, enabled: true }),
            "ok"
        );
        assert_eq!(attempt(&eve, lock(&other, BABELBIT, STAKE * 3)), "ok");
        run_to(age + 1);
        assert_eq!(owner(), charlie, "without conviction yet");
        jump_to(2 * age);
        run_to(2 * age + 1);
        assert_eq!(
            (owner(), SubnetOwnerHotkey::<Runtime>::get(BABELBIT)),
            (account("Dave"), other)
        );
        check_totals();
    });
}

#[test]
fn lock_and_collateral_may_cover_the_same_stake() {
    with_stake(|_, hotkey| {
        let charlie = account("Charlie");
        Subtensor::increase_stake(&hotkey, &charlie, BABELBIT, AlphaBalance(STAKE));
        SubnetAlphaOut::<Runtime>::mutate(BABELBIT, |out| out.0 += STAKE);
        let (netuid, alpha, limit_price) =
            (BABELBIT, AlphaBalance(STAKE / 10 * 6), TaoBalance::ZERO);
        let collateral =
            Call::<Runtime>::add_collateral { netuid, hotkey: hotkey.clone(), alpha, limit_price };
        assert_eq!(attempt(&charlie, collateral), "ok");
        assert_eq!(attempt(&charlie, lock(&hotkey, BABELBIT, STAKE / 10 * 3)), "ok");
        // Neither limits the other: stake beyond the lock can be transferred until only the
        // collateral is left.
        assert_eq!(
            attempt(&charlie, transfer_stake_call(&account("Eve"), &hotkey, STAKE / 10 * 4 - 10)),
            "ok"
        );
        assert_eq!((locked_alpha(&charlie), locked_alpha(&account("Eve"))), (STAKE / 10 * 3, 0));
        assert_eq!(attempt(&charlie, lock(&hotkey, BABELBIT, STAKE / 10 * 2)), "ok");
        assert_eq!(Subtensor::unavailable_stake(&charlie, BABELBIT).0, STAKE / 10 * 11);
        assert!(Subtensor::total_stake_of(&charlie, BABELBIT).0.abs_diff(STAKE / 10 * 6) <= 20);
        // Both together hold the stake on the subnet.
        assert_eq!(attempt(&charlie, unstake(&hotkey, STAKE / 10)), "StakeUnavailable");
    });
}
