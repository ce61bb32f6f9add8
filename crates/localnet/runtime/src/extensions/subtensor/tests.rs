use frame_support::BoundedVec;
use frame_support::dispatch::GetDispatchInfo;
use sp_core::{H160, H256, ecdsa};
use sp_runtime::PerU16;
use sp_runtime::traits::TxBaseImplication;

use super::*;
use crate::subtensor::types::RateLimitKey;
use crate::subtensor::{
    AssociatedEvmAddress, CommitRevealWeightsEnabled, LastRateLimitedBlock, MinDelegateTake,
    StakeThreshold, WeightsSetRateLimit,
};
use crate::testing::{BABELBIT, account, at_first_block, jump_to, key, outcome, send};
use crate::types::{MechId, NetUid};

/// Returns the custom error code with which the pool refuses a call; `None` if it accepts the call.
fn refusal(who: &AccountId, call: impl Into<RuntimeCall>) -> Option<u8> {
    let call = call.into();
    let origin = RuntimeOrigin::signed(who.clone());
    let info = call.get_dispatch_info();
    let source = TransactionSource::External;
    match SubtensorTransactionExtension.validate(
        origin,
        &call,
        &info,
        0,
        (),
        &TxBaseImplication(()),
        source,
    ) {
        Ok(_) => None,
        Err(TransactionValidityError::Invalid(InvalidTransaction::Custom(number))) => Some(number),
        Err(other) => panic!("{other:?}"),
    }
}

fn axon(ip: u128, port: u16, ip_type: u8) -> Call<Runtime> {
    let (protocol, placeholder1, placeholder2) = (4, 0, 0);
    Call::serve_axon {
        netuid: BABELBIT,
        version: 1,
        ip,
        port,
        ip_type,
        protocol,
        placeholder1,
        placeholder2,
    }
}

fn weights(dests: &[u16], weights: &[u16]) -> Call<Runtime> {
    let (dests, weights) = (dests.to_vec(), weights.to_vec());
    Call::set_mechanism_weights {
        netuid: BABELBIT,
        mecid: MechId(0),
        dests,
        weights,
        version_key: 0,
    }
}

#[test]
fn invalid_endpoints_are_refused() {
    let hotkey = account("Alice_hk");
    let cases: [(&str, u128, u16, u8, Option<u8>); 6] = [
        ("Alice_hk", 0x0808_0808, 1, 4, None),
        ("Bob", 0x0808_0808, 1, 4, Some(10)),
        ("Alice_hk", 0x7f00_0001, 1, 4, Some(11)),
        ("Alice_hk", 0x0808_0808, 1, 5, Some(255)),
        ("Alice_hk", 0x0808_0808, 0, 4, Some(13)),
        ("Alice_hk", 0, 1, 4, None),
    ];
    at_first_block(|| {
        for (who, ip, port, ip_type, expected) in cases {
            assert_eq!(
                refusal(&account(who), axon(ip, port, ip_type)),
                expected,
                "{who} {ip} {port} {ip_type}"
            );
        }
        let metrics =
            |ip| Call::serve_prometheus { netuid: BABELBIT, version: 1, ip, port: 1, ip_type: 4 };
        let tls = || Call::serve_axon_tls {
            netuid: BABELBIT,
            version: 1,
            ip: 1,
            port: 1,
            ip_type: 4,
            protocol: 4,
            placeholder1: 0,
            placeholder2: 0,
            certificate: Vec::new(),
        };
        assert_eq!(refusal(&hotkey, metrics(0)), Some(11));
        assert_eq!(refusal(&hotkey, metrics(1)), None);
        assert_eq!(refusal(&hotkey, tls()), None);
        assert_eq!(outcome(send(&hotkey, axon(1, 1, 4))), "ok");
        assert_eq!(refusal(&hotkey, axon(1, 1, 4)), Some(12));
        assert_eq!(refusal(&hotkey, tls()), Some(12));
        assert_eq!(refusal(&hotkey, metrics(1)), None);
        jump_to(51);
        assert_eq!(refusal(&hotkey, axon(1, 1, 4)), None);
    });
}

