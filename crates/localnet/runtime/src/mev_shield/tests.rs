use frame_support::traits::Hooks;
use frame_support::{BoundedVec, assert_noop};
use sp_runtime::DispatchError;
use sp_runtime::traits::Dispatchable;
use taonet_shield::{KEY_LEN, MAX_CIPHERTEXT};

use super::*;
use crate::runtime::{MevShield, Runtime, RuntimeCall, RuntimeEvent, RuntimeOrigin, System};
use crate::testing::{account, at_first_block, outcome, send};

fn bytes(length: usize) -> BoundedVec<u8, frame_support::traits::ConstU32<MAX_CIPHERTEXT>> {
    vec![7; length].try_into().unwrap()
}

fn last_event() -> Event<Runtime> {
    let event = System::events().into_iter().rev().find_map(|record| match record.event {
        RuntimeEvent::MevShield(event) => Some(event),
        _ => None,
    });
    event.unwrap()
}

fn as_root(call: Call<Runtime>) -> String {
    let result = RuntimeCall::from(call).dispatch(RuntimeOrigin::root());
    outcome(result.map(|_| ()).map_err(|failure| failure.error))
}

#[test]
fn first_block_has_the_development_key() {
    at_first_block(|| {
        let key = development_key().public();
        for stored in
            [CurrentKey::<Runtime>::get(), PendingKey::<Runtime>::get(), NextKey::<Runtime>::get()]
        {
            assert_eq!(stored.unwrap().to_vec(), key);
        }
        assert!(MevShield::is_author_key_hash(sp_io::hashing::twox_128(&key)));
        assert!(!MevShield::is_author_key_hash([0; 16]));
    });
}

#[test]
fn next_key_becomes_current_key() {
    let key = |byte: u8| Some(BoundedVec::try_from(vec![byte; KEY_LEN]).unwrap());
    let announce = |enc_key| MevShield::announce_next_key(RuntimeOrigin::none(), enc_key);
    at_first_block(|| {
        let first = NextKey::<Runtime>::get();
        announce(key(1)).unwrap();
        assert_eq!(NextKey::<Runtime>::get(), first);
        announce(key(2)).unwrap();
        assert_eq!(
            (PendingKey::<Runtime>::get(), NextKey::<Runtime>::get()),
            (first.clone(), key(1))
        );
        assert_eq!(
            (PendingKeyExpiresAt::<Runtime>::get(), NextKeyExpiresAt::<Runtime>::get()),
            (Some(3), Some(4))
        );
        announce(None).unwrap();
        let keys =
            (CurrentKey::<Runtime>::get(), PendingKey::<Runtime>::get(), NextKey::<Runtime>::get());
        assert_eq!(keys, (first, key(1), key(2)));
        announce(None).unwrap();
        assert_eq!((NextKey::<Runtime>::get(), NextKeyExpiresAt::<Runtime>::get()), (None, None));
        assert_noop!(
            announce(Some(vec![0; KEY_LEN - 1].try_into().unwrap())),
            Error::<Runtime>::BadEncKeyLen
        );
        let signed = MevShield::announce_next_key(RuntimeOrigin::signed(account("Alice")), None);
        assert_eq!(signed, Err(DispatchError::BadOrigin));
    });
}

#[test]
fn submitted_ciphertext_emits_event() {
    at_first_block(|| {
        let alice = account("Alice");
        assert_eq!(outcome(send(&alice, Call::submit_encrypted { ciphertext: bytes(40) })), "ok");
        let Event::EncryptedSubmitted { id, who } = last_event() else { panic!("another event") };
        let expected = sp_io::hashing::blake2_256(&codec::Encode::encode(&(&alice, bytes(40))));
        assert_eq!((id.0, who), (expected, alice));
    });
}

#[test]
fn stored_ciphertexts_are_removed_in_the_next_block() {
    at_first_block(|| {
        let alice = account("Alice");
        let store = || outcome(send(&alice, Call::store_encrypted { encrypted_call: bytes(9) }));
        assert_eq!(as_root(Call::set_max_pending_extrinsics_number { value: 2 }), "ok");
        assert_eq!(
            (store(), store(), store()),
            ("ok".into(), "ok".into(), "TooManyPendingExtrinsics".into())
        );
        assert_eq!(
            (PendingExtrinsics::<Runtime>::count(), NextPendingExtrinsicIndex::<Runtime>::get()),
            (2, 2)
        );
        MevShield::on_initialize(2);
        assert_eq!(last_event(), Event::ExtrinsicDecodeFailed { index: 1 });
        assert_eq!(PendingExtrinsics::<Runtime>::count(), 0);
        assert_eq!(store(), "ok");
        MevShield::on_initialize(13);
        assert_eq!(last_event(), Event::ExtrinsicExpired { index: 2 });
    });
}

#[test]
fn root_sets_the_limits() {
    at_first_block(|| {
        let calls: [fn(u64) -> Call<Runtime>; 4] = [
            |value| Call::set_max_pending_extrinsics_number { value: value as u32 },
            |value| Call::set_on_initialize_weight { value },
            |value| Call::set_stored_extrinsic_lifetime { value: value as u32 },
            |value| Call::set_max_extrinsic_weight { value },
        ];
        for call in calls {
            assert_eq!(outcome(send(&account("Alice"), call(1))), "BadOrigin");
            for value in [0, 1] {
                assert_eq!(as_root(call(value)), "ok");
            }
        }
        for call in [calls[1], calls[3]] {
            assert_eq!(as_root(call(2_000_000_000_000)), "ok");
            assert_eq!(as_root(call(2_000_000_000_001)), "WeightExceedsAbsoluteMax");
            assert_eq!(as_root(call(u64::MAX)), "WeightExceedsAbsoluteMax");
        }
        assert_eq!(MaxExtrinsicWeight::<Runtime>::get(), 2_000_000_000_000);
    });
}
