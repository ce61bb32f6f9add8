use super::*;
use crate::runtime::{AccountId, Runtime};
use crate::subtensor::epoch::{EpochEmission, PendingEmission};
use crate::subtensor::{
    AlphaDividendsPerSubnet, CKBurn, Call, ChildkeyThresholdChecks, Delegates, ImmunityPeriod,
    MaxAllowedUids, MaxRegistrationsPerBlock, Owner, StakeThreshold, SubnetAlphaOut, TaoWeight,
    TargetRegistrationsPerInterval, TxChildkeyTakeRateLimit,
};
use crate::testing::{
    BABELBIT, Subtensor, account, at_first_block, attempt, jump_to, key, last_event, outcome,
    run_to, send_as_root,
};
use crate::types::{AlphaBalance, TaoBalance};

const HALF: u64 = u64::MAX / 2;
const STAKE: u64 = 1_000_000_000_000;

/// Runs a test at block 10 with a parent hotkey owned by Bob and a child hotkey owned by Charlie,
/// both neurons with stake.
fn with_parent_and_child(test: impl FnOnce(AccountId, AccountId)) {
    at_first_block(|| {
        jump_to(10);
        for (owner, hotkey) in [("Bob", key(1)), ("Charlie", key(2))] {
            Subtensor::own_hotkey(&account(owner), &hotkey).unwrap();
            Subtensor::append_neuron(BABELBIT, &hotkey);
            Subtensor::increase_stake(&hotkey, &account(owner), BABELBIT, AlphaBalance(STAKE));
        }
        test(key(1), key(2));
    });
}

fn set(hotkey: &AccountId, netuid: NetUid, children: &[(u64, AccountId)]) -> Call<Runtime> {
    Call::set_children { hotkey: hotkey.clone(), netuid, children: children.to_vec() }
}

fn take(hotkey: &AccountId, parts: u16) -> Call<Runtime> {
    Call::set_childkey_take {
        hotkey: hotkey.clone(),
        netuid: BABELBIT,
        take: PerU16::from_parts(parts),
    }
}

/// Sets the parent's child immediately.
fn set_child(parent: &AccountId, child: &AccountId, proportion: u64) {
    Subtensor::replace_children(BABELBIT, parent, vec![(proportion, child.clone())]);
}

fn inherited_stake(hotkey: &AccountId) -> u64 {
    Subtensor::inherited_stake(hotkey, BABELBIT, BABELBIT).0
}

#[test]
fn invalid_children_are_refused() {
    with_parent_and_child(|parent, child| {
        let (bob, charlie) = (account("Bob"), account("Charlie"));
        let one = [(u64::MAX, child.clone())];
        assert_eq!(
            attempt(&bob, set(&parent, NetUid::ROOT, &one)),
            "RegistrationNotPermittedOnRootSubnet"
        );
        assert_eq!(attempt(&bob, set(&parent, NetUid(77), &one)), "SubnetNotExists");
        assert_eq!(attempt(&charlie, set(&parent, BABELBIT, &one)), "NonAssociatedColdKey");
        assert_eq!(attempt(&bob, set(&key(99), BABELBIT, &one)), "NonAssociatedColdKey");
        assert_eq!(
            attempt(&bob, set(&parent, BABELBIT, &[(1, key(3)), (2, key(3))])),
            "DuplicateChild"
        );
        assert_eq!(attempt(&bob, set(&parent, BABELBIT, &[(1, parent.clone())])), "InvalidChild");
        let six: Vec<_> = (10..16).map(|number| (1, key(number))).collect();
        assert_eq!(attempt(&bob, set(&parent, BABELBIT, &six)), "TooManyChildren");
        let too_much = [(u64::MAX, key(3)), (1, key(4))];
        assert_eq!(attempt(&bob, set(&parent, BABELBIT, &too_much)), "ProportionOverflow");
        set_child(&parent, &child, HALF);
        assert_eq!(
            attempt(&charlie, set(&child, BABELBIT, &[(1, parent.clone())])),
            "ChildParentInconsistency"
        );
        StakeThreshold::<Runtime>::put(10 * STAKE);
        assert_eq!(attempt(&bob, set(&parent, BABELBIT, &one)), "NotEnoughStakeToSetChildkeys");
        assert_eq!(
            attempt(&bob, set(&parent, BABELBIT, &[])),
            "ok",
            "no stake is needed to have no children"
        );
        assert_eq!(attempt(&bob, set(&parent, BABELBIT, &[])), "TxRateLimitExceeded");
        jump_to(159);
        assert_eq!(attempt(&bob, set(&parent, BABELBIT, &[])), "TxRateLimitExceeded");
        jump_to(160);
        assert_eq!(attempt(&bob, set(&parent, BABELBIT, &[])), "ok");
    });
}

