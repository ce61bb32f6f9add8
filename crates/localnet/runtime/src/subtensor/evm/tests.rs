use sp_core::Pair;

use super::*;
use crate::runtime::{AccountId, Runtime};
use crate::subtensor::{Call, ImmunityPeriod, MinAllowedUids, MinNonImmuneUids};
use crate::testing::{
    BABELBIT, Subtensor, account, at_first_block, attempt, jump_to, key, last_event, outcome,
    send_as_root,
};

/// Secret key of the first account of the common Ethereum development tools, and its address.
const SECRET: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const ADDRESS: &str = "f39fd6e51aad88f6f4ce6ab8827279cfffb92266";
/// Secret key and address of the second account.
const OTHER_SECRET: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const OTHER_ADDRESS: &str = "70997970c51812dc3a010c7d01b50e0d17dc79c8";

fn address(hex: &str) -> H160 {
    H160(hex::decode(hex).unwrap().try_into().unwrap())
}

/// Signs a hotkey and block 7 as a wallet does; `recovery_id_base` is 0 or 27, from which wallets
/// count the recovery ids.
fn signature(secret: &str, hotkey: &AccountId, recovery_id_base: u8) -> ecdsa::Signature {
    let key = ecdsa::Pair::from_seed_slice(&hex::decode(secret).unwrap()).unwrap();
    let message = [hotkey.encode(), keccak_256(&7_u64.to_le_bytes()).to_vec()].concat();
    assert_eq!(message.len(), 64);
    let text = [b"\x19Ethereum Signed Message:\n64".to_vec(), message].concat();
    let mut signature = key.sign_prehashed(&keccak_256(&text));
    signature.0[64] += recovery_id_base;
    signature
}

fn associate(netuid: NetUid, evm_key: H160, signature: ecdsa::Signature) -> Call<Runtime> {
    Call::associate_evm_key { netuid, evm_key, block_number: 7, signature }
}

/// Runs a test at block 10 with two neurons of Bob.
fn with_neurons(test: impl FnOnce(AccountId, AccountId)) {
    at_first_block(|| {
        jump_to(10);
        for hotkey in [key(1), key(2)] {
            Subtensor::own_hotkey(&account("Bob"), &hotkey).unwrap();
            Subtensor::append_neuron(BABELBIT, &hotkey);
        }
        test(key(1), key(2));
    });
}

fn uids_of(of: &str) -> Vec<(u16, u64)> {
    AssociatedUidsByEvmAddress::<Runtime>::get(BABELBIT, address(of)).into_inner()
}

#[test]
fn evm_address_is_associated_by_signature() {
    with_neurons(|first, second| {
        for (hotkey, recovery_id_base, uid) in [(&first, 0, 1), (&second, 27, 2)] {
            let call =
                associate(BABELBIT, address(ADDRESS), signature(SECRET, hotkey, recovery_id_base));
            assert_eq!(attempt(hotkey, call), "ok");
            assert_eq!(
                AssociatedEvmAddress::<Runtime>::get(BABELBIT, uid),
                Some((address(ADDRESS), 10))
            );
        }
        let (netuid, hotkey, evm_key) = (BABELBIT, second.clone(), address(ADDRESS));
        assert_eq!(
            last_event(),
            Event::EvmKeyAssociated { netuid, hotkey, evm_key, block_associated: 10 }
        );
        assert_eq!(uids_of(ADDRESS), [(1, 10), (2, 10)]);

        // Once per block: the same address gets a new block number, and another address replaces
        // it.
        let reassociate = |secret, signed_address| {
            associate(BABELBIT, address(signed_address), signature(secret, &first, 27))
        };
        assert_eq!(
            attempt(&first, reassociate(SECRET, ADDRESS)),
            "EvmKeyAssociateRateLimitExceeded"
        );
        jump_to(11);
        assert_eq!(attempt(&first, reassociate(SECRET, ADDRESS)), "ok");
        assert_eq!(uids_of(ADDRESS), [(1, 11), (2, 10)]);
        jump_to(12);
        assert_eq!(attempt(&first, reassociate(OTHER_SECRET, OTHER_ADDRESS)), "ok");
        assert_eq!((uids_of(ADDRESS), uids_of(OTHER_ADDRESS)), (vec![(2, 10)], vec![(1, 12)]));
    });
}