#[test]
fn subnet_creation_within_the_rate_limit_is_refused() {
    let create = || Call::<Runtime>::register_network { hotkey: key(1) };
    let create_with_identity =
        || Call::<Runtime>::register_network_with_identity { hotkey: key(1), identity: None };
    at_first_block(|| {
        let bob = account("Bob");
        assert_eq!(refusal(&bob, create()), None);
        LastRateLimitedBlock::<Runtime>::insert(RateLimitKey::NetworkLastRegistered, 1);
        assert_eq!(
            (refusal(&bob, create()), refusal(&bob, create_with_identity())),
            (Some(6), None)
        );
        jump_to(7_201);
        assert_eq!((refusal(&bob, create()), refusal(&bob, create_with_identity())), (None, None));
    });
}

#[test]
fn invalid_take_changes_are_refused() {
    let raise = |hotkey: AccountId, take| Call::<Runtime>::increase_take {
        hotkey,
        take: PerU16::from_parts(take),
    };
    let lower = |hotkey: AccountId, take| Call::<Runtime>::decrease_take {
        hotkey,
        take: PerU16::from_parts(take),
    };
    at_first_block(|| {
        let (alice, bob, hotkey) = (account("Alice"), account("Bob"), account("Alice_hk"));
        MinDelegateTake::<Runtime>::put(PerU16::from_parts(10));
        assert_eq!(refusal(&bob, raise(key(1), 20)), Some(4));
        assert_eq!(refusal(&bob, raise(hotkey.clone(), 20)), Some(25));
        assert_eq!(refusal(&bob, lower(hotkey.clone(), 20)), Some(25));
        assert_eq!(refusal(&alice, lower(hotkey.clone(), 9)), Some(26));
        assert_eq!(refusal(&alice, raise(hotkey.clone(), 11_797)), Some(27));
        assert_eq!(refusal(&bob, raise(key(1), 11_797)), Some(27), "the bounds come first");
        assert_eq!(outcome(send(&alice, lower(hotkey.clone(), 20))), "ok");
        let failing_in_the_block = [
            (lower(hotkey.clone(), 20), "DelegateTakeTooLow"),
            (raise(hotkey.clone(), 20), "DelegateTakeTooLow"),
            (raise(hotkey, 21), "DelegateTxRateLimitExceeded"),
        ];
        for (call, expected) in failing_in_the_block {
            assert_eq!(refusal(&alice, call.clone()), None, "{expected}");
            assert_eq!(outcome(send(&alice, call)), expected);
        }
    });
}

#[test]
fn evm_association_needs_neuron_and_is_rate_limited() {
    at_first_block(|| {
        let hotkey = account("Alice_hk");
        let associate = || Call::<Runtime>::associate_evm_key {
            netuid: BABELBIT,
            evm_key: H160::zero(),
            block_number: 0,
            signature: ecdsa::Signature::from_raw([0; 65]),
        };
        assert_eq!(refusal(&key(1), associate()), Some(19));
        assert_eq!(refusal(&hotkey, associate()), None, "signatures are not verified yet");
        AssociatedEvmAddress::<Runtime>::insert(BABELBIT, 0, (H160::zero(), 1));
        assert_eq!(refusal(&hotkey, associate()), Some(20));
        jump_to(2);
        assert_eq!(refusal(&hotkey, associate()), None);
    });
}

#[test]
fn weights_need_stake_and_are_rate_limited() {
    at_first_block(|| {
        let hotkey = account("Alice_hk");
        assert_eq!(refusal(&hotkey, weights(&[0], &[1])), None);
        assert_eq!(
            refusal(&hotkey, weights(&[0], &[1, 2])),
            None,
            "a wrong length fails in the block"
        );
        assert_eq!(
            refusal(&key(1), weights(&[0], &[1])),
            None,
            "an unknown hotkey fails in the block"
        );
        StakeThreshold::<Runtime>::put(1);
        assert_eq!(refusal(&hotkey, weights(&[0], &[1])), Some(1));
        StakeThreshold::<Runtime>::put(0);
        WeightsSetRateLimit::<Runtime>::insert(BABELBIT, 9);
        jump_to(2);
        assert_eq!(outcome(send(&hotkey, weights(&[0], &[1]))), "ok");
        assert_eq!(refusal(&hotkey, weights(&[0], &[1])), Some(6));
        jump_to(11);
        assert_eq!(refusal(&hotkey, weights(&[0], &[1])), None);
    });
}

