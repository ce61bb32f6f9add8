//! Tests of multisignature calls.

use codec::Encode as _;
use frame_support::weights::Weight;
use pallet_multisig::{Call, Event, Multisigs, Timepoint};
use sp_io::hashing::blake2_256;

use super::*;
use crate::runtime::{Multisig, Runtime, RuntimeEvent, System};
use crate::testing::{account, at_first_block, balance, jump_to, key, outcome, send};

const UNLIMITED_WEIGHT: Weight = Weight::from_parts(u64::MAX, u64::MAX);

/// Returns the signers in the order that the calls require.
fn signers() -> [AccountId; 3] {
    let mut signers = ["Alice", "Bob", "Charlie"].map(account);
    signers.sort();
    signers
}

fn others(account: &AccountId) -> Vec<AccountId> {
    signers().into_iter().filter(|signer| signer != account).collect()
}

fn approve(
    who: &AccountId,
    timepoint: Option<Timepoint<u32>>,
    call: &RuntimeCall,
    max_weight: Weight,
) -> String {
    let other_signatories = others(who);
    let call = Box::new(call.clone());
    outcome(send(
        who,
        Call::as_multi {
            threshold: 2,
            other_signatories,
            maybe_timepoint: timepoint,
            call,
            max_weight,
        },
    ))
}

fn approve_hash(who: &AccountId, timepoint: Option<Timepoint<u32>>, call: &RuntimeCall) -> String {
    let (other_signatories, call_hash) = (others(who), blake2_256(&call.encode()));
    let maybe_timepoint = timepoint;
    let max_weight = Weight::zero();
    outcome(send(
        who,
        Call::approve_as_multi {
            threshold: 2,
            other_signatories,
            maybe_timepoint,
            call_hash,
            max_weight,
        },
    ))
}

#[test]
fn two_of_three_signers_make_a_call() {
    at_first_block(|| {
        let [first, second, third] = signers();
        let multisig = Multisig::multi_account_id(&signers(), 2);
        send(&account("Alice"), pay(&multisig, 10 * TAO)).unwrap();
        let call = pay(&key(1), 3 * TAO);

        let before = balance(&first);
        assert_eq!(approve_hash(&first, None, &call), "ok");
        assert_eq!(before - balance(&first), 132_000_000 + 2 * 32_000_000);
        let timepoint = Timepoint { height: 1, index: 0 };
        jump_to(5);
        // Invalid approvals.
        assert_eq!(approve_hash(&first, Some(timepoint), &call), "AlreadyApproved");
        assert_eq!(approve(&second, None, &call, UNLIMITED_WEIGHT), "NoTimepoint");
        assert_eq!(
            approve(&second, Some(Timepoint { height: 2, index: 0 }), &call, UNLIMITED_WEIGHT),
            "WrongTimepoint"
        );
        assert_eq!(approve(&second, Some(timepoint), &call, Weight::zero()), "MaxWeightTooLow");
        assert_eq!(
            approve(&second, Some(timepoint), &pay(&key(1), 4 * TAO), UNLIMITED_WEIGHT),
            "UnexpectedTimepoint"
        );
        assert_eq!(balance(&key(1)), 0);

        assert_eq!(approve(&second, Some(timepoint), &call, UNLIMITED_WEIGHT), "ok");
        assert_eq!((balance(&key(1)), balance(&multisig)), (3 * TAO, 7 * TAO));
        assert_eq!((balance(&first), Multisigs::<Runtime>::iter().count()), (before, 0));
        System::assert_has_event(RuntimeEvent::Multisig(Event::MultisigExecuted {
            approving: second,
            timepoint,
            multisig,
            call_hash: blake2_256(&call.encode()),
            result: Ok(()),
        }));
        assert_eq!(approve_hash(&third, Some(timepoint), &call), "UnexpectedTimepoint");
    });
}

#[test]
fn first_signer_cancels_the_multisig_call() {
    at_first_block(|| {
        let [first, second, _] = signers();
        let call = pay(&key(1), TAO);
        let before = balance(&first);
        assert_eq!(approve(&first, None, &call, UNLIMITED_WEIGHT), "ok");
        let timepoint = Timepoint { height: 1, index: 0 };
        let call_hash = blake2_256(&call.encode());
        let cancel = |who: &AccountId| Call::cancel_as_multi {
            threshold: 2,
            other_signatories: others(who),
            timepoint,
            call_hash,
        };
        assert_eq!(outcome(send(&second, cancel(&second))), "NotOwner");
        assert_eq!(outcome(send(&first, cancel(&first))), "ok");
        assert_eq!((balance(&first), Multisigs::<Runtime>::iter().count()), (before, 0));
        assert_eq!(outcome(send(&first, cancel(&first))), "NotFound");
    });
}

#[test]
fn invalid_signer_lists_are_refused() {
    at_first_block(|| {
        let [first, second, third] = signers();
        let call = || Box::new(pay(&key(1), TAO));
        let with = |threshold, other_signatories| {
            let call = call();
            outcome(send(
                &first,
                Call::as_multi {
                    threshold,
                    other_signatories,
                    maybe_timepoint: None,
                    call,
                    max_weight: UNLIMITED_WEIGHT,
                },
            ))
        };
        let many_signatories = || (0..100).map(key).collect::<Vec<_>>();
        assert_eq!(with(0, vec![second.clone()]), "MinimumThreshold");
        assert_eq!(with(1, vec![second.clone()]), "MinimumThreshold");
        assert_eq!(with(2, vec![]), "TooFewSignatories");
        assert_eq!(with(2, many_signatories()), "TooManySignatories");
        assert_eq!(with(2, vec![third.clone(), second.clone()]), "SignatoriesOutOfOrder");
        assert_eq!(with(2, vec![first.clone(), second.clone()]), "SenderInSignatories");
        assert_eq!(
            with(u16::MAX, vec![second.clone()]),
            "ok",
            "waits for approvals that never come"
        );

        // Any of the signers alone.
        let shared = Multisig::multi_account_id(&[first.clone(), second.clone()], 1);
        send(&first, pay(&shared, 5 * TAO)).unwrap();
        let alone = Call::as_multi_threshold_1 { other_signatories: vec![second], call: call() };
        assert_eq!((outcome(send(&first, alone)), balance(&key(1))), ("ok".to_owned(), TAO));
        for origin in [RuntimeOrigin::none(), RuntimeOrigin::root()] {
            let alone =
                Call::as_multi_threshold_1 { other_signatories: vec![third.clone()], call: call() };
            assert_eq!(refusal(origin, alone), Some(DispatchError::BadOrigin));
        }
        assert_eq!(Multisigs::<Runtime>::iter().count(), 1);
    });
}

#[test]
fn multisig_accounts_equal_those_of_clients() {
    let Some(golden) = taonet_chain_vectors::json("golden_spec461.json") else { return };
    let recorded = golden["multisig"].as_array().unwrap();
    for multisig in recorded {
        let parse = |address: &serde_json::Value| {
            sp_core::crypto::Ss58Codec::from_ss58check(address.as_str().unwrap()).unwrap()
        };
        let mut signers: Vec<AccountId> =
            multisig["signatories"].as_array().unwrap().iter().map(parse).collect();
        signers.sort();
        let threshold = u16::try_from(multisig["threshold"].as_u64().unwrap()).unwrap();
        let expected: AccountId = parse(&multisig["ss58_address"]);
        assert_eq!(Multisig::multi_account_id(&signers, threshold), expected);
    }
    assert_eq!(recorded.len(), 3);
}