#[test]
fn children_apply_at_the_first_epoch_after_their_cooldown() {
    with_parent_and_child(|parent, child| {
        let children = vec![(HALF, key(9)), (1, child.clone())];
        assert_eq!(attempt(&account("Bob"), set(&parent, BABELBIT, &children)), "ok");
        let scheduled = Event::SetChildrenScheduled(parent.clone(), BABELBIT, 25, children.clone());
        assert_eq!(last_event(), scheduled);
        assert!(ChildKeys::<Runtime>::get(&parent, BABELBIT).is_empty());
        // Epochs fire at 11, 21 and 31: at 21 the cooldown has not passed.
        run_to(30);
        assert!(PendingChildKeys::<Runtime>::contains_key(BABELBIT, &parent));
        run_to(31);
        assert!(!PendingChildKeys::<Runtime>::contains_key(BABELBIT, &parent));
        let mut stored = children;
        stored.sort_by(|(_, one), (_, other)| one.cmp(other));
        assert_eq!(ChildKeys::<Runtime>::get(&parent, BABELBIT), stored);
        assert_eq!(ParentKeys::<Runtime>::get(&child, BABELBIT), [(1, parent.clone())]);
        assert_eq!(ParentKeys::<Runtime>::get(key(9), BABELBIT), [(HALF, parent)]);
    });
}

#[test]
fn children_on_unstarted_subnet_apply_at_once() {
    with_parent_and_child(|parent, child| {
        let netuid = NetUid(18);
        assert_eq!(attempt(&account("Bob"), set(&parent, netuid, &[(7, child.clone())])), "ok");
        assert_eq!(
            last_event(),
            Event::SetChildren(parent.clone(), netuid, vec![(7, child.clone())])
        );
        assert_eq!(ParentKeys::<Runtime>::get(&child, netuid), [(7, parent)]);
    });
}

#[test]
fn scheduled_child_that_became_parent_is_dropped() {
    with_parent_and_child(|parent, child| {
        assert_eq!(attempt(&account("Bob"), set(&parent, BABELBIT, &[(1, child.clone())])), "ok");
        set_child(&child, &parent, 1);
        run_to(31);
        assert!(ChildKeys::<Runtime>::get(&parent, BABELBIT).is_empty());
        assert!(!PendingChildKeys::<Runtime>::contains_key(BABELBIT, &parent));
    });
}

#[test]
fn child_validates_with_stake_of_its_parents() {
    with_parent_and_child(|parent, child| {
        set_child(&parent, &child, HALF);
        let half = inherited_stake(&parent);
        assert!(half.abs_diff(STAKE / 2) <= 1_000, "{half}");
        assert!(
            inherited_stake(&child).abs_diff(STAKE + STAKE / 2) <= 1_000,
            "{}",
            inherited_stake(&child)
        );
        Subtensor::increase_stake(&parent, &account("Bob"), NetUid::ROOT, AlphaBalance(8 * STAKE));
        let weight = TaoWeight::<Runtime>::get() as f64 / 2_f64.powi(64);
        let child_stake = Subtensor::weighted_stake(&child, BABELBIT).0 as f64;
        assert!((child_stake / STAKE as f64 - (1.5 + 4.0 * weight)).abs() < 1e-6, "{child_stake}");
        assert_eq!(
            Subtensor::weighted_stake(&parent, NetUid::ROOT).0,
            8 * STAKE,
            "root has no children"
        );
        set_child(&parent, &child, u64::MAX);
        assert_eq!(inherited_stake(&parent), 0);
        assert_eq!(Subtensor::neurons(BABELBIT).unwrap().alpha[2], inherited_stake(&child));
    });
}

