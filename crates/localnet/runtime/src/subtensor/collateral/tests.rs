use substrate_fixed::types::I96F32;

use super::registration::RegistrationCharge;
use super::*;
use crate::info::metagraph::Metagraph;
use crate::runtime::{AccountId, Runtime, RuntimeEvent, System};
use crate::subtensor::{
    Burn, Call, CollateralLockShare, MaxBurn, RAORecycledForRegistration, SubnetAlphaOut,
    SubnetMovingPrice, SubnetTAO, SubtokenEnabled, TotalIssuance, TotalStake, TxRateLimit,
};
use crate::testing::{
    BABELBIT, Subtensor, account, at_first_block, attempt, balance, jump_to, key, last_event,
    outcome, send_as_root,
};
use crate::types::{MechId, TaoBalance};

mod emission;

const TAO: u64 = 1_000_000_000;
/// Half of the registration price.
const HALF: u16 = u16::MAX / 2 + 1;

fn register(hotkey: u32) -> Call<Runtime> {
    Call::burned_register { netuid: BABELBIT, hotkey: key(hotkey) }
}

fn add(hotkey: u32, alpha: u64, limit: u64) -> Call<Runtime> {
    let (alpha, limit_price) = (AlphaBalance(alpha), TaoBalance(limit));
    Call::add_collateral { netuid: BABELBIT, hotkey: key(hotkey), alpha, limit_price }
}

fn set_min(hotkey: u32, min: u64) -> Call<Runtime> {
    Call::set_min_collateral {
        netuid: BABELBIT,
        hotkey: key(hotkey),
        min_locked: AlphaBalance(min),
    }
}

fn unstake(hotkey: u32, alpha: u64) -> Call<Runtime> {
    Call::remove_stake {
        hotkey: key(hotkey),
        netuid: BABELBIT,
        amount_unstaked: AlphaBalance(alpha),
    }
}

/// Runs a test at block 10 on a subnet whose registrations cost one TAO, half of which is locked.
fn with_collateral(test: impl FnOnce(AccountId)) {
    at_first_block(|| {
        jump_to(10);
        CollateralLockShare::<Runtime>::insert(BABELBIT, HALF);
        Burn::<Runtime>::insert(BABELBIT, TaoBalance(TAO));
        MaxBurn::<Runtime>::insert(BABELBIT, TaoBalance(u64::MAX));
        test(account("Bob"));
    });
}

/// Runs a test in which Bob owns two hotkeys, with 100 alpha on the first one.
fn with_stake(test: impl FnOnce(AccountId)) {
    at_first_block(|| {
        jump_to(10);
        let bob = account("Bob");
        for hotkey in 1..=2 {
            Subtensor::own_hotkey(&bob, &key(hotkey)).unwrap();
        }
        add_stake(&bob, 1, 100 * TAO);
        test(bob);
    });
}

fn add_stake(coldkey: &AccountId, hotkey: u32, alpha: u64) {
    SubnetAlphaOut::<Runtime>::mutate(BABELBIT, |out| out.0 += alpha);
    Subtensor::increase_stake(&key(hotkey), coldkey, BABELBIT, AlphaBalance(alpha));
}

fn state(hotkey: u32, coldkey: &AccountId) -> Option<MinerCollateralState> {
    MinerCollateral::<Runtime>::get((BABELBIT, key(hotkey), coldkey))
}

/// Returns locked, minimum and earned alpha of Bob's collateral on a hotkey.
fn amounts(hotkey: u32) -> (u64, u64, u64) {
    state(hotkey, &account("Bob"))
        .map_or((0, 0, 0), |state| (state.locked.0, state.min_locked.0, state.earned.0))
}

fn stake(hotkey: u32) -> u64 {
    Subtensor::stake_of(&key(hotkey), &account("Bob"), BABELBIT).0
}

