use codec::{Decode, Encode};
use frame_support::BoundedVec;
use proptest::prelude::*;
use scale_info::{TypeDef, TypeInfo};

use super::{
    Call, CommitmentInfo, CommitmentOf, Data, Event, LastBondsReset, LastCommitment, MaxSpace,
    Registration, TimelockedIndex, UsageTracker, UsedSpaceOf,
};
use crate::runtime::{AccountId, Runtime, RuntimeCall, RuntimeEvent, RuntimeOrigin, System};
use crate::subtensor::{Bonds, BondsResetOn, SubnetEpochIndex};
use crate::testing::{BABELBIT, Subtensor, at_first_block, key, outcome, send};
use crate::types::{NetUidStorageIndex, TaoBalance};

pub(super) fn raw(text: &[u8]) -> Data {
    Data::Raw(text.to_vec().try_into().unwrap())
}

pub(super) fn info(fields: &[Data]) -> CommitmentInfo {
    CommitmentInfo { fields: fields.to_vec().try_into().unwrap() }
}

pub(super) fn commit(who: &AccountId, fields: &[Data]) -> String {
    outcome(send(who, Call::set_commitment { netuid: BABELBIT, info: Box::new(info(fields)) }))
}

pub(super) fn was_emitted(event: &Event<Runtime>) -> bool {
    System::events().iter().any(|record| record.event == RuntimeEvent::Commitments(event.clone()))
}

#[test]
fn only_neurons_set_commitments() {
    at_first_block(|| {
        System::set_block_number(7);
        let who = key(1);
        assert_eq!(commit(&who, &[raw(b"hello")]), "AccountNotAllowedCommit");
        Subtensor::append_neuron(BABELBIT, &who);
        let failed = Data::TimelockRevealFailed { encrypted: BoundedVec::new(), reveal_round: 1 };
        assert_eq!(commit(&who, &[raw(b"hello"), failed]), "TimelockRevealFailedNotAllowed");
        assert_eq!(commit(&who, &[raw(b"hello")]), "ok");
        let stored =
            Registration { deposit: TaoBalance::ZERO, block: 7, info: info(&[raw(b"hello")]) };
        assert_eq!(CommitmentOf::<Runtime>::get(BABELBIT, &who), Some(stored));
        assert_eq!(LastCommitment::<Runtime>::get(BABELBIT, &who), Some(7));
        assert!(was_emitted(&Event::Commitment { netuid: BABELBIT, who: who.clone() }));
    });
}

#[test]
fn timelocked_commitment_is_indexed_until_replaced() {
    at_first_block(|| {
        let who = key(1);
        Subtensor::append_neuron(BABELBIT, &who);
        let timelocked = Data::TimelockEncrypted {
            encrypted: vec![1; 1_024].try_into().unwrap(),
            reveal_round: 9,
        };
        assert_eq!(commit(&who, &[raw(b"soon"), timelocked]), "ok");
        assert!(TimelockedIndex::<Runtime>::get().contains(&(BABELBIT, who.clone())));
        assert!(was_emitted(&Event::TimelockCommitment {
            netuid: BABELBIT,
            who: who.clone(),
            reveal_round: 9
        }));
        assert_eq!(commit(&who, &[raw(b"now")]), "ok");
        assert!(TimelockedIndex::<Runtime>::get().is_empty());
    });
}