#[test]
fn early_commit_and_unmatched_reveal_are_refused() {
    let commit = || Call::<Runtime>::commit_weights { netuid: BABELBIT, commit_hash: H256::zero() };
    let reveal = || Call::<Runtime>::reveal_weights {
        netuid: BABELBIT,
        uids: vec![0],
        values: vec![1],
        salt: vec![],
        version_key: 0,
    };
    at_first_block(|| {
        let hotkey = account("Alice_hk");
        CommitRevealWeightsEnabled::<Runtime>::insert(BABELBIT, true);
        WeightsSetRateLimit::<Runtime>::insert(BABELBIT, 9);
        assert_eq!(
            refusal(&hotkey, weights(&[0], &[1])),
            None,
            "with commit-reveal the call fails in its block"
        );
        assert_eq!(refusal(&hotkey, reveal()), Some(16));
        assert_eq!(refusal(&hotkey, commit()), None);
        assert_eq!(outcome(send(&hotkey, commit())), "ok");
        assert_eq!(refusal(&hotkey, commit()), Some(6));
        assert_eq!(refusal(&hotkey, reveal()), Some(16), "a reveal of different weights");
    });
}

#[test]
fn calls_without_pool_check_pass() {
    at_first_block(|| {
        let bob = account("Bob");
        let register = Call::<Runtime>::burned_register { netuid: NetUid(77), hotkey: key(1) };
        assert_eq!(refusal(&bob, register), None);
        assert_eq!(refusal(&bob, frame_system::Call::remark { remark: Vec::new() }), None);
        // A nested call is only checked when it runs.
        let inner = RuntimeCall::from(axon(0x7f00_0001, 1, 4));
        assert_eq!(refusal(&bob, pallet_utility::Call::batch { calls: vec![inner] }), None);
    });
}

#[test]
fn error_codes_match_the_real_chain() {
    let numbers = [
        (Error::<Runtime>::AmountTooLow, 1),
        (Error::NotEnoughBalanceToStake, 2),
        (Error::SubnetNotExists, 3),
        (Error::HotKeyAccountNotExists, 4),
        (Error::NotEnoughStakeToWithdraw, 5),
        (Error::CommittingWeightsTooFast, 6),
        (Error::InsufficientLiquidity, 7),
        (Error::SlippageTooHigh, 8),
        (Error::TransferDisallowed, 9),
        (Error::InvalidRevealRound, 15),
        (Error::InvalidRevealCommitHashNotMatch, 16),
        (Error::RevealTooEarly, 17),
        (Error::ExpiredWeightCommit, 17),
        (Error::InputLengthsUnequal, 18),
        (Error::NotSubnetOwner, 255),
    ];
    for (error, number) in numbers {
        assert_eq!(error_code(&error), number, "{error:?}");
    }
}

#[test]
fn coldkey_with_announced_swap_can_only_make_swap_calls() {
    at_first_block(|| {
        let (bob, remark) = (account("Bob"), || frame_system::Call::remark { remark: Vec::new() });
        let stake = || Call::unstake_all { hotkey: key(1) };
        let reannounce = || Call::announce_coldkey_swap { new_coldkey_hash: H256::zero() };
        assert_eq!(refusal(&bob, remark()), None);
        assert_eq!(outcome(send(&bob, reannounce())), "ok");
        assert_eq!((refusal(&bob, remark()), refusal(&bob, stake())), (Some(0), Some(0)));
        let swap_calls = || {
            [
                reannounce(),
                Call::swap_coldkey_announced { new_coldkey: key(2) },
                Call::dispute_coldkey_swap {},
                Call::clear_coldkey_swap_announcement {},
            ]
        };
        for call in swap_calls() {
            assert_eq!(refusal(&bob, call), None);
        }
        let shielded = mev_shield::Call::submit_encrypted { ciphertext: BoundedVec::default() };
        assert_eq!(refusal(&bob, shielded), None);
        assert_eq!(refusal(&account("Charlie"), remark()), None);
        assert_eq!(outcome(send(&bob, Call::dispute_coldkey_swap {})), "ok");
        for call in swap_calls() {
            assert_eq!(refusal(&bob, call), Some(21));
        }
        assert_eq!(refusal(&bob, remark()), Some(21));
    });
}