/// Checks that totals and lists agree with the collateral.
fn assert_totals_agree() {
    let mut positions = 0;
    for (netuid, coldkey, hotkeys) in ColdkeyCollateralHotkeys::<Runtime>::iter() {
        assert!(!hotkeys.is_empty());
        positions += hotkeys.len();
        let locked: u64 =
            hotkeys.iter().map(|hotkey| Subtensor::collateral_of(netuid, hotkey, &coldkey).0).sum();
        assert_eq!(ColdkeyMinerCollateral::<Runtime>::get(netuid, &coldkey).0, locked);
        assert_eq!(ColdkeyMinerCollateral::<Runtime>::contains_key(netuid, &coldkey), locked > 0);
        for hotkey in &hotkeys {
            let locked = Subtensor::collateral_of(netuid, hotkey, &coldkey);
            // Stakes are rounded down.
            assert!(locked.0 <= Subtensor::stake_of(hotkey, &coldkey, netuid).0 + 10);
        }
    }
    assert_eq!(positions, MinerCollateral::<Runtime>::iter().count());
    assert!(positions > 0 || ColdkeyMinerCollateral::<Runtime>::iter().next().is_none());
    let expected_issuance =
        pallet_balances::TotalIssuance::<Runtime>::get() + TotalStake::<Runtime>::get().0;
    assert_eq!(TotalIssuance::<Runtime>::get().0, expected_issuance);
}

#[test]
fn registration_locks_share_of_its_price() {
    with_collateral(|bob| {
        let (before, pool) = (balance(&bob), SubnetTAO::<Runtime>::get(BABELBIT).0);
        let out = SubnetAlphaOut::<Runtime>::get(BABELBIT).0;
        assert_eq!(attempt(&bob, register(1)), "ok");
        let fee = TAO * 33 / 65_535;
        assert_eq!(before - balance(&bob), TAO);
        assert_eq!(SubnetTAO::<Runtime>::get(BABELBIT).0 - pool, TAO - fee);
        // At 0.1 TAO for an alpha, half of the price buys 5 alpha, which are staked and locked; the
        // others are recycled.
        let (locked, ..) = amounts(1);
        assert!(locked.abs_diff(5 * TAO) < TAO / 100, "{locked}");
        assert_eq!(stake(1), locked);
        assert_eq!(SubnetAlphaOut::<Runtime>::get(BABELBIT).0 - out, locked);
        let recycled = RAORecycledForRegistration::<Runtime>::get(BABELBIT).0;
        assert!(
            recycled.abs_diff(TAO / 2) < TAO / 10_000,
            "only the recycled part is counted: {recycled}"
        );
        assert_eq!(state(1, &bob).unwrap().drain_ratio, U64F64::from_num(1));
        let amount = AlphaBalance(locked);
        let event = Event::CollateralLocked {
            netuid: BABELBIT,
            hotkey: key(1),
            locked: amount,
            total_locked: amount,
        };
        System::assert_has_event(RuntimeEvent::SubtensorModule(event));
        assert!(matches!(last_event(), Event::NeuronRegistered(BABELBIT, 1, _)));
        assert_totals_agree();
    });
}

#[test]
fn collateral_counts_for_the_next_registration() {
    with_collateral(|bob| {
        assert_eq!(attempt(&bob, register(1)), "ok");
        let (locked, ..) = amounts(1);
        // The collateral outlasts the registration, and nobody else's counts.
        Subtensor::replace_neuron(BABELBIT, 1, &key(9));
        Burn::<Runtime>::insert(BABELBIT, TaoBalance(TAO));
        CollateralDrainRatio::<Runtime>::insert(BABELBIT, U64F64::from_num(2));
        let charge = |hotkey: u32, coldkey: &AccountId| {
            let charge = Subtensor::registration_charge(BABELBIT, &key(hotkey), coldkey);
            (charge.recycled.0, charge.locked.0)
        };
        let (recycled, newly_locked) = charge(2, &bob);
        assert_eq!(
            (recycled + newly_locked, charge(1, &account("Eve"))),
            (TAO, (recycled, newly_locked))
        );
        let missing = newly_locked - locked / 10;
        assert!(charge(1, &bob).1.abs_diff(missing) <= 3, "at the moving price of 0.1 TAO");
        // The spot price does not count, and without a moving price nothing does.
        SubnetMovingPrice::<Runtime>::insert(BABELBIT, I96F32::from_num(0));
        assert_eq!(charge(1, &bob), (recycled, newly_locked));
        SubnetMovingPrice::<Runtime>::insert(BABELBIT, I96F32::from_num(1));
        assert_eq!(charge(1, &bob), (recycled, 0));
        let before = balance(&bob);
        assert_eq!(attempt(&bob, register(1)), "ok");
        assert_eq!(before - balance(&bob), recycled);
        assert_eq!(
            (amounts(1).0, state(1, &bob).unwrap().drain_ratio),
            (locked, U64F64::from_num(2))
        );
        assert_totals_agree();
    });
}