#[test]
fn commitments_of_an_epoch_share_a_size_limit() {
    at_first_block(|| {
        let who = key(1);
        Subtensor::append_neuron(BABELBIT, &who);
        let big = Data::BigRaw(vec![7; 512].try_into().unwrap());
        // A commitment, and the space used after it.
        let steps = [
            (vec![Data::None], 100),
            (vec![raw(&[1; 128]), Data::Sha256([0; 32])], 260),
            (vec![big.clone(), big.clone(), big.clone()], 1_796),
            (vec![big.clone(), big.clone()], 2_820),
            (vec![raw(&[1; 128]), raw(&[1; 128])], 3_076),
        ];
        for (fields, used) in steps {
            assert_eq!(commit(&who, &fields), "ok");
            assert_eq!(UsedSpaceOf::<Runtime>::get(BABELBIT, &who).unwrap().used_space, used);
        }
        assert_eq!(commit(&who, &[raw(b"x")]), "SpaceLimitExceeded");

        let limit = |origin| {
            use sp_runtime::traits::Dispatchable;
            let call = RuntimeCall::from(Call::set_max_space { new_limit: 3_176 });
            outcome(call.dispatch(origin).map(|_| ()).map_err(|failure| failure.error))
        };
        assert_eq!(limit(RuntimeOrigin::signed(who.clone())), "BadOrigin");
        assert_eq!(limit(RuntimeOrigin::root()), "ok");
        assert_eq!(MaxSpace::<Runtime>::get(), 3_176);
        assert_eq!(commit(&who, &[raw(b"x")]), "ok");
        assert_eq!(commit(&who, &[raw(b"x")]), "SpaceLimitExceeded");

        SubnetEpochIndex::<Runtime>::mutate(BABELBIT, |index| *index += 1);
        assert_eq!(commit(&who, &[raw(b"x")]), "ok");
        let epoch = Subtensor::epoch_index_now(BABELBIT);
        let usage = UsageTracker { last_epoch: epoch, used_space: 100 };
        assert_eq!(UsedSpaceOf::<Runtime>::get(BABELBIT, &who), Some(usage));
    });
}

#[test]
fn reset_flag_clears_bonds_where_enabled() {
    at_first_block(|| {
        let who = key(1);
        let uid = Subtensor::append_neuron(BABELBIT, &who);
        let index = NetUidStorageIndex(BABELBIT.0);
        let bonds = || Bonds::<Runtime>::get(index, 0);
        Bonds::<Runtime>::insert(index, 0, vec![(0, 5), (uid, 6), (9, 7)]);
        assert_eq!(commit(&who, &[Data::ResetBondsFlag]), "ok");
        assert_eq!(bonds().len(), 3);
        BondsResetOn::<Runtime>::insert(BABELBIT, true);
        assert_eq!(commit(&who, &[raw(b"x")]), "ok");
        assert_eq!(bonds().len(), 3);
        assert_eq!(commit(&who, &[raw(b"x"), Data::ResetBondsFlag]), "ok");
        assert_eq!(bonds(), [(0, 5), (9, 7)]);
        assert_eq!(LastBondsReset::<Runtime>::get(BABELBIT, &who), Some(1));
    });
}

#[test]
fn commitment_fields_have_the_recorded_encodings() {
    let encrypted: BoundedVec<u8, _> = vec![1, 2].try_into().unwrap();
    // A field and the head of its encoding.
    let cases = [
        (Data::None, "00"),
        (raw(b""), "01"),
        (raw(b"abc"), "04616263"),
        (raw(&[9; 128]), "8109090909"),
        (Data::BlakeTwo256([1; 32]), "820101"),
        (Data::Sha256([1; 32]), "830101"),
        (Data::Keccak256([1; 32]), "840101"),
        (Data::ShaThree256([1; 32]), "850101"),
        (
            Data::TimelockEncrypted { encrypted: encrypted.clone(), reveal_round: 3 },
            "860801020300000000000000",
        ),
        (Data::ResetBondsFlag, "87"),
        (Data::BigRaw(vec![5].try_into().unwrap()), "880405"),
        (Data::TimelockRevealFailed { encrypted, reveal_round: 3 }, "890801020300000000000000"),
    ];
    for (field, head) in cases {
        let encoded = field.encode();
        assert!(hex::encode(&encoded).starts_with(head), "{field:?}");
        assert_eq!(Data::decode(&mut &encoded[..]).unwrap(), field);
    }
}

