use codec::Encode;
use sp_core::H256;
use sp_io::hashing::blake2_256;
use sp_runtime::PerU16;
use substrate_fixed::types::I96F32;

use super::*;
use crate::runtime::{AccountId, Runtime};
use crate::subtensor::types::{AxonInfo, ChainIdentityV2, RateLimitKey};
use crate::subtensor::{
    AutoStakeDestination, AutoStakeDestinationColdkeys, Axons, Call, ColdkeyRoot, ColdkeySuccessor,
    ColdkeySwapAnnouncements, ColdkeySwapDisputes, Delegates, Event, HotkeyRoot, HotkeySuccessor,
    IdentitiesV2, IsNetworkMember, LastRateLimitedBlock, OwnedHotkeys, RootClaimable,
    StakingHotkeys, SubnetOwner, SubnetOwnerHotkey, TotalIssuance, TotalStake, TxRateLimit,
    WeightCommits,
};
use crate::testing::{
    BABELBIT, Subtensor, account, at_first_block, attempt, balance, jump_to, key, last_event,
    outcome, send_as_root,
};
use crate::types::{AlphaBalance, MechId, NetUid};

const STAKE: AlphaBalance = AlphaBalance(5_000_000_000);

/// Runs a test at block 10, where Bob's hotkey is a neuron with the stake of Bob and Charlie.
fn with_neuron(test: impl FnOnce(AccountId, AccountId)) {
    at_first_block(|| {
        jump_to(10);
        let (bob, hotkey) = (account("Bob"), key(1));
        Subtensor::own_hotkey(&bob, &hotkey).unwrap();
        Subtensor::append_neuron(BABELBIT, &hotkey);
        for staker in ["Bob", "Charlie"] {
            for netuid in [BABELBIT, NetUid::ROOT] {
                Subtensor::increase_stake(&hotkey, &account(staker), netuid, STAKE);
            }
        }
        test(bob, hotkey);
    });
}

fn swap(
    old: &AccountId,
    new: &AccountId,
    netuid: Option<NetUid>,
    keep_stake: bool,
) -> Call<Runtime> {
    Call::swap_hotkey_v2 { hotkey: old.clone(), new_hotkey: new.clone(), netuid, keep_stake }
}

fn stake(hotkey: &AccountId, staker: &str, netuid: NetUid) -> AlphaBalance {
    Subtensor::stake_of(hotkey, &account(staker), netuid)
}

/// Checks that every rao is on an account or in a pool.
fn check_issuance() {
    let expected_issuance =
        pallet_balances::TotalIssuance::<Runtime>::get() + TotalStake::<Runtime>::get().0;
    assert_eq!(TotalIssuance::<Runtime>::get().0, expected_issuance);
}

#[test]
fn invalid_hotkey_swap_is_refused() {
    with_neuron(|bob, old| {
        let new = key(2);
        let on_babelbit = Some(BABELBIT);
        assert_eq!(attempt(&bob, swap(&old, &new, Some(NetUid(77)), false)), "SubnetNotExists");
        assert_eq!(
            attempt(&account("Charlie"), swap(&old, &new, on_babelbit, false)),
            "NonAssociatedColdKey"
        );
        assert_eq!(attempt(&bob, swap(&key(99), &new, on_babelbit, false)), "NonAssociatedColdKey");
        assert_eq!(
            attempt(&bob, swap(&old, &account("Alice_hk"), on_babelbit, false)),
            "NonAssociatedColdKey"
        );
        assert_eq!(attempt(&bob, swap(&old, &old, on_babelbit, false)), "NewHotKeyIsSameWithOld");
        let subnet = crate::info::subnet::account::<Runtime>(BABELBIT).unwrap();
        assert_eq!(
            attempt(&bob, swap(&old, &subnet, on_babelbit, false)),
            "CannotUseSystemAccount"
        );
        Subtensor::own_hotkey(&bob, &new).unwrap();
        Subtensor::append_neuron(BABELBIT, &new);
        assert_eq!(
            attempt(&bob, swap(&old, &new, on_babelbit, false)),
            "HotKeyAlreadyRegisteredInSubNet"
        );
        assert_eq!(attempt(&bob, swap(&old, &new, None, false)), "HotKeyAlreadyRegisteredInSubNet");
        let staked = key(3);
        Subtensor::increase_stake(&staked, &bob, NetUid::ROOT, STAKE);
        assert_eq!(attempt(&bob, swap(&old, &staked, None, false)), "NewHotKeyNotCleanForRootSwap");
        assert_eq!(
            attempt(&bob, swap(&old, &staked, Some(NetUid::ROOT), false)),
            "NewHotKeyNotCleanForRootSwap"
        );
        let poor = key(50);
        Subtensor::own_hotkey(&poor, &key(51)).unwrap();
        assert_eq!(
            attempt(&poor, swap(&key(51), &key(52), None, false)),
            "NotEnoughBalanceToPaySwapHotKey"
        );
        assert_eq!(
            attempt(&poor, swap(&key(51), &key(52), on_babelbit, false)),
            "NotEnoughBalanceToPaySwapHotKey"
        );
    });
}