#[test]
fn collateral_purchase_above_slippage_limit_is_refused() {
    with_collateral(|bob| {
        // The pool has 1 000 TAO: the price rises by 5 % with about 25 TAO.
        Burn::<Runtime>::insert(BABELBIT, TaoBalance(26 * TAO));
        assert_eq!(attempt(&bob, register(1)), "SlippageTooHigh");
        CollateralLockShare::<Runtime>::insert(BABELBIT, 0);
        assert_eq!(attempt(&bob, register(1)), "ok");
        CollateralLockShare::<Runtime>::insert(BABELBIT, HALF);
        Burn::<Runtime>::insert(BABELBIT, TaoBalance(20 * TAO));
        assert_eq!(attempt(&bob, register(2)), "ok");
        Burn::<Runtime>::insert(BABELBIT, TaoBalance(u64::MAX));
        assert_eq!(attempt(&bob, register(3)), "NotEnoughBalanceToStake");
        assert_totals_agree();
    });
}

#[test]
fn collateral_share_is_rounded_down() {
    let charge = RegistrationCharge { recycled: TaoBalance(1), locked: TaoBalance(2) };
    assert_eq!((charge.total(), charge.collateral_part(10)), (TaoBalance(3), 6));
    let extreme = RegistrationCharge { recycled: TaoBalance(0), locked: TaoBalance(u64::MAX) };
    assert_eq!(extreme.collateral_part(u64::MAX), u64::MAX);
    let no_charge = RegistrationCharge { recycled: TaoBalance(0), locked: TaoBalance(0) };
    assert_eq!(no_charge.collateral_part(5), 0);
}

#[test]
fn free_stake_is_locked_before_alpha_is_bought() {
    with_stake(|bob| {
        let before = balance(&bob);
        assert_eq!(attempt(&bob, add(1, 60 * TAO, 0)), "ok");
        assert_eq!((amounts(1), balance(&bob)), ((60 * TAO, 0, 0), before));
        let (netuid, hotkey, locked) = (BABELBIT, key(1), AlphaBalance(60 * TAO));
        assert_eq!(
            last_event(),
            Event::CollateralLocked { netuid, hotkey, locked, total_locked: locked }
        );
        // Of 50 alpha, 40 are free; the others are bought at or below the limit.
        assert_eq!(attempt(&bob, add(1, 50 * TAO, 100_000_000)), "PriceLimitExceeded");
        assert_eq!(attempt(&bob, add(1, 50 * TAO, 100_000_001)), "SlippageTooHigh");
        assert_eq!(attempt(&bob, add(1, 50 * TAO, 200_000_000)), "ok");
        assert!((before - balance(&bob)).abs_diff(TAO) <= 2, "{}", before - balance(&bob));
        let (locked, ..) = amounts(1);
        assert!(locked.abs_diff(110 * TAO) < TAO / 10, "{locked}");
        assert!(locked.abs_diff(stake(1)) <= 1);
        assert_eq!(amounts(2), (0, 0, 0));
        assert_totals_agree();
    });
}

#[test]
fn invalid_collateral_is_refused() {
    with_stake(|bob| {
        let add_on = |netuid| Call::add_collateral {
            netuid,
            hotkey: key(1),
            alpha: AlphaBalance(TAO),
            limit_price: TaoBalance(TAO),
        };
        assert_eq!(outcome(send_as_root(add(1, TAO, TAO))), "BadOrigin");
        assert_eq!(attempt(&bob, add_on(NetUid::ROOT)), "RegistrationNotPermittedOnRootSubnet");
        assert_eq!(attempt(&bob, add_on(NetUid(77))), "SubnetNotExists");
        assert_eq!(attempt(&bob, add_on(NetUid(18))), "SubtokenDisabled");
        assert_eq!(attempt(&bob, add(99, TAO, TAO)), "HotKeyAccountNotExists");
        assert_eq!(attempt(&account("Eve"), add(1, TAO, TAO)), "NonAssociatedColdKey");
        assert_eq!(attempt(&bob, add(1, 0, TAO)), "AmountTooLow");
        assert_eq!(attempt(&bob, add(2, 1, TAO)), "AmountTooLow", "less than a rao of TAO");
        assert_eq!(
            attempt(&bob, add(2, 1_000, TAO)),
            "AmountTooLow",
            "less than the minimum stake"
        );
        assert_eq!(attempt(&bob, add(2, u64::MAX, u64::MAX)), "InsufficientLiquidity");
        SubnetMovingPrice::<Runtime>::insert(BABELBIT, I96F32::from_num(-1));
        assert_eq!(attempt(&bob, add(2, TAO, TAO)), "InsufficientLiquidity");
        SubnetMovingPrice::<Runtime>::insert(BABELBIT, I96F32::from_num(1));
        assert_eq!(attempt(&bob, add(2, balance(&bob), u64::MAX)), "NotEnoughBalanceToStake");
        assert_totals_agree();
        SubtokenEnabled::<Runtime>::insert(BABELBIT, false);
        assert_eq!(attempt(&bob, add(1, TAO, TAO)), "SubtokenDisabled");
    });
}