#[test]
fn metadata_has_a_raw_variant_for_each_length() {
    let TypeDef::Variant(data) = Data::type_info().type_def else { panic!("no enum") };
    let variants: Vec<(u8, String)> =
        data.variants.iter().map(|variant| (variant.index, variant.name.to_owned())).collect();
    let mut expected = vec!["None".to_owned()];
    expected.extend((0..=128).map(|length| format!("Raw{length}")));
    let last = [
        "BlakeTwo256",
        "Sha256",
        "Keccak256",
        "ShaThree256",
        "TimelockEncrypted",
        "ResetBondsFlag",
        "BigRaw",
        "TimelockRevealFailed",
    ];
    expected.extend(last.map(str::to_owned));
    assert_eq!(variants, (0..138).zip(expected).collect::<Vec<_>>());
    let lengths: Vec<u32> = data.variants[1..130]
        .iter()
        .map(|variant| match variant.fields[0].ty.type_info().type_def {
            TypeDef::Array(array) => array.len,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(lengths, (0..=128).collect::<Vec<u32>>());
}

#[test]
fn malformed_commitments_do_not_decode() {
    let cases = [
        ("", "no index"),
        ("8a", "an unknown index"),
        ("ff", "an unknown index"),
        ("046162", "a text cut short"),
        ("82ff", "a hash cut short"),
        ("88", "a length cut short"),
        ("88050800", "a longer text than allowed"),
        ("86051000", "a longer ciphertext than allowed"),
    ];
    for (bytes, reason) in cases {
        assert!(Data::decode(&mut &hex::decode(bytes).unwrap()[..]).is_err(), "{reason}");
    }
    let four_fields = [&[16][..], &[0; 4]].concat();
    assert!(CommitmentInfo::decode(&mut &four_fields[..]).is_err());
    let oversized = [&[136][..], &codec::Compact(513_u32).encode(), &[0; 513]].concat();
    assert!(Data::decode(&mut &oversized[..]).is_err());
}

fn field() -> impl Strategy<Value = Data> {
    let bytes = |max| proptest::collection::vec(any::<u8>(), 0..=max);
    let timelocked = (bytes(1_024), any::<u64>());
    prop_oneof![
        Just(Data::None),
        Just(Data::ResetBondsFlag),
        bytes(128).prop_map(|text| Data::Raw(text.try_into().unwrap())),
        bytes(512).prop_map(|text| Data::BigRaw(text.try_into().unwrap())),
        any::<[u8; 32]>().prop_map(Data::BlakeTwo256),
        any::<[u8; 32]>().prop_map(Data::Sha256),
        any::<[u8; 32]>().prop_map(Data::Keccak256),
        any::<[u8; 32]>().prop_map(Data::ShaThree256),
        (timelocked, any::<bool>()).prop_map(|((bytes, reveal_round), failed)| {
            let encrypted = bytes.try_into().unwrap();
            if failed {
                Data::TimelockRevealFailed { encrypted, reveal_round }
            } else {
                Data::TimelockEncrypted { encrypted, reveal_round }
            }
        }),
    ]
}

proptest! {
    #[test]
    fn encoded_commitment_decodes_to_itself(fields in proptest::collection::vec(field(), 0..=3)) {
        let commitment = info(&fields);
        let encoded = commitment.encode();
        prop_assert_eq!(encoded.len(), commitment.encoded_size());
        prop_assert_eq!(CommitmentInfo::decode(&mut &encoded[..]).unwrap(), commitment);
        for cut in 0..encoded.len() {
            prop_assert!(CommitmentInfo::decode(&mut &encoded[..cut]).is_err());
        }
    }

    #[test]
    fn decoded_commitment_encodes_to_its_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut remaining = &bytes[..];
        if let Ok(field) = Data::decode(&mut remaining) {
            let read = bytes.len() - remaining.len();
            prop_assert_eq!(field.encode(), &bytes[..read]);
        }
    }
}