#[test]
fn child_shares_dividends_with_its_parents() {
    with_parent_and_child(|parent, child| {
        set_child(&parent, &child, HALF);
        // The stake of the child is two thirds its own, one third the parent's.
        let shares = Subtensor::split_dividends(&child, BABELBIT, 900_000);
        assert!(shares[0].0 == parent && shares[0].1.abs_diff(300_000) <= 2, "{shares:?}");
        assert!(shares[1].0 == child && shares[1].1.abs_diff(600_000) <= 2, "{shares:?}");

        ChildkeyTake::<Runtime>::insert(&child, BABELBIT, PerU16::from_percent(10));
        CKBurn::<Runtime>::put(u64::MAX / 5);
        let issued = SubnetAlphaOut::<Runtime>::get(BABELBIT).0;
        SubnetAlphaOut::<Runtime>::insert(BABELBIT, AlphaBalance(issued + 1_000_000));
        let shares = Subtensor::split_dividends(&child, BABELBIT, 900_000);
        assert!(shares[0].1.abs_diff(300_000 - 30_000 - 60_000) <= 20, "{shares:?}");
        assert!(shares[1].1.abs_diff(600_000 + 30_000) <= 20, "{shares:?}");
        let recycled = issued + 1_000_000 - SubnetAlphaOut::<Runtime>::get(BABELBIT).0;
        assert!(recycled.abs_diff(60_000) <= 20, "{recycled}");

        // Between hotkeys of one owner, nothing is kept or recycled.
        Owner::<Runtime>::insert(&child, account("Bob"));
        let shares = Subtensor::split_dividends(&child, BABELBIT, 900_000);
        assert!(shares[0].1.abs_diff(300_000) <= 2, "{shares:?}");
    });
}

#[test]
fn unregistered_parent_earns_through_its_child() {
    with_parent_and_child(|_, child| {
        let parent = key(5);
        Subtensor::own_hotkey(&account("Dave"), &parent).unwrap();
        Subtensor::increase_stake(&parent, &account("Dave"), BABELBIT, AlphaBalance(STAKE));
        set_child(&parent, &child, u64::MAX);
        Delegates::<Runtime>::insert(&parent, PerU16::from_parts(0));
        let neurons = Subtensor::neurons(BABELBIT).unwrap();
        let earned = EpochEmission { server: vec![0; 3], validator: vec![0, 0, 1_000] };
        let pending = PendingEmission { validator: 1_000_000, ..PendingEmission::default() };
        Subtensor::distribute_emission(BABELBIT, &neurons, &earned, &pending);
        assert_eq!(AlphaDividendsPerSubnet::<Runtime>::get(BABELBIT, &parent).0, 500_000);
        assert_eq!(Subtensor::total_alpha(&parent, BABELBIT).0, STAKE + 500_000);
        assert_eq!(AlphaDividendsPerSubnet::<Runtime>::get(BABELBIT, &child).0, 500_000);
    });
}

#[test]
fn child_key_take_increases_are_rate_limited_and_decreases_are_not() {
    with_parent_and_child(|_, child| {
        let charlie = account("Charlie");
        assert_eq!(attempt(&account("Bob"), take(&child, 1)), "NonAssociatedColdKey");
        assert_eq!(attempt(&charlie, take(&key(99), 1)), "NonAssociatedColdKey");
        let (hotkey, part) = (child.clone(), PerU16::from_parts(u16::MAX));
        let other_subnet = Call::set_childkey_take { hotkey, netuid: NetUid(77), take: part };
        assert_eq!(attempt(&charlie, other_subnet), "SubnetNotExists");
        assert_eq!(attempt(&charlie, take(&child, 11_797)), "InvalidChildkeyTake");
        assert_eq!(attempt(&charlie, take(&child, u16::MAX)), "InvalidChildkeyTake");
        MinChildkeyTakePerSubnet::<Runtime>::insert(BABELBIT, PerU16::from_parts(50));
        assert_eq!(attempt(&charlie, take(&child, 49)), "InvalidChildkeyTake");
        assert_eq!(attempt(&charlie, take(&child, 1_000)), "ok");
        assert_eq!(last_event(), Event::ChildKeyTakeSet(child.clone(), PerU16::from_parts(1_000)));
        assert_eq!(attempt(&charlie, take(&child, 1_001)), "TxChildkeyTakeRateLimitExceeded");
        assert_eq!(attempt(&charlie, take(&child, 999)), "ok");
        jump_to(14);
        assert_eq!(attempt(&charlie, take(&child, 1_001)), "TxChildkeyTakeRateLimitExceeded");
        jump_to(15);
        assert_eq!(attempt(&charlie, take(&child, 1_001)), "ok");
        assert_eq!(Subtensor::childkey_take(&child, BABELBIT), PerU16::from_parts(1_001));
        assert_eq!(
            Subtensor::childkey_take(&key(1), BABELBIT),
            PerU16::from_parts(50),
            "at least the minimum"
        );
    });
}