#[test]
fn collateral_minimum_is_set_and_removed() {
    with_stake(|bob| {
        assert_eq!(outcome(send_as_root(set_min(1, 5))), "BadOrigin");
        let set_min_on = |netuid| Call::set_min_collateral {
            netuid,
            hotkey: key(1),
            min_locked: AlphaBalance(5),
        };
        assert_eq!(attempt(&bob, set_min_on(NetUid::ROOT)), "RegistrationNotPermittedOnRootSubnet");
        assert_eq!(attempt(&bob, set_min_on(NetUid(77))), "SubnetNotExists");
        assert_eq!(attempt(&bob, set_min(99, 5)), "HotKeyAccountNotExists");
        assert_eq!(attempt(&account("Eve"), set_min(1, 5)), "NonAssociatedColdKey");
        assert_eq!(attempt(&bob, set_min(1, 0)), "ok");
        assert_eq!(state(1, &bob), None);
        assert_eq!(attempt(&bob, set_min(1, u64::MAX)), "ok");
        assert_eq!(amounts(1), (0, u64::MAX, 0));
        let (netuid, hotkey, min_locked) = (BABELBIT, key(1), AlphaBalance(u64::MAX));
        assert_eq!(last_event(), Event::MinCollateralSet { netuid, hotkey, min_locked });
        assert_totals_agree();
        // A minimum alone locks no stake.
        assert_eq!(attempt(&bob, unstake(1, 50 * TAO)), "ok");
        assert_eq!(attempt(&bob, add(1, 10 * TAO, 0)), "ok");
        assert_eq!(attempt(&bob, set_min(1, 0)), "ok");
        assert_eq!(amounts(1), (10 * TAO, 0, 0));
        assert_totals_agree();
    });
}

#[test]
fn hotkeys_with_collateral_per_coldkey_are_limited() {
    with_collateral(|bob| {
        for hotkey in 0..MAX_COLLATERAL_HOTKEYS {
            Subtensor::own_hotkey(&bob, &key(hotkey)).unwrap();
            assert_eq!(attempt(&bob, set_min(hotkey, 5)), "ok");
        }
        Subtensor::own_hotkey(&bob, &key(100)).unwrap();
        add_stake(&bob, 100, TAO);
        assert_eq!(attempt(&bob, set_min(100, 5)), "ColdkeyCollateralPositionsFull");
        assert_eq!(attempt(&bob, add(100, TAO, 0)), "ColdkeyCollateralPositionsFull");
        assert_eq!(attempt(&bob, register(100)), "ColdkeyCollateralPositionsFull");
        assert_eq!(attempt(&bob, set_min(100, 0)), "ok");
        assert_eq!(attempt(&bob, register(7)), "ok");
        assert_eq!(attempt(&bob, set_min(3, 0)), "ok");
        assert_eq!(attempt(&bob, register(100)), "ok");
        assert_totals_agree();
    });
}

