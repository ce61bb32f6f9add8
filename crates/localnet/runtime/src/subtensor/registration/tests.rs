use super::*;
use crate::runtime::{Runtime, RuntimeCall, RuntimeEvent, System};
use crate::subtensor::{
    Axons, BurnHalfLife, Call, ImmuneOwnerUidsLimit, ImmunityPeriod, Keys, MaxBurn, NetworksAdded,
    OwnedHotkeys, Owner, SubnetAlphaIn, SubnetTAO, Tempo, Uids,
};
use crate::testing::{
    BABELBIT, Subtensor, account, at_first_block, balance, jump_to, key, last_event, outcome,
    run_to, send,
};

const ROOT: NetUid = NetUid::ROOT;

fn register(who: &str, netuid: NetUid, hotkey: u32) -> String {
    outcome(send(&account(who), Call::burned_register { netuid, hotkey: key(hotkey) }))
}

fn register_limit(who: &str, netuid: NetUid, hotkey: u32, limit_price: u64) -> String {
    outcome(send(&account(who), Call::register_limit { netuid, hotkey: key(hotkey), limit_price }))
}

fn root_register(who: &str, hotkey: u32) -> String {
    outcome(send(&account(who), Call::root_register { hotkey: key(hotkey) }))
}

/// Whether an event of the Subtensor pallet has been deposited.
fn has_event(event: &Event<Runtime>) -> bool {
    System::events().iter().any(
        |record| matches!(&record.event, RuntimeEvent::SubtensorModule(other) if other == event),
    )
}

#[test]
fn registration_charges_price_and_assigns_uid() {
    at_first_block(|| {
        jump_to(7);
        let before = balance(&account("Bob"));
        let price = Burn::<Runtime>::get(BABELBIT).0;
        let (tao, alpha) =
            (SubnetTAO::<Runtime>::get(BABELBIT).0, SubnetAlphaIn::<Runtime>::get(BABELBIT).0);
        assert_eq!(register("Bob", BABELBIT, 1), "ok");
        assert_eq!(balance(&account("Bob")), before - price);
        let fee = price * 33 / 65_535;
        assert_eq!(
            SubnetTAO::<Runtime>::get(BABELBIT).0,
            tao + price - fee,
            "the price goes into the pool, less the fee"
        );
        assert!(
            SubnetAlphaIn::<Runtime>::get(BABELBIT).0 < alpha,
            "the alpha that it buys is destroyed"
        );
        assert_eq!(RAORecycledForRegistration::<Runtime>::get(BABELBIT).0, price);
        assert_eq!(RegistrationsThisBlock::<Runtime>::get(BABELBIT), 1);
        assert_eq!(Burn::<Runtime>::get(BABELBIT).0, price * 126 / 100);
        assert_eq!(Subtensor::uid_of(BABELBIT, &key(1)), Some(1));
        assert_eq!(Subtensor::hotkey_at(BABELBIT, 1), key(1));
        assert_eq!(BlockAtRegistration::<Runtime>::get(BABELBIT, 1), 7);
        assert!(Subtensor::is_registered_anywhere(&key(1)));
        assert_eq!(Owner::<Runtime>::get(key(1)), account("Bob"));
        assert_eq!(OwnedHotkeys::<Runtime>::get(account("Bob")), [key(1)]);
        assert!(
            matches!(last_event(), Event::NeuronRegistered(BABELBIT, 1, hotkey) if hotkey == key(1))
        );
        run_to(8);
        assert_eq!(RegistrationsThisBlock::<Runtime>::get(BABELBIT), 0);
    });
}

#[test]
fn registration_checks_run_in_order() {
    // Each row violates one check. With all later ones violated too, its own error is returned.
    let violations: [(&str, fn()); 6] = [
        ("SubnetNotExists", || NetworksAdded::<Runtime>::remove(BABELBIT)),
        ("SubNetRegistrationDisabled", || {
            NetworkRegistrationAllowed::<Runtime>::insert(BABELBIT, false);
        }),
        ("HotKeyAlreadyRegisteredInSubNet", || Uids::<Runtime>::insert(BABELBIT, key(1), 9)),
        ("NotEnoughBalanceToStake", || {
            MaxBurn::<Runtime>::insert(BABELBIT, TaoBalance(u64::MAX));
            Burn::<Runtime>::insert(BABELBIT, TaoBalance(balance(&account("Bob")) - 499));
        }),
        ("NonAssociatedColdKey", || Owner::<Runtime>::insert(key(1), account("Charlie"))),
        ("NoNeuronIdAvailable", || MaxAllowedUids::<Runtime>::insert(BABELBIT, 0)),
    ];
    assert_eq!(at_first_block(|| register("Bob", ROOT, 1)), "RegistrationNotPermittedOnRootSubnet");
    for first in 0..violations.len() {
        let error = at_first_block(|| {
            violations[first..].iter().for_each(|(_, violate)| violate());
            register("Bob", BABELBIT, 1)
        });
        assert_eq!(error, violations[first].0);
    }
    // The payment may reduce the balance to the existential deposit.
    at_first_block(|| {
        Burn::<Runtime>::insert(BABELBIT, TaoBalance(balance(&account("Bob")) - 500));
        assert_eq!(register("Bob", BABELBIT, 1), "ok");
        assert_eq!(balance(&account("Bob")), 500);
    });
}

