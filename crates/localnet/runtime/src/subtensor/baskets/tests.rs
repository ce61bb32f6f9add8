use std::collections::BTreeSet;

use super::*;
use crate::runtime::{AccountId, Runtime};
use crate::subtensor::{Call, SubnetTAO, TotalIssuance, TotalStake};
use crate::testing::{
    BABELBIT, Subtensor, account, at_first_block, attempt, balance, key, last_event, outcome,
    send_as_root,
};

const TAO: u64 = 1_000_000_000;

/// Runs a test in which Bob has three times as much root stake on a validator as Charlie.
fn with_root_stakers(test: impl FnOnce(AccountId)) {
    at_first_block(|| {
        let hotkey = key(1);
        Subtensor::own_hotkey(&account("Dave"), &hotkey).unwrap();
        Subtensor::append_neuron(NetUid::ROOT, &hotkey);
        for (staker, tao) in [("Bob", 300), ("Charlie", 100)] {
            let (hotkey, amount_staked) = (hotkey.clone(), TaoBalance(tao * TAO));
            let call = Call::add_stake { hotkey, netuid: NetUid::ROOT, amount_staked };
            assert_eq!(attempt(&account(staker), call), "ok");
        }
        test(hotkey);
        let expected_issuance =
            pallet_balances::TotalIssuance::<Runtime>::get() + TotalStake::<Runtime>::get().0;
        assert_eq!(TotalIssuance::<Runtime>::get().0, expected_issuance);
        let pools: u64 = SubnetTAO::<Runtime>::iter_values().map(|tao| tao.0).sum();
        assert_eq!(TotalStake::<Runtime>::get().0, pools);
    });
}

/// Pays dividends that are worth about this much TAO.
fn earn(hotkey: &AccountId, tao: u64) -> u64 {
    let alpha = AlphaBalance(tao * 10 * TAO);
    SubnetAlphaOut::<Runtime>::mutate(BABELBIT, |out| *out = out.saturating_add(alpha));
    let before = Subtensor::basket_value(hotkey).0;
    Subtensor::fill_basket_with_dividends(hotkey, BABELBIT, alpha);
    Subtensor::basket_value(hotkey).0 - before
}

fn claimable_value(hotkey: &AccountId, who: &str) -> u64 {
    Subtensor::value_of_shares(hotkey, Subtensor::shares_of(hotkey, &account(who))).0
}

fn root_stake(hotkey: &AccountId, who: &str) -> u64 {
    Subtensor::stake_of(hotkey, &account(who), NetUid::ROOT).0
}

fn claim(who: &str) -> String {
    attempt(&account(who), Call::claim_root { subnets: BTreeSet::new() })
}

fn is_close(one: u64, other: u64) -> bool {
    one.abs_diff(other) <= 1_000
}

#[test]
fn dividends_are_shared_by_root_stake_and_claimed_as_root_stake() {
    with_root_stakers(|hotkey| {
        let value = earn(&hotkey, 8);
        assert!(value > 7 * TAO, "{value}");
        assert_eq!(BasketDepositedTao::<Runtime>::get(&hotkey).0, value);
        assert!(
            is_close(claimable_value(&hotkey, "Bob"), value / 4 * 3)
                && is_close(claimable_value(&hotkey, "Charlie"), value / 4)
        );
        assert_eq!(claim("Bob"), "ok");
        let Event::RootClaimed { coldkey, tao } = last_event() else {
            panic!("{:?}", last_event())
        };
        assert!(coldkey == account("Bob") && is_close(tao.0, value / 4 * 3));
        assert!(is_close(root_stake(&hotkey, "Bob"), 300 * TAO + tao.0));
        assert_eq!(BasketRedeemedTao::<Runtime>::get(&hotkey), tao);
        assert!(is_close(claimable_value(&hotkey, "Charlie"), value / 4), "the others keep theirs");
        // Nothing is claimed twice.
        assert_eq!(claim("Bob"), "ok");
        assert_eq!(
            last_event(),
            Event::RootClaimed { coldkey: account("Bob"), tao: TaoBalance::ZERO }
        );
        let call = Call::claim_root_with_hotkey { hotkey: hotkey.clone() };
        assert_eq!(attempt(&account("Charlie"), call), "ok");
        assert!(is_close(root_stake(&hotkey, "Charlie"), 100 * TAO + value / 4));
        assert!(Subtensor::basket_value(&hotkey).0 < 1_000);
    });
}

#[test]
fn stake_changes_keep_the_value_of_shares() {
    with_root_stakers(|hotkey| {
        let value = earn(&hotkey, 8);
        let add = Call::add_stake {
            hotkey: hotkey.clone(),
            netuid: NetUid::ROOT,
            amount_staked: TaoBalance(400 * TAO),
        };
        assert_eq!(attempt(&account("Eve"), add), "ok");
        assert!(claimable_value(&hotkey, "Eve") < 1_000, "it has earned nothing yet");
        let remove = Call::remove_stake {
            hotkey: hotkey.clone(),
            netuid: NetUid::ROOT,
            amount_unstaked: AlphaBalance(300 * TAO),
        };
        assert_eq!(attempt(&account("Bob"), remove), "ok");
        assert!(
            is_close(claimable_value(&hotkey, "Bob"), value / 4 * 3),
            "{}",
            claimable_value(&hotkey, "Bob")
        );
        let give = Call::transfer_stake {
            destination_coldkey: account("Ferdie"),
            hotkey: hotkey.clone(),
            origin_netuid: NetUid::ROOT,
            destination_netuid: NetUid::ROOT,
            alpha_amount: AlphaBalance(100 * TAO),
        };
        assert_eq!(attempt(&account("Charlie"), give), "ok");
        assert!(
            is_close(claimable_value(&hotkey, "Charlie"), value / 4)
                && claimable_value(&hotkey, "Ferdie") < 1_000
        );
        // Later dividends are shared by the current stakes. The part that the basket's own stake
        // earns raises the value of all shares.
        let second_dividend = earn(&hotkey, 5);
        let all: u64 = ["Bob", "Charlie", "Eve", "Ferdie"]
            .iter()
            .map(|who| claimable_value(&hotkey, who))
            .sum();
        assert!(all.abs_diff(value + second_dividend) <= 10_000, "{all} {value} {second_dividend}");
        assert!(
            claimable_value(&hotkey, "Eve").abs_diff(claimable_value(&hotkey, "Ferdie") * 4)
                <= 10_000
        );
    });
}