#[test]
fn collateral_cannot_be_unstaked() {
    with_stake(|bob| {
        add_stake(&bob, 2, 100 * TAO);
        assert_eq!(attempt(&bob, add(1, 60 * TAO, 0)), "ok");
        let (too_much, hotkey, netuid) = (AlphaBalance(40 * TAO + 10), key(1), BABELBIT);
        assert_eq!(attempt(&bob, unstake(1, too_much.0)), "StakeUnavailable");
        let burn = Call::burn_alpha { hotkey: hotkey.clone(), amount: too_much, netuid };
        assert_eq!(attempt(&bob, burn), "StakeUnavailable");
        let recycle = Call::recycle_alpha { hotkey: hotkey.clone(), amount: too_much, netuid };
        assert_eq!(attempt(&bob, recycle), "StakeUnavailable");
        // Nor can it move to another hotkey or coldkey within the subnet.
        for (coldkey, destination_netuid) in [(&bob, NetUid::ROOT), (&account("Eve"), BABELBIT)] {
            let transfer = Call::transfer_stake {
                destination_coldkey: coldkey.clone(),
                hotkey: hotkey.clone(),
                origin_netuid: BABELBIT,
                destination_netuid,
                alpha_amount: too_much,
            };
            assert_eq!(attempt(&bob, transfer), "StakeUnavailable");
        }
        let move_stake = Call::move_stake {
            origin_hotkey: hotkey.clone(),
            destination_hotkey: key(2),
            origin_netuid: BABELBIT,
            destination_netuid: BABELBIT,
            alpha_amount: too_much,
        };
        assert_eq!(attempt(&bob, move_stake), "StakeUnavailable");
        // Free stake, and all stake on the other hotkey, can be withdrawn.
        assert_eq!(attempt(&bob, unstake(2, 100 * TAO)), "ok");
        assert_eq!(attempt(&bob, Call::unstake_all { hotkey: hotkey.clone() }), "StakeUnavailable");
        assert_eq!(attempt(&bob, unstake(1, 40 * TAO - 10)), "ok");
        assert_eq!(attempt(&bob, unstake(1, TAO)), "StakeUnavailable");
        assert_totals_agree();
        let available = crate::info::stake::availability::<Runtime>(vec![bob.clone()], None);
        let subnet_amounts = &available[&bob][&BABELBIT];
        assert_eq!(subnet_amounts.locked.0.0, 0);
        assert!(subnet_amounts.available.0.0 <= 10 && subnet_amounts.total.0.0 >= 60 * TAO);
    });
}

#[test]
fn unstake_all_leaves_stake_of_hotkey_with_collateral() {
    with_stake(|bob| {
        add_stake(&bob, 2, 500 * TAO);
        assert_eq!(attempt(&bob, add(1, 60 * TAO, 0)), "ok");
        // The coldkey has enough free stake in total, but not on this hotkey: its stake stays.
        assert_eq!(attempt(&bob, Call::unstake_all { hotkey: key(1) }), "ok");
        assert_eq!(stake(1), 100 * TAO);
        assert_eq!(attempt(&bob, Call::unstake_all { hotkey: key(2) }), "ok");
        assert_eq!(stake(2), 0);
        assert_totals_agree();
    });
}

#[test]
fn collateral_and_locks_add_up_to_unavailable_stake() {
    with_stake(|bob| {
        assert_eq!(attempt(&bob, add(1, 60 * TAO, 0)), "ok");
        let lock =
            Call::lock_stake { hotkey: key(1), netuid: BABELBIT, amount: AlphaBalance(30 * TAO) };
        assert_eq!(attempt(&bob, lock), "ok");
        assert_eq!(Subtensor::unavailable_stake(&bob, BABELBIT).0, 90 * TAO);
        assert_eq!(attempt(&bob, unstake(1, 11 * TAO)), "StakeUnavailable");
        assert_eq!(attempt(&bob, unstake(1, 9 * TAO)), "ok");
    });
}

#[test]
fn collateral_moves_with_swapped_keys() {
    with_stake(|bob| {
        TxRateLimit::<Runtime>::put(0);
        Subtensor::append_neuron(BABELBIT, &key(1));
        assert_eq!(attempt(&bob, add(1, 60 * TAO, 0)), "ok");
        assert_eq!(attempt(&bob, set_min(1, 5)), "ok");
        let swap = |netuid, keep_stake, new: u32| Call::swap_hotkey_v2 {
            hotkey: key(1),
            new_hotkey: key(new),
            netuid,
            keep_stake,
        };
        for netuid in [None, Some(BABELBIT)] {
            assert_eq!(attempt(&bob, swap(netuid, true, 3)), "KeepStakeBlockedByCollateral");
        }
        // On the new hotkey, the collaterals add up, with the slower drain ratio.
        CollateralDrainRatio::<Runtime>::insert(BABELBIT, U64F64::from_num(0.5));
        add_stake(&bob, 2, 10 * TAO);
        assert_eq!(attempt(&bob, add(2, 10 * TAO, 0)), "ok");
        assert_eq!(attempt(&bob, swap(Some(BABELBIT), false, 2)), "ok");
        assert_eq!((state(1, &bob), amounts(2)), (None, (70 * TAO, 5, 0)));
        assert_eq!(state(2, &bob).unwrap().drain_ratio, U64F64::from_num(0.5));
        assert_totals_agree();
        let (new, swap_cost) = (key(50), TaoBalance(0));
        let swap =
            Call::swap_coldkey { old_coldkey: bob.clone(), new_coldkey: new.clone(), swap_cost };
        assert_eq!(outcome(send_as_root(swap)), "ok");
        assert_eq!(
            (state(2, &bob), Subtensor::collateral_of(BABELBIT, &key(2), &new).0),
            (None, 70 * TAO)
        );
        assert_eq!(attempt(&new, unstake(2, 41 * TAO)), "StakeUnavailable");
        assert_totals_agree();
    });
}

