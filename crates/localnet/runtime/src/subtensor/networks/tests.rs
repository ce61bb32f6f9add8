use substrate_fixed::types::I96F32;

use super::*;
use crate::commitments::{self, CommitmentInfo, Data};
use crate::runtime::{AccountId, Runtime};
use crate::subtensor::rate_limits::LimitedAction;
use crate::subtensor::types::{AxonInfo, Hyperparameter};
use crate::subtensor::{
    Axons, BurnHalfLife, Call, IsNetworkMember, MechanismCountCurrent, NetworkImmunityPeriod,
    Owner, SubnetAlphaIn, SubnetMovingPrice, SubnetTAO, TotalHotkeyAlpha, TotalIssuance,
    TotalStake,
};
use crate::testing::{
    BABELBIT, Subtensor, account, at_first_block, attempt, balance, jump_to, key, last_event,
    outcome, run_to, send, send_as_root, timelocked,
};
use crate::types::MechId;

/// Minimum lock cost of a subnet: 1 000 TAO, in rao.
const MIN_LOCK: u64 = 1_000_000_000_000;

fn netuids_up_to(last: u16) -> Vec<NetUid> {
    (0..=last).map(NetUid).collect()
}

fn create(who: &str, hotkey: u32) -> String {
    outcome(send(&account(who), Call::register_network { hotkey: key(hotkey) }))
}

#[test]
fn subnet_lock_cost_equals_recorded_values() {
    let Some(vectors) = taonet_chain_vectors::json("economics.json") else { return };
    let cases = vectors["network_lock_cost"].as_array().unwrap();
    assert_eq!(cases.len(), 9);
    at_first_block(|| {
        for case in cases {
            let number = |name: &str| case[name].as_u64().unwrap();
            NetworkLastLockCost::<Runtime>::put(TaoBalance(number("last_lock")));
            NetworkMinLockCost::<Runtime>::put(TaoBalance(number("min_lock")));
            NetworkLockReductionInterval::<Runtime>::put(number("interval"));
            LastRateLimitedBlock::<Runtime>::insert(
                RateLimitKey::NetworkLastRegistered,
                number("last_lock_block"),
            );
            jump_to(number("block").try_into().unwrap());
            assert_eq!(Subtensor::network_lock_cost().0, number("cost"), "{case}");
        }
        NetworkLockReductionInterval::<Runtime>::put(0);
        assert_eq!(
            Subtensor::network_lock_cost().0,
            6_666_000_000_000,
            "without an interval the cost does not fall"
        );
    });
}

#[test]
fn new_subnet_has_initial_values() {
    at_first_block(|| {
        jump_to(25);
        let (alice, before) = (account("Alice"), balance(&account("Alice")));
        assert_eq!(create("Alice", 1), "ok");
        let netuid = NetUid(60);
        assert!(matches!(last_event(), Event::NetworkAdded(NetUid(60), 1)));
        assert_eq!(balance(&alice), before - MIN_LOCK);
        assert_eq!(Subtensor::all_netuids(), netuids_up_to(60));
        assert_eq!(TotalNetworks::<Runtime>::get(), 61);
        assert_eq!(SubnetOwner::<Runtime>::get(netuid), alice);
        assert_eq!(SubnetOwnerHotkey::<Runtime>::get(netuid), key(1));
        assert_eq!(Owner::<Runtime>::get(key(1)), alice);
        assert_eq!(Subtensor::uid_of(netuid, &key(1)), Some(0));
        assert_eq!(Subtensor::owner_uid(netuid), Some(0));
        assert_eq!(NetworkRegisteredAt::<Runtime>::get(netuid), 25);
        assert_eq!(LastEpochBlock::<Runtime>::get(netuid), 25, "25 - 60 mod 10");
        assert_eq!(Tempo::<Runtime>::get(netuid), 10);
        assert_eq!(ImmunityPeriod::<Runtime>::get(netuid), 5_000);
        assert_eq!(MinAllowedWeights::<Runtime>::get(netuid), 1);
        assert_eq!(MaxAllowedUids::<Runtime>::get(netuid), 256);
        assert_eq!(MaxAllowedValidators::<Runtime>::get(netuid), 64);
        assert!(Yuma3On::<Runtime>::get(netuid));
        assert!(CommitRevealWeightsEnabled::<Runtime>::get(netuid));
        assert!(!SubnetEmissionEnabled::<Runtime>::get(netuid));
        assert_eq!(SubnetEmaTaoFlow::<Runtime>::get(netuid), Some((25, I64F64::from_num(0))));
        assert!(!SubtokenEnabled::<Runtime>::get(netuid));
        assert!(NetworkRegistrationAllowed::<Runtime>::get(netuid));
        assert_eq!(Burn::<Runtime>::get(netuid).0, 1_000_000_000);
        assert_eq!(SubnetMechanism::<Runtime>::get(netuid), 1);
        assert_eq!(TokenSymbol::<Runtime>::get(netuid), "ذ".as_bytes());
        assert_eq!(SubnetLocked::<Runtime>::get(netuid).0, MIN_LOCK);
        assert_eq!(NetworkLastLockCost::<Runtime>::get().0, MIN_LOCK);
        // Alpha costs 0.1 TAO in every subnet except the first one.
        assert_eq!(SubnetTAO::<Runtime>::get(netuid).0, MIN_LOCK);
        let alpha = SubnetAlphaIn::<Runtime>::get(netuid).0;
        assert!(alpha.abs_diff(10_000_000_000_000) <= 10_000, "{alpha}");
        assert!((Subtensor::alpha_price(netuid).to_num::<f64>() - 0.1).abs() < 1e-9);
    });
}

