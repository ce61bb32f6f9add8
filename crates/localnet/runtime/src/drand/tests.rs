use codec::Encode as _;
use frame_support::BoundedVec;
use frame_support::pallet_prelude::{InvalidTransaction, ValidTransaction};
use frame_support::traits::Get as _;
use sp_core::Pair as _;
use sp_core::sr25519;
use sp_runtime::traits::Dispatchable as _;
use sp_runtime::transaction_validity::TransactionValidityError;
use sp_runtime::{MultiSignature, MultiSigner};

use super::*;
use crate::runtime::{Runtime, RuntimeCall, RuntimeEvent, RuntimeOrigin, System};
use crate::testing::{account, at_first_block, jump_to, outcome, send};

type Payload = PulsesPayload<MultiSigner, u32>;

/// Returns the recorded pulses of rounds 1 000 and 2 000; `None` without the recordings.
fn recorded_pulses() -> Option<[Pulse; 2]> {
    let vectors = taonet_chain_vectors::json("drand_timelock.json")?;
    let cases = vectors["cases"].as_array().unwrap();
    let pulse_of_round = |round: u64| {
        let case = cases.iter().find(|case| case["round"].as_u64() == Some(round)).unwrap();
        let signature =
            hex::decode(case["signature_hex"].as_str().unwrap().trim_start_matches("0x")).unwrap();
        pulse(round, signature)
    };
    Some([pulse_of_round(1_000), pulse_of_round(2_000)])
}

fn pulse(round: u64, signature: Vec<u8>) -> Pulse {
    Pulse {
        round,
        randomness: BoundedVec::truncate_from(sp_io::hashing::sha2_256(&signature).into()),
        signature: BoundedVec::truncate_from(signature),
    }
}

/// Returns the call that submits pulses, signed by a key without an account.
fn submission(block_number: u32, pulses: &[Pulse]) -> Call<Runtime> {
    let pair = sr25519::Pair::from_seed(&[9; 32]);
    let payload = Payload { block_number, pulses: pulses.to_vec(), public: pair.public().into() };
    let signature = Some(pair.sign(&payload.encode()).into());
    Call::write_pulse { pulses_payload: payload, signature }
}

/// Submits pulses, and returns the name of the error, or `ok`.
fn submit(pulses: &[Pulse]) -> String {
    let call = RuntimeCall::from(submission(1, pulses));
    outcome(call.dispatch(RuntimeOrigin::none()).map(|_| ()).map_err(|failed| failed.error))
}

fn validity(call: &Call<Runtime>) -> Result<ValidTransaction, InvalidTransaction> {
    Pallet::<Runtime>::validity(call).map_err(|error| match error {
        TransactionValidityError::Invalid(invalid) => invalid,
        TransactionValidityError::Unknown(unknown) => panic!("{unknown:?}"),
    })
}

fn stored_rounds() -> (u64, u64, usize) {
    (
        OldestStoredRound::<Runtime>::get(),
        LastStoredRound::<Runtime>::get(),
        Pulses::<Runtime>::iter().count(),
    )
}

#[test]
fn beacon_pulse_is_stored() {
    let Some([first, second]) = recorded_pulses() else { return };
    at_first_block(|| {
        assert_eq!(submit(std::slice::from_ref(&first)), "ok");
        assert_eq!(stored_rounds(), (1_000, 1_000, 1));
        assert_eq!(Pulses::<Runtime>::get(1_000), Some(first.clone()));
        System::assert_last_event(RuntimeEvent::Drand(Event::NewPulse { rounds: vec![1_000] }));
        assert_eq!(NextUnsignedAt::<Runtime>::get(), 1);

        // The same pulse again, and one that leaves out rounds.
        for refused in [[first.clone()], [second.clone()]] {
            assert_eq!(submit(&refused), "InvalidRoundNumber");
        }
        assert_eq!(stored_rounds(), (1_000, 1_000, 1));

        // Pretend that the rounds in between were stored.
        LastStoredRound::<Runtime>::put(1_999);
        assert_eq!(submit(&[second]), "ok");
        assert_eq!(stored_rounds(), (1_000, 2_000, 2));
    });
}

#[test]
fn pulses_without_valid_signature_are_not_stored() {
    let Some([first, second]) = recorded_pulses() else { return };
    at_first_block(|| {
        let events = System::events().len();
        // A valid signature of another round is ignored without an error.
        let exchanged = pulse(1_001, first.signature.to_vec());
        assert_eq!(submit(&[exchanged]), "ok");
        assert_eq!((stored_rounds(), System::events().len()), ((0, 0, 0), events));

        let mut outside = vec![0; 48];
        (outside[0], outside[47]) = (0x80, 4);
        for signature in [
            vec![],
            vec![0; 48],
            vec![0xff; 48],
            vec![0; 144],
            first.signature[..47].to_vec(),
            outside,
        ] {
            assert_eq!(submit(&[pulse(1_000, signature)]), "PulseVerificationError");
        }
        // One malformed pulse undoes the others.
        assert_eq!(submit(&[first.clone(), pulse(1_001, vec![1])]), "PulseVerificationError");
        assert_eq!(submit(&[first.clone(), second]), "InvalidRoundNumber");
        assert_eq!(
            (stored_rounds(), submit(&[]), stored_rounds()),
            ((0, 0, 0), "ok".to_owned(), (0, 0, 0))
        );
        for round in [0, u64::MAX] {
            assert_eq!(submit(&[pulse(round, first.signature.to_vec())]), "ok");
        }
        assert_eq!(stored_rounds(), (0, 0, 0));

        let call = RuntimeCall::from(submission(1, &[first]));
        assert_eq!(outcome(send(&account("Alice"), call.clone())), "BadOrigin");
        assert_eq!(
            call.dispatch(RuntimeOrigin::root()).unwrap_err().error,
            sp_runtime::DispatchError::BadOrigin
        );
    });
}