#[test]
fn only_root_sets_take_bounds_and_cooldown() {
    at_first_block(|| {
        let settings = || {
            [
                Call::sudo_set_tx_childkey_take_rate_limit { tx_rate_limit: u64::MAX },
                Call::sudo_set_min_childkey_take { take: PerU16::from_parts(7) },
                Call::sudo_set_max_childkey_take { take: PerU16::from_parts(8) },
                Call::set_pending_childkey_cooldown { cooldown: 9 },
            ]
        };
        for call in settings() {
            assert_eq!(attempt(&account("Alice"), call), "BadOrigin");
        }
        for call in settings() {
            assert_eq!(outcome(send_as_root(call)), "ok");
        }
        assert_eq!(TxChildkeyTakeRateLimit::<Runtime>::get(), u64::MAX);
        assert_eq!(MinChildkeyTake::<Runtime>::get(), PerU16::from_parts(7));
        assert_eq!(MaxChildkeyTake::<Runtime>::get(), PerU16::from_parts(8));
        assert_eq!(PendingChildKeyCooldown::<Runtime>::get(), 9);
    });
}

#[test]
fn root_members_become_parents_of_new_subnet_owners() {
    with_parent_and_child(|member, other| {
        let set = |who, hotkey: &AccountId, enabled| {
            let hotkey = hotkey.clone();
            attempt(&account(who), Call::set_auto_parent_delegation_enabled { hotkey, enabled })
        };
        assert_eq!(set("Charlie", &member, false), "NonAssociatedColdKey");
        assert_eq!(set("Bob", &member, false), "ok", "before it joins root");
        assert_eq!(set("Bob", &member, true), "ok");
        for hotkey in [&member, &other] {
            Subtensor::append_neuron(NetUid::ROOT, hotkey);
        }
        assert_eq!(set("Charlie", &other, false), "ok");
        let hotkey = other.clone();
        assert_eq!(last_event(), Event::AutoParentDelegationEnabledSet { hotkey, enabled: false });
        assert_eq!(attempt(&account("Dave"), Call::register_network { hotkey: key(7) }), "ok");
        let netuid = NetUid(60);
        assert_eq!(ParentKeys::<Runtime>::get(key(7), netuid), [(u64::MAX, member.clone())]);
        assert!(ChildKeys::<Runtime>::get(&other, netuid).is_empty());
        // A member that loses its seat keeps only children that it chose.
        set_child(&member, &other, HALF);
        MaxAllowedUids::<Runtime>::insert(NetUid::ROOT, 2);
        ImmunityPeriod::<Runtime>::insert(NetUid::ROOT, 0);
        assert_eq!(attempt(&account("Bob"), Call::root_register { hotkey: key(8) }), "ok");
        assert_eq!(Subtensor::uid_of(NetUid::ROOT, &member), None);
        assert!(ChildKeys::<Runtime>::get(&member, netuid).is_empty());
        assert_eq!(
            ParentKeys::<Runtime>::get(key(7), netuid),
            [(u64::MAX, key(8))],
            "the new member"
        );
        assert_eq!(ChildKeys::<Runtime>::get(&member, BABELBIT), [(HALF, other)]);
    });
}