#[test]
fn creation_checks_run_in_order() {
    let violations: [(&str, fn()); 4] = [
        ("NonAssociatedColdKey", || Owner::<Runtime>::insert(key(1), account("Charlie"))),
        ("NetworkTxRateLimitExceeded", || {
            LastRateLimitedBlock::<Runtime>::insert(RateLimitKey::NetworkLastRegistered, 1);
        }),
        ("SubnetLimitReached", || SubnetLimit::<Runtime>::put(2)),
        ("CannotAffordLockCost", || {
            NetworkMinLockCost::<Runtime>::put(TaoBalance(balance(&account("Bob")) - 499));
        }),
    ];
    for first in 0..violations.len() {
        let error = at_first_block(|| {
            violations[first..].iter().for_each(|(_, violate)| violate());
            create("Bob", 1)
        });
        assert_eq!(error, violations[first].0);
    }
}

#[test]
fn subnet_creation_is_rate_limited_globally() {
    at_first_block(|| {
        assert_eq!(create("Alice", 1), "ok");
        jump_to(7_200);
        assert_eq!(create("Bob", 2), "NetworkTxRateLimitExceeded", "the rate limit is global");
        jump_to(7_201);
        assert_eq!(Subtensor::network_lock_cost().0, 2 * MIN_LOCK - MIN_LOCK / 100_800 * 7_200);
        assert_eq!(create("Bob", 2), "ok");
        NetworkRateLimit::<Runtime>::put(0);
        assert_eq!(create("Bob", 2), "ok", "a hotkey may own several subnets");
        assert_eq!(Subtensor::all_netuids(), netuids_up_to(62));
    });
}

#[test]
fn median_price_covers_every_subnet_with_a_price() {
    at_first_block(|| {
        let add_subnet = |netuid: u16, tao: u64, alpha: u64| {
            NetworksAdded::<Runtime>::insert(NetUid(netuid), true);
            SubnetMechanism::<Runtime>::insert(NetUid(netuid), 1);
            Subtensor::init_pool(NetUid(netuid), TaoBalance(tao), AlphaBalance(alpha));
        };
        (2..59).for_each(|netuid| NetworksAdded::<Runtime>::remove(NetUid(netuid)));
        let median = || Subtensor::median_alpha_price().to_num::<f64>();
        add_subnet(1, 1_000, 4_000);
        add_subnet(59, 3_000, 4_000);
        assert!((median() - 0.5).abs() < 1e-9);
        add_subnet(7, 1_000, 1_000);
        assert!((median() - 0.75).abs() < 1e-9);
        // A pool without TAO has no price.
        add_subnet(8, 0, 1_000);
        assert!((median() - 0.75).abs() < 1e-9);
        for netuid in [1, 7, 8, 59] {
            NetworksAdded::<Runtime>::remove(NetUid(netuid));
        }
        assert!((median() - 1.0).abs() < 1e-9);
    });
}