#[test]
fn pool_accepts_one_pulse_of_a_new_round() {
    let dummy_pulse = |round| pulse(round, vec![1; 48]);
    at_first_block(|| {
        jump_to(10);
        // The first round may be any; later ones must be near.
        let valid = validity(&submission(10, &[dummy_pulse(5_000_000)])).unwrap();
        assert_eq!(
            (valid.longevity, valid.propagate, valid.requires.len(), valid.provides.len()),
            (3, false, 0, 1)
        );
        LastStoredRound::<Runtime>::put(1_000);
        let [next, later] =
            [1_001, 1_050].map(|round| validity(&submission(9, &[dummy_pulse(round)])).unwrap());
        assert!(next.priority >= later.priority);
        assert_ne!(next.provides, later.provides);
        assert_eq!(
            validity(&submission(10, &[dummy_pulse(1_051)])),
            Err(InvalidTransaction::Future)
        );
        assert_eq!(
            validity(&submission(10, &[dummy_pulse(1_000)])),
            Err(InvalidTransaction::Stale)
        );
        assert_eq!(
            validity(&submission(11, &[dummy_pulse(1_001)])),
            Err(InvalidTransaction::Future)
        );
        for pulses in [vec![], vec![dummy_pulse(1_001), dummy_pulse(1_002)]] {
            assert_eq!(validity(&submission(10, &pulses)), Err(InvalidTransaction::Call));
        }
        NextUnsignedAt::<Runtime>::put(11);
        assert_eq!(
            validity(&submission(10, &[dummy_pulse(1_001)])),
            Err(InvalidTransaction::Stale)
        );
    });
}

#[test]
fn pool_refuses_pulse_without_valid_signature() {
    at_first_block(|| {
        let valid = submission(1, &[pulse(1, vec![1; 48])]);
        let Call::write_pulse { pulses_payload, signature } = valid else { unreachable!() };
        let submission_with = |payload: &Payload, signature: Option<MultiSignature>| {
            validity(&Call::write_pulse { pulses_payload: payload.clone(), signature })
        };
        assert!(submission_with(&pulses_payload, signature.clone()).is_ok());
        assert_eq!(submission_with(&pulses_payload, None), Err(InvalidTransaction::BadSigner));
        let changed = Payload { block_number: 0, ..pulses_payload.clone() };
        assert_eq!(submission_with(&changed, signature.clone()), Err(InvalidTransaction::BadProof));
        let other = sr25519::Pair::from_seed(&[1; 32]).sign(&pulses_payload.encode());
        assert_eq!(
            submission_with(&pulses_payload, Some(other.into())),
            Err(InvalidTransaction::BadProof)
        );
        let ed25519 = MultiSignature::Ed25519(sp_core::ed25519::Signature::from_raw([0; 64]));
        assert_eq!(
            submission_with(&pulses_payload, Some(ed25519)),
            Err(InvalidTransaction::BadProof)
        );
        let root = Call::set_oldest_stored_round { oldest_round: 1 };
        assert_eq!(validity(&root), Err(InvalidTransaction::Call));
    });
}

#[test]
fn only_root_sets_beacon_and_oldest_round() {
    at_first_block(|| {
        let mut config = BeaconConfig::<Runtime>::get();
        assert_eq!(config, Quicknet::get());
        config.period = 0;
        let public = MultiSigner::Sr25519(sr25519::Public::from_raw([0; 32]));
        let config_payload =
            BeaconConfigurationPayload { block_number: 1, config: config.clone(), public };
        let call = RuntimeCall::from(Call::<Runtime>::set_beacon_config {
            config_payload,
            signature: None,
        });
        let oldest =
            RuntimeCall::from(Call::<Runtime>::set_oldest_stored_round { oldest_round: 7 });
        for call in [&call, &oldest] {
            assert_eq!(outcome(send(&account("Alice"), call.clone())), "BadOrigin");
        }
        call.dispatch(RuntimeOrigin::root()).unwrap();
        assert_eq!((BeaconConfig::<Runtime>::get(), NextUnsignedAt::<Runtime>::get()), (config, 2));
        System::assert_last_event(RuntimeEvent::Drand(Event::BeaconConfigChanged));
        oldest.dispatch(RuntimeOrigin::root()).unwrap();
        System::assert_last_event(RuntimeEvent::Drand(Event::SetOldestStoredRound(7)));
        // Without rounds there are no pulses.
        assert_eq!(submit(&[pulse(1, vec![1; 48])]), "PulseVerificationError");
    });
}

#[test]
fn oldest_pulses_are_pruned() {
    at_first_block(|| {
        Pallet::<Runtime>::remove_old_pulses(u64::MAX);
        assert_eq!(stored_rounds(), (0, 0, 0));
        OldestStoredRound::<Runtime>::put(1);
        (1..=150).for_each(|round| Pulses::<Runtime>::insert(round, pulse(round, vec![1])));
        for (last, oldest, remaining) in [
            (MAX_STORED_PULSES, 1, 150),
            // At most 100 at a time.
            (MAX_STORED_PULSES + 120, 101, 50),
            (MAX_STORED_PULSES + 120, 121, 30),
            (MAX_STORED_PULSES + 120, 121, 30),
        ] {
            Pallet::<Runtime>::remove_old_pulses(last);
            assert_eq!(
                (OldestStoredRound::<Runtime>::get(), Pulses::<Runtime>::iter().count()),
                (oldest, remaining)
            );
        }
        assert!(Pulses::<Runtime>::contains_key(121) && !Pulses::<Runtime>::contains_key(120));
    });
}
