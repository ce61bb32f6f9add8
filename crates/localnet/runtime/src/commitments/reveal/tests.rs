use frame_support::BoundedVec;
use frame_support::traits::Hooks as _;

use super::super::tests::{commit, info, raw, was_emitted};
use super::super::{
    CommitmentInfo, CommitmentOf, Data, Event, Pallet, RevealFailure, RevealedCommitments,
    TimelockedIndex,
};
use crate::drand::{OldestStoredRound, Pulses};
use crate::runtime::{AccountId, Runtime};
use crate::testing::{
    BABELBIT, Subtensor, at_first_block, jump_to, key, publish_pulse, state_root, timelocked,
};

/// Adds a neuron to the subnet; returns its hotkey.
fn neuron() -> AccountId {
    Subtensor::append_neuron(BABELBIT, &key(1));
    key(1)
}

fn field(data: &str, reveal_round: u64) -> Data {
    Data::TimelockEncrypted { encrypted: timelocked(data), reveal_round }
}

/// Runs the pallet's hook at the start of a block.
fn begin_block(block: u32) {
    jump_to(block);
    Pallet::<Runtime>::on_initialize(block);
}

fn stored_info(who: &AccountId) -> Option<CommitmentInfo> {
    CommitmentOf::<Runtime>::get(BABELBIT, who).map(|registration| registration.info)
}

fn revealed_texts(who: &AccountId) -> Vec<(Vec<u8>, u64)> {
    RevealedCommitments::<Runtime>::get(BABELBIT, who).unwrap_or_default()
}

fn timelocked_count() -> usize {
    TimelockedIndex::<Runtime>::get().len()
}

#[test]
fn pulse_reveals_commitment() {
    at_first_block(|| {
        let who = neuron();
        assert_eq!(commit(&who, &[raw(b"soon"), field("text", 1_000)]), "ok");
        jump_to(11);
        let before = state_root();
        begin_block(11);
        assert!(state_root() == before, "a commitment without its pulse waits");
        publish_pulse(1_000);
        begin_block(12);
        assert_eq!(revealed_texts(&who), [(b"speech at 16 kHz".to_vec(), 12)]);
        assert_eq!(stored_info(&who), Some(info(&[raw(b"soon")])));
        assert_eq!(timelocked_count(), 0);
        assert!(was_emitted(&Event::CommitmentRevealed { netuid: BABELBIT, who: who.clone() }));

        // A commitment whose fields were all timelocked is removed when they are revealed.
        assert_eq!(commit(&who, &[field("text with its round", 1_000)]), "ok");
        begin_block(13);
        assert_eq!(revealed_texts(&who)[1..], [(b"speech at 8 kHz".to_vec(), 13)]);
        assert_eq!((stored_info(&who), timelocked_count()), (None, 0));
    });
}

#[test]
fn each_field_waits_for_its_own_pulse() {
    at_first_block(|| {
        let who = neuron();
        let later = field("weights of round 2000", 2_000);
        assert_eq!(commit(&who, &[later.clone(), field("text", 1_000)]), "ok");
        publish_pulse(1_000);
        begin_block(5);
        assert_eq!(revealed_texts(&who), [(b"speech at 16 kHz".to_vec(), 5)]);
        assert_eq!((stored_info(&who), timelocked_count()), (Some(info(&[later])), 1));
        publish_pulse(2_000);
        begin_block(6);
        assert_eq!(
            (revealed_texts(&who).len(), stored_info(&who), timelocked_count()),
            (2, None, 0)
        );
    });
}

#[test]
fn unrevealable_fields_are_stored_as_failures() {
    let malformed = Data::TimelockEncrypted {
        encrypted: BoundedVec::truncate_from(vec![1; 40]),
        reveal_round: 1_000,
    };
    let cases = [
        (field("text", 2_000), RevealFailure::Decrypt),
        (field("nothing", 1_000), RevealFailure::EmptyPlaintext),
        (malformed, RevealFailure::CiphertextDeserialize),
        (field("text with its round", 2_000), RevealFailure::RoundMismatch),
        (field("text", 999), RevealFailure::PulseExpired),
        (field("text", 3_000), RevealFailure::SignatureDeserialize),
    ];
    for (data, error) in cases {
        at_first_block(|| {
            let who = neuron();
            publish_pulse(1_000);
            publish_pulse(2_000);
            OldestStoredRound::<Runtime>::put(1_000);
            let mut bad = Pulses::<Runtime>::get(2_000).unwrap();
            bad.signature = BoundedVec::truncate_from(vec![0; 48]);
            Pulses::<Runtime>::insert(3_000, bad);
            assert_eq!(commit(&who, std::slice::from_ref(&data)), "ok");
            begin_block(5);
            let Data::TimelockEncrypted { encrypted, reveal_round } = data else { unreachable!() };
            let failed = Data::TimelockRevealFailed { encrypted, reveal_round };
            assert_eq!(stored_info(&who), Some(info(&[failed])), "{error:?}");
            assert!(was_emitted(&Event::CommitmentRevealFailed {
                netuid: BABELBIT,
                who: who.clone(),
                reveal_round,
                error
            }));
            assert_eq!((revealed_texts(&who).len(), timelocked_count()), (0, 0), "{error:?}");
            let before = state_root();
            begin_block(5);
            assert!(state_root() == before, "{error:?} is reported once");
        });
    }
}

#[test]
fn last_ten_revealed_commitments_are_kept() {
    at_first_block(|| {
        let who = neuron();
        let earlier: Vec<_> = (0..9).map(|number| (vec![number], 1)).collect();
        RevealedCommitments::<Runtime>::insert(BABELBIT, &who, &earlier);
        assert_eq!(
            commit(&who, &[field("text", 1_000), field("text with its round", 1_000)]),
            "ok"
        );
        publish_pulse(1_000);
        begin_block(5);
        let all = revealed_texts(&who);
        assert_eq!((all.len(), &all[..8]), (10, &earlier[1..]));
        assert_eq!(all[8..], [(b"speech at 16 kHz".to_vec(), 5), (b"speech at 8 kHz".to_vec(), 5)]);
    });
}

#[test]
fn reveal_entry_without_commitment_is_removed() {
    at_first_block(|| {
        let who = neuron();
        assert_eq!(commit(&who, &[field("text", 1_000)]), "ok");
        CommitmentOf::<Runtime>::remove(BABELBIT, &who);
        begin_block(5);
        assert_eq!(timelocked_count(), 0);
    });
}