#[test]
fn cheapest_subnet_without_immunity_is_the_next_to_dissolve() {
    let set_price = |netuid: u16, milli: u64| {
        SubnetMovingPrice::<Runtime>::insert(NetUid(netuid), I96F32::from_num(milli) / 1_000);
    };
    at_first_block(|| {
        NetworkRateLimit::<Runtime>::put(0);
        SubnetLimit::<Runtime>::put(60);
        (2..59).for_each(|netuid| set_price(netuid, 900));
        NetworkImmunityPeriod::<Runtime>::put(100);
        assert_eq!(create("Alice", 1), "ok");
        assert_eq!(create("Alice", 2), "SubnetLimitReached");
        jump_to(100);
        // Subnet 60 is one block too young.
        set_price(1, 300);
        set_price(60, 100);
        set_price(59, 200);
        assert_eq!(Subtensor::network_to_dissolve(), Some(BABELBIT));
        jump_to(101);
        assert_eq!(Subtensor::network_to_dissolve(), Some(NetUid(60)));
        set_price(1, 100);
        assert_eq!(Subtensor::network_to_dissolve(), Some(NetUid(1)), "the oldest if tied");
    });
}

#[test]
fn dissolved_subnet_pays_stakers_and_leaves_no_state() {
    at_first_block(|| {
        jump_to(1_300_000);
        SubnetLimit::<Runtime>::put(59);
        (1..59).for_each(|netuid| {
            SubnetMovingPrice::<Runtime>::insert(NetUid(netuid), I96F32::from_num(1));
        });
        // Two stakers have one quarter and three quarters of all alpha.
        let (eve, dave, hotkey) = (account("Eve"), account("Dave"), account("Alice_hk"));
        Subtensor::increase_stake(&hotkey, &eve, BABELBIT, AlphaBalance(1_000_000));
        Subtensor::increase_stake(&hotkey, &dave, BABELBIT, AlphaBalance(3_000_000));
        Subtensor::set_mechanism_count(BABELBIT, MechId(2));
        Axons::<Runtime>::insert(BABELBIT, &hotkey, AxonInfo::default());
        BurnHalfLife::<Runtime>::insert(BABELBIT, 7);
        let (pool, eve_balance, dave_balance) =
            (SubnetTAO::<Runtime>::get(BABELBIT).0, balance(&eve), balance(&dave));

        assert_eq!(create("Bob", 1), "ok");
        assert_eq!(balance(&eve), eve_balance + pool / 4);
        assert_eq!(balance(&dave), dave_balance + pool / 4 * 3);
        assert_eq!(Subtensor::stake_of(&hotkey, &eve, BABELBIT), AlphaBalance::ZERO);
        assert_eq!(TotalHotkeyAlpha::<Runtime>::get(&hotkey, BABELBIT), AlphaBalance::ZERO);
        assert!(!IsNetworkMember::<Runtime>::contains_key(&hotkey, BABELBIT));
        assert!(!Axons::<Runtime>::contains_key(BABELBIT, &hotkey));
        // The netuid is reused, with none of the previous settings.
        assert_eq!(Subtensor::all_netuids(), netuids_up_to(59));
        assert_eq!(TotalNetworks::<Runtime>::get(), 60);
        assert_eq!(SubnetOwner::<Runtime>::get(BABELBIT), account("Bob"));
        assert_eq!(Subtensor::neuron_count(BABELBIT), 1);
        assert_eq!(BurnHalfLife::<Runtime>::get(BABELBIT), 360);
        assert_eq!(MechanismCountCurrent::<Runtime>::get(BABELBIT), MechId(1));
        assert!(FirstEmissionBlockNumber::<Runtime>::get(BABELBIT).is_none());
        assert!(SubnetIdentitiesV3::<Runtime>::get(BABELBIT).is_none());
        assert_eq!(TokenSymbol::<Runtime>::get(BABELBIT), "د".as_bytes());
    });
}

/// Returns the storage keys whose first or only component is this netuid, and the keys of its rate
/// limits.
fn stored_keys_of(netuid: NetUid) -> Vec<String> {
    let number = netuid.0.to_le_bytes();
    let mut keys = Vec::new();
    for pallet in ["SubtensorModule", "Commitments"] {
        let pallet = sp_io::hashing::twox_128(pallet.as_bytes());
        let mut last = pallet.to_vec();
        while let Some(key) = sp_io::storage::next_key(&last).filter(|key| key.starts_with(&pallet))
        {
            let remaining = key.get(32..).unwrap_or_default();
            let is_only_component =
                matches!(remaining.len(), 10 | 18) && remaining.ends_with(&number);
            let is_rate_limit = match remaining.len() {
                3 | 4 => remaining[1..].starts_with(&number),
                52 => remaining[48..].starts_with(&number),
                _ => false,
            };
            if remaining.starts_with(&number) || is_only_component || is_rate_limit {
                keys.push(hex::encode(&key));
            }
            last = key;
        }
    }
    keys
}

