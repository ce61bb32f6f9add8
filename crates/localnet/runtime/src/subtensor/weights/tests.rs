use codec::{Compact, Decode, Encode};
use frame_support::BoundedVec;
use frame_support::traits::ConstU32;
use sp_core::H256;

use super::commit::commit_hash;
use crate::runtime::{AccountId, Runtime, RuntimeCall};
use crate::subtensor::{
    Call, CommitRevealWeightsEnabled, Event, LastEpochBlock, LastUpdate, MAX_COMMIT_LEN,
    MaxWeightsLimit, MinAllowedWeights, RevealPeriodEpochs, StakeThreshold, SubnetEpochIndex,
    SubnetOwnerHotkey, Tempo, TimelockedWeightCommits, ValidatorPermit, WeightCommits, Weights,
    WeightsSetRateLimit, WeightsVersionKey,
};
use crate::testing::{
    BABELBIT, Subtensor, at_first_block, attempt, jump_to, key, last_event, outcome, send,
};
use crate::types::{AlphaBalance, MechId, NetUid, NetUidStorageIndex};

pub(super) const MAIN: NetUidStorageIndex = NetUidStorageIndex(BABELBIT.0);

/// Adds a neuron to the subnet; returns its hotkey and uid.
fn neuron(number: u32) -> (AccountId, u16) {
    let uid = Subtensor::append_neuron(BABELBIT, &key(number));
    (key(number), uid)
}

fn permit(uid: u16) {
    ValidatorPermit::<Runtime>::mutate(BABELBIT, |permits| permits[usize::from(uid)] = true);
}

/// A weight submission that is corrected step by step.
struct Submission {
    who: AccountId,
    netuid: NetUid,
    mecid: u8,
    uids: Vec<u16>,
    weights: Vec<u16>,
    version_key: u64,
}

impl Submission {
    fn call(&self) -> Call<Runtime> {
        Call::set_mechanism_weights {
            netuid: self.netuid,
            mecid: MechId(self.mecid),
            dests: self.uids.clone(),
            weights: self.weights.clone(),
            version_key: self.version_key,
        }
    }

    fn send(&self) -> String {
        outcome(send(&self.who, self.call()))
    }
}

#[test]
fn weight_checks_run_in_order() {
    type Correction = fn(&mut Submission);
    // The error, and its correction.
    let steps: [(&str, Correction); 14] = [
        ("CommitRevealEnabled", |_| {
            CommitRevealWeightsEnabled::<Runtime>::insert(NetUid::ROOT, false);
        }),
        ("CanNotSetRootNetworkWeights", |submission| submission.netuid = BABELBIT),
        ("WeightVecNotEqualSize", |submission| submission.weights = vec![1, 2, 3, 4, 0]),
        ("MechanismDoesNotExist", |submission| submission.mecid = 0),
        ("UidsLengthExceedUidsInSubNet", |submission| {
            submission.uids = vec![9, 9];
            submission.weights = vec![7, 3];
        }),
        ("HotKeyNotRegisteredInSubNet", |submission| {
            submission.who = key(1);
            StakeThreshold::<Runtime>::put(1_000);
        }),
        ("NotEnoughStakeToSetWeights", |_| {
            Subtensor::increase_stake(&key(1), &key(1), BABELBIT, AlphaBalance(1_000));
        }),
        ("IncorrectWeightVersionKey", |submission| submission.version_key = 5),
        ("SettingWeightsTooFast", |_| jump_to(102)),
        ("NeuronNoValidatorPermit", |_| permit(Subtensor::uid_of(BABELBIT, &key(1)).unwrap())),
        ("DuplicateUids", |submission| submission.uids = vec![9, 0]),
        ("UidVecContainInvalidOne", |submission| submission.uids = vec![2, 0]),
        ("WeightVecLengthIsLow", |_| MinAllowedWeights::<Runtime>::insert(BABELBIT, 2)),
        ("MaxWeightExceeded", |_| MaxWeightsLimit::<Runtime>::insert(BABELBIT, 45_875)),
    ];
    at_first_block(|| {
        jump_to(2);
        let (_, uid) = neuron(1);
        neuron(2);
        neuron(3);
        WeightsVersionKey::<Runtime>::insert(BABELBIT, 5);
        WeightsSetRateLimit::<Runtime>::insert(BABELBIT, 100);
        MinAllowedWeights::<Runtime>::insert(BABELBIT, 4);
        MaxWeightsLimit::<Runtime>::insert(BABELBIT, 45_874);
        let mut submission = Submission {
            who: key(8),
            netuid: NetUid::ROOT,
            mecid: 1,
            uids: vec![9; 5],
            weights: vec![1],
            version_key: 4,
        };
        for (expected, correct) in steps {
            assert_eq!(submission.send(), expected);
            correct(&mut submission);
        }
        assert_eq!(submission.send(), "ok");
        assert_eq!(Weights::<Runtime>::get(MAIN, uid), [(2, 65_535), (0, 28_086)]);
        assert_eq!(LastUpdate::<Runtime>::get(MAIN)[usize::from(uid)], 102);
        assert_eq!(last_event(), Event::WeightsSet(MAIN, uid));
    });
}