#[test]
fn refused_registration_changes_no_state() {
    at_first_block(|| {
        MaxAllowedUids::<Runtime>::insert(BABELBIT, 1);
        let before = balance(&account("Bob"));
        // The only neuron is the owner's, which is never replaced.
        assert_eq!(register("Bob", BABELBIT, 1), "NoNeuronIdAvailable");
        assert_eq!(balance(&account("Bob")), before);
        assert!(!Subtensor::hotkey_exists(&key(1)));
    });
}

#[test]
fn registration_above_price_limit_is_refused() {
    at_first_block(|| {
        let price = Burn::<Runtime>::get(BABELBIT).0;
        assert_eq!(register_limit("Bob", ROOT, 1, 0), "RegistrationNotPermittedOnRootSubnet");
        assert_eq!(register_limit("Bob", NetUid(77), 1, 0), "SubnetNotExists");
        NetworkRegistrationAllowed::<Runtime>::insert(BABELBIT, false);
        assert_eq!(register_limit("Bob", BABELBIT, 1, price - 1), "RegistrationPriceLimitExceeded");
        assert_eq!(register_limit("Bob", BABELBIT, 1, price), "SubNetRegistrationDisabled");
        NetworkRegistrationAllowed::<Runtime>::insert(BABELBIT, true);
        assert_eq!(register_limit("Bob", BABELBIT, 1, price), "ok");
        assert_eq!(register_limit("Bob", BABELBIT, 2, price), "RegistrationPriceLimitExceeded");
    });
}

#[test]
fn full_subnet_replaces_a_neuron() {
    at_first_block(|| {
        MaxAllowedUids::<Runtime>::insert(BABELBIT, 3);
        assert_eq!(register("Bob", BABELBIT, 1), "ok");
        assert_eq!(register("Bob", BABELBIT, 2), "ok");
        jump_to(2);
        assert_eq!(register("Bob", BABELBIT, 3), "ok");
        assert!(
            matches!(last_event(), Event::NeuronRegistered(BABELBIT, 1, hotkey) if hotkey == key(3))
        );
        assert_eq!(Subtensor::neuron_count(BABELBIT), 3);
        assert_eq!(Subtensor::uid_of(BABELBIT, &key(1)), None);
        assert!(!Subtensor::is_registered_anywhere(&key(1)));
        assert!(Subtensor::hotkey_exists(&key(1)), "the replaced hotkey keeps its owner");
        assert_eq!(register("Bob", BABELBIT, 1), "ok");
        assert_eq!(Subtensor::uid_of(BABELBIT, &key(1)), Some(2));
        // Without a protected hotkey, the owner's neuron can be replaced like any other.
        ImmuneOwnerUidsLimit::<Runtime>::insert(BABELBIT, 0);
        assert_eq!(register("Bob", BABELBIT, 4), "ok");
        assert_eq!(Subtensor::uid_of(BABELBIT, &key(4)), Some(0));
    });
}

#[test]
fn root_registrations_are_limited_per_block_and_interval() {
    at_first_block(|| {
        BurnHalfLife::<Runtime>::insert(ROOT, 0);
        let (before, price) = (balance(&account("Bob")), Burn::<Runtime>::get(ROOT).0);
        assert_eq!(root_register("Bob", 1), "ok");
        assert_eq!(balance(&account("Bob")), before - price);
        assert_eq!(RAORecycledForRegistration::<Runtime>::get(ROOT).0, price);
        assert_eq!(Burn::<Runtime>::get(ROOT).0, price * 126 / 100);
        assert!(has_event(&Event::NeuronRegistered(ROOT, 0, key(1))));
        assert!(Delegates::<Runtime>::contains_key(key(1)));
        assert_eq!(root_register("Bob", 1), "TooManyRegistrationsThisBlock");
        for block in [2, 3] {
            run_to(block);
            assert_eq!(root_register("Bob", block), "ok");
        }
        run_to(4);
        assert_eq!(root_register("Bob", 1), "TooManyRegistrationsThisInterval");
        let interval = u32::from(Tempo::<Runtime>::get(ROOT));
        run_to(interval - 1);
        assert_eq!(root_register("Bob", 4), "TooManyRegistrationsThisInterval");
        run_to(interval);
        assert_eq!(root_register("Bob", 1), "HotKeyAlreadyRegisteredInSubNet");
        Owner::<Runtime>::insert(key(4), account("Charlie"));
        // Anybody may pay, and must keep the existential deposit.
        let (payer, price) = (key(99), Burn::<Runtime>::get(ROOT).0);
        Subtensor::credit(&payer, price + 499);
        assert_eq!(
            outcome(send(&payer, Call::root_register { hotkey: key(4) })),
            "InsufficientTaoBalance"
        );
        Subtensor::credit(&payer, 1);
        assert_eq!(outcome(send(&payer, Call::root_register { hotkey: key(4) })), "ok");
        assert_eq!(balance(&payer), 500);
        assert_eq!(Owner::<Runtime>::get(key(4)), account("Charlie"));
        assert_eq!(Subtensor::neuron_count(ROOT), 4);
    });
}

