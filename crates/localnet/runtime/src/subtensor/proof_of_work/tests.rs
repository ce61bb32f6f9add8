use serde_json::Value as Json;

use super::*;
use crate::runtime::{AccountId, Runtime};
use crate::subtensor::Call;
use crate::testing::{
    BABELBIT, Subtensor, account, at_first_block, attempt, balance, jump_to, key, last_event,
};

fn bytes(value: &Json) -> [u8; 32] {
    hex::decode(value.as_str().unwrap().trim_start_matches("0x")).unwrap().try_into().unwrap()
}

fn number(value: &Json) -> u64 {
    value.as_u64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

/// Returns the block hash, hotkey, coldkey and subnet of a recorded seal.
fn challenge(row: &Json) -> (H256, AccountId, AccountId, NetUid) {
    let netuid = NetUid(u16::try_from(number(&row["netuid"])).unwrap());
    let account = |name: &str| AccountId::new(bytes(&row[name]));
    (H256(bytes(&row["block_hash"])), account("hotkey_hex"), account("coldkey_hex"), netuid)
}

#[test]
fn seals_match_the_reference() {
    let Some(vectors) = taonet_chain_vectors::json("pow.json") else { return };
    for row in vectors["seals"].as_array().unwrap() {
        let (block, hotkey, coldkey, netuid) = challenge(row);
        let nonce = number(&row["nonce"]);
        assert_eq!(legacy_seal(block, &hotkey, nonce), H256(bytes(&row["legacy_seal"])), "{row}");
        let seal = registration_seal(netuid, block, &hotkey, &coldkey, nonce);
        assert_eq!(seal, H256(bytes(&row["pow_register_seal"])), "{row}");
    }
    for row in vectors["mined"].as_array().unwrap() {
        let (block, hotkey, coldkey, netuid) = challenge(row);
        let difficulty = number(&row["difficulty"]);
        let first = number(&row["pow_register_first_nonce"]);
        let meets_at = |nonce| {
            meets_difficulty(registration_seal(netuid, block, &hotkey, &coldkey, nonce), difficulty)
        };
        assert_eq!((0..=first).find(|nonce| meets_at(*nonce)), Some(first), "{row}");
        let first = number(&row["legacy_first_nonce"]);
        let meets_at = |nonce| meets_difficulty(legacy_seal(block, &hotkey, nonce), difficulty);
        assert_eq!((0..=first).find(|nonce| meets_at(*nonce)), Some(first), "{row}");
    }
}

/// Runs a test at block 10 of a chain with low proof-of-work difficulty and known block hashes.
fn with_low_difficulty(test: impl FnOnce(AccountId)) {
    at_first_block(|| {
        jump_to(10);
        MinDifficulty::<Runtime>::insert(BABELBIT, 0);
        Difficulty::<Runtime>::insert(BABELBIT, 2);
        for block in 0_u32..100 {
            frame_system::BlockHash::<Runtime>::insert(block, H256::from_low_u64_be(block.into()));
        }
        test(account("Bob"));
    });
}

/// Finds a nonce whose seal meets the difficulty, or one whose seal does not.
fn mine(coldkey: &AccountId, hotkey: &AccountId, block: u64, is_valid: bool) -> (u64, Vec<u8>) {
    let seal =
        |nonce| registration_seal(BABELBIT, H256::from_low_u64_be(block), hotkey, coldkey, nonce);
    let nonce = (0..1_000).find(|nonce| meets_difficulty(seal(*nonce), 2) == is_valid).unwrap();
    (nonce, seal(nonce).as_bytes().to_vec())
}

fn register(
    netuid: NetUid,
    work_block: u64,
    (nonce, work): (u64, Vec<u8>),
    hotkey: &AccountId,
) -> Call<Runtime> {
    Call::pow_register { netuid, work_block, nonce, work, hotkey: hotkey.clone() }
}

#[test]
fn valid_work_registers_a_neuron() {
    with_low_difficulty(|bob| {
        let hotkey = key(1);
        let before = balance(&bob);
        let work = mine(&bob, &hotkey, 9, true);
        assert_eq!(attempt(&bob, register(BABELBIT, 9, work.clone(), &hotkey)), "ok");
        assert_eq!(last_event(), Event::NeuronRegistered(BABELBIT, 1, hotkey.clone()));
        assert_eq!(balance(&bob), before, "work has no price");
        assert!(Subtensor::owns(&bob, &hotkey));
        assert_eq!(
            attempt(&bob, register(BABELBIT, 9, work, &hotkey)),
            "HotKeyAlreadyRegisteredInSubNet"
        );
        let second = key(2);
        let work = mine(&bob, &second, 9, true);
        assert_eq!(
            attempt(&bob, register(BABELBIT, 9, work.clone(), &second)),
            "TooManyRegistrationsThisBlock"
        );
        RegistrationsThisBlock::<Runtime>::remove(BABELBIT);
        assert_eq!(attempt(&bob, register(BABELBIT, 9, work, &second)), "ok");
    });
}

#[test]
fn invalid_work_is_refused() {
    with_low_difficulty(|bob| {
        let hotkey = key(1);
        let valid_work = mine(&bob, &hotkey, 9, true);
        let refusal = |call| attempt(&bob, call);
        assert_eq!(
            refusal(register(NetUid::ROOT, 9, valid_work.clone(), &hotkey)),
            "RegistrationNotPermittedOnRootSubnet"
        );
        assert_eq!(
            refusal(register(NetUid(77), 9, valid_work.clone(), &hotkey)),
            "SubnetNotExists"
        );
        for block in [0, 4, 10, 11, u64::MAX] {
            assert_eq!(
                refusal(register(BABELBIT, block, valid_work.clone(), &hotkey)),
                "InvalidWorkBlock",
                "{block}"
            );
        }
        for work in [
            Vec::new(),
            vec![0; 32],
            valid_work.1[..31].to_vec(),
            [valid_work.1.clone(), vec![0]].concat(),
        ] {
            assert_eq!(
                refusal(register(BABELBIT, 9, (valid_work.0, work), &hotkey)),
                "InvalidSeal"
            );
        }
        assert_eq!(
            refusal(register(BABELBIT, 9, (valid_work.0 + 1, valid_work.1.clone()), &hotkey)),
            "InvalidSeal"
        );
        assert_eq!(
            refusal(register(BABELBIT, 8, valid_work.clone(), &hotkey)),
            "InvalidSeal",
            "work for another block"
        );
        let result =
            attempt(&account("Charlie"), register(BABELBIT, 9, valid_work.clone(), &hotkey));
        assert_eq!(result, "InvalidSeal", "work of another coldkey");
        assert_eq!(
            refusal(register(BABELBIT, 9, mine(&bob, &hotkey, 9, false), &hotkey)),
            "InvalidDifficulty"
        );
        let owned = account("Alice_hk");
        let netuid = NetUid(18);
        Subtensor::remove_hotkey(netuid, &owned);
        let seal = |nonce| registration_seal(netuid, H256::from_low_u64_be(9), &owned, &bob, nonce);
        MinDifficulty::<Runtime>::insert(netuid, 0);
        Difficulty::<Runtime>::insert(netuid, 0);
        let work = (0, seal(0).as_bytes().to_vec());
        assert_eq!(refusal(register(netuid, 9, work, &owned)), "NonAssociatedColdKey");
        LastPowRegistrationBlock::<Runtime>::insert(&hotkey, 9);
        assert_eq!(
            refusal(register(BABELBIT, 9, valid_work.clone(), &hotkey)),
            "InvalidWorkBlock",
            "the block was used"
        );
        NetworkPowRegistrationAllowed::<Runtime>::insert(BABELBIT, false);
        assert_eq!(
            refusal(register(BABELBIT, 9, valid_work, &hotkey)),
            "SubNetRegistrationDisabled"
        );
    });
}

#[test]
fn difficulty_stays_within_its_bounds() {
    with_low_difficulty(|_| {
        let difficulty = |current: u64, min, max| {
            Difficulty::<Runtime>::insert(BABELBIT, current);
            MinDifficulty::<Runtime>::insert(BABELBIT, min);
            MaxDifficulty::<Runtime>::insert(BABELBIT, max);
            Subtensor::pow_difficulty(BABELBIT)
        };
        assert_eq!(difficulty(5, 1, 9), 5);
        assert_eq!(difficulty(0, 0, 9), 1);
        assert_eq!(difficulty(5, 7, 9), 7);
        assert_eq!(difficulty(u64::MAX, 7, 9), 9);
    });
}

#[test]
fn faucet_pays_each_proof_of_work_once() {
    with_low_difficulty(|bob| {
        let faucet = |block_number, nonce, work: &[u8]| {
            attempt(&bob, Call::faucet { block_number, nonce, work: work.to_vec() })
        };
        let seal = |nonce| legacy_seal(H256::from_low_u64_be(10), &bob, nonce);
        for block in [0, 7, 11, u64::MAX] {
            assert_eq!(faucet(block, 0, &[]), "InvalidWorkBlock");
        }
        assert_eq!(faucet(10, 0, &[]), "InvalidSeal");
        assert_eq!(faucet(10, 0, &[0xff; 32]), "InvalidDifficulty");
        assert_eq!(faucet(10, 0, &[0; 32]), "InvalidSeal");
        let nonce = (0..100_000_000)
            .find(|nonce| meets_difficulty(seal(*nonce), FAUCET_DIFFICULTY))
            .unwrap();
        let work = seal(nonce);
        assert_eq!(faucet(10, nonce + 1, work.as_bytes()), "InvalidSeal");
        let (before, issued) = (balance(&bob), TotalIssuance::<Runtime>::get());
        assert_eq!(faucet(10, nonce, work.as_bytes()), "ok");
        assert_eq!(balance(&bob), before + FAUCET_AMOUNT.0);
        assert_eq!(TotalIssuance::<Runtime>::get(), issued.saturating_add(FAUCET_AMOUNT));
        assert_eq!(last_event(), Event::Faucet(bob.clone(), FAUCET_AMOUNT.0));
        assert_eq!(faucet(10, nonce, work.as_bytes()), "InvalidSeal");
    });
}