#[test]
fn hotkey_swap_moves_all_entries() {
    with_neuron(|bob, old| {
        let new = key(2);
        let index = BABELBIT.mechanism(MechId(0));
        Axons::<Runtime>::insert(BABELBIT, &old, AxonInfo { port: 9, ..AxonInfo::default() });
        WeightCommits::<Runtime>::insert(index, &old, vec![(H256::zero(), 1, 2, 3)]);
        AutoStakeDestination::<Runtime>::insert(account("Dave"), BABELBIT, &old);
        AutoStakeDestinationColdkeys::<Runtime>::insert(&old, BABELBIT, vec![account("Dave")]);
        SubnetOwnerHotkey::<Runtime>::insert(NetUid(18), &old);
        Delegates::<Runtime>::insert(&old, PerU16::from_percent(3));
        RootClaimable::<Runtime>::mutate(&old, |rates| rates.insert(BABELBIT, I96F32::from_num(1)));
        let uid = Subtensor::uid_of(BABELBIT, &old);
        let before = (balance(&bob), TotalIssuance::<Runtime>::get().0);
        assert_eq!(
            attempt(
                &bob,
                Call::swap_hotkey { hotkey: old.clone(), new_hotkey: new.clone(), netuid: None }
            ),
            "ok"
        );
        let (coldkey, old_hotkey, new_hotkey) = (bob.clone(), old.clone(), new.clone());
        assert_eq!(last_event(), Event::HotkeySwapped { coldkey, old_hotkey, new_hotkey });
        assert_eq!(
            (balance(&bob), TotalIssuance::<Runtime>::get().0),
            (before.0 - SWAP_COST.0, before.1 - SWAP_COST.0)
        );
        for staker in ["Bob", "Charlie"] {
            for netuid in [BABELBIT, NetUid::ROOT] {
                assert!(stake(&new, staker, netuid).0.abs_diff(STAKE.0) <= 1);
                assert_eq!(stake(&old, staker, netuid).0, 0);
            }
            assert_eq!(StakingHotkeys::<Runtime>::get(account(staker)), std::slice::from_ref(&new));
        }
        assert_eq!(Subtensor::uid_of(BABELBIT, &new), uid);
        assert_eq!(Subtensor::hotkey_at(BABELBIT, uid.unwrap()), new);
        assert!(!IsNetworkMember::<Runtime>::contains_key(&old, BABELBIT));
        assert_eq!(Axons::<Runtime>::get(BABELBIT, &new).map(|axon| axon.port), Some(9));
        assert!(
            WeightCommits::<Runtime>::get(index, &new).is_some()
                && Axons::<Runtime>::get(BABELBIT, &old).is_none()
        );
        assert_eq!(
            AutoStakeDestination::<Runtime>::get(account("Dave"), BABELBIT),
            Some(new.clone())
        );
        assert_eq!(AutoStakeDestinationColdkeys::<Runtime>::get(&new, BABELBIT), [account("Dave")]);
        assert_eq!(SubnetOwnerHotkey::<Runtime>::get(NetUid(18)), new);
        assert_eq!(Delegates::<Runtime>::get(&new), PerU16::from_percent(3));
        assert_eq!(RootClaimable::<Runtime>::get(&new).len(), 1);
        assert!(RootClaimable::<Runtime>::get(&old).is_empty());
        assert!(Subtensor::owns(&bob, &new) && !Subtensor::hotkey_exists(&old));
        assert_eq!(OwnedHotkeys::<Runtime>::get(&bob), std::slice::from_ref(&new));
        assert_eq!(HotkeySuccessor::<Runtime>::get(BABELBIT, &old), Some(new.clone()));
        assert_eq!(HotkeyRoot::<Runtime>::get(BABELBIT, &new), Some(old));
        check_issuance();
    });
}