#[test]
fn full_root_replaces_member_with_lowest_stake() {
    let stake = |hotkey: u32, rao: u64| {
        Subtensor::increase_stake(&key(hotkey), &account("Bob"), ROOT, AlphaBalance(rao));
    };
    at_first_block(|| {
        MaxAllowedUids::<Runtime>::insert(ROOT, 2);
        MaxRegistrationsPerBlock::<Runtime>::insert(ROOT, 9);
        TargetRegistrationsPerInterval::<Runtime>::insert(ROOT, 9);
        stake(1, 20);
        stake(2, 10);
        stake(3, 10);
        stake(4, 11);
        stake(5, 21);
        assert_eq!(root_register("Bob", 1), "ok");
        assert_eq!(root_register("Bob", 2), "ok");
        assert_eq!(root_register("Bob", 4), "NoNeuronIdAvailable", "new members are immune");
        ImmunityPeriod::<Runtime>::insert(ROOT, 0);
        stake(6, 9);
        assert_eq!(root_register("Bob", 6), "StakeTooLowForRoot");
        assert_eq!(root_register("Bob", 3), "ok", "as much stake suffices");
        assert_eq!(Subtensor::uid_of(ROOT, &key(2)), None);
        assert_eq!(root_register("Bob", 4), "ok");
        assert_eq!(Subtensor::uid_of(ROOT, &key(4)), Some(1));
        assert_eq!(Subtensor::uid_of(ROOT, &key(3)), None);
        // Ties are broken by registration block, then by uid.
        stake(4, 9);
        jump_to(2);
        BlockAtRegistration::<Runtime>::insert(ROOT, 0, 2);
        assert_eq!(root_register("Bob", 5), "ok");
        assert_eq!(Subtensor::uid_of(ROOT, &key(5)), Some(1));
    });
}

#[test]
fn account_of_a_subnet_cannot_be_a_hotkey() {
    at_first_block(|| {
        let hotkey = crate::info::subnet::account::<Runtime>(BABELBIT).unwrap();
        let calls: [Call<Runtime>; 4] = [
            Call::burned_register { netuid: BABELBIT, hotkey: hotkey.clone() },
            Call::root_register { hotkey: hotkey.clone() },
            Call::register_network { hotkey: hotkey.clone() },
            Call::try_associate_hotkey { hotkey: hotkey.clone() },
        ];
        for call in calls {
            assert_eq!(
                outcome(send(&account("Bob"), call.clone())),
                "CannotUseSystemAccount",
                "{call:?}"
            );
        }
        assert!(!Subtensor::hotkey_exists(&hotkey));
        assert_eq!(Subtensor::neuron_count(ROOT), 0);
    });
}

#[test]
fn existing_take_is_kept_when_joining_root() {
    at_first_block(|| {
        Delegates::<Runtime>::insert(key(1), sp_runtime::PerU16::from_parts(5));
        assert_eq!(root_register("Bob", 1), "ok");
        assert_eq!(Delegates::<Runtime>::get(key(1)).deconstruct(), 5);
        assert_eq!(Delegates::<Runtime>::get(key(2)).deconstruct(), 11_796);
    });
}

#[test]
fn duplicate_registration_reverts_the_batch() {
    at_first_block(|| {
        let call = || RuntimeCall::from(Call::burned_register { netuid: BABELBIT, hotkey: key(1) });
        let batch = pallet_utility::Call::batch_all { calls: vec![call(), call()] };
        assert_eq!(outcome(send(&account("Bob"), batch)), "HotKeyAlreadyRegisteredInSubNet");
        assert_eq!(Keys::<Runtime>::iter_prefix(BABELBIT).count(), 1);
        assert!(Axons::<Runtime>::iter_prefix(BABELBIT).next().is_none());
    });
}