#[test]
fn self_weight_and_owner_need_no_permit() {
    at_first_block(|| {
        let (who, uid) = neuron(1);
        neuron(2);
        MinAllowedWeights::<Runtime>::insert(BABELBIT, 3);
        MaxWeightsLimit::<Runtime>::insert(BABELBIT, 40_000);
        let single_weight = |who, uid| Submission {
            who,
            netuid: BABELBIT,
            mecid: 0,
            uids: vec![uid],
            weights: vec![1],
            version_key: 0,
        };
        assert_eq!(single_weight(who.clone(), uid).send(), "ok");
        assert_eq!(single_weight(who, uid + 1).send(), "NeuronNoValidatorPermit");
        let owner = SubnetOwnerHotkey::<Runtime>::get(BABELBIT);
        let mut owner_row = single_weight(owner, uid);
        assert_eq!(owner_row.send(), "WeightVecLengthIsLow");
        owner_row.uids = vec![0, 1, 2];
        owner_row.weights = vec![1, 1, 1];
        assert_eq!(owner_row.send(), "ok");
    });
}

#[test]
fn recorded_call_is_decoded_and_encoded_unchanged() {
    let call = RuntimeCall::from(Call::set_weights {
        netuid: NetUid(1),
        dests: vec![0, 1],
        weights: vec![100, 200],
        version_key: 0,
    });
    let recorded = hex::decode("070001000800000100086400c8000000000000000000").unwrap();
    assert_eq!(call.encode(), recorded);
    assert_eq!(RuntimeCall::decode(&mut &recorded[..]).unwrap(), call);
}

/// Adds a validator to a subnet with commit-reveal, and advances to epoch 7.
pub(super) fn committing_validator() -> (AccountId, u16) {
    let (who, uid) = neuron(1);
    permit(uid);
    CommitRevealWeightsEnabled::<Runtime>::insert(BABELBIT, true);
    enter_epoch(7);
    (who, uid)
}

/// Advances to the middle of an epoch.
pub(super) fn enter_epoch(index: u64) {
    let block = 100 * index;
    jump_to(block as u32);
    Tempo::<Runtime>::insert(BABELBIT, 20);
    LastEpochBlock::<Runtime>::insert(BABELBIT, block - 10);
    SubnetEpochIndex::<Runtime>::insert(BABELBIT, index);
}

fn hash_of(who: &AccountId, salt: u16) -> H256 {
    commit_hash(who, MAIN, &[0, 1], &[1, 2], &[salt], 3)
}

fn commit(who: &AccountId, salt: u16) -> String {
    outcome(send(who, Call::commit_weights { netuid: BABELBIT, commit_hash: hash_of(who, salt) }))
}

fn reveal(who: &AccountId, salt: u16) -> String {
    let call = Call::reveal_weights {
        netuid: BABELBIT,
        uids: vec![0, 1],
        values: vec![1, 2],
        salt: vec![salt],
        version_key: 3,
    };
    let precheck = Subtensor::precheck_weights(who, &call);
    let result = outcome(send(who, call));
    assert_eq!(precheck.is_ok(), result == "ok" || result == "CommitRevealDisabled", "{result}");
    result
}