#[test]
fn coldkey_swap_with_incomplete_collateral_is_refused() {
    with_stake(|bob| {
        ColdkeyMinerCollateral::<Runtime>::insert(BABELBIT, &bob, AlphaBalance(1));
        let (new_coldkey, swap_cost) = (key(50), TaoBalance(0));
        let swap = Call::swap_coldkey { old_coldkey: bob, new_coldkey, swap_cost };
        assert_eq!(outcome(send_as_root(swap)), "ColdkeyCollateralIncomplete");
    });
}

#[test]
fn metagraph_contains_collateral() {
    with_stake(|bob| {
        Subtensor::append_neuron(BABELBIT, &key(1));
        assert_eq!(attempt(&bob, add(1, 60 * TAO, 0)), "ok");
        assert_eq!(attempt(&bob, set_min(1, 5)), "ok");
        MinerCollateral::<Runtime>::mutate((BABELBIT, key(1), &bob), |state| {
            state.as_mut().unwrap().earned.0 = 9;
        });
        let metagraph = Metagraph::read::<Runtime>(BABELBIT, MechId(0)).unwrap();
        let last = |column: &[codec::Compact<AlphaBalance>]| (column.len(), column[1].0.0);
        assert_eq!(last(&metagraph.collateral_locked), (2, 60 * TAO));
        assert_eq!(last(&metagraph.collateral_min), (2, 5));
        assert_eq!(last(&metagraph.collateral_earned), (2, 9));
    });
}

#[test]
fn dissolved_subnet_leaves_no_collateral() {
    with_stake(|bob| {
        assert_eq!(attempt(&bob, add(1, 60 * TAO, 0)), "ok");
        CollateralLockShare::<Runtime>::insert(BABELBIT, HALF);
        assert_eq!(outcome(send_as_root(Call::root_dissolve_network { netuid: BABELBIT })), "ok");
        assert_eq!(MinerCollateral::<Runtime>::iter().count(), 0);
        assert!(!CollateralLockShare::<Runtime>::contains_key(BABELBIT));
        assert_totals_agree();
    });
}

#[test]
fn collateral_share_and_ratio_are_bounded() {
    at_first_block(|| {
        use crate::admin_utils::Call as Admin;
        let share = |lock_share| Admin::<Runtime>::sudo_set_collateral_lock_share {
            netuid: BABELBIT,
            lock_share,
        };
        assert_eq!(attempt(&account("Bob"), share(1)), "BadOrigin");
        assert_eq!(outcome(send_as_root(share(62_258))), "ok");
        assert_eq!(outcome(send_as_root(share(62_259))), "CollateralLockShareTooHigh");
        let ratio = |ratio: U64F64| Admin::<Runtime>::sudo_set_collateral_drain_ratio {
            netuid: BABELBIT,
            drain_ratio: ratio,
        };
        assert_eq!(
            outcome(send_as_root(ratio(U64F64::from_num(0)))),
            "CollateralDrainRatioOutOfBounds"
        );
        assert_eq!(outcome(send_as_root(ratio(U64F64::from_bits(1)))), "ok");
        assert_eq!(outcome(send_as_root(ratio(U64F64::from_num(10)))), "ok");
        assert_eq!(
            outcome(send_as_root(ratio(U64F64::max_value()))),
            "CollateralDrainRatioOutOfBounds"
        );
        let on_root = Admin::<Runtime>::sudo_set_collateral_lock_share {
            netuid: NetUid::ROOT,
            lock_share: 1,
        };
        assert_eq!(outcome(send_as_root(on_root)), "NotPermittedOnRootSubnet");
    });
}