/// Publishes commitments with the owner hotkey of a subnet, and records rate-limited actions of its
/// owner.
fn add_owner_activity(netuid: NetUid, owner: &AccountId, hotkey: &AccountId) {
    let timelocked = Data::TimelockEncrypted { encrypted: timelocked("text"), reveal_round: 1_000 };
    let info =
        CommitmentInfo { fields: vec![Data::ResetBondsFlag, timelocked].try_into().unwrap() };
    let call = commitments::Call::set_commitment { netuid, info: Box::new(info) };
    assert_eq!(outcome(send(hotkey, call)), "ok");
    commitments::RevealedCommitments::<Runtime>::insert(netuid, hotkey, vec![(vec![1], 1)]);
    for action in [LimitedAction::Tempo, LimitedAction::OwnerHotkey, Hyperparameter::Kappa.into()] {
        Subtensor::record_action(owner, netuid, action);
    }
    Subtensor::record_rate_limited(&RateLimitKey::AddStakeBurn(netuid));
}

#[test]
fn dissolved_subnet_leaves_no_storage_key() {
    at_first_block(|| {
        run_to(25);
        assert_eq!(create("Bob", 1), "ok");
        let before = (stored_keys_of(BABELBIT).len(), stored_keys_of(NetUid(60)).len());
        add_owner_activity(BABELBIT, &account("Alice"), &account("Alice_hk"));
        add_owner_activity(NetUid(60), &account("Bob"), &key(1));
        let (dissolved, other) = (stored_keys_of(BABELBIT), stored_keys_of(NetUid(60)));
        assert!(dissolved.len() > 50 && other.len() > 30, "{} {}", dissolved.len(), other.len());
        assert_eq!(
            (dissolved.len() - before.0, other.len() - before.1),
            (9, 9),
            "five commitments, four actions"
        );
        Subtensor::remove_subnet(BABELBIT);
        let expected_issuance =
            pallet_balances::TotalIssuance::<Runtime>::get() + TotalStake::<Runtime>::get().0;
        assert_eq!(
            TotalIssuance::<Runtime>::get().0,
            expected_issuance,
            "the pool's TAO was not paid out or removed"
        );
        assert_eq!(stored_keys_of(BABELBIT), Vec::<String>::new());
        assert_eq!(stored_keys_of(NetUid(60)), other);
        let waiting = commitments::TimelockedIndex::<Runtime>::get();
        assert_eq!(waiting.into_iter().collect::<Vec<_>>(), [(NetUid(60), key(1))]);
        assert!(matches!(last_event(), Event::NetworkRemoved(BABELBIT)));
        run_to(26);
    });
}

fn identity(name: usize, other: usize) -> SubnetIdentityV3 {
    let (short, long) = (vec![b'a'; name], vec![b'b'; other]);
    SubnetIdentityV3 {
        subnet_name: short.clone(),
        github_repo: long.clone(),
        subnet_contact: long.clone(),
        subnet_url: long.clone(),
        discord: short,
        description: long.clone(),
        logo_url: long.clone(),
        additional: long,
    }
}

fn set_identity(netuid: NetUid, identity: SubnetIdentityV3) -> Call<Runtime> {
    let SubnetIdentityV3 {
        subnet_name,
        github_repo,
        subnet_contact,
        subnet_url,
        discord,
        description,
        logo_url,
        additional,
    } = identity;
    Call::set_subnet_identity {
        netuid,
        subnet_name,
        github_repo,
        subnet_contact,
        subnet_url,
        discord,
        description,
        logo_url,
        additional,
    }
}