#[test]
fn commit_hash_covers_encoding_of_revealed_fields() {
    let mut encoded_fields = key(1).encode();
    encoded_fields.extend(hex::decode("3b00").unwrap()); // the mechanism's index
    encoded_fields.extend(hex::decode("0800000100").unwrap());
    encoded_fields.extend(hex::decode("0801000200").unwrap());
    encoded_fields.extend(hex::decode("040900").unwrap());
    encoded_fields.extend(hex::decode("0300000000000000").unwrap());
    assert_eq!(hash_of(&key(1), 9).0, sp_io::hashing::blake2_256(&encoded_fields));
}

#[test]
fn commit_checks_run_in_order() {
    at_first_block(|| {
        let (who, uid) = committing_validator();
        let commit_to = |mecid| {
            let call = Call::commit_mechanism_weights {
                netuid: BABELBIT,
                mecid: MechId(mecid),
                commit_hash: H256::repeat_byte(1),
            };
            move |who: &AccountId| outcome(send(who, call.clone()))
        };
        CommitRevealWeightsEnabled::<Runtime>::insert(BABELBIT, false);
        assert_eq!(commit_to(1)(&key(8)), "MechanismDoesNotExist");
        assert_eq!(commit_to(0)(&key(8)), "CommitRevealDisabled");
        CommitRevealWeightsEnabled::<Runtime>::insert(BABELBIT, true);
        assert_eq!(commit_to(0)(&key(8)), "HotKeyNotRegisteredInSubNet");
        WeightsSetRateLimit::<Runtime>::insert(BABELBIT, 700);
        assert_eq!(commit_to(0)(&who), "CommittingWeightsTooFast");
        WeightsSetRateLimit::<Runtime>::insert(BABELBIT, 0);
        for _ in 0..10 {
            assert_eq!(commit_to(0)(&who), "ok");
        }
        assert_eq!(commit_to(0)(&who), "TooManyUnrevealedCommits");
        let next_epoch = 700 + 10;
        assert_eq!(
            WeightCommits::<Runtime>::get(MAIN, &who).unwrap()[9],
            (H256::repeat_byte(1), 7, 700, next_epoch)
        );
        assert_eq!(LastUpdate::<Runtime>::get(MAIN)[usize::from(uid)], 700);
        assert_eq!(last_event(), Event::WeightsCommitted(who.clone(), MAIN, H256::repeat_byte(1)));

        enter_epoch(9);
        assert_eq!(commit_to(0)(&who), "ok");
        assert_eq!(
            WeightCommits::<Runtime>::get(MAIN, &who).unwrap().len(),
            1,
            "expired commits are removed"
        );
    });
}

#[test]
fn weights_are_revealed_in_one_epoch_only() {
    // The reveal period, the epoch of the reveal after a commit in epoch 7, and the result.
    let cases = [
        (1, 7, "RevealTooEarly"),
        (1, 8, "ok"),
        (1, 9, "ExpiredWeightCommit"),
        (3, 9, "RevealTooEarly"),
        (3, 10, "ok"),
        (3, 11, "ExpiredWeightCommit"),
    ];
    for (period, epoch, expected) in cases {
        at_first_block(|| {
            let (who, uid) = committing_validator();
            RevealPeriodEpochs::<Runtime>::insert(BABELBIT, period);
            assert_eq!(commit(&who, 1), "ok");
            enter_epoch(epoch);
            assert_eq!(reveal(&who, 1), expected, "{period} {epoch}");
            if expected == "ok" {
                assert_eq!(Weights::<Runtime>::get(MAIN, uid), [(0, 32_768), (1, 65_535)]);
                assert_eq!(
                    LastUpdate::<Runtime>::get(MAIN)[usize::from(uid)],
                    700,
                    "the block of the commit"
                );
                assert_eq!(
                    last_event(),
                    Event::WeightsRevealed(who.clone(), MAIN, hash_of(&who, 1))
                );
                assert_eq!(reveal(&who, 1), "NoWeightsCommitFound");
            }
        });
    }
}