#[test]
fn new_root_member_becomes_parent_of_subnet_owners() {
    with_parent_and_child(|chooser, owner| {
        // Subnet 20 has another owner, subnet 21 none, and subnet 22 one that is a parent of the
        // new member.
        let (member, other_member) = (key(8), key(9));
        let owner_hotkey = SubnetOwnerHotkey::<Runtime>::get(BABELBIT);
        SubnetOwnerHotkey::<Runtime>::insert(NetUid(20), &owner);
        SubnetOwnerHotkey::<Runtime>::remove(NetUid(21));
        SubnetOwnerHotkey::<Runtime>::insert(NetUid(22), &other_member);
        Subtensor::replace_children(NetUid(22), &other_member, vec![(1, member.clone())]);
        let may_set_children =
            |netuid| Subtensor::is_action_within_rate(&member, netuid, LimitedAction::Children);
        let awake_netuids = Subtensor::awake_netuids();
        // As on the real chain, the threshold is for calls of `set_children` only.
        StakeThreshold::<Runtime>::put(u64::MAX);
        assert_eq!(attempt(&account("Bob"), Call::root_register { hotkey: member.clone() }), "ok");
        StakeThreshold::<Runtime>::put(0);
        for netuid in Subtensor::all_netuids() {
            let expected = match netuid {
                NetUid::ROOT | NetUid(21 | 22) => None,
                NetUid(20) => Some(owner.clone()),
                _ => Some(SubnetOwnerHotkey::<Runtime>::get(netuid)),
            };
            let expected: Relatives = expected.into_iter().map(|child| (u64::MAX, child)).collect();
            assert_eq!(ChildKeys::<Runtime>::get(&member, netuid), expected, "{netuid:?}");
            assert!(may_set_children(netuid), "{netuid:?}");
        }
        assert_eq!(
            ParentKeys::<Runtime>::get(&owner_hotkey, BABELBIT),
            [(u64::MAX, member.clone())]
        );
        assert_eq!(ParentKeys::<Runtime>::get(&owner, NetUid(20)), [(u64::MAX, member)]);
        assert_eq!(Subtensor::awake_netuids(), awake_netuids, "dormant subnets stay dormant");

        // Children that a new member chose, or has scheduled, remain. An owner is not its own
        // child.
        MaxRegistrationsPerBlock::<Runtime>::insert(NetUid::ROOT, 9);
        TargetRegistrationsPerInterval::<Runtime>::insert(NetUid::ROOT, 9);
        set_child(&chooser, &owner, HALF);
        PendingChildKeys::<Runtime>::insert(NetUid(23), &chooser, (vec![(1, owner.clone())], 99));
        assert_eq!(attempt(&account("Bob"), Call::root_register { hotkey: chooser.clone() }), "ok");
        assert_eq!(ChildKeys::<Runtime>::get(&chooser, BABELBIT), [(HALF, owner.clone())]);
        assert!(ChildKeys::<Runtime>::get(&chooser, NetUid(23)).is_empty());
        assert_eq!(ChildKeys::<Runtime>::get(&chooser, NetUid(24)), [(u64::MAX, owner_hotkey)]);
        assert_eq!(
            attempt(&account("Charlie"), Call::root_register { hotkey: owner.clone() }),
            "ok"
        );
        assert!(ChildKeys::<Runtime>::get(&owner, NetUid(20)).is_empty());
    });
}

#[test]
fn root_member_without_auto_delegation_has_no_children() {
    with_parent_and_child(|member, child| {
        let register = |hotkey: &AccountId| {
            attempt(&account("Bob"), Call::root_register { hotkey: hotkey.clone() })
        };
        let relations = || ChildKeys::<Runtime>::iter().count();
        AutoParentDelegationEnabled::<Runtime>::insert(&member, false);
        assert_eq!(register(&member), "ok");
        assert_eq!(relations(), 0);
        // A member that registers again is refused, and keeps its children.
        AutoParentDelegationEnabled::<Runtime>::insert(&member, true);
        set_child(&member, &child, HALF);
        MaxRegistrationsPerBlock::<Runtime>::insert(NetUid::ROOT, 9);
        assert_eq!(register(&member), "HotKeyAlreadyRegisteredInSubNet");
        assert_eq!(
            (relations(), ChildKeys::<Runtime>::get(&member, BABELBIT)),
            (1, vec![(HALF, child)])
        );
    });
}

#[test]
fn removed_root_member_loses_its_child_relations_to_subnet_owners() {
    with_parent_and_child(|member, child| {
        set_child(&member, &child, HALF);
        MaxAllowedUids::<Runtime>::insert(NetUid::ROOT, 1);
        ImmunityPeriod::<Runtime>::insert(NetUid::ROOT, 0);
        MaxRegistrationsPerBlock::<Runtime>::insert(NetUid::ROOT, 9);
        for hotkey in [&member, &key(8)] {
            assert_eq!(
                attempt(&account("Bob"), Call::root_register { hotkey: hotkey.clone() }),
                "ok"
            );
            assert!(!ChildKeys::<Runtime>::get(hotkey, NetUid(18)).is_empty());
        }
        let remaining: Vec<_> = ChildKeys::<Runtime>::iter_prefix(&member).collect();
        assert_eq!(remaining, [(BABELBIT, vec![(HALF, child)])], "those that it chose");
        let owner = SubnetOwnerHotkey::<Runtime>::get(NetUid(18));
        assert_eq!(ParentKeys::<Runtime>::get(owner, NetUid(18)), [(u64::MAX, key(8))]);
    });
}