#[test]
fn owner_sets_identity_of_its_subnet() {
    let alice = account("Alice");
    at_first_block(|| {
        assert_eq!(outcome(send(&alice, set_identity(BABELBIT, identity(256, 1_024)))), "ok");
        assert!(matches!(last_event(), Event::SubnetIdentitySet(BABELBIT)));
        assert_eq!(SubnetIdentitiesV3::<Runtime>::get(BABELBIT), Some(identity(256, 1_024)));
        assert_eq!(
            outcome(send(&alice, set_identity(BABELBIT, identity(257, 0)))),
            "InvalidIdentity"
        );
        assert_eq!(
            outcome(send(&alice, set_identity(BABELBIT, identity(0, 1_025)))),
            "InvalidIdentity"
        );
        assert_eq!(
            outcome(send(&account("Bob"), set_identity(BABELBIT, identity(257, 0)))),
            "NotSubnetOwner"
        );
        assert_eq!(
            outcome(send(&alice, set_identity(NetUid(77), identity(0, 0)))),
            "SubnetNotExists"
        );
        assert_eq!(SubnetIdentitiesV3::<Runtime>::get(BABELBIT), Some(identity(256, 1_024)));
    });
}

#[test]
fn subnet_can_be_created_with_identity() {
    let call = |hotkey, identity| Call::<Runtime>::register_network_with_identity {
        hotkey: key(hotkey),
        identity,
    };
    at_first_block(|| {
        NetworkRateLimit::<Runtime>::put(0);
        let bob = account("Bob");
        let before = balance(&bob);
        assert_eq!(outcome(send(&bob, call(1, Some(identity(257, 0))))), "InvalidIdentity");
        assert_eq!(
            attempt(&key(99), call(1, Some(identity(257, 0)))),
            "InvalidIdentity",
            "checked before the balance"
        );
        assert_eq!((balance(&bob), TotalNetworks::<Runtime>::get()), (before, 60));
        assert_eq!(outcome(send(&bob, call(1, Some(identity(8, 8))))), "ok");
        assert!(matches!(last_event(), Event::SubnetIdentitySet(NetUid(60))));
        assert_eq!(SubnetIdentitiesV3::<Runtime>::get(NetUid(60)), Some(identity(8, 8)));
        assert_eq!(outcome(send(&bob, call(2, None))), "ok");
        assert_eq!(SubnetIdentitiesV3::<Runtime>::get(NetUid(61)), None);
    });
}

#[test]
fn owner_starts_its_subnet_once() {
    let start = |who: &str, netuid| outcome(send(&account(who), Call::start_call { netuid }));
    at_first_block(|| {
        jump_to(40);
        assert_eq!(create("Bob", 1), "ok");
        let netuid = NetUid(60);
        StartCallDelay::<Runtime>::put(5);
        jump_to(44);
        assert_eq!(start("Bob", NetUid(77)), "SubnetNotExists");
        assert_eq!(start("Alice", netuid), "BadOrigin");
        assert_eq!(start("Bob", netuid), "StartCallNotReady");
        jump_to(45);
        assert_eq!(start("Bob", netuid), "ok");
        assert!(matches!(last_event(), Event::FirstEmissionBlockNumberSet(NetUid(60), 46)));
        assert_eq!(FirstEmissionBlockNumber::<Runtime>::get(netuid), Some(46));
        assert!(SubtokenEnabled::<Runtime>::get(netuid));
        assert_eq!(start("Bob", netuid), "FirstEmissionBlockNumberAlreadySet");
        assert_eq!(start("Alice", BABELBIT), "FirstEmissionBlockNumberAlreadySet");
    });
}

#[test]
fn only_root_dissolves_a_subnet() {
    at_first_block(|| {
        let alice = account("Alice");
        let calls = |netuid| {
            [
                Call::dissolve_network { coldkey: account("Alice"), netuid },
                Call::root_dissolve_network { netuid },
            ]
        };
        for call in calls(BABELBIT) {
            assert_eq!(attempt(&alice, call), "BadOrigin");
        }
        for netuid in [NetUid::ROOT, NetUid(77), NetUid(u16::MAX)] {
            for call in calls(netuid) {
                assert_eq!(outcome(send_as_root(call)), "SubnetNotExists");
            }
        }
        for (netuid, call) in
            [NetUid(18), BABELBIT].into_iter().zip([18, 59].map(|netuid| calls(NetUid(netuid))))
        {
            let [dissolve, root_dissolve] = call;
            let call = if netuid == BABELBIT { root_dissolve } else { dissolve };
            assert_eq!(outcome(send_as_root(call)), "ok");
            assert!(!Subtensor::subnet_exists(netuid));
            assert_eq!(last_event(), Event::NetworkRemoved(netuid));
        }
    });
}