#[test]
fn reveal_counts_epoch_due_in_current_block() {
    at_first_block(|| {
        let (who, _) = committing_validator();
        assert_eq!(commit(&who, 1), "ok");
        jump_to(709);
        assert_eq!(reveal(&who, 1), "RevealTooEarly");
        jump_to(710);
        assert_eq!(reveal(&who, 1), "ok");
    });
}

#[test]
fn reveal_must_match_one_of_the_commits() {
    at_first_block(|| {
        let (who, _) = committing_validator();
        assert_eq!(reveal(&who, 1), "NoWeightsCommitFound");
        for salt in 1..=3 {
            assert_eq!(commit(&who, salt), "ok");
        }
        enter_epoch(8);
        assert_eq!(reveal(&who, 4), "InvalidRevealCommitHashNotMatch");
        assert_eq!(reveal(&who, 2), "ok");
        assert_eq!(reveal(&who, 1), "InvalidRevealCommitHashNotMatch", "older commits are removed");
        CommitRevealWeightsEnabled::<Runtime>::insert(BABELBIT, false);
        assert_eq!(reveal(&who, 3), "CommitRevealDisabled");
        CommitRevealWeightsEnabled::<Runtime>::insert(BABELBIT, true);
        enter_epoch(9);
        assert_eq!(reveal(&who, 4), "NoWeightsCommitFound", "only an expired commit remains");
        assert_eq!(reveal(&who, 3), "ExpiredWeightCommit");
    });
}

fn commit_timelocked(who: &AccountId, mecid: u8, version: u16) -> String {
    let commit: BoundedVec<u8, ConstU32<MAX_COMMIT_LEN>> = vec![1, 2, 3].try_into().unwrap();
    let call = Call::commit_timelocked_mechanism_weights {
        netuid: BABELBIT,
        mecid: MechId(mecid),
        commit,
        reveal_round: 99,
        commit_reveal_version: version,
    };
    outcome(send(who, call))
}

#[test]
fn timelocked_commit_checks_run_in_order() {
    at_first_block(|| {
        let (who, uid) = committing_validator();
        CommitRevealWeightsEnabled::<Runtime>::insert(BABELBIT, false);
        assert_eq!(commit_timelocked(&key(8), 1, 3), "MechanismDoesNotExist");
        assert_eq!(commit_timelocked(&key(8), 0, 3), "CommitRevealDisabled");
        CommitRevealWeightsEnabled::<Runtime>::insert(BABELBIT, true);
        assert_eq!(commit_timelocked(&key(8), 0, 3), "IncorrectCommitRevealVersion");
        assert_eq!(commit_timelocked(&key(8), 0, 4), "HotKeyNotRegisteredInSubNet");
        WeightsSetRateLimit::<Runtime>::insert(BABELBIT, 700);
        assert_eq!(commit_timelocked(&who, 0, 4), "CommittingWeightsTooFast");
        WeightsSetRateLimit::<Runtime>::insert(BABELBIT, 0);
        for _ in 0..10 {
            assert_eq!(commit_timelocked(&who, 0, 4), "ok");
        }
        assert_eq!(commit_timelocked(&who, 0, 4), "TooManyUnrevealedCommits");

        let hash = H256(sp_io::hashing::blake2_256(&[1, 2, 3]));
        assert_eq!(last_event(), Event::TimelockedWeightsCommitted(who.clone(), MAIN, hash, 99));
        assert_eq!(LastUpdate::<Runtime>::get(MAIN)[usize::from(uid)], 700);
        let stored = TimelockedWeightCommits::<Runtime>::get(MAIN, 7);
        assert_eq!(
            (stored.len(), &stored[0].0, stored[0].1, &stored[0].2[..], stored[0].3),
            (10, &who, 700, &[1, 2, 3][..], 99)
        );
    });
}

#[test]
fn expired_timelocked_commits_are_removed() {
    at_first_block(|| {
        let (who, _) = committing_validator();
        assert_eq!(commit_timelocked(&who, 0, 4), "ok");
        for (epoch, remaining) in [(7, 1), (8, 1), (9, 0)] {
            enter_epoch(epoch);
            Subtensor::reveal_timelocked(&Subtensor::awake_netuids());
            assert_eq!(
                TimelockedWeightCommits::<Runtime>::iter_prefix(MAIN).count(),
                remaining,
                "{epoch}"
            );
        }
    });
}

