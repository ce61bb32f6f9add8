//! Tests of stored preimages of calls.

use pallet_preimage::{Call, PreimageFor, RequestStatusFor};
use sp_core::H256;
use sp_runtime::traits::{BlakeTwo256, Hash as _};

use super::*;
use crate::runtime::{Runtime, System};
use crate::testing::{account, at_first_block, key, outcome, send};

fn note_preimage(bytes: Vec<u8>) -> Call<Runtime> {
    Call::note_preimage { bytes }
}

fn held(who: &AccountId) -> u64 {
    System::account(who).data.reserved
}

/// Returns the name of the error of a call by root, or `ok`.
fn by_root(call: Call<Runtime>) -> String {
    outcome(
        RuntimeCall::from(call)
            .dispatch(RuntimeOrigin::root())
            .map(|_| ())
            .map_err(|failed| failed.error),
    )
}

#[test]
fn deposit_is_held_for_preimage() {
    at_first_block(|| {
        let [alice, bob] = ["Alice", "Bob"].map(account);
        let bytes = vec![7; 1_000];
        let hash = BlakeTwo256::hash(&bytes);
        assert_eq!(outcome(send(&alice, note_preimage(bytes.clone()))), "ok");
        assert_eq!(held(&alice), 40_000_000 + 64_000_000 + 1_000 * 1_000_000);
        assert_eq!(PreimageFor::<Runtime>::get((hash, 1_000)).unwrap().into_inner(), bytes);

        assert_eq!(outcome(send(&bob, note_preimage(bytes))), "AlreadyNoted");
        assert_eq!(outcome(send(&bob, Call::unnote_preimage { hash })), "NotAuthorized");
        assert_eq!(outcome(send(&alice, Call::unnote_preimage { hash })), "ok");
        assert_eq!((held(&alice), RequestStatusFor::<Runtime>::iter().count()), (0, 0));
        assert_eq!(outcome(send(&alice, Call::unnote_preimage { hash })), "NotNoted");
        assert_eq!(outcome(send(&alice, note_preimage(vec![0; 4 * 1_024 * 1_024 + 1]))), "TooBig");
        let unpaid = outcome(send(&key(1), note_preimage(vec![1])));
        assert!(unpaid.starts_with("Token("), "{unpaid}");
    });
}

#[test]
fn only_root_requests_preimages() {
    at_first_block(|| {
        let alice = account("Alice");
        let hash = BlakeTwo256::hash(b"later");
        assert_eq!(outcome(send(&alice, Call::request_preimage { hash })), "BadOrigin");
        assert_eq!(outcome(send(&alice, Call::unrequest_preimage { hash })), "BadOrigin");
        assert_eq!(by_root(Call::unrequest_preimage { hash }), "NotRequested");
        assert_eq!(by_root(Call::request_preimage { hash }), "ok");
        // A requested preimage is free of charge.
        assert_eq!(outcome(send(&alice, note_preimage(b"later".to_vec()))), "ok");
        assert_eq!(held(&alice), 0);
        assert_eq!(by_root(Call::unrequest_preimage { hash }), "ok");
        assert_eq!(PreimageFor::<Runtime>::iter().count(), 0);

        assert_eq!(outcome(send(&alice, Call::ensure_updated { hashes: vec![] })), "TooFew");
        assert_eq!(
            outcome(send(&alice, Call::ensure_updated { hashes: vec![H256::zero(); 1_025] })),
            "TooMany"
        );
        assert_eq!(outcome(send(&alice, Call::ensure_updated { hashes: vec![hash] })), "ok");
    });
}