#[test]
fn hotkey_swap_on_one_subnet_leaves_others() {
    with_neuron(|bob, old| {
        let new = key(2);
        let before = balance(&bob);
        assert_eq!(attempt(&bob, swap(&old, &new, Some(BABELBIT), false)), "ok");
        let (coldkey, old_hotkey, new_hotkey) = (bob.clone(), old.clone(), new.clone());
        let event =
            Event::HotkeySwappedOnSubnet { coldkey, old_hotkey, new_hotkey, netuid: BABELBIT };
        assert_eq!(last_event(), event);
        assert_eq!(balance(&bob), before - SUBNET_SWAP_COST.0);
        assert_eq!(stake(&old, "Bob", NetUid::ROOT), STAKE, "only one subnet is swapped");
        assert!(stake(&new, "Bob", BABELBIT).0.abs_diff(STAKE.0) <= 1);
        assert!(Subtensor::owns(&bob, &old) && Subtensor::owns(&bob, &new));
        check_issuance();
    });
}

#[test]
fn hotkey_swap_keeps_stake_on_request() {
    with_neuron(|bob, old| {
        let new = key(2);
        assert_eq!(attempt(&bob, swap(&old, &new, None, true)), "ok");
        assert_eq!(stake(&old, "Charlie", BABELBIT), STAKE);
        assert_eq!(stake(&new, "Charlie", BABELBIT).0, 0);
        assert!(Subtensor::uid_of(BABELBIT, &new).is_some());
        assert!(
            Subtensor::owns(&bob, &old) && Subtensor::owns(&bob, &new),
            "the stake needs an owned hotkey"
        );
        check_issuance();
    });
}

#[test]
fn hotkey_swaps_are_rate_limited() {
    with_neuron(|bob, old| {
        assert_eq!(attempt(&bob, swap(&old, &key(2), None, false)), "ok");
        assert_eq!(
            LastRateLimitedBlock::<Runtime>::get(RateLimitKey::LastTxBlock(bob.clone())),
            10
        );
        jump_to(1_010);
        assert_eq!(
            attempt(&bob, swap(&key(2), &key(3), None, false)),
            "HotKeySetTxRateLimitExceeded"
        );
        jump_to(1_011);
        assert_eq!(attempt(&bob, swap(&key(2), &key(3), None, false)), "ok");
        assert_eq!(
            HotkeyRoot::<Runtime>::get(BABELBIT, key(3)),
            Some(old),
            "the first of the lineage"
        );
        TxRateLimit::<Runtime>::put(0);
        jump_to(1_012);
        assert_eq!(
            attempt(&bob, swap(&key(3), &key(4), None, false)),
            "HotKeySwapOnSubnetIntervalNotPassed"
        );
        assert_eq!(
            attempt(&bob, swap(&key(3), &key(4), Some(BABELBIT), false)),
            "HotKeySwapOnSubnetIntervalNotPassed"
        );
        jump_to(1_013);
        assert_eq!(attempt(&bob, swap(&key(3), &key(4), Some(BABELBIT), false)), "ok");
    });
}

fn hash(coldkey: &AccountId) -> H256 {
    H256(blake2_256(&coldkey.encode()))
}