#[test]
fn parent_below_minimum_stake_delegates_no_stake() {
    with_parent_and_child(|parent, child| {
        let end_block = || Subtensor::on_idle(10, Weight::zero());
        let is_suspended = || ChildkeyThresholdSuspended::<Runtime>::contains_key(&parent);
        set_child(&parent, &child, HALF);
        // The stake of the parent is worth 100 TAO.
        StakeThreshold::<Runtime>::put(90_000_000_000);
        let (bob, hotkey, netuid) = (account("Bob"), parent.clone(), BABELBIT);
        let unstake =
            Call::remove_stake { hotkey, netuid, amount_unstaked: AlphaBalance(STAKE / 5) };
        assert_eq!(attempt(&bob, unstake), "ok");
        let remaining_stake = Subtensor::total_alpha(&parent, BABELBIT).0;
        // A proportion has 32 fractional bits.
        let lent_stake = inherited_stake(&child) - STAKE;
        assert!(
            lent_stake.abs_diff(remaining_stake / 2) <= (remaining_stake >> 32) + 1
                && !is_suspended(),
            "until the end of the block: {lent_stake}"
        );
        end_block();
        assert!(is_suspended() && ChildkeyThresholdChecks::<Runtime>::iter().next().is_none());
        assert_eq!((inherited_stake(&parent), inherited_stake(&child)), (remaining_stake, STAKE));
        assert_eq!(Subtensor::split_dividends(&child, BABELBIT, 100), [(child.clone(), 100)]);
        assert_eq!(ChildKeys::<Runtime>::get(&parent, BABELBIT).len(), 1, "the relation stays");
        // On the subnet that it owns, a parent is not suspended.
        let owner = SubnetOwnerHotkey::<Runtime>::get(BABELBIT);
        SubnetOwnerHotkey::<Runtime>::insert(BABELBIT, &parent);
        assert!(inherited_stake(&child) > STAKE);
        SubnetOwnerHotkey::<Runtime>::insert(BABELBIT, owner);
        // A new threshold has no effect before the stake changes.
        StakeThreshold::<Runtime>::put(0);
        end_block();
        assert!(is_suspended());
        StakeThreshold::<Runtime>::put(90_000_000_000);
        let stake = Call::add_stake {
            hotkey: parent.clone(),
            netuid,
            amount_staked: TaoBalance(30_000_000_000),
        };
        assert_eq!(attempt(&bob, stake), "ok");
        assert_eq!(inherited_stake(&child), STAKE);
        end_block();
        assert!(!is_suspended() && inherited_stake(&child) > STAKE);
        // Hotkeys without children are not checked.
        let hotkey = child.clone();
        let unstake =
            Call::remove_stake { hotkey, netuid, amount_unstaked: AlphaBalance(STAKE / 2) };
        assert_eq!(attempt(&account("Charlie"), unstake), "ok");
        assert!(ChildkeyThresholdChecks::<Runtime>::iter().next().is_none());
    });
}

#[test]
fn moved_or_burned_stake_suspends_a_parent() {
    let calls: [fn() -> Call<Runtime>; 3] = [
        || Call::burn_alpha { hotkey: key(1), amount: AlphaBalance(STAKE / 2), netuid: BABELBIT },
        || Call::transfer_stake {
            destination_coldkey: account("Eve"),
            hotkey: key(1),
            origin_netuid: BABELBIT,
            destination_netuid: NetUid::ROOT,
            alpha_amount: AlphaBalance(STAKE / 2),
        },
        || Call::move_stake {
            origin_hotkey: key(1),
            destination_hotkey: key(2),
            origin_netuid: BABELBIT,
            destination_netuid: BABELBIT,
            alpha_amount: AlphaBalance(STAKE / 2),
        },
    ];
    for call in calls {
        with_parent_and_child(|parent, child| {
            SubnetAlphaOut::<Runtime>::insert(BABELBIT, AlphaBalance(2 * STAKE));
            set_child(&parent, &child, HALF);
            StakeThreshold::<Runtime>::put(110_000_000_000);
            let dust =
                Call::burn_alpha { hotkey: key(2), amount: AlphaBalance(1), netuid: BABELBIT };
            assert_eq!(attempt(&account("Charlie"), dust), "ok");
            assert!(ChildkeyThresholdChecks::<Runtime>::iter().next().is_none());
            assert_eq!(attempt(&account("Bob"), call()), "ok");
            Subtensor::on_idle(10, Weight::zero());
            assert!(ChildkeyThresholdSuspended::<Runtime>::contains_key(&parent), "{:?}", call());
            // Without a threshold, nobody is suspended.
            StakeThreshold::<Runtime>::put(0);
            Subtensor::on_stake_decrease(&parent);
            Subtensor::on_idle(10, Weight::zero());
            assert!(!ChildkeyThresholdSuspended::<Runtime>::contains_key(&parent));
        });
    }
}