#[test]
fn commit_block_is_the_oldest_pending_one() {
    at_first_block(|| {
        let (who, uid) = committing_validator();
        let commit_block =
            |uid: u16| Subtensor::commit_blocks(BABELBIT, MechId(0)).unwrap()[usize::from(uid)];
        assert_eq!(commit_block(uid), None);
        assert_eq!(commit_timelocked(&who, 0, 4), "ok");
        jump_to(705);
        assert_eq!(commit(&who, 1), "ok");
        assert_eq!((commit_block(uid), commit_block(0)), (Some(700), None));
        enter_epoch(9);
        assert_eq!(commit_block(uid), None, "expired");
        CommitRevealWeightsEnabled::<Runtime>::insert(BABELBIT, false);
        assert_eq!(Subtensor::commit_blocks(BABELBIT, MechId(0)), None);
    });
}

#[test]
fn pool_checks_stake_and_rate_limits_only() {
    at_first_block(|| {
        let (who, _) = neuron(1);
        let submission = |who: &AccountId, weights: &[u16]| Submission {
            who: who.clone(),
            netuid: BABELBIT,
            mecid: 0,
            uids: vec![0],
            weights: weights.to_vec(),
            version_key: 0,
        };
        let precheck = |submission: &Submission| {
            Subtensor::precheck_weights(&submission.who, &submission.call())
                .map_or_else(|error| outcome(Err(error.into())), |()| "ok".to_owned())
        };
        assert_eq!(precheck(&submission(&who, &[1, 2])), "ok", "a wrong length fails in the block");
        assert_eq!(
            precheck(&submission(&key(8), &[1])),
            "ok",
            "an unknown hotkey fails in the block"
        );
        assert_eq!(precheck(&submission(&who, &[1])), "ok", "a missing permit fails in the block");
        StakeThreshold::<Runtime>::put(1);
        assert_eq!(precheck(&submission(&who, &[1])), "NotEnoughStakeToSetWeights");
        StakeThreshold::<Runtime>::put(0);
        WeightsSetRateLimit::<Runtime>::insert(BABELBIT, 100);
        jump_to(50);
        assert_eq!(precheck(&submission(&who, &[1])), "SettingWeightsTooFast");
        CommitRevealWeightsEnabled::<Runtime>::insert(BABELBIT, true);
        assert_eq!(
            precheck(&submission(&who, &[1])),
            "ok",
            "enabled commit-reveal fails in the block"
        );
        let commit = Call::commit_weights { netuid: BABELBIT, commit_hash: H256::zero() };
        let error = Subtensor::precheck_weights(&who, &commit).unwrap_err();
        assert_eq!(outcome(Err(error.into())), "CommittingWeightsTooFast");
        let timelocked = Call::commit_timelocked_weights {
            netuid: BABELBIT,
            commit: BoundedVec::default(),
            reveal_round: 99,
            commit_reveal_version: 4,
        };
        assert!(
            Subtensor::precheck_weights(&who, &timelocked).is_ok(),
            "a timelocked commit fails in the block"
        );
    });
}

fn compact(row: &[(u16, u16)]) -> Vec<(Compact<u16>, Compact<u16>)> {
    row.iter().map(|(uid, weight)| (Compact(*uid), Compact(*weight))).collect()
}

/// Returns the events of the Subtensor pallet.
fn events() -> Vec<Event<Runtime>> {
    let events = frame_system::Pallet::<Runtime>::events().into_iter();
    events
        .filter_map(|record| match record.event {
            crate::RuntimeEvent::SubtensorModule(event) => Some(event),
            _ => None,
        })
        .collect()
}