fn announce(new: &AccountId) -> Call<Runtime> {
    Call::announce_coldkey_swap { new_coldkey_hash: hash(new) }
}

fn execute(new: &AccountId) -> Call<Runtime> {
    Call::swap_coldkey_announced { new_coldkey: new.clone() }
}

#[test]
fn coldkey_is_swapped_after_its_announcement() {
    with_neuron(|bob, hotkey| {
        let new = key(70);
        assert_eq!(attempt(&bob, execute(&new)), "ColdkeySwapAnnouncementNotFound");
        assert_eq!(attempt(&key(71), announce(&new)), "NotEnoughBalanceToPaySwapColdKey");
        let before = balance(&bob);
        assert_eq!(attempt(&bob, announce(&new)), "ok");
        assert_eq!(
            last_event(),
            Event::ColdkeySwapAnnounced { who: bob.clone(), new_coldkey_hash: hash(&new) }
        );
        assert_eq!(balance(&bob), before - SWAP_COST.0);
        assert_eq!(ColdkeySwapAnnouncements::<Runtime>::get(&bob), Some((60, hash(&new))));
        assert_eq!(attempt(&bob, execute(&key(72))), "AnnouncedColdkeyHashDoesNotMatch");
        jump_to(59);
        assert_eq!(attempt(&bob, execute(&new)), "ColdkeySwapTooEarly");
        IdentitiesV2::<Runtime>::insert(&bob, ChainIdentityV2::default());
        SubnetOwner::<Runtime>::insert(NetUid(18), &bob);
        AutoStakeDestination::<Runtime>::insert(&bob, BABELBIT, &hotkey);
        AutoStakeDestinationColdkeys::<Runtime>::insert(&hotkey, BABELBIT, vec![bob.clone()]);
        jump_to(60);
        assert_eq!(attempt(&bob, execute(&account("Charlie"))), "AnnouncedColdkeyHashDoesNotMatch");
        assert_eq!(attempt(&bob, execute(&new)), "ok");
        assert_eq!(
            last_event(),
            Event::ColdkeySwapped { old_coldkey: bob.clone(), new_coldkey: new.clone() }
        );
        assert_eq!((balance(&bob), balance(&new)), (0, before - SWAP_COST.0));
        for netuid in [BABELBIT, NetUid::ROOT] {
            assert!(Subtensor::stake_of(&hotkey, &new, netuid).0.abs_diff(STAKE.0) <= 1);
            assert_eq!(stake(&hotkey, "Bob", netuid).0, 0);
            assert_eq!(stake(&hotkey, "Charlie", netuid), STAKE);
        }
        assert!(Subtensor::owns(&new, &hotkey) && OwnedHotkeys::<Runtime>::get(&bob).is_empty());
        assert_eq!(OwnedHotkeys::<Runtime>::get(&new), std::slice::from_ref(&hotkey));
        assert_eq!(StakingHotkeys::<Runtime>::get(&new), std::slice::from_ref(&hotkey));
        assert!(
            IdentitiesV2::<Runtime>::contains_key(&new)
                && !IdentitiesV2::<Runtime>::contains_key(&bob)
        );
        assert_eq!(SubnetOwner::<Runtime>::get(NetUid(18)), new);
        assert_eq!(AutoStakeDestination::<Runtime>::get(&new, BABELBIT), Some(hotkey.clone()));
        assert_eq!(
            AutoStakeDestinationColdkeys::<Runtime>::get(&hotkey, BABELBIT),
            std::slice::from_ref(&new)
        );
        assert_eq!(ColdkeySuccessor::<Runtime>::get(&bob), Some(new.clone()));
        assert_eq!(ColdkeyRoot::<Runtime>::get(&new), Some(bob.clone()));
        assert!(!ColdkeySwapAnnouncements::<Runtime>::contains_key(&bob));
        check_issuance();
    });
}