#[test]
fn scheduled_children_of_parent_below_minimum_stake_are_dropped() {
    with_parent_and_child(|parent, child| {
        let schedule = |children: &[(u64, AccountId)]| {
            PendingChildKeys::<Runtime>::insert(BABELBIT, &parent, (children.to_vec(), 9));
            LastEpochBlock::<Runtime>::insert(BABELBIT, 10);
            Subtensor::apply_scheduled_children(&[BABELBIT]);
            assert_eq!(PendingChildKeys::<Runtime>::iter().count(), 0);
            ChildKeys::<Runtime>::get(&parent, BABELBIT).len()
        };
        StakeThreshold::<Runtime>::put(u64::MAX);
        assert_eq!(schedule(&[(HALF, child.clone())]), 0);
        StakeThreshold::<Runtime>::put(1);
        ChildkeyThresholdSuspended::<Runtime>::insert(&parent, ());
        assert_eq!(schedule(&[(HALF, child.clone())]), 1);
        assert!(!ChildkeyThresholdSuspended::<Runtime>::contains_key(&parent));
        StakeThreshold::<Runtime>::put(u64::MAX);
        assert_eq!(schedule(&[]), 0, "children can always be removed");
    });
}

#[test]
fn child_relations_follow_a_swapped_hotkey() {
    with_parent_and_child(|parent, child| {
        let (new, grandparent) = (key(8), key(6));
        set_child(&grandparent, &parent, 5);
        set_child(&parent, &child, HALF);
        PendingChildKeys::<Runtime>::insert(
            BABELBIT,
            &grandparent,
            (vec![(3, parent.clone())], 99),
        );
        PendingChildKeys::<Runtime>::insert(BABELBIT, &parent, (vec![(4, key(20))], 98));
        set_child(&new, &key(21), 1);
        assert_eq!(outcome(Subtensor::move_relations(BABELBIT, &parent, &child)), "InvalidChild");
        set_child(&parent, &child, HALF);
        Subtensor::move_relations(BABELBIT, &parent, &new).unwrap();
        assert_eq!(
            ChildKeys::<Runtime>::get(&new, BABELBIT),
            [(HALF, child.clone())],
            "its own are replaced"
        );
        assert!(ParentKeys::<Runtime>::get(key(21), BABELBIT).is_empty());
        assert_eq!(ParentKeys::<Runtime>::get(&child, BABELBIT), [(HALF, new.clone())]);
        assert_eq!(ParentKeys::<Runtime>::get(&new, BABELBIT), [(5, grandparent.clone())]);
        assert_eq!(ChildKeys::<Runtime>::get(&grandparent, BABELBIT), [(5, new.clone())]);
        assert_eq!(
            PendingChildKeys::<Runtime>::get(BABELBIT, &grandparent),
            (vec![(3, new.clone())], 99)
        );
        assert_eq!(PendingChildKeys::<Runtime>::get(BABELBIT, &new), (vec![(4, key(20))], 98));
        assert!(!ChildKeys::<Runtime>::contains_key(&parent, BABELBIT));
        assert!(!PendingChildKeys::<Runtime>::contains_key(BABELBIT, &parent));
        Subtensor::remove_relations(BABELBIT);
        assert_eq!(ChildKeys::<Runtime>::iter().count() + ParentKeys::<Runtime>::iter().count(), 0);
        assert_eq!(PendingChildKeys::<Runtime>::iter().count(), 0);
    });
}