#[test]
fn batch_sets_valid_weights_and_reports_failures() {
    at_first_block(|| {
        let (hotkey, uid) = neuron(1);
        permit(uid);
        MinAllowedWeights::<Runtime>::insert(BABELBIT, 1);
        let netuids = || vec![Compact(NetUid(18)), Compact(BABELBIT), Compact(NetUid(77))];
        let batch = |rows: usize, keys: usize| Call::batch_set_weights {
            netuids: netuids(),
            weights: vec![compact(&[(0, 7)]); rows],
            version_keys: vec![Compact(0); keys],
        };
        assert_eq!(attempt(&hotkey, batch(2, 3)), "InputLengthsUnequal");
        assert_eq!(attempt(&hotkey, batch(3, 2)), "InputLengthsUnequal");
        assert_eq!(attempt(&hotkey, batch(3, 3)), "ok");
        assert_eq!(Weights::<Runtime>::get(MAIN, uid), [(0, u16::MAX)]);
        let reported = events();
        let failed = |netuid| {
            reported.iter().any(|event| matches!(event, Event::BatchWeightItemFailed(event_netuid, _) if *event_netuid == NetUid(netuid)))
        };
        assert!(failed(18) && failed(77) && !failed(BABELBIT.0), "{reported:?}");
        assert_eq!(
            reported.iter().filter(|event| **event == Event::BatchCompletedWithErrors).count(),
            1
        );
        assert_eq!(last_event(), Event::BatchWeightsCompleted(netuids(), hotkey));
    });
}

#[test]
fn batch_reveals_all_commits_or_none() {
    at_first_block(|| {
        let (hotkey, uid) = neuron(1);
        permit(uid);
        CommitRevealWeightsEnabled::<Runtime>::insert(BABELBIT, true);
        MinAllowedWeights::<Runtime>::insert(BABELBIT, 1);
        let hash = |salt: u16| commit_hash(&hotkey, MAIN, &[0], &[7], &[salt], 0);
        let commit = |hashes: &[H256]| Call::batch_commit_weights {
            netuids: vec![Compact(BABELBIT); 2],
            commit_hashes: hashes.to_vec(),
        };
        let reveal = |salts: &[u16], keys: usize| Call::batch_reveal_weights {
            netuid: BABELBIT,
            uids_list: vec![vec![0]; salts.len()],
            values_list: vec![vec![7]; salts.len()],
            salts_list: salts.iter().map(|salt| vec![*salt]).collect(),
            version_keys: vec![0; keys],
        };
        assert_eq!(attempt(&hotkey, reveal(&[1], 1)), "NoWeightsCommitFound");
        assert_eq!(attempt(&hotkey, commit(&[hash(1)])), "InputLengthsUnequal");
        assert_eq!(attempt(&hotkey, commit(&[hash(1), hash(2)])), "ok");
        assert_eq!(
            last_event(),
            Event::BatchWeightsCompleted(vec![Compact(BABELBIT); 2], hotkey.clone())
        );
        let commits = WeightCommits::<Runtime>::get(MAIN, &hotkey).unwrap();
        assert_eq!(commits.iter().map(|commit| commit.0).collect::<Vec<_>>(), [hash(1), hash(2)]);
        assert_eq!(attempt(&hotkey, reveal(&[1, 2], 1)), "InputLengthsUnequal");
        assert_eq!(attempt(&hotkey, reveal(&[1, 2], 2)), "RevealTooEarly");
        SubnetEpochIndex::<Runtime>::mutate(BABELBIT, |index| *index += 1);
        assert_eq!(attempt(&hotkey, reveal(&[1, 3], 2)), "InvalidRevealCommitHashNotMatch");
        assert_eq!(attempt(&hotkey, reveal(&[1, 1], 2)), "InvalidRevealCommitHashNotMatch");
        assert_eq!(attempt(&hotkey, reveal(&[2, 1], 2)), "ok");
        assert_eq!(
            last_event(),
            Event::WeightsBatchRevealed(hotkey.clone(), BABELBIT, vec![hash(2), hash(1)])
        );
        assert!(WeightCommits::<Runtime>::get(MAIN, &hotkey).is_none());
        assert_eq!(attempt(&hotkey, commit(&[hash(4), hash(5)])), "ok");
        SubnetEpochIndex::<Runtime>::mutate(BABELBIT, |index| *index += 2);
        assert_eq!(attempt(&hotkey, reveal(&[4], 1)), "ExpiredWeightCommit");
        CommitRevealWeightsEnabled::<Runtime>::insert(BABELBIT, false);
        assert_eq!(attempt(&hotkey, reveal(&[4], 1)), "CommitRevealDisabled");
    });
}