#[test]
fn coldkey_swap_to_used_key_is_refused() {
    with_neuron(|bob, hotkey| {
        Subtensor::own_hotkey(&account("Dave"), &key(9)).unwrap();
        for (new, error) in [
            (account("Charlie"), "ColdKeyAlreadyAssociated"),
            (account("Dave"), "ColdKeyAlreadyAssociated"),
            (hotkey, "NewColdKeyIsHotkey"),
        ] {
            ColdkeySwapAnnouncements::<Runtime>::insert(&bob, (0, hash(&new)));
            assert_eq!(attempt(&bob, execute(&new)), error);
            let (old_coldkey, new_coldkey) = (bob.clone(), new.clone());
            let swap_cost = crate::types::TaoBalance::ZERO;
            assert_eq!(
                outcome(send_as_root(Call::swap_coldkey { old_coldkey, new_coldkey, swap_cost })),
                error
            );
        }
    });
}

#[test]
fn swap_announcement_is_repeated_cleared_and_disputed() {
    with_neuron(|bob, _| {
        let clear = || Call::clear_coldkey_swap_announcement {};
        let dispute = || Call::dispute_coldkey_swap {};
        assert_eq!(attempt(&bob, clear()), "ColdkeySwapAnnouncementNotFound");
        assert_eq!(attempt(&bob, dispute()), "ColdkeySwapAnnouncementNotFound");
        assert_eq!(attempt(&bob, announce(&key(70))), "ok");
        let paid = balance(&bob);
        // The announced block is 60, the reannouncement delay 10 blocks.
        jump_to(69);
        assert_eq!(attempt(&bob, announce(&key(71))), "ColdkeySwapReannouncedTooEarly");
        assert_eq!(attempt(&bob, clear()), "ColdkeySwapClearTooEarly");
        jump_to(70);
        assert_eq!(attempt(&bob, announce(&key(71))), "ok");
        assert_eq!(balance(&bob), paid, "only the first announcement is paid");
        jump_to(130);
        assert_eq!(attempt(&bob, clear()), "ok");
        assert_eq!(last_event(), Event::ColdkeySwapCleared { who: bob.clone() });
        assert_eq!(attempt(&bob, announce(&key(71))), "ok");
        assert_eq!(attempt(&bob, dispute()), "ok");
        assert_eq!(last_event(), Event::ColdkeySwapDisputed { coldkey: bob.clone() });
        assert_eq!(ColdkeySwapDisputes::<Runtime>::get(&bob), Some(130));
        assert_eq!(attempt(&bob, dispute()), "ColdkeySwapAlreadyDisputed");
        let reset = || Call::reset_coldkey_swap { coldkey: bob.clone() };
        assert_eq!(attempt(&bob, reset()), "BadOrigin");
        assert_eq!(outcome(send_as_root(reset())), "ok");
        assert_eq!(last_event(), Event::ColdkeySwapReset { who: bob.clone() });
        assert!(!ColdkeySwapDisputes::<Runtime>::contains_key(&bob));
    });
}

#[test]
fn root_swaps_any_coldkey() {
    with_neuron(|bob, hotkey| {
        let call = |swap_cost| Call::<Runtime>::swap_coldkey {
            old_coldkey: bob.clone(),
            new_coldkey: key(70),
            swap_cost: crate::types::TaoBalance(swap_cost),
        };
        assert_eq!(attempt(&bob, call(0)), "BadOrigin");
        assert_eq!(outcome(send_as_root(call(u64::MAX))), "NotEnoughBalanceToPaySwapColdKey");
        ColdkeySwapAnnouncements::<Runtime>::insert(&bob, (9, H256::zero()));
        let before = balance(&bob);
        assert_eq!(outcome(send_as_root(call(1))), "ok");
        assert_eq!(balance(&key(70)), before - 1);
        assert!(Subtensor::owns(&key(70), &hotkey));
        assert!(!ColdkeySwapAnnouncements::<Runtime>::contains_key(&bob));
        assert_eq!(
            attempt(&bob, Call::schedule_swap_coldkey { new_coldkey: key(71) }),
            "Deprecated"
        );
        check_issuance();
    });
}