#[test]
fn invalid_evm_associations_are_refused() {
    with_neurons(|first, second| {
        let valid_signature = || signature(SECRET, &first, 0);
        let evm_address = address(ADDRESS);
        assert_eq!(
            outcome(send_as_root(associate(BABELBIT, evm_address, valid_signature()))),
            "BadOrigin"
        );
        assert_eq!(
            attempt(&first, associate(NetUid(77), evm_address, valid_signature())),
            "SubnetNotExists"
        );
        assert_eq!(
            attempt(&key(9), associate(BABELBIT, evm_address, valid_signature())),
            "NonAssociatedColdKey"
        );
        assert_eq!(
            attempt(&first, associate(NetUid(1), evm_address, valid_signature())),
            "HotKeyNotRegisteredInSubNet"
        );
        assert_eq!(
            attempt(&second, associate(BABELBIT, evm_address, valid_signature())),
            "InvalidRecoveredPublicKey"
        );
        assert_eq!(
            attempt(&first, associate(BABELBIT, address(OTHER_ADDRESS), valid_signature())),
            "InvalidRecoveredPublicKey"
        );
        let other_block = Call::associate_evm_key {
            netuid: BABELBIT,
            evm_key: evm_address,
            block_number: u64::MAX,
            signature: valid_signature(),
        };
        assert_eq!(attempt(&first, other_block), "InvalidRecoveredPublicKey");
        for bytes in [[0; 65], [0xff; 65]] {
            assert_eq!(
                attempt(
                    &first,
                    associate(BABELBIT, evm_address, ecdsa::Signature::from_raw(bytes))
                ),
                "InvalidIdentity"
            );
        }
        assert_eq!(AssociatedEvmAddress::<Runtime>::iter().count(), 0);
        let full_list: Vec<(u16, u64)> = (100..132).map(|uid| (uid, 1)).collect();
        AssociatedUidsByEvmAddress::<Runtime>::insert(
            BABELBIT,
            evm_address,
            frame_support::BoundedVec::truncate_from(full_list),
        );
        assert_eq!(
            attempt(&first, associate(BABELBIT, evm_address, valid_signature())),
            "EvmKeyAssociationLimitExceeded"
        );
    });
}

#[test]
fn evm_addresses_follow_their_neurons() {
    with_neurons(|first, second| {
        for hotkey in [&first, &second] {
            let call = associate(BABELBIT, address(ADDRESS), signature(SECRET, hotkey, 0));
            assert_eq!(attempt(hotkey, call), "ok");
        }
        // A replaced neuron leaves no address to the next one of its uid.
        Subtensor::replace_neuron(BABELBIT, 1, &key(3));
        assert_eq!(
            (AssociatedEvmAddress::<Runtime>::get(BABELBIT, 1), uids_of(ADDRESS)),
            (None, vec![(2, 10)])
        );
        // Trimming removes uid 1 and renumbers uid 2.
        ImmunityPeriod::<Runtime>::insert(BABELBIT, 0);
        MinNonImmuneUids::<Runtime>::insert(BABELBIT, 0);
        MinAllowedUids::<Runtime>::insert(BABELBIT, 1);
        assert_eq!(outcome(Subtensor::trim_to_max_allowed_uids(BABELBIT, 2)), "ok");
        let uid = Subtensor::uid_of(BABELBIT, &second);
        assert_eq!(uid, Some(1));
        assert_eq!(AssociatedEvmAddress::<Runtime>::get(BABELBIT, 1), Some((address(ADDRESS), 10)));
        assert_eq!(uids_of(ADDRESS), [(1, 10)]);
        assert_eq!(AssociatedEvmAddress::<Runtime>::iter().count(), 1);
        assert_eq!(outcome(send_as_root(Call::root_dissolve_network { netuid: BABELBIT })), "ok");
        assert_eq!(AssociatedEvmAddress::<Runtime>::iter().count(), 0);
        assert_eq!(AssociatedUidsByEvmAddress::<Runtime>::iter().count(), 0);
    });
}