#[test]
fn basket_shares_can_be_bought() {
    with_root_stakers(|hotkey| {
        let buy = |who: &str, hotkey: &AccountId, rao| {
            let (hotkey, amount_staked) = (hotkey.clone(), TaoBalance(rao));
            attempt(&account(who), Call::stake_into_basket { hotkey, amount_staked })
        };
        assert_eq!(buy("Eve", &key(99), TAO), "HotKeyAccountNotExists");
        Subtensor::own_hotkey(&account("Dave"), &key(4)).unwrap();
        assert_eq!(buy("Eve", &key(4), TAO), "HotKeyNotRegisteredInSubNet");
        for rao in [0, 1, 1_999_999] {
            assert_eq!(buy("Eve", &hotkey, rao), "AmountTooLow");
        }
        assert_eq!(buy("Eve", &hotkey, u64::MAX), "NotEnoughBalanceToStake");
        let value = earn(&hotkey, 8);
        let before = balance(&account("Eve"));
        assert_eq!(buy("Eve", &hotkey, 10 * TAO), "ok");
        assert!(
            matches!(last_event(), Event::BasketStakedIn { tao: TaoBalance(paid), .. } if paid == 10 * TAO)
        );
        assert_eq!(balance(&account("Eve")), before - 10 * TAO);
        assert!(
            is_close(claimable_value(&hotkey, "Eve"), 10 * TAO)
                && is_close(claimable_value(&hotkey, "Bob"), value / 4 * 3)
        );
        assert_eq!(claim("Eve"), "ok");
        assert!(is_close(root_stake(&hotkey, "Eve"), 10 * TAO));
    });
}

#[test]
fn dividends_without_root_stake_are_recycled() {
    with_root_stakers(|_| {
        let unrelated = key(2);
        Subtensor::own_hotkey(&account("Dave"), &unrelated).unwrap();
        let issued = SubnetAlphaOut::<Runtime>::get(BABELBIT);
        assert_eq!(earn(&unrelated, 3), 0, "it has no root stake");
        assert_eq!(SubnetAlphaOut::<Runtime>::get(BABELBIT), issued);
        assert!(!BasketShares::<Runtime>::contains_key(&unrelated));
    });
}

#[test]
fn claim_below_threshold_pays_nothing() {
    with_root_stakers(|hotkey| {
        let set = |netuid, new_value| Call::<Runtime>::sudo_set_root_claim_threshold {
            netuid,
            new_value,
        };
        assert_eq!(attempt(&account("Bob"), set(NetUid::ROOT, 1)), "BadOrigin");
        assert_eq!(outcome(send_as_root(set(NetUid(77), 1))), "InvalidRootClaimThreshold");
        assert_eq!(outcome(send_as_root(set(BABELBIT, 1))), "InvalidRootClaimThreshold");
        for value in [10_000_001, u64::MAX] {
            assert_eq!(
                outcome(send_as_root(set(NetUid::ROOT, value))),
                "InvalidRootClaimThreshold"
            );
        }
        assert_eq!(outcome(send_as_root(set(NetUid::ROOT, 10_000_000))), "ok");
        let call = Call::stake_into_basket {
            hotkey: hotkey.clone(),
            amount_staked: TaoBalance(9_999_999),
        };
        assert_eq!(attempt(&account("Eve"), call), "ok");
        assert_eq!(claim("Eve"), "ok");
        assert_eq!(root_stake(&hotkey, "Eve"), 0);
        assert_eq!(outcome(send_as_root(set(NetUid::ROOT, 0))), "ok");
        assert_eq!(claim("Eve"), "ok");
        assert_eq!(root_stake(&hotkey, "Eve"), 9_999_999);
    });
}

#[test]
fn shares_follow_swapped_keys() {
    with_root_stakers(|hotkey| {
        let value = earn(&hotkey, 8);
        let swap = Call::swap_hotkey { hotkey: hotkey.clone(), new_hotkey: key(3), netuid: None };
        assert_eq!(attempt(&account("Dave"), swap), "ok");
        assert!(
            is_close(claimable_value(&key(3), "Bob"), value / 4 * 3)
                && claimable_value(&hotkey, "Bob") == 0
        );
        assert!(
            !BasketShares::<Runtime>::contains_key(&hotkey)
                && !BasketRate::<Runtime>::contains_key(&hotkey)
        );
        let (old_coldkey, new_coldkey, swap_cost) = (account("Bob"), key(50), TaoBalance::ZERO);
        assert_eq!(
            outcome(send_as_root(Call::swap_coldkey { old_coldkey, new_coldkey, swap_cost })),
            "ok"
        );
        let shares = Subtensor::shares_of(&key(3), &key(50));
        assert!(is_close(Subtensor::value_of_shares(&key(3), shares).0, value / 4 * 3));
        assert_eq!(claimable_value(&key(3), "Bob"), 0);
    });
}
